//! Advances a volume's snapshot, and whoever waits for it: the next one of its volume, the volume's rollback or delete.

use super::super::{AppError, Ringing};
use super::{At, Cause, queue, replica, volume};
use crate::db::volume_snapshots::SnapshotRow;
use crate::db::volumes::VolumeRow;
use crate::db::{self, Tx};
use crate::plan::Kind;
use crate::plan::replica::next_offer;
use crate::plan::volume_snapshot::{Surroundings, Wish, next_job};
use arame_schema::model::volume_snapshot::{VolumeSnapshotState, VolumeSnapshotView, state};
use arame_schema::model::{Fact, FactName};

/// The volume is locked first, then its snapshot.
pub async fn advance(tx: &mut Tx, ringing: &mut Ringing, id: &str, cause: Cause) -> Result<(), AppError> {
    let Some((disk, row)) = db::volume_snapshots::lock(tx, id).await? else { return Ok(()) };
    let Some(agent) = db::nodes::agent_of_storage(tx, &row.node).await? else { return Ok(()) };
    let (present, _) = db::facts::value(tx, id, &agent, FactName::Snapshot).await?;
    let siblings = db::volume_snapshots::of_volume(tx, &disk.id).await?;
    let coming = db::replicas::coming_of(tx, id).await?;
    let around = Surroundings {
        was_present: row.was_present,
        ready: is_ready(&disk, &row, &siblings),
        needed: !row.wanted && (!coming.is_empty() || db::volume_snapshots::is_being_cloned(tx, id).await?),
        failed: row.failure_code.is_some(),
    };
    let wish = Wish { wanted: row.wanted, generation: row.generation };
    let at = At { thing: id, agent: &agent, account: Some(&row.account) };
    let offered = db::facts::value(tx, id, &agent, FactName::Offered).await?.0;
    let offer = next_offer(row.generation, present, !coming.is_empty(), offered);
    let queued = queue(tx, ringing, at, next_job(wish, present, around).or(offer), None, cause).await?;
    if let Some(Kind::CreateSnapshot | Kind::DeleteSnapshot) = queued.map(|wanted| wanted.kind) {
        db::facts::set_maybe(tx, id, &agent, FactName::Snapshot).await?;
    }
    if queued.is_some_and(|wanted| wanted.kind == Kind::OfferSnapshot) {
        db::facts::set_maybe(tx, id, &agent, FactName::Offered).await?;
    }
    let changed = settle_state(tx, &row, &agent, cause).await?;
    for one in coming {
        replica::step(tx, ringing, one, Cause::fact()).await?;
    }
    if !changed {
        return Ok(());
    }
    let waits = |one: &&SnapshotRow| one.seq > row.seq && one.wanted && one.state == VolumeSnapshotState::Creating;
    if let Some(next) = siblings.iter().find(waits) {
        Box::pin(advance(tx, ringing, &next.id, Cause::fact())).await?;
    }
    if disk.rollback.is_some() || !disk.wanted {
        volume::advance(tx, ringing, &disk.id, Cause::fact()).await?;
    }
    Ok(())
}

/// A volume that was to be made of it is there or given up: one that waited for that goes now.
pub(super) async fn release(tx: &mut Tx, ringing: &mut Ringing, id: &str) -> Result<(), AppError> {
    match db::volume_snapshots::find(tx, id).await? {
        Some(row) if !row.wanted && !row.deleted => Box::pin(advance(tx, ringing, id, Cause::fact())).await,
        Some(_) | None => Ok(()),
    }
}

fn is_ready(disk: &VolumeRow, row: &SnapshotRow, siblings: &[SnapshotRow]) -> bool {
    let comes_first = |one: &SnapshotRow| one.seq < row.seq && one.wanted && one.state == VolumeSnapshotState::Creating;
    disk.wanted && disk.rollback.is_none() && !siblings.iter().any(comes_first)
}

/// Whether the store may hold it now or soon.
pub async fn may_exist(tx: &mut Tx, row: &SnapshotRow) -> Result<bool, AppError> {
    let Some(agent) = db::nodes::agent_of_storage(tx, &row.node).await? else { return Ok(false) };
    let present = db::facts::value(tx, &row.id, &agent, FactName::Snapshot).await?.0;
    Ok(present.may_be_so() || row.state == VolumeSnapshotState::Creating)
}

/// Writes the state that follows from the fact; answers whether it is another one.
async fn settle_state(tx: &mut Tx, row: &SnapshotRow, agent: &str, cause: Cause) -> Result<bool, AppError> {
    let present: Fact = db::facts::value(tx, &row.id, agent, FactName::Snapshot).await?.0;
    let failed = row.failure_code.is_some();
    let now = state(VolumeSnapshotView { wanted: row.wanted, present, was_present: row.was_present, failed });
    if now == row.state {
        return Ok(false);
    }
    db::volume_snapshots::set_state(tx, &row.id, now).await?;
    if now == VolumeSnapshotState::Deleted {
        db::facts::forget_thing(tx, &row.id).await?;
    }
    let values = [("from", row.state.to_string()), ("to", now.to_string())];
    let event = db::events::NewEvent {
        account: Some(&row.account),
        resource: &row.id,
        code: if now == VolumeSnapshotState::Lost { "lost" } else { "state_changed" },
        values: &values,
        job: None,
        request: cause.request,
    };
    db::events::insert(tx, &event).await?;
    Ok(true)
}
