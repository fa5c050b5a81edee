//! Backups that storage nodes make of volumes, and how far from them a new volume may be.
//!
//! Rule: the object is written by the storage node that has the volume, into a backup storage which that node reaches. Who
//! may read it: that node; each that reaches the same storage, where it is one place for all (`ifs`); and every other over the
//! first one's HTTP while it is heard.

use crate::app::advance::{self, Cause};
use crate::app::instances::record;
use crate::app::volumes::room::Need;
use crate::app::volumes::{entropy, lock_own};
use crate::app::{App, AppError, Caller, Ringing, once, recovery};
use crate::db::backups::work::{self, BackupRow, NewBackup};
use crate::db::volumes::VolumeRow;
use crate::db::{self, Tx};
use arame_schema::api::{BackUpVolume, Code, Refusal, VolumeBackup};
use arame_schema::jobs::sta::BACKUPS;
use arame_schema::model::BackupObjectId;
use arame_schema::model::backup::BackupState;
use arame_schema::model::volume::VolumeState;
use std::collections::BTreeMap;

/// Backs a volume up, also one in use: then it is as the disk of a machine whose power failed.
pub async fn back_up_volume(
    app: &App,
    caller: &Caller,
    volume: &str,
    request: BackUpVolume,
) -> Result<VolumeBackup, Refusal> {
    let id = crate::change!(app, "back up volume", Some(caller.request), |tx, ringing| {
        if let Some(made) = once::made(tx, caller, BackupObjectId::PREFIX).await? {
            return Ok(made);
        }
        let disk = lock_own(tx, caller, volume).await?;
        recovery::refuse_new(tx).await?;
        check_takable(&disk)?;
        let id = insert(app, tx, caller, &disk, &request).await?;
        once::keep(tx, caller, "backup_object.create", &id).await?;
        advance::backup::advance(tx, ringing, &id, Cause::request(caller.request)).await?;
        Ok(id)
    })?;
    let object = super::object(app, caller, &id).await?;
    let volume_id = object.source_volume_id.unwrap_or_else(|| volume.to_owned());
    Ok(VolumeBackup { volume_id, backup_object_id: id })
}

/// The row of a backup of this volume, which is locked and may be backed up.
async fn insert(
    app: &App,
    tx: &mut Tx,
    caller: &Caller,
    disk: &VolumeRow,
    request: &BackUpVolume,
) -> Result<String, AppError> {
    let storage = choose_storage(tx, disk, request).await?;
    let id = BackupObjectId::from_entropy(entropy()).to_string();
    let backup = NewBackup {
        id: &id,
        account: &disk.account,
        storage: &storage,
        volume: Some(&disk.id),
        copied: None,
        node: &disk.node,
        key: &format!("b{}", hex::encode(entropy())),
        size_bytes: disk.size_bytes,
        reader_sealed: Some(&reader(app)?),
        display_name: request.display_name.as_deref().unwrap_or_default(),
        description: request.description.as_deref().unwrap_or_default(),
    };
    work::insert(tx, &backup).await?;
    let by = ("by", caller.token.clone());
    record(tx, caller, &disk.account, &id, "create_requested", std::slice::from_ref(&by)).await?;
    record(tx, caller, &disk.account, &disk.id, "backup_requested", &[by, ("object", id.clone())]).await?;
    Ok(id)
}

/// What a reader shows, made for one object, sealed.
pub(in crate::app) fn reader(app: &App) -> Result<String, AppError> {
    let mut bits = [0; 32];
    crate::rehearsal::fill_bytes(&mut bits);
    Ok(app.vault().seal(&hex::encode(bits))?)
}

/// Backs a volume up as part of a larger change; the caller holds what is locked before volumes.
pub(in crate::app) async fn back_up_in(
    app: &App,
    tx: &mut Tx,
    ringing: &mut Ringing,
    caller: &Caller,
    (volume, request): (&str, &BackUpVolume),
) -> Result<String, AppError> {
    let disk = lock_own(tx, caller, volume).await?;
    check_takable(&disk)?;
    let id = insert(app, tx, caller, &disk, request).await?;
    advance::backup::advance(tx, ringing, &id, Cause::request(caller.request)).await?;
    Ok(id)
}

/// The same for one that is attached to an instance, as the original has it.
pub async fn back_up_attached(
    app: &App,
    caller: &Caller,
    (instance, volume): (&str, &str),
    request: BackUpVolume,
) -> Result<VolumeBackup, Refusal> {
    let attached = crate::app::volumes::of_instance(app, caller, instance).await?;
    if !attached.iter().any(|one| one.id == volume) {
        return Err(Refusal::unknown(volume));
    }
    back_up_volume(app, caller, volume, request).await
}

fn check_takable(disk: &VolumeRow) -> Result<(), Refusal> {
    let takable = [VolumeState::Available, VolumeState::Attaching, VolumeState::Attached, VolumeState::Detaching];
    if takable.iter().any(|state| state.as_str() == disk.state) {
        return Ok(());
    }
    let refusal = Refusal::new(Code::InvalidVolumeState).with("id", &disk.id);
    Err(refusal.with("state", &disk.state).with("needed", "available | attached"))
}

/// Backup storages that an agent says it reaches.
pub(in crate::app) fn told(agent: &db::agents::AgentRow) -> Vec<String> {
    let text = agent.endpoints.get(BACKUPS).map(String::as_str).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// The backup storage that a backup of this volume goes to.
pub(in crate::app) async fn choose_storage(
    tx: &mut Tx,
    disk: &VolumeRow,
    request: &BackUpVolume,
) -> Result<String, AppError> {
    let agent = match db::nodes::agent_of_storage(tx, &disk.node).await? {
        Some(agent) => db::agents::find(tx, &agent).await?,
        None => None,
    };
    let mut reached = Vec::new();
    for storage in agent.iter().flat_map(told) {
        if db::backups::lock_storage(tx, &storage).await?.is_some() {
            reached.push(storage);
        }
    }
    let asked = request.backup_storage_id.as_ref().map(ToString::to_string);
    if let Some(asked) = &asked {
        db::backups::lock_storage(tx, asked).await?.ok_or_else(|| Refusal::unknown(asked))?;
    }
    match (asked, reached.as_slice()) {
        (Some(asked), reached) if reached.contains(&asked) => Ok(asked),
        (None, [only]) => Ok(only.clone()),
        (None, [_, ..]) => Err(Refusal::new(Code::MissingParameter).with("name", "backup_storage_id").into()),
        (Some(_), _) | (None, []) => {
            let storages = if reached.is_empty() { "-".to_owned() } else { reached.join(", ") };
            let refusal = Refusal::new(Code::BackupStorageNotReached).with("id", &disk.id);
            Err(refusal.with("node", &disk.node).with("storages", storages).into())
        }
    }
}

/// The backup that a new volume is to begin with, if the caller may have it and it is whole. Not locked.
pub async fn source_of(tx: &mut Tx, caller: &Caller, id: &str) -> Result<BackupRow, AppError> {
    let seen = db::backups::lock_object(tx, id, caller.scope()).await?.ok_or_else(|| Refusal::unknown(id))?;
    let found = work::find(tx, id).await?;
    // One that was adopted and was written before that was told is of a volume, as far as anybody knows.
    let of_image = found.as_ref().is_some_and(|row| row.volume.is_none() && row.copied.is_some());
    let whole = found.filter(|row| row.state == BackupState::Available && !row.sha256.is_empty() && !of_image);
    // What somebody registered was measured by nobody, and an image's file is no volume's content.
    let state = match (seen.storage_node_id.is_none(), of_image) {
        (true, _) => "registered".to_owned(),
        (_, true) => "of an image".to_owned(),
        _ => seen.state,
    };
    let refusal = || Refusal::new(Code::InvalidBackupState).with("id", id).with("state", state);
    Ok(whole.ok_or_else(|| refusal().with("needed", "available"))?)
}

/// One place, whichever node looks.
async fn is_one_for_all(tx: &mut Tx, storage: &str) -> Result<bool, AppError> {
    Ok(db::backups::lock_storage(tx, storage).await?.is_some_and(|storage| storage.storage_type == "ifs"))
}

/// Whether a node may read a backup: others than its own by what is shown there, which nobody knows of an adopted one, or
/// because it lies in one place for all.
pub(super) async fn reads(tx: &mut Tx, node: &str, row: &BackupRow) -> Result<bool, AppError> {
    if row.reader_sealed.is_some() || node == row.node {
        return Ok(true);
    }
    let Some(agent) = db::nodes::agent_of_storage(tx, node).await? else { return Ok(false) };
    let agent = db::agents::find(tx, &agent).await?;
    let told = agent.iter().flat_map(told).any(|storage| storage == row.storage);
    Ok(told && is_one_for_all(tx, &row.storage).await?)
}

/// What a volume of so many MiB from this backup needs of its storage node.
pub async fn need(tx: &mut Tx, row: &BackupRow, mib: u64) -> Result<Need, AppError> {
    let one_for_all = is_one_for_all(tx, &row.storage).await?;
    let mut agents = BTreeMap::new();
    for node in db::nodes::storage_candidates(tx).await? {
        if let Some(agent) = db::agents::find(tx, &node.node_id).await? {
            agents.insert(node.id, agent);
        }
    }
    let holder = agents.get(&row.node);
    let serves = holder.is_some_and(|holder| holder.online && holder.endpoints.contains_key("http"));
    let reach = |id: &String, agent: &db::agents::AgentRow| {
        if *id == row.node || (one_for_all && told(agent).contains(&row.storage)) {
            Ok(row.storage.clone())
        } else if row.reader_sealed.is_none() {
            Err(format!("{} only", row.node))
        } else if serves {
            Ok(row.node.clone())
        } else {
            Err(format!("{} offline", row.node))
        }
    };
    let reach = agents.iter().map(|(id, agent)| (id.clone(), reach(id, agent))).collect();
    Ok(Need { reach: Some(reach), ..Need::of(mib) })
}

/// It is to go, and its snapshot with it; a copy that goes on ends. Nothing of one that is gone already.
pub async fn unwant(tx: &mut Tx, ringing: &mut Ringing, caller: &Caller, id: &str) -> Result<(), AppError> {
    let Some((_, row)) = work::lock(tx, id).await? else { return Ok(()) };
    let restoring = work::restoring(tx, id).await?;
    if !restoring.is_empty() {
        return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", restoring.join(", ")).into());
    }
    if !row.wanted {
        return Ok(());
    }
    work::set_unwanted(tx, id).await?;
    record(tx, caller, &row.account, id, "delete_requested", &[("by", caller.token.clone())]).await?;
    advance::backup::advance(tx, ringing, id, Cause::request(caller.request)).await
}
