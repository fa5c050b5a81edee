//! Host and storage nodes.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{HostNode, ListFilter, Page, Refusal, StorageNode};

pub async fn hosts(app: &App, _caller: &Caller, filter: ListFilter) -> Result<Page<HostNode>, Refusal> {
    let found = db::nodes::hosts(app.db()).await.map_err(AppError::from)?;
    Ok(super::page(found, &filter))
}

pub async fn host(app: &App, _caller: &Caller, id: &str) -> Result<HostNode, Refusal> {
    let found = db::nodes::host(app.db(), id).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}

pub async fn storage(app: &App, _caller: &Caller, filter: ListFilter) -> Result<Page<StorageNode>, Refusal> {
    let found = db::nodes::storage(app.db()).await.map_err(AppError::from)?;
    Ok(super::page(found, &filter))
}

pub async fn storage_one(app: &App, _caller: &Caller, id: &str) -> Result<StorageNode, Refusal> {
    let found = db::nodes::storage_one(app.db(), id).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}

/// New placements yes or no; what runs there goes on.
pub async fn set_scheduling(app: &App, caller: &Caller, id: &str, enabled: bool) -> Result<(), Refusal> {
    crate::change!(app, "set scheduling", Some(caller.request), |tx, _ringing| {
        if !db::nodes::set_scheduling(tx, id, enabled).await? {
            return Err(Refusal::unknown(id).into());
        }
        db::events::audit(tx, &caller.who(), "node.scheduling", id).await?;
        Ok(())
    })?;
    Ok(())
}
