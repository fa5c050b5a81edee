//! Agents as rows: who may join, who is heard, what they last listed.

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::jobs::report::{Capacity, Hello, Inventory};
use arame_schema::model::{AgentId, Observation};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct AgentRow {
    pub id: String,
    pub kind: String,
    pub node: String,
    pub key_sha256: String,
    pub incarnation: u64,
    pub nonce: Option<Uuid>,
    /// First incarnation of the process that has this nonce.
    pub process_incarnation: u64,
    pub machine_id: Option<String>,
    pub version: Option<String>,
    pub kinds: Vec<String>,
    pub capacity: Capacity,
    pub endpoints: BTreeMap<String, String>,
    pub degraded: Option<String>,
    pub heard_at: Option<arame_schema::api::Timestamp>,
    /// When another machine last asked to join in its name, and which.
    pub refused: Option<(arame_schema::api::Timestamp, String)>,
    /// Heard within the last three heartbeats, by the database's clock.
    pub online: bool,
}

const SELECT: &str = "SELECT id, kind, node_id, key_sha256, incarnation, nonce, process_incarnation, machine_id, version, kinds, \
                      capacity, endpoints, degraded, refused_at, refused_machine, heard_at, IFNULL(heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS online FROM agents";

fn read(row: &mysql_async::Row) -> Result<AgentRow, DbError> {
    Ok(AgentRow {
        id: row.text("id")?,
        kind: row.text("kind")?,
        node: row.text("node_id")?,
        key_sha256: row.text("key_sha256")?,
        incarnation: row.col("incarnation")?,
        nonce: row.parsed_opt("nonce")?,
        process_incarnation: row.col("process_incarnation")?,
        machine_id: row.col("machine_id")?,
        version: row.col("version")?,
        kinds: row.json_opt("kinds")?.unwrap_or_default(),
        capacity: row.json_opt("capacity")?.unwrap_or_default(),
        endpoints: row.json_opt("endpoints")?.unwrap_or_default(),
        degraded: row.col("degraded")?,
        heard_at: row.time_opt("heard_at")?,
        refused: row.time_opt("refused_at")?.zip(row.col("refused_machine")?),
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

/// An agent that is to join, and has no node among hosts and storage nodes.
pub async fn insert(tx: &mut Tx, agent: &AgentId, node: &str, key_sha256: &str) -> Result<(), DbError> {
    let statement =
        "INSERT INTO agents (id, kind, node_id, key_sha256, created_at) VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3))";
    run(tx, statement, (agent.as_str(), agent.kind().as_str(), node, key_sha256)).await?;
    Ok(())
}

/// Another key is its own from now on.
pub async fn set_key(tx: &mut Tx, id: &str, key_sha256: &str) -> Result<(), DbError> {
    run(tx, "UPDATE agents SET key_sha256 = ? WHERE id = ?", (key_sha256, id)).await?;
    Ok(())
}

/// Agents of a kind, in a transaction.
pub async fn of_kind(tx: &mut Tx, kind: &str) -> Result<Vec<AgentRow>, DbError> {
    rows(tx, format!("{SELECT} WHERE kind = ? ORDER BY id"), (kind,)).await?.iter().map(read).collect()
}

/// Ids of the agents of a kind that are heard.
pub async fn online_of_kind(tx: &mut Tx, kind: &str) -> Result<Vec<String>, DbError> {
    let statement =
        "SELECT id FROM agents WHERE kind = ? AND heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND ORDER BY id";
    rows(tx, statement, (kind,)).await?.iter().map(|row| row.text("id")).collect()
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
    let process = if row.nonce == Some(hello.nonce) { row.process_incarnation } else { incarnation };
    let json = |value: serde_json::Result<String>| value.map_err(|e| super::row::strange("hello", e));
    let statement = "UPDATE agents SET incarnation = ?, process_incarnation = ?, nonce = ?, machine_id = ?, version = ?, \
                     kinds = ?, capacity = ?, endpoints = ?, highest_epoch = ?, degraded = NULL, refused_at = NULL, \
                     refused_machine = NULL, heard_at = UTC_TIMESTAMP(3) WHERE id = ?";
    let values = (
        incarnation,
        process,
        hello.nonce.to_string(),
        machine(hello),
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

/// The machine's name for itself, as far as a row keeps it.
pub fn machine(hello: &Hello) -> String {
    hello.machine_id.chars().take(64).collect()
}

/// Whether the agent ever listed what it has: by then it keeps the database's epoch on its disk.
pub async fn has_listed(tx: &mut Tx, agent: &str) -> Result<bool, DbError> {
    Ok(first(tx, "SELECT 1 AS one FROM inventories WHERE agent_id = ?", (agent,)).await?.is_some())
}

/// Another machine asked to join in the agent's name.
pub async fn note_refused(tx: &mut Tx, agent: &str, machine: &str) -> Result<(), DbError> {
    let statement = "UPDATE agents SET refused_at = UTC_TIMESTAMP(3), refused_machine = ? WHERE id = ?";
    run(tx, statement, (machine, agent)).await?;
    Ok(())
}

/// The operator says that the machine which asks next is the agent's: what the former one told counts no more.
/// Answers false when none asked.
pub async fn accept_machine(tx: &mut Tx, agent: &str) -> Result<bool, DbError> {
    let statement = "UPDATE agents SET machine_id = NULL, refused_at = NULL, refused_machine = NULL \
                     WHERE id = ? AND refused_at IS NOT NULL";
    if run(tx, statement, (agent,)).await? == 0 {
        return Ok(false);
    }
    run(tx, "DELETE FROM inventories WHERE agent_id = ?", (agent,)).await?;
    Ok(true)
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

/// Notes heartbeats of agents that are well, together. Answers those of the rows' own incarnations.
pub async fn heard_well(db: &Db, beats: &[(&str, u64)]) -> Result<BTreeSet<(String, u64)>, DbError> {
    if beats.is_empty() {
        return Ok(BTreeSet::new());
    }
    let list = |ids: Vec<mysql_async::Value>| (vec!["?"; ids.len()].join(", "), mysql_async::Params::Positional(ids));
    let (places, ids) = list(beats.iter().map(|(agent, _)| (*agent).into()).collect());
    let found = db.rows(format!("SELECT id, incarnation FROM agents WHERE id IN ({places})"), ids).await?;
    let known = found.iter().map(|row| Ok((row.text("id")?, row.col("incarnation")?)));
    let mut known = known.collect::<Result<BTreeSet<(String, u64)>, DbError>>()?;
    known.retain(|(id, incarnation)| beats.contains(&(id.as_str(), *incarnation)));
    if known.is_empty() {
        return Ok(known);
    }
    let (places, ids) = list(known.iter().map(|(id, _)| id.into()).collect());
    let statement = format!("UPDATE agents SET heard_at = UTC_TIMESTAMP(3), degraded = NULL WHERE id IN ({places})");
    db.run(statement, ids).await?;
    Ok(known)
}

/// Whether an agent is heard, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    Heard,
    Silent,
}

/// An agent of which something else was told than what is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    pub agent: String,
    /// Its host or storage node; of a naming service itself.
    pub node: String,
    pub voice: Voice,
}

/// Agents that fell silent or are heard again and nobody was told. Who never joined did neither.
pub async fn news(db: &Db) -> Result<Vec<News>, DbError> {
    let statement = "SELECT a.id, COALESCE(h.id, s.id, a.id) AS node, a.silent_since IS NULL AS falls_silent FROM agents a \
                     LEFT JOIN host_nodes h ON h.agent_id = a.id LEFT JOIN storage_nodes s ON s.agent_id = a.id \
                     WHERE a.heard_at IS NOT NULL \
                     AND (a.silent_since IS NULL) = (a.heard_at <= UTC_TIMESTAMP(3) - INTERVAL 15 SECOND) ORDER BY a.id";
    let read = |row: &mysql_async::Row| {
        let voice = if row.flag("falls_silent")? { Voice::Silent } else { Voice::Heard };
        Ok(News { agent: row.text("id")?, node: row.text("node")?, voice })
    };
    db.rows(statement, ()).await?.iter().map(read).collect()
}

/// Whether anybody at all is heard: else it may be this side that is deaf.
pub async fn anybody_is_heard(db: &Db) -> Result<bool, DbError> {
    let statement = "SELECT 1 AS one FROM agents WHERE heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND LIMIT 1";
    Ok(!db.rows(statement, ()).await?.is_empty())
}

/// Notes that an agent's silence is told. Answers false when it is heard, or when that was told already.
pub async fn fell_silent(tx: &mut Tx, agent: &str) -> Result<bool, DbError> {
    let statement = "UPDATE agents SET silent_since = heard_at WHERE id = ? AND silent_since IS NULL \
                     AND heard_at <= UTC_TIMESTAMP(3) - INTERVAL 15 SECOND";
    Ok(run(tx, statement, (agent,)).await? == 1)
}

/// Notes that an agent is told as heard again. Answers for how many seconds it was not, or nothing when it still is silent or
/// that was told already.
pub async fn heard_again(tx: &mut Tx, agent: &str) -> Result<Option<i64>, DbError> {
    let statement = "SELECT TIMESTAMPDIFF(SECOND, silent_since, heard_at) AS seconds FROM agents WHERE id = ? \
                     AND silent_since IS NOT NULL AND heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND FOR UPDATE";
    let Some(row) = first(tx, statement, (agent,)).await? else { return Ok(None) };
    run(tx, "UPDATE agents SET silent_since = NULL WHERE id = ?", (agent,)).await?;
    Ok(Some(row.col("seconds")?))
}

/// What a listing says, whenever it was made: the same things in the same state have the same digest.
fn digest(inventory: &Inventory) -> serde_json::Result<String> {
    let mut things = inventory.things.clone();
    for fact in things.iter_mut().flat_map(|thing| &mut thing.facts) {
        fact.observed = Observation { incarnation: 0, seq: 0 };
    }
    let text = serde_json::to_vec(&(&inventory.backends, things))?;
    Ok(hex::encode(Sha256::digest(text)))
}

/// Keeps an agent's newest listing. Answers whether it is the newest.
pub async fn set_inventory(tx: &mut Tx, inventory: &Inventory) -> Result<bool, DbError> {
    let agent = inventory.agent.as_str();
    let held =
        first(tx, "SELECT incarnation, observed, digest FROM inventories WHERE agent_id = ? FOR UPDATE", (agent,))
            .await?;
    let asked = inventory.asked.map(|a| a.to_string());
    let digest = digest(inventory).map_err(|e| super::row::strange("body", e))?;
    if let Some(row) = held {
        let newer = (row.col::<u64>("incarnation")?, row.col::<u64>("observed")?);
        if newer > (inventory.began.incarnation, inventory.began.seq) {
            return Ok(false);
        }
        if row.col::<Option<String>>("digest")?.as_ref() == Some(&digest) {
            let statement = "UPDATE inventories SET incarnation = ?, observed = ?, asked = ?, received_at = UTC_TIMESTAMP(3) \
                             WHERE agent_id = ?";
            run(tx, statement, (inventory.began.incarnation, inventory.began.seq, asked, agent)).await?;
            return Ok(true);
        }
    }
    let body = serde_json::to_string(inventory).map_err(|e| super::row::strange("body", e))?;
    let statement = "INSERT INTO inventories (agent_id, incarnation, observed, asked, body, digest, received_at) \
                     VALUES (?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3)) ON DUPLICATE KEY UPDATE incarnation = VALUES(incarnation), \
                     observed = VALUES(observed), asked = VALUES(asked), body = VALUES(body), digest = VALUES(digest), \
                     received_at = VALUES(received_at)";
    run(tx, statement, (agent, inventory.began.incarnation, inventory.began.seq, asked, body, digest)).await?;
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
    let statement = "SELECT body, incarnation, observed, asked, received_at, \
                     received_at > UTC_TIMESTAMP(3) - INTERVAL 60 SECOND AS fresh FROM inventories";
    let found = db.rows(statement, ()).await?;
    found
        .iter()
        .map(|row| {
            // The text is that of the first listing that said so; when it was last said is in the columns.
            let mut inventory: Inventory = row.json("body")?;
            inventory.began = Observation { incarnation: row.col("incarnation")?, seq: row.col("observed")? };
            inventory.asked = row.parsed_opt("asked")?;
            for fact in inventory.things.iter_mut().flat_map(|thing| &mut thing.facts) {
                fact.observed = inventory.began;
            }
            Ok(InventoryRow { inventory, received_at: row.time("received_at")?, fresh: row.flag("fresh")? })
        })
        .collect()
}

/// Agents that have ever joined.
pub async fn joined(tx: &mut Tx) -> Result<Vec<String>, DbError> {
    let found = rows(tx, "SELECT id FROM agents WHERE incarnation > 0 ORDER BY id", ()).await?;
    found.iter().map(|row| row.text("id")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::jobs::report::{FactReport, InventoryThing};
    use arame_schema::model::{Fact, FactName};

    fn listing(seq: u64, value: Fact) -> Inventory {
        let observed = Observation { incarnation: 3, seq };
        let fact =
            FactReport { thing: "i-a".into(), name: FactName::Power, value, generation: 1, observed, detail: None };
        let thing = InventoryThing {
            kind: "domain".into(),
            name: "i-a".into(),
            backend: "sim".into(),
            installation: None,
            owner: Some("i-a".into()),
            generation: 1,
            holds_data: false,
            facts: vec![fact],
            detail: None,
        };
        Inventory {
            v: 1,
            agent: "hva.h1".parse().unwrap(),
            asked: None,
            began: observed,
            backends: Vec::new(),
            things: vec![thing],
            kept_mib: None,
        }
    }

    #[test]
    fn a_listing_of_the_same_state_has_the_same_digest_whenever_it_was_made() {
        let digest = |seq, value| digest(&listing(seq, value)).unwrap();
        assert_eq!(digest(1, Fact::Yes), digest(99, Fact::Yes));
        assert_ne!(digest(1, Fact::Yes), digest(1, Fact::No));
    }
}
