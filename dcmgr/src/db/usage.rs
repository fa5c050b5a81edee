//! Usage intervals: what was used, from when to when. The resource's row is locked by whoever calls.

use super::pool::{first, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::{Timestamp, UsageInterval};
use arame_schema::model::usage::Usage;

/// Whose usage it is, and how much.
#[derive(Debug, Clone, Copy)]
pub struct Measure<'a> {
    pub resource: &'a str,
    pub account: &'a str,
    pub cpu_cores: u32,
    pub memory_mib: u64,
    pub disk_mib: u64,
}

/// From now on this is used; what was used until now ends, without a gap. Nothing to do when it is the same.
///
/// A database clock that went back makes an interval of no length, never one that ends before it began.
pub async fn set(tx: &mut Tx, measure: Measure<'_>, usage: Option<Usage>) -> Result<(), DbError> {
    let resource = measure.resource;
    let open = first(tx, "SELECT what FROM usage_intervals WHERE resource = ? AND open = 1", (resource,)).await?;
    let before = open.map(|row| row.text("what")).transpose()?;
    if before.as_deref() == usage.map(Usage::as_str) {
        return Ok(());
    }
    if before.is_some() {
        let statement = "UPDATE usage_intervals SET ended_at = GREATEST(begun_at, UTC_TIMESTAMP(3)), open = NULL \
                         WHERE resource = ? AND open = 1";
        run(tx, statement, (resource,)).await?;
    }
    let Some(usage) = usage else { return Ok(()) };
    let (cpu_cores, memory_mib) = match usage {
        Usage::Running => (measure.cpu_cores, measure.memory_mib),
        Usage::Kept | Usage::Held => (0, 0),
    };
    let statement = "INSERT INTO usage_intervals (resource, account_id, what, cpu_cores, memory_mib, disk_mib, begun_at) \
        SELECT ?, ?, ?, ?, ?, ?, IF(?, l.ended, GREATEST(UTC_TIMESTAMP(3), IFNULL(l.ended, '1970-01-01'))) \
        FROM (SELECT MAX(ended_at) AS ended FROM usage_intervals WHERE resource = ?) l";
    let (account, what) = (measure.account, usage.as_str());
    let values = (resource, account, what, cpu_cores, memory_mib, measure.disk_mib, before.is_some(), resource);
    run(tx, statement, values).await?;
    Ok(())
}

/// An address is held from now on, by an interface or a handle; or no longer.
pub async fn set_address(tx: &mut Tx, holder: &str, account: &str, usage: Option<Usage>) -> Result<(), DbError> {
    set(tx, Measure { resource: holder, account, cpu_cores: 0, memory_mib: 0, disk_mib: 0 }, usage).await
}

/// From when to when.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub since: Timestamp,
    pub until: Timestamp,
}

/// As the server compares it.
fn bare(moment: Timestamp) -> String {
    moment.to_string().replace(" UTC", "")
}

/// The kind of a resource by its id. An interface or a handle stands for its address.
const RESOURCE_TYPE: &str =
    "CASE SUBSTRING_INDEX(resource, '-', 1) WHEN 'i' THEN 'instance' WHEN 'vol' THEN 'volume' ELSE 'address' END";

/// What one account used of one kind, in the smallest units: nothing is rounded, so that times add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    pub resource_type: String,
    pub what: String,
    pub resources: u64,
    pub ms: u128,
    pub cpu_core_ms: u128,
    pub memory_mib_ms: u128,
    pub disk_mib_ms: u128,
}

/// What an account used in a time, by kind. What goes on is counted to now.
pub async fn totals(db: &Db, account: &str, window: Window) -> Result<Vec<Used>, DbError> {
    let (since, until) = (bare(window.since), bare(window.until));
    let statement = format!(
        "SELECT type, what, COUNT(DISTINCT resource) AS resources, CAST(SUM(ms) AS CHAR) AS ms, \
         CAST(SUM(ms * cpu_cores) AS CHAR) AS cpu, CAST(SUM(ms * memory_mib) AS CHAR) AS memory, \
         CAST(SUM(ms * disk_mib) AS CHAR) AS disk FROM \
         (SELECT resource, {RESOURCE_TYPE} AS type, what, cpu_cores, memory_mib, disk_mib, \
          CAST(GREATEST(0, TIMESTAMPDIFF(MICROSECOND, GREATEST(begun_at, CAST(? AS DATETIME(3))), \
          LEAST(IFNULL(ended_at, UTC_TIMESTAMP(3)), CAST(? AS DATETIME(3)))) DIV 1000) AS UNSIGNED) AS ms \
          FROM usage_intervals WHERE account_id = ? AND begun_at < ? AND (ended_at IS NULL OR ended_at > ?)) counted \
         GROUP BY type, what ORDER BY type, what"
    );
    let found = db.rows(statement, (&since, &until, account, &until, &since)).await?;
    found
        .iter()
        .map(|row| {
            Ok(Used {
                resource_type: row.text("type")?,
                what: row.text("what")?,
                resources: row.col("resources")?,
                ms: row.parsed("ms")?,
                cpu_core_ms: row.parsed("cpu")?,
                memory_mib_ms: row.parsed("memory")?,
                disk_mib_ms: row.parsed("disk")?,
            })
        })
        .collect()
}

/// Which intervals, beside their time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Of<'a> {
    pub account: Option<&'a str>,
    pub resource: Option<&'a str>,
    pub resource_type: Option<&'a str>,
    pub what: Option<&'a str>,
}

/// Intervals of a time, cut to it, the oldest first. What goes on is counted to now.
pub async fn between(db: &Db, of: Of<'_>, window: Window, limit: u64) -> Result<Vec<UsageInterval>, DbError> {
    let (since, until) = (bare(window.since), bare(window.until));
    let statement = format!(
        "SELECT resource, {RESOURCE_TYPE} AS type, account_id, what, cpu_cores, memory_mib, disk_mib, begun_at, ended_at, \
         CAST(GREATEST(0, TIMESTAMPDIFF(SECOND, GREATEST(begun_at, ?), LEAST(IFNULL(ended_at, UTC_TIMESTAMP(3)), ?))) AS UNSIGNED) AS seconds \
         FROM usage_intervals WHERE (? IS NULL OR account_id = ?) AND (? IS NULL OR resource = ?) AND (? IS NULL OR what = ?) \
         AND (? IS NULL OR ? = {RESOURCE_TYPE}) AND begun_at < ? AND (ended_at IS NULL OR ended_at > ?) \
         ORDER BY begun_at, seq LIMIT ?"
    );
    let mut values: Vec<mysql_async::Value> = vec![(&since).into(), (&until).into()];
    for word in [of.account, of.resource, of.what, of.resource_type] {
        values.extend(super::twice(word));
    }
    values.extend([until.into(), since.into(), limit.into()]);
    let found = db.rows(statement, mysql_async::Params::Positional(values)).await?;
    found.iter().map(view).collect()
}

fn view(row: &mysql_async::Row) -> Result<UsageInterval, DbError> {
    let (resource, what): (String, String) = (row.text("resource")?, row.text("what")?);
    Ok(UsageInterval {
        uuid: resource.clone(),
        resource_type: row.text("type")?,
        event_type: what.clone(),
        value: row.col("seconds")?,
        time: Some(row.time("begun_at")?),
        account_id: row.text("account_id")?,
        resource,
        what,
        cpu_cores: row.col("cpu_cores")?,
        memory_size: row.col("memory_mib")?,
        disk_size: row.col("disk_mib")?,
        begun_at: row.time("begun_at")?,
        ended_at: row.time_opt("ended_at")?,
        seconds: row.col("seconds")?,
    })
}

/// Deletes what ended longer ago than a year's accounts need, a bounded batch a call.
pub async fn sweep(db: &Db) -> Result<(), DbError> {
    db.rows("DELETE FROM usage_intervals WHERE ended_at < UTC_TIMESTAMP(3) - INTERVAL 800 DAY LIMIT 1000", ()).await?;
    Ok(())
}
