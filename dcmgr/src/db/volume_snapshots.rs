//! Snapshots of volumes. Whoever writes one holds its volume's row.

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Long, Tx};
use arame_schema::api;
use arame_schema::model::volume_snapshot::VolumeSnapshotState;

#[derive(Debug, Clone)]
pub struct SnapshotRow {
    /// The order in which the snapshots of a volume are taken.
    pub seq: u64,
    pub id: String,
    pub account: String,
    pub volume: String,
    pub node: String,
    pub key: String,
    pub size_bytes: u64,
    pub wanted: bool,
    pub was_present: bool,
    pub generation: u64,
    pub state: VolumeSnapshotState,
    pub failure_code: Option<String>,
    pub deleted: bool,
}

const SELECT: &str = "SELECT seq, id, account_id, volume_id, storage_node_id, backend_key, size_bytes, wanted, was_present, generation, \
                      state, failure_code, deleted_at IS NOT NULL AS gone FROM volume_snapshots";

fn state_of(row: &mysql_async::Row) -> Result<VolumeSnapshotState, DbError> {
    let state = row.text("state")?;
    VolumeSnapshotState::parse(&state).ok_or_else(|| super::row::strange("state", state))
}

fn read(row: &mysql_async::Row) -> Result<SnapshotRow, DbError> {
    Ok(SnapshotRow {
        seq: row.col("seq")?,
        id: row.text("id")?,
        account: row.text("account_id")?,
        volume: row.text("volume_id")?,
        node: row.text("storage_node_id")?,
        key: row.text("backend_key")?,
        size_bytes: row.col("size_bytes")?,
        wanted: row.flag("wanted")?,
        was_present: row.flag("was_present")?,
        generation: row.col("generation")?,
        state: state_of(row)?,
        failure_code: row.col("failure_code")?,
        deleted: row.flag("gone")?,
    })
}

/// Not locked: to learn which volume to lock first.
pub async fn find(tx: &mut Tx, id: &str) -> Result<Option<SnapshotRow>, DbError> {
    first(tx, format!("{SELECT} WHERE id = ?"), (id,)).await?.as_ref().map(read).transpose()
}

/// Locks the snapshot's volume, then reads both: every writer of a snapshot does this first.
pub async fn lock(tx: &mut Tx, id: &str) -> Result<Option<(super::volumes::VolumeRow, SnapshotRow)>, DbError> {
    let Some(found) = find(tx, id).await? else { return Ok(None) };
    let Some(volume) = super::volumes::lock(tx, &found.volume).await? else { return Ok(None) };
    let found = first(tx, format!("{SELECT} WHERE id = ? FOR UPDATE"), (id,)).await?.as_ref().map(read).transpose()?;
    Ok(found.map(|snapshot| (volume, snapshot)))
}

/// Live snapshots of a volume, oldest first. The caller holds the volume's row.
pub async fn of_volume(tx: &mut Tx, volume: &str) -> Result<Vec<SnapshotRow>, DbError> {
    let statement = format!("{SELECT} WHERE volume_id = ? AND deleted_at IS NULL ORDER BY seq");
    rows(tx, statement, (volume,)).await?.iter().map(read).collect()
}

/// Whether a volume is being made of it, and was not given up.
pub async fn is_being_cloned(tx: &mut Tx, id: &str) -> Result<bool, DbError> {
    let statement = "SELECT id FROM volumes WHERE snapshot_id = ? AND deleted_at IS NULL AND wanted = 1 \
                     AND was_present = 0 AND failure_code IS NULL LIMIT 1";
    Ok(first(tx, statement, (id,)).await?.is_some())
}

/// Live volumes that stand on a snapshot of this volume newer than the `seq`th: made of one, or of what was made of one and
/// was deleted since (its heir took its place).
pub async fn made_of_newer(tx: &mut Tx, volume: &str, seq: u64) -> Result<Vec<String>, DbError> {
    let statement = "WITH RECURSIVE made (id, gone) AS (\
        SELECT v.id, v.deleted_at IS NOT NULL FROM volume_snapshots p JOIN volumes v ON v.snapshot_id = p.id \
        WHERE p.volume_id = ? AND p.seq > ? \
        UNION SELECT v.id, v.deleted_at IS NOT NULL FROM made m JOIN volume_snapshots p ON p.volume_id = m.id \
        JOIN volumes v ON v.snapshot_id = p.id WHERE m.gone = 1) \
        SELECT id FROM made WHERE gone = 0 ORDER BY id LIMIT 20";
    rows(tx, statement, (volume, seq)).await?.iter().map(|row| row.text("id")).collect()
}

#[derive(Debug, Clone)]
pub struct NewSnapshot<'a> {
    pub id: &'a str,
    pub account: &'a str,
    pub volume: &'a str,
    pub node: &'a str,
    pub key: &'a str,
    pub size_bytes: u64,
    pub display_name: &'a str,
}

pub async fn insert(tx: &mut Tx, snapshot: &NewSnapshot<'_>) -> Result<(), DbError> {
    let statement = "INSERT INTO volume_snapshots (id, account_id, volume_id, storage_node_id, backend_key, size_bytes, \
                     display_name, state, state_since, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'creating', \
                     UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    let s = snapshot;
    run(tx, statement, (s.id, s.account, s.volume, s.node, s.key, s.size_bytes, s.display_name)).await?;
    Ok(())
}

/// A row made for what exists: at the generation found, holding data.
pub async fn set_adopted(tx: &mut Tx, id: &str, generation: u64) -> Result<(), DbError> {
    run(tx, "UPDATE volume_snapshots SET generation = ?, was_present = 1 WHERE id = ?", (generation, id)).await?;
    Ok(())
}

pub async fn update(tx: &mut Tx, id: &str, change: &api::UpdateVolumeSnapshot) -> Result<(), DbError> {
    let statement = "UPDATE volume_snapshots SET display_name = IFNULL(?, display_name), kept = IFNULL(?, kept), \
                     updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (&change.display_name, change.kept, id)).await?;
    Ok(())
}

pub async fn set_unwanted(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE volume_snapshots SET wanted = 0, generation = generation + 1, failure_code = NULL, \
                     failure_final = 0, updated_at = UTC_TIMESTAMP(3) WHERE id = ? AND wanted = 1";
    run(tx, statement, (id,)).await?;
    Ok(())
}

/// It holds data from now on. What turns up of one that was given up does not: it is removed.
pub async fn set_seen_present(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement =
        "UPDATE volume_snapshots SET was_present = 1 WHERE id = ? AND was_present = 0 AND failure_code IS NULL";
    run(tx, statement, (id,)).await?;
    Ok(())
}

pub async fn set_state(tx: &mut Tx, id: &str, state: VolumeSnapshotState) -> Result<(), DbError> {
    let statement = "UPDATE volume_snapshots SET state = ?, state_since = UTC_TIMESTAMP(3), \
                     updated_at = UTC_TIMESTAMP(3), deleted_at = IF(? = 'deleted', UTC_TIMESTAMP(3), NULL) WHERE id = ?";
    run(tx, statement, (state.as_str(), state.as_str(), id)).await?;
    Ok(())
}

pub async fn set_failure(tx: &mut Tx, id: &str, failure: (&str, &str), is_final: bool) -> Result<(), DbError> {
    let statement = "UPDATE volume_snapshots SET failure_code = ?, failure_message = ?, failure_final = ? WHERE id = ?";
    run(tx, statement, (failure.0, failure.1, is_final, id)).await?;
    Ok(())
}

const VIEW: &str = "SELECT p.*, IFNULL(a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS online \
                    FROM volume_snapshots p JOIN storage_nodes s ON s.id = p.storage_node_id \
                    JOIN agents a ON a.id = s.agent_id";

fn view(row: &mysql_async::Row) -> Result<api::VolumeSnapshot, DbError> {
    let id = row.text("id")?;
    let display_name = row.text("display_name")?;
    let failure: Option<String> = row.col("failure_code")?;
    let message: Option<String> = row.col("failure_message")?;
    Ok(api::VolumeSnapshot {
        uuid: id.clone(),
        id,
        account_id: row.text("account_id")?,
        volume_id: row.text("volume_id")?,
        status: if row.flag("online")? { "online".into() } else { "offline".into() },
        state: state_of(row)?,
        size: row.col("size_bytes")?,
        display_name: Some(display_name).filter(|name| !name.is_empty()),
        storage_node_id: row.text("storage_node_id")?,
        generation: row.col("generation")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        deleted_at: row.time_opt("deleted_at")?,
        failure: failure.map(|code| api::Failure::new(code).with("message", message.unwrap_or_default())),
        schedule_id: row.col("schedule_id")?,
        kept: row.flag("kept")?,
    })
}

/// What a list is narrowed to.
#[derive(Debug, Clone, Copy)]
pub struct Narrowed<'a> {
    pub account: Option<&'a str>,
    pub volume: Option<&'a str>,
    pub alive: bool,
    pub state: Option<&'a str>,
}

/// Columns a list may be sorted by.
const SORTED: &[(&str, &str)] = &[
    ("id", "p.id"),
    ("created_at", "p.seq"),
    ("updated_at", "p.updated_at"),
    ("display_name", "p.display_name"),
    ("state", "p.state"),
];

/// A page, newest first unless asked otherwise.
pub async fn list(db: &Db, to: Narrowed<'_>, f: &api::ListFilter) -> Result<(u64, Vec<api::VolumeSnapshot>), DbError> {
    let filter = "(? IS NULL OR p.account_id = ?) AND (? IS NULL OR p.volume_id = ?) AND \
                  (? = 0 OR p.deleted_at IS NULL) AND (? IS NULL OR p.state = ?) \
                  AND (? IS NULL OR p.id LIKE ?) AND (? IS NULL OR p.display_name = ?) \
                  AND (? IS NULL OR CONVERT(p.id USING utf8mb4) LIKE ? OR p.display_name LIKE ?) \
                  AND (? IS NULL OR p.created_at >= ?) AND (? IS NULL OR p.created_at < ?) \
                  AND (? IS NULL OR p.deleted_at >= ?) AND (? IS NULL OR p.deleted_at < ?)";
    let mut values: Vec<mysql_async::Value> = Vec::new();
    values.extend(super::twice(to.account));
    values.extend(super::twice(to.volume));
    values.push(to.alive.into());
    values.extend(super::twice(to.state));
    values.extend(super::twice(f.id.as_deref().map(super::prefix).as_deref()));
    values.extend(super::twice(f.display_name.as_deref()));
    values.extend(super::searched(f));
    values.extend(super::spans(f));
    let count = format!("SELECT COUNT(*) AS n FROM volume_snapshots p WHERE {filter}");
    let total = db.rows(count, mysql_async::Params::Positional(values.clone())).await?;
    let (behind, after) = Long::VolumeSnapshots.behind(f, SORTED, "p.seq");
    values.extend(after);
    values.extend([f.limit.into(), f.start.into()]);
    let order = super::order(f, SORTED, "p.seq");
    let statement = format!("{VIEW} WHERE {filter}{behind} ORDER BY {order} LIMIT ? OFFSET ?");
    let found = db.rows(statement, mysql_async::Params::Positional(values)).await?;
    let total = total.first().map_or(Ok(0), |row| row.col("n"))?;
    Ok((total, found.iter().map(view).collect::<Result<_, _>>()?))
}

pub async fn get(db: &Db, id: &str, account: Option<&str>) -> Result<Option<api::VolumeSnapshot>, DbError> {
    let statement = format!("{VIEW} WHERE p.id = ? AND (? IS NULL OR p.account_id = ?)");
    db.rows(statement, (id, account, account)).await?.first().map(view).transpose()
}

/// Live snapshots of a storage node, oldest first.
pub async fn on_node(tx: &mut Tx, node: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM volume_snapshots WHERE storage_node_id = ? AND deleted_at IS NULL ORDER BY seq";
    rows(tx, statement, (node,)).await?.iter().map(|row| row.text("id")).collect()
}

/// Snapshots in a transitional state for a while with no job that would end it, for the sweep.
pub async fn unsettled(db: &Db) -> Result<Vec<String>, DbError> {
    let statement = "SELECT p.id FROM volume_snapshots p WHERE p.deleted_at IS NULL \
        AND p.state IN ('creating', 'deleting') AND p.state_since < UTC_TIMESTAMP(3) - INTERVAL 5 SECOND \
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.thing = p.id AND j.open = 1) ORDER BY p.seq LIMIT 200";
    db.rows(statement, ()).await?.iter().map(|row| row.text("id")).collect()
}
