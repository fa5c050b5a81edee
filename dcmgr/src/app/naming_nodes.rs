//! Naming services as the data center's operators see them: shown, closed and opened, and ended when they are gone for good.
//!
//! Rule: one that is closed keeps a network until others serve it. One that is heard is not ended: what it answers would be
//! nobody's.

use super::{App, AppError, Caller, networks};
use crate::db;
use arame_schema::api::{Code, ListFilter, NamingNode, Page, Refusal};

pub async fn list(app: &App, _caller: &Caller, filter: ListFilter) -> Result<Page<NamingNode>, Refusal> {
    let found = db::networks::naming::nodes(app.db()).await.map_err(AppError::from)?;
    super::page(found, &filter)
}

pub async fn get(app: &App, _caller: &Caller, id: &str) -> Result<NamingNode, Refusal> {
    let found = db::networks::naming::nodes(app.db()).await.map_err(AppError::from)?;
    found.into_iter().find(|node| node.id == id).ok_or_else(|| Refusal::unknown(id))
}

/// Whether it takes networks; one that takes none gives its own to others.
pub async fn set_scheduling(app: &App, caller: &Caller, id: &str, enabled: bool) -> Result<NamingNode, Refusal> {
    crate::change!(app, "naming node", Some(caller.request), |tx, _ringing| {
        if !db::networks::naming::set_enabled(tx, id, enabled).await? {
            return Err(Refusal::unknown(id).into());
        }
        Ok(db::events::audit(tx, &caller.who(), "node.scheduling", id).await?)
    })?;
    networks::naming::tend_now(app).await?;
    get(app, caller, id).await
}

/// Ends one that is not heard. Its networks are given to others; its process is refused from now on.
pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<NamingNode, Refusal> {
    let view = get(app, caller, id).await?;
    crate::change!(app, "delete naming node", Some(caller.request), |tx, _ringing| {
        let row = db::agents::lock(tx, id).await?.filter(|row| row.kind == "nsa");
        let row = row.ok_or_else(|| Refusal::unknown(id))?;
        if row.online {
            return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", &row.node).into());
        }
        db::networks::naming::end_agent(tx, id).await?;
        db::nodes::end_agent(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "node.delete", id).await?)
    })?;
    networks::naming::tend_now(app).await?;
    super::joins::retire(app, id).await;
    Ok(view)
}
