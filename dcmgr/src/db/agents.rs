//! Agents as rows: who may join, who is heard, what they last listed.

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::jobs::report::{Capacity, Hello, Inventory};
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct AgentRow {
    pub id: String,
    pub kind: String,
    pub node: String,
    pub key_sha256: String,
    pub incarnation: u64,
    pub nonce: Option<Uuid>,
    pub version: Option<String>,
    pub kinds: Vec<String>,
    pub capacity: Capacity,
    pub endpoints: BTreeMap<String, String>,
    pub degraded: Option<String>,
    pub heard_at: Option<arame_schema::api::Timestamp>,
    /// Heard within the last three heartbeats, by the database's clock.
    pub online: bool,
}

const SELECT: &str = "SELECT id, kind, node_id, key_sha256, incarnation, nonce, version, kinds, capacity, endpoints, degraded, \
                      heard_at, IFNULL(heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS online FROM agents";

fn read(row: &mysql_async::Row) -> Result<AgentRow, DbError> {
    Ok(AgentRow {
        id: row.text("id")?,
        kind: row.text("kind")?,
        node: row.text("node_id")?,
        key_sha256: row.text("key_sha256")?,
        incarnation: row.col("incarnation")?,
        nonce: row.parsed_opt("nonce")?,
        version: row.col("version")?,
        kinds: row.json_opt("kinds")?.unwrap_or_default(),
        capacity: row.json_opt("capacity")?.unwrap_or_default(),
        endpoints: row.json_opt("endpoints")?.unwrap_or_default(),
        degraded: row.col("degraded")?,
        heard_at: row.time_opt("heard_at")?,
        online: row.flag("online")?,
    })
}

pub async fn lock(tx: &mut Tx, id: &str) -> Result<Option<AgentRow>, DbError> {
    first(tx, format!("{SELECT} WHERE id = ? FOR UPDATE"), (id,)).await?.as_ref().map(read).transpose()
}

pub async fn find(tx: &mut Tx, id: &str) -> Result<Option<AgentRow>, DbError> {
    first(tx, format!("{SELECT} WHERE id = ?"), (id,)).await?.as_ref().map(read).transpose()
}

pub async fn all(db: &Db) -> Result<Vec<AgentRow>, DbError> {
    db.rows(format!("{SELECT} ORDER BY id"), ()).await?.iter().map(read).collect()
}

/// One agent, outside a transaction.
pub async fn get(db: &Db, id: &str) -> Result<Option<AgentRow>, DbError> {
    db.rows(format!("{SELECT} WHERE id = ?"), (id,)).await?.first().map(read).transpose()
}

/// Agents of a kind, in a transaction.
pub async fn of_kind(tx: &mut Tx, kind: &str) -> Result<Vec<AgentRow>, DbError> {
    rows(tx, format!("{SELECT} WHERE kind = ? ORDER BY id"), (kind,)).await?.iter().map(read).collect()
}

pub async fn was_replaced(tx: &mut Tx, agent: &str, nonce: Uuid) -> Result<bool, DbError> {
    let statement = "SELECT 1 AS one FROM former_processes WHERE agent_id = ? AND nonce = ?";
    Ok(first(tx, statement, (agent, nonce.to_string())).await?.is_some())
}

/// Records a hello: the next incarnation, the process, what it offers.
pub async fn greet(tx: &mut Tx, row: &AgentRow, hello: &Hello) -> Result<u64, DbError> {
    if let Some(old) = row.nonce.filter(|old| *old != hello.nonce) {
        let statement =
            "INSERT IGNORE INTO former_processes (agent_id, nonce, replaced_at) VALUES (?, ?, UTC_TIMESTAMP(3))";
        run(tx, statement, (&row.id, old.to_string())).await?;
    }
    // Above any this process was given: a database that forgot some must not count backwards.
    let incarnation = row.incarnation.max(hello.last_incarnation) + 1;
    let json = |value: serde_json::Result<String>| value.map_err(|e| super::row::strange("hello", e));
    let statement = "UPDATE agents SET incarnation = ?, nonce = ?, machine_id = ?, version = ?, kinds = ?, capacity = ?, \
                     endpoints = ?, highest_epoch = ?, degraded = NULL, heard_at = UTC_TIMESTAMP(3) WHERE id = ?";
    let values = (
        incarnation,
        hello.nonce.to_string(),
        hello.machine_id.chars().take(64).collect::<String>(),
        hello.version.chars().take(64).collect::<String>(),
        json(serde_json::to_string(&hello.kinds))?,
        json(serde_json::to_string(&hello.capacity))?,
        json(serde_json::to_string(&hello.endpoints))?,
        hello.highest_epoch,
        &row.id,
    );
    run(tx, statement, values).await?;
    Ok(incarnation)
}

/// The newest database an agent has met, told outside a hello.
pub async fn set_met(tx: &mut Tx, agent: &str, epoch: u64) -> Result<(), DbError> {
    let statement = "UPDATE agents SET highest_epoch = GREATEST(highest_epoch, ?) WHERE id = ?";
    run(tx, statement, (epoch, agent)).await?;
    Ok(())
}

/// What a node offers follows its agent's hello.
pub async fn set_offering(tx: &mut Tx, row: &AgentRow, capacity: &Capacity) -> Result<(), DbError> {
    match row.kind.as_str() {
        "hva" => {
            let statement = "UPDATE host_nodes SET arch = ?, hypervisor = ?, offering_cpu_cores = ?, offering_memory_mib = ?, \
                             offering_disk_mib = ?, updated_at = UTC_TIMESTAMP(3) WHERE agent_id = ?";
            let c = capacity;
            // The word old clients send. How it is run (`kvm`, `qemu`, `sim`) is the host's `driver`.
            run(tx, statement, (&c.arch, "kvm", c.cpu_cores, c.memory_mib, c.disk_mib, &row.id)).await?;
        }
        "sta" => {
            let statement = "UPDATE storage_nodes SET storage_type = ?, offering_disk_mib = ?, updated_at = UTC_TIMESTAMP(3) \
                             WHERE agent_id = ?";
            run(tx, statement, (&capacity.driver, capacity.disk_mib, &row.id)).await?;
        }
        _ => {}
    }
    Ok(())
}

/// Notes a heartbeat. Answers false when it is of another incarnation than the row's.
pub async fn heard(db: &Db, agent: &str, incarnation: u64, degraded: Option<&str>) -> Result<bool, DbError> {
    let degraded: Option<String> = degraded.map(|text| text.chars().take(500).collect());
    let statement = "UPDATE agents SET heard_at = UTC_TIMESTAMP(3), degraded = ? WHERE id = ? AND incarnation = ?";
    Ok(db.run(statement, (degraded, agent, incarnation)).await? == 1)
}

pub async fn set_inventory(tx: &mut Tx, inventory: &Inventory) -> Result<bool, DbError> {
    let agent = inventory.agent.as_str();
    let held =
        first(tx, "SELECT incarnation, observed FROM inventories WHERE agent_id = ? FOR UPDATE", (agent,)).await?;
    if let Some(row) = held {
        let newer = (row.col::<u64>("incarnation")?, row.col::<u64>("observed")?);
        if newer > (inventory.began.incarnation, inventory.began.seq) {
            return Ok(false);
        }
    }
    let body = serde_json::to_string(inventory).map_err(|e| super::row::strange("body", e))?;
    let statement = "INSERT INTO inventories (agent_id, incarnation, observed, asked, body, received_at) \
                     VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(3)) ON DUPLICATE KEY UPDATE incarnation = VALUES(incarnation), \
                     observed = VALUES(observed), asked = VALUES(asked), body = VALUES(body), received_at = VALUES(received_at)";
    let asked = inventory.asked.map(|a| a.to_string());
    run(tx, statement, (agent, inventory.began.incarnation, inventory.began.seq, asked, body)).await?;
    Ok(true)
}

#[derive(Debug, Clone)]
pub struct InventoryRow {
    pub inventory: Inventory,
    pub received_at: arame_schema::api::Timestamp,
    /// Younger than three intervals, by the database's clock.
    pub fresh: bool,
}

pub async fn inventories(db: &Db) -> Result<Vec<InventoryRow>, DbError> {
    let statement =
        "SELECT body, received_at, received_at > UTC_TIMESTAMP(3) - INTERVAL 60 SECOND AS fresh FROM inventories";
    let found = db.rows(statement, ()).await?;
    found
        .iter()
        .map(|row| {
            Ok(InventoryRow {
                inventory: row.json("body")?,
                received_at: row.time("received_at")?,
                fresh: row.flag("fresh")?,
            })
        })
        .collect()
}

/// Agents that have ever joined.
pub async fn joined(tx: &mut Tx) -> Result<Vec<String>, DbError> {
    let found = rows(tx, "SELECT id FROM agents WHERE incarnation > 0 ORDER BY id", ()).await?;
    found.iter().map(|row| row.text("id")).collect()
}
