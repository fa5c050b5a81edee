//! The way out of a network, and external addresses: handles of ip pools that are bound to interfaces.
//!
//! Rule: the network's row is locked before one of its addresses is bound or taken away. A handle that was bound keeps its
//! address until the network is served at a version without it.

use super::super::pool::{first, rows, run};
use super::super::{Columns, Db, DbError, Tx};
use arame_schema::api::{ExternalAddress, NetworkRoute, RouteEnd};
use arame_schema::jobs::nsa::Translation;
use std::net::Ipv4Addr;

/// The way out leads there, as this address; or nowhere. The next version is the first that says so.
pub async fn set_way(tx: &mut Tx, id: &str, way: Option<(&str, Ipv4Addr)>, next: u64) -> Result<(), DbError> {
    if way.is_none() {
        super::naming::leave_gateway(tx, id, next).await?;
    }
    let statement = "UPDATE networks SET nat_network_id = ?, outside_ipv4 = ?, gateway_agent = IF(? IS NULL, NULL, gateway_agent), \
                     updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    let (network, address) = (way.map(|way| way.0), way.map(|way| u32::from(way.1)));
    run(tx, statement, (network, address, network, id)).await?;
    Ok(())
}

pub async fn set_outbound(tx: &mut Tx, id: &str, outbound: bool) -> Result<(), DbError> {
    let statement = "UPDATE networks SET outbound = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (outbound, id)).await?;
    Ok(())
}

/// Networks whose way out leads to this one.
pub async fn inside_of(tx: &mut Tx, id: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM networks WHERE nat_network_id = ? AND deleted_at IS NULL ORDER BY id LIMIT 20";
    rows(tx, statement, (id,)).await?.iter().map(|row| row.text("id")).collect()
}

/// What a network translates, in the order of its addresses.
pub async fn translations(tx: &mut Tx, network: &str) -> Result<Vec<Translation>, DbError> {
    let statement = "SELECT v.id, v.ipv4, h.ipv4 AS outer_ipv4 FROM network_vifs v JOIN ip_handles h ON h.network_vif_id = v.id \
                     JOIN networks n ON n.id = v.network_id WHERE v.network_id = ? AND v.deleted_at IS NULL \
                     AND h.network_id = n.nat_network_id ORDER BY v.ipv4";
    let read = |row: &mysql_async::Row| {
        Ok(Translation { vif: row.parsed("id")?, inner: row.ipv4("ipv4")?, outer: row.ipv4("outer_ipv4")? })
    };
    rows(tx, statement, (network,)).await?.iter().map(read).collect()
}

/// The handles bound to an interface.
pub async fn handles_of(tx: &mut Tx, vif: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM ip_handles WHERE network_vif_id = ? ORDER BY seq";
    rows(tx, statement, (vif,)).await?.iter().map(|row| row.text("id")).collect()
}

pub async fn bind(tx: &mut Tx, handle: &str, vif: &str) -> Result<(), DbError> {
    let statement = "UPDATE ip_handles SET network_vif_id = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (vif, handle)).await?;
    Ok(())
}

/// Takes every address from an interface: the network is without them from this version on.
pub async fn unbind_of(tx: &mut Tx, vif: &str, network: &str, version: u64) -> Result<u64, DbError> {
    let statement = "UPDATE ip_handles SET network_vif_id = NULL, cool_network_id = ?, cool_version = ?, \
                     updated_at = UTC_TIMESTAMP(3) WHERE network_vif_id = ?";
    run(tx, statement, (network, version, vif)).await
}

/// The network that may translate a handle's address still, although nobody has it: its gateway, or one that was it, has
/// not answered a version without it.
pub async fn cools_in(tx: &mut Tx, handle: &str) -> Result<Option<String>, DbError> {
    let statement = "SELECT h.cool_network_id FROM ip_handles h JOIN networks n ON n.id = h.cool_network_id \
                     JOIN naming_places p ON p.network_id = n.id \
                     AND (p.agent_id = n.gateway_agent OR p.gateway_left_version IS NOT NULL) \
                     WHERE h.id = ? AND NOT EXISTS (SELECT 1 FROM facts f WHERE f.thing = n.id AND f.agent_id = p.agent_id \
                     AND f.name = 'applied' AND f.value = 'yes' \
                     AND f.generation >= LEAST(h.cool_version, IFNULL(p.gateway_left_version, h.cool_version))) LIMIT 1";
    first(tx, statement, (handle,)).await?.map(|row| row.text("cool_network_id")).transpose()
}

pub async fn addresses(db: &Db, vif: &str) -> Result<Vec<ExternalAddress>, DbError> {
    let statement = "SELECT id, network_id, network_vif_id, ipv4 FROM ip_handles WHERE network_vif_id = ? ORDER BY seq";
    let read = |row: &mysql_async::Row| {
        Ok(ExternalAddress {
            network_id: row.text("network_id")?,
            vif_id: row.text("network_vif_id")?,
            ip_handle_id: row.text("id")?,
            ipv4: row.ipv4("ipv4")?.to_string(),
        })
    };
    db.rows(statement, (vif,)).await?.iter().map(read).collect()
}

/// What a network translates, and what is translated into it.
pub async fn routes(db: &Db, network: &str) -> Result<Vec<NetworkRoute>, DbError> {
    let statement = "SELECT h.network_id AS outer_network, h.ipv4 AS outer_ipv4, v.network_id, v.id, v.ipv4 \
                     FROM ip_handles h JOIN network_vifs v ON v.id = h.network_vif_id AND v.deleted_at IS NULL \
                     WHERE v.network_id = ? OR h.network_id = ? ORDER BY h.seq LIMIT 1000";
    let read = |row: &mysql_async::Row| {
        Ok(NetworkRoute {
            route_type: "external-ip".to_owned(),
            outer: RouteEnd {
                network_id: row.text("outer_network")?,
                network_vif_id: None,
                ipv4: row.ipv4("outer_ipv4")?.to_string(),
            },
            inner: RouteEnd {
                network_id: row.text("network_id")?,
                network_vif_id: Some(row.text("id")?),
                ipv4: row.ipv4("ipv4")?.to_string(),
            },
        })
    };
    db.rows(statement, (network, network)).await?.iter().map(read).collect()
}
