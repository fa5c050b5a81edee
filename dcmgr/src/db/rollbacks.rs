//! The last rollback of each volume: columns of its row.

use super::pool::run;
use super::{Columns, DbError, Tx};
use arame_schema::api;
use uuid::Uuid;

/// A rollback that is not settled.
#[derive(Debug, Clone)]
pub struct RollbackRow {
    pub operation: Uuid,
    pub snapshot: String,
    /// The volume's generation when it was asked for.
    pub generation: u64,
    /// Why it is given up, if it is.
    pub failure: Option<(String, String)>,
}

pub const COLUMNS: &str = "rollback_operation, rollback_snapshot_id, rollback_generation, rollback_state, \
                           rollback_failure_code, rollback_failure_message";

/// The open rollback of a volume's row.
pub(super) fn read(row: &mysql_async::Row) -> Result<Option<RollbackRow>, DbError> {
    if row.col::<Option<String>>("rollback_state")?.as_deref() != Some("open") {
        return Ok(None);
    }
    Ok(Some(RollbackRow {
        operation: row.parsed("rollback_operation")?,
        snapshot: row.text("rollback_snapshot_id")?,
        generation: row.col("rollback_generation")?,
        failure: failure(row)?,
    }))
}

fn failure(row: &mysql_async::Row) -> Result<Option<(String, String)>, DbError> {
    let code: Option<String> = row.col("rollback_failure_code")?;
    let message: Option<String> = row.col("rollback_failure_message")?;
    Ok(code.map(|code| (code, message.unwrap_or_default())))
}

pub(super) fn view(row: &mysql_async::Row) -> Result<Option<api::VolumeRollback>, DbError> {
    let (operation, state): (Option<String>, Option<String>) =
        (row.col("rollback_operation")?, row.col("rollback_state")?);
    let (Some(operation_id), Some(state)) = (operation, state) else { return Ok(None) };
    let failure = failure(row)?.map(|(code, message)| api::Failure::new(code).with("message", message));
    Ok(Some(api::VolumeRollback { operation_id, snapshot_id: row.text("rollback_snapshot_id")?, state, failure }))
}

/// Asks for a rollback, at a generation of its own.
pub async fn open(tx: &mut Tx, volume: &str, operation: Uuid, snapshot: &str) -> Result<(), DbError> {
    let statement = "UPDATE volumes SET generation = generation + 1, rollback_generation = generation, \
                     rollback_operation = ?, rollback_snapshot_id = ?, rollback_state = 'open', \
                     rollback_failure_code = NULL, rollback_failure_message = NULL, updated_at = UTC_TIMESTAMP(3) \
                     WHERE id = ?";
    run(tx, statement, (operation.to_string(), snapshot, volume)).await?;
    Ok(())
}

/// It is given up: the generation is raised, so that nothing of it can happen once the volume carries that.
pub async fn give_up(tx: &mut Tx, volume: &str, reason: (&str, &str)) -> Result<(), DbError> {
    let statement = "UPDATE volumes SET generation = GREATEST(generation, rollback_generation + 1), \
                     rollback_failure_code = ?, rollback_failure_message = ? WHERE id = ? AND rollback_state = 'open'";
    run(tx, statement, (reason.0, reason.1, volume)).await?;
    Ok(())
}

/// It happened.
pub async fn set_done(tx: &mut Tx, volume: &str) -> Result<(), DbError> {
    let statement = "UPDATE volumes SET rollback_state = 'done', rollback_failure_code = NULL, \
                     rollback_failure_message = NULL, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (volume,)).await?;
    Ok(())
}

/// It did not happen and cannot any more.
pub async fn set_failed(tx: &mut Tx, volume: &str, reason: (&str, &str)) -> Result<(), DbError> {
    let statement = "UPDATE volumes SET rollback_state = 'failed', rollback_failure_code = ?, \
                     rollback_failure_message = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (reason.0, reason.1, volume)).await?;
    Ok(())
}
