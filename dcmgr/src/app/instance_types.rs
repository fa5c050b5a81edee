//! The named sizes of machines.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{InstanceType, ListFilter, Page, Refusal};

pub async fn list(app: &App, _caller: &Caller, filter: ListFilter) -> Result<Page<InstanceType>, Refusal> {
    let found = db::access::instance_types(app.db()).await.map_err(AppError::from)?;
    Ok(super::page(found, &filter))
}
