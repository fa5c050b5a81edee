//! One conditional change of a thing at a time: who looks whether it is still as it was, and then changes it, is alone
//! in doing so, on every dcmgr.
//!
//! Rule: held over one request only, by those that sent a condition; a change without one does not ask. It is a named
//! lock of the database on a connection of its own, which is why only a few are held at once.

use super::{App, AppError};
use crate::db;
use arame_schema::api::{Code, Refusal};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Conditional changes at once: each keeps a connection beside that of its change.
pub const AT_ONCE: usize = 4;

/// Longest one waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(5);

/// A held guard; to be released.
pub struct Guard {
    lock: db::locks::Held,
    _turn: OwnedSemaphorePermit,
}

/// Waits until nobody else changes `thing` under a condition.
///
/// # Errors
/// Not in time, or the database's failure.
pub async fn hold(app: &App, thing: &str) -> Result<Guard, Refusal> {
    let busy = || Refusal::new(Code::Unavailable).with("what", thing);
    let turns: std::sync::Arc<Semaphore> = app.guard_turns();
    let turn = tokio::time::timeout(TURN_LIMIT, turns.acquire_owned()).await;
    let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
    // A server may hold several data centers.
    let name = db::seed::digest(&format!("{} {thing}", app.installation()));
    let lock = db::locks::hold(app.db(), &name[..40]).await.map_err(AppError::from)?;
    Ok(Guard { lock: lock.ok_or_else(busy)?, _turn: turn })
}

impl Guard {
    pub async fn release(self) {
        self.lock.release().await;
    }
}
