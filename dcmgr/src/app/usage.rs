//! What was used, by account and time: for accounts and for those who settle them.
//!
//! Rule: a total is counted from the intervals in whole milliseconds and whole mebibytes and divided last, so that the
//! totals of adjoining times add up to that of the whole.

use super::{App, AppError, Caller};
use crate::db;
use crate::db::usage::{Of, Used, Window};
use arame_schema::api::{Code, Refusal, Span, Timestamp, UsageInterval, UsageOverTime, UsageTotal};
use time::{Duration, OffsetDateTime};

/// Intervals of one answer: more is asked for in shorter times.
pub const INTERVALS_MAX: u64 = 10_000;

/// The time that is told of when none is named, up to its end.
const TIME_DEFAULT: Duration = Duration::days(31);

/// What intervals are narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Narrowed {
    pub account: Option<String>,
    pub resource: Option<String>,
    pub resource_type: Option<String>,
    pub what: Option<String>,
}

fn before(until: Timestamp) -> Timestamp {
    until.0.checked_sub(TIME_DEFAULT).map_or(Timestamp(OffsetDateTime::UNIX_EPOCH), Timestamp)
}

/// Intervals of the caller's accounts, or of one of them, cut to a time.
pub async fn between(app: &App, caller: &Caller, to: Narrowed, span: Span) -> Result<Vec<UsageInterval>, Refusal> {
    if let Some(account) = &to.account {
        super::accounts::get(app, caller, account).await?;
    }
    let now = db::audit::now(app.db()).await.map_err(AppError::from)?;
    // A moment on the wire is a whole second: what began in this one belongs to it.
    let until = span.until.unwrap_or(Timestamp(now.0 + Duration::SECOND));
    let window = Window { since: span.since.unwrap_or_else(|| before(until)), until };
    let of = Of {
        account: to.account.as_deref().or(caller.scope()),
        resource: to.resource.as_deref(),
        resource_type: to.resource_type.as_deref(),
        what: to.what.as_deref(),
    };
    let found = db::usage::between(app.db(), of, window, INTERVALS_MAX + 1).await.map_err(AppError::from)?;
    if found.len() as u64 > INTERVALS_MAX {
        let refusal = Refusal::new(Code::TooMany).with("id", of.account.unwrap_or("all"));
        return Err(refusal.with("what", "usage intervals").with("limit", INTERVALS_MAX));
    }
    Ok(found)
}

/// What an account used in a time. One that is not over yet is told of up to now.
pub async fn over_time(app: &App, caller: &Caller, account: &str, span: Span) -> Result<UsageOverTime, Refusal> {
    super::accounts::get(app, caller, account).await?;
    let now = db::audit::now(app.db()).await.map_err(AppError::from)?;
    let now = Timestamp(now.0.replace_nanosecond(0).unwrap_or(now.0));
    let until = span.until.map_or(now, |until| until.min(now));
    let since = span.since.unwrap_or_else(|| before(until));
    if since >= until {
        let refusal = Refusal::new(Code::InvalidParameter).with("name", "since").with("value", since);
        return Err(refusal.with("expected", format!("< {until}")));
    }
    let used = db::usage::totals(app.db(), account, Window { since, until }).await.map_err(AppError::from)?;
    Ok(UsageOverTime { account_id: account.to_owned(), since, until, totals: used.iter().map(total).collect() })
}

fn total(used: &Used) -> UsageTotal {
    let seconds = |ms: u128| ms as f64 / 1000.0;
    UsageTotal {
        resource_type: used.resource_type.clone(),
        what: used.what.clone(),
        resources: used.resources,
        seconds: seconds(used.ms),
        cpu_core_seconds: seconds(used.cpu_core_ms),
        memory_gigabyte_seconds: seconds(used.memory_mib_ms) / 1024.0,
        disk_gigabyte_seconds: seconds(used.disk_mib_ms) / 1024.0,
    }
}

/// As a spreadsheet reads it (RFC 4180). Ids and times hold no comma and no quote.
pub fn csv(intervals: &[UsageInterval]) -> String {
    let mut text = String::from("account_id,resource,what,cpu_cores,memory_mib,disk_mib,begun_at,ended_at,seconds\r\n");
    for one in intervals {
        let ended = one.ended_at.map(|at| at.to_string()).unwrap_or_default();
        let sizes = format!("{},{},{}", one.cpu_cores, one.memory_size, one.disk_size);
        let line = [&one.account_id, &one.resource, &one.what, &sizes, &one.begun_at.to_string(), &ended];
        text.push_str(&line.map(String::as_str).join(","));
        text.push_str(&format!(",{}\r\n", one.seconds));
    }
    text
}

/// The totals of one account, as a spreadsheet reads them.
pub fn totals_csv(told: &UsageOverTime) -> String {
    let head = "account_id,since,until,resource_type,what,resources,seconds,cpu_core_seconds,memory_gigabyte_seconds,\
                disk_gigabyte_seconds\r\n";
    let line = |one: &UsageTotal| {
        let of = format!("{},{},{},{},{}", told.account_id, told.since, told.until, one.resource_type, one.what);
        let (cpu, memory, disk) = (one.cpu_core_seconds, one.memory_gigabyte_seconds, one.disk_gigabyte_seconds);
        format!("{of},{},{},{cpu},{memory},{disk}\r\n", one.resources, one.seconds)
    };
    std::iter::once(head.to_owned()).chain(told.totals.iter().map(line)).collect()
}
