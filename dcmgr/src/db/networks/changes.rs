//! What makes, changes and ends networks, their ranges, reserved addresses and interfaces that belong to no instance.
//!
//! Rule: a lease without MAC is nobody's: reserved (no owner) or an IP handle's. The network's row is locked by the caller
//! before a lease is written.

use super::super::pool::{first, rows, run};
use super::super::{Columns, Db, DbError, Tx};
use super::{Range, Settings, ranges_text};
use arame_schema::model::MacAddress;
use std::net::{Ipv4Addr, SocketAddr};

#[derive(Debug, Clone)]
pub struct NewNetwork<'a> {
    pub id: &'a str,
    pub account: &'a str,
    pub dc_network: &'a str,
    pub vlan_tag: u16,
    pub display_name: &'a str,
    pub description: &'a str,
    pub ipv4_network: Ipv4Addr,
    pub prefix: u8,
    pub gateway: Option<Ipv4Addr>,
    pub server: Ipv4Addr,
    pub domain: &'a str,
    pub ranges: &'a [Range],
    pub metric: u32,
    pub ip_assignment: &'a str,
    pub editable: bool,
}

pub async fn insert(tx: &mut Tx, network: &NewNetwork<'_>) -> Result<(), DbError> {
    let n = network;
    let statement = "INSERT INTO networks (id, account_id, dc_network_id, vlan_tag, display_name, description, ipv4_network, prefix, \
                     ipv4_gw, server, domain_name, range_begin, range_end, ranges, metric, ip_assignment, editable, forwarders, \
                     created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, '[]', UTC_TIMESTAMP(3), \
                     UTC_TIMESTAMP(3))";
    let values = mysql_async::Params::Positional(vec![
        n.id.into(),
        n.account.into(),
        n.dc_network.into(),
        n.vlan_tag.into(),
        n.display_name.into(),
        n.description.into(),
        u32::from(n.ipv4_network).into(),
        n.prefix.into(),
        n.gateway.map(u32::from).into(),
        u32::from(n.server).into(),
        n.domain.into(),
        ranges_text(n.ranges).into(),
        n.metric.into(),
        n.ip_assignment.into(),
        n.editable.into(),
    ]);
    run(tx, statement, values).await?;
    Ok(())
}

/// Whether a row of this id is there, also of one that is going.
pub async fn is_known(tx: &mut Tx, id: &str) -> Result<bool, DbError> {
    Ok(first(tx, "SELECT 1 AS one FROM networks WHERE id = ?", (id,)).await?.is_some())
}

/// Tags within a range that some network has, whatever its dc network, in order.
pub async fn tags_between(tx: &mut Tx, begin: u16, end: u16) -> Result<Vec<u16>, DbError> {
    let statement = "SELECT vlan_tag FROM networks WHERE vlan_tag BETWEEN ? AND ? ORDER BY vlan_tag";
    rows(tx, statement, (begin, end)).await?.iter().map(|row| row.col("vlan_tag")).collect()
}

/// New words of a network; what is absent stays.
pub async fn set_words(
    tx: &mut Tx,
    id: &str,
    display_name: Option<&str>,
    description: Option<&str>,
    editable: Option<bool>,
) -> Result<(), DbError> {
    let statement = "UPDATE networks SET display_name = IFNULL(?, display_name), description = IFNULL(?, description), \
                     editable = IFNULL(?, editable), updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (display_name, description, editable, id)).await?;
    Ok(())
}

/// What its naming services serve beside hosts and records. The version is raised by the caller.
pub async fn set_served(
    tx: &mut Tx,
    id: &str,
    (mtu, domain): (u16, &str),
    forwarders: &[SocketAddr],
    settings: &Settings,
) -> Result<(), DbError> {
    let text = |value: serde_json::Result<String>| value.map_err(|e| super::super::row::strange("networks", e));
    let statement = "UPDATE networks SET mtu = ?, domain_name = ?, forwarders = ?, lease_seconds = ?, ttl_seconds = ?, \
                     routes = ?, dns_servers = ?, ntp_servers = ?, query_log = ?, dhcp_off = ?, dns_off = ?, \
                     updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    let values = mysql_async::Params::Positional(vec![
        mtu.into(),
        domain.into(),
        text(serde_json::to_string(forwarders))?.into(),
        settings.lease_seconds.into(),
        settings.ttl_seconds.into(),
        text(serde_json::to_string(&settings.routes))?.into(),
        text(serde_json::to_string(&settings.dns_servers))?.into(),
        text(serde_json::to_string(&settings.ntp_servers))?.into(),
        settings.log_queries.into(),
        settings.no_dhcp.into(),
        settings.no_dns.into(),
        id.into(),
    ]);
    run(tx, statement, values).await?;
    Ok(())
}

pub async fn set_ranges(tx: &mut Tx, id: &str, ranges: &[Range]) -> Result<(), DbError> {
    let statement = "UPDATE networks SET ranges = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (ranges_text(ranges), id)).await?;
    Ok(())
}

pub async fn set_gateway(tx: &mut Tx, id: &str, gateway: Option<Ipv4Addr>) -> Result<(), DbError> {
    let statement = "UPDATE networks SET ipv4_gw = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (gateway.map(u32::from), id)).await?;
    Ok(())
}

/// Who needs a network: interfaces in it, and IP handles that hold an address of it.
pub async fn users(tx: &mut Tx, id: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT IF(instance_id = '', id, instance_id) AS user FROM network_vifs WHERE network_id = ? \
                     AND deleted_at IS NULL UNION SELECT id FROM ip_handles WHERE network_id = ? LIMIT 20";
    rows(tx, statement, (id, id)).await?.iter().map(|row| row.text("user")).collect()
}

/// It is to go: the next version of it is that it is served no more. What was reserved in it is free with it.
pub async fn set_deleted(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM ip_leases WHERE network_id = ? AND mac IS NULL", (id,)).await?;
    let statement = "UPDATE networks SET deleted_at = UTC_TIMESTAMP(3), version = version + 1 WHERE id = ?";
    run(tx, statement, (id,)).await?;
    Ok(())
}

/// Gives the tags of deleted networks back: the least time is over, no address of theirs cools, and every nsa that they were
/// placed at has answered that it serves them no more.
pub async fn end_deleted(db: &Db, least_seconds: u32) -> Result<u64, DbError> {
    let statement = "DELETE FROM networks WHERE deleted_at IS NOT NULL \
        AND deleted_at < UTC_TIMESTAMP(3) - INTERVAL ? SECOND \
        AND NOT EXISTS (SELECT 1 FROM ip_leases l WHERE l.network_id = networks.id) \
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.thing = networks.id AND j.open = 1) \
        AND NOT EXISTS (SELECT 1 FROM naming_places p WHERE p.network_id = networks.id) LIMIT 100";
    db.run(statement, (least_seconds,)).await
}

/// Keeps an address for nobody, or for an IP handle.
pub async fn reserve(tx: &mut Tx, network: &str, address: Ipv4Addr, owner: &str) -> Result<(), DbError> {
    let statement = "INSERT INTO ip_leases (network_id, ipv4, vif_id, mac) VALUES (?, ?, ?, NULL)";
    run(tx, statement, (network, u32::from(address), owner)).await?;
    Ok(())
}

/// Gives such an address back; answers whether it was kept.
pub async fn unreserve(tx: &mut Tx, network: &str, address: Ipv4Addr, owner: &str) -> Result<bool, DbError> {
    let statement = "DELETE FROM ip_leases WHERE network_id = ? AND ipv4 = ? AND vif_id = ? AND mac IS NULL";
    Ok(run(tx, statement, (network, u32::from(address), owner)).await? == 1)
}

/// An interface of no instance.
#[derive(Debug, Clone)]
pub struct LoneVif<'a> {
    pub id: &'a str,
    pub account: &'a str,
    pub network: &'a str,
    pub mac: MacAddress,
    pub ipv4: Ipv4Addr,
}

/// Nobody but the rows knows such an interface: no snapshot names it, so its address cools for nobody.
pub async fn insert_lone_vif(tx: &mut Tx, vif: &LoneVif<'_>) -> Result<(), DbError> {
    let statement = "INSERT INTO network_vifs (id, account_id, instance_id, network_id, device_index, mac, ipv4, \
                     need_network_version, created_at) VALUES (?, ?, '', ?, 0, ?, ?, 0, UTC_TIMESTAMP(3))";
    let values = (vif.id, vif.account, vif.network, vif.mac.to_string(), u32::from(vif.ipv4));
    // First: where it is refused, nothing is there yet.
    lease_lone_vif(tx, vif.id, vif.network, vif.mac, vif.ipv4).await?;
    run(tx, statement, values).await?;
    Ok(())
}

async fn lease_lone_vif(tx: &mut Tx, id: &str, network: &str, mac: MacAddress, ipv4: Ipv4Addr) -> Result<(), DbError> {
    let lease = "INSERT INTO ip_leases (network_id, ipv4, vif_id, mac) VALUES (?, ?, ?, ?)";
    run(tx, lease, (network, u32::from(ipv4), id, mac.to_string())).await?;
    Ok(())
}

/// Puts a lone interface into a network, or with `None` into none.
pub async fn place_lone_vif(tx: &mut Tx, vif: &AnyVif, place: Option<(&str, Ipv4Addr)>) -> Result<(), DbError> {
    give_back(tx, &vif.id).await?;
    let (network, ipv4) = (place.map(|(network, _)| network), place.map(|(_, ipv4)| u32::from(ipv4)));
    run(tx, "UPDATE network_vifs SET network_id = ?, ipv4 = ? WHERE id = ?", (network, ipv4, &vif.id)).await?;
    match place {
        Some((network, ipv4)) => lease_lone_vif(tx, &vif.id, network, vif.mac, ipv4).await,
        None => Ok(()),
    }
}

/// The address of an interface that was in an instance once cools; nobody but the rows ever knew another's.
async fn give_back(tx: &mut Tx, vif: &str) -> Result<(), DbError> {
    let cools = "UPDATE ip_leases SET released_at = UTC_TIMESTAMP(3) WHERE vif_id = ? AND released_at IS NULL \
                 AND cool_network_version > 0";
    run(tx, cools, (vif,)).await?;
    run(tx, "DELETE FROM ip_leases WHERE vif_id = ? AND released_at IS NULL", (vif,)).await?;
    super::super::usage::set_address(tx, vif, "", None).await
}

pub async fn delete_lone_vif(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    give_back(tx, id).await?;
    run(tx, "DELETE FROM monitors WHERE resource = ?", (id,)).await?;
    let gone = "UPDATE network_vifs SET deleted_at = UTC_TIMESTAMP(3), gone_network_version = IFNULL(gone_network_version, 0) WHERE id = ?";
    run(tx, gone, (id,)).await?;
    Ok(())
}

/// An interface, whoever it belongs to.
#[derive(Debug, Clone)]
pub struct AnyVif {
    pub id: String,
    pub account: String,
    pub instance: Option<String>,
    pub network: Option<String>,
    pub mac: MacAddress,
    pub ipv4: Option<Ipv4Addr>,
    pub host: Option<String>,
    /// It is to leave its instance.
    pub leaving: bool,
}

/// Not locked; its network's and its host's locks come first.
pub async fn find_vif(tx: &mut Tx, id: &str, account: Option<&str>) -> Result<Option<AnyVif>, DbError> {
    let statement = "SELECT v.id, v.account_id, v.instance_id, v.network_id, v.mac, v.ipv4, v.leaving, i.host_node_id FROM network_vifs v \
                     LEFT JOIN instances i ON i.id = v.instance_id WHERE v.id = ? AND v.deleted_at IS NULL \
                     AND (? IS NULL OR v.account_id = ?)";
    let found = first(tx, statement, (id, account, account)).await?;
    found
        .map(|row| {
            Ok(AnyVif {
                id: row.text("id")?,
                account: row.text("account_id")?,
                instance: Some(row.text("instance_id")?).filter(|id| !id.is_empty()),
                network: row.col("network_id")?,
                mac: row.parsed("mac")?,
                ipv4: row.col::<Option<u32>>("ipv4")?.map(Ipv4Addr::from),
                host: row.col("host_node_id")?,
                leaving: row.flag("leaving")?,
            })
        })
        .transpose()
}

pub async fn add_to_group(tx: &mut Tx, vif: &str, group: &str) -> Result<(), DbError> {
    let statement = "INSERT INTO network_vif_security_groups (vif_id, security_group_id) VALUES (?, ?)";
    run(tx, statement, (vif, group)).await?;
    Ok(())
}

pub async fn take_from_group(tx: &mut Tx, vif: &str, group: &str) -> Result<(), DbError> {
    let statement = "DELETE FROM network_vif_security_groups WHERE vif_id = ? AND security_group_id = ?";
    run(tx, statement, (vif, group)).await?;
    Ok(())
}

/// Another host that knows the address of an interface that lives on: it cools there too, once it is released.
pub async fn remember_at(tx: &mut Tx, vif: &AnyVif, host: &str, policy_version: u64) -> Result<(), DbError> {
    let (Some(network), Some(ipv4)) = (&vif.network, vif.ipv4) else { return Ok(()) };
    let statement = "INSERT INTO cooling_hosts (network_id, ipv4, host_node_id, policy_version) VALUES (?, ?, ?, ?) \
                     ON DUPLICATE KEY UPDATE policy_version = GREATEST(policy_version, VALUES(policy_version))";
    run(tx, statement, (network, u32::from(ipv4), host, policy_version)).await?;
    Ok(())
}
