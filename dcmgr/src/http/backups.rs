//! `/backup_storages` and `/backup_objects`, the backups of volumes and machines, and copies of backups and images.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::fields::Fields;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use arame_schema::api::{
    BackUpInstance, BackUpVolume, BackupObject, BackupStorage, CopyRequested, CopyTo, CreateBackupObject,
    InstanceBackup, Page, Refusal, SetBackupStorage, UpdateBackupObject, VolumeBackup,
};
use arame_schema::model::{BackupObjectId, BackupStorageId, ImageId, InstanceId, StorageNodeId, VolumeId};

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

/// Change a backup object's words, or mark it so that no schedule deletes it. What is absent stays.
#[utoipa::path(put, path = "/backup_objects/{id}", tag = "backups", request_body = UpdateBackupObject,
    responses((status = 200, body = BackupObject)))]
pub async fn update_object(mut asked: Asked) -> Answer<BackupObject> {
    let id: BackupObjectId = asked.id(OBJECT_ID)?;
    let request = UpdateBackupObject {
        description: asked.fields.text_within("description", NAME_BYTES_MAX)?,
        display_name: asked.fields.text_within("display_name", NAME_BYTES_MAX)?,
        kept: asked.fields.flag("kept")?,
    };
    asked.fields.clone().finish()?;
    let view = app::backups::update_object(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(view)
}

/// Delete a backup: its bytes go, and a copy that goes on ends. Of one that somebody registered only the record goes.
#[utoipa::path(delete, path = "/backup_objects/{id}", tag = "backups", responses((status = 200, body = Vec<String>)))]
pub async fn delete_object(asked: Asked) -> Answer<Vec<String>> {
    let id: BackupObjectId = asked.id(OBJECT_ID)?;
    let gone = app::backups::delete_object(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(gone)
}

fn back_up(fields: &mut Fields) -> Result<BackUpVolume, Refusal> {
    Ok(BackUpVolume {
        backup_storage_id: fields.parsed("backup_storage_id", STORAGE_ID)?,
        description: fields.text_within("description", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
    })
}

/// Back a volume up. Of one in use it is crash-consistent: as the disk of a machine whose power failed.
#[utoipa::path(put, path = "/volumes/{id}/backup", tag = "volumes", request_body = BackUpVolume,
    responses((status = 200, body = VolumeBackup)))]
pub async fn back_up_volume(mut asked: Asked) -> Answer<VolumeBackup> {
    let id: VolumeId = asked.id("vol-…")?;
    let request = back_up(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let made = app::backups::back_up_volume(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(made)
}

/// Back a volume up that is attached to an instance.
#[utoipa::path(put, path = "/instances/{id}/volumes/{volume}/backup", tag = "instances",
    params(("volume" = String, Path)), request_body = BackUpVolume, responses((status = 200, body = VolumeBackup)))]
pub async fn back_up_attached(mut asked: Asked) -> Answer<VolumeBackup> {
    let id: InstanceId = asked.id("i-…")?;
    let volume = asked.part("volume").to_owned();
    let volume: VolumeId = volume.parse().map_err(|_| Refusal::unknown(&volume))?;
    let request = back_up(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let (app, caller) = (asked.app(), &asked.caller);
    let made = app::backups::back_up_attached(app, caller, (id.as_str(), volume.as_str()), request).await?;
    asked.answer(made)
}

/// Make an image of a machine that runs or is halted, without stopping it, and with `all` back its volumes up. Of one that
/// runs the disk is crash-consistent: as of a machine whose power failed.
#[utoipa::path(put, path = "/instances/{id}/backup", tag = "instances", request_body = BackUpInstance,
    responses((status = 200, body = InstanceBackup)))]
pub async fn back_up_instance(mut asked: Asked) -> Answer<InstanceBackup> {
    let id: InstanceId = asked.id("i-…")?;
    let fields = &mut asked.fields;
    let words = back_up(fields)?;
    // Taken and not kept: every image may be.
    fields.flag("is_cacheable")?;
    let request = BackUpInstance {
        all: fields.flag("all")?,
        is_public: fields.flag("is_public")?,
        description: words.description,
        display_name: words.display_name,
        backup_storage_id: words.backup_storage_id,
    };
    asked.fields.clone().finish()?;
    let made = app::instances::imaging::back_up(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(made)
}

fn copy_to(fields: &mut Fields) -> Result<CopyTo, Refusal> {
    let destination = fields.text("destination")?.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let destination = fields.needed("destination", destination)?;
    let is_id = destination.parse::<BackupStorageId>().is_ok() || destination.parse::<StorageNodeId>().is_ok();
    if !is_id {
        return Err(fields.invalid("destination", super::fields::short(&destination), "bkst-… | sn-…"));
    }
    Ok(CopyTo {
        destination,
        description: fields.text_within("description", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
    })
}

/// Copy a backup to another backup storage or storage node; the copy is a backup of its own.
#[utoipa::path(put, path = "/backup_objects/{id}/copy_to", tag = "backups", request_body = CopyTo,
    responses((status = 200, body = CopyRequested)))]
pub async fn copy_object(mut asked: Asked) -> Answer<CopyRequested> {
    let id: BackupObjectId = asked.id(OBJECT_ID)?;
    let request = copy_to(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let made = app::backups::copy_object(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(made)
}

/// Copy an image's file to a backup storage; the copy is a backup. Every storage node has the image itself in any case.
#[utoipa::path(put, path = "/images/{id}/copy_to", tag = "images", request_body = CopyTo,
    responses((status = 200, body = CopyRequested)))]
pub async fn copy_image(mut asked: Asked) -> Answer<CopyRequested> {
    let id: ImageId = asked.id("wmi-…")?;
    let request = copy_to(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let made = app::backups::copy_image(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(made)
}
