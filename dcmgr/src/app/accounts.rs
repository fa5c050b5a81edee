//! Accounts: listed as far as the caller may see them, made, changed and ended by operators.
//!
//! Rule: an account with anything left in it is not deleted, and an id is never given twice. Disabling refuses its
//! tokens at once; what it has goes on.

pub mod bulk;

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{Account, AccountUsage, Code, CreateAccount, ListFilter, Page, Refusal, Timestamp};
use arame_schema::model::AccountId;

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<Account>, Refusal> {
    let found = db::accounts::list(app.db(), caller.scope()).await.map_err(AppError::from)?;
    super::page(found, &filter)
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<Account, Refusal> {
    let found = db::accounts::list(app.db(), caller.scope()).await.map_err(AppError::from)?;
    found.into_iter().find(|account| account.id == id).ok_or_else(|| Refusal::unknown(id))
}

/// What it uses now, by the original's quota keys.
pub async fn usage(app: &App, caller: &Caller, id: &str) -> Result<AccountUsage, Refusal> {
    get(app, caller, id).await?;
    let used = db::accounts::usage(app.db(), id).await.map_err(AppError::from)?;
    Ok(AccountUsage(used))
}

pub async fn create(app: &App, caller: &Caller, request: CreateAccount) -> Result<Account, Refusal> {
    let id = request.id.clone().unwrap_or_else(|| {
        let mut entropy = [0; 8];
        crate::rehearsal::fill_bytes(&mut entropy);
        AccountId::from_entropy(entropy).to_string()
    });
    let now = Timestamp(time::OffsetDateTime::UNIX_EPOCH);
    let account = Account {
        id: id.clone(),
        created_at: now,
        updated_at: now,
        display_name: request.display_name,
        description: request.description.unwrap_or_default(),
        enabled: true,
        quota_instances: request.quota_instances,
        quota_volumes: request.quota_volumes,
    };
    let made: Result<(), AppError> = crate::change!(app, "create account", Some(caller.request), |tx, _ringing| {
        if db::accounts::was_ever(tx, &id).await? {
            return Err(Refusal::new(Code::AlreadyExists).with("id", &id).into());
        }
        db::accounts::insert(tx, &account).await?;
        Ok(db::events::audit(tx, &caller.who(), "account.create", &id).await?)
    });
    made.map_err(|error| taken(error, &id))?;
    get(app, &everywhere(caller), &id).await
}

/// Two that make the same at once: neither sees the other's row, the unique key does.
fn taken(error: AppError, id: &str) -> AppError {
    match &error {
        AppError::Db(inner) if inner.duplicate_key().is_some() => {
            Refusal::new(Code::AlreadyExists).with("id", id).into()
        }
        _ => error,
    }
}

/// What is given changes; the rest stays.
#[derive(Debug, Default)]
pub struct Change {
    pub display_name: Option<String>,
    pub description: Option<String>,
    pub enabled: Option<bool>,
    /// `Some(None)` takes the limit away.
    pub quota_instances: Option<Option<u64>>,
    pub quota_volumes: Option<Option<u64>>,
}

pub async fn update(app: &App, caller: &Caller, id: &str, change: Change) -> Result<Account, Refusal> {
    crate::change!(app, "update account", Some(caller.request), |tx, _ringing| {
        let mut account = db::accounts::lock(tx, id).await?.ok_or_else(|| Refusal::unknown(id))?;
        if let Some(name) = &change.display_name {
            account.display_name = Some(name.clone());
        }
        if let Some(description) = &change.description {
            account.description = description.clone();
        }
        account.enabled = change.enabled.unwrap_or(account.enabled);
        account.quota_instances = change.quota_instances.unwrap_or(account.quota_instances);
        account.quota_volumes = change.quota_volumes.unwrap_or(account.quota_volumes);
        db::accounts::update(tx, &account).await?;
        Ok(db::events::audit(tx, &caller.who(), "account.update", id).await?)
    })?;
    app.credentials().forget();
    get(app, &everywhere(caller), id).await
}

pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete account", Some(caller.request), |tx, _ringing| {
        db::accounts::lock(tx, id).await?.ok_or_else(|| Refusal::unknown(id))?;
        let left = db::accounts::belongings(tx, id).await?;
        if !left.is_empty() {
            let by: Vec<String> = left.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", by.join(", ")).into());
        }
        db::accounts::delete(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "account.delete", id).await?)
    })?;
    app.credentials().forget();
    Ok(vec![id.to_owned()])
}

/// An operator who acts for one account still sees the account that was made.
fn everywhere(caller: &Caller) -> Caller {
    Caller { account: None, ..caller.clone() }
}
