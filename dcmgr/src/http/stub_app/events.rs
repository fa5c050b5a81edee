//! The stream's source: a small memory.

use super::{App, Caller};
use arame_schema::api::{Event, Refusal};
use tokio::sync::watch;

pub async fn after(app: &App, _: &Caller, number: u64, resource: Option<&str>) -> Result<Vec<Event>, Refusal> {
    let memory = app.memory.lock().expect("no holder panics");
    let wanted = |event: &&Event| event.id > number && resource.is_none_or(|resource| event.resource == resource);
    Ok(memory.iter().filter(wanted).cloned().collect())
}

pub const BATCH: u32 = 200;

pub async fn newest(app: &App, _: &Caller, count: u32, resource: Option<&str>) -> Result<Vec<Event>, Refusal> {
    let memory = app.memory.lock().expect("no holder panics");
    let wanted = |event: &&Event| resource.is_none_or(|resource| event.resource == resource);
    let found: Vec<Event> = memory.iter().filter(wanted).cloned().collect();
    Ok(found[found.len().saturating_sub(count as usize)..].to_vec())
}

/// The number of the newest event, ticking.
pub fn subscribe(app: &App) -> watch::Receiver<u64> {
    app.ticks.subscribe()
}
