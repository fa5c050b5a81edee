//! Jobs as users see them: those of their own things; operators see all.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{Job, ListFilter, Page, Refusal};

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<Job>, Refusal> {
    let found = db::jobs::list(app.db(), caller.scope(), filter.start, filter.limit).await;
    let (total, results) = found.map_err(AppError::from)?;
    Ok(Page { total, start: filter.start, limit: filter.limit, results })
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<Job, Refusal> {
    let found = db::jobs::get(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}
