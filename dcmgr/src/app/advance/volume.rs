//! Advances a volume, and its rollback.

use super::super::{AppError, Ringing};
use super::volume_snapshot::{may_exist, release};
use super::{At, Cause, queue, replica};
use crate::db::facts::FactRow;
use crate::db::rollbacks::RollbackRow;
use crate::db::volumes::VolumeRow;
use crate::db::{self, Tx};
use crate::plan::rollback::{self, Found, Next};
use crate::plan::volume::{Surroundings, Wish, next_job};
use crate::plan::{Kind, Wanted};
use arame_schema::jobs::sta::SeenVolume;
use arame_schema::model::usage::of_volume;
use arame_schema::model::volume::{AttachmentView, VolumeState, VolumeView, state};
use arame_schema::model::{Fact, FactName};

pub async fn advance(tx: &mut Tx, ringing: &mut Ringing, id: &str, cause: Cause) -> Result<(), AppError> {
    let Some(mut row) = db::volumes::lock(tx, id).await? else { return Ok(()) };
    let Some(agent) = db::nodes::agent_of_storage(tx, &row.node).await? else { return Ok(()) };
    let fact = db::facts::find(tx, id, &agent, FactName::Volume).await?;
    let present = fact.as_ref().map_or(Fact::No, |fact| fact.value);
    let attached = db::volumes::open_attachment(tx, id).await?.is_some();
    let snapshots =
        !db::volume_snapshots::of_volume(tx, id).await?.is_empty() || db::backups::work::hold_volume(tx, id).await?;
    let wish = Wish { wanted: row.wanted, generation: row.generation };
    let failed = row.failure_code.is_some();
    let around = Surroundings { was_present: row.was_present, attached, snapshots, failed };
    let mut wanted = next_job(wish, present, around);
    let mut operation = None;
    if let (None, true, Some(fact), Some(open)) = (wanted, row.wanted, &fact, row.rollback.clone())
        && present == Fact::Yes
    {
        wanted = revert(tx, &row, &open, fact, attached, cause).await?;
        operation = wanted.filter(|wanted| wanted.kind == Kind::RollBackVolume).map(|_| open.operation);
        row = db::volumes::lock(tx, id).await?.unwrap_or(row);
    }
    let at = At { thing: id, agent: &agent, account: Some(&row.account) };
    let queued = queue(tx, ringing, at, wanted, operation, cause).await?;
    if let Some(Kind::CreateVolume | Kind::DeleteVolume) = queued.map(|wanted| wanted.kind) {
        db::facts::set_maybe(tx, id, &agent, FactName::Volume).await?;
    }
    settle_state(tx, &row, cause).await?;
    let began = row.was_present || failed || !row.wanted;
    match (&row.snapshot, &row.replica) {
        (Some(snapshot), _) if began => release(tx, ringing, snapshot).await,
        (None, Some(from)) if began => replica::release(tx, ringing, from).await,
        _ => Ok(()),
    }
}

/// The next job of an open rollback; one that is over is closed.
async fn revert(
    tx: &mut Tx,
    row: &VolumeRow,
    open: &RollbackRow,
    fact: &FactRow,
    attached: bool,
    cause: Cause,
) -> Result<Option<Wanted>, AppError> {
    let seen = fact.detail.clone().and_then(|detail| serde_json::from_value::<SeenVolume>(detail).ok());
    let carried = seen.and_then(|seen| seen.rollback);
    let found = Found { operation: carried == Some(open.operation), generation: fact.generation };
    let wish = rollback::Wish { generation: row.generation, asked: open.generation };
    let newer_snapshots = newer_may_exist(tx, open).await?;
    match rollback::next(wish, found, rollback::Surroundings { attached, newer_snapshots }) {
        Next::Do(wanted) => Ok(Some(wanted)),
        Next::Wait => Ok(None),
        Next::Done => {
            db::rollbacks::set_done(tx, &row.id).await?;
            tell(tx, row, "rolled_back", &[("snapshot", open.snapshot.clone())], cause).await?;
            Ok(None)
        }
        Next::GivenUp => {
            let message =
                format!("the volume is at generation {}, the request was of {}", row.generation, open.generation);
            let (code, message) = open.failure.clone().unwrap_or_else(|| ("rollback_overtaken".into(), message));
            db::rollbacks::set_failed(tx, &row.id, (&code, &message)).await?;
            let values = [("snapshot", open.snapshot.clone()), ("code", code), ("message", message)];
            tell(tx, row, "rollback_failed", &values, cause).await?;
            Ok(None)
        }
    }
}

/// Whether a snapshot newer than the one to go back to may be on the store.
async fn newer_may_exist(tx: &mut Tx, open: &RollbackRow) -> Result<bool, AppError> {
    let Some(target) = db::volume_snapshots::find(tx, &open.snapshot).await? else { return Ok(false) };
    // A backup's is newer than whatever there was to go back to.
    if db::backups::work::hold_volume(tx, &target.volume).await? {
        return Ok(true);
    }
    for one in db::volume_snapshots::of_volume(tx, &target.volume).await? {
        if one.seq > target.seq && may_exist(tx, &one).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes the state that follows from the facts of the volume and its attachment.
pub async fn settle_state(tx: &mut Tx, row: &VolumeRow, cause: Cause) -> Result<(), AppError> {
    let Some(agent) = db::nodes::agent_of_storage(tx, &row.node).await? else { return Ok(()) };
    let (present, _) = db::facts::value(tx, &row.id, &agent, FactName::Volume).await?;
    let attachment = match db::volumes::open_attachment(tx, &row.id).await? {
        None => None,
        Some(open) => {
            let instance = db::instances::find(tx, &open.instance).await?;
            let instance_off =
                instance.is_some_and(|i| i.desired == arame_schema::model::instance::DesiredInstance::Off);
            Some(AttachmentView {
                wanted: open.wanted,
                exported: super::attachment::exported(tx, &open.id).await?,
                plugged: super::attachment::plugged(tx, &open.id).await?,
                instance_off,
            })
        }
    };
    let view = VolumeView {
        wanted: row.wanted,
        present,
        was_present: row.was_present,
        failed: row.failure_code.is_some(),
        reverting: row.rollback.is_some(),
        attachment,
    };
    let now = state(view);
    if now.as_str() == row.state {
        return Ok(());
    }
    db::volumes::set_state(tx, &row.id, now).await?;
    let disk_mib = row.size_bytes >> 20;
    let measure =
        db::usage::Measure { resource: &row.id, account: &row.account, cpu_cores: 0, memory_mib: 0, disk_mib };
    db::usage::set(tx, measure, of_volume(now)).await?;
    if now == VolumeState::Deleted {
        db::facts::forget_thing(tx, &row.id).await?;
    }
    let code = if now == VolumeState::Lost { "lost" } else { "state_changed" };
    tell(tx, row, code, &[("from", row.state.clone()), ("to", now.to_string())], cause).await
}

/// A line of the volume's timeline.
async fn tell(
    tx: &mut Tx,
    row: &VolumeRow,
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
