//! The log of changes: who did what to which resource, from where, and when.

use super::{App, AppError, Caller, lists};
use crate::db;
use arame_schema::api::{AuditEntry, ListFilter, Page, Refusal};

/// `after` names the request of a line; `id` is what the resources begin with.
pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<AuditEntry>, Refusal> {
    lists::check_sort(&filter, &["created_at"])?;
    lists::check_after(app, caller, &filter, db::Long::AuditLog).await?;
    let found = db::accounts::audit_log(app.db(), caller.scope(), &filter).await;
    let (total, results) = found.map_err(AppError::from)?;
    Ok(Page { total, start: filter.start, limit: filter.limit, results })
}
