//! Host and storage nodes.

use super::pool::{count, first, rows, run};
use super::{Columns, Db, DbError, Tx};
use crate::plan::placement::Candidate;
use arame_schema::api;
use arame_schema::jobs::report::Capacity;

/// Hosts and what they carry, with what is brought to them; `counted` limits of which hosts that is counted, as `shown` limits the hosts.
fn hosts_where(counted: &str, shown: &str) -> String {
    format!("{HOSTS} {counted} GROUP BY host_node_id) u ON u.host_node_id = h.id {shown}")
}

fn every_host() -> String {
    hosts_where("", "ORDER BY h.seq")
}

/// Takes the id twice.
fn one_host() -> String {
    hosts_where("AND host_node_id = ?", "WHERE h.id = ?")
}

const HOSTS: &str = "SELECT h.id, h.agent_id, h.display_name, h.arch, h.hypervisor, h.offering_cpu_cores, \
    h.offering_memory_mib, h.offering_disk_mib, h.cpu_allocation_percent, h.reserved_memory_mib, h.reserved_disk_mib, \
    h.scheduling_enabled, h.policy_version, h.created_at, h.updated_at, \
    a.version, a.degraded, a.heard_at, a.capacity, \
    IFNULL(a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND AND h.lost_at IS NULL, 0) AS online, h.lost_at, \
    IFNULL(u.cpu, 0) + IFNULL(w.cpu, 0) AS used_cpu, IFNULL(u.memory, 0) + IFNULL(w.memory, 0) AS used_memory, \
    IFNULL(u.disk, 0) + IFNULL(w.disk, 0) AS used_disk, \
    IFNULL(u.n, 0) AS instances \
    FROM host_nodes h JOIN agents a ON a.id = h.agent_id \
    LEFT JOIN (SELECT m.to_host_id, CAST(SUM(i.cpu_cores) AS UNSIGNED) AS cpu, CAST(SUM(i.memory_mib) AS UNSIGNED) AS memory, \
               CAST(SUM(i.disk_mib) AS UNSIGNED) AS disk FROM instance_moves m JOIN instances i ON i.id = m.instance_id \
               GROUP BY m.to_host_id) w ON w.to_host_id = h.id \
    LEFT JOIN (SELECT host_node_id, CAST(SUM(cpu_cores) AS UNSIGNED) AS cpu, CAST(SUM(memory_mib) AS UNSIGNED) AS memory, \
               CAST(SUM(disk_mib) AS UNSIGNED) AS disk, COUNT(*) AS n FROM instances WHERE terminated_at IS NULL";

fn candidate(row: &mysql_async::Row) -> Result<Candidate, DbError> {
    Ok(Candidate {
        host: row.text("id")?,
        online: row.flag("online")?,
        degraded: row.col("degraded")?,
        scheduling_enabled: row.flag("scheduling_enabled")?,
        hypervisor: row.text("hypervisor")?,
        arch: row.text("arch")?,
        cpu_offered: row.col::<u64>("offering_cpu_cores")? * row.col::<u64>("cpu_allocation_percent")? / 100,
        cpu_used: row.col("used_cpu")?,
        memory_offered: row.col::<u64>("offering_memory_mib")?.saturating_sub(row.col("reserved_memory_mib")?),
        memory_used: row.col("used_memory")?,
        disk_offered: row.col::<u64>("offering_disk_mib")?.saturating_sub(row.col("reserved_disk_mib")?),
        disk_used: row.col("used_disk")?,
    })
}

/// Every host as placement sees it; nothing is locked.
pub async fn candidates(tx: &mut Tx) -> Result<Vec<Candidate>, DbError> {
    rows(tx, every_host(), ()).await?.iter().map(candidate).collect()
}

/// Locks a host's row, then counts what it carries: a locked sum would not keep new rows out (DESIGN 3.11).
pub async fn lock_candidate(tx: &mut Tx, host: &str) -> Result<Option<Candidate>, DbError> {
    if first(tx, "SELECT id FROM host_nodes WHERE id = ? FOR UPDATE", (host,)).await?.is_none() {
        return Ok(None);
    }
    first(tx, one_host(), (host, host)).await?.as_ref().map(candidate).transpose()
}

/// The next policy version of a host. Locks the host's row.
pub async fn bump_policy(tx: &mut Tx, host: &str) -> Result<u64, DbError> {
    count(tx, "UPDATE host_nodes SET policy_version = LAST_INSERT_ID(policy_version + 1) WHERE id = ?", (host,)).await
}

pub async fn policy_version(tx: &mut Tx, host: &str) -> Result<u64, DbError> {
    let found = first(tx, "SELECT policy_version FROM host_nodes WHERE id = ?", (host,)).await?;
    found.map_or(Ok(0), |row| row.col("policy_version"))
}

/// A host's agent and the newest version of its policy. A host that was declared lost gets none.
pub async fn policy_of_host(tx: &mut Tx, host: &str) -> Result<Option<(String, u64)>, DbError> {
    let statement = "SELECT agent_id, policy_version FROM host_nodes WHERE id = ? AND lost_at IS NULL";
    let found = first(tx, statement, (host,)).await?;
    found.map(|row| Ok((row.text("agent_id")?, row.col("policy_version")?))).transpose()
}

pub async fn agent_of_host(tx: &mut Tx, host: &str) -> Result<Option<String>, DbError> {
    let found = first(tx, "SELECT agent_id FROM host_nodes WHERE id = ?", (host,)).await?;
    found.map(|row| row.text("agent_id")).transpose()
}

pub async fn host_of_agent(tx: &mut Tx, agent: &str) -> Result<Option<String>, DbError> {
    let found = first(tx, "SELECT id FROM host_nodes WHERE agent_id = ?", (agent,)).await?;
    found.map(|row| row.text("id")).transpose()
}

fn host_view(row: &mysql_async::Row) -> Result<api::HostNode, DbError> {
    let id = row.text("id")?;
    let display_name = row.text("display_name")?;
    Ok(api::HostNode {
        uuid: id.clone(),
        id,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        node_id: row.text("agent_id")?,
        arch: row.text("arch")?,
        hypervisor: row.text("hypervisor")?,
        display_name: Some(display_name).filter(|name| !name.is_empty()),
        offering_cpu_cores: row.col("offering_cpu_cores")?,
        offering_memory_size: row.col("offering_memory_mib")?,
        offering_disk_space_mb: row.col("offering_disk_mib")?,
        scheduling_enabled: row.flag("scheduling_enabled")?,
        status: match (row.time_opt("lost_at")?, row.flag("online")?) {
            (Some(_), _) => "lost".into(),
            (None, true) => "online".into(),
            (None, false) => "offline".into(),
        },
        used_cpu_cores: row.col("used_cpu")?,
        used_memory_size: row.col("used_memory")?,
        used_disk_space_mb: row.col("used_disk")?,
        cpu_allocation_percent: row.col("cpu_allocation_percent")?,
        reserved_memory_size: row.col("reserved_memory_mib")?,
        reserved_disk_space_mb: row.col("reserved_disk_mib")?,
        instances: row.col("instances")?,
        driver: row.json_opt::<Capacity>("capacity")?.map(|c| c.driver).unwrap_or_default(),
        version: row.col("version")?,
        last_seen_at: row.time_opt("heard_at")?,
        degraded: row.col("degraded")?,
        join_key: None,
    })
}

pub async fn hosts(db: &Db) -> Result<Vec<api::HostNode>, DbError> {
    db.rows(every_host(), ()).await?.iter().map(host_view).collect()
}

pub async fn host(db: &Db, id: &str) -> Result<Option<api::HostNode>, DbError> {
    db.rows(one_host(), (id, id)).await?.first().map(host_view).transpose()
}

/// Whether the row exists (rows that match count, changed or not).
pub async fn set_scheduling(tx: &mut Tx, id: &str, enabled: bool) -> Result<bool, DbError> {
    let table = table_of(id);
    let statement = format!("UPDATE {table} SET scheduling_enabled = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?");
    Ok(run(tx, statement, (enabled, id)).await? == 1)
}

// Replicas of one volume share what did not change between them: they count as the largest of them.
const STORAGE: &str = "SELECT s.id, s.agent_id, s.display_name, s.storage_type, s.offering_disk_mib, s.kept_mib, s.scheduling_enabled, \
    s.created_at, s.updated_at, a.version, a.degraded, a.heard_at, \
    IFNULL(a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS online, \
    IFNULL(u.bytes, 0) AS used_bytes, IFNULL(u.n, 0) AS volumes \
    FROM storage_nodes s JOIN agents a ON a.id = s.agent_id \
    LEFT JOIN (SELECT storage_node_id, CAST(SUM(size_bytes) AS UNSIGNED) AS bytes, CAST(SUM(n) AS UNSIGNED) AS n FROM (\
               SELECT storage_node_id, SUM(size_bytes) AS size_bytes, COUNT(*) AS n FROM volumes \
               WHERE deleted_at IS NULL GROUP BY storage_node_id \
               UNION ALL SELECT storage_node_id, MAX(size_bytes), 0 FROM snapshot_replicas \
               WHERE deleted_at IS NULL GROUP BY storage_node_id, volume_id) held \
               GROUP BY storage_node_id) u ON u.storage_node_id = s.id";

fn storage_view(row: &mysql_async::Row) -> Result<api::StorageNode, DbError> {
    let id = row.text("id")?;
    let display_name = row.text("display_name")?;
    Ok(api::StorageNode {
        uuid: id.clone(),
        id,
        node_id: row.text("agent_id")?,
        offering_disk_space_mb: row.col("offering_disk_mib")?,
        storage_type: row.text("storage_type")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        display_name: Some(display_name).filter(|name| !name.is_empty()),
        scheduling_enabled: row.flag("scheduling_enabled")?,
        status: if row.flag("online")? { "online".into() } else { "offline".into() },
        used_disk_space_mb: row.col::<u64>("used_bytes")? >> 20,
        kept_disk_space_mb: row.col("kept_mib")?,
        volumes: row.col("volumes")?,
        version: row.col("version")?,
        last_seen_at: row.time_opt("heard_at")?,
        degraded: row.col("degraded")?,
        join_key: None,
    })
}

pub async fn storage(db: &Db) -> Result<Vec<api::StorageNode>, DbError> {
    db.rows(format!("{STORAGE} ORDER BY s.seq"), ()).await?.iter().map(storage_view).collect()
}

/// The same in a transaction, without locking: to rank them.
pub async fn storage_candidates(tx: &mut Tx) -> Result<Vec<api::StorageNode>, DbError> {
    rows(tx, format!("{STORAGE} ORDER BY s.seq"), ()).await?.iter().map(storage_view).collect()
}

pub async fn storage_one(db: &Db, id: &str) -> Result<Option<api::StorageNode>, DbError> {
    db.rows(format!("{STORAGE} WHERE s.id = ?"), (id,)).await?.first().map(storage_view).transpose()
}

/// Locks a host's row.
pub async fn lock_host(tx: &mut Tx, id: &str) -> Result<bool, DbError> {
    Ok(first(tx, "SELECT id FROM host_nodes WHERE id = ? FOR UPDATE", (id,)).await?.is_some())
}

/// A node that is to join: its agent's row, with the digest of its key, and its own.
#[derive(Debug, Clone, Copy)]
pub struct NewNode<'a> {
    pub id: &'a str,
    pub agent: &'a arame_schema::model::AgentId,
    pub key_sha256: &'a str,
    pub display_name: &'a str,
    pub scheduling_enabled: bool,
}

pub async fn insert(tx: &mut Tx, node: NewNode<'_>) -> Result<(), DbError> {
    let n = node;
    super::agents::insert(tx, n.agent, n.id, n.key_sha256).await?;
    let table = table_of(n.id);
    let statement = format!(
        "INSERT INTO {table} (id, agent_id, display_name, scheduling_enabled, created_at, updated_at) \
         VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))"
    );
    run(tx, statement, (n.id, n.agent.as_str(), n.display_name, n.scheduling_enabled)).await?;
    Ok(())
}

fn table_of(id: &str) -> &'static str {
    if id.starts_with("hn-") { "host_nodes" } else { "storage_nodes" }
}

/// Whether a node or an agent of this name is there.
pub async fn is_known(tx: &mut Tx, id: &str, agent: &str) -> Result<bool, DbError> {
    let table = table_of(id);
    let statement = format!("SELECT id FROM {table} WHERE id = ? UNION ALL SELECT id FROM agents WHERE id = ?");
    Ok(first(tx, statement, (id, agent)).await?.is_some())
}

pub async fn set_name(tx: &mut Tx, id: &str, name: &str) -> Result<bool, DbError> {
    let table = table_of(id);
    let statement = format!("UPDATE {table} SET display_name = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?");
    Ok(run(tx, statement, (name, id)).await? == 1)
}

/// What a host promises and keeps; what is `None` stays.
pub async fn set_room(
    tx: &mut Tx,
    id: &str,
    cpu_percent: Option<u32>,
    memory_mib: Option<u64>,
    disk_mib: Option<u64>,
) -> Result<bool, DbError> {
    let statement = "UPDATE host_nodes SET cpu_allocation_percent = IFNULL(?, cpu_allocation_percent), \
        reserved_memory_mib = IFNULL(?, reserved_memory_mib), reserved_disk_mib = IFNULL(?, reserved_disk_mib), \
        updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    Ok(run(tx, statement, (cpu_percent, memory_mib, disk_mib, id)).await? == 1)
}

/// What a storage node holds that nothing else does: volumes, snapshots, replicas, and images that are at no other node.
pub async fn held_by_storage(tx: &mut Tx, id: &str, agent: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM volumes WHERE storage_node_id = ? AND deleted_at IS NULL \
        UNION SELECT id FROM volume_snapshots WHERE storage_node_id = ? AND deleted_at IS NULL \
        UNION SELECT id FROM snapshot_replicas WHERE storage_node_id = ? AND deleted_at IS NULL \
        UNION SELECT m.id FROM images m JOIN facts f ON f.thing = m.id AND f.agent_id = ? AND f.name = 'image' AND f.value <> 'no' \
        WHERE m.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM facts o WHERE o.thing = m.id AND o.agent_id <> ? \
        AND o.name = 'image' AND o.value = 'yes') LIMIT 20";
    rows(tx, statement, (id, id, id, agent, agent)).await?.iter().map(|row| row.text("id")).collect()
}

/// Ends a node and its agent. Its process is refused from now on.
pub async fn delete(tx: &mut Tx, id: &str, agent: &str) -> Result<(), DbError> {
    end_agent(tx, agent).await?;
    let table = table_of(id);
    run(tx, format!("DELETE FROM {table} WHERE id = ?"), (id,)).await?;
    Ok(())
}

/// Ends an agent: its row, what was known by it, what was asked of it.
pub async fn end_agent(tx: &mut Tx, agent: &str) -> Result<(), DbError> {
    let jobs = "UPDATE jobs SET state = 'obsolete', open = NULL, finished_at = UTC_TIMESTAMP(3) WHERE agent_id = ? AND open = 1";
    run(tx, jobs, (agent,)).await?;
    for table in ["facts", "inventories", "former_processes"] {
        run(tx, format!("DELETE FROM {table} WHERE agent_id = ?"), (agent,)).await?;
    }
    run(tx, "DELETE FROM agents WHERE id = ?", (agent,)).await?;
    Ok(())
}

/// Locks a storage node and counts what it holds, in this order.
pub async fn lock_storage(tx: &mut Tx, id: &str) -> Result<Option<api::StorageNode>, DbError> {
    if first(tx, "SELECT id FROM storage_nodes WHERE id = ? FOR UPDATE", (id,)).await?.is_none() {
        return Ok(None);
    }
    first(tx, format!("{STORAGE} WHERE s.id = ?"), (id,)).await?.as_ref().map(storage_view).transpose()
}

/// What the store of a storage agent keeps beyond its volumes, as that process told. A statement of its own: who places a volume
/// holds that row and others.
pub async fn set_kept(db: &Db, (agent, incarnation): (&str, u64), kept_mib: u64) -> Result<(), DbError> {
    let statement = "UPDATE storage_nodes s JOIN agents a ON a.id = s.agent_id SET s.kept_mib = ? \
                     WHERE a.id = ? AND a.incarnation = ? AND s.kept_mib <> ?";
    db.run(statement, (kept_mib, agent, incarnation, kept_mib)).await?;
    Ok(())
}

pub async fn agent_of_storage(tx: &mut Tx, id: &str) -> Result<Option<String>, DbError> {
    let found = first(tx, "SELECT agent_id FROM storage_nodes WHERE id = ?", (id,)).await?;
    found.map(|row| row.text("agent_id")).transpose()
}
