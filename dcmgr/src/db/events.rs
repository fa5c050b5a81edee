//! The timeline and the audit log.

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api;
use std::collections::BTreeMap;
use uuid::Uuid;

/// In place of an account: every account sees the resource, and what happens to it. No account's id is written so.
pub const EVERYBODY: &str = "*";

/// What happened to a resource. Codes and their sentences are the catalogue's.
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    /// Who is told; none: only who sees all accounts.
    pub account: Option<&'a str>,
    pub resource: &'a str,
    pub code: &'a str,
    pub values: &'a [(&'a str, String)],
    pub job: Option<Uuid>,
    pub request: Option<Uuid>,
}

pub async fn insert(tx: &mut Tx, event: &NewEvent<'_>) -> Result<(), DbError> {
    insert_all(tx, std::slice::from_ref(event)).await
}

/// Several events in their order, by one statement.
pub async fn insert_all(tx: &mut Tx, events: &[NewEvent<'_>]) -> Result<(), DbError> {
    let mut row = Vec::with_capacity(events.len() * 7);
    for event in events {
        let values: BTreeMap<&str, &String> = event.values.iter().map(|(name, value)| (*name, value)).collect();
        let text = serde_json::to_string(&values).map_err(|e| super::row::strange("vals", e))?;
        row.extend([
            crate::rehearsal::uuid_v7().to_string().into(),
            event.account.into(),
            event.resource.into(),
            event.code.into(),
            text.into(),
            event.job.map(|j| j.to_string()).into(),
            event.request.map(|r| r.to_string()).into(),
        ]);
    }
    let places = vec!["(?, UTC_TIMESTAMP(3), ?, ?, ?, ?, ?, ?)"; events.len()].join(", ");
    let statement =
        format!("INSERT INTO events (id, at, account_id, resource, code, vals, job_id, request_id) VALUES {places}");
    run(tx, statement, mysql_async::Params::Positional(row)).await?;
    Ok(())
}

/// What was made by the request that made a thing, of the kind whose ids begin with `prefix`, in its order. The timeline is
/// kept for longer than the keys of repeated requests.
pub async fn made_beside(tx: &mut Tx, thing: &str, prefix: &str) -> Result<Vec<String>, DbError> {
    let statement = "SELECT e.resource FROM events f JOIN events e ON e.request_id = f.request_id \
                     AND e.at BETWEEN f.at - INTERVAL 1 MINUTE AND f.at + INTERVAL 1 MINUTE \
                     WHERE f.resource = ? AND f.code = 'create_requested' AND e.code = 'create_requested' \
                     AND e.resource LIKE ? ORDER BY e.id";
    rows(tx, statement, (thing, format!("{prefix}-%"))).await?.iter().map(|row| row.text("resource")).collect()
}

/// Events numbered by one statement: FIELD compares each with each.
const NUMBERED_AT_ONCE: u32 = 100;

/// Gives public numbers to committed events, in the order of their ids. One writer at a time: the installation row is
/// locked. Answers how many were numbered. A number may be left out, none is given twice or later than a higher one.
pub async fn number(tx: &mut Tx) -> Result<u64, DbError> {
    // Without the word the server goes through all events in the order of their ids until it has met enough.
    let statement =
        format!("SELECT id FROM events FORCE INDEX (number) WHERE number IS NULL ORDER BY id LIMIT {NUMBERED_AT_ONCE}");
    let waiting = rows(tx, statement, ()).await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let Some(row) = first(tx, "SELECT events_numbered FROM installation WHERE one = 1 FOR UPDATE", ()).await? else {
        return Ok(0);
    };
    let number: u64 = row.col("events_numbered")?;
    let ids: Vec<mysql_async::Value> =
        waiting.iter().map(|row| Ok(row.text("id")?.into())).collect::<Result<_, DbError>>()?;
    let places = vec!["?"; ids.len()].join(", ");
    let statement =
        format!("UPDATE events SET number = ? + FIELD(id, {places}) WHERE id IN ({places}) AND number IS NULL");
    let values = std::iter::once(number.into()).chain(ids.iter().cloned()).chain(ids.iter().cloned()).collect();
    let given = run(tx, statement, mysql_async::Params::Positional(values)).await?;
    if given > 0 {
        let last = number + ids.len() as u64;
        run(tx, "UPDATE installation SET events_numbered = ? WHERE one = 1", (last,)).await?;
    }
    Ok(given)
}

fn view(row: &mysql_async::Row) -> Result<api::Event, DbError> {
    Ok(api::Event {
        id: row.col::<Option<u64>>("number")?.unwrap_or(0),
        at: row.time("at")?,
        at_ms: i64::try_from(row.time("at")?.0.unix_timestamp_nanos() / 1_000_000).unwrap_or_default(),
        resource: row.text("resource")?,
        operation: row.col("request_id")?,
        code: row.text("code")?,
        values: row.json("vals")?,
        text: String::new(),
        job: row.col("job_id")?,
        agent: row.col("agent_id")?,
    })
}

const VIEW: &str = "SELECT e.number, e.at, e.resource, e.request_id, e.code, e.vals, e.job_id, j.agent_id \
                    FROM events e LEFT JOIN jobs j ON j.id = e.job_id";

/// Events after a public number, oldest first.
pub async fn after(
    db: &Db,
    number: u64,
    resource: Option<&str>,
    account: Option<&str>,
    limit: u32,
) -> Result<Vec<api::Event>, DbError> {
    let statement = format!(
        "{VIEW} WHERE e.number > ? AND (? IS NULL OR e.resource = ?) AND (? IS NULL OR e.account_id IN (?, '{EVERYBODY}')) \
         ORDER BY e.number LIMIT {limit}"
    );
    let found = db.rows(statement, (number, resource, resource, account, account)).await?;
    found.iter().map(view).collect()
}

/// The newest of those above a public number, oldest first.
pub async fn newest(
    db: &Db,
    above: u64,
    resource: Option<&str>,
    account: Option<&str>,
    limit: u32,
) -> Result<Vec<api::Event>, DbError> {
    let statement = format!(
        "{VIEW} WHERE e.number > ? AND (? IS NULL OR e.resource = ?) AND (? IS NULL OR e.account_id IN (?, '{EVERYBODY}')) \
         ORDER BY e.number DESC LIMIT {limit}"
    );
    let found = db.rows(statement, (above, resource, resource, account, account)).await?;
    found.iter().rev().map(view).collect()
}

/// The whole timeline of a resource, oldest first; those just committed may not have a number yet and come last.
pub async fn of_resource(db: &Db, resource: &str) -> Result<Vec<api::Event>, DbError> {
    let statement = format!("{VIEW} WHERE e.resource = ? ORDER BY e.number IS NULL, e.number, e.id LIMIT 1000");
    let found = db.rows(statement, (resource,)).await?;
    found.iter().map(view).collect()
}

/// Writes the audit line of a mutating call, in its own transaction's scope, and with it the key the request came with:
/// what was changed and that it must not be changed again are committed together.
///
/// # Errors
/// [`DbError::Repeated`]: another request with this key has made something; this one makes nothing.
pub async fn audit(tx: &mut Tx, who: &Who<'_>, verb: &str, resource: &str) -> Result<(), DbError> {
    let statement = "INSERT INTO audit_log (request_id, at, token_id, account_id, address, verb, resource) \
                     VALUES (?, UTC_TIMESTAMP(3), ?, ?, ?, ?, ?)";
    run(tx, statement, (who.request.to_string(), who.token, who.account, who.address, verb, resource)).await?;
    let Some(key) = who.key else { return Ok(()) };
    let fresh = super::idempotency::claim(tx, who.token, key, resource).await?;
    if fresh || !verb.ends_with(".create") {
        return Ok(());
    }
    let made = super::idempotency::made_with_key(tx, who.token, key).await?;
    match made {
        Some(made) if made != resource => Err(DbError::Repeated(made)),
        _ => Ok(()),
    }
}

/// Who asked.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    pub request: Uuid,
    pub token: &'a str,
    pub account: &'a str,
    pub address: &'a str,
    /// The Idempotency-Key.
    pub key: Option<&'a str>,
}

/// Deletes events, closed jobs and audit lines older than their retention, a bounded batch a call.
pub async fn sweep(db: &Db) -> Result<(), DbError> {
    db.rows("DELETE FROM events WHERE at < UTC_TIMESTAMP(3) - INTERVAL 90 DAY LIMIT 1000", ()).await?;
    db.rows("DELETE FROM jobs WHERE open IS NULL AND finished_at < UTC_TIMESTAMP(3) - INTERVAL 90 DAY LIMIT 1000", ())
        .await?;
    db.rows("DELETE FROM audit_log WHERE at < UTC_TIMESTAMP(3) - INTERVAL 400 DAY LIMIT 1000", ()).await?;
    let sessions = "DELETE FROM tokens WHERE user_id IS NOT NULL \
                    AND LEAST(expires_at, IFNULL(revoked_at, expires_at)) < UTC_TIMESTAMP(3) - INTERVAL 7 DAY LIMIT 1000";
    db.rows(sessions, ()).await?;
    db.rows("DELETE FROM idempotency_keys WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL 7 DAY LIMIT 1000", ()).await?;
    Ok(())
}
