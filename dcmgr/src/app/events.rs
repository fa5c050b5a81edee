//! The timeline as a stream.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{Event, Refusal};
use tokio::sync::watch;

/// Events of one answer; a stream asks again after the last.
pub const BATCH: u32 = 200;

/// Numbers that are looked back over for the newest: an account in which nothing happens does not make the whole timeline read.
const LOOKED_BACK: u64 = 20_000;

pub async fn after(app: &App, caller: &Caller, number: u64, resource: Option<&str>) -> Result<Vec<Event>, Refusal> {
    Ok(db::events::after(app.db(), number, resource, caller.scope(), BATCH).await.map_err(AppError::from)?)
}

/// The newest so many, oldest first, of what happened lately.
pub async fn newest(app: &App, caller: &Caller, count: u32, resource: Option<&str>) -> Result<Vec<Event>, Refusal> {
    let above = app.events_watch().borrow().saturating_sub(LOOKED_BACK);
    let found = db::events::newest(app.db(), above, resource, caller.scope(), count.min(BATCH)).await;
    Ok(found.map_err(AppError::from)?)
}

/// Ticks when new public events exist.
pub fn subscribe(app: &App) -> watch::Receiver<u64> {
    app.events_watch()
}
