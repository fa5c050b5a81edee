//! Copies of backups and of images in other backup storages, or at other storage nodes.
//!
//! Rule: a copy is a backup object of its own, written by a storage node that reaches where it is to lie; it reads what it
//! copies by itself or from the node that has it, and compares. What is copied stays until the copy is whole.

use super::taken::{self, reader, told};
use crate::app::advance::{self, Cause};
use crate::app::instances::record;
use crate::app::{App, AppError, Caller, Ringing, once, recovery};
use crate::db::backups::work::{self, Copied, NewBackup};
use crate::db::{self, Tx};
use arame_schema::api::{Code, CopyRequested, CopyTo, Refusal, StorageNode};
use arame_schema::model::BackupObjectId;
use arame_schema::model::backup::BackupState;

/// Where a copy comes to lie: the storage node that writes it, and the backup storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::app) struct Place {
    pub node: String,
    pub storage: String,
}

fn is_well(node: &StorageNode) -> bool {
    node.status == "online" && node.degraded.is_none()
}

/// Every place that a storage node which is heard and well reaches, in the nodes' order.
pub(in crate::app) async fn places(tx: &mut Tx) -> Result<Vec<Place>, AppError> {
    let mut places = Vec::new();
    for node in db::nodes::storage_candidates(tx).await?.into_iter().filter(is_well) {
        let Some(agent) = db::agents::find(tx, &node.node_id).await? else { continue };
        for storage in told(&agent) {
            if db::backups::lock_storage(tx, &storage).await?.is_some() {
                places.push(Place { node: node.id.clone(), storage });
            }
        }
    }
    Ok(places)
}

fn not_reached(id: &str, destination: &str, places: &[Place]) -> AppError {
    let mut storages: Vec<&str> = places.iter().map(|place| place.storage.as_str()).collect();
    storages.sort_unstable();
    storages.dedup();
    let storages = if storages.is_empty() { "-".to_owned() } else { storages.join(", ") };
    let refusal = Refusal::new(Code::BackupStorageNotReached).with("id", id);
    refusal.with("node", destination).with("storages", storages).into()
}

/// The place that a destination names; `but`: where the thing lies already.
pub(in crate::app) async fn choose(
    tx: &mut Tx,
    id: &str,
    destination: &str,
    but: Option<&Place>,
) -> Result<Place, AppError> {
    let storage = db::backups::lock_storage(tx, destination).await?;
    if storage.is_none() && !destination.starts_with("sn-") {
        return Err(Refusal::unknown(destination).into());
    }
    let one_for_all = storage.as_ref().is_some_and(|storage| storage.storage_type == "ifs");
    let places = places(tx).await?;
    let fits = |place: &&Place| match storage {
        Some(_) => place.storage == destination,
        None => place.node == destination,
    };
    let lies_there =
        |place: &&Place| but.is_some_and(|but| *place == but || (one_for_all && place.storage == but.storage));
    let found: Vec<&Place> = places.iter().filter(fits).collect();
    match found.iter().find(|place| !lies_there(place)) {
        Some(place) => Ok((*place).clone()),
        None if found.is_empty() => Err(not_reached(id, destination, &places)),
        None => {
            let refusal = Refusal::new(Code::InvalidParameter).with("name", "destination").with("value", destination);
            Err(refusal.with("expected", "another backup storage or storage node than it is in").into())
        }
    }
}

/// A copy that is to be made.
#[derive(Debug, Clone)]
pub(in crate::app) struct NewCopy<'a> {
    pub account: &'a str,
    pub place: &'a Place,
    pub volume: Option<&'a str>,
    pub copied: &'a Copied,
    pub size_bytes: u64,
    pub display_name: &'a str,
    pub description: &'a str,
}

/// Its row, and its first job where there is something to copy yet.
pub(in crate::app) async fn insert(
    app: &App,
    tx: &mut Tx,
    ringing: &mut Ringing,
    caller: &Caller,
    copy: &NewCopy<'_>,
) -> Result<String, AppError> {
    let id = BackupObjectId::from_entropy(once::entropy()).to_string();
    let backup = NewBackup {
        id: &id,
        account: copy.account,
        storage: &copy.place.storage,
        volume: copy.volume,
        copied: Some(copy.copied),
        node: &copy.place.node,
        key: &format!("b{}", hex::encode(once::entropy())),
        size_bytes: copy.size_bytes,
        reader_sealed: Some(&reader(app)?),
        display_name: copy.display_name,
        description: copy.description,
    };
    work::insert(tx, &backup).await?;
    let values = [("by", caller.token.clone()), ("of", copy.copied.id().to_owned())];
    record(tx, caller, copy.account, &id, "copy_requested", &values).await?;
    advance::backup::advance(tx, ringing, &id, Cause::request(caller.request)).await?;
    Ok(id)
}

async fn answer(app: &App, caller: &Caller, id: String) -> Result<CopyRequested, Refusal> {
    let object = super::object(app, caller, &id).await?;
    Ok(CopyRequested { uuid: id, created_at: object.created_at })
}

pub async fn copy_object(app: &App, caller: &Caller, id: &str, request: CopyTo) -> Result<CopyRequested, Refusal> {
    let made = crate::change!(app, "copy backup", Some(caller.request), |tx, ringing| {
        if let Some(made) = once::made(tx, caller, BackupObjectId::PREFIX).await? {
            return Ok(made);
        }
        recovery::refuse_new(tx).await?;
        let seen = db::backups::lock_object(tx, id, caller.scope()).await?.ok_or_else(|| Refusal::unknown(id))?;
        let from =
            work::find(tx, id).await?.filter(|row| row.state == BackupState::Available && !row.sha256.is_empty());
        let Some(from) = from else {
            // What somebody registered was measured by nobody.
            let state = if seen.storage_node_id.is_none() { "registered".to_owned() } else { seen.state };
            let refusal = Refusal::new(Code::InvalidBackupState).with("id", id).with("state", state);
            return Err(refusal.with("needed", "available").into());
        };
        let lies = Place { node: from.node.clone(), storage: from.storage.clone() };
        let place = choose(tx, id, &request.destination, Some(&lies)).await?;
        if !taken::reads(tx, &place.node, &from).await? {
            return Err(not_reached(id, &request.destination, std::slice::from_ref(&lies)));
        }
        let copy = NewCopy {
            account: &from.account,
            place: &place,
            volume: from.volume.as_deref(),
            copied: &Copied::Object(from.id.clone()),
            size_bytes: from.size_bytes,
            display_name: request.display_name.as_deref().or(seen.display_name.as_deref()).unwrap_or_default(),
            description: request.description.as_deref().unwrap_or(&seen.description),
        };
        let made = insert(app, tx, ringing, caller, &copy).await?;
        once::keep(tx, caller, "backup_object.copy", &made).await?;
        Ok(made)
    })?;
    answer(app, caller, made).await
}

/// Writes an image of the caller's own into a backup storage. (Every storage node has each image by itself.)
pub async fn copy_image(app: &App, caller: &Caller, id: &str, request: CopyTo) -> Result<CopyRequested, Refusal> {
    let seen = crate::app::images::get(app, caller, id).await?;
    let made = crate::change!(app, "copy image", Some(caller.request), |tx, ringing| {
        if let Some(made) = once::made(tx, caller, BackupObjectId::PREFIX).await? {
            return Ok(made);
        }
        recovery::refuse_new(tx).await?;
        let row = crate::app::images::lock_own(tx, caller, id).await?;
        if seen.state != "available" {
            let refusal = Refusal::new(Code::InvalidImageState).with("id", id).with("state", &seen.state);
            return Err(refusal.into());
        }
        let place = choose(tx, id, &request.destination, None).await?;
        let copy = NewCopy {
            account: &row.account,
            place: &place,
            volume: None,
            copied: &Copied::Image(row.id.clone()),
            size_bytes: row.size_bytes,
            display_name: request.display_name.as_deref().or(seen.display_name.as_deref()).unwrap_or_default(),
            description: request.description.as_deref().unwrap_or(&seen.description),
        };
        let made = insert(app, tx, ringing, caller, &copy).await?;
        once::keep(tx, caller, "image.copy", &made).await?;
        Ok(made)
    })?;
    answer(app, caller, made).await
}
