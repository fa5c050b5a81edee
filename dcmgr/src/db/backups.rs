//! Backup storages and what is in them, as users see it.

pub mod work;

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::{BackupObject, BackupStorage, Failure, StorageOfBackup, UpdateBackupObject};

fn storage_view(row: &mysql_async::Row) -> Result<BackupStorage, DbError> {
    let id = row.text("id")?;
    Ok(BackupStorage {
        uuid: id.clone(),
        id,
        display_name: Some(row.text("display_name")?).filter(|name| !name.is_empty()),
        storage_type: row.text("storage_type")?,
        description: row.text("description")?,
        base_uri: row.text("base_uri")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        deleted_at: row.time_opt("deleted_at")?,
    })
}

pub async fn storages(db: &Db) -> Result<Vec<BackupStorage>, DbError> {
    let statement = "SELECT * FROM backup_storages WHERE deleted_at IS NULL ORDER BY seq DESC";
    db.rows(statement, ()).await?.iter().map(storage_view).collect()
}

pub async fn lock_storage(tx: &mut Tx, id: &str) -> Result<Option<BackupStorage>, DbError> {
    let statement = "SELECT * FROM backup_storages WHERE id = ? AND deleted_at IS NULL FOR UPDATE";
    first(tx, statement, (id,)).await?.as_ref().map(storage_view).transpose()
}

pub async fn insert_storage(tx: &mut Tx, storage: &BackupStorage) -> Result<(), DbError> {
    let s = storage;
    let statement = "INSERT INTO backup_storages (id, display_name, storage_type, description, base_uri, created_at, updated_at) \
                     VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    let name = s.display_name.as_deref().unwrap_or_default();
    run(tx, statement, (&s.id, name, &s.storage_type, &s.description, &s.base_uri)).await?;
    Ok(())
}

pub async fn update_storage(tx: &mut Tx, storage: &BackupStorage) -> Result<(), DbError> {
    let s = storage;
    let statement = "UPDATE backup_storages SET display_name = ?, storage_type = ?, description = ?, base_uri = ?, \
                     updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    let name = s.display_name.as_deref().unwrap_or_default();
    run(tx, statement, (name, &s.storage_type, &s.description, &s.base_uri, &s.id)).await?;
    Ok(())
}

pub async fn delete_storage(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "UPDATE backup_storages SET deleted_at = UTC_TIMESTAMP(3) WHERE id = ?", (id,)).await?;
    Ok(())
}

/// What is in a storage.
pub async fn in_storage(tx: &mut Tx, id: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM backup_objects WHERE backup_storage_id = ? AND deleted_at IS NULL LIMIT 20";
    rows(tx, statement, (id,)).await?.iter().map(|row| row.text("id")).collect()
}

const OBJECTS: &str = "SELECT o.*, (SELECT MAX(j.progress) FROM jobs j WHERE j.thing = o.id AND j.open = 1) AS progress_now \
                       FROM backup_objects o";

fn object_view(row: &mysql_async::Row) -> Result<BackupObject, DbError> {
    let id = row.text("id")?;
    let storage = row.text("backup_storage_id")?;
    let failure: Option<String> = row.col("failure_code")?;
    Ok(BackupObject {
        uuid: id.clone(),
        id,
        account_id: row.text("account_id")?,
        state: row.text("state")?,
        size: row.col("size_bytes")?,
        allocation_size: row.col("allocation_bytes")?,
        backup_storage_id: storage.clone(),
        object_key: row.text("object_key")?,
        checksum: row.text("checksum")?,
        progress: match row.text("state")?.as_str() {
            "creating" => row.col::<Option<u8>>("progress_now")?.map_or(0.0, f64::from),
            _ => 100.0,
        },
        backup_storage: StorageOfBackup { id: storage },
        description: row.text("description")?,
        display_name: Some(row.text("display_name")?).filter(|name| !name.is_empty()),
        service_type: "std".into(),
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        deleted_at: row.time_opt("deleted_at")?,
        labels: Vec::new(),
        source_volume_id: row.col("volume_id")?,
        copied_from: row.col::<Option<String>>("copied_object_id")?.or(row.col::<Option<String>>("copied_image_id")?),
        storage_node_id: row.col("storage_node_id")?,
        generation: row.col("generation")?,
        failure: failure
            .map(|code| {
                let message = row.col::<Option<String>>("failure_message")?.unwrap_or_default();
                Ok::<_, DbError>(Failure::new(code).with("message", message))
            })
            .transpose()?,
        schedule_id: row.col("schedule_id")?,
        kept: row.flag("kept")?,
    })
}

pub async fn objects(db: &Db, account: Option<&str>) -> Result<Vec<BackupObject>, DbError> {
    let statement = format!("{OBJECTS} WHERE (? IS NULL OR account_id = ?) ORDER BY seq DESC");
    db.rows(statement, (account, account)).await?.iter().map(object_view).collect()
}

pub async fn lock_object(tx: &mut Tx, id: &str, account: Option<&str>) -> Result<Option<BackupObject>, DbError> {
    let statement = format!("{OBJECTS} WHERE id = ? AND (? IS NULL OR account_id = ?) FOR UPDATE");
    first(tx, statement, (id, account, account)).await?.as_ref().map(object_view).transpose()
}

pub async fn insert_object(tx: &mut Tx, object: &BackupObject) -> Result<(), DbError> {
    let o = object;
    let statement = "INSERT INTO backup_objects (id, account_id, backup_storage_id, state, size_bytes, allocation_bytes, object_key, \
                     checksum, description, display_name, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
                     UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    let name = o.display_name.as_deref().unwrap_or_default();
    let values = (
        &o.id,
        &o.account_id,
        &o.backup_storage_id,
        &o.state,
        o.size,
        o.allocation_size,
        &o.object_key,
        &o.checksum,
        &o.description,
        name,
    );
    run(tx, statement, values).await?;
    Ok(())
}

pub async fn update_object(tx: &mut Tx, id: &str, change: &UpdateBackupObject) -> Result<(), DbError> {
    let statement = "UPDATE backup_objects SET display_name = IFNULL(?, display_name), description = IFNULL(?, description), \
                     kept = IFNULL(?, kept), updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (&change.display_name, &change.description, change.kept, id)).await?;
    Ok(())
}

pub async fn delete_object(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE backup_objects SET state = 'deleted', deleted_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (id,)).await?;
    Ok(())
}
