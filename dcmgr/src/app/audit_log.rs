//! The log of changes: who did what to which resource, from where, and when.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{AuditEntry, ListFilter, Page, Refusal};

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<AuditEntry>, Refusal> {
    let ListFilter { start, limit, .. } = filter;
    let found = db::accounts::audit_log(app.db(), caller.scope(), start, limit).await;
    let (total, results) = found.map_err(AppError::from)?;
    Ok(Page { total, start, limit, results })
}
