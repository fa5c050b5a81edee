//! Groups of hosts, networks and storage nodes, with their members in the order they were given.

use super::pool::{first, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::NodeGroup;

fn type_of(kind: &str) -> u8 {
    match kind {
        "nwg" => 10,
        "hng" => 11,
        _ => 12,
    }
}

fn view(row: &mysql_async::Row) -> Result<NodeGroup, DbError> {
    let id = row.text("id")?;
    let members = row.text("members")?;
    Ok(NodeGroup {
        uuid: id.clone(),
        id,
        account_id: row.text("account_id")?,
        type_id: type_of(&row.text("kind")?),
        name: row.text("name")?,
        attributes: row.text("attributes")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        mapped_uuids: members.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        placement_weight: row.col("placement_weight")?,
    })
}

pub async fn list(db: &Db, kind: &str, account: Option<&str>) -> Result<Vec<NodeGroup>, DbError> {
    let statement = "SELECT * FROM node_groups WHERE kind = ? AND (? IS NULL OR account_id = ?) ORDER BY seq DESC";
    db.rows(statement, (kind, account, account)).await?.iter().map(view).collect()
}

/// A group of hosts, held until the end of the transaction.
pub async fn hold_hosts(tx: &mut Tx, id: &str) -> Result<Option<NodeGroup>, DbError> {
    let statement = "SELECT * FROM node_groups WHERE id = ? AND kind = 'hng' LOCK IN SHARE MODE";
    first(tx, statement, (id,)).await?.as_ref().map(view).transpose()
}

pub async fn lock(tx: &mut Tx, id: &str, account: Option<&str>) -> Result<Option<NodeGroup>, DbError> {
    let statement = "SELECT * FROM node_groups WHERE id = ? AND (? IS NULL OR account_id = ?) FOR UPDATE";
    first(tx, statement, (id, account, account)).await?.as_ref().map(view).transpose()
}

pub async fn insert(
    tx: &mut Tx,
    id: &str,
    account: &str,
    kind: &str,
    name: &str,
    attributes: &str,
) -> Result<(), DbError> {
    let statement = "INSERT INTO node_groups (id, account_id, kind, name, attributes, members, created_at, updated_at) \
                     VALUES (?, ?, ?, ?, ?, '', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    run(tx, statement, (id, account, kind, name, attributes)).await?;
    Ok(())
}

pub async fn update(tx: &mut Tx, group: &NodeGroup) -> Result<(), DbError> {
    let statement = "UPDATE node_groups SET name = ?, attributes = ?, members = ?, placement_weight = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    let members = group.mapped_uuids.join(",");
    run(tx, statement, (&group.name, &group.attributes, members, &group.placement_weight, &group.id)).await?;
    Ok(())
}

pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM node_groups WHERE id = ?", (id,)).await?;
    Ok(())
}

/// What a group may hold, by its kind, if it is there and the caller may see it.
pub async fn member_exists(tx: &mut Tx, kind: &str, id: &str, account: Option<&str>) -> Result<bool, DbError> {
    let found = match kind {
        "nwg" => {
            let statement =
                "SELECT 1 AS one FROM networks WHERE id = ? AND deleted_at IS NULL AND (? IS NULL OR account_id = ?)";
            first(tx, statement, (id, account, account)).await?
        }
        "hng" => first(tx, "SELECT 1 AS one FROM host_nodes WHERE id = ?", (id,)).await?,
        _ => first(tx, "SELECT 1 AS one FROM storage_nodes WHERE id = ?", (id,)).await?,
    };
    Ok(found.is_some())
}

/// What is deleted is in no group any more.
pub async fn forget_member(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE node_groups SET members = TRIM(BOTH ',' FROM REPLACE(CONCAT(',', members, ','), CONCAT(',', ?, ','), ',')) \
                     WHERE FIND_IN_SET(?, members)";
    run(tx, statement, (id, id)).await?;
    Ok(())
}
