//! `/instances/{id}/monitoring` and `/network_vifs/{id}/monitors`: what is to be watched.

use super::answer::{Answer, Refused};
use super::app;
use super::asked::Asked;
use super::fields::Fields;
use super::instances::NAME_BYTES_MAX;
use app::monitors::NewMonitor;
use arame_schema::api::monitor::MONITORS_MAX;
use arame_schema::api::{Monitor, MonitorItem, Refusal, SetMonitor};
use arame_schema::model::{InstanceId, InstanceMonitorId, VifId, VifMonitorId};
use axum::Json;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Bytes of a monitor's parameters as they are kept (TEXT).
const PARAMS_BYTES_MAX: usize = 16 * 1024;

fn change_of(fields: &mut Fields) -> Result<SetMonitor, Refusal> {
    Ok(SetMonitor {
        enabled: fields.flag("enabled")?,
        title: fields.text_within("title", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
        params: params(fields)?,
    })
}

fn params(fields: &mut Fields) -> Result<Option<Map<String, Value>>, Refusal> {
    let Some(params) = fields.map("params")? else { return Ok(None) };
    let length = serde_json::to_string(&params).map_or(0, |text| text.len());
    if length > PARAMS_BYTES_MAX {
        return Err(fields.invalid("params", length, format!("<= {PARAMS_BYTES_MAX} bytes")));
    }
    Ok(Some(params))
}

fn new_of(fields: &mut Fields) -> Result<NewMonitor, Refusal> {
    let change = change_of(fields)?;
    Ok(NewMonitor {
        enabled: fields.needed("enabled", change.enabled)?,
        title: fields.needed("title", change.title)?,
        params: change.params.unwrap_or_default(),
    })
}

/// The `{monitor}` of the path, of this kind.
fn monitor_id<T: std::str::FromStr>(asked: &Asked, form: &str) -> Result<T, Refused> {
    let text = asked.part("monitor");
    Ok(text.parse().map_err(|_| asked.fields.invalid("monitor", super::fields::short(text), form))?)
}

/// What is to be watched of an instance, by the monitors' ids.
#[utoipa::path(get, path = "/instances/{id}/monitoring", tag = "monitoring",
    responses((status = 200, body = BTreeMap<String, MonitorItem>)))]
pub async fn of_instance(asked: Asked) -> Answer<BTreeMap<String, MonitorItem>> {
    let id: InstanceId = asked.id("i-…")?;
    let found = app::monitors::list(asked.app(), &asked.caller, id.as_str()).await?;
    Ok(Json(found.into_iter().map(|one| (one.id.clone(), one.into())).collect()))
}

/// Add something to be watched of an instance.
#[utoipa::path(post, path = "/instances/{id}/monitoring", tag = "monitoring", request_body = SetMonitor,
    responses((status = 200, body = Monitor)))]
pub async fn add_to_instance(mut asked: Asked) -> Answer<Monitor> {
    let id: InstanceId = asked.id("i-…")?;
    let new = new_of(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let view = app::monitors::create(asked.app(), &asked.caller, id.as_str(), new).await?;
    asked.answer(view)
}

/// One monitor of an instance.
#[utoipa::path(get, path = "/instances/{id}/monitoring/{monitor}", tag = "monitoring",
    params(("monitor" = String, Path)), responses((status = 200, body = MonitorItem)))]
pub async fn one_of_instance(asked: Asked) -> Answer<MonitorItem> {
    let (id, monitor): (InstanceId, InstanceMonitorId) = (asked.id("i-…")?, monitor_id(&asked, "imon-…")?);
    let view = app::monitors::get(asked.app(), &asked.caller, id.as_str(), monitor.as_str()).await?;
    asked.answer(view.into())
}

/// Change a monitor of an instance. What is absent stays.
#[utoipa::path(put, path = "/instances/{id}/monitoring/{monitor}", tag = "monitoring",
    params(("monitor" = String, Path)), request_body = SetMonitor, responses((status = 200, body = MonitorItem)))]
pub async fn update_of_instance(mut asked: Asked) -> Answer<MonitorItem> {
    let (id, monitor): (InstanceId, InstanceMonitorId) = (asked.id("i-…")?, monitor_id(&asked, "imon-…")?);
    let change = change_of(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let view = app::monitors::update(asked.app(), &asked.caller, id.as_str(), monitor.as_str(), change).await?;
    asked.answer(view.into())
}

/// Delete a monitor of an instance.
#[utoipa::path(delete, path = "/instances/{id}/monitoring/{monitor}", tag = "monitoring",
    params(("monitor" = String, Path)), responses((status = 200, body = Vec<String>)))]
pub async fn delete_of_instance(asked: Asked) -> Answer<Vec<String>> {
    let (id, monitor): (InstanceId, InstanceMonitorId) = (asked.id("i-…")?, monitor_id(&asked, "imon-…")?);
    let gone = app::monitors::delete(asked.app(), &asked.caller, id.as_str(), monitor.as_str()).await?;
    asked.answer(gone)
}

/// What is to be watched of an interface.
#[utoipa::path(get, path = "/network_vifs/{id}/monitors", tag = "monitoring",
    responses((status = 200, body = Vec<Monitor>)))]
pub async fn of_vif(asked: Asked) -> Answer<Vec<Monitor>> {
    let id: VifId = asked.id("vif-…")?;
    let found = app::monitors::list(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(found)
}

/// Add something to be watched of an interface. `monitors[n][…]` replaces everything that was watched.
#[utoipa::path(post, path = "/network_vifs/{id}/monitors", tag = "monitoring", request_body = SetMonitor,
    responses((status = 200, body = Vec<Monitor>)))]
pub async fn add_to_vif(mut asked: Asked) -> Answer<Vec<Monitor>> {
    let id: VifId = asked.id("vif-…")?;
    if !asked.fields.has("monitors") {
        let new = new_of(&mut asked.fields)?;
        asked.fields.clone().finish()?;
        let made = app::monitors::create(asked.app(), &asked.caller, id.as_str(), new).await?;
        return asked.answer(vec![made]);
    }
    let all = asked.fields.ordered("monitors")?.iter_mut().map(new_of).collect::<Result<Vec<_>, _>>()?;
    if all.len() > MONITORS_MAX {
        return Err(asked.fields.invalid("monitors", all.len(), format!("<= {MONITORS_MAX}")).into());
    }
    asked.fields.clone().finish()?;
    let made = app::monitors::replace(asked.app(), &asked.caller, id.as_str(), &all).await?;
    asked.answer(made)
}

/// One monitor of an interface.
#[utoipa::path(get, path = "/network_vifs/{id}/monitors/{monitor}", tag = "monitoring",
    params(("monitor" = String, Path)), responses((status = 200, body = Monitor)))]
pub async fn one_of_vif(asked: Asked) -> Answer<Monitor> {
    let (id, monitor): (VifId, VifMonitorId) = (asked.id("vif-…")?, monitor_id(&asked, "nwm-…")?);
    let view = app::monitors::get(asked.app(), &asked.caller, id.as_str(), monitor.as_str()).await?;
    asked.answer(view)
}

/// Change a monitor of an interface. What is absent stays.
#[utoipa::path(put, path = "/network_vifs/{id}/monitors/{monitor}", tag = "monitoring",
    params(("monitor" = String, Path)), request_body = SetMonitor, responses((status = 200, body = Monitor)))]
pub async fn update_of_vif(mut asked: Asked) -> Answer<Monitor> {
    let (id, monitor): (VifId, VifMonitorId) = (asked.id("vif-…")?, monitor_id(&asked, "nwm-…")?);
    let change = change_of(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let view = app::monitors::update(asked.app(), &asked.caller, id.as_str(), monitor.as_str(), change).await?;
    asked.answer(view)
}

/// Delete a monitor of an interface.
#[utoipa::path(delete, path = "/network_vifs/{id}/monitors/{monitor}", tag = "monitoring",
    params(("monitor" = String, Path)), responses((status = 200, body = Vec<String>)))]
pub async fn delete_of_vif(asked: Asked) -> Answer<Vec<String>> {
    let (id, monitor): (VifId, VifMonitorId) = (asked.id("vif-…")?, monitor_id(&asked, "nwm-…")?);
    let gone = app::monitors::delete(asked.app(), &asked.caller, id.as_str(), monitor.as_str()).await?;
    asked.answer(gone)
}
