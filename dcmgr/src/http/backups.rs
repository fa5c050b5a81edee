//! `/backup_storages` and `/backup_objects`.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::fields::Fields;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use arame_schema::api::{
    BackupObject, BackupStorage, CreateBackupObject, Page, Refusal, SetBackupStorage, UpdateBackupObject,
};
use arame_schema::model::{BackupObjectId, BackupStorageId};

const STORAGE_ID: &str = "bkst-…";

const OBJECT_ID: &str = "bo-…";

/// Longest place: the columns' width.
const PLACE_BYTES_MAX: usize = 1000;

/// Longest checksum: SHA-512 in hex.
const CHECKSUM_BYTES_MAX: usize = 128;

/// List backup storages.
#[utoipa::path(get, path = "/backup_storages", tag = "backups",
    params(ListQuery, ("storage_type" = Option<String>, Query, description = "Only of this type.")),
    responses((status = 200, body = Page<BackupStorage>)))]
pub async fn storages(mut asked: Asked) -> Answer<[Page<BackupStorage>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let kind = asked.fields.text_within("storage_type", 16)?.filter(|text| !text.is_empty());
    let page = app::backups::storages(asked.app(), &asked.caller, filter, kind.as_deref()).await?;
    asked.page(page)
}

/// Show a backup storage.
#[utoipa::path(get, path = "/backup_storages/{id}", tag = "backups", responses((status = 200, body = BackupStorage)))]
pub async fn storage(asked: Asked) -> Answer<BackupStorage> {
    let id: BackupStorageId = asked.id(STORAGE_ID)?;
    let view = app::backups::storage(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

fn set_storage(fields: &mut Fields) -> Result<SetBackupStorage, Refusal> {
    let id = fields.parsed("uuid", STORAGE_ID)?;
    Ok(SetBackupStorage {
        id: fields.parsed("id", STORAGE_ID)?.or(id),
        storage_type: fields.text_within("storage_type", 16)?.filter(|text| !text.is_empty()),
        base_uri: fields.text_within("base_uri", PLACE_BYTES_MAX)?,
        description: fields.text_within("description", NAME_BYTES_MAX)?,
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
    })
}

/// Register a backup storage.
#[utoipa::path(post, path = "/backup_storages", tag = "backups", request_body = SetBackupStorage,
    responses((status = 200, body = BackupStorage)))]
pub async fn create_storage(mut asked: Asked) -> Answer<BackupStorage> {
    let request = set_storage(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let view = app::backups::create_storage(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Change a backup storage. What is absent stays.
#[utoipa::path(put, path = "/backup_storages/{id}", tag = "backups", request_body = SetBackupStorage,
    responses((status = 200, body = Vec<String>)))]
pub async fn update_storage(mut asked: Asked) -> Answer<Vec<String>> {
    let id: BackupStorageId = asked.id(STORAGE_ID)?;
    let request = set_storage(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let changed = app::backups::update_storage(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(changed)
}

/// Delete a backup storage in which nothing is.
#[utoipa::path(delete, path = "/backup_storages/{id}", tag = "backups", responses((status = 200, body = Vec<String>)))]
pub async fn delete_storage(asked: Asked) -> Answer<Vec<String>> {
    let id: BackupStorageId = asked.id(STORAGE_ID)?;
    let gone = app::backups::delete_storage(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(gone)
}

/// List backup objects.
#[utoipa::path(get, path = "/backup_objects", tag = "backups",
    params(ListQuery, ("backup_storage_id" = Option<String>, Query, description = "Only in this storage.")),
    responses((status = 200, body = Page<BackupObject>)))]
pub async fn objects(mut asked: Asked) -> Answer<[Page<BackupObject>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let storage: Option<BackupStorageId> = asked.fields.parsed("backup_storage_id", STORAGE_ID)?;
    let storage = storage.as_ref().map(BackupStorageId::as_str);
    let page = app::backups::objects(asked.app(), &asked.caller, filter, storage).await?;
    asked.page(page)
}

/// Show a backup object.
#[utoipa::path(get, path = "/backup_objects/{id}", tag = "backups", responses((status = 200, body = BackupObject)))]
pub async fn object(asked: Asked) -> Answer<BackupObject> {
    let id: BackupObjectId = asked.id(OBJECT_ID)?;
    let view = app::backups::object(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Register what is in a backup storage already.
#[utoipa::path(post, path = "/backup_objects", tag = "backups", request_body = CreateBackupObject,
    responses((status = 200, body = BackupObject)))]
pub async fn create_object(mut asked: Asked) -> Answer<BackupObject> {
    let fields = &mut asked.fields;
    let storage = fields.parsed("backup_storage_id", STORAGE_ID)?;
    let bytes = 0..=i64::MAX as u64;
    let state = fields.text_within("state", 16)?;
    if let Some(word) = state.as_deref().filter(|word| !["", "available"].contains(word)) {
        return Err(fields.invalid("state", super::fields::short(word), "available").into());
    }
    let request = CreateBackupObject {
        id: fields.parsed("id", OBJECT_ID)?,
        backup_storage_id: fields.needed("backup_storage_id", storage)?,
        object_key: fields.text_within("object_key", PLACE_BYTES_MAX)?.unwrap_or_default(),
        size: fields.number("size", bytes.clone())?.unwrap_or_default(),
        allocation_size: fields.number("allocation_size", bytes)?.unwrap_or_default(),
        checksum: checksum(fields)?,
        description: fields.text_within("description", NAME_BYTES_MAX)?.unwrap_or_default(),
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
    };
    asked.fields.clone().finish()?;
    let view = app::backups::create_object(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

fn checksum(fields: &mut Fields) -> Result<String, Refusal> {
    let text = fields.text_within("checksum", CHECKSUM_BYTES_MAX)?.unwrap_or_default();
    if text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err(fields.invalid("checksum", super::fields::short(&text), "[0-9a-f]*"))
}

/// Change a backup object's words. What is absent stays.
#[utoipa::path(put, path = "/backup_objects/{id}", tag = "backups", request_body = UpdateBackupObject,
    responses((status = 200, body = BackupObject)))]
pub async fn update_object(mut asked: Asked) -> Answer<BackupObject> {
    let id: BackupObjectId = asked.id(OBJECT_ID)?;
    let request = UpdateBackupObject {
        description: asked.fields.text_within("description", NAME_BYTES_MAX)?,
        display_name: asked.fields.text_within("display_name", NAME_BYTES_MAX)?,
    };
    asked.fields.clone().finish()?;
    let view = app::backups::update_object(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(view)
}

/// Delete the record of a backup. Its bytes stay where they are.
#[utoipa::path(delete, path = "/backup_objects/{id}", tag = "backups", responses((status = 200, body = Vec<String>)))]
pub async fn delete_object(asked: Asked) -> Answer<Vec<String>> {
    let id: BackupObjectId = asked.id(OBJECT_ID)?;
    let gone = app::backups::delete_object(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(gone)
}
