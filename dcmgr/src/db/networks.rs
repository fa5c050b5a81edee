//! Networks, interfaces, leases, and what a host's policy and an nsa's snapshot are made of.

pub mod changes;
pub mod naming;
pub mod outside;
pub mod plugs;
pub mod views;

use super::pool::{count, first, rows, run};
use super::{Columns, Db, DbError, Tx};
use crate::rehearsal::{self, Sabotage};
use arame_schema::jobs::nsa::{NetworkHost, Route};
use arame_schema::model::MacAddress;
use arame_schema::model::usage::Usage;
use ipnet::Ipv4Net;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

#[derive(Debug, Clone)]
pub struct NetworkRow {
    pub id: String,
    pub account: String,
    pub dc_network: String,
    pub vlan_tag: u16,
    pub subnet: Ipv4Net,
    pub gateway: Option<Ipv4Addr>,
    pub server: Ipv4Addr,
    pub domain: String,
    pub mtu: u16,
    /// Addresses given out, in order, none in two.
    pub ranges: Vec<Range>,
    /// Addresses are given out from the end.
    pub is_descending: bool,
    pub editable: bool,
    pub forwarders: Vec<SocketAddr>,
    pub settings: Settings,
    pub version: u64,
    /// It is to go, and its row stays until no naming service serves it.
    pub is_deleted: bool,
    /// Where its way out leads.
    pub nat_network: Option<String>,
    /// Its own address there.
    pub outside_ipv4: Option<Ipv4Addr>,
    pub outbound: bool,
    /// The naming service that is its gateway.
    pub gateway_agent: Option<String>,
}

/// What a network tells its guests beside addresses; what is absent is as the data center has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub lease_seconds: Option<u32>,
    pub ttl_seconds: Option<u32>,
    pub routes: Vec<Route>,
    pub dns_servers: Vec<Ipv4Addr>,
    pub ntp_servers: Vec<Ipv4Addr>,
    pub log_queries: bool,
    pub no_dhcp: bool,
    pub no_dns: bool,
}

/// Addresses from and to, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub begin: Ipv4Addr,
    pub end: Ipv4Addr,
}

impl Range {
    pub fn holds(self, address: Ipv4Addr) -> bool {
        (self.begin..=self.end).contains(&address)
    }
}

/// The ranges of a row: of its own column, or the one that its seed named.
fn ranges_of(row: &mysql_async::Row) -> Result<Vec<Range>, DbError> {
    let Some(text) = row.col::<Option<String>>("ranges")? else {
        return Ok(vec![Range { begin: row.ipv4("range_begin")?, end: row.ipv4("range_end")? }]);
    };
    let number = |text: &str| text.parse::<u32>().map(Ipv4Addr::from).map_err(|e| super::row::strange("ranges", e));
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (begin, end) = pair.split_once('-').ok_or_else(|| super::row::strange("ranges", pair))?;
            Ok(Range { begin: number(begin)?, end: number(end)? })
        })
        .collect()
}

fn ranges_text(ranges: &[Range]) -> String {
    let pairs = ranges.iter().map(|range| format!("{}-{}", u32::from(range.begin), u32::from(range.end)));
    pairs.collect::<Vec<_>>().join(",")
}

const SELECT: &str = "SELECT id, account_id, dc_network_id, vlan_tag, ipv4_network, prefix, ipv4_gw, server, domain_name, mtu, \
                      range_begin, range_end, ranges, ip_assignment, editable, forwarders, version, \
                      lease_seconds, ttl_seconds, routes, dns_servers, ntp_servers, query_log, dhcp_off, dns_off, \
                      nat_network_id, outside_ipv4, outbound, gateway_agent, \
                      deleted_at IS NOT NULL AS is_deleted FROM networks";

fn settings_of(row: &mysql_async::Row) -> Result<Settings, DbError> {
    Ok(Settings {
        lease_seconds: row.col("lease_seconds")?,
        ttl_seconds: row.col("ttl_seconds")?,
        routes: row.json_opt("routes")?.unwrap_or_default(),
        dns_servers: row.json_opt("dns_servers")?.unwrap_or_default(),
        ntp_servers: row.json_opt("ntp_servers")?.unwrap_or_default(),
        log_queries: row.flag("query_log")?,
        no_dhcp: row.flag("dhcp_off")?,
        no_dns: row.flag("dns_off")?,
    })
}

fn read(row: &mysql_async::Row) -> Result<NetworkRow, DbError> {
    let subnet =
        Ipv4Net::new(row.ipv4("ipv4_network")?, row.col("prefix")?).map_err(|e| super::row::strange("prefix", e))?;
    Ok(NetworkRow {
        id: row.text("id")?,
        account: row.text("account_id")?,
        dc_network: row.text("dc_network_id")?,
        vlan_tag: row.col("vlan_tag")?,
        subnet,
        gateway: row.col::<Option<u32>>("ipv4_gw")?.map(Ipv4Addr::from),
        server: row.ipv4("server")?,
        domain: row.text("domain_name")?,
        mtu: row.col("mtu")?,
        ranges: ranges_of(row)?,
        is_descending: row.text("ip_assignment")? == "desc",
        editable: row.flag("editable")?,
        forwarders: row.json("forwarders")?,
        settings: settings_of(row)?,
        version: row.col("version")?,
        is_deleted: row.flag("is_deleted")?,
        nat_network: row.col("nat_network_id")?,
        outside_ipv4: row.col::<Option<u32>>("outside_ipv4")?.map(Ipv4Addr::from),
        outbound: row.flag("outbound")?,
        gateway_agent: row.col("gateway_agent")?,
    })
}

pub async fn lock(tx: &mut Tx, id: &str) -> Result<Option<NetworkRow>, DbError> {
    first(tx, format!("{SELECT} WHERE id = ? FOR UPDATE"), (id,)).await?.as_ref().map(read).transpose()
}

pub async fn find(tx: &mut Tx, id: &str) -> Result<Option<NetworkRow>, DbError> {
    first(tx, format!("{SELECT} WHERE id = ?"), (id,)).await?.as_ref().map(read).transpose()
}

pub async fn all(tx: &mut Tx) -> Result<Vec<NetworkRow>, DbError> {
    rows(tx, format!("{SELECT} ORDER BY id"), ()).await?.iter().map(read).collect()
}

/// The account's first network: where an instance goes that names none.
pub async fn first_of_account(tx: &mut Tx, account: &str) -> Result<Option<String>, DbError> {
    let statement = "SELECT id FROM networks WHERE account_id = ? AND deleted_at IS NULL ORDER BY seq LIMIT 1";
    let found = first(tx, statement, (account,)).await?;
    found.map(|row| row.text("id")).transpose()
}

/// The next version of a network. Locks its row.
pub async fn bump(tx: &mut Tx, id: &str) -> Result<u64, DbError> {
    // The server answers the number with the statement's own answer: no second one to read it.
    count(tx, "UPDATE networks SET version = LAST_INSERT_ID(version + 1) WHERE id = ?", (id,)).await
}

/// Addresses taken in a network from one on, cooling ones included, in order, at most `limit` of them. The network's row
/// is locked by the caller.
pub async fn taken(tx: &mut Tx, network: &str, from: Ipv4Addr, limit: u32) -> Result<Vec<u32>, DbError> {
    let statement = "SELECT ipv4 FROM ip_leases WHERE network_id = ? AND ipv4 >= ? ORDER BY ipv4 LIMIT ?";
    rows(tx, statement, (network, u32::from(from), limit)).await?.iter().map(|row| row.col("ipv4")).collect()
}

/// The same up to an address, from there down.
pub async fn taken_below(tx: &mut Tx, network: &str, to: Ipv4Addr, limit: u32) -> Result<Vec<u32>, DbError> {
    let statement = "SELECT ipv4 FROM ip_leases WHERE network_id = ? AND ipv4 <= ? ORDER BY ipv4 DESC LIMIT ?";
    rows(tx, statement, (network, u32::from(to), limit)).await?.iter().map(|row| row.col("ipv4")).collect()
}

/// Whether an address is taken, or cooling.
pub async fn is_taken(tx: &mut Tx, network: &str, address: Ipv4Addr) -> Result<bool, DbError> {
    Ok(taken(tx, network, address, 1).await?.first() == Some(&u32::from(address)))
}

/// A lease and its interface.
#[derive(Debug, Clone)]
pub struct NewVif<'a> {
    pub id: &'a str,
    pub account: &'a str,
    pub instance: &'a str,
    pub network: &'a str,
    pub host: &'a str,
    pub index: u32,
    pub mac: MacAddress,
    pub ipv4: Ipv4Addr,
    pub need_version: u64,
    pub groups: &'a [String],
}

pub async fn insert_vif(tx: &mut Tx, vif: &NewVif<'_>) -> Result<(), DbError> {
    let lease = "INSERT INTO ip_leases (network_id, ipv4, vif_id, mac, host_node_id) VALUES (?, ?, ?, ?, ?)";
    run(tx, lease, (vif.network, u32::from(vif.ipv4), vif.id, vif.mac.to_string(), vif.host)).await?;
    let row = "INSERT INTO network_vifs (id, account_id, instance_id, network_id, device_index, mac, ipv4, \
               need_network_version, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3))";
    let values = (
        vif.id,
        vif.account,
        vif.instance,
        vif.network,
        vif.index,
        vif.mac.to_string(),
        u32::from(vif.ipv4),
        vif.need_version,
    );
    run(tx, row, values).await?;
    super::usage::set_address(tx, vif.id, vif.account, Some(Usage::Held)).await?;
    if vif.groups.is_empty() {
        return Ok(());
    }
    let places = vec!["(?, ?)"; vif.groups.len()].join(", ");
    let members = format!("INSERT INTO network_vif_security_groups (vif_id, security_group_id) VALUES {places}");
    let values = vif.groups.iter().flat_map(|group| [vif.id.into(), group.into()]).collect();
    run(tx, members, mysql_async::Params::Positional(values)).await?;
    Ok(())
}

#[derive(Debug, Clone)]
pub struct VifRow {
    pub id: String,
    pub instance: String,
    pub network: String,
    pub index: u32,
    pub mac: MacAddress,
    pub ipv4: Ipv4Addr,
    pub need_version: u64,
    /// Version of its host's policy that knows it; 0 when its instance's own says so.
    pub need_policy: u64,
    /// Generation of its instance that asked for it first; 0: none did yet.
    pub asked_generation: u64,
    /// It is to leave its instance.
    pub leaving: bool,
}

const VIFS: &str = "SELECT id, instance_id, network_id, device_index, mac, ipv4, need_network_version, \
                    need_policy_version, asked_generation, leaving FROM network_vifs";

fn read_vif(row: &mysql_async::Row) -> Result<VifRow, DbError> {
    Ok(VifRow {
        id: row.text("id")?,
        instance: row.text("instance_id")?,
        network: row.text("network_id")?,
        index: row.col("device_index")?,
        mac: row.parsed("mac")?,
        ipv4: row.ipv4("ipv4")?,
        need_version: row.col("need_network_version")?,
        need_policy: row.col("need_policy_version")?,
        asked_generation: row.col("asked_generation")?,
        leaving: row.flag("leaving")?,
    })
}

pub async fn vifs_of_instance(tx: &mut Tx, instance: &str) -> Result<Vec<VifRow>, DbError> {
    let statement = format!("{VIFS} WHERE instance_id = ? AND deleted_at IS NULL ORDER BY device_index");
    rows(tx, statement, (instance,)).await?.iter().map(read_vif).collect()
}

pub async fn groups_of_vif(tx: &mut Tx, vif: &str) -> Result<Vec<String>, DbError> {
    let statement =
        "SELECT security_group_id FROM network_vif_security_groups WHERE vif_id = ? ORDER BY security_group_id";
    rows(tx, statement, (vif,)).await?.iter().map(|row| row.text("security_group_id")).collect()
}

/// Ends an interface: its address and MAC cool until these versions are acknowledged (DESIGN 3.11).
pub async fn release_vif(tx: &mut Tx, vif: &VifRow, network_version: u64, policy_version: u64) -> Result<(), DbError> {
    let gone = "UPDATE network_vifs SET deleted_at = UTC_TIMESTAMP(3), gone_network_version = ? WHERE id = ?";
    run(tx, gone, (network_version, &vif.id)).await?;
    outside::unbind_of(tx, &vif.id, &vif.network, network_version).await?;
    super::usage::set_address(tx, &vif.id, "", None).await?;
    if rehearsal::sabotaged(Sabotage::ReleaseWithoutCooling) {
        run(tx, "DELETE FROM ip_leases WHERE vif_id = ?", (&vif.id,)).await?;
        return Ok(());
    }
    let statement = "UPDATE ip_leases SET released_at = UTC_TIMESTAMP(3), cool_network_version = ?, cool_policy_version = ? \
                     WHERE network_id = ? AND ipv4 = ? AND vif_id = ?";
    run(tx, statement, (network_version, policy_version, &vif.network, u32::from(vif.ipv4), &vif.id)).await?;
    Ok(())
}

/// Another host that knows a released address: it cools until that host's policy is at this version.
pub async fn cool_at(tx: &mut Tx, vif: &VifRow, host: &str, policy_version: u64) -> Result<(), DbError> {
    let statement = "INSERT INTO cooling_hosts (network_id, ipv4, host_node_id, policy_version) VALUES (?, ?, ?, ?) \
                     ON DUPLICATE KEY UPDATE policy_version = GREATEST(policy_version, VALUES(policy_version))";
    run(tx, statement, (&vif.network, u32::from(vif.ipv4), host, policy_version)).await?;
    Ok(())
}

/// An interface follows its instance to another host.
pub async fn move_vifs(tx: &mut Tx, instance: &str, host: &str) -> Result<(), DbError> {
    let statement = "UPDATE ip_leases l JOIN network_vifs v ON v.id = l.vif_id SET l.host_node_id = ? \
                     WHERE v.instance_id = ? AND v.deleted_at IS NULL";
    run(tx, statement, (host, instance)).await?;
    Ok(())
}

/// Gives cooled addresses back: the least time is over, and every nsa that the network was placed at and every host that
/// knew them has answered a version without them; one that answered that it serves the network no more has no place there.
/// An agent that has said hello and not yet answered has not: no answer is no acknowledgement. Of a host that was declared
/// lost none is waited for. A bounded batch a call.
pub async fn end_cooling(db: &Db, least_seconds: u32) -> Result<u64, DbError> {
    let statement = "DELETE FROM ip_leases WHERE released_at IS NOT NULL \
        AND released_at < UTC_TIMESTAMP(3) - INTERVAL ? SECOND \
        AND NOT EXISTS (SELECT 1 FROM naming_places p LEFT JOIN facts f ON f.thing = p.network_id \
                        AND f.agent_id = p.agent_id AND f.name = 'applied' AND f.value = 'yes' \
                        WHERE p.network_id = ip_leases.network_id \
                        AND IFNULL(f.generation, 0) < ip_leases.cool_network_version) \
        AND NOT EXISTS (SELECT 1 FROM host_nodes h LEFT JOIN facts f ON f.thing = h.id AND f.agent_id = h.agent_id \
                        AND f.name = 'applied' AND f.value = 'yes' WHERE h.id = ip_leases.host_node_id AND h.lost_at IS NULL \
                        AND IFNULL(f.generation, 0) < ip_leases.cool_policy_version) \
        AND NOT EXISTS (SELECT 1 FROM cooling_hosts c JOIN host_nodes h ON h.id = c.host_node_id AND h.lost_at IS NULL \
                        LEFT JOIN facts f ON f.thing = h.id AND f.agent_id = h.agent_id AND f.name = 'applied' \
                        AND f.value = 'yes' WHERE c.network_id = ip_leases.network_id AND c.ipv4 = ip_leases.ipv4 \
                        AND IFNULL(f.generation, 0) < c.policy_version) LIMIT 500";
    let freed = db.run(statement, (least_seconds,)).await?;
    if freed > 0 {
        let statement = "DELETE FROM cooling_hosts WHERE NOT EXISTS (SELECT 1 FROM ip_leases l \
            WHERE l.network_id = cooling_hosts.network_id AND l.ipv4 = cooling_hosts.ipv4)";
        db.run(statement, ()).await?;
    }
    Ok(freed)
}

const HOSTS: &str = "SELECT v.id, v.instance_id, v.mac, v.ipv4, i.hostname FROM network_vifs v \
                     JOIN instances i ON i.id = v.instance_id WHERE v.network_id = ?";

/// The hosts of a network's snapshot.
pub async fn snapshot_hosts(tx: &mut Tx, network: &str) -> Result<Vec<NetworkHost>, DbError> {
    let statement = format!("{HOSTS} AND v.deleted_at IS NULL ORDER BY v.ipv4");
    read_hosts(&rows(tx, statement, (network,)).await?)
}

/// Those of version `to` that an older one did not have.
pub async fn hosts_added(tx: &mut Tx, network: &str, from: u64, to: u64) -> Result<Vec<NetworkHost>, DbError> {
    let statement = format!(
        "{HOSTS} AND v.need_network_version > ? AND v.need_network_version <= ? \
         AND (v.gone_network_version IS NULL OR v.gone_network_version > ?) ORDER BY v.ipv4"
    );
    read_hosts(&rows(tx, statement, (network, from, to, to)).await?)
}

/// Those that went after one version, up to another.
pub async fn hosts_gone(tx: &mut Tx, network: &str, from: u64, to: u64) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM network_vifs WHERE network_id = ? AND gone_network_version > ? \
                     AND gone_network_version <= ? ORDER BY id";
    rows(tx, statement, (network, from, to)).await?.iter().map(|row| row.text("id")).collect()
}

/// How many hosts a version has.
pub async fn host_count(tx: &mut Tx, network: &str, version: u64) -> Result<u64, DbError> {
    let statement = "SELECT COUNT(*) AS n FROM network_vifs WHERE network_id = ? AND need_network_version <= ? \
                     AND (gone_network_version IS NULL OR gone_network_version > ?) AND instance_id <> ''";
    let row = first(tx, statement, (network, version, version)).await?;
    row.map_or(Ok(0), |row| row.col("n"))
}

fn read_hosts(found: &[mysql_async::Row]) -> Result<Vec<NetworkHost>, DbError> {
    found
        .iter()
        .map(|row| {
            Ok(NetworkHost {
                vif: row.parsed("id")?,
                instance: row.parsed("instance_id")?,
                mac: row.parsed("mac")?,
                ipv4: row.ipv4("ipv4")?,
                hostname: row.text("hostname")?,
            })
        })
        .collect()
}

/// One port of a host's policy.
#[derive(Debug, Clone)]
pub struct PolicyPort {
    pub vif: VifRow,
    pub vlan_tag: u16,
    pub subnet: Ipv4Net,
    pub server: Ipv4Addr,
    /// Ids of its groups, in order.
    pub groups: Vec<String>,
}

pub async fn policy_ports(tx: &mut Tx, host: &str) -> Result<Vec<PolicyPort>, DbError> {
    let statement = "SELECT v.id, v.instance_id, v.network_id, v.device_index, v.mac, v.ipv4, v.need_network_version, \
                     v.need_policy_version, v.asked_generation, v.leaving, n.vlan_tag, n.ipv4_network, n.prefix, n.server, \
                     (SELECT GROUP_CONCAT(m.security_group_id ORDER BY m.security_group_id) \
                      FROM network_vif_security_groups m WHERE m.vif_id = v.id) AS groups_of \
                     FROM (SELECT id FROM instances WHERE host_node_id = ? \
                           UNION SELECT instance_id FROM instance_moves WHERE to_host_id = ?) i \
                     JOIN network_vifs v ON v.instance_id = i.id JOIN networks n ON n.id = v.network_id \
                     WHERE v.deleted_at IS NULL ORDER BY v.seq";
    let found = rows(tx, statement, (host, host)).await?;
    let mut ports = Vec::with_capacity(found.len());
    for row in &found {
        let subnet = Ipv4Net::new(row.ipv4("ipv4_network")?, row.col("prefix")?)
            .map_err(|e| super::row::strange("prefix", e))?;
        let groups: Option<String> = row.col("groups_of")?;
        ports.push(PolicyPort {
            vif: read_vif(row)?,
            vlan_tag: row.col("vlan_tag")?,
            subnet,
            server: row.ipv4("server")?,
            groups: groups.unwrap_or_default().split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        });
    }
    Ok(ports)
}

/// The rules of groups that have a port on a host, as text.
pub async fn rules_on_host(tx: &mut Tx, host: &str) -> Result<BTreeMap<String, String>, DbError> {
    let statement = "SELECT g.id, g.rule FROM security_groups g WHERE g.id IN \
                     (SELECT m.security_group_id FROM (SELECT id FROM instances WHERE host_node_id = ? \
                            UNION SELECT instance_id FROM instance_moves WHERE to_host_id = ?) i \
                      JOIN network_vifs v ON v.instance_id = i.id \
                      JOIN network_vif_security_groups m ON m.vif_id = v.id WHERE v.deleted_at IS NULL)";
    rows(tx, statement, (host, host)).await?.iter().map(|row| Ok((row.text("id")?, row.text("rule")?))).collect()
}

/// Addresses of a group's members.
pub async fn member_addresses(tx: &mut Tx, group: &str) -> Result<Vec<Ipv4Addr>, DbError> {
    let statement = "SELECT v.ipv4 FROM network_vif_security_groups m JOIN network_vifs v ON v.id = m.vif_id \
                     WHERE m.security_group_id = ? AND v.deleted_at IS NULL ORDER BY v.ipv4";
    rows(tx, statement, (group,)).await?.iter().map(|row| row.ipv4("ipv4")).collect()
}

/// Hosts whose policy changes when a group's rules or members change: those with a port in the group, or in a group
/// whose rules name it.
pub async fn hosts_of_group(tx: &mut Tx, group: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT DISTINCT i.host_node_id FROM network_vif_security_groups m \
                     JOIN security_groups g ON g.id = m.security_group_id \
                     JOIN network_vifs v ON v.id = m.vif_id JOIN instances i ON i.id = v.instance_id \
                     WHERE v.deleted_at IS NULL AND i.host_node_id IS NOT NULL \
                     AND (g.id = ? OR INSTR(g.rule, ?) > 0) \
                     UNION SELECT o.to_host_id FROM instance_moves o JOIN network_vifs v ON v.instance_id = o.instance_id \
                     JOIN network_vif_security_groups m ON m.vif_id = v.id JOIN security_groups g ON g.id = m.security_group_id \
                     WHERE v.deleted_at IS NULL AND (g.id = ? OR INSTR(g.rule, ?) > 0) ORDER BY host_node_id";
    rows(tx, statement, (group, group, group, group)).await?.iter().map(|row| row.text("host_node_id")).collect()
}

/// Hosts with a port in a group whose rules name the given group: its members' addresses are in their policies.
pub async fn hosts_that_name(tx: &mut Tx, group: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT DISTINCT i.host_node_id FROM security_groups g \
                     JOIN network_vif_security_groups m ON m.security_group_id = g.id \
                     JOIN network_vifs v ON v.id = m.vif_id JOIN instances i ON i.id = v.instance_id \
                     WHERE INSTR(g.rule, ?) > 0 AND v.deleted_at IS NULL AND i.host_node_id IS NOT NULL \
                     UNION SELECT o.to_host_id FROM instance_moves o JOIN network_vifs v ON v.instance_id = o.instance_id \
                     JOIN network_vif_security_groups m ON m.vif_id = v.id JOIN security_groups g ON g.id = m.security_group_id \
                     WHERE INSTR(g.rule, ?) > 0 AND v.deleted_at IS NULL ORDER BY host_node_id";
    rows(tx, statement, (group, group)).await?.iter().map(|row| row.text("host_node_id")).collect()
}
