//! Volumes and their attachments.

use super::pool::{first, rows, run};
use super::rollbacks::{self, RollbackRow};
use super::{Columns, Db, DbError, Long, Tx};
use arame_schema::api;
use arame_schema::model::volume::VolumeState;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct VolumeRow {
    pub id: String,
    pub account: String,
    pub node: String,
    pub key: String,
    pub size_bytes: u64,
    pub wanted: bool,
    pub was_present: bool,
    pub generation: u64,
    pub state: String,
    pub failure_code: Option<String>,
    pub failure_final: bool,
    pub deleted: bool,
    /// The rollback whose outcome is not known.
    pub rollback: Option<RollbackRow>,
    /// The backup it begins with.
    pub backup_object: Option<String>,
    /// The snapshot it begins with.
    pub snapshot: Option<String>,
    /// The replica of another node's snapshot that it begins with.
    pub replica: Option<String>,
}

const SELECT: &str = "SELECT id, account_id, storage_node_id, backend_key, size_bytes, wanted, was_present, generation, state, \
                      failure_code, failure_final, backup_object_id, snapshot_id, replica_id, deleted_at IS NOT NULL AS gone";

fn select(filter: &str) -> String {
    format!("{SELECT}, {} FROM volumes WHERE {filter} FOR UPDATE", rollbacks::COLUMNS)
}

fn read(row: &mysql_async::Row) -> Result<VolumeRow, DbError> {
    Ok(VolumeRow {
        id: row.text("id")?,
        account: row.text("account_id")?,
        node: row.text("storage_node_id")?,
        key: row.text("backend_key")?,
        size_bytes: row.col("size_bytes")?,
        wanted: row.flag("wanted")?,
        was_present: row.flag("was_present")?,
        generation: row.col("generation")?,
        state: row.text("state")?,
        failure_code: row.col("failure_code")?,
        failure_final: row.flag("failure_final")?,
        deleted: row.flag("gone")?,
        rollback: rollbacks::read(row)?,
        backup_object: row.col("backup_object_id")?,
        snapshot: row.col("snapshot_id")?,
        replica: row.col("replica_id")?,
    })
}

pub async fn lock(tx: &mut Tx, id: &str) -> Result<Option<VolumeRow>, DbError> {
    first(tx, select("id = ?"), (id,)).await?.as_ref().map(read).transpose()
}

/// By its name on the store.
pub async fn lock_key(tx: &mut Tx, key: &str) -> Result<Option<VolumeRow>, DbError> {
    first(tx, select("backend_key = ? AND deleted_at IS NULL"), (key,)).await?.as_ref().map(read).transpose()
}

/// Its name on the store, also of one that was deleted. Not locked.
pub async fn key_of(tx: &mut Tx, id: &str) -> Result<Option<String>, DbError> {
    let found = first(tx, "SELECT backend_key FROM volumes WHERE id = ?", (id,)).await?;
    found.map(|row| row.text("backend_key")).transpose()
}

#[derive(Debug, Clone)]
pub struct NewVolume<'a> {
    pub id: &'a str,
    pub account: &'a str,
    pub node: &'a str,
    pub key: &'a str,
    pub size_bytes: u64,
    pub display_name: &'a str,
    pub backup_object: Option<&'a str>,
    pub snapshot: Option<&'a str>,
    pub replica: Option<&'a str>,
}

pub async fn insert(tx: &mut Tx, volume: &NewVolume<'_>) -> Result<(), DbError> {
    let statement = "INSERT INTO volumes (id, account_id, storage_node_id, backend_key, size_bytes, display_name, \
                     backup_object_id, snapshot_id, replica_id, state, state_since, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, \
                     'creating', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    let v = volume;
    let (object, snapshot, replica) = (v.backup_object, v.snapshot, v.replica);
    run(tx, statement, (v.id, v.account, v.node, v.key, v.size_bytes, v.display_name, object, snapshot, replica))
        .await?;
    Ok(())
}

/// A row made for what exists: at the generation found, holding data.
pub async fn set_adopted(tx: &mut Tx, id: &str, generation: u64) -> Result<(), DbError> {
    run(tx, "UPDATE volumes SET generation = ?, was_present = 1 WHERE id = ?", (generation, id)).await?;
    Ok(())
}

/// Live volumes of an account: what a quota counts.
pub async fn count_of_account(tx: &mut Tx, account: &str) -> Result<u64, DbError> {
    let statement = "SELECT COUNT(*) AS n FROM volumes WHERE account_id = ? AND deleted_at IS NULL";
    first(tx, statement, (account,)).await?.map_or(Ok(0), |row| row.col("n"))
}

pub async fn set_unwanted(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE volumes SET wanted = 0, generation = generation + 1, failure_code = NULL, failure_final = 0, \
                     rollback_state = IF(rollback_state = 'open', 'failed', rollback_state), updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (id,)).await?;
    // From here on nothing is made of it.
    super::schedules::delete_of_volume(tx, id).await
}

/// It holds data from now on. What turns up of a creation that was given up does not: it is removed.
pub async fn set_seen_present(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE volumes SET was_present = 1 WHERE id = ? AND was_present = 0 AND failure_code IS NULL";
    run(tx, statement, (id,)).await?;
    Ok(())
}

/// Writes a state that changed, with its moments.
pub async fn set_state(tx: &mut Tx, id: &str, state: VolumeState) -> Result<(), DbError> {
    let statement = "UPDATE volumes SET state = ?, state_since = UTC_TIMESTAMP(3), updated_at = UTC_TIMESTAMP(3), \
        deleted_at = IF(? = 'deleted', UTC_TIMESTAMP(3), NULL), \
        attached_at = IF(? = 'attached', UTC_TIMESTAMP(3), attached_at), \
        detached_at = IF(? = 'available' AND attached_at IS NOT NULL AND IFNULL(detached_at < attached_at, 1), \
        UTC_TIMESTAMP(3), detached_at) WHERE id = ?";
    let text = state.as_str();
    run(tx, statement, (text, text, text, text, id)).await?;
    Ok(())
}

pub async fn set_failure(tx: &mut Tx, id: &str, failure: Option<(&str, &str)>, is_final: bool) -> Result<(), DbError> {
    let (code, message) = failure.unzip();
    let statement = "UPDATE volumes SET failure_code = ?, failure_message = ?, failure_final = ? WHERE id = ?";
    run(tx, statement, (code, message, is_final, id)).await?;
    Ok(())
}

#[derive(Debug, Clone)]
pub struct AttachmentRow {
    pub id: String,
    pub volume: String,
    pub instance: String,
    pub epoch: u64,
    pub wanted: bool,
    pub generation: u64,
    /// The volume goes with the instance, unless it is detached before.
    pub deletes_volume: bool,
    pub chap_user: String,
    pub chap_secret_sealed: String,
    /// Its guest is not waited for.
    pub forced: bool,
    /// Its host was declared lost: the way to the volume is to be fenced with proof.
    pub fencing: bool,
}

const ATTACHMENTS: &str = "SELECT id, volume_id, instance_id, epoch, wanted, generation, delete_volume, chap_user, chap_secret_sealed, forced, fencing FROM attachments";

fn read_attachment(row: &mysql_async::Row) -> Result<AttachmentRow, DbError> {
    Ok(AttachmentRow {
        id: row.text("id")?,
        volume: row.text("volume_id")?,
        instance: row.text("instance_id")?,
        epoch: row.col("epoch")?,
        wanted: row.flag("wanted")?,
        generation: row.col("generation")?,
        deletes_volume: row.flag("delete_volume")?,
        chap_user: row.text("chap_user")?,
        chap_secret_sealed: row.text("chap_secret_sealed")?,
        forced: row.flag("forced")?,
        fencing: row.flag("fencing")?,
    })
}

/// The open attachment of a volume, locked.
pub async fn open_attachment(tx: &mut Tx, volume: &str) -> Result<Option<AttachmentRow>, DbError> {
    let statement = format!("{ATTACHMENTS} WHERE volume_id = ? AND open = 1 FOR UPDATE");
    first(tx, statement, (volume,)).await?.as_ref().map(read_attachment).transpose()
}

/// Open attachments of an instance, oldest first: the order of its disks.
pub async fn attachments_of_instance(tx: &mut Tx, instance: &str) -> Result<Vec<AttachmentRow>, DbError> {
    let statement = format!("{ATTACHMENTS} WHERE instance_id = ? AND open = 1 ORDER BY created_at, id");
    rows(tx, statement, (instance,)).await?.iter().map(read_attachment).collect()
}

/// Volumes of an instance's attachments, by these.
pub async fn volumes_of_instance(db: &Db, instance: &str) -> Result<BTreeMap<String, String>, DbError> {
    let statement = "SELECT id, volume_id FROM attachments WHERE instance_id = ? AND open = 1";
    let found = db.rows(statement, (instance,)).await?;
    found.iter().map(|row| Ok((row.text("id")?, row.text("volume_id")?))).collect()
}

pub async fn find_attachment(tx: &mut Tx, id: &str) -> Result<Option<AttachmentRow>, DbError> {
    first(tx, format!("{ATTACHMENTS} WHERE id = ?"), (id,)).await?.as_ref().map(read_attachment).transpose()
}

/// Opens an attachment in the volume's next epoch.
pub async fn insert_attachment(tx: &mut Tx, attachment: &AttachmentRow) -> Result<(), DbError> {
    let a = attachment;
    run(tx, "UPDATE volumes SET epoch = ? WHERE id = ?", (a.epoch, &a.volume)).await?;
    let statement = "INSERT INTO attachments (id, volume_id, instance_id, epoch, delete_volume, chap_user, chap_secret_sealed, \
                     created_at) VALUES (?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3))";
    let secret = &a.chap_secret_sealed;
    run(tx, statement, (&a.id, &a.volume, &a.instance, a.epoch, a.deletes_volume, &a.chap_user, secret)).await?;
    Ok(())
}

/// One that exists in the world already, in the epoch it has there.
pub async fn insert_adopted(tx: &mut Tx, attachment: &AttachmentRow) -> Result<(), DbError> {
    let a = attachment;
    run(tx, "UPDATE volumes SET epoch = GREATEST(epoch, ?) WHERE id = ?", (a.epoch, &a.volume)).await?;
    let statement = "INSERT INTO attachments (id, volume_id, instance_id, epoch, wanted, generation, chap_user, \
                     chap_secret_sealed, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3))";
    let secret = &a.chap_secret_sealed;
    run(tx, statement, (&a.id, &a.volume, &a.instance, a.epoch, a.wanted, a.generation, &a.chap_user, secret)).await?;
    Ok(())
}

pub async fn next_epoch(tx: &mut Tx, volume: &str) -> Result<u64, DbError> {
    let found = first(tx, "SELECT epoch FROM volumes WHERE id = ?", (volume,)).await?;
    found.map_or(Ok(1), |row| Ok(row.col::<u64>("epoch")? + 1))
}

pub async fn set_attachment_unwanted(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "UPDATE attachments SET wanted = 0, generation = generation + 1 WHERE id = ? AND wanted = 1", (id,))
        .await?;
    Ok(())
}

/// Its guest is not waited for any more.
pub async fn set_attachment_forced(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "UPDATE attachments SET forced = 1 WHERE id = ?", (id,)).await?;
    Ok(())
}

/// An instance's host changed: its exports are made anew for that host, in the next epoch of each volume.
pub async fn renew_exports(tx: &mut Tx, instance: &str) -> Result<(), DbError> {
    let volumes = "UPDATE volumes SET epoch = epoch + 1 WHERE id IN \
                   (SELECT volume_id FROM attachments WHERE instance_id = ? AND open = 1 AND wanted = 1)";
    run(tx, volumes, (instance,)).await?;
    let attachments = "UPDATE attachments t SET generation = generation + 1, fencing = 0, \
                       epoch = (SELECT v.epoch FROM volumes v WHERE v.id = t.volume_id) \
                       WHERE instance_id = ? AND open = 1 AND wanted = 1";
    run(tx, attachments, (instance,)).await?;
    Ok(())
}

pub async fn close_attachment(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "UPDATE attachments SET open = NULL, closed_at = UTC_TIMESTAMP(3) WHERE id = ?", (id,)).await?;
    Ok(())
}

const VIEW: &str = "SELECT v.*, t.instance_id AS attached_to, IFNULL(a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS \
                    online FROM volumes v JOIN storage_nodes s ON s.id = v.storage_node_id JOIN agents a ON a.id = s.agent_id \
                    LEFT JOIN attachments t ON t.volume_id = v.id AND t.open = 1";

fn view(row: &mysql_async::Row) -> Result<api::Volume, DbError> {
    let id = row.text("id")?;
    let state = row.text("state")?;
    let display_name = row.text("display_name")?;
    let failure: Option<String> = row.col("failure_code")?;
    let attached_to: Option<String> = row.col("attached_to")?;
    let key = row.text("backend_key")?;
    Ok(api::Volume {
        guest_device_name: attached_to.as_ref().map(|_| format!("/dev/disk/by-id/virtio-{key}")),
        uuid: id.clone(),
        id,
        account_id: row.text("account_id")?,
        status: if row.flag("online")? { "online".into() } else { "offline".into() },
        state: VolumeState::parse(&state).ok_or_else(|| super::row::strange("state", state))?,
        size: row.col("size_bytes")?,
        instance_id: attached_to,
        request_params: serde_json::json!({}),
        deleted_at: row.time_opt("deleted_at")?,
        attached_at: row.time_opt("attached_at")?,
        detached_at: row.time_opt("detached_at")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        service_type: "std".into(),
        display_name: Some(display_name).filter(|name| !name.is_empty()),
        backup_object_id: row.col("backup_object_id")?,
        snapshot_id: row.col("snapshot_id")?,
        replica_id: row.col("replica_id")?,
        volume_type: "Dcmgr::Models::IscsiVolume".into(),
        volume_device: serde_json::Value::Null,
        store_type: "shared".into(),
        labels: Vec::new(),
        storage_node_id: Some(row.text("storage_node_id")?),
        generation: row.col("generation")?,
        failure: failure.map(|code| {
            let message = row.col::<Option<String>>("failure_message").ok().flatten().unwrap_or_default();
            api::Failure::new(code).with("message", message)
        }),
        progress: None,
        rollback: rollbacks::view(row)?,
    })
}

/// Which volumes of a list.
#[derive(Debug, Clone, Copy)]
pub struct Narrowed<'a> {
    pub account: Option<&'a str>,
    pub alive: bool,
    pub state: Option<&'a str>,
    pub instance: Option<&'a str>,
    pub filter: &'a api::ListFilter,
}

/// Columns a list may be sorted by.
const SORTED: &[(&str, &str)] = &[
    ("id", "v.id"),
    ("created_at", "v.seq"),
    ("updated_at", "v.updated_at"),
    ("display_name", "v.display_name"),
    ("state", "v.state"),
];

pub async fn list(db: &Db, to: Narrowed<'_>) -> Result<(u64, Vec<api::Volume>), DbError> {
    let filter = "(? IS NULL OR v.account_id = ?) AND (? = 0 OR v.deleted_at IS NULL) AND (? IS NULL OR v.state = ?) \
                  AND (? IS NULL OR EXISTS (SELECT 1 FROM attachments x WHERE x.volume_id = v.id AND x.open = 1 AND x.instance_id = ?)) \
                  AND (? IS NULL OR v.id LIKE ?) AND (? IS NULL OR v.display_name = ?) \
                  AND (? IS NULL OR CONVERT(v.id USING utf8mb4) LIKE ? OR v.display_name LIKE ?) \
                  AND (? IS NULL OR v.created_at >= ?) AND (? IS NULL OR v.created_at < ?) \
                  AND (? IS NULL OR v.deleted_at >= ?) AND (? IS NULL OR v.deleted_at < ?)";
    let f = to.filter;
    let prefix = f.id.as_deref().map(super::prefix);
    let mut values: Vec<mysql_async::Value> = vec![to.account.into(), to.account.into(), to.alive.into()];
    values.extend(super::twice(to.state));
    values.extend(super::twice(to.instance));
    values.extend(super::twice(prefix.as_deref()));
    values.extend(super::twice(f.display_name.as_deref()));
    values.extend(super::searched(f));
    values.extend(super::spans(f));
    let count = format!("SELECT COUNT(*) AS n FROM volumes v WHERE {filter}");
    let total = db.rows(count, mysql_async::Params::Positional(values.clone())).await?;
    let (behind, after) = Long::Volumes.behind(f, SORTED, "v.seq");
    values.extend(after);
    values.extend([f.limit.into(), f.start.into()]);
    let order = super::order(f, SORTED, "v.seq");
    let statement = format!("{VIEW} WHERE {filter}{behind} ORDER BY {order} LIMIT ? OFFSET ?");
    let found = db.rows(statement, mysql_async::Params::Positional(values)).await?;
    let total = total.first().map_or(Ok(0), |row| row.col("n"))?;
    Ok((total, found.iter().map(view).collect::<Result<_, _>>()?))
}

pub async fn set_name(tx: &mut Tx, id: &str, name: &str) -> Result<(), DbError> {
    run(tx, "UPDATE volumes SET display_name = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?", (name, id)).await?;
    Ok(())
}

pub async fn get(db: &Db, id: &str, account: Option<&str>) -> Result<Option<api::Volume>, DbError> {
    let statement = format!("{VIEW} WHERE v.id = ? AND (? IS NULL OR v.account_id = ?)");
    db.rows(statement, (id, account, account)).await?.first().map(view).transpose()
}

/// Live volumes of a storage node.
pub async fn on_node(tx: &mut Tx, node: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM volumes WHERE storage_node_id = ? AND deleted_at IS NULL ORDER BY seq";
    rows(tx, statement, (node,)).await?.iter().map(|row| row.text("id")).collect()
}

/// Volumes in a transitional state for a while with no job that would end it, for the sweep.
pub async fn unsettled(db: &Db) -> Result<Vec<String>, DbError> {
    let statement = "SELECT v.id FROM volumes v WHERE v.deleted_at IS NULL \
        AND v.state IN ('creating', 'attaching', 'detaching', 'reverting', 'deleting') \
        AND v.state_since < UTC_TIMESTAMP(3) - INTERVAL 5 SECOND \
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.thing = v.id AND j.open = 1) \
        AND NOT EXISTS (SELECT 1 FROM attachments t JOIN jobs j ON j.thing IN (t.id, t.instance_id) AND j.open = 1 \
                        WHERE t.volume_id = v.id AND t.open = 1) ORDER BY v.seq LIMIT 200";
    db.rows(statement, ()).await?.iter().map(|row| row.text("id")).collect()
}

/// The open attachment of a volume, not locked: to learn which instance to lock first.
pub async fn find_open(tx: &mut Tx, volume: &str) -> Result<Option<AttachmentRow>, DbError> {
    let statement = format!("{ATTACHMENTS} WHERE volume_id = ? AND open = 1");
    first(tx, statement, (volume,)).await?.as_ref().map(read_attachment).transpose()
}
