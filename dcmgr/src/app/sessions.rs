//! Sessions: a user's name and password once, then a token like any other, for a working day.
//!
//! Rule: which of name and password was wrong is not told. A session's rights are its user's memberships at each use;
//! the role in its row is only what it began with.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{ChangePassword, Code, CreateSession, Refusal, Role, Session, Whoami};
use arame_schema::model::TokenId;
use uuid::Uuid;

/// A working day; whoever stays longer signs in again.
const SESSION_SECONDS: u64 = 12 * 3600;

/// Who asks without a credential.
#[derive(Debug, Clone)]
pub struct Stranger {
    pub request: Uuid,
    pub address: String,
}

/// Checks a password, counting the wrong ones. Answers the user's id.
async fn check(app: &App, name: &str, password: &str, address: &str) -> Result<String, Refusal> {
    app.credentials().check_sign_in(name, address)?;
    let found = db::users::sign_in(app.db(), name).await.map_err(AppError::from)?;
    let stored = found.as_ref().and_then(|(_, password)| password.as_deref());
    let right = app.passwords().verify(password, stored).await?;
    match found {
        Some((user, _)) if right => Ok(user),
        _ => {
            app.credentials().sign_in_failed(name, address);
            Err(Refusal::new(Code::SignInFailed))
        }
    }
}

pub async fn create(app: &App, stranger: &Stranger, request: CreateSession) -> Result<Session, Refusal> {
    let id = check(app, &request.name, &request.password, &stranger.address).await?;
    let user = db::users::get(app.db(), &id).await.map_err(AppError::from)?;
    let user = user.ok_or_else(|| Refusal::new(Code::SignInFailed))?;
    let chosen = match &request.account_id {
        Some(account) => user.memberships.iter().find(|one| one.account_id == *account),
        None => user.memberships.first(),
    };
    let chosen = chosen.cloned().ok_or_else(|| Refusal::new(Code::SignInFailed))?;
    let (mut entropy, secret) = ([0; 8], super::tokens::secret());
    crate::rehearsal::fill_bytes(&mut entropy);
    let token = TokenId::from_entropy(entropy).to_string();
    let digest = db::seed::digest(&secret);
    let expires_at = crate::change!(app, "create session", Some(stranger.request), |tx, _ringing| {
        let row = db::accounts::NewToken {
            id: &token,
            account: &chosen.account_id,
            role: chosen.role,
            display_name: &user.name,
            secret_sha256: &digest,
            created_by: &user.id,
            expires_in_s: Some(SESSION_SECONDS),
        };
        db::accounts::insert_token(tx, row).await?;
        db::users::make_session(tx, &token, &user.id).await?;
        let who = db::events::Who {
            request: stranger.request,
            token: &token,
            account: &chosen.account_id,
            address: &stranger.address,
            key: None,
        };
        db::events::audit(tx, &who, "session.create", &user.id).await?;
        Ok(db::accounts::lock_token(tx, &token, None).await?.and_then(|made| made.expires_at))
    })?;
    let (account_id, role) = (chosen.account_id, chosen.role);
    Ok(Session { id: token, user, account_id, role, expires_at, secret: Some(secret) })
}

/// Ends the session that asks. A token that is none is revoked by its id.
pub async fn end(app: &App, caller: &Caller) -> Result<Vec<String>, Refusal> {
    let id = &caller.token;
    crate::change!(app, "end session", Some(caller.request), |tx, _ringing| {
        let session = db::accounts::user_of_token(tx, id).await?;
        session.ok_or_else(|| Refusal::unknown("current"))?;
        db::accounts::revoke_token(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "session.end", id).await?)
    })?;
    app.credentials().forget();
    Ok(vec![id.clone()])
}

pub async fn whoami(app: &App, caller: &Caller) -> Result<Whoami, Refusal> {
    let row = db::accounts::token_by_id(app.db(), &caller.token).await.map_err(AppError::from)?;
    let (user, expires_at) = row.unwrap_or_default();
    let user = match user {
        Some(user) => db::users::get(app.db(), &user).await.map_err(AppError::from)?,
        None => None,
    };
    let (token, role, account_id) = (caller.token.clone(), caller.role, caller.account.clone());
    Ok(Whoami { token, role, account_id, user, expires_at })
}

/// A user's own password; the other sessions end. A token that is no session has no user.
pub async fn change_password(app: &App, caller: &Caller, request: ChangePassword) -> Result<Whoami, Refusal> {
    let me = whoami(app, caller).await?;
    let user = me.user.clone().ok_or_else(|| Refusal::unknown("user"))?;
    check(app, &user.name, &request.password, &caller.address).await?;
    let password = app.passwords().hash(&request.new_password).await?;
    crate::change!(app, "change password", Some(caller.request), |tx, _ringing| {
        db::users::lock(tx, &user.id).await?.ok_or_else(|| Refusal::unknown(&user.id))?;
        db::users::set_password(tx, &user.id, &password).await?;
        db::users::end_sessions(tx, &user.id, &caller.token).await?;
        Ok(db::events::audit(tx, &caller.who(), "user.password", &user.id).await?)
    })?;
    app.credentials().forget();
    Ok(me)
}

/// Whether a role is looked at as an operator's, which a listener for old clients does not attach.
pub fn is_operators(role: Role) -> bool {
    match role {
        Role::Admin | Role::Operator => true,
        Role::Member | Role::Auditor => false,
    }
}
