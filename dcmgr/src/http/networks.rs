//! `/networks` and `/network_vifs`: subnets on segments, and the interfaces in them.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::list::{self, ListQuery};
use arame_schema::api::{Network, NetworkVif, Page};
use arame_schema::model::NetworkId;

/// List networks.
#[utoipa::path(get, path = "/networks", tag = "networks", params(ListQuery),
    responses((status = 200, body = Page<Network>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<Network>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::networks::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show a network.
#[utoipa::path(get, path = "/networks/{id}", tag = "networks", responses((status = 200, body = Network)))]
pub async fn get(asked: Asked) -> Answer<Network> {
    let id: NetworkId = asked.id("nw-…")?;
    let view = app::networks::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// List network interfaces.
#[utoipa::path(get, path = "/network_vifs", tag = "networks", params(ListQuery),
    responses((status = 200, body = Page<NetworkVif>)))]
pub async fn vifs(mut asked: Asked) -> Answer<[Page<NetworkVif>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::networks::vifs(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}
