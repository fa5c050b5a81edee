//! Replicas of snapshots. Whoever writes one holds the row of the volume that its snapshot is of, also of a volume that was
//! deleted since: rows stay.

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Long, Tx};
use arame_schema::api;
use arame_schema::model::volume_snapshot::VolumeSnapshotState;

#[derive(Debug, Clone)]
pub struct ReplicaRow {
    pub id: String,
    pub account: String,
    pub volume: String,
    pub snapshot: String,
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

impl ReplicaRow {
    /// Its snapshot is being read for it.
    pub fn comes(&self) -> bool {
        self.wanted && !self.was_present && self.failure_code.is_none() && !self.deleted
    }
}

const SELECT: &str = "SELECT id, account_id, volume_id, snapshot_id, storage_node_id, backend_key, size_bytes, wanted, was_present, \
                      generation, state, failure_code, deleted_at IS NOT NULL AS gone FROM snapshot_replicas";

/// Of [`ReplicaRow::comes`].
const COMES: &str = "wanted = 1 AND was_present = 0 AND failure_code IS NULL AND deleted_at IS NULL";

fn state_of(row: &mysql_async::Row) -> Result<VolumeSnapshotState, DbError> {
    let state = row.text("state")?;
    VolumeSnapshotState::parse(&state).ok_or_else(|| super::row::strange("state", state))
}

fn read(row: &mysql_async::Row) -> Result<ReplicaRow, DbError> {
    Ok(ReplicaRow {
        id: row.text("id")?,
        account: row.text("account_id")?,
        volume: row.text("volume_id")?,
        snapshot: row.text("snapshot_id")?,
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
pub async fn find(tx: &mut Tx, id: &str) -> Result<Option<ReplicaRow>, DbError> {
    first(tx, format!("{SELECT} WHERE id = ?"), (id,)).await?.as_ref().map(read).transpose()
}

/// Locks the volume its snapshot is of, then the replica.
pub async fn lock(tx: &mut Tx, id: &str) -> Result<Option<ReplicaRow>, DbError> {
    let Some(found) = find(tx, id).await? else { return Ok(None) };
    super::volumes::lock(tx, &found.volume).await?;
    first(tx, format!("{SELECT} WHERE id = ? FOR UPDATE"), (id,)).await?.as_ref().map(read).transpose()
}

/// Live replicas of a snapshot, oldest first. The caller holds its volume's row.
pub async fn of_snapshot(tx: &mut Tx, snapshot: &str) -> Result<Vec<ReplicaRow>, DbError> {
    let statement = format!("{SELECT} WHERE snapshot_id = ? AND deleted_at IS NULL ORDER BY seq");
    rows(tx, statement, (snapshot,)).await?.iter().map(read).collect()
}

/// Replicas that a snapshot is being read for, oldest first.
pub async fn coming_of(tx: &mut Tx, snapshot: &str) -> Result<Vec<ReplicaRow>, DbError> {
    let statement = format!("{SELECT} WHERE snapshot_id = ? AND {COMES} ORDER BY seq");
    rows(tx, statement, (snapshot,)).await?.iter().map(read).collect()
}

/// One that is being received of a snapshot of this volume newer than the `seq`th.
pub async fn coming_of_newer(tx: &mut Tx, volume: &str, seq: u64) -> Result<Option<String>, DbError> {
    let statement = "SELECT r.id FROM snapshot_replicas r JOIN volume_snapshots p ON p.id = r.snapshot_id \
                     WHERE p.volume_id = ? AND p.seq > ? AND r.wanted = 1 AND r.was_present = 0 \
                     AND r.failure_code IS NULL AND r.deleted_at IS NULL ORDER BY r.seq LIMIT 1";
    first(tx, statement, (volume, seq)).await?.map(|row| row.text("id")).transpose()
}

/// Whether a volume is being made of it, and was not given up.
pub async fn is_being_cloned(tx: &mut Tx, id: &str) -> Result<bool, DbError> {
    let statement = "SELECT id FROM volumes WHERE replica_id = ? AND deleted_at IS NULL AND wanted = 1 \
                     AND was_present = 0 AND failure_code IS NULL LIMIT 1";
    Ok(first(tx, statement, (id,)).await?.is_some())
}

#[derive(Debug, Clone)]
pub struct NewReplica<'a> {
    pub id: &'a str,
    pub account: &'a str,
    pub volume: &'a str,
    pub snapshot: &'a str,
    pub node: &'a str,
    pub key: &'a str,
    pub size_bytes: u64,
}

pub async fn insert(tx: &mut Tx, replica: &NewReplica<'_>) -> Result<(), DbError> {
    let statement = "INSERT INTO snapshot_replicas (id, account_id, volume_id, snapshot_id, storage_node_id, backend_key, \
                     size_bytes, state, state_since, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'creating', \
                     UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    let r = replica;
    run(tx, statement, (r.id, r.account, r.volume, r.snapshot, r.node, r.key, r.size_bytes)).await?;
    Ok(())
}

/// It is whole, and was before anybody asked for it.
pub async fn set_adopted(tx: &mut Tx, id: &str, generation: u64) -> Result<(), DbError> {
    let statement = "UPDATE snapshot_replicas SET generation = ?, was_present = 1, state = 'available' WHERE id = ?";
    run(tx, statement, (generation, id)).await?;
    Ok(())
}

/// Of a part that is adopted: what it carries.
pub async fn set_generation(tx: &mut Tx, id: &str, generation: u64) -> Result<(), DbError> {
    run(tx, "UPDATE snapshot_replicas SET generation = ? WHERE id = ?", (generation, id)).await?;
    Ok(())
}

pub async fn set_unwanted(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE snapshot_replicas SET wanted = 0, generation = generation + 1, failure_code = NULL, \
                     failure_final = 0, updated_at = UTC_TIMESTAMP(3) WHERE id = ? AND wanted = 1";
    run(tx, statement, (id,)).await?;
    Ok(())
}

/// It holds data from now on. What turns up of one that was given up does not: it is removed.
pub async fn set_seen_present(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement =
        "UPDATE snapshot_replicas SET was_present = 1 WHERE id = ? AND was_present = 0 AND failure_code IS NULL";
    run(tx, statement, (id,)).await?;
    Ok(())
}

pub async fn set_state(tx: &mut Tx, id: &str, state: VolumeSnapshotState) -> Result<(), DbError> {
    let statement = "UPDATE snapshot_replicas SET state = ?, state_since = UTC_TIMESTAMP(3), \
                     updated_at = UTC_TIMESTAMP(3), deleted_at = IF(? = 'deleted', UTC_TIMESTAMP(3), NULL) WHERE id = ?";
    run(tx, statement, (state.as_str(), state.as_str(), id)).await?;
    Ok(())
}

pub async fn set_failure(tx: &mut Tx, id: &str, failure: (&str, &str), is_final: bool) -> Result<(), DbError> {
    let statement =
        "UPDATE snapshot_replicas SET failure_code = ?, failure_message = ?, failure_final = ? WHERE id = ?";
    run(tx, statement, (failure.0, failure.1, is_final, id)).await?;
    Ok(())
}

/// What is shown to read a snapshot, sealed: `sealed`, if none was drawn before.
pub async fn reader_of(tx: &mut Tx, snapshot: &str, sealed: &str) -> Result<String, DbError> {
    let statement = "UPDATE volume_snapshots SET reader_sealed = IFNULL(reader_sealed, ?) WHERE id = ?";
    run(tx, statement, (sealed, snapshot)).await?;
    Ok(find_reader(tx, snapshot).await?.unwrap_or_else(|| sealed.to_owned()))
}

pub async fn find_reader(tx: &mut Tx, snapshot: &str) -> Result<Option<String>, DbError> {
    let found = first(tx, "SELECT reader_sealed FROM volume_snapshots WHERE id = ?", (snapshot,)).await?;
    Ok(found.map(|row| row.col("reader_sealed")).transpose()?.flatten())
}

const VIEW: &str = "SELECT r.*, IFNULL(a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS online, \
                    (SELECT MAX(j.progress) FROM jobs j WHERE j.thing = r.id AND j.open = 1) AS percent \
                    FROM snapshot_replicas r JOIN storage_nodes s ON s.id = r.storage_node_id \
                    JOIN agents a ON a.id = s.agent_id";

fn view(row: &mysql_async::Row) -> Result<api::SnapshotReplica, DbError> {
    let id = row.text("id")?;
    let failure: Option<String> = row.col("failure_code")?;
    let message: Option<String> = row.col("failure_message")?;
    Ok(api::SnapshotReplica {
        uuid: id.clone(),
        id,
        account_id: row.text("account_id")?,
        volume_id: row.text("volume_id")?,
        snapshot_id: row.text("snapshot_id")?,
        storage_node_id: row.text("storage_node_id")?,
        status: if row.flag("online")? { "online".into() } else { "offline".into() },
        state: state_of(row)?,
        size: row.col("size_bytes")?,
        percent: row.col("percent")?,
        generation: row.col("generation")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        deleted_at: row.time_opt("deleted_at")?,
        failure: failure.map(|code| api::Failure::new(code).with("message", message.unwrap_or_default())),
    })
}

/// What a list is narrowed to.
#[derive(Debug, Clone, Copy)]
pub struct Narrowed<'a> {
    pub account: Option<&'a str>,
    pub snapshot: Option<&'a str>,
    pub volume: Option<&'a str>,
    pub alive: bool,
    pub state: Option<&'a str>,
}

/// Columns a list may be sorted by.
const SORTED: &[(&str, &str)] =
    &[("id", "r.id"), ("created_at", "r.seq"), ("updated_at", "r.updated_at"), ("state", "r.state")];

/// A page, newest first unless asked otherwise.
pub async fn list(db: &Db, to: Narrowed<'_>, f: &api::ListFilter) -> Result<(u64, Vec<api::SnapshotReplica>), DbError> {
    let filter = "(? IS NULL OR r.account_id = ?) AND (? IS NULL OR r.snapshot_id = ?) AND (? IS NULL OR r.volume_id = ?) \
                  AND (? = 0 OR r.deleted_at IS NULL) AND (? IS NULL OR r.state = ?) AND (? IS NULL OR r.id LIKE ?) \
                  AND (? IS NULL OR r.created_at >= ?) AND (? IS NULL OR r.created_at < ?) \
                  AND (? IS NULL OR r.deleted_at >= ?) AND (? IS NULL OR r.deleted_at < ?)";
    let mut values: Vec<mysql_async::Value> = Vec::new();
    values.extend(super::twice(to.account));
    values.extend(super::twice(to.snapshot));
    values.extend(super::twice(to.volume));
    values.push(to.alive.into());
    values.extend(super::twice(to.state));
    values.extend(super::twice(f.id.as_deref().map(super::prefix).as_deref()));
    values.extend(super::spans(f));
    let count = format!("SELECT COUNT(*) AS n FROM snapshot_replicas r WHERE {filter}");
    let total = db.rows(count, mysql_async::Params::Positional(values.clone())).await?;
    let (behind, after) = Long::SnapshotReplicas.behind(f, SORTED, "r.seq");
    values.extend(after);
    values.extend([f.limit.into(), f.start.into()]);
    let order = super::order(f, SORTED, "r.seq");
    let statement = format!("{VIEW} WHERE {filter}{behind} ORDER BY {order} LIMIT ? OFFSET ?");
    let found = db.rows(statement, mysql_async::Params::Positional(values)).await?;
    let total = total.first().map_or(Ok(0), |row| row.col("n"))?;
    Ok((total, found.iter().map(view).collect::<Result<_, _>>()?))
}

pub async fn get(db: &Db, id: &str, account: Option<&str>) -> Result<Option<api::SnapshotReplica>, DbError> {
    let statement = format!("{VIEW} WHERE r.id = ? AND (? IS NULL OR r.account_id = ?)");
    db.rows(statement, (id, account, account)).await?.first().map(view).transpose()
}

/// Live replicas on a storage node, oldest first.
pub async fn on_node(tx: &mut Tx, node: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM snapshot_replicas WHERE storage_node_id = ? AND deleted_at IS NULL ORDER BY seq";
    rows(tx, statement, (node,)).await?.iter().map(|row| row.text("id")).collect()
}

/// Replicas in a transitional state for a while with no job that would end it, for the sweep.
pub async fn unsettled(db: &Db) -> Result<Vec<String>, DbError> {
    let statement = "SELECT r.id FROM snapshot_replicas r WHERE r.deleted_at IS NULL \
        AND r.state IN ('creating', 'deleting') AND r.state_since < UTC_TIMESTAMP(3) - INTERVAL 5 SECOND \
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.thing = r.id AND j.open = 1) ORDER BY r.seq LIMIT 200";
    db.rows(statement, ()).await?.iter().map(|row| row.text("id")).collect()
}
