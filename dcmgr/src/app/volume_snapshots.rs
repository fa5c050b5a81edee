//! What tenants do with snapshots of volumes: take, list, delete, and roll a volume back to one.
//!
//! Rule: a rollback is an operation with an id, not a level: it happens at most once for a request (DESIGN 3.8). Until its
//! outcome is known the volume is `reverting`, and nobody may attach it.

use super::advance::{self, Cause};
use super::instances::record;
use super::volumes::{entropy, lock_own};
use super::{App, AppError, Caller, Ringing, lists};
use crate::db::volume_snapshots::{Narrowed, NewSnapshot, SnapshotRow};
use crate::db::volumes::VolumeRow;
use crate::db::{self, Tx};
use arame_schema::api::{
    Code, CreateVolumeSnapshot, ListFilter, Page, Refusal, RollBackVolume, UpdateVolumeSnapshot, Volume, VolumeSnapshot,
};
use arame_schema::limits::VOLUME_SNAPSHOTS_MAX;
use arame_schema::model::VolumeSnapshotId;
use arame_schema::model::volume::VolumeState;
use arame_schema::model::volume_snapshot::VolumeSnapshotState;

pub async fn list(
    app: &App,
    caller: &Caller,
    filter: ListFilter,
    volume: Option<&str>,
) -> Result<Page<VolumeSnapshot>, Refusal> {
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
    lists::check_after(app, caller, &filter, db::Long::VolumeSnapshots).await?;
    let to = Narrowed { account: caller.scope(), volume, alive, state };
    let found = db::volume_snapshots::list(app.db(), to, &filter).await;
    let (total, results) = found.map_err(AppError::from)?;
    Ok(Page { total, start: filter.start, limit: filter.limit, results })
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<VolumeSnapshot, Refusal> {
    let found = db::volume_snapshots::get(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}

/// Takes a snapshot. Of a volume in use it is crash-consistent: as the disk of a machine whose power failed.
pub async fn create(app: &App, caller: &Caller, request: CreateVolumeSnapshot) -> Result<VolumeSnapshot, Refusal> {
    let id = crate::change!(app, "create snapshot", Some(caller.request), |tx, ringing| {
        lock_own(tx, caller, request.volume_id.as_str()).await?;
        super::recovery::refuse_new(tx).await?;
        if let Some(key) = &caller.idempotency_key
            && let Some(made) = db::access::made_with_key(tx, &caller.token, key).await?
        {
            return Ok(made);
        }
        let id = take_in(tx, ringing, caller, &request).await?;
        db::events::audit(tx, &caller.who(), "volume_snapshot.create", &id).await?;
        if let Some(key) = &caller.idempotency_key {
            db::access::set_idempotent(tx, &caller.token, key, &id).await?;
        }
        Ok(id)
    })?;
    get(app, caller, &id).await
}

/// Takes a snapshot as part of a larger change.
pub(super) async fn take_in(
    tx: &mut Tx,
    ringing: &mut Ringing,
    caller: &Caller,
    request: &CreateVolumeSnapshot,
) -> Result<String, AppError> {
    let disk = lock_own(tx, caller, request.volume_id.as_str()).await?;
    check_takable(tx, &disk).await?;
    let id = VolumeSnapshotId::from_entropy(entropy()).to_string();
    let key = format!("s{}", hex::encode(entropy()));
    let snapshot = NewSnapshot {
        id: &id,
        account: &disk.account,
        volume: &disk.id,
        node: &disk.node,
        key: &key,
        size_bytes: disk.size_bytes,
        display_name: request.display_name.as_deref().unwrap_or_default(),
    };
    db::volume_snapshots::insert(tx, &snapshot).await?;
    let by = ("by", caller.token.clone());
    record(tx, caller, &disk.account, &id, "create_requested", std::slice::from_ref(&by)).await?;
    let values = [by, ("snapshot", id.clone())];
    record(tx, caller, &disk.account, &disk.id, "snapshot_requested", &values).await?;
    advance::volume_snapshot::advance(tx, ringing, &id, Cause::request(caller.request)).await?;
    Ok(id)
}

async fn check_takable(tx: &mut Tx, disk: &VolumeRow) -> Result<(), AppError> {
    let takable = [VolumeState::Available, VolumeState::Attaching, VolumeState::Attached, VolumeState::Detaching];
    if !takable.iter().any(|state| state.as_str() == disk.state) {
        let refusal = Refusal::new(Code::InvalidVolumeState).with("id", &disk.id);
        return Err(refusal.with("state", &disk.state).with("needed", "available | attached").into());
    }
    let used = db::volume_snapshots::of_volume(tx, &disk.id).await?.len();
    if used >= VOLUME_SNAPSHOTS_MAX {
        let refusal = Refusal::new(Code::ExceedQuota).with("quota", "snapshots of one volume");
        return Err(refusal.with("limit", VOLUME_SNAPSHOTS_MAX).with("used", used).into());
    }
    Ok(())
}

/// The volume's and the snapshot's rows, if the caller may change them.
async fn lock_both(tx: &mut Tx, caller: &Caller, id: &str) -> Result<(VolumeRow, SnapshotRow), AppError> {
    let found = db::volume_snapshots::lock(tx, id).await?;
    let mine = |row: &SnapshotRow| !row.deleted && caller.scope().is_none_or(|account| account == row.account);
    Ok(found.filter(|(_, row)| mine(row)).ok_or_else(|| Refusal::unknown(id))?)
}

/// The snapshot that a new volume is to begin with. Its volume is locked: it is not deleted before the new one has its row.
pub(super) async fn source_of(tx: &mut Tx, caller: &Caller, id: &str) -> Result<SnapshotRow, AppError> {
    let (_, row) = lock_both(tx, caller, id).await?;
    if row.wanted && row.state == VolumeSnapshotState::Available {
        return Ok(row);
    }
    let refusal = Refusal::new(Code::InvalidSnapshotState).with("id", id);
    Err(refusal.with("state", row.state).with("needed", "available").into())
}

pub async fn update(
    app: &App,
    caller: &Caller,
    id: &str,
    request: UpdateVolumeSnapshot,
) -> Result<VolumeSnapshot, Refusal> {
    crate::change!(app, "update snapshot", Some(caller.request), |tx, _ringing| {
        lock_both(tx, caller, id).await?;
        db::volume_snapshots::update(tx, id, &request).await?;
        Ok(db::events::audit(tx, &caller.who(), "volume_snapshot.update", id).await?)
    })?;
    get(app, caller, id).await
}

/// Deletes a snapshot; its volume and the other snapshots stay as they are.
pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete snapshot", Some(caller.request), |tx, ringing| {
        let (disk, row) = lock_both(tx, caller, id).await?;
        if disk.rollback.is_some_and(|open| open.snapshot == id) {
            return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", disk.id).into());
        }
        db::events::audit(tx, &caller.who(), "volume_snapshot.delete", id).await?;
        if row.wanted { unwant(tx, ringing, caller, &row).await } else { Ok(()) }
    })?;
    Ok(vec![id.to_owned()])
}

/// It is to go. The caller holds the volume's row.
pub(super) async fn unwant(
    tx: &mut Tx,
    ringing: &mut Ringing,
    caller: &Caller,
    row: &SnapshotRow,
) -> Result<(), AppError> {
    db::volume_snapshots::set_unwanted(tx, &row.id).await?;
    record(tx, caller, &row.account, &row.id, "delete_requested", &[("by", caller.token.clone())]).await?;
    advance::volume_snapshot::advance(tx, ringing, &row.id, Cause::request(caller.request)).await
}

/// Puts a volume back to one of its snapshots, once: what was written since is lost. Asked again for the same snapshot
/// while it is under way, or with the same idempotency key, it is the same rollback.
pub async fn roll_back(app: &App, caller: &Caller, id: &str, request: RollBackVolume) -> Result<Volume, Refusal> {
    crate::change!(app, "roll back volume", Some(caller.request), |tx, ringing| {
        let disk = lock_own(tx, caller, id).await?;
        super::recovery::refuse_new(tx).await?;
        let target = request.snapshot_id.as_str();
        let again = match &caller.idempotency_key {
            Some(key) => db::access::made_with_key(tx, &caller.token, key).await?.is_some(),
            None => false,
        };
        if again || disk.rollback.as_ref().is_some_and(|open| open.snapshot == target) {
            return Ok(());
        }
        let newer = check_revertible(tx, &disk, &request).await?;
        db::events::audit(tx, &caller.who(), "volume.rollback", id).await?;
        if let Some(key) = &caller.idempotency_key {
            db::access::set_idempotent(tx, &caller.token, key, id).await?;
        }
        db::rollbacks::open(tx, id, caller.request, target).await?;
        let values = [("by", caller.token.clone()), ("snapshot", target.to_owned())];
        record(tx, caller, &disk.account, id, "rollback_requested", &values).await?;
        for snapshot in &newer {
            unwant(tx, ringing, caller, snapshot).await?;
        }
        advance::volume::advance(tx, ringing, id, Cause::request(caller.request)).await
    })?;
    super::volumes::get(app, caller, id).await
}

/// A store that shares blocks keeps a snapshot for the volumes made of it, and no rollback goes past one that is there.
async fn check_unused(tx: &mut Tx, disk: &VolumeRow, to: &SnapshotRow) -> Result<(), AppError> {
    let nodes = db::nodes::storage_candidates(tx).await?;
    let copies = nodes.iter().any(|node| node.id == disk.node && node.storage_type == "file");
    if copies {
        return Ok(());
    }
    let volumes = db::volume_snapshots::made_of_newer(tx, &disk.id, to.seq).await?;
    if volumes.is_empty() {
        return Ok(());
    }
    let refusal = Refusal::new(Code::NewerSnapshotsUsed).with("id", &disk.id).with("snapshot", &to.id);
    Err(refusal.with("volumes", volumes.join(", ")).into())
}

/// Whether the volume may be rolled back now. Answers the snapshots that have to go first.
async fn check_revertible(
    tx: &mut Tx,
    disk: &VolumeRow,
    request: &RollBackVolume,
) -> Result<Vec<SnapshotRow>, AppError> {
    let target = request.snapshot_id.as_str();
    if let Some(open) = db::volumes::open_attachment(tx, &disk.id).await? {
        return Err(Refusal::new(Code::VolumeInUse).with("id", &disk.id).with("instance", open.instance).into());
    }
    if disk.state != VolumeState::Available.as_str() {
        let refusal = Refusal::new(Code::InvalidVolumeState).with("id", &disk.id);
        return Err(refusal.with("state", &disk.state).with("needed", "available").into());
    }
    let snapshots = db::volume_snapshots::of_volume(tx, &disk.id).await?;
    let wanted = snapshots.iter().find(|one| one.id == target).ok_or_else(|| Refusal::unknown(target))?;
    if wanted.state != VolumeSnapshotState::Available {
        let refusal = Refusal::new(Code::InvalidSnapshotState).with("id", target);
        return Err(refusal.with("state", wanted.state).with("needed", "available").into());
    }
    check_unused(tx, disk, wanted).await?;
    if let Some(replica) = db::replicas::coming_of_newer(tx, &disk.id, wanted.seq).await? {
        return Err(Refusal::new(Code::ResourceInUse).with("id", &disk.id).with("by", replica).into());
    }
    let stays = |one: &&SnapshotRow| {
        matches!(one.state, VolumeSnapshotState::Creating | VolumeSnapshotState::Available)
            && one.wanted
            && one.seq > wanted.seq
    };
    let newer: Vec<SnapshotRow> = snapshots.iter().filter(stays).cloned().collect();
    if !newer.is_empty() && !request.destroy_newer {
        let names: Vec<&str> = newer.iter().map(|one| one.id.as_str()).collect();
        let refusal = Refusal::new(Code::NewerSnapshots).with("id", &disk.id).with("snapshot", target);
        return Err(refusal.with("newer", names.join(", ")).into());
    }
    Ok(newer)
}
