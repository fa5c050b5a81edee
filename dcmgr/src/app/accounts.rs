//! Accounts, as far as the caller may see them.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{Account, ListFilter, Page, Refusal};

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<Account>, Refusal> {
    let found = db::access::accounts(app.db(), caller.scope()).await.map_err(AppError::from)?;
    Ok(super::page(found, &filter))
}
