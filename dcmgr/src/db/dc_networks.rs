//! Dc networks: which segments there are, and which networks may be made in them.

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::DcNetwork;

const VIEW: &str = "SELECT id, name, description, vlan_first, vlan_last, offering_network_modes, allow_new_networks, created_at, \
                    IFNULL(updated_at, created_at) AS changed_at FROM dc_networks";

/// The words of a column of modes.
pub fn modes(text: &str) -> Vec<String> {
    text.split(',').filter(|mode| !mode.is_empty()).map(str::to_owned).collect()
}

fn view(row: &mysql_async::Row) -> Result<DcNetwork, DbError> {
    let id = row.text("id")?;
    Ok(DcNetwork {
        uuid: id.clone(),
        id,
        name: row.text("name")?,
        description: row.text("description")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("changed_at")?,
        vlan_lease_id: None,
        offering_network_modes: modes(&row.text("offering_network_modes")?),
        allow_new_networks: row.flag("allow_new_networks")?,
        vlan_first: Some(row.col("vlan_first")?),
        vlan_last: Some(row.col("vlan_last")?),
    })
}

pub async fn list(db: &Db) -> Result<Vec<DcNetwork>, DbError> {
    db.rows(format!("{VIEW} ORDER BY seq DESC"), ()).await?.iter().map(view).collect()
}

pub async fn lock(tx: &mut Tx, id: &str) -> Result<Option<DcNetwork>, DbError> {
    first(tx, format!("{VIEW} WHERE id = ? FOR UPDATE"), (id,)).await?.as_ref().map(view).transpose()
}

/// All of them, the installation's row locked: two that are made at once get different tags.
pub async fn lock_all(tx: &mut Tx) -> Result<Vec<DcNetwork>, DbError> {
    first(tx, "SELECT one FROM installation WHERE one = 1 FOR UPDATE", ()).await?;
    rows(tx, format!("{VIEW} ORDER BY vlan_first"), ()).await?.iter().map(view).collect()
}

pub async fn insert(tx: &mut Tx, network: &DcNetwork) -> Result<(), DbError> {
    let n = network;
    let statement = "INSERT INTO dc_networks (id, name, description, vlan_first, vlan_last, offering_network_modes, \
                     allow_new_networks, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    let modes = n.offering_network_modes.join(",");
    run(tx, statement, (&n.id, &n.name, &n.description, n.vlan_first, n.vlan_last, modes, n.allow_new_networks))
        .await?;
    Ok(())
}

pub async fn update(tx: &mut Tx, network: &DcNetwork) -> Result<(), DbError> {
    let n = network;
    let statement = "UPDATE dc_networks SET name = ?, description = ?, offering_network_modes = ?, allow_new_networks = ?, \
                     updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    let modes = n.offering_network_modes.join(",");
    run(tx, statement, (&n.name, &n.description, modes, n.allow_new_networks, &n.id)).await?;
    Ok(())
}

/// Networks in it, those that are going included: they have its tags.
pub async fn users(tx: &mut Tx, id: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM networks WHERE dc_network_id = ? ORDER BY id LIMIT 20";
    rows(tx, statement, (id,)).await?.iter().map(|row| row.text("id")).collect()
}

pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM dc_networks WHERE id = ?", (id,)).await?;
    Ok(())
}
