//! Which naming services serve a network: rows from a placement until its end was answered.
//!
//! Rule: a network's row is locked before its places are changed, but for a service that was found to serve it without one.

use super::super::pool::{first, rows, run};
use super::super::{Columns, Db, DbError, Tx};
use crate::plan::naming::{Count, Place};
use arame_schema::api::NamingNode;
use std::collections::BTreeMap;

/// A naming service, whatever it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamingAgent {
    pub id: String,
    pub node: String,
    /// Heard within the last three heartbeats, by the database's clock.
    pub online: bool,
    pub degraded: bool,
    /// An operator lets it have networks.
    pub enabled: bool,
}

/// Every naming service that ever joined.
const AGENTS: &str = "SELECT id, node_id, degraded IS NOT NULL AS degraded, scheduling_enabled, \
                      IFNULL(heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS online FROM agents \
                      WHERE kind = 'nsa' AND incarnation > 0 ORDER BY id";

fn read_agents(found: &[mysql_async::Row]) -> Result<Vec<NamingAgent>, DbError> {
    let read = |row: &mysql_async::Row| {
        Ok(NamingAgent {
            id: row.text("id")?,
            node: row.text("node_id")?,
            online: row.flag("online")?,
            degraded: row.flag("degraded")?,
            enabled: row.flag("scheduling_enabled")?,
        })
    };
    found.iter().map(read).collect()
}

pub async fn agents(tx: &mut Tx) -> Result<Vec<NamingAgent>, DbError> {
    read_agents(&rows(tx, AGENTS, ()).await?)
}

/// The same outside a transaction.
pub async fn agents_of(db: &Db) -> Result<Vec<NamingAgent>, DbError> {
    read_agents(&db.rows(AGENTS, ()).await?)
}

/// Networks of each service, and guests in them.
pub async fn loads(tx: &mut Tx) -> Result<BTreeMap<String, (u64, u64)>, DbError> {
    let statement = "SELECT p.agent_id, COUNT(*) AS networks, CAST(IFNULL(SUM(g.guests), 0) AS UNSIGNED) AS guests \
                     FROM naming_places p LEFT JOIN (SELECT network_id, COUNT(*) AS guests FROM ip_leases GROUP BY network_id) g \
                     ON g.network_id = p.network_id WHERE p.wanted = 1 GROUP BY p.agent_id";
    let read = |row: &mysql_async::Row| Ok((row.text("agent_id")?, (row.col("networks")?, row.col("guests")?)));
    rows(tx, statement, ()).await?.iter().map(read).collect()
}

/// A service at a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceRow {
    pub agent: String,
    pub place: Place,
    /// It answered that it serves a version of this placement.
    pub serves: bool,
    /// It was the gateway, and has not yet answered that it is not.
    pub may_translate: bool,
}

/// What a network wants, and who serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedNetwork {
    pub id: String,
    /// `None`: as the data center has it.
    pub count: Option<Count>,
    pub has_way: bool,
    pub gateway: Option<String>,
    pub places: Vec<PlaceRow>,
}

/// `serves` and `may_translate` go by what was answered in the service's present life.
const NETWORKS: &str = "SELECT n.id, n.naming_services, n.gateway_agent, \
    n.nat_network_id IS NOT NULL AND n.outside_ipv4 IS NOT NULL AND n.ipv4_gw IS NOT NULL AS has_way, p.agent_id, p.wanted, \
    IFNULL(f.value = 'yes' AND f.generation >= p.placed_version, 0) AS serves, \
    p.gateway_left_version IS NOT NULL AND IFNULL(f.generation < p.gateway_left_version, 1) AS may_translate \
    FROM networks n LEFT JOIN naming_places p ON p.network_id = n.id \
    LEFT JOIN facts f ON f.thing = n.id AND f.agent_id = p.agent_id AND f.name = 'applied' WHERE n.deleted_at IS NULL";

fn read_networks(found: &[mysql_async::Row]) -> Result<Vec<NamedNetwork>, DbError> {
    let mut networks: Vec<NamedNetwork> = Vec::new();
    for row in found {
        let id = row.text("id")?;
        if networks.last().is_none_or(|last| last.id != id) {
            networks.push(NamedNetwork {
                id,
                count: row.col::<Option<u16>>("naming_services")?.map(Count::of_number),
                has_way: row.flag("has_way")?,
                gateway: row.col("gateway_agent")?,
                places: Vec::new(),
            });
        }
        if let (Some(agent), Some(network)) = (row.col::<Option<String>>("agent_id")?, networks.last_mut()) {
            network.places.push(PlaceRow {
                agent,
                place: if row.flag("wanted")? { Place::Wanted } else { Place::Withdrawn },
                serves: row.flag("serves")?,
                may_translate: row.flag("may_translate")?,
            });
        }
    }
    Ok(networks)
}

/// Every network with its services; nothing is locked.
pub async fn networks(db: &Db) -> Result<Vec<NamedNetwork>, DbError> {
    read_networks(&db.rows(format!("{NETWORKS} ORDER BY n.id, p.agent_id"), ()).await?)
}

/// One network with its services; the caller has locked its row.
pub async fn network(tx: &mut Tx, id: &str) -> Result<Option<NamedNetwork>, DbError> {
    let found = rows(tx, format!("{NETWORKS} AND n.id = ? ORDER BY p.agent_id"), (id,)).await?;
    Ok(read_networks(&found)?.pop())
}

const HEARD: &str = "SELECT p.agent_id FROM naming_places p JOIN agents a ON a.id = p.agent_id \
                     WHERE p.network_id = ? AND a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND";

/// Services of a network that are heard, also those that are to serve it no more.
pub async fn heard(tx: &mut Tx, network: &str) -> Result<Vec<String>, DbError> {
    let statement = format!("{HEARD} ORDER BY p.agent_id");
    rows(tx, statement, (network,)).await?.iter().map(|row| row.text("agent_id")).collect()
}

/// Those of them that are to serve it.
pub async fn heard_wanted(tx: &mut Tx, network: &str) -> Result<Vec<String>, DbError> {
    let statement = format!("{HEARD} AND p.wanted = 1 ORDER BY p.agent_id");
    rows(tx, statement, (network,)).await?.iter().map(|row| row.text("agent_id")).collect()
}

/// Networks that a service has to do with.
pub async fn of_agent(tx: &mut Tx, agent: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT network_id FROM naming_places WHERE agent_id = ? ORDER BY network_id";
    rows(tx, statement, (agent,)).await?.iter().map(|row| row.text("network_id")).collect()
}

/// Services of a network, heard or not.
pub async fn agents_at(db: &Db, network: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT agent_id FROM naming_places WHERE network_id = ? ORDER BY agent_id";
    db.rows(statement, (network,)).await?.iter().map(|row| row.text("agent_id")).collect()
}

/// What is kept of a service at a network: the version since which it is to serve it no more, if it is.
pub async fn find(tx: &mut Tx, network: &str, agent: &str) -> Result<Option<Option<u64>>, DbError> {
    let statement = "SELECT withdrawn_version FROM naming_places WHERE network_id = ? AND agent_id = ?";
    first(tx, statement, (network, agent)).await?.map(|row| row.col("withdrawn_version")).transpose()
}

/// Highest version of each network that one of its own services answered that it serves.
pub async fn served(tx: &mut Tx, networks: &[&str]) -> Result<BTreeMap<String, u64>, DbError> {
    if networks.is_empty() {
        return Ok(BTreeMap::new());
    }
    let places = vec!["?"; networks.len()].join(", ");
    let statement = format!(
        "SELECT p.network_id, MAX(f.generation) AS version FROM naming_places p JOIN facts f ON f.thing = p.network_id \
         AND f.agent_id = p.agent_id AND f.name = 'applied' AND f.value = 'yes' AND f.generation >= p.placed_version \
         WHERE p.network_id IN ({places}) AND p.wanted = 1 GROUP BY p.network_id"
    );
    let values = mysql_async::Params::Positional(networks.iter().map(|one| (*one).into()).collect());
    let read = |row: &mysql_async::Row| Ok((row.text("network_id")?, row.col("version")?));
    rows(tx, statement, values).await?.iter().map(read).collect()
}

/// A service is to serve a network from this version on.
pub async fn place(tx: &mut Tx, network: &str, agent: &str, version: u64) -> Result<(), DbError> {
    let statement = "INSERT INTO naming_places (network_id, agent_id, wanted, placed_version, placed_at) \
                     VALUES (?, ?, 1, ?, UTC_TIMESTAMP(3)) ON DUPLICATE KEY UPDATE wanted = 1, withdrawn_version = NULL, \
                     placed_version = VALUES(placed_version), placed_at = VALUES(placed_at)";
    run(tx, statement, (network, agent, version)).await?;
    Ok(())
}

/// A service was found to serve a network that no row gave it: it counts as one of its services.
pub async fn note_found(tx: &mut Tx, network: &str, agent: &str) -> Result<(), DbError> {
    let statement = "INSERT IGNORE INTO naming_places (network_id, agent_id, wanted, placed_version, placed_at) \
                     VALUES (?, ?, 1, 0, UTC_TIMESTAMP(3))";
    run(tx, statement, (network, agent)).await?;
    Ok(())
}

/// A service is to serve a network no more from this version on, which none but its end has.
pub async fn withdraw(tx: &mut Tx, network: &str, agent: &str, version: u64) -> Result<(), DbError> {
    let statement = "UPDATE naming_places SET wanted = 0, withdrawn_version = ? WHERE network_id = ? AND agent_id = ? AND wanted = 1";
    run(tx, statement, (version, network, agent)).await?;
    Ok(())
}

/// It answered that it serves the network no more.
pub async fn forget(tx: &mut Tx, network: &str, agent: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM naming_places WHERE network_id = ? AND agent_id = ?", (network, agent)).await?;
    Ok(())
}

/// Another service is a network's gateway from this version on; the former one may translate until it answered that version.
pub async fn give_gateway(tx: &mut Tx, network: &str, agent: &str, version: u64) -> Result<(), DbError> {
    leave_gateway(tx, network, version).await?;
    let given = "UPDATE networks SET gateway_agent = ?, gateway_term = gateway_term + 1 WHERE id = ?";
    run(tx, given, (agent, network)).await?;
    let is_it = "UPDATE naming_places SET gateway_left_version = NULL WHERE network_id = ? AND agent_id = ?";
    run(tx, is_it, (network, agent)).await?;
    Ok(())
}

/// Whoever is a network's gateway is it no more from this version on.
pub async fn leave_gateway(tx: &mut Tx, network: &str, version: u64) -> Result<(), DbError> {
    let statement = "UPDATE naming_places p JOIN networks n ON n.id = p.network_id AND n.gateway_agent = p.agent_id \
                     SET p.gateway_left_version = ? WHERE p.network_id = ?";
    run(tx, statement, (version, network)).await?;
    Ok(())
}

/// How many services a network wants; `None`: as the data center has it.
pub async fn set_count(tx: &mut Tx, network: &str, count: Option<u16>) -> Result<(), DbError> {
    run(tx, "UPDATE networks SET naming_services = ? WHERE id = ?", (count, network)).await?;
    Ok(())
}

/// Forgets who served networks whose rows are gone.
pub async fn end_orphans(db: &Db) -> Result<u64, DbError> {
    let statement = "DELETE FROM naming_places WHERE NOT EXISTS (SELECT 1 FROM networks n WHERE n.id = naming_places.network_id) \
                     LIMIT 1000";
    db.run(statement, ()).await
}

/// Naming services as operators see them.
pub async fn nodes(db: &Db) -> Result<Vec<NamingNode>, DbError> {
    let statement = "SELECT a.id, a.node_id, a.created_at, a.scheduling_enabled, a.version, a.heard_at, a.degraded, \
                     IFNULL(a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS online, \
                     (SELECT COUNT(*) FROM naming_places p WHERE p.agent_id = a.id) AS networks, \
                     (SELECT COUNT(*) FROM networks n WHERE n.gateway_agent = a.id AND n.deleted_at IS NULL) AS gateways \
                     FROM agents a WHERE a.kind = 'nsa' ORDER BY a.id";
    let read = |row: &mysql_async::Row| {
        let id = row.text("id")?;
        Ok(NamingNode {
            uuid: id.clone(),
            id,
            node_id: row.text("node_id")?,
            created_at: row.time("created_at")?,
            scheduling_enabled: row.flag("scheduling_enabled")?,
            status: if row.flag("online")? { "online".into() } else { "offline".into() },
            networks: row.col("networks")?,
            gateways: row.col("gateways")?,
            version: row.col("version")?,
            last_seen_at: row.time_opt("heard_at")?,
            degraded: row.col("degraded")?,
        })
    };
    db.rows(statement, ()).await?.iter().map(read).collect()
}

/// Whether a naming service takes networks. Answers whether there is such a one.
pub async fn set_enabled(tx: &mut Tx, agent: &str, enabled: bool) -> Result<bool, DbError> {
    let statement = "UPDATE agents SET scheduling_enabled = ? WHERE id = ? AND kind = 'nsa'";
    Ok(run(tx, statement, (enabled, agent)).await? == 1)
}

/// It serves nothing any more, by an operator's word; nor is it anybody's gateway.
pub async fn end_agent(tx: &mut Tx, agent: &str) -> Result<(), DbError> {
    run(tx, "UPDATE networks SET gateway_agent = NULL WHERE gateway_agent = ?", (agent,)).await?;
    run(tx, "DELETE FROM naming_places WHERE agent_id = ?", (agent,)).await?;
    Ok(())
}
