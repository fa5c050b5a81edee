//! Host and storage nodes: registered, named, taken out of placement, and ended when nothing is on them.
//!
//! Rule: a node is ended only while its own row is locked and nothing of it was found: placement locks the same row. Its
//! agent's key is told once and kept as a digest.

pub mod figures;

use super::{App, AppError, Caller, once};
use crate::db;
use crate::db::nodes::NewNode;
use arame_schema::api::{Code, CreateNode, HostNode, ListFilter, NodeFilter, Page, Refusal, StorageNode, UpdateNode};
use arame_schema::model::{AgentId, AgentKind, HostNodeId, StorageNodeId};

/// Random bytes of a join key.
const JOIN_KEY_BYTES: usize = 32;

pub async fn hosts(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<HostNode>, Refusal> {
    hosts_where(app, caller, filter, NodeFilter::default()).await
}

pub async fn hosts_where(
    app: &App,
    _caller: &Caller,
    filter: ListFilter,
    to: NodeFilter,
) -> Result<Page<HostNode>, Refusal> {
    let found = db::nodes::hosts(app.db()).await.map_err(AppError::from)?;
    let is = |wanted: &Option<String>, had: &str| wanted.as_ref().is_none_or(|wanted| wanted == had);
    let wanted = |one: &HostNode| {
        is(&to.node_id, &one.node_id)
            && is(&to.arch, &one.arch)
            && is(&to.hypervisor, &one.hypervisor)
            && is(&to.status, &one.status)
            && to.cpu_cores.is_none_or(|cores| cores == u64::from(one.offering_cpu_cores))
            && to.memory_size.is_none_or(|size| size == one.offering_memory_size)
    };
    super::page(found.into_iter().filter(wanted).collect(), &filter)
}

pub async fn host(app: &App, _caller: &Caller, id: &str) -> Result<HostNode, Refusal> {
    let found = db::nodes::host(app.db(), id).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}

pub async fn storage(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<StorageNode>, Refusal> {
    storage_where(app, caller, filter, NodeFilter::default()).await
}

pub async fn storage_where(
    app: &App,
    _caller: &Caller,
    filter: ListFilter,
    to: NodeFilter,
) -> Result<Page<StorageNode>, Refusal> {
    let found = db::nodes::storage(app.db()).await.map_err(AppError::from)?;
    let is = |wanted: &Option<String>, had: &str| wanted.as_ref().is_none_or(|wanted| wanted == had);
    let wanted = |one: &StorageNode| is(&to.node_id, &one.node_id) && is(&to.status, &one.status);
    super::page(found.into_iter().filter(wanted).collect(), &filter)
}

pub async fn storage_one(app: &App, _caller: &Caller, id: &str) -> Result<StorageNode, Refusal> {
    let found = db::nodes::storage_one(app.db(), id).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}

/// New placements yes or no; what runs there goes on.
pub async fn set_scheduling(app: &App, caller: &Caller, id: &str, enabled: bool) -> Result<(), Refusal> {
    update(app, caller, id, UpdateNode { scheduling_enabled: Some(enabled), ..UpdateNode::default() }).await
}

pub async fn update(app: &App, caller: &Caller, id: &str, change: UpdateNode) -> Result<(), Refusal> {
    crate::change!(app, "update node", Some(caller.request), |tx, _ringing| {
        let mut known = true;
        if let Some(enabled) = change.scheduling_enabled {
            known &= db::nodes::set_scheduling(tx, id, enabled).await?;
        }
        if let Some(name) = &change.display_name {
            known &= db::nodes::set_name(tx, id, name).await?;
        }
        let (cpu, memory, disk) =
            (change.cpu_allocation_percent, change.reserved_memory_size, change.reserved_disk_space_mb);
        if cpu.is_some() || memory.is_some() || disk.is_some() {
            known &= db::nodes::set_room(tx, id, cpu, memory, disk).await?;
        }
        if !known {
            return Err(Refusal::unknown(id).into());
        }
        let verb = if change.scheduling_enabled.is_some() { "node.scheduling" } else { "node.update" };
        Ok(db::events::audit(tx, &caller.who(), verb, id).await?)
    })
    .map_err(Refusal::from)
}

/// Registers a host; its agent joins with the key of the answer.
pub async fn create_host(app: &App, caller: &Caller, request: CreateNode) -> Result<HostNode, Refusal> {
    let new_id = || HostNodeId::from_entropy(once::entropy()).to_string();
    let (id, key) = register(app, caller, &request, (AgentKind::Hva, HostNodeId::PREFIX), new_id).await?;
    let view = host(app, caller, &id).await?;
    Ok(HostNode { join_key: key, ..view })
}

/// Registers a storage node; its agent joins with the key of the answer.
pub async fn create_storage(app: &App, caller: &Caller, request: CreateNode) -> Result<StorageNode, Refusal> {
    let new_id = || StorageNodeId::from_entropy(once::entropy()).to_string();
    let (id, key) = register(app, caller, &request, (AgentKind::Sta, StorageNodeId::PREFIX), new_id).await?;
    let view = storage_one(app, caller, &id).await?;
    Ok(StorageNode { join_key: key, ..view })
}

/// The node's id, and the key when it was made now: one that was told before is not told again.
async fn register(
    app: &App,
    caller: &Caller,
    request: &CreateNode,
    (kind, prefix): (AgentKind, &'static str),
    new_id: impl Fn() -> String,
) -> Result<(String, Option<String>), Refusal> {
    let agent: Option<AgentId> = request.node_id.parse().ok();
    let agent = agent.filter(|agent| agent.kind() == kind).ok_or_else(|| {
        let value: String = request.node_id.chars().take(80).collect();
        let refusal = Refusal::new(Code::InvalidParameter).with("name", "node_id").with("value", value);
        refusal.with("expected", format!("{kind}.[a-z0-9-]+"))
    })?;
    let id = request.id.clone().unwrap_or_else(new_id);
    let mut bytes = [0; JOIN_KEY_BYTES];
    crate::rehearsal::fill_bytes(&mut bytes);
    let key = hex::encode(bytes);
    let digest = db::seed::digest(&key);
    let made = crate::change!(app, "register node", Some(caller.request), |tx, _ringing| {
        if let Some(made) = once::made(tx, caller, prefix).await? {
            return Ok(made);
        }
        if db::nodes::is_known(tx, &id, agent.as_str()).await? {
            return Err(Refusal::new(Code::AlreadyExists).with("id", format!("{id} ({agent})")).into());
        }
        let node = NewNode {
            id: &id,
            agent: &agent,
            key_sha256: &digest,
            display_name: request.display_name.as_deref().unwrap_or_default(),
            scheduling_enabled: request.scheduling_enabled.unwrap_or(true),
        };
        db::nodes::insert(tx, node).await?;
        once::keep(tx, caller, "node.create", &id).await?;
        Ok(id.clone())
    })
    .map_err(|error| once::taken(error, &id))?;
    let is_new = made == id;
    Ok((made, is_new.then_some(key)))
}

/// Ends a host on which no instance is.
pub async fn delete_host(app: &App, caller: &Caller, id: &str) -> Result<(), Refusal> {
    let agent = crate::change!(app, "delete host", Some(caller.request), |tx, _ringing| {
        if !db::nodes::lock_host(tx, id).await? {
            return Err(Refusal::unknown(id).into());
        }
        let mut held = db::instances::on_host(tx, id).await?;
        if !held.is_empty() {
            held.truncate(20);
            return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", held.join(", ")).into());
        }
        let agent = db::nodes::agent_of_host(tx, id).await?.unwrap_or_default();
        db::nodes::delete(tx, id, &agent).await?;
        db::node_groups::forget_member(tx, id).await?;
        db::events::audit(tx, &caller.who(), "node.delete", id).await?;
        Ok(agent)
    })?;
    super::joins::retire(app, &agent).await;
    Ok(())
}

/// Ends a storage node that holds nothing; answers what it was.
pub async fn delete_storage(app: &App, caller: &Caller, id: &str) -> Result<StorageNode, Refusal> {
    let view = storage_one(app, caller, id).await?;
    crate::change!(app, "delete storage node", Some(caller.request), |tx, _ringing| {
        db::nodes::lock_storage(tx, id).await?.ok_or_else(|| Refusal::unknown(id))?;
        let held = db::nodes::held_by_storage(tx, id, &view.node_id).await?;
        if !held.is_empty() {
            return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", held.join(", ")).into());
        }
        db::nodes::delete(tx, id, &view.node_id).await?;
        db::node_groups::forget_member(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "node.delete", id).await?)
    })?;
    super::joins::retire(app, &view.node_id).await;
    Ok(view)
}
