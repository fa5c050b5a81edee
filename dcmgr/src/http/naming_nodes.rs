//! `/naming_nodes`: the agents that answer DHCP and DNS, for the data center's operators.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::list::{self, ListQuery};
use arame_schema::api::{NamingNode, Page, SetNamingNode};
use arame_schema::model::AgentId;

const ID: &str = "nsa.…";

/// List naming services.
#[utoipa::path(get, path = "/naming_nodes", tag = "nodes", params(ListQuery),
    responses((status = 200, body = Page<NamingNode>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<NamingNode>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::naming_nodes::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show a naming service.
#[utoipa::path(get, path = "/naming_nodes/{id}", tag = "nodes", responses((status = 200, body = NamingNode)))]
pub async fn get(asked: Asked) -> Answer<NamingNode> {
    let id: AgentId = asked.id(ID)?;
    let view = app::naming_nodes::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Let a naming service have networks, or not: those of one that may not are given to others.
#[utoipa::path(put, path = "/naming_nodes/{id}", tag = "nodes", request_body = SetNamingNode,
    responses((status = 200, body = NamingNode)))]
pub async fn set(mut asked: Asked) -> Answer<NamingNode> {
    let id: AgentId = asked.id(ID)?;
    let enabled = asked.fields.flag("scheduling_enabled")?;
    let enabled = asked.fields.needed("scheduling_enabled", enabled)?;
    asked.fields.clone().finish()?;
    let view = app::naming_nodes::set_scheduling(asked.app(), &asked.caller, id.as_str(), enabled).await?;
    asked.answer(view)
}

/// End a naming service that is not heard any more. Its agent is refused from now on.
#[utoipa::path(delete, path = "/naming_nodes/{id}", tag = "nodes", responses((status = 200, body = NamingNode)))]
pub async fn delete(asked: Asked) -> Answer<NamingNode> {
    let id: AgentId = asked.id(ID)?;
    let view = app::naming_nodes::delete(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}
