//! Labels of resources.

use super::pool::{first, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::Label;

fn view(row: &mysql_async::Row) -> Result<Label, DbError> {
    Ok(Label {
        resource_uuid: row.text("resource")?,
        name: row.text("name")?,
        value_type: 1,
        value: row.text("value")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub async fn of(db: &Db, resource: &str) -> Result<Vec<Label>, DbError> {
    let statement = "SELECT * FROM resource_labels WHERE resource = ? ORDER BY name";
    db.rows(statement, (resource,)).await?.iter().map(view).collect()
}

/// Labels of several resources, for a page of them.
pub async fn of_many(db: &Db, resources: &[&str]) -> Result<Vec<Label>, DbError> {
    if resources.is_empty() {
        return Ok(Vec::new());
    }
    let places = vec!["?"; resources.len()].join(", ");
    let statement = format!("SELECT * FROM resource_labels WHERE resource IN ({places}) ORDER BY resource, name");
    let values = mysql_async::Params::Positional(resources.iter().map(|id| (*id).into()).collect());
    db.rows(statement, values).await?.iter().map(view).collect()
}

pub async fn set(tx: &mut Tx, resource: &str, name: &str, value: &str) -> Result<(), DbError> {
    let statement = "INSERT INTO resource_labels (resource, name, value, created_at, updated_at) \
                     VALUES (?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)) \
                     ON DUPLICATE KEY UPDATE value = VALUES(value), updated_at = VALUES(updated_at)";
    run(tx, statement, (resource, name, value)).await?;
    Ok(())
}

pub async fn count(tx: &mut Tx, resource: &str) -> Result<u64, DbError> {
    let found = first(tx, "SELECT COUNT(*) AS n FROM resource_labels WHERE resource = ?", (resource,)).await?;
    found.map_or(Ok(0), |row| row.col("n"))
}

/// Whether there was one.
pub async fn delete(tx: &mut Tx, resource: &str, name: &str) -> Result<bool, DbError> {
    let statement = "DELETE FROM resource_labels WHERE resource = ? AND name = ?";
    Ok(run(tx, statement, (resource, name)).await? == 1)
}

pub async fn forget(tx: &mut Tx, resource: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM resource_labels WHERE resource = ?", (resource,)).await?;
    Ok(())
}
