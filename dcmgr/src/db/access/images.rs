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
    /// The agent that fetches or receives the bytes first; `None`: an operator's seed.
    pub brought_by: Option<String>,
    /// Of an upload: the generation at which somebody brings the bytes.
    pub offered_generation: Option<u64>,
    pub ticket_sealed: Option<String>,
    /// Why it could not be imported: code and message.
    pub failure: Option<(String, String)>,
    pub wanted: bool,
    /// Of a copy of a machine's disk: how it is made.
    pub capture: Option<Capture>,
}

/// How a machine's disk becomes an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    pub instance: String,
    /// The host's, that makes the copy and serves it.
    pub agent: String,
    /// It answered that no copy is left there.
    pub over: bool,
    pub reader_sealed: String,
}

pub use arame_schema::jobs::sta::{CAPTURE, UPLOAD};

impl ImageRow {
    /// What its bytes are is known: they came once.
    pub fn is_settled(&self) -> bool {
        self.brought_by.is_none() || self.size_bytes > 0
    }

    pub fn is_uploaded(&self) -> bool {
        self.source == UPLOAD
    }

    /// Its bytes can be had again from where they came from.
    pub fn has_source(&self) -> bool {
        !self.is_uploaded() && self.capture.is_none()
    }

    /// Somebody brings the bytes of an upload now.
    pub fn is_offered(&self) -> bool {
        self.offered_generation == Some(self.generation)
    }
}

const IMAGE: &str = "SELECT id, account_id, arch, source, sha256, size_bytes, format, generation, brought_by, offered_generation, \
                     ticket_sealed, failure_code, failure_message, deleted_at IS NULL AS wanted, captured_from, capture_agent, \
                     capture_over, capture_reader_sealed FROM images";

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
        brought_by: row.col("brought_by")?,
        offered_generation: row.col("offered_generation")?,
        ticket_sealed: row.col("ticket_sealed")?,
        failure: row
            .col::<Option<String>>("failure_code")?
            .map(|code| Ok::<_, DbError>((code, row.col::<Option<String>>("failure_message")?.unwrap_or_default())))
            .transpose()?,
        wanted: row.flag("wanted")?,
        capture: match row.col::<Option<String>>("captured_from")? {
            None => None,
            Some(instance) => Some(Capture {
                instance,
                agent: row.text("capture_agent")?,
                over: row.flag("capture_over")?,
                reader_sealed: row.text("capture_reader_sealed")?,
            }),
        },
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

/// An image that is to be brought in.
#[derive(Debug, Clone, Copy)]
pub struct NewImage<'a> {
    pub id: &'a str,
    pub account: &'a str,
    pub display_name: &'a str,
    pub description: &'a str,
    pub is_public: bool,
    pub arch: &'a str,
    pub source: &'a str,
    pub format: &'a str,
    /// Empty: nobody told it.
    pub sha256: &'a str,
    pub brought_by: &'a str,
}

pub async fn insert_image(tx: &mut Tx, new: &NewImage<'_>) -> Result<(), DbError> {
    let statement = "INSERT INTO images (id, account_id, display_name, description, is_public, arch, source, format, sha256, \
                     brought_by, told_state, size_bytes, created_at, updated_at) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    let n = new;
    let words = (n.id, n.account, n.display_name, n.description, n.is_public);
    let (id, account, name, description, is_public) = words;
    let told = if n.source == UPLOAD { "pending" } else { "creating" };
    let bytes = (n.arch, n.source, n.format, n.sha256, n.brought_by);
    let (arch, source, format, sha256, brought_by) = bytes;
    let values = (id, account, name, description, is_public, arch, source, format, sha256, brought_by, told);
    run(tx, statement, values).await?;
    Ok(())
}

/// It is a copy of a machine's disk, made of an image itself.
pub async fn set_captured(tx: &mut Tx, id: &str, capture: &Capture, parent: &str) -> Result<(), DbError> {
    let statement = "UPDATE images SET captured_from = ?, capture_agent = ?, capture_reader_sealed = ?, parent_image_id = ? \
                     WHERE id = ?";
    run(tx, statement, (&capture.instance, &capture.agent, &capture.reader_sealed, parent, id)).await?;
    Ok(())
}

pub async fn set_image_backup(tx: &mut Tx, id: &str, object: &str) -> Result<(), DbError> {
    run(tx, "UPDATE images SET backup_object_id = ? WHERE id = ?", (object, id)).await?;
    Ok(())
}

/// No copy is left at its host.
pub async fn set_capture_over(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "UPDATE images SET capture_over = 1 WHERE id = ?", (id,)).await?;
    Ok(())
}

/// Images for which a machine's disk is copied, or its copy still lies there.
pub async fn captures_of(tx: &mut Tx, instance: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM images WHERE captured_from = ? AND capture_over = 0 ORDER BY seq LIMIT 20";
    rows(tx, statement, (instance,)).await?.iter().map(|row| row.text("id")).collect()
}

/// The same of everything that a host copies.
pub async fn captures_at(tx: &mut Tx, agent: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM images WHERE capture_agent = ? AND capture_over = 0 ORDER BY seq";
    rows(tx, statement, (agent,)).await?.iter().map(|row| row.text("id")).collect()
}

/// Images on their way from a machine with no job that would bring them on, for the sweep.
pub async fn unsettled_captures(db: &Db) -> Result<Vec<String>, DbError> {
    let statement = "SELECT m.id FROM images m WHERE m.capture_over = 0 AND m.capture_agent IS NOT NULL \
        AND m.updated_at < UTC_TIMESTAMP(3) - INTERVAL 5 SECOND \
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.thing = m.id AND j.open = 1) ORDER BY m.seq LIMIT 200";
    db.rows(statement, ()).await?.iter().map(|row| row.text("id")).collect()
}

/// Somebody brings the bytes: a new generation of the wish, at this agent, with this ticket. What failed before is past.
pub async fn offer_image(tx: &mut Tx, id: &str, agent: &str, ticket_sealed: &str) -> Result<(), DbError> {
    let statement = "UPDATE images SET generation = generation + 1, offered_generation = generation, brought_by = ?, \
                     ticket_sealed = ?, failure_code = NULL, failure_message = NULL, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (agent, ticket_sealed, id)).await?;
    Ok(())
}

/// What the bytes were found to be when they were brought; from then on they are known. Answers whether this was news.
pub async fn settle_image(tx: &mut Tx, id: &str, sha256: &str, size_bytes: u64) -> Result<bool, DbError> {
    let statement = "UPDATE images SET sha256 = ?, size_bytes = ?, offered_generation = NULL, ticket_sealed = NULL, \
                     updated_at = UTC_TIMESTAMP(3) \
                     WHERE id = ? AND brought_by IS NOT NULL AND (size_bytes = 0 OR offered_generation IS NOT NULL)";
    Ok(run(tx, statement, (sha256, size_bytes, id)).await? == 1)
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
                          AS present, IFNULL(m.offered_generation = m.generation, 0) AS offered, \
                          EXISTS (SELECT 1 FROM facts f WHERE f.thing = m.id AND f.name = 'image' AND f.value = 'maybe') AS maybe, \
                          (SELECT CONCAT_WS('|', j.progress, j.progress_note) FROM jobs j WHERE j.thing = m.id AND j.open = 1 \
                          AND j.progress IS NOT NULL LIMIT 1) AS progress FROM images m";

/// Bytes that were uploaded or copied from a machine, that are nowhere any more, and that nobody brings again.
const LOST: &str = "data_lost";

fn image_view(row: &mysql_async::Row) -> Result<api::Image, DbError> {
    let id = row.text("id")?;
    let display_name = row.text("display_name")?;
    let deleted_at = row.time_opt("deleted_at")?;
    let mut failure: Option<String> = row.col("failure_code")?;
    let message: Option<String> = row.col("failure_message")?;
    let (present, maybe, offered) = (row.flag("present")?, row.flag("maybe")?, row.flag("offered")?);
    let size: u64 = row.col("size_bytes")?;
    let source = row.text("source")?;
    let uploaded = source == UPLOAD;
    if (uploaded || source == CAPTURE) && size > 0 && !present && !maybe && !offered && deleted_at.is_none() {
        failure.get_or_insert_with(|| LOST.to_owned());
    }
    // A broken upload leaves it waiting, with what went wrong.
    let waits = uploaded && size == 0 && (!offered || failure.is_some());
    let state = match (&deleted_at, present, &failure) {
        (Some(_), true, _) => "deleting",
        (Some(_), false, _) => "deleted",
        (None, true, _) => "available",
        (None, false, _) if waits => "pending",
        (None, false, Some(_)) => "failed",
        (None, false, None) => "creating",
    };
    let progress: Option<String> = row.col("progress")?;
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
        parent_image_id: row.col("parent_image_id")?,
        service_type: "std".into(),
        display_name: Some(display_name).filter(|name| !name.is_empty()),
        backup_object_id: row.col("backup_object_id")?,
        deleted_at,
        volumes: Vec::new(),
        vifs: Vec::new(),
        os_type: "linux".into(),
        labels: Vec::new(),
        size,
        checksum: row.text("sha256")?,
        login_user: Some("root".into()),
        failure: failure.map(|code| api::Failure::new(code).with("message", message.unwrap_or_default())),
        progress: progress.and_then(|text| {
            let (percent, note) = text.split_once('|')?;
            Some(api::Progress { percent: percent.parse().ok()?, note: note.to_owned() })
        }),
    })
}

/// Who sees an image, and as what.
#[derive(Debug, Clone)]
pub struct Standing {
    pub account: String,
    /// Every account sees it.
    pub is_public: bool,
    /// The state that was told last.
    pub told: String,
    /// The state that follows from its row and facts now.
    pub state: String,
}

/// The image's row is locked: its facts are written under it.
pub async fn image_standing(tx: &mut Tx, id: &str) -> Result<Option<Standing>, DbError> {
    let Some(row) = first(tx, format!("{IMAGE_VIEW} WHERE m.id = ?"), (id,)).await? else { return Ok(None) };
    let view = image_view(&row)?;
    let told = row.text("told_state")?;
    Ok(Some(Standing { account: view.account_id, is_public: view.is_public, told, state: view.state }))
}

pub async fn set_image_told(tx: &mut Tx, id: &str, state: &str) -> Result<(), DbError> {
    run(tx, "UPDATE images SET told_state = ? WHERE id = ?", (state, id)).await?;
    Ok(())
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
