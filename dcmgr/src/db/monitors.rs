//! Monitors of instances and interfaces.

use super::pool::{first, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::Monitor;
use serde_json::{Map, Value};

/// Whether it is on, its title, its parameters.
type Content<'a> = (bool, &'a str, &'a Map<String, Value>);

fn view(row: &mysql_async::Row) -> Result<Monitor, DbError> {
    let id = row.text("id")?;
    Ok(Monitor {
        uuid: id.clone(),
        id,
        enabled: row.flag("enabled")?,
        title: row.text("title")?,
        params: row.json("params")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub async fn of(db: &Db, resource: &str) -> Result<Vec<Monitor>, DbError> {
    let statement = "SELECT * FROM monitors WHERE resource = ? ORDER BY seq";
    db.rows(statement, (resource,)).await?.iter().map(view).collect()
}

/// Monitors of several resources, each with its resource.
pub async fn of_many(db: &Db, resources: &[&str]) -> Result<Vec<(String, Monitor)>, DbError> {
    if resources.is_empty() {
        return Ok(Vec::new());
    }
    let places = vec!["?"; resources.len()].join(", ");
    let statement = format!("SELECT * FROM monitors WHERE resource IN ({places}) ORDER BY seq");
    let values = mysql_async::Params::Positional(resources.iter().map(|id| (*id).into()).collect());
    let found = db.rows(statement, values).await?;
    found.iter().map(|row| Ok((row.text("resource")?, view(row)?))).collect()
}

fn text(params: &Map<String, Value>) -> Result<String, DbError> {
    serde_json::to_string(params).map_err(|e| super::row::strange("params", e))
}

pub async fn insert(tx: &mut Tx, id: &str, resource: &str, content: Content<'_>) -> Result<(), DbError> {
    let (enabled, title, params) = content;
    let statement = "INSERT INTO monitors (id, resource, enabled, title, params, created_at, updated_at) \
                     VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    run(tx, statement, (id, resource, enabled, title, text(params)?)).await?;
    Ok(())
}

pub async fn update(tx: &mut Tx, id: &str, content: Content<'_>) -> Result<(), DbError> {
    let (enabled, title, params) = content;
    let statement =
        "UPDATE monitors SET enabled = ?, title = ?, params = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (enabled, title, text(params)?, id)).await?;
    Ok(())
}

pub async fn count(tx: &mut Tx, resource: &str) -> Result<u64, DbError> {
    let found = first(tx, "SELECT COUNT(*) AS n FROM monitors WHERE resource = ?", (resource,)).await?;
    found.map_or(Ok(0), |row| row.col("n"))
}

pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM monitors WHERE id = ?", (id,)).await?;
    Ok(())
}

pub async fn forget(tx: &mut Tx, resource: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM monitors WHERE resource = ?", (resource,)).await?;
    Ok(())
}
