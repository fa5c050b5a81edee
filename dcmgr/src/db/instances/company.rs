//! Where the others of a placement group are or are going.

use super::super::pool::{first, rows};
use super::super::{Columns, DbError, Tx};
use std::collections::BTreeMap;

const OTHERS: &str = "SELECT host, COUNT(*) AS n FROM (SELECT host_node_id AS host FROM instances \
    WHERE placement_group = ? AND account_id = ? AND terminated_at IS NULL AND id <> ? \
    UNION ALL SELECT m.to_host_id FROM instance_moves m JOIN instances i ON i.id = m.instance_id \
    WHERE i.placement_group = ? AND i.account_id = ? AND i.terminated_at IS NULL AND i.id <> ?) others";

/// Live instances of an account's group by host, but for one; one that moves counts on both its hosts.
pub async fn others(tx: &mut Tx, account: &str, group: &str, but: &str) -> Result<BTreeMap<String, u64>, DbError> {
    let statement = format!("{OTHERS} WHERE host IS NOT NULL GROUP BY host");
    let found = rows(tx, statement, (group, account, but, group, account, but)).await?;
    found.iter().map(|row| Ok((row.text("host")?, row.col("n")?))).collect()
}

/// The same on one host: whoever holds its row's lock reads what nobody changes.
pub async fn others_at(tx: &mut Tx, account: &str, group: &str, but: &str, host: &str) -> Result<u64, DbError> {
    let statement = format!("{OTHERS} WHERE host = ? GROUP BY host");
    let found = first(tx, statement, (group, account, but, group, account, but, host)).await?;
    found.map_or(Ok(0), |row| row.col("n"))
}

/// Live instances that may only be on hosts of a group: it cannot be deleted.
pub async fn bound_to(tx: &mut Tx, node_group: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM instances WHERE node_group_id = ? AND terminated_at IS NULL LIMIT 20";
    rows(tx, statement, (node_group,)).await?.iter().map(|row| row.text("id")).collect()
}
