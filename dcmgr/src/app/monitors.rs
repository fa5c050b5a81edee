//! What users want watched of an instance or an interface. Rows: nothing watches yet.

use super::{App, AppError, Caller, once};
use crate::db::{self, Tx};
use arame_schema::api::monitor::MONITORS_MAX;
use arame_schema::api::{Code, Monitor, Refusal, SetMonitor};
use arame_schema::model::{InstanceMonitorId, VifMonitorId};

async fn check_seen(app: &App, caller: &Caller, resource: &str) -> Result<(), Refusal> {
    match resource.split('-').next() {
        Some("i") => super::instances::get(app, caller, resource).await.map(|_| ()),
        _ => super::vifs::get(app, caller, resource).await.map(|_| ()),
    }
}

fn prefix_of(resource: &str) -> &'static str {
    if resource.starts_with("i-") { InstanceMonitorId::PREFIX } else { VifMonitorId::PREFIX }
}

fn new_id(resource: &str) -> String {
    let entropy = once::entropy();
    if resource.starts_with("i-") {
        InstanceMonitorId::from_entropy(entropy).to_string()
    } else {
        VifMonitorId::from_entropy(entropy).to_string()
    }
}

pub async fn list(app: &App, caller: &Caller, resource: &str) -> Result<Vec<Monitor>, Refusal> {
    check_seen(app, caller, resource).await?;
    Ok(db::monitors::of(app.db(), resource).await.map_err(AppError::from)?)
}

pub async fn get(app: &App, caller: &Caller, resource: &str, id: &str) -> Result<Monitor, Refusal> {
    let found = list(app, caller, resource).await?.into_iter().find(|one| one.id == id);
    found.ok_or_else(|| Refusal::unknown(id))
}

/// A monitor whose title and switch are known.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMonitor {
    pub enabled: bool,
    pub title: String,
    pub params: serde_json::Map<String, serde_json::Value>,
}

pub async fn create(app: &App, caller: &Caller, resource: &str, new: NewMonitor) -> Result<Monitor, Refusal> {
    check_seen(app, caller, resource).await?;
    let id = crate::change!(app, "create monitor", Some(caller.request), |tx, _ringing| {
        if let Some(made) = once::made(tx, caller, prefix_of(resource)).await? {
            return Ok(made);
        }
        let id = new_id(resource);
        db::monitors::insert(tx, &id, resource, (new.enabled, &new.title, &new.params)).await?;
        check_count(tx, resource).await?;
        once::keep(tx, caller, "monitor.create", &id).await?;
        Ok(id)
    })?;
    get(app, caller, resource, &id).await
}

async fn check_count(tx: &mut Tx, resource: &str) -> Result<(), AppError> {
    if db::monitors::count(tx, resource).await? <= MONITORS_MAX as u64 {
        return Ok(());
    }
    let refusal = Refusal::new(Code::TooMany).with("id", resource).with("what", "monitors");
    Err(refusal.with("limit", MONITORS_MAX).into())
}

/// These and no others.
pub async fn replace(app: &App, caller: &Caller, resource: &str, all: &[NewMonitor]) -> Result<Vec<Monitor>, Refusal> {
    check_seen(app, caller, resource).await?;
    crate::change!(app, "replace monitors", Some(caller.request), |tx, _ringing| {
        db::monitors::forget(tx, resource).await?;
        for new in all {
            db::monitors::insert(tx, &new_id(resource), resource, (new.enabled, &new.title, &new.params)).await?;
        }
        check_count(tx, resource).await?;
        Ok(db::events::audit(tx, &caller.who(), "monitor.replace", resource).await?)
    })?;
    list(app, caller, resource).await
}

pub async fn update(
    app: &App,
    caller: &Caller,
    resource: &str,
    id: &str,
    change: SetMonitor,
) -> Result<Monitor, Refusal> {
    let old = get(app, caller, resource, id).await?;
    let enabled = change.enabled.unwrap_or(old.enabled);
    let title = change.title.unwrap_or(old.title);
    let params = change.params.unwrap_or(old.params);
    crate::change!(app, "update monitor", Some(caller.request), |tx, _ringing| {
        db::monitors::update(tx, id, (enabled, &title, &params)).await?;
        Ok(db::events::audit(tx, &caller.who(), "monitor.update", id).await?)
    })?;
    get(app, caller, resource, id).await
}

pub async fn delete(app: &App, caller: &Caller, resource: &str, id: &str) -> Result<Vec<String>, Refusal> {
    get(app, caller, resource, id).await?;
    crate::change!(app, "delete monitor", Some(caller.request), |tx, _ringing| {
        db::monitors::delete(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "monitor.delete", id).await?)
    })?;
    Ok(vec![id.to_owned()])
}
