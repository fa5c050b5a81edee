//! IP pools and the handles that hold addresses of them.

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::{HandleNetwork, IpHandle};
use arame_schema::model::usage::Usage;
use std::net::Ipv4Addr;

/// A pool, its dc networks by their ids.
#[derive(Debug, Clone)]
pub struct PoolRow {
    pub id: String,
    pub account: String,
    pub display_name: String,
    pub dc_networks: Vec<String>,
    pub created_at: arame_schema::api::Timestamp,
    pub updated_at: arame_schema::api::Timestamp,
}

fn read(row: &mysql_async::Row) -> Result<PoolRow, DbError> {
    let ids = row.text("dc_networks")?;
    Ok(PoolRow {
        id: row.text("id")?,
        account: row.text("account_id")?,
        display_name: row.text("display_name")?,
        dc_networks: ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub async fn list(db: &Db, account: Option<&str>) -> Result<Vec<PoolRow>, DbError> {
    let statement = "SELECT * FROM ip_pools WHERE (? IS NULL OR account_id = ?) ORDER BY seq DESC";
    db.rows(statement, (account, account)).await?.iter().map(read).collect()
}

pub async fn get(db: &Db, id: &str, account: Option<&str>) -> Result<Option<PoolRow>, DbError> {
    let statement = "SELECT * FROM ip_pools WHERE id = ? AND (? IS NULL OR account_id = ?)";
    db.rows(statement, (id, account, account)).await?.first().map(read).transpose()
}

pub async fn lock(tx: &mut Tx, id: &str, account: Option<&str>) -> Result<Option<PoolRow>, DbError> {
    let statement = "SELECT * FROM ip_pools WHERE id = ? AND (? IS NULL OR account_id = ?) FOR UPDATE";
    first(tx, statement, (id, account, account)).await?.as_ref().map(read).transpose()
}

pub async fn insert(tx: &mut Tx, id: &str, account: &str, name: &str, dc_networks: &[String]) -> Result<(), DbError> {
    let statement = "INSERT INTO ip_pools (id, account_id, display_name, dc_networks, created_at, updated_at) \
                     VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    run(tx, statement, (id, account, name, dc_networks.join(","))).await?;
    Ok(())
}

pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM ip_pools WHERE id = ?", (id,)).await?;
    Ok(())
}

/// Handles of a pool, its row locked: none is acquired meanwhile.
pub async fn held(tx: &mut Tx, id: &str) -> Result<Vec<String>, DbError> {
    let statement = format!("SELECT h.id FROM ip_handles h WHERE h.ip_pool_id = ? AND {ALIVE} ORDER BY h.seq LIMIT 20");
    rows(tx, statement, (id,)).await?.iter().map(|row| row.text("id")).collect()
}

/// Pools over a dc network.
pub async fn of_dc_network(tx: &mut Tx, id: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM ip_pools WHERE FIND_IN_SET(?, dc_networks) ORDER BY id LIMIT 20";
    rows(tx, statement, (id,)).await?.iter().map(|row| row.text("id")).collect()
}

// Handles. One whose time is over is as good as gone; the sweep takes its row and its address back.

const ALIVE: &str = "(h.expires_at IS NULL OR h.expires_at > UTC_TIMESTAMP(3) OR h.network_vif_id IS NOT NULL)";

fn view(row: &mysql_async::Row) -> Result<IpHandle, DbError> {
    Ok(IpHandle {
        id: row.text("id")?,
        network: HandleNetwork { id: row.text("network_id")? },
        network_vif: row.col("network_vif_id")?,
        ipv4: row.ipv4("ipv4")?.to_string(),
        display_name: Some(row.text("display_name")?).filter(|name| !name.is_empty()),
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        expires_at: row.time_opt("expires_at")?,
        ip_pool_id: row.text("ip_pool_id")?,
    })
}

pub async fn handles(db: &Db, pool: &str, account: Option<&str>) -> Result<Vec<IpHandle>, DbError> {
    let statement = format!(
        "SELECT h.* FROM ip_handles h JOIN ip_pools p ON p.id = h.ip_pool_id WHERE p.id = ? AND {ALIVE} \
         AND (? IS NULL OR p.account_id = ?) ORDER BY h.seq DESC"
    );
    db.rows(statement, (pool, account, account)).await?.iter().map(view).collect()
}

pub async fn handle(db: &Db, id: &str, account: Option<&str>) -> Result<Option<IpHandle>, DbError> {
    let statement = format!(
        "SELECT h.* FROM ip_handles h JOIN ip_pools p ON p.id = h.ip_pool_id WHERE h.id = ? AND {ALIVE} \
         AND (? IS NULL OR p.account_id = ?)"
    );
    db.rows(statement, (id, account, account)).await?.first().map(view).transpose()
}

/// A handle of a pool, or of any the account may use.
pub async fn lock_handle(
    tx: &mut Tx,
    id: &str,
    pool: Option<&str>,
    account: Option<&str>,
) -> Result<Option<IpHandle>, DbError> {
    let statement = format!(
        "SELECT h.* FROM ip_handles h JOIN ip_pools p ON p.id = h.ip_pool_id WHERE h.id = ? AND {ALIVE} \
         AND (? IS NULL OR p.id = ?) AND (? IS NULL OR p.account_id = ?) FOR UPDATE"
    );
    first(tx, statement, (id, pool, pool, account, account)).await?.as_ref().map(view).transpose()
}

pub async fn insert_handle(
    tx: &mut Tx,
    id: &str,
    pool: &PoolRow,
    network: &str,
    address: Ipv4Addr,
) -> Result<(), DbError> {
    let statement = "INSERT INTO ip_handles (id, ip_pool_id, network_id, ipv4, created_at, updated_at) \
                     VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    run(tx, statement, (id, &pool.id, network, u32::from(address))).await?;
    super::usage::set_address(tx, id, &pool.account, Some(Usage::Held)).await
}

pub async fn delete_handle(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM ip_handles WHERE id = ?", (id,)).await?;
    super::usage::set_address(tx, id, "", None).await
}

pub async fn set_expiry(tx: &mut Tx, id: &str, seconds: u64) -> Result<(), DbError> {
    let statement = "UPDATE ip_handles SET expires_at = UTC_TIMESTAMP(3) + INTERVAL ? SECOND, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (seconds, id)).await?;
    Ok(())
}

/// Takes back what handles held whose time is over, a bounded batch a call. The address goes first: a process that stops
/// between the two leaves a handle without address, which the next call ends.
pub async fn end_expired(db: &Db) -> Result<(), DbError> {
    let used = "UPDATE usage_intervals u JOIN ip_handles h ON h.id = u.resource \
                SET u.ended_at = GREATEST(u.begun_at, h.expires_at), u.open = NULL \
                WHERE u.open = 1 AND h.expires_at <= UTC_TIMESTAMP(3) AND h.network_vif_id IS NULL";
    db.run(used, ()).await?;
    let leases = "DELETE FROM ip_leases WHERE mac IS NULL AND vif_id IN \
                  (SELECT id FROM ip_handles WHERE expires_at <= UTC_TIMESTAMP(3) AND network_vif_id IS NULL)";
    db.run(leases, ()).await?;
    let handles = "DELETE FROM ip_handles WHERE expires_at <= UTC_TIMESTAMP(3) AND network_vif_id IS NULL \
                   AND NOT EXISTS (SELECT 1 FROM ip_leases l WHERE l.vif_id = ip_handles.id)";
    db.run(handles, ()).await?;
    Ok(())
}
