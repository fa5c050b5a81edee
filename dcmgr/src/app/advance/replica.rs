//! Advances a snapshot's replica, and its snapshot: read by others as long as a replica comes.

use super::super::{AppError, Ringing};
use super::{At, Cause, queue, volume_snapshot};
use crate::db::replicas::ReplicaRow;
use crate::db::volume_snapshots::SnapshotRow;
use crate::db::{self, Tx};
use crate::plan::Kind;
use crate::plan::replica::{Surroundings, Wish, next_job};
use arame_schema::jobs::sta::OfferedSnapshot;
use arame_schema::model::volume_snapshot::{VolumeSnapshotState, VolumeSnapshotView, state};
use arame_schema::model::{Fact, FactName};

pub async fn advance(tx: &mut Tx, ringing: &mut Ringing, id: &str, cause: Cause) -> Result<(), AppError> {
    let Some(row) = db::replicas::lock(tx, id).await? else { return Ok(()) };
    let (came, before, snapshot) = (row.comes(), row.state, row.snapshot.clone());
    let now = step(tx, ringing, row, cause).await?.map(|row| row.state);
    if came || now != Some(before) {
        // Whether it is still read; one that waited with its end for this goes now.
        volume_snapshot::advance(tx, ringing, &snapshot, Cause::fact()).await?;
    }
    Ok(())
}

/// Its own part of it, for whoever holds its volume's row: not its snapshot's. Answers the row as it is then.
pub(super) async fn step(
    tx: &mut Tx,
    ringing: &mut Ringing,
    row: ReplicaRow,
    cause: Cause,
) -> Result<Option<ReplicaRow>, AppError> {
    let Some(agent) = db::nodes::agent_of_storage(tx, &row.node).await? else { return Ok(Some(row)) };
    let source = db::volume_snapshots::find(tx, &row.snapshot).await?;
    let row = match gone(source.as_ref()).filter(|_| row.comes()) {
        Some(reason) => give_up(tx, row, reason, cause).await?,
        None => row,
    };
    let (present, _) = db::facts::value(tx, &row.id, &agent, FactName::Replica).await?;
    let offered = match &source {
        Some(source) if row.comes() => offered(tx, source).await?.is_some(),
        Some(_) | None => false,
    };
    let around = Surroundings {
        was_present: row.was_present,
        offered,
        needed: !row.wanted && db::replicas::is_being_cloned(tx, &row.id).await?,
        failed: row.failure_code.is_some(),
    };
    let wish = Wish { wanted: row.wanted, generation: row.generation };
    let at = At { thing: &row.id, agent: &agent, account: Some(&row.account) };
    let queued = queue(tx, ringing, at, next_job(wish, present, around), None, cause).await?;
    if let Some(Kind::ReceiveReplica | Kind::DeleteReplica) = queued.map(|wanted| wanted.kind) {
        db::facts::set_maybe(tx, &row.id, &agent, FactName::Replica).await?;
    }
    settle_state(tx, &row, &agent, cause).await?;
    Ok(db::replicas::find(tx, &row.id).await?)
}

/// A volume that was to be made of it is there or given up: one that waited for that goes now.
pub(super) async fn release(tx: &mut Tx, ringing: &mut Ringing, id: &str) -> Result<(), AppError> {
    match db::replicas::find(tx, id).await? {
        Some(row) if !row.wanted && !row.deleted => Box::pin(advance(tx, ringing, id, Cause::fact())).await,
        Some(_) | None => Ok(()),
    }
}

/// Where its snapshot is read, as its node last told: also while that is being asked anew.
pub async fn offered(tx: &mut Tx, source: &SnapshotRow) -> Result<Option<OfferedSnapshot>, AppError> {
    let Some(agent) = db::nodes::agent_of_storage(tx, &source.node).await? else { return Ok(None) };
    let told = db::facts::find(tx, &source.id, &agent, FactName::Offered).await?;
    let told = told.filter(|fact| fact.value.may_be_so()).and_then(|fact| fact.detail);
    Ok(told.and_then(|detail| serde_json::from_value(detail).ok()))
}

/// What was told of where its snapshot is read may be so no more: its node is asked again.
pub async fn doubt_offer(tx: &mut Tx, id: &str) -> Result<(), AppError> {
    let Some(row) = db::replicas::find(tx, id).await? else { return Ok(()) };
    let Some(source) = db::volume_snapshots::find(tx, &row.snapshot).await? else { return Ok(()) };
    let Some(agent) = db::nodes::agent_of_storage(tx, &source.node).await? else { return Ok(()) };
    if db::facts::value(tx, &source.id, &agent, FactName::Offered).await?.0 == Fact::Yes {
        db::facts::set_maybe(tx, &source.id, &agent, FactName::Offered).await?;
    }
    Ok(())
}

/// Why nothing more can come of a snapshot.
fn gone(source: Option<&SnapshotRow>) -> Option<String> {
    let Some(source) = source else { return Some("there is no such snapshot".to_owned()) };
    let over = [VolumeSnapshotState::Deleted, VolumeSnapshotState::Failed, VolumeSnapshotState::Lost];
    over.contains(&source.state).then(|| format!("{} is {}", source.id, source.state))
}

async fn give_up(tx: &mut Tx, row: ReplicaRow, reason: String, cause: Cause) -> Result<ReplicaRow, AppError> {
    let code = "replica_source_gone";
    db::replicas::set_failure(tx, &row.id, (code, &reason), true).await?;
    let values = [("code", code.to_owned()), ("message", reason)];
    tell(tx, &row, "failed", &values, cause).await?;
    Ok(ReplicaRow { failure_code: Some(code.to_owned()), ..row })
}

/// Writes the state that follows from the fact.
async fn settle_state(tx: &mut Tx, row: &ReplicaRow, agent: &str, cause: Cause) -> Result<(), AppError> {
    let present: Fact = db::facts::value(tx, &row.id, agent, FactName::Replica).await?.0;
    let failed = row.failure_code.is_some();
    let now = state(VolumeSnapshotView { wanted: row.wanted, present, was_present: row.was_present, failed });
    if now == row.state {
        return Ok(());
    }
    db::replicas::set_state(tx, &row.id, now).await?;
    if now == VolumeSnapshotState::Deleted {
        db::facts::forget_thing(tx, &row.id).await?;
    }
    let code = match now {
        VolumeSnapshotState::Lost => "lost",
        VolumeSnapshotState::Available if row.state == VolumeSnapshotState::Creating => "replicated",
        _ => "state_changed",
    };
    let mut values = vec![("from", row.state.to_string()), ("to", now.to_string())];
    if code == "replicated" {
        values = vec![("snapshot", row.snapshot.clone()), ("node", row.node.clone())];
    }
    tell(tx, row, code, &values, cause).await
}

/// A line of its timeline.
async fn tell(
    tx: &mut Tx,
    row: &ReplicaRow,
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
