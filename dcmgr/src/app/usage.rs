//! What was used, by account and time: for accounts and for those who settle them.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{Code, Refusal, Span, Timestamp, UsageInterval};
use time::{Duration, OffsetDateTime};

/// Intervals of one answer: more is asked for in shorter times.
pub const INTERVALS_MAX: u64 = 10_000;

/// The time that is told of when none is named, up to its end.
const TIME_DEFAULT: Duration = Duration::days(31);

/// Intervals of the caller's accounts, or of one of them, cut to a time.
pub async fn between(
    app: &App,
    caller: &Caller,
    account: Option<&str>,
    span: Span,
) -> Result<Vec<UsageInterval>, Refusal> {
    if let Some(account) = account {
        super::accounts::get(app, caller, account).await?;
    }
    let now = db::audit::now(app.db()).await.map_err(AppError::from)?;
    // A moment on the wire is a whole second: what began in this one belongs to it.
    let until = span.until.unwrap_or(Timestamp(now.0 + Duration::SECOND));
    let earliest = Timestamp(OffsetDateTime::UNIX_EPOCH);
    let since = span.since.unwrap_or_else(|| until.0.checked_sub(TIME_DEFAULT).map_or(earliest, Timestamp));
    let scope = account.or(caller.scope());
    let found = db::usage::between(app.db(), scope, since, until, INTERVALS_MAX + 1).await.map_err(AppError::from)?;
    if found.len() as u64 > INTERVALS_MAX {
        let refusal = Refusal::new(Code::TooMany).with("id", scope.unwrap_or("all")).with("what", "usage intervals");
        return Err(refusal.with("limit", INTERVALS_MAX));
    }
    Ok(found)
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
