//! Jobs as users see them: those of their own things; operators see all.

use super::{App, AppError, Caller, lists};
use crate::db;
use arame_schema::api::{Job, ListFilter, Page, Refusal};

pub async fn list(app: &App, caller: &Caller, filter: ListFilter, thing: Option<String>) -> Result<Page<Job>, Refusal> {
    lists::check_sort(&filter, &["created_at"])?;
    lists::check_after(app, caller, &filter, db::Long::Jobs).await?;
    let listed = db::jobs::Listed { account: caller.scope(), thing: thing.as_deref(), filter: &filter };
    let (total, results) = db::jobs::list(app.db(), listed).await.map_err(AppError::from)?;
    Ok(Page { total, start: filter.start, limit: filter.limit, results })
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<Job, Refusal> {
    let found = db::jobs::get(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}
