//! The timeline as a stream.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{Event, Refusal};
use tokio::sync::watch;

/// Events of one answer; a stream asks again after the last.
const BATCH: u32 = 200;

pub async fn after(app: &App, caller: &Caller, number: u64, resource: Option<&str>) -> Result<Vec<Event>, Refusal> {
    Ok(db::events::after(app.db(), number, resource, caller.scope(), BATCH).await.map_err(AppError::from)?)
}

/// Ticks when new public events exist.
pub fn subscribe(app: &App) -> watch::Receiver<u64> {
    app.events_watch()
}
