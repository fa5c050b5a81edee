//! Groups of hosts (hng-…), networks (nwg-…) and storage nodes (sng-…).
//!
//! Rule: a group names only what is there. A group of hosts may hold instances that asked for it, and says which of its hosts
//! is taken first; the others decide nothing.

use super::{App, AppError, Caller, once};
use crate::db;
use arame_schema::api::node_group::GROUP_MEMBERS_MAX;
use arame_schema::api::{Code, CreateNodeGroup, ListFilter, NodeGroup, Page, Refusal, UpdateNodeGroup};
use arame_schema::model::{HostNodeGroupId, NetworkGroupId, StorageNodeGroupId};

/// What a group holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Hosts,
    Networks,
    Storage,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Kind::Hosts => HostNodeGroupId::PREFIX,
            Kind::Networks => NetworkGroupId::PREFIX,
            Kind::Storage => StorageNodeGroupId::PREFIX,
        }
    }

    fn new_id(self) -> String {
        let entropy = once::entropy();
        match self {
            Kind::Hosts => HostNodeGroupId::from_entropy(entropy).to_string(),
            Kind::Networks => NetworkGroupId::from_entropy(entropy).to_string(),
            Kind::Storage => StorageNodeGroupId::from_entropy(entropy).to_string(),
        }
    }
}

pub async fn list(
    app: &App,
    caller: &Caller,
    kind: Kind,
    filter: ListFilter,
    name: Option<&str>,
) -> Result<Page<NodeGroup>, Refusal> {
    let found = db::node_groups::list(app.db(), kind.prefix(), caller.scope()).await.map_err(AppError::from)?;
    super::page(found.into_iter().filter(|one| name.is_none_or(|name| one.name == name)).collect(), &filter)
}

pub async fn get(app: &App, caller: &Caller, kind: Kind, id: &str) -> Result<NodeGroup, Refusal> {
    let found = db::node_groups::list(app.db(), kind.prefix(), caller.scope()).await.map_err(AppError::from)?;
    found.into_iter().find(|one| one.id == id).ok_or_else(|| Refusal::unknown(id))
}

pub async fn create(app: &App, caller: &Caller, kind: Kind, request: CreateNodeGroup) -> Result<NodeGroup, Refusal> {
    once::check_choice(caller, request.id.as_ref())?;
    let account = caller.owner()?.to_owned();
    let id = request.id.clone().unwrap_or_else(|| kind.new_id());
    let made = crate::change!(app, "create group", Some(caller.request), |tx, _ringing| {
        if let Some(made) = once::made(tx, caller, kind.prefix()).await? {
            return Ok(made);
        }
        db::node_groups::insert(tx, &id, &account, kind.prefix(), &request.name, &request.attributes).await?;
        once::keep(tx, caller, "node_group.create", &id).await?;
        Ok(id.clone())
    })
    .map_err(|error| once::taken(error, &id))?;
    get(app, caller, kind, &made).await
}

pub async fn update(
    app: &App,
    caller: &Caller,
    kind: Kind,
    id: &str,
    request: UpdateNodeGroup,
) -> Result<NodeGroup, Refusal> {
    let members = match kind {
        Kind::Hosts => request.host_nodes,
        Kind::Networks => request.networks,
        Kind::Storage => request.storage_nodes,
    };
    if members.as_ref().is_some_and(|members| members.len() > GROUP_MEMBERS_MAX) {
        let refusal = Refusal::new(Code::TooMany).with("id", id).with("what", "members");
        return Err(refusal.with("limit", GROUP_MEMBERS_MAX));
    }
    crate::change!(app, "update group", Some(caller.request), |tx, _ringing| {
        let group = db::node_groups::lock(tx, id, caller.scope()).await?;
        let mut group = group.ok_or_else(|| Refusal::unknown(id))?;
        if let Some(members) = &members {
            let mut kept: Vec<String> = Vec::with_capacity(members.len());
            for member in members {
                if !db::node_groups::member_exists(tx, kind.prefix(), member, caller.scope()).await? {
                    return Err(Refusal::unknown(member).into());
                }
                if !kept.contains(member) {
                    kept.push(member.clone());
                }
            }
            group.mapped_uuids = kept;
        }
        group.name = request.name.clone().unwrap_or(group.name);
        group.attributes = request.attributes.clone().unwrap_or(group.attributes);
        if let Some(weight) = &request.placement_weight {
            group.placement_weight = Some(weight.clone()).filter(|weight| !weight.is_empty());
        }
        db::node_groups::update(tx, &group).await?;
        Ok(db::events::audit(tx, &caller.who(), "node_group.update", id).await?)
    })?;
    get(app, caller, kind, id).await
}

pub async fn delete(app: &App, caller: &Caller, kind: Kind, id: &str) -> Result<Vec<String>, Refusal> {
    get(app, caller, kind, id).await?;
    crate::change!(app, "delete group", Some(caller.request), |tx, _ringing| {
        db::node_groups::lock(tx, id, caller.scope()).await?.ok_or_else(|| Refusal::unknown(id))?;
        let bound = db::instances::company::bound_to(tx, id).await?;
        if !bound.is_empty() {
            return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", bound.join(", ")).into());
        }
        db::node_groups::delete(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "node_group.delete", id).await?)
    })?;
    Ok(vec![id.to_owned()])
}
