//! DNS records of networks: each is of the versions of its network from its coming until its going.
//!
//! Rule: the network's row is locked, and its version raised, by whoever adds or removes one.

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api;
use arame_schema::model::NetworkRecord;
use arame_schema::model::dns_record::APEX;
use std::net::Ipv4Addr;

const VIEW: &str = "SELECT r.id, r.network_id, r.name, r.kind, r.value, r.ttl_seconds, r.created_at, n.domain_name \
                    FROM dns_records r JOIN networks n ON n.id = r.network_id \
                    WHERE r.deleted_at IS NULL AND n.deleted_at IS NULL";

fn view(row: &mysql_async::Row) -> Result<api::DnsRecord, DbError> {
    let (id, name, domain) = (row.text("id")?, row.text("name")?, row.text("domain_name")?);
    Ok(api::DnsRecord {
        uuid: id.clone(),
        id,
        network_id: row.text("network_id")?,
        dns_name: if name == APEX { domain } else { format!("{name}.{domain}") },
        name,
        kind: row.text("kind")?,
        value: row.text("value")?,
        ttl: row.col("ttl_seconds")?,
        created_at: row.time("created_at")?,
    })
}

/// By name.
pub async fn list(db: &Db, network: &str) -> Result<Vec<api::DnsRecord>, DbError> {
    let statement = format!("{VIEW} AND r.network_id = ? ORDER BY r.name, r.kind, r.seq");
    db.rows(statement, (network,)).await?.iter().map(view).collect()
}

pub async fn get(db: &Db, network: &str, id: &str) -> Result<Option<api::DnsRecord>, DbError> {
    let statement = format!("{VIEW} AND r.network_id = ? AND r.id = ?");
    db.rows(statement, (network, id)).await?.first().map(view).transpose()
}

const SELECT: &str = "SELECT id, name, kind, value, ttl_seconds FROM dns_records";

fn read(row: &mysql_async::Row) -> Result<NetworkRecord, DbError> {
    Ok(NetworkRecord {
        id: row.parsed("id")?,
        name: row.text("name")?,
        kind: row.text("kind")?,
        value: row.text("value")?,
        ttl_seconds: row.col("ttl_seconds")?,
    })
}

pub async fn of_network(tx: &mut Tx, network: &str) -> Result<Vec<NetworkRecord>, DbError> {
    let statement = format!("{SELECT} WHERE network_id = ? AND deleted_at IS NULL ORDER BY seq");
    rows(tx, statement, (network,)).await?.iter().map(read).collect()
}

/// Those of version `to` that an older one did not have.
pub async fn added_between(tx: &mut Tx, network: &str, from: u64, to: u64) -> Result<Vec<NetworkRecord>, DbError> {
    let statement = format!(
        "{SELECT} WHERE network_id = ? AND added_version > ? AND added_version <= ? \
         AND (gone_version IS NULL OR gone_version > ?) ORDER BY seq"
    );
    rows(tx, statement, (network, from, to, to)).await?.iter().map(read).collect()
}

/// Those that went after one version, up to another.
pub async fn gone_between(tx: &mut Tx, network: &str, from: u64, to: u64) -> Result<Vec<String>, DbError> {
    let statement =
        "SELECT id FROM dns_records WHERE network_id = ? AND gone_version > ? AND gone_version <= ? ORDER BY seq";
    rows(tx, statement, (network, from, to)).await?.iter().map(|row| row.text("id")).collect()
}

/// How many a version has.
pub async fn count_at(tx: &mut Tx, network: &str, version: u64) -> Result<u64, DbError> {
    let statement = "SELECT COUNT(*) AS n FROM dns_records WHERE network_id = ? AND added_version <= ? \
                     AND (gone_version IS NULL OR gone_version > ?)";
    let row = first(tx, statement, (network, version, version)).await?;
    row.map_or(Ok(0), |row| row.col("n"))
}

/// Whether a machine of the network has this name.
pub async fn is_machine(tx: &mut Tx, network: &str, name: &str) -> Result<bool, DbError> {
    let statement = "SELECT 1 AS one FROM network_vifs v JOIN instances i ON i.id = v.instance_id \
                     WHERE v.network_id = ? AND v.deleted_at IS NULL AND LOWER(i.hostname) = ? LIMIT 1";
    Ok(first(tx, statement, (network, name)).await?.is_some())
}

/// The external address of the machine of the network that has this name.
pub async fn external_address(tx: &mut Tx, network: &str, host: &str) -> Result<Option<Ipv4Addr>, DbError> {
    let statement = "SELECT h.ipv4 FROM ip_handles h JOIN network_vifs v ON v.id = h.network_vif_id \
                     JOIN instances i ON i.id = v.instance_id WHERE v.network_id = ? AND v.deleted_at IS NULL \
                     AND LOWER(i.hostname) = ? ORDER BY h.seq LIMIT 1";
    first(tx, statement, (network, host)).await?.map(|row| row.ipv4("ipv4")).transpose()
}

/// The name of the machine that has an interface, in lower case.
pub async fn machine_of(tx: &mut Tx, vif: &str) -> Result<Option<String>, DbError> {
    let statement = "SELECT LOWER(i.hostname) AS hostname FROM network_vifs v JOIN instances i ON i.id = v.instance_id \
                     WHERE v.id = ? AND v.deleted_at IS NULL";
    first(tx, statement, (vif,)).await?.map(|row| row.text("hostname")).transpose()
}

pub async fn insert(tx: &mut Tx, network: &str, record: &NetworkRecord, version: u64) -> Result<(), DbError> {
    let statement = "INSERT INTO dns_records (id, network_id, name, kind, value, ttl_seconds, added_version, created_at) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3))";
    let r = record;
    run(tx, statement, (r.id.as_str(), network, &r.name, &r.kind, &r.value, r.ttl_seconds, version)).await?;
    Ok(())
}

/// It is of no version from this one on. Answers whether it was there.
pub async fn remove(tx: &mut Tx, network: &str, id: &str, version: u64) -> Result<bool, DbError> {
    let statement = "UPDATE dns_records SET deleted_at = UTC_TIMESTAMP(3), gone_version = ? \
                     WHERE network_id = ? AND id = ? AND deleted_at IS NULL";
    Ok(run(tx, statement, (version, network, id)).await? == 1)
}

/// Deletes rows of records that are gone for a day, and of networks that are no more, a bounded batch a call. An older
/// version than that is not brought forward by its difference: the count of what it must have tells.
pub async fn end_removed(db: &Db) -> Result<(), DbError> {
    db.run("DELETE FROM dns_records WHERE deleted_at < UTC_TIMESTAMP(3) - INTERVAL 1 DAY LIMIT 1000", ()).await?;
    let orphans = "DELETE FROM dns_records WHERE NOT EXISTS (SELECT 1 FROM networks n WHERE n.id = dns_records.network_id) \
                   LIMIT 1000";
    db.run(orphans, ()).await?;
    Ok(())
}
