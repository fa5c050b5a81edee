//! Instances: their rows as the application changes them. What is shown of them is beside.

pub mod company;
mod views;

pub use views::*;

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Tx};
use crate::plan::restart::CALM_SECONDS;
use arame_schema::api;
use arame_schema::model::instance::{DesiredInstance, InstanceState, Shutdown};
use arame_schema::model::placement::PlacementPolicy;
use arame_schema::model::restart::RestartPolicy;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct InstanceRow {
    pub id: String,
    pub account: String,
    pub uuid: Uuid,
    pub host: Option<String>,
    /// Of that host.
    pub agent: Option<String>,
    pub image: String,
    pub ssh_key: Option<String>,
    pub instance_type: String,
    pub hostname: String,
    pub cpu_cores: u32,
    pub memory_mib: u64,
    pub disk_mib: u64,
    pub desired: DesiredInstance,
    pub shutdown: Shutdown,
    pub generation: u64,
    pub need_policy_version: u64,
    pub ran_before: bool,
    pub leaving_host: bool,
    /// Its request named the host: it is never placed elsewhere.
    pub pinned: bool,
    pub placements: u32,
    pub tried_hosts: Vec<String>,
    pub operation: Option<Uuid>,
    pub state: InstanceState,
    pub failure_code: Option<String>,
    pub failure_final: bool,
    pub placement_group: Option<String>,
    /// Means something with a group only.
    pub placement_policy: PlacementPolicy,
    pub node_group: Option<String>,
    pub restart_policy: RestartPolicy,
}

const SELECT: &str = "SELECT id, account_id, uuid, host_node_id, image_id, ssh_key_pair_id, instance_type, hostname, cpu_cores, \
                      memory_mib, disk_mib, desired, shutdown, generation, need_policy_version, ran_before, leaving_host, \
                      pinned, placements, tried_hosts, operation, state, failure_code, failure_final, placement_group, placement_policy, \
                      node_group_id, restart_policy, \
                      (SELECT h.agent_id FROM host_nodes h WHERE h.id = instances.host_node_id) AS agent_id FROM instances";

fn desired_of(text: &str) -> Option<DesiredInstance> {
    match text {
        "on" => Some(DesiredInstance::On),
        "off" => Some(DesiredInstance::Off),
        "gone" => Some(DesiredInstance::Gone),
        _ => None,
    }
}

fn desired_text(desired: DesiredInstance) -> &'static str {
    match desired {
        DesiredInstance::On => "on",
        DesiredInstance::Off => "off",
        DesiredInstance::Gone => "gone",
    }
}

fn policy_of(text: Option<String>) -> Result<PlacementPolicy, DbError> {
    let Some(text) = text else { return Ok(PlacementPolicy::default()) };
    PlacementPolicy::parse(&text).ok_or_else(|| super::row::strange("placement_policy", text))
}

fn restart_of(text: String) -> Result<RestartPolicy, DbError> {
    RestartPolicy::parse(&text).ok_or_else(|| super::row::strange("restart_policy", text))
}

fn read(row: &mysql_async::Row) -> Result<InstanceRow, DbError> {
    let (desired, state) = (row.text("desired")?, row.text("state")?);
    Ok(InstanceRow {
        id: row.text("id")?,
        account: row.text("account_id")?,
        uuid: row.parsed("uuid")?,
        host: row.col("host_node_id")?,
        agent: row.col("agent_id")?,
        image: row.text("image_id")?,
        ssh_key: row.col("ssh_key_pair_id")?,
        instance_type: row.text("instance_type")?,
        hostname: row.text("hostname")?,
        cpu_cores: row.col("cpu_cores")?,
        memory_mib: row.col("memory_mib")?,
        disk_mib: row.col("disk_mib")?,
        desired: desired_of(&desired).ok_or_else(|| super::row::strange("desired", desired))?,
        shutdown: if row.text("shutdown")? == "hard" { Shutdown::Hard } else { Shutdown::Soft },
        generation: row.col("generation")?,
        need_policy_version: row.col("need_policy_version")?,
        ran_before: row.flag("ran_before")?,
        leaving_host: row.flag("leaving_host")?,
        pinned: row.flag("pinned")?,
        placements: row.col("placements")?,
        tried_hosts: row.json("tried_hosts")?,
        operation: row.parsed_opt("operation")?,
        state: InstanceState::parse(&state).ok_or_else(|| super::row::strange("state", state))?,
        failure_code: row.col("failure_code")?,
        failure_final: row.flag("failure_final")?,
        placement_group: row.col("placement_group")?,
        placement_policy: policy_of(row.col("placement_policy")?)?,
        node_group: row.col("node_group_id")?,
        restart_policy: restart_of(row.text("restart_policy")?)?,
    })
}

pub async fn lock(tx: &mut Tx, id: &str) -> Result<Option<InstanceRow>, DbError> {
    first(tx, format!("{SELECT} WHERE id = ? FOR UPDATE"), (id,)).await?.as_ref().map(read).transpose()
}

pub async fn find(tx: &mut Tx, id: &str) -> Result<Option<InstanceRow>, DbError> {
    first(tx, format!("{SELECT} WHERE id = ?"), (id,)).await?.as_ref().map(read).transpose()
}

pub async fn user_data(tx: &mut Tx, id: &str) -> Result<String, DbError> {
    let found = first(tx, "SELECT user_data FROM instances WHERE id = ?", (id,)).await?;
    found.map_or(Ok(String::new()), |row| row.text("user_data"))
}

#[derive(Debug, Clone)]
pub struct NewInstance<'a> {
    pub id: &'a str,
    pub account: &'a str,
    pub uuid: Uuid,
    pub host: &'a str,
    pub image: &'a str,
    pub ssh_key: Option<&'a str>,
    pub instance_type: &'a str,
    pub hostname: &'a str,
    pub display_name: &'a str,
    pub cpu_cores: u32,
    pub memory_mib: u64,
    pub disk_mib: u64,
    pub user_data: &'a str,
    pub need_policy_version: u64,
    pub pinned: bool,
    pub placement: &'a str,
    pub placement_group: Option<&'a str>,
    pub placement_policy: Option<PlacementPolicy>,
    pub node_group: Option<&'a str>,
    pub restart_policy: RestartPolicy,
}

pub async fn insert(tx: &mut Tx, instance: &NewInstance<'_>) -> Result<(), DbError> {
    let statement = "INSERT INTO instances (id, account_id, uuid, host_node_id, image_id, ssh_key_pair_id, instance_type, hostname, \
        hostname_taken, display_name, cpu_cores, memory_mib, disk_mib, user_data, desired, need_policy_version, pinned, tried_hosts, \
        state, placement, placement_group, placement_policy, node_group_id, restart_policy, state_since, created_at, updated_at) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'on', ?, ?, '[]', 'pending', ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    let i = instance;
    let values = mysql_async::Params::Positional(vec![
        i.id.into(),
        i.account.into(),
        i.uuid.to_string().into(),
        i.host.into(),
        i.image.into(),
        i.ssh_key.into(),
        i.instance_type.into(),
        i.hostname.into(),
        i.hostname.into(),
        i.display_name.into(),
        i.cpu_cores.into(),
        i.memory_mib.into(),
        i.disk_mib.into(),
        i.user_data.into(),
        i.need_policy_version.into(),
        i.pinned.into(),
        i.placement.into(),
        i.placement_group.into(),
        i.placement_policy.map(PlacementPolicy::as_str).into(),
        i.node_group.into(),
        i.restart_policy.as_str().into(),
    ]);
    run(tx, statement, values).await?;
    Ok(())
}

/// A row made for what exists: at the generation found, wished as it is, its disk in use.
pub async fn set_adopted(tx: &mut Tx, id: &str, generation: u64, is_on: bool) -> Result<(), DbError> {
    let desired = if is_on { DesiredInstance::On } else { DesiredInstance::Off };
    let statement = "UPDATE instances SET generation = ?, desired = ?, ran_before = 1 WHERE id = ?";
    run(tx, statement, (generation, desired_text(desired), id)).await?;
    Ok(())
}

/// Which of these have a row, alive or ended.
pub async fn known(tx: &mut Tx, ids: &[&str]) -> Result<Vec<String>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let places = vec!["?"; ids.len()].join(", ");
    let statement = format!("SELECT id FROM instances WHERE id IN ({places})");
    let values = mysql_async::Params::Positional(ids.iter().map(|id| (*id).into()).collect());
    rows(tx, statement, values).await?.iter().map(|row| row.text("id")).collect()
}

/// Live instances of an account: what a quota counts.
pub async fn count_of_account(tx: &mut Tx, account: &str) -> Result<u64, DbError> {
    let statement = "SELECT COUNT(*) AS n FROM instances WHERE account_id = ? AND terminated_at IS NULL";
    first(tx, statement, (account,)).await?.map_or(Ok(0), |row| row.col("n"))
}

/// A new wish: the next generation, old failures and deaths forgotten.
pub async fn set_desired(tx: &mut Tx, id: &str, desired: DesiredInstance, shutdown: Shutdown) -> Result<(), DbError> {
    let method = match shutdown {
        Shutdown::Soft => "soft",
        Shutdown::Hard => "hard",
    };
    let statement = "UPDATE instances SET desired = ?, shutdown = ?, generation = generation + 1, operation = NULL, \
                     failure_code = NULL, failure_message = NULL, failure_final = 0, deaths = 0, rests_until = NULL, \
                     updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (desired_text(desired), method, id)).await?;
    Ok(())
}

/// Its guest died: how often it did in a row, this death included.
pub async fn count_death(tx: &mut Tx, id: &str) -> Result<u32, DbError> {
    // MySQL assigns from left to right: the last death is read before this one is written.
    let statement = format!(
        "UPDATE instances SET deaths = IF(died_at > UTC_TIMESTAMP(3) - INTERVAL {CALM_SECONDS} SECOND, deaths + 1, 1), \
         died_at = UTC_TIMESTAMP(3) WHERE id = ?"
    );
    run(tx, statement, (id,)).await?;
    let found = first(tx, "SELECT deaths FROM instances WHERE id = ?", (id,)).await?;
    found.map_or(Ok(0), |row| row.col("deaths"))
}

/// It is started again after this; told as the reason why it does not run.
pub async fn set_rest(tx: &mut Tx, id: &str, pause_ms: u64) -> Result<(), DbError> {
    let statement = "UPDATE instances SET rests_until = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND WHERE id = ?";
    run(tx, statement, (pause_ms * 1000, id)).await?;
    Ok(())
}

/// The spec changed (a disk came or goes): the next generation. Failures that pass are forgotten, else a disk that is to
/// go would stay plugged for ever.
pub async fn bump(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    // MySQL assigns from left to right: the flag is read after what it decides.
    let statement = "UPDATE instances SET generation = generation + 1, \
                     failure_message = IF(failure_final = 1, failure_message, NULL), \
                     failure_code = IF(failure_final = 1, failure_code, NULL), updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (id,)).await?;
    Ok(())
}

pub async fn set_operation(tx: &mut Tx, id: &str, operation: Option<Uuid>) -> Result<(), DbError> {
    let statement = "UPDATE instances SET operation = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (operation.map(|o| o.to_string()), id)).await?;
    Ok(())
}

pub async fn set_failure(tx: &mut Tx, id: &str, failure: Option<(&str, &str)>, is_final: bool) -> Result<(), DbError> {
    let (code, message) = failure.unzip();
    let statement = "UPDATE instances SET failure_code = ?, failure_message = ?, failure_final = ? WHERE id = ?";
    run(tx, statement, (code, message, is_final, id)).await?;
    Ok(())
}

pub async fn set_leaving(tx: &mut Tx, id: &str, tried: &[String]) -> Result<(), DbError> {
    let tried = serde_json::to_string(tried).map_err(|e| super::row::strange("tried_hosts", e))?;
    let statement = "UPDATE instances SET leaving_host = 1, tried_hosts = ?, generation = generation + 1 WHERE id = ?";
    run(tx, statement, (tried, id)).await?;
    Ok(())
}

/// Placed again, after everything on the old host is gone.
pub async fn set_host(tx: &mut Tx, id: &str, host: &str, policy_version: u64, placement: &str) -> Result<(), DbError> {
    let statement = "UPDATE instances SET host_node_id = ?, need_policy_version = ?, placement = ?, leaving_host = 0, \
                     placements = placements + 1, generation = generation + 1, failure_code = NULL, failure_message = NULL, \
                     failure_final = 0 WHERE id = ?";
    run(tx, statement, (host, policy_version, placement, id)).await?;
    Ok(())
}

/// It was moved, or stayed: `known` are the other hosts that its addresses were known to. `policy` is the version of the
/// new host's policy that knows it; each host counts its own, and by the old one's it might wait for ever.
pub async fn set_moved(
    tx: &mut Tx,
    id: &str,
    host: &str,
    known: &[String],
    policy: Option<u64>,
) -> Result<(), DbError> {
    let known = serde_json::to_string(known).map_err(|e| super::row::strange("tried_hosts", e))?;
    let statement = "UPDATE instances SET host_node_id = ?, tried_hosts = ?, \
                     need_policy_version = IFNULL(?, need_policy_version), updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (host, known, policy, id)).await?;
    Ok(())
}

/// Its disk holds data from now on. What is found of a launch that was given up, or on a host being left, is removed: it
/// was not used.
pub async fn set_ran(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE instances SET ran_before = 1 WHERE id = ? AND ran_before = 0 AND failure_code IS NULL \
                     AND leaving_host = 0";
    run(tx, statement, (id,)).await?;
    Ok(())
}

/// Writes a state that changed. A terminated row gives its hostname back.
pub async fn set_state(tx: &mut Tx, id: &str, state: InstanceState) -> Result<(), DbError> {
    let statement = "UPDATE instances SET state = ?, state_since = UTC_TIMESTAMP(3), updated_at = UTC_TIMESTAMP(3), \
                     terminated_at = IF(? = 'terminated', UTC_TIMESTAMP(3), terminated_at), \
                     hostname_taken = IF(? = 'terminated', NULL, hostname_taken) WHERE id = ?";
    run(tx, statement, (state.as_str(), state.as_str(), state.as_str(), id)).await?;
    Ok(())
}

/// Instances that may have waited for this version of a network and have no open job. Those that need a later one are
/// advanced when that one is applied.
pub async fn waiting_for_network(tx: &mut Tx, network: &str, version: u64) -> Result<Vec<String>, DbError> {
    let statement = "SELECT DISTINCT i.id, i.seq FROM instances i JOIN network_vifs v ON v.instance_id = i.id \
        AND v.deleted_at IS NULL WHERE i.terminated_at IS NULL AND i.desired = 'on' \
        AND (i.state IN ('pending', 'starting') OR v.asked_generation = 0) AND v.network_id = ? AND v.need_network_version <= ? \
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.thing = i.id AND j.open = 1) ORDER BY i.seq LIMIT 500";
    rows(tx, statement, (network, version)).await?.iter().map(|row| row.text("id")).collect()
}

/// The same for a version of a host's policy.
pub async fn waiting_for_policy(tx: &mut Tx, host: &str, version: u64) -> Result<Vec<String>, DbError> {
    let statement = "SELECT i.id FROM instances i WHERE i.terminated_at IS NULL AND i.desired = 'on' \
        AND (i.state IN ('pending', 'starting') OR EXISTS (SELECT 1 FROM network_vifs v WHERE v.instance_id = i.id \
        AND v.asked_generation = 0 AND v.deleted_at IS NULL)) AND i.host_node_id = ? AND i.need_policy_version <= ? \
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.thing = i.id AND j.open = 1) \
        UNION SELECT m.instance_id FROM instance_moves m WHERE m.to_host_id = ? AND m.need_policy_version <= ? LIMIT 500";
    rows(tx, statement, (host, version, host, version)).await?.iter().map(|row| row.text("id")).collect()
}

/// Instances that wait to be made from an image.
pub async fn waiting_for_image(tx: &mut Tx, image: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT i.id FROM instances i WHERE i.image_id = ? AND i.terminated_at IS NULL AND i.desired = 'on' \
        AND i.state = 'pending' AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.thing = i.id AND j.open = 1) \
        ORDER BY i.seq LIMIT 500";
    rows(tx, statement, (image,)).await?.iter().map(|row| row.text("id")).collect()
}

/// Live instances on a host, and those that are brought to it.
pub async fn on_host(tx: &mut Tx, host: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM instances WHERE host_node_id = ? AND terminated_at IS NULL \
                     UNION SELECT instance_id FROM instance_moves WHERE to_host_id = ?";
    rows(tx, statement, (host, host)).await?.iter().map(|row| row.text("id")).collect()
}

/// Live instances without an open job whose state is one that must end: the sweep looks at them again. A move may go on
/// without a host that is not heard, whatever is open there.
pub async fn unsettled(db: &Db) -> Result<Vec<String>, DbError> {
    let statement = "SELECT i.id FROM instances i WHERE i.terminated_at IS NULL \
        AND i.state IN ('pending', 'initializing', 'starting', 'migrating', 'halting', 'shuttingdown') \
        AND i.state_since < UTC_TIMESTAMP(3) - INTERVAL 5 SECOND \
        AND NOT EXISTS (SELECT 1 FROM jobs j JOIN agents a ON a.id = j.agent_id WHERE j.thing = i.id AND j.open = 1 \
        AND (i.state <> 'migrating' OR a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND)) ORDER BY i.seq LIMIT 200";
    db.rows(statement, ()).await?.iter().map(|row| row.text("id")).collect()
}

/// The stored verdicts of the last placement.
pub async fn placement(db: &Db, id: &str) -> Result<Option<api::Placement>, DbError> {
    let found = db.rows("SELECT placement FROM instances WHERE id = ?", (id,)).await?;
    found.first().map_or(Ok(None), |row| row.json_opt("placement"))
}

/// Forgets a failure that is not final: any new fact resets the attempts (DESIGN 3.10). The generation is raised with it:
/// the removal of what failed may still be on its way, and must not meet what is made now.
pub async fn forget_passing_failure(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE instances SET failure_code = NULL, failure_message = NULL, generation = generation + 1 WHERE id = ? \
                     AND failure_code IS NOT NULL AND failure_final = 0";
    run(tx, statement, (id,)).await?;
    Ok(())
}

/// New words of an instance; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct Words<'a> {
    pub display_name: Option<&'a str>,
    pub ssh_key: Option<&'a str>,
    pub monitoring_enabled: Option<bool>,
    pub monitoring_mail: Option<String>,
    pub restart_policy: Option<&'a str>,
}

/// Nothing of it is the host's business: the generation stays.
pub async fn set_words(tx: &mut Tx, id: &str, words: &Words<'_>) -> Result<(), DbError> {
    let statement = "UPDATE instances SET display_name = IFNULL(?, display_name), ssh_key_pair_id = IFNULL(?, ssh_key_pair_id), \
                     monitoring_enabled = IFNULL(?, monitoring_enabled), monitoring_mail = IFNULL(?, monitoring_mail), \
                     restart_policy = IFNULL(?, restart_policy), \
                     updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    let w = words;
    run(tx, statement, (w.display_name, w.ssh_key, w.monitoring_enabled, &w.monitoring_mail, w.restart_policy, id))
        .await?;
    Ok(())
}

/// The password that the guest made, encrypted by it.
pub async fn password(db: &Db, id: &str) -> Result<Option<String>, DbError> {
    let found = db.rows("SELECT encrypted_password FROM instances WHERE id = ?", (id,)).await?;
    found.first().map_or(Ok(None), |row| row.col("encrypted_password"))
}

pub async fn forget_password(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "UPDATE instances SET encrypted_password = NULL WHERE id = ?", (id,)).await?;
    Ok(())
}
