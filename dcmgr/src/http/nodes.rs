//! `/host_nodes` and `/storage_nodes`: the inside of the data center, for its operators.

use super::answer::{Answer, Refused};
use super::app;
use super::asked::Asked;
use super::fields::Fields;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use arame_schema::api::{
    CreateNode, DeclareLost, HostLoss, HostNode, NodeFilter, NodeUsage, Page, Refusal, StorageNode, UpdateNode,
};
use arame_schema::model::{AgentId, HostNodeId, StorageNodeId};
use axum::Json;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use utoipa::IntoParams;

/// Virtual CPUs for each hundred real ones: less than one for one, or more than 64, helps nobody.
const CPU_ALLOCATION_PERCENT: RangeInclusive<u64> = 100..=6_400;

/// What a host may keep: a pebibyte's worth, so that a slip is told.
const MIB: RangeInclusive<u64> = 0..=1 << 30;

/// List hypervisor hosts.
#[utoipa::path(get, path = "/host_nodes", tag = "nodes", params(ListQuery, NodeQuery),
    responses((status = 200, body = Page<HostNode>)))]
pub async fn hosts(mut asked: Asked) -> Answer<[Page<HostNode>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let to = node_filter(&mut asked.fields)?;
    let page = app::nodes::hosts_where(asked.app(), &asked.caller, filter, to).await?;
    asked.page(page)
}

/// Show a hypervisor host.
#[utoipa::path(get, path = "/host_nodes/{id}", tag = "nodes", responses((status = 200, body = HostNode)))]
pub async fn host(asked: Asked) -> Answer<HostNode> {
    let id: HostNodeId = asked.id("hn-…")?;
    let view = app::nodes::host(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// What a host itself is busy with, now and in the last hour.
#[utoipa::path(get, path = "/host_nodes/{id}/usage", tag = "nodes", responses((status = 200, body = NodeUsage)))]
pub async fn host_usage(asked: Asked) -> Answer<NodeUsage> {
    let id: HostNodeId = asked.id("hn-…")?;
    let view = app::nodes::figures::of_host(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Name a host; let it take new instances, or not; say what it promises and keeps. What runs there goes on.
#[utoipa::path(put, path = "/host_nodes/{id}", tag = "nodes", request_body = UpdateNode,
    responses((status = 200, body = HostNode)))]
pub async fn set_host(mut asked: Asked) -> Answer<HostNode> {
    let id: HostNodeId = asked.id("hn-…")?;
    let fields = &mut asked.fields;
    let room = UpdateNode {
        cpu_allocation_percent: fields.number("cpu_allocation_percent", CPU_ALLOCATION_PERCENT)?.map(|n| n as u32),
        reserved_memory_size: fields.number("reserved_memory_size", MIB)?,
        reserved_disk_space_mb: fields.number("reserved_disk_space_mb", MIB)?,
        ..UpdateNode::default()
    };
    let change = change_of(&mut asked, room)?;
    app::nodes::update(asked.app(), &asked.caller, id.as_str(), change).await?;
    let view = app::nodes::host(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Declare a silent host lost: its volumes are fenced and freed, its machines are told as lost or made anew elsewhere. With
/// `plan=true` only say what would become of what. What runs on the host, runs on: cut its power first.
#[utoipa::path(put, path = "/host_nodes/{id}/declare_lost", tag = "nodes", request_body = DeclareLost,
    params(("plan" = Option<bool>, Query, description = "Answer what would be lost and freed, and do nothing.")),
    responses((status = 200, body = HostLoss)))]
pub async fn declare_lost(mut asked: Asked) -> Answer<HostLoss> {
    let id: HostNodeId = asked.id("hn-…")?;
    let plan = asked.fields.flag("plan")?.unwrap_or(false);
    let request = DeclareLost { confirm: asked.fields.text_within("confirm", 63)? };
    asked.fields.clone().finish()?;
    let told = if plan {
        app::losses::plan(asked.app(), &asked.caller, id.as_str()).await?
    } else {
        app::losses::declare(asked.app(), &asked.caller, id.as_str(), request).await?
    };
    asked.answer(told)
}

/// List storage nodes.
#[utoipa::path(get, path = "/storage_nodes", tag = "nodes", params(ListQuery, NodeQuery),
    responses((status = 200, body = Page<StorageNode>)))]
pub async fn storage(mut asked: Asked) -> Answer<[Page<StorageNode>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let to = node_filter(&mut asked.fields)?;
    let page = app::nodes::storage_where(asked.app(), &asked.caller, filter, to).await?;
    asked.page(page)
}

/// Show a storage node.
#[utoipa::path(get, path = "/storage_nodes/{id}", tag = "nodes", responses((status = 200, body = StorageNode)))]
pub async fn storage_one(asked: Asked) -> Answer<StorageNode> {
    let id: StorageNodeId = asked.id("sn-…")?;
    let view = app::nodes::storage_one(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// What a storage node itself is busy with, now and in the last hour.
#[utoipa::path(get, path = "/storage_nodes/{id}/usage", tag = "nodes", responses((status = 200, body = NodeUsage)))]
pub async fn storage_usage(asked: Asked) -> Answer<NodeUsage> {
    let id: StorageNodeId = asked.id("sn-…")?;
    let view = app::nodes::figures::of_storage(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Name a storage node; let it take new volumes, or not.
#[utoipa::path(put, path = "/storage_nodes/{id}", tag = "nodes", request_body = UpdateNode,
    responses((status = 200, body = StorageNode)))]
pub async fn set_storage(mut asked: Asked) -> Answer<StorageNode> {
    let id: StorageNodeId = asked.id("sn-…")?;
    let change = change_of(&mut asked, UpdateNode::default())?;
    app::nodes::update(asked.app(), &asked.caller, id.as_str(), change).await?;
    let view = app::nodes::storage_one(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Register a host. Its agent joins with the key of this answer, which is nowhere else.
#[utoipa::path(post, path = "/host_nodes", tag = "nodes", request_body = CreateNode,
    responses((status = 200, body = HostNode)))]
pub async fn create_host(mut asked: Asked) -> Answer<HostNode> {
    let id: Option<HostNodeId> = asked.fields.parsed("id", "hn-…")?;
    let request = create_node(&mut asked, id.map(String::from), "hva.h1")?;
    let view = app::nodes::create_host(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Delete a host on which no instance is. Its agent is refused from now on.
#[utoipa::path(delete, path = "/host_nodes/{id}", tag = "nodes",
    responses((status = 200, description = "`{uuid}`", body = BTreeMap<String, String>)))]
pub async fn delete_host(asked: Asked) -> Result<Json<BTreeMap<String, String>>, Refused> {
    let id: HostNodeId = asked.id("hn-…")?;
    app::nodes::delete_host(asked.app(), &asked.caller, id.as_str()).await?;
    Ok(Json(BTreeMap::from([("uuid".to_owned(), id.to_string())])))
}

/// Register a storage node. Its agent joins with the key of this answer, which is nowhere else.
#[utoipa::path(post, path = "/storage_nodes", tag = "nodes", request_body = CreateNode,
    responses((status = 200, body = StorageNode)))]
pub async fn create_storage(mut asked: Asked) -> Answer<StorageNode> {
    let id: Option<StorageNodeId> = asked.fields.parsed("id", "sn-…")?;
    let request = create_node(&mut asked, id.map(String::from), "sta.s1")?;
    let view = app::nodes::create_storage(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Delete a storage node that holds nothing. Its agent is refused from now on.
#[utoipa::path(delete, path = "/storage_nodes/{id}", tag = "nodes", responses((status = 200, body = StorageNode)))]
pub async fn delete_storage(asked: Asked) -> Answer<StorageNode> {
    let id: StorageNodeId = asked.id("sn-…")?;
    let view = app::nodes::delete_storage(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// For the OpenAPI document; what is read is in [`node_filter`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
pub struct NodeQuery {
    /// Of this agent: `hva.h1`.
    node_id: Option<String>,
    /// Hosts only, as the three below.
    arch: Option<String>,
    hypervisor: Option<String>,
    cpu_cores: Option<u64>,
    /// MiB.
    memory_size: Option<u64>,
    /// `online`, `offline` or, of hosts, `lost`.
    status: Option<String>,
}

fn node_filter(fields: &mut Fields) -> Result<NodeFilter, Refusal> {
    let mut text = |name: &str| Ok::<_, Refusal>(fields.text_within(name, 64)?.filter(|text| !text.is_empty()));
    let (node_id, arch, hypervisor, status) = (text("node_id")?, text("arch")?, text("hypervisor")?, text("status")?);
    if let Some(word) = status.as_deref().filter(|word| !["online", "offline", "lost"].contains(word)) {
        return Err(fields.invalid("status", super::fields::short(word), "online | offline | lost"));
    }
    let any = 0..=u64::MAX >> 1;
    Ok(NodeFilter {
        node_id,
        arch,
        hypervisor,
        cpu_cores: fields.number("cpu_cores", any.clone())?,
        memory_size: fields.number("memory_size", any)?,
        status,
    })
}

fn create_node(asked: &mut Asked, id: Option<String>, form: &str) -> Result<CreateNode, Refused> {
    let fields = &mut asked.fields;
    let node_id: Option<AgentId> = fields.parsed("node_id", form)?;
    let request = CreateNode {
        id,
        node_id: fields.needed("node_id", node_id)?.to_string(),
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
        scheduling_enabled: fields.flag("scheduling_enabled")?,
    };
    asked.fields.clone().finish()?;
    Ok(request)
}

fn change_of(asked: &mut Asked, room: UpdateNode) -> Result<UpdateNode, Refused> {
    let change = UpdateNode {
        scheduling_enabled: asked.fields.flag("scheduling_enabled")?,
        display_name: asked.fields.text_within("display_name", NAME_BYTES_MAX)?,
        ..room
    };
    if change == UpdateNode::default() {
        asked.fields.needed("scheduling_enabled", None::<()>)?;
    }
    asked.fields.clone().finish()?;
    Ok(change)
}
