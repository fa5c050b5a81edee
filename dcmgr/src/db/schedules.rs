//! Schedules of volumes, their runs, and what they made.
//!
//! Rule: who writes a schedule or a run holds the row of the volume, then the schedule's. A run's key is its moment.

use super::pool::{first, rows, run};
use super::row::strange;
use super::volumes::{self, VolumeRow};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::schedule::RUNS_KEPT;
use arame_schema::api::{Failure, ScheduleRun, Timestamp, VolumeSchedule};
use arame_schema::model::schedule::{Calendar, Every, Keep, Makes, RunResult};
use mysql_async::{Params, Value};
use std::collections::BTreeMap;
use time::{PrimitiveDateTime, UtcOffset};

/// What is asked for of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub display_name: String,
    pub makes: Makes,
    pub storage: Option<String>,
    pub calendar: Calendar,
    pub time_zone: String,
    pub keep: Keep,
    pub enabled: bool,
}

#[derive(Debug, Clone)]
pub struct ScheduleRow {
    pub id: String,
    pub account: String,
    pub volume: String,
    pub wish: Wish,
    pub next_run: Option<Timestamp>,
    /// When the sweep has something to do with it next.
    pub tend_at: Option<Timestamp>,
    /// What the last run made and is not whole yet.
    pub making: Option<String>,
    /// Something may have to be deleted.
    pub prunes: bool,
    pub failures_in_a_row: u32,
    pub deleted: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The database's clock when the row was read.
    pub now: Timestamp,
}

const SELECT: &str = "SELECT s.*, s.deleted_at IS NOT NULL AS gone, UTC_TIMESTAMP(3) AS now_is FROM volume_schedules s";

fn read(row: &mysql_async::Row) -> Result<ScheduleRow, DbError> {
    Ok(ScheduleRow {
        id: row.text("id")?,
        account: row.text("account_id")?,
        volume: row.text("volume_id")?,
        wish: Wish {
            display_name: row.text("display_name")?,
            makes: row.parsed("makes")?,
            storage: row.col("backup_storage_id")?,
            calendar: Calendar {
                every: row.parsed("every")?,
                minute: row.col("minute")?,
                hour: row.col("hour")?,
                weekday: row.parsed("weekday")?,
            },
            time_zone: row.text("time_zone")?,
            keep: Keep {
                last: row.col("keep_last")?,
                hourly: row.col("keep_hourly")?,
                daily: row.col("keep_daily")?,
                weekly: row.col("keep_weekly")?,
                monthly: row.col("keep_monthly")?,
            },
            enabled: row.flag("enabled")?,
        },
        next_run: row.time_opt("next_run")?,
        tend_at: row.time_opt("tend_at")?,
        making: row.col("making")?,
        prunes: row.flag("prunes")?,
        failures_in_a_row: row.col("failures_in_a_row")?,
        deleted: row.flag("gone")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        now: row.time("now_is")?,
    })
}

/// A moment as a DATETIME column takes it.
fn at(moment: Timestamp) -> PrimitiveDateTime {
    let utc = moment.0.to_offset(UtcOffset::UTC);
    PrimitiveDateTime::new(utc.date(), utc.time())
}

fn at_opt(moment: Option<Timestamp>) -> Option<PrimitiveDateTime> {
    moment.map(at)
}

/// Schedules with something to do now, the most overdue first.
pub async fn due(db: &Db) -> Result<Vec<String>, DbError> {
    let statement = "SELECT id FROM volume_schedules WHERE tend_at <= UTC_TIMESTAMP(3) ORDER BY tend_at, seq LIMIT 200";
    db.rows(statement, ()).await?.iter().map(|row| row.text("id")).collect()
}

/// Locks the schedule's volume, then the schedule.
pub async fn lock(tx: &mut Tx, id: &str) -> Result<Option<(VolumeRow, ScheduleRow)>, DbError> {
    let found = first(tx, "SELECT volume_id FROM volume_schedules WHERE id = ?", (id,)).await?;
    let Some(volume) = found.map(|row| row.text("volume_id")).transpose()? else { return Ok(None) };
    let Some(disk) = volumes::lock(tx, &volume).await? else { return Ok(None) };
    let found = first(tx, format!("{SELECT} WHERE s.id = ? FOR UPDATE"), (id,)).await?;
    Ok(found.as_ref().map(read).transpose()?.map(|row| (disk, row)))
}

/// The clock by which schedules go.
pub async fn now(tx: &mut Tx) -> Result<Timestamp, DbError> {
    let found = first(tx, "SELECT UTC_TIMESTAMP(3) AS now_is", ()).await?;
    found.ok_or_else(|| strange("now_is", "no row"))?.time("now_is")
}

/// Live schedules of a volume. The caller holds the volume's row.
pub async fn count(tx: &mut Tx, volume: &str) -> Result<u64, DbError> {
    let statement = "SELECT COUNT(*) AS n FROM volume_schedules WHERE volume_id = ? AND deleted_at IS NULL";
    first(tx, statement, (volume,)).await?.map_or(Ok(0), |row| row.col("n"))
}

fn values_of(wish: &Wish, next_run: Option<Timestamp>) -> Vec<Value> {
    let (calendar, keep) = (wish.calendar, wish.keep);
    vec![
        wish.display_name.as_str().into(),
        wish.storage.as_deref().into(),
        calendar.every.as_str().into(),
        calendar.minute.into(),
        calendar.hour.into(),
        calendar.weekday.as_str().into(),
        wish.time_zone.as_str().into(),
        keep.last.into(),
        keep.hourly.into(),
        keep.daily.into(),
        keep.weekly.into(),
        keep.monthly.into(),
        wish.enabled.into(),
        at_opt(next_run).into(),
    ]
}

pub async fn insert(
    tx: &mut Tx,
    (id, account, volume): (&str, &str, &str),
    wish: &Wish,
    next_run: Option<Timestamp>,
) -> Result<(), DbError> {
    let statement = "INSERT INTO volume_schedules (id, account_id, volume_id, makes, display_name, backup_storage_id, every, \
                     minute, hour, weekday, time_zone, keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, \
                     enabled, next_run, tend_at, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
                     ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    let mut values: Vec<Value> = vec![id.into(), account.into(), volume.into(), wish.makes.as_str().into()];
    values.extend(values_of(wish, next_run));
    values.push(at_opt(next_run).into());
    run(tx, statement, Params::Positional(values)).await?;
    Ok(())
}

/// Writes a changed wish; the sweep looks at it soon.
pub async fn update(tx: &mut Tx, id: &str, wish: &Wish, next_run: Option<Timestamp>) -> Result<(), DbError> {
    let statement = "UPDATE volume_schedules SET display_name = ?, backup_storage_id = ?, every = ?, minute = ?, hour = ?, \
                     weekday = ?, time_zone = ?, keep_last = ?, keep_hourly = ?, keep_daily = ?, keep_weekly = ?, \
                     keep_monthly = ?, enabled = ?, next_run = ?, tend_at = UTC_TIMESTAMP(3), \
                     updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    let mut values = values_of(wish, next_run);
    values.push(id.into());
    run(tx, statement, Params::Positional(values)).await?;
    Ok(())
}

/// It comes no more. What it made stays.
pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE volume_schedules SET deleted_at = UTC_TIMESTAMP(3), next_run = NULL, tend_at = NULL, \
                     making = NULL WHERE id = ?";
    run(tx, statement, (id,)).await?;
    Ok(())
}

/// The same for all of a volume that is to go. The caller holds the volume's row.
pub async fn delete_of_volume(tx: &mut Tx, volume: &str) -> Result<(), DbError> {
    let statement = "UPDATE volume_schedules SET deleted_at = UTC_TIMESTAMP(3), next_run = NULL, tend_at = NULL, \
                     making = NULL WHERE volume_id = ? AND deleted_at IS NULL";
    run(tx, statement, (volume,)).await?;
    Ok(())
}

/// Where a schedule stands after it was tended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tended {
    pub next_run: Option<Timestamp>,
    pub tend_at: Option<Timestamp>,
    pub making: Option<String>,
    pub prunes: bool,
    pub failures_in_a_row: u32,
}

pub async fn set_tended(tx: &mut Tx, id: &str, tended: &Tended) -> Result<(), DbError> {
    let statement = "UPDATE volume_schedules SET next_run = ?, tend_at = ?, making = ?, prunes = ?, failures_in_a_row = ? \
                     WHERE id = ?";
    let t = tended;
    let values = (at_opt(t.next_run), at_opt(t.tend_at), &t.making, t.prunes, t.failures_in_a_row, id);
    run(tx, statement, values).await?;
    Ok(())
}

/// A run that was come to.
#[derive(Debug, Clone)]
pub struct NewRun<'a> {
    pub schedule: &'a str,
    pub scheduled_for: Timestamp,
    pub missed: u32,
    pub result: RunResult,
    pub made: Option<&'a str>,
    pub failure: Option<&'a Failure>,
}

fn failure_of(failure: Option<&Failure>) -> Result<(Option<&str>, Option<String>), DbError> {
    let Some(failure) = failure else { return Ok((None, None)) };
    let values = serde_json::to_string(&failure.values).map_err(|e| strange("failure_values", e))?;
    Ok((Some(&failure.code), Some(values)))
}

/// Whether somebody came to this moment before.
pub async fn has_run(tx: &mut Tx, schedule: &str, moment: Timestamp) -> Result<bool, DbError> {
    let statement = "SELECT 1 AS one FROM volume_schedule_runs WHERE schedule_id = ? AND scheduled_for = ?";
    Ok(first(tx, statement, (schedule, at(moment))).await?.is_some())
}

/// Writes a run, and forgets the oldest ones.
pub async fn insert_run(tx: &mut Tx, new: &NewRun<'_>) -> Result<(), DbError> {
    let (code, values) = failure_of(new.failure)?;
    let statement = "INSERT INTO volume_schedule_runs (schedule_id, scheduled_for, begun_at, ended_at, result, missed, made, \
                     failure_code, failure_values) VALUES (?, ?, UTC_TIMESTAMP(3), IF(?, NULL, UTC_TIMESTAMP(3)), ?, ?, ?, ?, ?)";
    let goes_on = new.result == RunResult::Making;
    let n = new;
    let row = (n.schedule, at(n.scheduled_for), goes_on, n.result.as_str(), n.missed, n.made, code, values);
    run(tx, statement, row).await?;
    let oldest = format!(
        "SELECT scheduled_for FROM volume_schedule_runs WHERE schedule_id = ? ORDER BY scheduled_for DESC LIMIT 1 OFFSET {}",
        RUNS_KEPT - 1
    );
    if let Some(oldest) = first(tx, oldest, (n.schedule,)).await? {
        let statement = "DELETE FROM volume_schedule_runs WHERE schedule_id = ? AND scheduled_for < ?";
        run(tx, statement, (n.schedule, at(oldest.time("scheduled_for")?))).await?;
    }
    Ok(())
}

/// The run that made something has ended.
pub async fn end_run(
    tx: &mut Tx,
    (schedule, made): (&str, &str),
    result: RunResult,
    failure: Option<&Failure>,
) -> Result<(), DbError> {
    let (code, values) = failure_of(failure)?;
    let statement = "UPDATE volume_schedule_runs SET ended_at = UTC_TIMESTAMP(3), result = ?, failure_code = ?, \
                     failure_values = ? WHERE schedule_id = ? AND made = ? AND ended_at IS NULL";
    run(tx, statement, (result.as_str(), code, values, schedule, made)).await?;
    Ok(())
}

/// When the run that made something was come to.
pub async fn begun_at(tx: &mut Tx, schedule: &str, made: &str) -> Result<Option<Timestamp>, DbError> {
    let statement = "SELECT begun_at FROM volume_schedule_runs WHERE schedule_id = ? AND made = ? LIMIT 1";
    first(tx, statement, (schedule, made)).await?.map(|row| row.time("begun_at")).transpose()
}

/// Something that a schedule made, by its row.
#[derive(Debug, Clone)]
pub struct MadeRow {
    pub seq: u64,
    pub id: String,
    pub state: String,
    pub created_at: Timestamp,
    /// Somebody marked it.
    pub kept: bool,
    pub failure: Option<Failure>,
}

fn table(makes: Makes) -> &'static str {
    match makes {
        Makes::Snapshot => "volume_snapshots",
        Makes::Backup => "backup_objects",
    }
}

fn made_row(row: &mysql_async::Row) -> Result<MadeRow, DbError> {
    let code: Option<String> = row.col("failure_code")?;
    let message: Option<String> = row.col("failure_message")?;
    Ok(MadeRow {
        seq: row.col("seq")?,
        id: row.text("id")?,
        state: row.text("state")?,
        created_at: row.time("created_at")?,
        kept: row.flag("kept")?,
        failure: code.map(|code| Failure::new(code).with("message", message.unwrap_or_default())),
    })
}

const MADE: &str = "SELECT seq, id, state, created_at, kept, failure_code, failure_message FROM";

/// What a schedule made and is there, oldest first. The caller holds the schedule's row.
pub async fn made(tx: &mut Tx, schedule: &str, makes: Makes) -> Result<Vec<MadeRow>, DbError> {
    let statement = format!("{MADE} {} WHERE schedule_id = ? AND deleted_at IS NULL ORDER BY seq", table(makes));
    rows(tx, statement, (schedule,)).await?.iter().map(made_row).collect()
}

/// One thing that was made, also when it is no more.
pub async fn find_made(tx: &mut Tx, id: &str, makes: Makes) -> Result<Option<MadeRow>, DbError> {
    let statement = format!("{MADE} {} WHERE id = ?", table(makes));
    first(tx, statement, (id,)).await?.as_ref().map(made_row).transpose()
}

/// It was made by this schedule.
pub async fn set_made_by(tx: &mut Tx, id: &str, makes: Makes, schedule: &str) -> Result<(), DbError> {
    run(tx, format!("UPDATE {} SET schedule_id = ? WHERE id = ?", table(makes)), (schedule, id)).await?;
    Ok(())
}

const VIEW: &str = "SELECT s.*, s.deleted_at IS NOT NULL AS gone, UTC_TIMESTAMP(3) AS now_is, \
                    (SELECT COUNT(*) FROM backup_objects o WHERE o.schedule_id = s.id AND o.deleted_at IS NULL \
                     AND o.state = 'available') + (SELECT COUNT(*) FROM volume_snapshots p WHERE p.schedule_id = s.id \
                     AND p.deleted_at IS NULL AND p.state = 'available') AS there FROM volume_schedules s";

fn view(row: &mysql_async::Row) -> Result<VolumeSchedule, DbError> {
    let there = row.col("there")?;
    let one = read(row)?;
    let (calendar, keep) = (one.wish.calendar, one.wish.keep);
    Ok(VolumeSchedule {
        uuid: one.id.clone(),
        id: one.id,
        account_id: one.account,
        volume_id: one.volume,
        display_name: Some(one.wish.display_name).filter(|name| !name.is_empty()),
        makes: one.wish.makes,
        backup_storage_id: one.wish.storage,
        every: calendar.every,
        minute: calendar.minute,
        hour: (calendar.every != Every::Hour).then_some(calendar.hour),
        weekday: (calendar.every == Every::Week).then_some(calendar.weekday),
        time_zone: one.wish.time_zone,
        keep_last: keep.last,
        keep_hourly: keep.hourly,
        keep_daily: keep.daily,
        keep_weekly: keep.weekly,
        keep_monthly: keep.monthly,
        enabled: one.wish.enabled,
        next_run: one.next_run,
        kept: there,
        failures_in_a_row: one.failures_in_a_row,
        last_run: None,
        runs: Vec::new(),
        created_at: one.created_at,
        updated_at: one.updated_at,
    })
}

fn run_view(row: &mysql_async::Row) -> Result<ScheduleRun, DbError> {
    let code: Option<String> = row.col("failure_code")?;
    let values: Option<BTreeMap<String, String>> = row.json_opt("failure_values")?;
    Ok(ScheduleRun {
        scheduled_for: row.time("scheduled_for")?,
        begun_at: row.time("begun_at")?,
        ended_at: row.time_opt("ended_at")?,
        result: row.parsed("result")?,
        missed: row.col("missed")?,
        made: row.col("made")?,
        failure: code.map(|code| Failure { values: values.unwrap_or_default(), ..Failure::new(code) }),
    })
}

/// Live schedules of a volume with all their runs, oldest schedule first.
pub async fn of_volume(db: &Db, volume: &str) -> Result<Vec<VolumeSchedule>, DbError> {
    let statement = format!("{VIEW} WHERE s.volume_id = ? AND s.deleted_at IS NULL ORDER BY s.seq");
    let mut found: Vec<VolumeSchedule> =
        db.rows(statement, (volume,)).await?.iter().map(view).collect::<Result<_, _>>()?;
    let runs = "SELECT r.* FROM volume_schedule_runs r JOIN volume_schedules s ON s.id = r.schedule_id \
                WHERE s.volume_id = ? AND s.deleted_at IS NULL ORDER BY r.scheduled_for DESC";
    for row in db.rows(runs, (volume,)).await? {
        let schedule = row.text("schedule_id")?;
        if let Some(one) = found.iter_mut().find(|one| one.id == schedule) {
            one.runs.push(run_view(&row)?);
        }
    }
    for one in &mut found {
        one.last_run = one.runs.first().cloned();
    }
    Ok(found)
}

/// Forgets schedules that were deleted a day ago, with their runs; a bounded batch a call.
pub async fn forget_deleted(db: &Db) -> Result<(), DbError> {
    let statement =
        "SELECT id FROM volume_schedules WHERE deleted_at < UTC_TIMESTAMP(3) - INTERVAL 1 DAY ORDER BY seq LIMIT 50";
    for row in db.rows(statement, ()).await? {
        let id = row.text("id")?;
        db.run("DELETE FROM volume_schedule_runs WHERE schedule_id = ?", (&id,)).await?;
        db.run("DELETE FROM volume_schedules WHERE id = ?", (&id,)).await?;
    }
    Ok(())
}
