//! The installation's own row: its identity, the database's epoch, and whether the database lost its memory
//! (DESIGN 3.6).

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::Timestamp;
use std::net::Ipv4Addr;
use uuid::Uuid;

/// The installation's identity.
pub async fn installation(db: &Db) -> Result<Uuid, DbError> {
    let found = db.rows("SELECT uuid FROM installation WHERE one = 1", ()).await?;
    let row = found.first();
    row.ok_or_else(|| super::row::strange("uuid", "the installation row is missing: run migrate"))?.parsed("uuid")
}

/// What every message and every change has to know.
#[derive(Debug, Clone)]
pub struct Memory {
    pub epoch: u64,
    pub lost: Option<Loss>,
}

#[derive(Debug, Clone)]
pub struct Loss {
    pub since: Timestamp,
    /// By what it was noticed.
    pub sign: String,
}

const MEMORY: &str = "SELECT epoch, memory_loss_at, memory_loss_sign FROM installation WHERE one = 1";

fn read(row: &mysql_async::Row) -> Result<Memory, DbError> {
    let sign: Option<String> = row.col("memory_loss_sign")?;
    let lost = row.time_opt("memory_loss_at")?.map(|since| Loss { since, sign: sign.unwrap_or_default() });
    Ok(Memory { epoch: row.col("epoch")?, lost })
}

/// Read anew each time, never kept: a restore changes it under a running dcmgr.
pub async fn memory(tx: &mut Tx) -> Result<Memory, DbError> {
    let row = first(tx, MEMORY, ()).await?;
    read(&row.ok_or_else(|| super::row::strange("epoch", "the installation row is missing"))?)
}

/// As [`memory`], outside a transaction.
pub async fn memory_of(db: &Db) -> Result<Memory, DbError> {
    let found = db.rows(MEMORY, ()).await?;
    read(found.first().ok_or_else(|| super::row::strange("epoch", "the installation row is missing"))?)
}

/// Raises memory loss, once: answers whether it is news.
pub async fn set_lost(tx: &mut Tx, sign: &str) -> Result<bool, DbError> {
    let sign: String = sign.chars().take(500).collect();
    let statement = "UPDATE installation SET memory_loss_at = UTC_TIMESTAMP(3), memory_loss_sign = ? \
                     WHERE one = 1 AND memory_loss_at IS NULL";
    Ok(run(tx, statement, (sign,)).await? == 1)
}

/// The operator has confirmed: an epoch above every one that an agent has met, generations and versions not below
/// those found in the world, open jobs with a new deadline.
pub async fn set_confirmed(tx: &mut Tx) -> Result<(), DbError> {
    let statements = [
        "UPDATE installation SET memory_loss_at = NULL, memory_loss_sign = NULL, \
         epoch = GREATEST(epoch, (SELECT IFNULL(MAX(highest_epoch), 0) FROM agents)) + 1 WHERE one = 1",
        "UPDATE instances i SET generation = GREATEST(generation, (SELECT IFNULL(MAX(f.generation), 0) FROM facts f \
         WHERE f.thing = i.id)) WHERE i.terminated_at IS NULL",
        "UPDATE volumes v SET generation = GREATEST(generation, (SELECT IFNULL(MAX(f.generation), 0) FROM facts f \
         WHERE f.thing = v.id)) WHERE v.deleted_at IS NULL",
        "UPDATE volume_snapshots p SET generation = GREATEST(generation, (SELECT IFNULL(MAX(f.generation), 0) FROM facts f \
         WHERE f.thing = p.id)) WHERE p.deleted_at IS NULL",
        "UPDATE snapshot_replicas r SET generation = GREATEST(generation, (SELECT IFNULL(MAX(f.generation), 0) FROM facts f \
         WHERE f.thing = r.id)) WHERE r.deleted_at IS NULL",
        "UPDATE backup_objects o SET generation = GREATEST(generation, (SELECT IFNULL(MAX(f.generation), 0) FROM facts f \
         WHERE f.thing = o.id)) WHERE o.deleted_at IS NULL",
        "UPDATE attachments a SET generation = GREATEST(generation, (SELECT IFNULL(MAX(f.generation), 0) FROM facts f \
         WHERE f.thing = a.id)) WHERE a.open = 1",
        "UPDATE networks n SET version = GREATEST(version, (SELECT IFNULL(MAX(f.generation), 0) FROM facts f \
         WHERE f.thing = n.id AND f.name = 'applied')) + 1",
        "UPDATE host_nodes h SET policy_version = GREATEST(policy_version, (SELECT IFNULL(MAX(f.generation), 0) \
         FROM facts f WHERE f.thing = h.id AND f.name = 'applied')) + 1",
        "UPDATE jobs SET rung_at = NULL, rings = 0, deadline = UTC_TIMESTAMP(3) + INTERVAL 15 MINUTE WHERE open = 1",
    ];
    for statement in statements {
        run(tx, statement, ()).await?;
    }
    Ok(())
}

/// Instances that were being made when the memory ends and that no agent has: ids and accounts.
pub async fn forgotten(tx: &mut Tx) -> Result<Vec<String>, DbError> {
    let statement = "SELECT i.id FROM instances i WHERE i.terminated_at IS NULL AND i.ran_before = 0 \
        AND i.desired <> 'gone' AND i.failure_code IS NULL \
        AND NOT EXISTS (SELECT 1 FROM facts f WHERE f.thing = i.id AND f.value = 'yes') ORDER BY i.seq";
    rows(tx, statement, ()).await?.iter().map(|row| row.text("id")).collect()
}

/// A job that has to wait for the operator does not meet its deadline meanwhile.
pub async fn hold(db: &Db, job: Uuid) -> Result<(), DbError> {
    let statement = "UPDATE jobs SET deadline = GREATEST(deadline, UTC_TIMESTAMP(3) + INTERVAL 15 MINUTE) \
                     WHERE id = ? AND open = 1";
    db.rows(statement, (job.to_string(),)).await?;
    Ok(())
}

/// An address that a guest without a row uses: nobody else gets it (DESIGN 3.9). Nothing if it is taken already.
pub async fn reserve(tx: &mut Tx, host: &str, nic: &Nic<'_>) -> Result<(), DbError> {
    let statement = "INSERT IGNORE INTO ip_leases (network_id, ipv4, vif_id, mac, host_node_id) VALUES (?, ?, ?, ?, ?)";
    run(tx, statement, (nic.network, u32::from(nic.ipv4), nic.vif, nic.mac, host)).await?;
    Ok(())
}

/// A NIC as its host lists it.
#[derive(Debug, Clone, Copy)]
pub struct Nic<'a> {
    pub vif: &'a str,
    pub network: &'a str,
    pub mac: &'a str,
    pub ipv4: Ipv4Addr,
}

/// Gives up a reservation made by [`reserve`], for the row that takes its place in the same transaction.
pub async fn take_reserved(tx: &mut Tx, vif: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM ip_leases WHERE vif_id = ?", (vif,)).await?;
    Ok(())
}
