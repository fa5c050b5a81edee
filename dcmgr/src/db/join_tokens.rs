//! Tokens by which machines join, as rows.

use super::pool::{first, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::{JoinToken, JoinTokenState};

const SELECT: &str = "SELECT id, agent_id, created_by, created_at, expires_at, revoked_at, used_at, used_key_sha256, used_from, \
                      used_machine, expires_at <= UTC_TIMESTAMP(3) AS is_expired FROM join_tokens";

/// A token with what is not shown of it.
#[derive(Debug, Clone)]
pub struct Row {
    pub view: JoinToken,
    /// Digest of the key of the machine that used it.
    pub used_key: Option<String>,
}

fn read(row: &mysql_async::Row) -> Result<Row, DbError> {
    let (used_at, revoked_at) = (row.time_opt("used_at")?, row.time_opt("revoked_at")?);
    let state = match (used_at, revoked_at, row.flag("is_expired")?) {
        (Some(_), _, _) => JoinTokenState::Used,
        (None, Some(_), _) => JoinTokenState::Revoked,
        (None, None, true) => JoinTokenState::Expired,
        (None, None, false) => JoinTokenState::Open,
    };
    let view = JoinToken {
        id: row.text("id")?,
        agent: row.text("agent_id")?,
        state,
        created_at: row.time("created_at")?,
        created_by: row.text("created_by")?,
        expires_at: row.time("expires_at")?,
        revoked_at,
        used_at,
        used_from: row.col("used_from")?,
        used_machine: row.col("used_machine")?,
        invitation: None,
    };
    Ok(Row { view, used_key: row.col("used_key_sha256")? })
}

/// Newest first.
pub async fn list(db: &Db) -> Result<Vec<JoinToken>, DbError> {
    let found = db.rows(format!("{SELECT} ORDER BY seq DESC"), ()).await?;
    found.iter().map(|row| Ok(read(row)?.view)).collect()
}

pub async fn get(db: &Db, id: &str) -> Result<Option<JoinToken>, DbError> {
    let found = db.rows(format!("{SELECT} WHERE id = ?"), (id,)).await?;
    found.first().map(|row| Ok(read(row)?.view)).transpose()
}

pub async fn lock(tx: &mut Tx, id: &str) -> Result<Option<Row>, DbError> {
    first(tx, format!("{SELECT} WHERE id = ? FOR UPDATE"), (id,)).await?.as_ref().map(read).transpose()
}

/// By the digest of its secret.
pub async fn lock_secret(tx: &mut Tx, sha256: &str) -> Result<Option<Row>, DbError> {
    let statement = format!("{SELECT} WHERE secret_sha256 = ? FOR UPDATE");
    first(tx, statement, (sha256,)).await?.as_ref().map(read).transpose()
}

#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    pub id: &'a str,
    pub agent: &'a str,
    pub secret_sha256: &'a str,
    pub created_by: &'a str,
    pub expires_in_s: u64,
}

pub async fn insert(tx: &mut Tx, token: NewToken<'_>) -> Result<(), DbError> {
    let statement = "INSERT INTO join_tokens (id, agent_id, secret_sha256, created_by, created_at, expires_at) \
                     VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL ? SECOND)";
    let NewToken { id, agent, secret_sha256, created_by, expires_in_s } = token;
    run(tx, statement, (id, agent, secret_sha256, created_by, expires_in_s)).await?;
    Ok(())
}

pub async fn use_up(tx: &mut Tx, id: &str, key_sha256: &str, from: &str, machine: &str) -> Result<(), DbError> {
    let statement = "UPDATE join_tokens SET used_at = UTC_TIMESTAMP(3), used_key_sha256 = ?, used_from = ?, used_machine = ? \
                     WHERE id = ? AND used_at IS NULL";
    run(tx, statement, (key_sha256, from, machine, id)).await?;
    Ok(())
}

/// Revoked twice is revoked; one that was used stays used.
pub async fn revoke(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement =
        "UPDATE join_tokens SET revoked_at = UTC_TIMESTAMP(3) WHERE id = ? AND revoked_at IS NULL AND used_at IS NULL";
    run(tx, statement, (id,)).await?;
    Ok(())
}

/// Lines that say nothing of today any more.
pub async fn sweep(db: &Db) -> Result<(), DbError> {
    db.rows("DELETE FROM join_tokens WHERE expires_at < UTC_TIMESTAMP(3) - INTERVAL 400 DAY LIMIT 1000", ()).await?;
    Ok(())
}
