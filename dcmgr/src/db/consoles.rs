//! Tickets of consoles: kept as digests, used once, and what became of the consoles they opened.
//!
//! Rule: the database's clock says whether a ticket is too old and whether an open console is still held by somebody.

use super::pool::{first, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::Timestamp;
use arame_schema::limits::CONSOLE_TICKET_AGE;
use arame_schema::model::ConsoleKind;

/// A ticket to be made.
pub struct NewTicket<'a> {
    pub sha256: &'a str,
    pub instance: &'a str,
    pub kind: ConsoleKind,
    /// Whose it is.
    pub token: &'a str,
    /// The account that token acts for; none: every account.
    pub account: Option<&'a str>,
}

/// A ticket as found.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub sha256: String,
    pub instance: String,
    pub kind: ConsoleKind,
    pub token: String,
    pub account: Option<String>,
    /// From where it was used.
    pub address: Option<String>,
    pub used: bool,
    pub too_old: bool,
}

const COLUMNS: &str = "ticket_sha256, instance_id, kind, token_id, account_id, address, opened_at IS NOT NULL AS used, \
                       expires_at <= UTC_TIMESTAMP(3) AS too_old";

fn ticket(row: &mysql_async::Row) -> Result<Ticket, DbError> {
    Ok(Ticket {
        sha256: row.text("ticket_sha256")?,
        instance: row.text("instance_id")?,
        kind: row.parsed("kind")?,
        token: row.text("token_id")?,
        account: row.col("account_id")?,
        address: row.col("address")?,
        used: row.flag("used")?,
        too_old: row.flag("too_old")?,
    })
}

/// Answers until when it is good.
pub async fn insert(tx: &mut Tx, new: NewTicket<'_>) -> Result<Timestamp, DbError> {
    let statement = "INSERT INTO console_tickets (ticket_sha256, instance_id, kind, token_id, account_id, created_at, expires_at) \
                     VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL ? SECOND)";
    let age = CONSOLE_TICKET_AGE.as_secs();
    run(tx, statement, (new.sha256, new.instance, new.kind.as_str(), new.token, new.account, age)).await?;
    let found = first(tx, "SELECT expires_at FROM console_tickets WHERE ticket_sha256 = ?", (new.sha256,)).await?;
    let found = found.ok_or_else(|| super::row::strange("expires_at", "the row just made is not there"))?;
    found.time("expires_at")
}

/// Of two who use it at once, the second waits here and finds it used.
pub async fn lock(tx: &mut Tx, sha256: &str) -> Result<Option<Ticket>, DbError> {
    let statement = format!("SELECT {COLUMNS} FROM console_tickets WHERE ticket_sha256 = ? FOR UPDATE");
    first(tx, statement, (sha256,)).await?.as_ref().map(ticket).transpose()
}

/// It is used.
pub async fn begin(tx: &mut Tx, sha256: &str, address: &str) -> Result<(), DbError> {
    let statement = "UPDATE console_tickets SET opened_at = UTC_TIMESTAMP(3), seen_at = UTC_TIMESTAMP(3), address = ? \
                     WHERE ticket_sha256 = ?";
    run(tx, statement, (address, sha256)).await?;
    Ok(())
}

/// Somebody holds its console. Seldom enough that it costs nothing.
pub async fn touch(db: &Db, sha256: &str) -> Result<(), DbError> {
    let statement = "UPDATE console_tickets SET seen_at = UTC_TIMESTAMP(3) \
                     WHERE ticket_sha256 = ? AND seen_at < UTC_TIMESTAMP(3) - INTERVAL 8 SECOND";
    db.run(statement, (sha256,)).await?;
    Ok(())
}

/// False when it was closed before.
pub async fn end(tx: &mut Tx, sha256: &str) -> Result<bool, DbError> {
    let statement =
        "UPDATE console_tickets SET closed_at = UTC_TIMESTAMP(3) WHERE ticket_sha256 = ? AND closed_at IS NULL";
    Ok(run(tx, statement, (sha256,)).await? > 0)
}

/// Opened by a dcmgr that holds them no more.
pub async fn left_behind(db: &Db) -> Result<Vec<Ticket>, DbError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM console_tickets WHERE closed_at IS NULL \
         AND seen_at < UTC_TIMESTAMP(3) - INTERVAL 30 SECOND LIMIT 100"
    );
    db.rows(statement, ()).await?.iter().map(ticket).collect()
}

/// What became of a ticket is told for an hour.
pub async fn sweep(db: &Db) -> Result<(), DbError> {
    let statement = "DELETE FROM console_tickets WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL 1 HOUR \
                     AND (opened_at IS NULL OR closed_at IS NOT NULL) LIMIT 1000";
    db.rows(statement, ()).await?;
    Ok(())
}
