//! What runs beside the requests: the relay, the consumers of what agents send, the sweep. Each is a loop that ends
//! with the stop token; none holds state that matters (DESIGN 3.12).

pub mod hear;
pub mod management;
pub mod questions;
pub mod relay;
pub mod streams;
pub mod sweep;

use crate::app::{App, Ring};
use arame_framework::bus::Bus;
use arame_service::Loops;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Starts every task.
pub async fn start(app: &App, bus: Arc<dyn Bus>, rung: mpsc::Receiver<Ring>, stop: CancellationToken) -> JoinSet<()> {
    start_watched(app, bus, rung, stop, &Loops::unwatched()).await
}

/// The same, with the relay among the loops that count as this program's work. Those that wait for the database do not: it
/// may be away, or slow, and dcmgr is none the worse for it.
pub async fn start_watched(
    app: &App,
    bus: Arc<dyn Bus>,
    rung: mpsc::Receiver<Ring>,
    stop: CancellationToken,
    loops: &Loops,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(relay::ring(app.clone(), bus.clone(), rung, stop.clone(), loops.one_more()));
    tasks.spawn(relay::ring_again(app.clone(), bus.clone(), stop.clone()));
    tasks.spawn(relay::follow_link(app.clone(), bus.clone(), stop.clone()));
    tasks.spawn(questions::carry(app.clone(), bus.clone(), stop.clone()));
    if let Some(door) = bus.door() {
        tasks.spawn(streams::take(app.clone(), door, stop.clone()));
    }
    tasks.spawn(sweep::run(app.clone(), stop.clone()));
    tasks.spawn(sweep::number_events(app.clone(), stop.clone()));
    hear::start(app, bus, &stop, &mut tasks).await;
    tasks
}
