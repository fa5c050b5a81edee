//! Idempotency keys: what a request with a key has changed, and what it was answered.
//!
//! Rule: the row is written in the transaction of the change (by the audit line), the answer after it. A row without an
//! answer says that the change happened and that nobody remembers what was said about it.

use super::pool::{first, run};
use super::{Columns, Db, DbError, Tx};

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub resource: String,
    /// Of the request, with its answer; none when the answer was not kept.
    pub answer: Option<(String, String)>,
}

/// What a key has made.
pub async fn idempotent(db: &Db, token: &str, key: &str) -> Result<Option<String>, DbError> {
    Ok(known(db, token, key).await?.map(|known| known.resource))
}

pub async fn known(db: &Db, token: &str, key: &str) -> Result<Option<Known>, DbError> {
    let statement =
        "SELECT resource, request_sha256, answer FROM idempotency_keys WHERE token_id = ? AND idempotency_key = ?";
    let found = db.rows(statement, (token, key)).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let digest: Option<String> = row.col("request_sha256")?;
    let answer: Option<String> = row.col("answer")?;
    Ok(Some(Known { resource: row.text("resource")?, answer: digest.zip(answer) }))
}

/// The same inside the transaction that would make it, the account's row locked: of two requests with one key that
/// come at once, the second finds what the first made.
pub async fn made_with_key(tx: &mut Tx, token: &str, key: &str) -> Result<Option<String>, DbError> {
    let statement = "SELECT resource FROM idempotency_keys WHERE token_id = ? AND idempotency_key = ?";
    first(tx, statement, (token, key)).await?.map(|row| row.text("resource")).transpose()
}

/// Takes the key for a resource; false when it was taken. Waits for another transaction that is taking it.
pub async fn claim(tx: &mut Tx, token: &str, key: &str, resource: &str) -> Result<bool, DbError> {
    let statement = "INSERT IGNORE INTO idempotency_keys (token_id, idempotency_key, resource, created_at) VALUES (?, ?, ?, UTC_TIMESTAMP(3))";
    Ok(run(tx, statement, (token, key, resource)).await? > 0)
}

/// As [`claim`], for those who looked before.
pub async fn set_idempotent(tx: &mut Tx, token: &str, key: &str, resource: &str) -> Result<(), DbError> {
    claim(tx, token, key, resource).await.map(|_| ())
}

/// Keeps what was answered. Nothing where the request changed nothing.
pub async fn keep(db: &Db, token: &str, key: &str, digest: &str, answer: &str) -> Result<(), DbError> {
    let statement = "UPDATE idempotency_keys SET request_sha256 = ?, answer = ? \
                     WHERE token_id = ? AND idempotency_key = ? AND answer IS NULL";
    db.run(statement, (digest, answer, token, key)).await?;
    Ok(())
}
