//! Advances a backup object, and the volume that waits for its snapshot to go. A copy of another object or of an image waits
//! until that is there.

use super::super::{AppError, Ringing};
use super::{At, Cause, queue, volume};
use crate::db::backups::work::{self, BackupRow, Copied};
use crate::db::volumes::VolumeRow;
use crate::db::{self, Tx};
use crate::plan::Wanted;
use crate::plan::backup::{Facts, Surroundings, Touched, Wish, is_over, is_spoiled, next_job};
use arame_schema::model::backup::{BackupState, BackupView, state};
use arame_schema::model::{Fact, FactName};

/// The volume is locked first, then the object.
pub async fn advance(tx: &mut Tx, ringing: &mut Ringing, id: &str, cause: Cause) -> Result<(), AppError> {
    let Some((disk, mut row)) = work::lock(tx, id).await? else { return Ok(()) };
    let Some(agent) = db::nodes::agent_of_storage(tx, &row.node).await? else { return Ok(()) };
    if row.deleted {
        return Ok(());
    }
    let facts = facts_at(tx, id, &agent).await?;
    let source = source_of(tx, disk.as_ref(), &row, &agent).await?;
    let around = surroundings(&row, &source);
    if row.wanted
        && !row.failed
        && let Some(reason) = hopeless(&source, facts, around)
    {
        work::set_failure(tx, id, reason, true).await?;
        let values = [("code", reason.0.to_owned()), ("message", reason.1.to_owned())];
        tell(tx, &row, "failed", &values, cause).await?;
        row.failed = true;
    }
    let around = Surroundings { failed: row.failed, ..around };
    let next = next_job(Wish { wanted: row.wanted, generation: row.generation }, facts, around);
    let at = At { thing: id, agent: &agent, account: Some(&row.account) };
    let wanted = next.map(|next| Wanted { kind: next.job.kind(), generation: next.generation });
    let queued = queue(tx, ringing, at, wanted, None, cause).await?;
    if let (Some(_), Some(next)) = (queued, next) {
        match next.job.touches() {
            Touched::Snapshot => db::facts::set_maybe(tx, id, &agent, FactName::Snapshot).await?,
            Touched::Object => db::facts::set_maybe(tx, id, &agent, FactName::Object).await?,
            Touched::Nothing => {}
        }
    }
    settle_state(tx, &row, &agent, cause).await?;
    match disk {
        Some(disk) if disk.rollback.is_some() || !disk.wanted && !disk.deleted => {
            volume::advance(tx, ringing, &disk.id, Cause::fact()).await
        }
        _ => Ok(()),
    }
}

async fn facts_at(tx: &mut Tx, id: &str, agent: &str) -> Result<Facts, AppError> {
    let (snapshot, dropped_generation) = db::facts::value(tx, id, agent, FactName::Snapshot).await?;
    let object = db::facts::value(tx, id, agent, FactName::Object).await?.0;
    Ok(Facts { object, snapshot, dropped_generation })
}

/// What the object is a copy of.
struct Source {
    present: Fact,
    /// It will not come (any more), with the reason's code and sentence.
    ended: Option<(&'static str, &'static str)>,
}

async fn source_of(tx: &mut Tx, disk: Option<&VolumeRow>, row: &BackupRow, agent: &str) -> Result<Source, AppError> {
    let ended = Some(("copy_source_gone", "what it is a copy of is gone"));
    match (&row.copied, disk) {
        (Some(Copied::Object(object)), _) => {
            let Some(from) = work::find(tx, object).await? else { return Ok(Source { present: Fact::No, ended }) };
            let whole = from.wanted && from.state == BackupState::Available;
            let present = if whole { Fact::Yes } else { Fact::No };
            Ok(Source { present, ended: ended.filter(|_| !whole) })
        }
        (Some(Copied::Image(image)), _) => {
            let from = db::access::find_image(tx, image).await?.filter(|from| from.wanted && from.failure.is_none());
            let Some(from) = from else { return Ok(Source { present: Fact::No, ended }) };
            let (there, generation) = db::facts::value(tx, image, agent, FactName::Image).await?;
            let is_it = from.is_settled() && generation >= from.generation;
            Ok(Source { present: if is_it { there } else { Fact::No }, ended: None })
        }
        (None, Some(disk)) => {
            let present = db::facts::value(tx, &disk.id, agent, FactName::Volume).await?.0;
            // One that is to go or being rolled back gets no new snapshot.
            let present = if disk.wanted && disk.rollback.is_none() { present } else { Fact::No };
            let gone = ("backup_volume_gone", "the volume was deleted before its snapshot was taken");
            Ok(Source { present, ended: (!disk.wanted).then_some(gone) })
        }
        (None, None) => Ok(Source { present: Fact::No, ended }),
    }
}

fn surroundings(row: &BackupRow, source: &Source) -> Surroundings {
    Surroundings {
        volume: source.present,
        copied: row.copied.is_some(),
        snapshot_was_present: row.snapshot_was_present,
        was_present: row.was_present,
        failed: row.failed,
    }
}

/// Why it can never be whole.
fn hopeless(source: &Source, facts: Facts, around: Surroundings) -> Option<(&'static str, &'static str)> {
    if is_spoiled(facts, around) {
        return Some(("backup_spoiled", "its snapshot is gone, and the copy was not whole"));
    }
    let nothing = facts.snapshot == Fact::No && facts.object == Fact::No && !around.was_present;
    // Of a copy, an object that may be there may still be whole.
    source.ended.filter(|_| nothing)
}

/// Writes the state that follows from the facts.
async fn settle_state(tx: &mut Tx, row: &BackupRow, agent: &str, cause: Cause) -> Result<(), AppError> {
    let facts = facts_at(tx, &row.id, agent).await?;
    let over = is_over(Wish { wanted: row.wanted, generation: row.generation }, facts);
    let Some((_, row)) = work::lock(tx, &row.id).await? else { return Ok(()) };
    let (wanted, was_present, failed) = (row.wanted, row.was_present, row.failed);
    let now = state(BackupView { wanted, object: facts.object, over, was_present, failed });
    if now == row.state {
        return Ok(());
    }
    work::set_state(tx, &row.id, now).await?;
    if now == BackupState::Deleted {
        db::facts::forget_thing(tx, &row.id).await?;
    }
    let code = if now == BackupState::Lost { "lost" } else { "state_changed" };
    tell(tx, &row, code, &[("from", row.state.to_string()), ("to", now.to_string())], cause).await
}

/// A line of the object's timeline.
async fn tell(
    tx: &mut Tx,
    row: &BackupRow,
    code: &str,
    values: &[(&str, String)],
    cause: Cause,
) -> Result<(), AppError> {
    let event = db::events::NewEvent {
        account: Some(&row.account),
        resource: &row.id,
        code,
        values,
        job: None,
        request: cause.request,
    };
    Ok(db::events::insert(tx, &event).await?)
}
