//! Users: made, changed and ended by operators; nobody gives a role above their own, nor changes who has one.
//!
//! Rule: a password is kept as its hash only. A new password, a disabled or deleted user and a lost membership end what
//! the user's sessions may do at once.

use super::tokens::may_give;
use super::{App, AppError, Caller};
use crate::db::{self, Tx};
use arame_schema::api::{Code, CreateUser, ListFilter, Membership, Page, Refusal, UpdateUser, User};
use arame_schema::model::UserId;

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<User>, Refusal> {
    let found = db::users::list(app.db(), caller.scope()).await.map_err(AppError::from)?;
    super::page(found, &filter)
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<User, Refusal> {
    let found = db::users::get(app.db(), id).await.map_err(AppError::from)?;
    found.filter(|user| sees(caller, user)).ok_or_else(|| Refusal::unknown(id))
}

fn sees(caller: &Caller, user: &User) -> bool {
    caller.scope().is_none_or(|account| user.memberships.iter().any(|one| one.account_id == account))
}

/// Whoever changes a user may give every role that the user has and shall have.
fn check_rights(caller: &Caller, memberships: &[Membership]) -> Result<(), Refusal> {
    match memberships.iter().all(|one| may_give(caller.role, one.role)) {
        true => Ok(()),
        false => Err(Refusal::new(Code::NotPermitted)),
    }
}

/// Locks the accounts of memberships, which come before users in the lock order; each once, each there.
async fn lock_accounts(tx: &mut Tx, memberships: &[Membership]) -> Result<(), AppError> {
    let mut accounts: Vec<&str> = memberships.iter().map(|one| one.account_id.as_str()).collect();
    accounts.sort_unstable();
    if let Some(pair) = accounts.windows(2).find(|pair| pair[0] == pair[1]) {
        let refusal = Refusal::new(Code::InvalidParameter).with("name", "memberships");
        return Err(refusal.with("value", pair[0]).with("expected", "each account once").into());
    }
    for account in accounts {
        db::accounts::lock(tx, account).await?.ok_or_else(|| Refusal::unknown(account))?;
    }
    Ok(())
}

async fn lock_seen(tx: &mut Tx, caller: &Caller, id: &str) -> Result<User, AppError> {
    let found = db::users::lock(tx, id).await?.filter(|user| sees(caller, user));
    let user = found.ok_or_else(|| Refusal::unknown(id))?;
    check_rights(caller, &user.memberships)?;
    Ok(user)
}

pub async fn create(app: &App, caller: &Caller, request: CreateUser) -> Result<User, Refusal> {
    check_rights(caller, &request.memberships)?;
    let password = match &request.password {
        Some(password) => Some(app.passwords().hash(password).await?),
        None => None,
    };
    let mut entropy = [0; 8];
    crate::rehearsal::fill_bytes(&mut entropy);
    let id = UserId::from_entropy(entropy).to_string();
    let made: Result<(), AppError> = crate::change!(app, "create user", Some(caller.request), |tx, _ringing| {
        lock_accounts(tx, &request.memberships).await?;
        let display = request.display_name.as_deref().unwrap_or_default();
        db::users::insert(tx, &id, &request.name, display, password.as_deref()).await?;
        db::users::set_memberships(tx, &id, &request.memberships).await?;
        Ok(db::events::audit(tx, &caller.who(), "user.create", &id).await?)
    });
    made.map_err(|error| taken(error, &request.name))?;
    let found = db::users::get(app.db(), &id).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(&id))
}

/// The unique key of names, told as what it means.
fn taken(error: AppError, name: &str) -> AppError {
    match &error {
        AppError::Db(inner) if inner.duplicate_key().is_some_and(|key| key.ends_with("user_name")) => {
            Refusal::new(Code::AlreadyExists).with("id", name).into()
        }
        _ => error,
    }
}

pub async fn update(app: &App, caller: &Caller, id: &str, request: UpdateUser) -> Result<User, Refusal> {
    check_rights(caller, request.memberships.as_deref().unwrap_or_default())?;
    let password = match &request.password {
        Some(password) => Some(app.passwords().hash(password).await?),
        None => None,
    };
    crate::change!(app, "update user", Some(caller.request), |tx, _ringing| {
        lock_accounts(tx, request.memberships.as_deref().unwrap_or_default()).await?;
        let mut user = lock_seen(tx, caller, id).await?;
        user.display_name = request.display_name.clone().or(user.display_name);
        user.enabled = request.enabled.unwrap_or(user.enabled);
        db::users::update(tx, &user).await?;
        if let Some(wanted) = &request.memberships {
            db::users::set_memberships(tx, id, wanted).await?;
        }
        if let Some(password) = &password {
            db::users::set_password(tx, id, password).await?;
        }
        if password.is_some() || !user.enabled {
            db::users::end_sessions(tx, id, "").await?;
        }
        Ok(db::events::audit(tx, &caller.who(), "user.update", id).await?)
    })?;
    app.credentials().forget();
    let found = db::users::get(app.db(), id).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}

pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete user", Some(caller.request), |tx, _ringing| {
        lock_seen(tx, caller, id).await?;
        db::users::delete(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "user.delete", id).await?)
    })?;
    app.credentials().forget();
    Ok(vec![id.to_owned()])
}
