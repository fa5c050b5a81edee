//! Backup objects as their plan sees them. Whoever writes one holds the row of the volume it is a copy of, if it is of one.
//!
//! Rule: an object that somebody only registered has no storage node, and no plan.

use crate::db::pool::{first, rows, run};
use crate::db::volumes::VolumeRow;
use crate::db::{Columns, Db, DbError, Tx};
use arame_schema::jobs::sta::StoredBackup;
use arame_schema::model::backup::BackupState;

#[derive(Debug, Clone)]
pub struct BackupRow {
    pub id: String,
    pub account: String,
    pub storage: String,
    /// The volume whose content it is; none of a copy of an image.
    pub volume: Option<String>,
    /// What it is a copy of, where that is not the volume itself.
    pub copied: Option<Copied>,
    pub node: String,
    /// Of its snapshot, on the store.
    pub key: String,
    pub wanted: bool,
    pub was_present: bool,
    pub snapshot_was_present: bool,
    pub generation: u64,
    pub state: BackupState,
    pub failed: bool,
    pub deleted: bool,
    pub size_bytes: u64,
    pub sha256: String,
    pub reader_sealed: Option<String>,
}

/// What a backup is copied from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    Object(String),
    Image(String),
}

impl Copied {
    pub fn id(&self) -> &str {
        match self {
            Copied::Object(id) | Copied::Image(id) => id,
        }
    }
}

const SELECT: &str = "SELECT id, account_id, backup_storage_id, volume_id, copied_object_id, copied_image_id, storage_node_id, backend_key, wanted, was_present, \
                      snapshot_was_present, generation, state, failure_code IS NOT NULL AS failed, \
                      deleted_at IS NOT NULL AS gone, size_bytes, checksum, reader_sealed FROM backup_objects";

fn read(row: &mysql_async::Row) -> Result<BackupRow, DbError> {
    let state = row.text("state")?;
    Ok(BackupRow {
        id: row.text("id")?,
        account: row.text("account_id")?,
        storage: row.text("backup_storage_id")?,
        volume: row.col("volume_id")?,
        copied: row
            .col::<Option<String>>("copied_object_id")?
            .map(Copied::Object)
            .or(row.col::<Option<String>>("copied_image_id")?.map(Copied::Image)),
        node: row.text("storage_node_id")?,
        key: row.text("backend_key")?,
        wanted: row.flag("wanted")?,
        was_present: row.flag("was_present")?,
        snapshot_was_present: row.flag("snapshot_was_present")?,
        generation: row.col("generation")?,
        state: BackupState::parse(&state).ok_or_else(|| crate::db::row::strange("state", state))?,
        failed: row.flag("failed")?,
        deleted: row.flag("gone")?,
        size_bytes: row.col("size_bytes")?,
        sha256: row.text("checksum")?,
        reader_sealed: row.col("reader_sealed")?,
    })
}

/// Not locked: to learn which volume to lock first, or what a message needs.
pub async fn find(tx: &mut Tx, id: &str) -> Result<Option<BackupRow>, DbError> {
    let statement = format!("{SELECT} WHERE id = ? AND storage_node_id IS NOT NULL");
    first(tx, statement, (id,)).await?.as_ref().map(read).transpose()
}

/// Locks the volume, then the object: every writer of one does this first.
pub async fn lock(tx: &mut Tx, id: &str) -> Result<Option<(Option<VolumeRow>, BackupRow)>, DbError> {
    let Some(found) = find(tx, id).await? else { return Ok(None) };
    let volume = match &found.volume {
        None => None,
        // One that was forgotten, of a backup that was adopted.
        Some(volume) => crate::db::volumes::lock(tx, volume).await?,
    };
    let found = first(tx, format!("{SELECT} WHERE id = ? FOR UPDATE"), (id,)).await?.as_ref().map(read).transpose()?;
    Ok(found.map(|row| (volume, row)))
}

#[derive(Debug, Clone)]
pub struct NewBackup<'a> {
    pub id: &'a str,
    pub account: &'a str,
    pub storage: &'a str,
    pub volume: Option<&'a str>,
    pub copied: Option<&'a Copied>,
    pub node: &'a str,
    pub key: &'a str,
    pub size_bytes: u64,
    /// None: nobody else reads it.
    pub reader_sealed: Option<&'a str>,
    pub display_name: &'a str,
    pub description: &'a str,
}

pub async fn insert(tx: &mut Tx, backup: &NewBackup<'_>) -> Result<(), DbError> {
    let statement = "INSERT INTO backup_objects (id, account_id, backup_storage_id, volume_id, storage_node_id, backend_key, \
                     size_bytes, reader_sealed, object_key, display_name, description, copied_object_id, copied_image_id, \
                     state, state_since, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'creating', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), \
                     UTC_TIMESTAMP(3))";
    let b = backup;
    let (object, image) = match b.copied {
        None => (None, None),
        Some(Copied::Object(id)) => (Some(id.as_str()), None),
        Some(Copied::Image(id)) => (None, Some(id.as_str())),
    };
    let values: Vec<mysql_async::Value> = vec![
        b.id.into(),
        b.account.into(),
        b.storage.into(),
        b.volume.into(),
        b.node.into(),
        b.key.into(),
        b.size_bytes.into(),
        b.reader_sealed.into(),
        b.id.into(),
        b.display_name.into(),
        b.description.into(),
        object.into(),
        image.into(),
    ];
    run(tx, statement, mysql_async::Params::Positional(values)).await?;
    Ok(())
}

/// What an adopted one was found to be: whole where it was measured.
pub async fn set_adopted(tx: &mut Tx, id: &str, generation: u64, stored: Option<&StoredBackup>) -> Result<(), DbError> {
    run(tx, "UPDATE backup_objects SET generation = ? WHERE id = ?", (generation, id)).await?;
    if let Some(stored) = stored {
        let statement = "UPDATE backup_objects SET was_present = 1, state = 'available', checksum = ?, allocation_bytes = ? WHERE id = ?";
        run(tx, statement, (&stored.sha256, stored.stored_bytes, id)).await?;
    }
    Ok(())
}

pub async fn set_unwanted(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE backup_objects SET wanted = 0, generation = generation + 1, failure_code = NULL, \
                     failure_final = 0, updated_at = UTC_TIMESTAMP(3) WHERE id = ? AND wanted = 1";
    run(tx, statement, (id,)).await?;
    Ok(())
}

/// It is whole, and what it was found to be the first time stays. What turns up of one that was given up is removed.
pub async fn set_seen_present(tx: &mut Tx, id: &str, stored: Option<&StoredBackup>) -> Result<(), DbError> {
    let measured = stored.map(|stored| (stored.sha256.as_str(), stored.size_bytes, stored.stored_bytes));
    if let Some((sha256, size, allocated)) = measured {
        // A copy of an object is as large as that, whatever a simulated node keeps of it.
        let statement = "UPDATE backup_objects SET checksum = ?, allocation_bytes = ?, \
                         size_bytes = IF(copied_object_id IS NULL, ?, size_bytes) WHERE id = ? AND checksum = '' AND storage_node_id IS NOT NULL";
        run(tx, statement, (sha256, allocated, size, id)).await?;
    }
    let statement =
        "UPDATE backup_objects SET was_present = 1 WHERE id = ? AND was_present = 0 AND failure_code IS NULL";
    run(tx, statement, (id,)).await?;
    Ok(())
}

pub async fn set_snapshot_seen(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE backup_objects SET snapshot_was_present = 1 \
                     WHERE id = ? AND snapshot_was_present = 0 AND failure_code IS NULL";
    run(tx, statement, (id,)).await?;
    Ok(())
}

pub async fn set_state(tx: &mut Tx, id: &str, state: BackupState) -> Result<(), DbError> {
    let statement = "UPDATE backup_objects SET state = ?, state_since = UTC_TIMESTAMP(3), updated_at = UTC_TIMESTAMP(3), \
                     deleted_at = IF(? = 'deleted', UTC_TIMESTAMP(3), NULL) WHERE id = ?";
    run(tx, statement, (state.as_str(), state.as_str(), id)).await?;
    Ok(())
}

pub async fn set_failure(tx: &mut Tx, id: &str, failure: (&str, &str), is_final: bool) -> Result<(), DbError> {
    let statement = "UPDATE backup_objects SET failure_code = ?, failure_message = ?, failure_final = ? \
                     WHERE id = ? AND was_present = 0";
    run(tx, statement, (failure.0, failure.1, is_final, id)).await?;
    Ok(())
}

/// Whether a snapshot of a backup may be on the volume. The caller holds the volume's row.
pub async fn hold_volume(tx: &mut Tx, volume: &str) -> Result<bool, DbError> {
    let statement = "SELECT o.id FROM backup_objects o JOIN facts f ON f.thing = o.id AND f.name = 'snapshot' \
                     AND f.value <> 'no' WHERE o.volume_id = ? AND o.deleted_at IS NULL LIMIT 1";
    Ok(first(tx, statement, (volume,)).await?.is_some())
}

/// Volumes and copies that are being made from a backup.
pub async fn restoring(tx: &mut Tx, id: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM volumes WHERE backup_object_id = ? AND deleted_at IS NULL AND wanted = 1 \
                     AND was_present = 0 AND failure_code IS NULL \
                     UNION ALL SELECT id FROM backup_objects WHERE copied_object_id = ? AND deleted_at IS NULL \
                     AND wanted = 1 AND was_present = 0 AND failure_code IS NULL LIMIT 20";
    rows(tx, statement, (id, id)).await?.iter().map(|row| row.text("id")).collect()
}

/// The backup that was asked for with an image.
pub async fn of_image(tx: &mut Tx, image: &str) -> Result<Option<String>, DbError> {
    let found = first(tx, "SELECT backup_object_id FROM images WHERE id = ?", (image,)).await?;
    found.map_or(Ok(None), |row| row.col("backup_object_id"))
}

/// Live objects that a storage node wrote, oldest first.
pub async fn on_node(tx: &mut Tx, node: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM backup_objects WHERE storage_node_id = ? AND deleted_at IS NULL ORDER BY seq";
    rows(tx, statement, (node,)).await?.iter().map(|row| row.text("id")).collect()
}

/// Objects with something to do for a while and no job that would do it, for the sweep: on their way, or with a snapshot
/// that is not needed any more.
pub async fn unsettled(db: &Db) -> Result<Vec<String>, DbError> {
    let statement = "SELECT o.id FROM backup_objects o WHERE o.deleted_at IS NULL AND o.storage_node_id IS NOT NULL \
        AND o.state_since < UTC_TIMESTAMP(3) - INTERVAL 5 SECOND \
        AND (o.state IN ('creating', 'deleting') OR EXISTS (SELECT 1 FROM facts f WHERE f.thing = o.id \
             AND (f.value = 'maybe' OR (f.name = 'snapshot' AND f.value = 'yes')))) \
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.thing = o.id AND j.open = 1) ORDER BY o.seq LIMIT 200";
    db.rows(statement, ()).await?.iter().map(|row| row.text("id")).collect()
}
