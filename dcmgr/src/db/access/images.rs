//! Images: what is wished of them, what is seen of them.

use super::super::pool::{first, rows, run};
use super::super::{Columns, Db, DbError, Tx};
use arame_schema::api;

#[derive(Debug, Clone)]
pub struct ImageRow {
    pub id: String,
    pub account: String,
    pub arch: String,
    pub source: String,
    pub sha256: String,
    pub size_bytes: u64,
    pub format: String,
    pub generation: u64,
    /// Why it could not be imported: code and message.
    pub failure: Option<(String, String)>,
    pub wanted: bool,
}

const IMAGE: &str = "SELECT id, account_id, arch, source, sha256, size_bytes, format, generation, failure_code, failure_message, \
                     deleted_at IS NULL AS wanted FROM images";

fn read_image(row: &mysql_async::Row) -> Result<ImageRow, DbError> {
    Ok(ImageRow {
        id: row.text("id")?,
        account: row.text("account_id")?,
        arch: row.text("arch")?,
        source: row.text("source")?,
        sha256: row.text("sha256")?,
        size_bytes: row.col("size_bytes")?,
        format: row.text("format")?,
        generation: row.col("generation")?,
        failure: row
            .col::<Option<String>>("failure_code")?
            .map(|code| Ok::<_, DbError>((code, row.col::<Option<String>>("failure_message")?.unwrap_or_default())))
            .transpose()?,
        wanted: row.flag("wanted")?,
    })
}

pub async fn lock_image(tx: &mut Tx, id: &str) -> Result<Option<ImageRow>, DbError> {
    first(tx, format!("{IMAGE} WHERE id = ? FOR UPDATE"), (id,)).await?.as_ref().map(read_image).transpose()
}

pub async fn find_image(tx: &mut Tx, id: &str) -> Result<Option<ImageRow>, DbError> {
    first(tx, format!("{IMAGE} WHERE id = ?"), (id,)).await?.as_ref().map(read_image).transpose()
}

/// An image the account may launch: its own or a public one, not deleted.
pub async fn usable_image(tx: &mut Tx, id: &str, account: &str) -> Result<Option<ImageRow>, DbError> {
    let statement = format!("{IMAGE} WHERE id = ? AND (account_id = ? OR is_public = 1) AND deleted_at IS NULL");
    first(tx, statement, (id, account)).await?.as_ref().map(read_image).transpose()
}

pub async fn image_ids(tx: &mut Tx) -> Result<Vec<String>, DbError> {
    rows(tx, "SELECT id FROM images ORDER BY seq", ()).await?.iter().map(|row| row.text("id")).collect()
}

pub async fn set_image_failure(tx: &mut Tx, id: &str, failure: Option<(&str, &str)>) -> Result<(), DbError> {
    let (code, message) = failure.unzip();
    run(tx, "UPDATE images SET failure_code = ?, failure_message = ? WHERE id = ?", (code, message, id)).await?;
    Ok(())
}

/// What is given changes.
pub async fn set_image_words(tx: &mut Tx, id: &str, change: &api::UpdateImage) -> Result<(), DbError> {
    let statement = "UPDATE images SET display_name = IFNULL(?, display_name), description = IFNULL(?, description), \
                     is_public = IFNULL(?, is_public), updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (&change.display_name, &change.description, change.is_public, id)).await?;
    Ok(())
}

/// It is to go: the next generation of it is that no storage node has it.
pub async fn set_image_deleted(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE images SET deleted_at = UTC_TIMESTAMP(3), generation = generation + 1, \
                     updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (id,)).await?;
    Ok(())
}

/// Whether an image may be launched from now on until the caller commits: it cannot be deleted meanwhile.
pub async fn hold_image(tx: &mut Tx, id: &str) -> Result<bool, DbError> {
    let statement = "SELECT id FROM images WHERE id = ? AND deleted_at IS NULL LOCK IN SHARE MODE";
    Ok(first(tx, statement, (id,)).await?.is_some())
}

/// Live instances that were made of an image: their disks may lie on it, and those that never ran still need it.
pub async fn users_of_image(tx: &mut Tx, id: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM instances WHERE image_id = ? AND terminated_at IS NULL ORDER BY seq LIMIT 20";
    rows(tx, statement, (id,)).await?.iter().map(|row| row.text("id")).collect()
}

const IMAGE_VIEW: &str = "SELECT m.*, EXISTS (SELECT 1 FROM facts f WHERE f.thing = m.id AND f.name = 'image' AND f.value = 'yes') \
                          AS present FROM images m";

fn image_view(row: &mysql_async::Row) -> Result<api::Image, DbError> {
    let id = row.text("id")?;
    let display_name = row.text("display_name")?;
    let deleted_at = row.time_opt("deleted_at")?;
    let failure: Option<String> = row.col("failure_code")?;
    let message: Option<String> = row.col("failure_message")?;
    let present = row.flag("present")?;
    let state = match (&deleted_at, present, &failure) {
        (Some(_), true, _) => "deleting",
        (Some(_), false, _) => "deleted",
        (None, true, _) => "available",
        (None, false, Some(_)) => "failed",
        (None, false, None) => "creating",
    };
    Ok(api::Image {
        uuid: id.clone(),
        id,
        account_id: row.text("account_id")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        boot_dev_type: 2,
        arch: row.text("arch")?,
        description: row.text("description")?,
        is_public: row.flag("is_public")?,
        state: state.into(),
        features: serde_json::json!({ "virtio": true, "acpi": true }),
        file_format: row.text("format")?,
        root_device: String::new(),
        is_cacheable: true,
        instance_model_name: "instance".into(),
        parent_image_id: None,
        service_type: "std".into(),
        display_name: Some(display_name).filter(|name| !name.is_empty()),
        backup_object_id: None,
        deleted_at,
        volumes: Vec::new(),
        vifs: Vec::new(),
        os_type: "linux".into(),
        labels: Vec::new(),
        size: row.col("size_bytes")?,
        checksum: row.text("sha256")?,
        login_user: Some("root".into()),
        failure: failure.map(|code| api::Failure::new(code).with("message", message.unwrap_or_default())),
        progress: None,
    })
}

pub async fn images(db: &Db, account: Option<&str>) -> Result<Vec<api::Image>, DbError> {
    let statement =
        format!("{IMAGE_VIEW} WHERE (? IS NULL OR m.account_id = ? OR m.is_public = 1) ORDER BY m.seq DESC");
    db.rows(statement, (account, account)).await?.iter().map(image_view).collect()
}

pub async fn image(db: &Db, id: &str, account: Option<&str>) -> Result<Option<api::Image>, DbError> {
    let statement = format!("{IMAGE_VIEW} WHERE m.id = ? AND (? IS NULL OR m.account_id = ? OR m.is_public = 1)");
    db.rows(statement, (id, account, account)).await?.first().map(image_view).transpose()
}
