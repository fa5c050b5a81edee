//! Hosts that were declared lost, and what is written of their machines and volumes.

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::Timestamp;

/// A host as whoever declares it lost has to see it.
#[derive(Debug, Clone)]
pub struct HostRow {
    pub agent: String,
    pub heard_at: Option<Timestamp>,
    /// Within the lapse after which it counts as silent.
    pub heard: bool,
    pub lost: bool,
}

/// Locks the host's row.
pub async fn lock(tx: &mut Tx, host: &str) -> Result<Option<HostRow>, DbError> {
    if !super::nodes::lock_host(tx, host).await? {
        return Ok(None);
    }
    let statement = "SELECT h.agent_id, a.heard_at, h.lost_at IS NOT NULL AS lost, \
                     IFNULL(a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS heard \
                     FROM host_nodes h JOIN agents a ON a.id = h.agent_id WHERE h.id = ?";
    let found = first(tx, statement, (host,)).await?;
    found
        .map(|row| {
            Ok(HostRow {
                agent: row.text("agent_id")?,
                heard_at: row.time_opt("heard_at")?,
                heard: row.flag("heard")?,
                lost: row.flag("lost")?,
            })
        })
        .transpose()
}

/// From now on nothing is placed there and its agent's open jobs are answered by nobody: they end here. It stays out of
/// placement until an operator says otherwise, also when it has come back.
pub async fn declare(tx: &mut Tx, host: &str, agent: &str) -> Result<(), DbError> {
    let statement = "UPDATE host_nodes SET lost_at = IFNULL(lost_at, UTC_TIMESTAMP(3)), scheduling_enabled = 0, \
                     updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (host,)).await?;
    let jobs = "UPDATE jobs SET state = 'obsolete', open = NULL, finished_at = UTC_TIMESTAMP(3) WHERE agent_id = ? AND open = 1";
    run(tx, jobs, (agent,)).await?;
    Ok(())
}

/// It came back and gave up what it had.
pub async fn end(tx: &mut Tx, host: &str) -> Result<(), DbError> {
    run(tx, "UPDATE host_nodes SET lost_at = NULL, updated_at = UTC_TIMESTAMP(3) WHERE id = ?", (host,)).await?;
    Ok(())
}

/// Whether a host was declared lost and has not come back.
pub async fn is_lost(tx: &mut Tx, host: &str) -> Result<bool, DbError> {
    Ok(first(tx, "SELECT id FROM host_nodes WHERE id = ? AND lost_at IS NOT NULL", (host,)).await?.is_some())
}

/// Agents of hosts that were declared lost.
pub async fn agents(tx: &mut Tx) -> Result<Vec<String>, DbError> {
    let found = rows(tx, "SELECT agent_id FROM host_nodes WHERE lost_at IS NOT NULL", ()).await?;
    found.iter().map(|row| row.text("agent_id")).collect()
}

/// The same outside of a transaction.
pub async fn agents_of(db: &Db) -> Result<Vec<String>, DbError> {
    let found = db.rows("SELECT agent_id FROM host_nodes WHERE lost_at IS NOT NULL", ()).await?;
    found.iter().map(|row| row.text("agent_id")).collect()
}

/// What the operator's word says of an instance at a lost host: nothing of it is there, under this generation. It is no
/// observation and carries no order: any observation of the host replaces it.
pub async fn settle_absent(tx: &mut Tx, instance: &str, agent: &str, generation: u64) -> Result<(), DbError> {
    for name in ["domain", "power"] {
        let statement = "INSERT INTO facts (thing, agent_id, name, value, generation, updated_at) VALUES (?, ?, ?, 'no', ?, UTC_TIMESTAMP(3)) \
                         ON DUPLICATE KEY UPDATE value = 'no', generation = VALUES(generation), incarnation = 0, observed = 0, detail = NULL, updated_at = UTC_TIMESTAMP(3)";
        run(tx, statement, (instance, agent, name, generation)).await?;
    }
    Ok(())
}

/// The way to a volume is to be fenced, under a generation that no older proof has. `keeps`: the attachment goes on elsewhere.
pub async fn fence(tx: &mut Tx, attachment: &str, keeps: bool) -> Result<(), DbError> {
    let statement = "UPDATE attachments SET fencing = 1, wanted = wanted AND ?, generation = generation + 1 WHERE id = ? AND open = 1";
    run(tx, statement, (keeps, attachment)).await?;
    Ok(())
}

/// Instances of a host that are off because it was lost.
pub async fn with_host(tx: &mut Tx, host: &str, code: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM instances WHERE host_node_id = ? AND terminated_at IS NULL AND failure_code = ?";
    rows(tx, statement, (host, code)).await?.iter().map(|row| row.text("id")).collect()
}
