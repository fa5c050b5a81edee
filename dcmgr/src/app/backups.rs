//! Backup storages, for operators, and what is in them.
//!
//! Rule: what a storage node wrote goes by its plan, and its bytes with it. What somebody registered is a record: who
//! registers it says where its bytes are, and deleting the record leaves them there.

pub mod copied;
pub mod taken;

pub use copied::{copy_image, copy_object};
pub use taken::{back_up_attached, back_up_volume};

use super::{App, AppError, Caller, once};
use crate::db;
use arame_schema::api::backup::BACKUP_STORAGE_TYPES;
use arame_schema::api::{
    BackupObject, BackupStorage, Code, CreateBackupObject, ListFilter, Page, Refusal, SetBackupStorage,
    StorageOfBackup, Timestamp, UpdateBackupObject,
};
use arame_schema::model::backup::BackupState;
use arame_schema::model::{BackupObjectId, BackupStorageId};

pub async fn storages(
    app: &App,
    _caller: &Caller,
    filter: ListFilter,
    storage_type: Option<&str>,
) -> Result<Page<BackupStorage>, Refusal> {
    let found = db::backups::storages(app.db()).await.map_err(AppError::from)?;
    let wanted = |one: &BackupStorage| storage_type.is_none_or(|kind| one.storage_type == kind);
    super::page(found.into_iter().filter(wanted).collect(), &filter)
}

pub async fn storage(app: &App, _caller: &Caller, id: &str) -> Result<BackupStorage, Refusal> {
    let found = db::backups::storages(app.db()).await.map_err(AppError::from)?;
    found.into_iter().find(|one| one.id == id).ok_or_else(|| Refusal::unknown(id))
}

fn check_type(kind: &str) -> Result<(), Refusal> {
    if BACKUP_STORAGE_TYPES.contains(&kind) {
        return Ok(());
    }
    let value: String = kind.chars().take(80).collect();
    let refusal = Refusal::new(Code::InvalidParameter).with("name", "storage_type").with("value", value);
    Err(refusal.with("expected", BACKUP_STORAGE_TYPES.join(" | ")))
}

pub async fn create_storage(app: &App, caller: &Caller, request: SetBackupStorage) -> Result<BackupStorage, Refusal> {
    let missing = || Refusal::new(Code::MissingParameter).with("name", "storage_type");
    let storage_type = request.storage_type.ok_or_else(missing)?;
    check_type(&storage_type)?;
    let id = request.id.clone().unwrap_or_else(|| BackupStorageId::from_entropy(once::entropy())).to_string();
    let now = Timestamp(time::OffsetDateTime::UNIX_EPOCH);
    let storage = BackupStorage {
        uuid: id.clone(),
        id: id.clone(),
        display_name: request.display_name,
        storage_type,
        description: request.description.unwrap_or_default(),
        base_uri: request.base_uri.unwrap_or_default(),
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    let made = crate::change!(app, "create backup storage", Some(caller.request), |tx, _ringing| {
        if let Some(made) = once::made(tx, caller, BackupStorageId::PREFIX).await? {
            return Ok(made);
        }
        db::backups::insert_storage(tx, &storage).await?;
        once::keep(tx, caller, "backup_storage.create", &id).await?;
        Ok(id.clone())
    })
    .map_err(|error| once::taken(error, &id))?;
    self::storage(app, caller, &made).await
}

pub async fn update_storage(
    app: &App,
    caller: &Caller,
    id: &str,
    request: SetBackupStorage,
) -> Result<Vec<String>, Refusal> {
    if let Some(kind) = &request.storage_type {
        check_type(kind)?;
    }
    crate::change!(app, "update backup storage", Some(caller.request), |tx, _ringing| {
        let mut storage = db::backups::lock_storage(tx, id).await?.ok_or_else(|| Refusal::unknown(id))?;
        storage.display_name = request.display_name.clone().or(storage.display_name);
        storage.storage_type = request.storage_type.clone().unwrap_or(storage.storage_type);
        storage.description = request.description.clone().unwrap_or(storage.description);
        storage.base_uri = request.base_uri.clone().unwrap_or(storage.base_uri);
        db::backups::update_storage(tx, &storage).await?;
        Ok(db::events::audit(tx, &caller.who(), "backup_storage.update", id).await?)
    })?;
    Ok(vec![id.to_owned()])
}

/// Ends a storage in which nothing is.
pub async fn delete_storage(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete backup storage", Some(caller.request), |tx, _ringing| {
        db::backups::lock_storage(tx, id).await?.ok_or_else(|| Refusal::unknown(id))?;
        let held = db::backups::in_storage(tx, id).await?;
        if !held.is_empty() {
            return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", held.join(", ")).into());
        }
        db::backups::delete_storage(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "backup_storage.delete", id).await?)
    })?;
    Ok(vec![id.to_owned()])
}

pub async fn objects(
    app: &App,
    caller: &Caller,
    filter: ListFilter,
    storage: Option<&str>,
) -> Result<Page<BackupObject>, Refusal> {
    let found = db::backups::objects(app.db(), caller.scope()).await.map_err(AppError::from)?;
    let (alive, state) = match filter.state.as_deref() {
        None | Some("alive") => (true, None),
        Some("alive_with_deleted") => (false, None),
        Some(word) if BackupState::parse(word).is_some() => (false, Some(word)),
        Some(word) => {
            let expected = BackupState::ALL.map(BackupState::as_str).join(" | ");
            let refusal = Refusal::new(Code::InvalidParameter).with("name", "state").with("value", word);
            return Err(refusal.with("expected", format!("{expected} | alive | alive_with_deleted")));
        }
    };
    let wanted = |one: &BackupObject| {
        (!alive || one.deleted_at.is_none())
            && state.is_none_or(|state| one.state == state)
            && storage.is_none_or(|storage| one.backup_storage_id == storage)
    };
    super::page(found.into_iter().filter(wanted).collect(), &filter)
}

pub async fn object(app: &App, caller: &Caller, id: &str) -> Result<BackupObject, Refusal> {
    let found = db::backups::objects(app.db(), caller.scope()).await.map_err(AppError::from)?;
    found.into_iter().find(|one| one.id == id).ok_or_else(|| Refusal::unknown(id))
}

pub async fn create_object(app: &App, caller: &Caller, request: CreateBackupObject) -> Result<BackupObject, Refusal> {
    once::check_choice(caller, request.id.as_ref())?;
    let account = caller.owner()?.to_owned();
    let id = request.id.clone().unwrap_or_else(|| BackupObjectId::from_entropy(once::entropy())).to_string();
    let storage = request.backup_storage_id.to_string();
    let now = Timestamp(time::OffsetDateTime::UNIX_EPOCH);
    let object = BackupObject {
        uuid: id.clone(),
        id: id.clone(),
        account_id: account,
        state: "available".into(),
        size: request.size,
        allocation_size: request.allocation_size,
        backup_storage_id: storage.clone(),
        object_key: request.object_key,
        checksum: request.checksum,
        progress: 100.0,
        backup_storage: StorageOfBackup { id: storage.clone() },
        description: request.description,
        display_name: request.display_name,
        service_type: "std".into(),
        created_at: now,
        updated_at: now,
        deleted_at: None,
        labels: Vec::new(),
        source_volume_id: None,
        copied_from: None,
        storage_node_id: None,
        generation: 1,
        failure: None,
        schedule_id: None,
        kept: false,
    };
    let made = crate::change!(app, "create backup object", Some(caller.request), |tx, _ringing| {
        if let Some(made) = once::made(tx, caller, BackupObjectId::PREFIX).await? {
            return Ok(made);
        }
        db::backups::lock_storage(tx, &storage).await?.ok_or_else(|| Refusal::unknown(&storage))?;
        db::backups::insert_object(tx, &object).await?;
        once::keep(tx, caller, "backup_object.create", &id).await?;
        Ok(id.clone())
    })
    .map_err(|error| once::taken(error, &id))?;
    self::object(app, caller, &made).await
}

pub async fn update_object(
    app: &App,
    caller: &Caller,
    id: &str,
    request: UpdateBackupObject,
) -> Result<BackupObject, Refusal> {
    crate::change!(app, "update backup object", Some(caller.request), |tx, _ringing| {
        db::backups::lock_object(tx, id, caller.scope()).await?.ok_or_else(|| Refusal::unknown(id))?;
        db::backups::update_object(tx, id, &request).await?;
        Ok(db::events::audit(tx, &caller.who(), "backup_object.update", id).await?)
    })?;
    object(app, caller, id).await
}

pub async fn delete_object(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete backup object", Some(caller.request), |tx, ringing| {
        let mine = |account: &str| caller.scope().is_none_or(|scope| scope == account);
        if let Some(row) = db::backups::work::find(tx, id).await? {
            if row.deleted || !mine(&row.account) {
                return Err(Refusal::unknown(id).into());
            }
            db::events::audit(tx, &caller.who(), "backup_object.delete", id).await?;
            return taken::unwant(tx, ringing, caller, id).await;
        }
        let object = db::backups::lock_object(tx, id, caller.scope()).await?.ok_or_else(|| Refusal::unknown(id))?;
        if object.deleted_at.is_some() {
            return Err(Refusal::unknown(id).into());
        }
        db::backups::delete_object(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "backup_object.delete", id).await?)
    })?;
    Ok(vec![id.to_owned()])
}
