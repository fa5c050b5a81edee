//! A creation that is sent again with the same `Idempotency-Key` makes nothing new; and ids that operators choose.
//!
//! Rule: two requests of one token with one key wait for each other at the token's row. A key that made something of
//! another kind is refused: the client mixed its keys up.

use super::{AppError, Caller};
use crate::db::{self, Tx};
use arame_schema::api::{Code, Refusal, Role};

/// What an earlier request with this key made, of the kind whose ids begin with `prefix`.
pub(super) async fn made(tx: &mut Tx, caller: &Caller, prefix: &str) -> Result<Option<String>, AppError> {
    let Some(key) = &caller.idempotency_key else { return Ok(None) };
    db::access::lock_token_row(tx, &caller.token).await?;
    let Some(made) = db::access::made_with_key(tx, &caller.token, key).await? else { return Ok(None) };
    if made.split('-').next() != Some(prefix) {
        return Err(Refusal::new(Code::IdempotencyConflict).with("key", key).into());
    }
    Ok(Some(made))
}

/// Writes the line of what this request made in the log of changes, which takes its key.
pub(super) async fn keep(tx: &mut Tx, caller: &Caller, verb: &str, id: &str) -> Result<(), AppError> {
    Ok(db::events::audit(tx, &caller.who(), verb, id).await?)
}

/// Eight bytes for an id.
pub(super) fn entropy() -> [u8; 8] {
    let mut bytes = [0; 8];
    crate::rehearsal::fill_bytes(&mut bytes);
    bytes
}

/// Only who runs the data center chooses ids: they are the same namespace for every account.
pub(super) fn check_choice<T>(caller: &Caller, id: Option<&T>) -> Result<(), Refusal> {
    match (id, caller.role) {
        (None, _) | (Some(_), Role::Admin | Role::Operator) => Ok(()),
        (Some(_), Role::Member | Role::Auditor) => Err(Refusal::new(Code::NotPermitted)),
    }
}

/// A unique key that refused a chosen id, told as what it means.
pub(super) fn taken(error: AppError, id: &str) -> AppError {
    match &error {
        AppError::Db(inner) if inner.duplicate_key().is_some_and(|key| is_of_id(&key)) => {
            Refusal::new(Code::AlreadyExists).with("id", id).into()
        }
        AppError::Db(_) | AppError::Refused(_) | AppError::Planned | AppError::Seal(_) => error,
    }
}

/// MySQL 8.0 names the table before the key.
fn is_of_id(key: &str) -> bool {
    matches!(key.rsplit('.').next(), Some("id" | "PRIMARY"))
}
