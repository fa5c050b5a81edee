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
        Usage::Kept => (0, 0),
    };
    let statement = "INSERT INTO usage_intervals (resource, account_id, what, cpu_cores, memory_mib, disk_mib, begun_at) \
        SELECT ?, ?, ?, ?, ?, ?, IF(?, l.ended, GREATEST(UTC_TIMESTAMP(3), IFNULL(l.ended, '1970-01-01'))) \
        FROM (SELECT MAX(ended_at) AS ended FROM usage_intervals WHERE resource = ?) l";
    let (account, what) = (measure.account, usage.as_str());
    let values = (resource, account, what, cpu_cores, memory_mib, measure.disk_mib, before.is_some(), resource);
    run(tx, statement, values).await?;
    Ok(())
}

/// Intervals of a time, cut to it, the oldest first. What goes on is counted to now.
pub async fn between(
    db: &Db,
    account: Option<&str>,
    since: Timestamp,
    until: Timestamp,
    limit: u64,
) -> Result<Vec<UsageInterval>, DbError> {
    let bare = |moment: Timestamp| moment.to_string().replace(" UTC", "");
    let (since, until) = (bare(since), bare(until));
    let statement = "SELECT resource, account_id, what, cpu_cores, memory_mib, disk_mib, begun_at, ended_at, \
        CAST(GREATEST(0, TIMESTAMPDIFF(SECOND, GREATEST(begun_at, ?), LEAST(IFNULL(ended_at, UTC_TIMESTAMP(3)), ?))) AS UNSIGNED) AS seconds \
        FROM usage_intervals WHERE (? IS NULL OR account_id = ?) AND begun_at < ? AND (ended_at IS NULL OR ended_at > ?) \
        ORDER BY begun_at, seq LIMIT ?";
    let found = db.rows(statement, (&since, &until, account, account, &until, &since, limit)).await?;
    found
        .iter()
        .map(|row| {
            Ok(UsageInterval {
                account_id: row.text("account_id")?,
                resource: row.text("resource")?,
                what: row.text("what")?,
                cpu_cores: row.col("cpu_cores")?,
                memory_size: row.col("memory_mib")?,
                disk_size: row.col("disk_mib")?,
                begun_at: row.time("begun_at")?,
                ended_at: row.time_opt("ended_at")?,
                seconds: row.col("seconds")?,
            })
        })
        .collect()
}

/// Deletes what ended longer ago than a year's accounts need, a bounded batch a call.
pub async fn sweep(db: &Db) -> Result<(), DbError> {
    db.rows("DELETE FROM usage_intervals WHERE ended_at < UTC_TIMESTAMP(3) - INTERVAL 800 DAY LIMIT 1000", ()).await?;
    Ok(())
}
