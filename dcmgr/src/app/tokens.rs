//! Tokens: made with at most the maker's own role, shown once, revoked at once.
//!
//! Rule: the secret is random, leaves in the answer that makes it, and is kept only as a digest. A revoked one
//! is refused here from its commit on, and by another dcmgr within the moment it believes what it found (`credentials`).

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{Code, CreateToken, ListFilter, Page, Refusal, Role, Token};
use arame_schema::model::TokenId;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Random bytes of a secret: 256 bits are not guessed, and not found by their SHA-256.
const SECRET_BYTES: usize = 32;

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<Token>, Refusal> {
    let found = db::accounts::tokens(app.db(), caller.scope()).await.map_err(AppError::from)?;
    super::page(found, &filter)
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<Token, Refusal> {
    let found = db::accounts::tokens(app.db(), caller.scope()).await.map_err(AppError::from)?;
    found.into_iter().find(|token| token.id == id).ok_or_else(|| Refusal::unknown(id))
}

/// A new secret.
pub(super) fn secret() -> String {
    let mut bits = [0; SECRET_BYTES];
    crate::rehearsal::fill_bytes(&mut bits);
    URL_SAFE_NO_PAD.encode(bits)
}

/// Roles that a caller may give.
pub(super) fn may_give(own: Role, role: Role) -> bool {
    match own {
        Role::Admin => true,
        Role::Operator => role != Role::Admin,
        Role::Member => matches!(role, Role::Member | Role::Auditor),
        Role::Auditor => false,
    }
}

pub async fn create(app: &App, caller: &Caller, request: CreateToken) -> Result<Token, Refusal> {
    let account = caller.owner()?.to_owned();
    if !may_give(caller.role, request.role) {
        return Err(Refusal::new(Code::NotPermitted));
    }
    let (mut entropy, secret) = ([0; 8], secret());
    crate::rehearsal::fill_bytes(&mut entropy);
    let id = TokenId::from_entropy(entropy).to_string();
    let digest = db::seed::digest(&secret);
    let made = crate::change!(app, "create token", Some(caller.request), |tx, _ringing| {
        db::accounts::lock(tx, &account).await?.ok_or_else(|| Refusal::unknown(&account))?;
        let row = db::accounts::NewToken {
            id: &id,
            account: &account,
            role: request.role,
            display_name: request.display_name.as_deref().unwrap_or_default(),
            secret_sha256: &digest,
            created_by: &caller.token,
            expires_in_s: request.expires_in,
        };
        db::accounts::insert_token(tx, row).await?;
        db::events::audit(tx, &caller.who(), "token.create", &id).await?;
        let made = db::accounts::lock_token(tx, &id, None).await?;
        made.ok_or_else(|| AppError::from(Refusal::unknown(&id)))
    })?;
    Ok(Token { secret: Some(secret), ..made })
}

/// Revoked twice is revoked.
pub async fn revoke(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "revoke token", Some(caller.request), |tx, _ringing| {
        let token = db::accounts::lock_token(tx, id, caller.scope()).await?.ok_or_else(|| Refusal::unknown(id))?;
        if !may_give(caller.role, token.role) {
            return Err(Refusal::new(Code::NotPermitted).into());
        }
        db::accounts::revoke_token(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "token.revoke", id).await?)
    })?;
    app.credentials().forget();
    Ok(vec![id.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gives_more_than_they_have() {
        let given = |own: Role| Role::ALL.into_iter().filter(|role| may_give(own, *role)).collect::<Vec<_>>();
        assert_eq!(given(Role::Admin), Role::ALL);
        assert_eq!(given(Role::Operator), [Role::Operator, Role::Member, Role::Auditor]);
        assert_eq!(given(Role::Member), [Role::Member, Role::Auditor]);
        assert!(given(Role::Auditor).is_empty());
    }
}
