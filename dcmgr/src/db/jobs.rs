//! The outbox: job rows. One open job per (thing, agent), kept by a unique key.

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Long, Tx};
use crate::plan::{Kind, Open};
use arame_schema::api;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct JobRow {
    pub id: Uuid,
    pub kind: Kind,
    pub thing: String,
    pub agent: String,
    pub account: Option<String>,
    pub generation: u64,
    pub operation: Option<Uuid>,
    pub open: bool,
    pub attempt: u32,
    /// Milliseconds until its deadline, by the database's clock.
    pub budget_ms: i64,
}

const COLUMNS: &str = "id, kind, thing, agent_id, account_id, generation, operation, open, attempt, \
                       TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), deadline) DIV 1000 AS budget_ms";

fn read(row: &mysql_async::Row) -> Result<JobRow, DbError> {
    let kind = row.text("kind")?;
    Ok(JobRow {
        id: row.parsed("id")?,
        kind: Kind::parse(&kind).ok_or_else(|| super::row::strange("kind", kind))?,
        thing: row.text("thing")?,
        agent: row.text("agent_id")?,
        account: row.col("account_id")?,
        generation: row.col("generation")?,
        operation: row.parsed_opt("operation")?,
        open: row.col::<Option<i64>>("open")?.is_some(),
        attempt: row.col("attempt")?,
        budget_ms: row.col("budget_ms")?,
    })
}

/// A job to queue.
#[derive(Debug, Clone)]
pub struct NewJob<'a> {
    pub id: Uuid,
    pub kind: Kind,
    pub thing: &'a str,
    pub agent: &'a str,
    pub account: Option<&'a str>,
    pub generation: u64,
    pub operation: Option<Uuid>,
    pub attempt: u32,
    pub delay_ms: u64,
    pub budget_ms: u64,
    pub request: Option<Uuid>,
}

/// Queues a job, claimed for this process's relay when it is due now: the claim is committed with the row.
pub async fn insert(tx: &mut Tx, job: &NewJob<'_>) -> Result<(), DbError> {
    let statement = "INSERT INTO jobs (id, kind, thing, agent_id, account_id, generation, operation, state, attempt, \
                     not_before, rung_at, rings, deadline, request_id, created_at) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?, UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND, \
                     IF(? = 0, UTC_TIMESTAMP(3), NULL), IF(? = 0, 1, 0), \
                     UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND, ?, UTC_TIMESTAMP(3))";
    let values = mysql_async::Params::Positional(vec![
        job.id.to_string().into(),
        job.kind.as_str().into(),
        job.thing.into(),
        job.agent.into(),
        job.account.into(),
        job.generation.into(),
        job.operation.map(|o| o.to_string()).into(),
        job.attempt.into(),
        (job.delay_ms * 1000).into(),
        job.delay_ms.into(),
        job.delay_ms.into(),
        ((job.delay_ms + job.budget_ms) * 1000).into(),
        job.request.map(|r| r.to_string()).into(),
    ]);
    run(tx, statement, values).await?;
    Ok(())
}

/// The open job of a (thing, agent), locked.
pub async fn open_of(tx: &mut Tx, thing: &str, agent: &str) -> Result<Option<(Uuid, Open)>, DbError> {
    let statement = "SELECT id, kind, generation FROM jobs WHERE thing = ? AND agent_id = ? AND open = 1 FOR UPDATE";
    let Some(row) = first(tx, statement, (thing, agent)).await? else { return Ok(None) };
    let kind = row.text("kind")?;
    let open = Open {
        kind: Kind::parse(&kind).ok_or_else(|| super::row::strange("kind", kind))?,
        generation: row.col("generation")?,
    };
    Ok(Some((row.parsed("id")?, open)))
}

/// A job by its id.
pub async fn find(tx: &mut Tx, id: Uuid) -> Result<Option<JobRow>, DbError> {
    let found = first(tx, format!("SELECT {COLUMNS} FROM jobs WHERE id = ?"), (id.to_string(),)).await?;
    found.as_ref().map(read).transpose()
}

/// A job that was answered, and the first incarnation of the process that speaks for its agent now.
pub async fn find_answered(tx: &mut Tx, id: Uuid) -> Result<Option<(JobRow, u64)>, DbError> {
    let statement = format!(
        "SELECT {COLUMNS}, (SELECT a.process_incarnation FROM agents a WHERE a.id = jobs.agent_id) AS process \
         FROM jobs WHERE id = ?"
    );
    let Some(row) = first(tx, statement, (id.to_string(),)).await? else { return Ok(None) };
    Ok(Some((read(&row)?, row.col::<Option<u64>>("process")?.unwrap_or(0))))
}

/// As [`find`], outside a transaction.
pub async fn get_row(db: &Db, id: Uuid) -> Result<Option<JobRow>, DbError> {
    let found = db.rows(format!("SELECT {COLUMNS} FROM jobs WHERE id = ?"), (id.to_string(),)).await?;
    found.first().map(read).transpose()
}

/// Closes an open job. `state` is done, failed, superseded, refused, unsupported, overtaken, held or lost.
pub async fn close(tx: &mut Tx, id: Uuid, state: &str, error: Option<(&str, &str)>) -> Result<bool, DbError> {
    let (code, message) = error.unzip();
    let statement = "UPDATE jobs SET open = NULL, state = ?, error_code = ?, error_message = ?, progress = NULL, \
                     finished_at = UTC_TIMESTAMP(3) WHERE id = ? AND open = 1";
    Ok(run(tx, statement, (state, code, message, id.to_string())).await? == 1)
}

/// What the last failed job of a thing said: code and message.
pub async fn last_error(tx: &mut Tx, thing: &str) -> Result<Option<(String, String)>, DbError> {
    let statement = "SELECT error_code, IFNULL(error_message, '') AS error_message FROM jobs \
                     WHERE thing = ? AND state = 'failed' AND error_code IS NOT NULL ORDER BY seq DESC LIMIT 1";
    let found = first(tx, statement, (thing,)).await?;
    found.map(|row| Ok((row.text("error_code")?, row.text("error_message")?))).transpose()
}

/// Progress of an open job: shown, never decided on.
pub async fn set_progress(db: &Db, id: Uuid, percent: u8, note: &str) -> Result<(), DbError> {
    let note: String = note.chars().take(200).collect();
    db.rows(
        "UPDATE jobs SET progress = ?, progress_note = ? WHERE id = ? AND open = 1",
        (percent, note, id.to_string()),
    )
    .await?;
    Ok(())
}

/// No job is queued to be rung later than this: the longest pause between attempts, and room.
const DELAY_MAX_SECONDS: u32 = 90;

/// Claims up to `limit` jobs that are due to be rung: never rung and due, or rung long ago and not answered. The
/// pause between rings doubles with each, so that a long job is not rung at every turn. A moment that lies in the future
/// was written before the database's clock was set back: such a job would wait as long as the clock went.
pub async fn claim_due(tx: &mut Tx, ring_again_ms: u64, limit: u32) -> Result<Vec<JobRow>, DbError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM jobs WHERE open = 1 AND \
         (not_before <= UTC_TIMESTAMP(3) OR not_before > UTC_TIMESTAMP(3) + INTERVAL {DELAY_MAX_SECONDS} SECOND) AND \
         (rung_at IS NULL OR rung_at > UTC_TIMESTAMP(3) + INTERVAL 1 SECOND OR rung_at < UTC_TIMESTAMP(3) - INTERVAL (? * POW(2, LEAST(GREATEST(rings, 1) - 1, 4))) MICROSECOND) \
         ORDER BY seq LIMIT {limit} FOR UPDATE SKIP LOCKED"
    );
    let found = rows(tx, statement, (ring_again_ms * 1000,)).await?;
    let due: Vec<JobRow> = found.iter().map(read).collect::<Result<_, _>>()?;
    for job in &due {
        run(tx, "UPDATE jobs SET rung_at = UTC_TIMESTAMP(3), rings = rings + 1 WHERE id = ?", (job.id.to_string(),))
            .await?;
    }
    Ok(due)
}

/// The publication failed or the agent said hello: ring again at the next turn.
pub async fn unclaim(db: &Db, id: Uuid) -> Result<(), DbError> {
    db.rows("UPDATE jobs SET rung_at = NULL WHERE id = ? AND open = 1", (id.to_string(),)).await?;
    Ok(())
}

/// Every open job of an agent is rung anew (hello).
pub async fn ring_all_of(tx: &mut Tx, agent: &str) -> Result<(), DbError> {
    run(tx, "UPDATE jobs SET rung_at = NULL, rings = 0 WHERE agent_id = ? AND open = 1", (agent,)).await?;
    Ok(())
}

/// Every open job is rung anew (the broker came back).
pub async fn ring_everything(db: &Db) -> Result<(), DbError> {
    db.rows("UPDATE jobs SET rung_at = NULL, rings = 0 WHERE open = 1", ()).await?;
    Ok(())
}

/// Open jobs past their deadline.
pub async fn overdue(db: &Db) -> Result<Vec<Uuid>, DbError> {
    let found = db
        .rows("SELECT id FROM jobs WHERE open = 1 AND deadline < UTC_TIMESTAMP(3) ORDER BY seq LIMIT 100", ())
        .await?;
    found.iter().map(|row| row.parsed("id")).collect()
}

/// Open jobs and how long the oldest has been open, for metrics and audit.
pub async fn open_count(db: &Db) -> Result<u64, DbError> {
    let found = db.rows("SELECT COUNT(*) AS n FROM jobs WHERE open = 1", ()).await?;
    found.first().map_or(Ok(0), |row| row.col("n"))
}

/// Progress of the open job of a thing, if it told any.
pub async fn progress_of(db: &Db, thing: &str) -> Result<Option<(u8, String)>, DbError> {
    let statement =
        "SELECT progress, progress_note FROM jobs WHERE thing = ? AND open = 1 AND progress IS NOT NULL LIMIT 1";
    let found = db.rows(statement, (thing,)).await?;
    found
        .first()
        .map(|row| Ok((row.col("progress")?, row.col::<Option<String>>("progress_note")?.unwrap_or_default())))
        .transpose()
}

const VIEW: &str = "id, kind, agent_id, thing, generation, state, open, attempt, created_at, rung_at, finished_at, \
                    not_before, error_code, error_message, account_id";

fn view(row: &mysql_async::Row) -> Result<api::Job, DbError> {
    let error: Option<String> = row.col("error_code")?;
    let open = row.col::<Option<i64>>("open")?.is_some();
    let rung = row.time_opt("rung_at")?;
    Ok(api::Job {
        id: row.text("id")?,
        kind: row.text("kind")?,
        agent: row.text("agent_id")?,
        thing: row.text("thing")?,
        generation: row.col("generation")?,
        state: if open && rung.is_some() { "published".into() } else { row.text("state")? },
        attempt: row.col("attempt")?,
        created_at: row.time("created_at")?,
        published_at: rung,
        finished_at: row.time_opt("finished_at")?,
        due_at: if open && rung.is_none() { row.time_opt("not_before")? } else { None },
        error: error
            .map(|code| {
                Ok::<_, DbError>(api::JobError {
                    code,
                    message: row.col::<Option<String>>("error_message")?.unwrap_or_default(),
                })
            })
            .transpose()?,
    })
}

/// Which jobs a list shows; `None` is any. In the filter, a state is one as shown; `open` are those that are published, too.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    pub account: Option<&'a str>,
    pub thing: Option<&'a str>,
    pub filter: &'a api::ListFilter,
}

const LISTED: &str = "FROM jobs WHERE (? IS NULL OR account_id = ?) AND (? IS NULL OR thing = ?) \
    AND (? IS NULL OR (? = 'open' AND open = 1) \
         OR (CASE WHEN open = 1 AND rung_at IS NOT NULL THEN 'published' ELSE state END) = ?) \
    AND (? IS NULL OR created_at >= ?) AND (? IS NULL OR created_at < ?)";

/// Newest first unless asked otherwise, and how many there are in all.
pub async fn list(db: &Db, listed: Listed<'_>) -> Result<(u64, Vec<api::Job>), DbError> {
    let Listed { account, thing, filter } = listed;
    let state = filter.state.as_deref();
    let [since, until, ..] = super::moments(filter);
    let mut values: Vec<mysql_async::Value> = super::twice(account).to_vec();
    values.extend(super::twice(thing));
    values.extend([state.into(), state.into(), state.into()]);
    values.extend(super::twice(since.as_deref()));
    values.extend(super::twice(until.as_deref()));
    let count = format!("SELECT COUNT(*) AS n {LISTED}");
    let total = db.rows(count, mysql_async::Params::Positional(values.clone())).await?;
    let sorted = [("created_at", "seq")];
    let (behind, after) = Long::Jobs.behind(filter, &sorted, "seq");
    values.extend(after);
    values.extend([filter.limit.into(), filter.start.into()]);
    let order = super::order(filter, &sorted, "seq");
    let statement = format!("SELECT {VIEW} {LISTED}{behind} ORDER BY {order} LIMIT ? OFFSET ?");
    let found = db.rows(statement, mysql_async::Params::Positional(values)).await?;
    let total = total.first().map_or(Ok(0), |row| row.col("n"))?;
    Ok((total, found.iter().map(view).collect::<Result<_, _>>()?))
}

pub async fn get(db: &Db, id: &str, account: Option<&str>) -> Result<Option<api::Job>, DbError> {
    let statement = format!("SELECT {VIEW} FROM jobs WHERE id = ? AND (? IS NULL OR account_id = ?)");
    let found = db.rows(statement, (id, account, account)).await?;
    found.first().map(view).transpose()
}
