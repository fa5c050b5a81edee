//! What tenants do with replicas: copies of their volumes' snapshots in other storage nodes' stores, each of its own, which
//! outlives its snapshot and its volume.

use super::advance::{self, Cause};
use super::backups::taken::reader;
use super::instances::record;
use super::volume_snapshots::source_of;
use super::volumes::entropy;
use super::volumes::room::{self, Copied, Need};
use super::{App, AppError, Caller, Ringing, lists, once, recovery};
use crate::db::replicas::{NewReplica, ReplicaRow};
use crate::db::volume_snapshots::SnapshotRow;
use crate::db::{self, Tx};
use arame_schema::api::{Code, CreateSnapshotReplica, ListFilter, Page, Refusal, SnapshotReplica};
use arame_schema::model::SnapshotReplicaId;
use arame_schema::model::volume_snapshot::VolumeSnapshotState;

/// Of all, or of one snapshot, of one volume.
pub async fn list(
    app: &App,
    caller: &Caller,
    filter: ListFilter,
    (snapshot, volume): (Option<&str>, Option<&str>),
) -> Result<Page<SnapshotReplica>, Refusal> {
    let (alive, state) = match filter.state.as_deref() {
        None | Some("alive") => (true, None),
        Some("alive_with_deleted") => (false, None),
        Some(word) if VolumeSnapshotState::parse(word).is_some() => (word != "deleted", Some(word)),
        Some(word) => {
            let expected = VolumeSnapshotState::ALL.map(VolumeSnapshotState::as_str).join(" | ");
            let refusal = Refusal::new(Code::InvalidParameter).with("name", "state");
            return Err(refusal.with("value", word).with("expected", expected));
        }
    };
    lists::check_after(app, caller, &filter, db::Long::SnapshotReplicas).await?;
    let to = db::replicas::Narrowed { account: caller.scope(), snapshot, volume, alive, state };
    let (total, results) = db::replicas::list(app.db(), to, &filter).await.map_err(AppError::from)?;
    Ok(Page { total, start: filter.start, limit: filter.limit, results })
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<SnapshotReplica, Refusal> {
    let found = db::replicas::get(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}

/// Asks for a copy of a snapshot on another storage node: the named one, else the one with the most room. Asked for again on
/// a node that has it, or is to have it, it is the same replica.
pub async fn create(app: &App, caller: &Caller, request: CreateSnapshotReplica) -> Result<SnapshotReplica, Refusal> {
    let id = crate::change!(app, "replicate snapshot", Some(caller.request), |tx, ringing| {
        let source = source_of(tx, caller, request.snapshot_id.as_str()).await?;
        recovery::refuse_new(tx).await?;
        if let Some(made) = once::made(tx, caller, SnapshotReplicaId::PREFIX).await? {
            return Ok(made);
        }
        let node = request.storage_node_id.as_ref().map(|node| node.as_str());
        let there = db::replicas::of_snapshot(tx, &source.id).await?;
        let same = |one: &&ReplicaRow| one.wanted && Some(one.node.as_str()) == node && one.failure_code.is_none();
        if let Some(made) = there.iter().find(same) {
            return Ok(made.id.clone());
        }
        let id = insert(app, tx, &source, (node, &there)).await?;
        once::keep(tx, caller, "snapshot_replica.create", &id).await?;
        let by = ("by", caller.token.clone());
        let values = [by.clone(), ("snapshot", source.id.clone())];
        record(tx, caller, &source.account, &id, "replica_requested", &values).await?;
        record(tx, caller, &source.account, &source.id, "replica_requested", &values).await?;
        advance::replica::advance(tx, ringing, &id, Cause::request(caller.request)).await?;
        Ok(id)
    })?;
    get(app, caller, &id).await
}

/// The row of a replica of this snapshot, on the node that was asked for or on the one with the most room.
async fn insert(
    app: &App,
    tx: &mut Tx,
    source: &SnapshotRow,
    (asked, there): (Option<&str>, &[ReplicaRow]),
) -> Result<String, AppError> {
    let nodes = db::nodes::storage_candidates(tx).await?;
    if let Some(asked) = asked.filter(|asked| !nodes.iter().any(|node| node.id == **asked)) {
        return Err(Refusal::unknown(asked).into());
    }
    let store = nodes.iter().find(|node| node.id == source.node).map(|node| node.storage_type.clone());
    let copied = Copied {
        from: source.node.clone(),
        store: store.unwrap_or_default(),
        held_by: there.iter().map(|one| one.node.clone()).collect(),
    };
    let mib = source.size_bytes.div_ceil(1 << 20);
    let need = Need { only: asked.map(str::to_owned), copied: Some(copied), ..Need::of(mib) };
    let node = room::choose_node(tx, &need).await?;
    db::replicas::reader_of(tx, &source.id, &reader(app)?).await?;
    let id = SnapshotReplicaId::from_entropy(entropy()).to_string();
    let replica = NewReplica {
        id: &id,
        account: &source.account,
        volume: &source.volume,
        snapshot: &source.id,
        node: &node,
        key: &format!("r{}", hex::encode(entropy())),
        size_bytes: source.size_bytes,
    };
    db::replicas::insert(tx, &replica).await?;
    Ok(id)
}

/// The replica's row, if the caller may change it.
async fn lock_own(tx: &mut Tx, caller: &Caller, id: &str) -> Result<ReplicaRow, AppError> {
    let found = db::replicas::lock(tx, id).await?;
    let mine = |row: &ReplicaRow| !row.deleted && caller.scope().is_none_or(|account| account == row.account);
    Ok(found.filter(mine).ok_or_else(|| Refusal::unknown(id))?)
}

/// The replica that a new volume is to begin with. It is locked by way of its volume: it is not deleted before the new one
/// has its row.
pub(super) async fn source_of_volume(tx: &mut Tx, caller: &Caller, id: &str) -> Result<ReplicaRow, AppError> {
    let row = lock_own(tx, caller, id).await?;
    if row.wanted && row.state == VolumeSnapshotState::Available {
        return Ok(row);
    }
    let refusal = Refusal::new(Code::InvalidSnapshotState).with("id", id);
    Err(refusal.with("state", row.state).with("needed", "available").into())
}

/// Deletes a replica; its snapshot, and volumes that were made of it, stay as they are.
pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete replica", Some(caller.request), |tx, ringing| {
        let row = lock_own(tx, caller, id).await?;
        db::events::audit(tx, &caller.who(), "snapshot_replica.delete", id).await?;
        if row.wanted { unwant(tx, ringing, caller, &row).await } else { Ok(()) }
    })?;
    Ok(vec![id.to_owned()])
}

/// One that has a row only to be removed.
pub(super) async fn give_back(tx: &mut Tx, ringing: &mut Ringing, caller: &Caller, id: &str) -> Result<(), AppError> {
    match db::replicas::lock(tx, id).await? {
        Some(row) if row.wanted => unwant(tx, ringing, caller, &row).await,
        Some(_) | None => Ok(()),
    }
}

async fn unwant(tx: &mut Tx, ringing: &mut Ringing, caller: &Caller, row: &ReplicaRow) -> Result<(), AppError> {
    db::replicas::set_unwanted(tx, &row.id).await?;
    record(tx, caller, &row.account, &row.id, "delete_requested", &[("by", caller.token.clone())]).await?;
    let cause = Cause::request(caller.request);
    advance::replica::advance(tx, ringing, &row.id, cause).await?;
    // It was read for this one as long as it came.
    advance::volume_snapshot::advance(tx, ringing, &row.snapshot, cause).await
}
