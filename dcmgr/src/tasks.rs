//! What runs beside the requests: the relay, the consumers of what agents send, the sweep. Each is a loop that ends
//! with the stop token; none holds state that matters (DESIGN 3.12).

pub mod hear;
pub mod questions;
pub mod relay;
pub mod streams;
pub mod sweep;

use crate::app::{App, Ring};
use arame_framework::bus::Bus;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Starts every task.
pub async fn start(app: &App, bus: Arc<dyn Bus>, rung: mpsc::Receiver<Ring>, stop: CancellationToken) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(relay::ring(app.clone(), bus.clone(), rung, stop.clone()));
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
