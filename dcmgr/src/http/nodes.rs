//! `/host_nodes` and `/storage_nodes`: the inside of the data center, for its operators.

use super::answer::{Answer, Refused};
use super::app;
use super::asked::Asked;
use super::list::{self, ListQuery};
use arame_schema::api::{HostNode, Page, SetScheduling, StorageNode};
use arame_schema::model::{HostNodeId, StorageNodeId};

/// List hypervisor hosts.
#[utoipa::path(get, path = "/host_nodes", tag = "nodes", params(ListQuery),
    responses((status = 200, body = Page<HostNode>)))]
pub async fn hosts(mut asked: Asked) -> Answer<[Page<HostNode>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::nodes::hosts(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show a hypervisor host.
#[utoipa::path(get, path = "/host_nodes/{id}", tag = "nodes", responses((status = 200, body = HostNode)))]
pub async fn host(asked: Asked) -> Answer<HostNode> {
    let id: HostNodeId = asked.id("hn-…")?;
    let view = app::nodes::host(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Let a host take new instances, or not. What runs there goes on.
#[utoipa::path(put, path = "/host_nodes/{id}", tag = "nodes", request_body = SetScheduling,
    responses((status = 200, body = HostNode)))]
pub async fn set_host(mut asked: Asked) -> Answer<HostNode> {
    let id: HostNodeId = asked.id("hn-…")?;
    let enabled = scheduling(&mut asked)?;
    app::nodes::set_scheduling(asked.app(), &asked.caller, id.as_str(), enabled).await?;
    let view = app::nodes::host(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// List storage nodes.
#[utoipa::path(get, path = "/storage_nodes", tag = "nodes", params(ListQuery),
    responses((status = 200, body = Page<StorageNode>)))]
pub async fn storage(mut asked: Asked) -> Answer<[Page<StorageNode>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::nodes::storage(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show a storage node.
#[utoipa::path(get, path = "/storage_nodes/{id}", tag = "nodes", responses((status = 200, body = StorageNode)))]
pub async fn storage_one(asked: Asked) -> Answer<StorageNode> {
    let id: StorageNodeId = asked.id("sn-…")?;
    let view = app::nodes::storage_one(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Let a storage node take new volumes, or not.
#[utoipa::path(put, path = "/storage_nodes/{id}", tag = "nodes", request_body = SetScheduling,
    responses((status = 200, body = StorageNode)))]
pub async fn set_storage(mut asked: Asked) -> Answer<StorageNode> {
    let id: StorageNodeId = asked.id("sn-…")?;
    let enabled = scheduling(&mut asked)?;
    app::nodes::set_scheduling(asked.app(), &asked.caller, id.as_str(), enabled).await?;
    let view = app::nodes::storage_one(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

fn scheduling(asked: &mut Asked) -> Result<bool, Refused> {
    let enabled = asked.fields.flag("scheduling_enabled")?;
    let enabled = asked.fields.needed("scheduling_enabled", enabled)?;
    asked.fields.clone().finish()?;
    Ok(enabled)
}
