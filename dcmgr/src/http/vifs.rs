//! `/network_vifs`: interfaces by themselves.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::list::{self, ListQuery};
use app::vifs::Turn;
use arame_schema::api::{BindAddress, ChangeSecurityGroup, ExternalAddress, NetworkVif, Page};
use arame_schema::model::{IpHandleId, SecurityGroupId, VifId};

const ID: &str = "vif-…";

/// List network interfaces.
#[utoipa::path(get, path = "/network_vifs", tag = "network vifs", params(ListQuery),
    responses((status = 200, body = Page<NetworkVif>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<NetworkVif>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::networks::vifs(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show a network interface.
#[utoipa::path(get, path = "/network_vifs/{id}", tag = "network vifs", responses((status = 200, body = NetworkVif)))]
pub async fn get(asked: Asked) -> Answer<NetworkVif> {
    let id: VifId = asked.id(ID)?;
    let view = app::vifs::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Put an interface into a security group. Its firewall changes at once.
#[utoipa::path(put, path = "/network_vifs/{id}/add_security_group", tag = "network vifs",
    request_body = ChangeSecurityGroup, responses((status = 200, body = NetworkVif)))]
pub async fn add_group(asked: Asked) -> Answer<NetworkVif> {
    change_group(asked, Turn::Add).await
}

/// Take an interface out of a security group. Its firewall changes at once.
#[utoipa::path(put, path = "/network_vifs/{id}/remove_security_group", tag = "network vifs",
    request_body = ChangeSecurityGroup, responses((status = 200, body = NetworkVif)))]
pub async fn remove_group(asked: Asked) -> Answer<NetworkVif> {
    change_group(asked, Turn::Remove).await
}

async fn change_group(mut asked: Asked, turn: Turn) -> Answer<NetworkVif> {
    let id: VifId = asked.id(ID)?;
    let group = asked.fields.parsed::<SecurityGroupId>("security_group_id", "sg-…")?;
    let group = asked.fields.needed("security_group_id", group)?;
    asked.fields.clone().finish()?;
    let view = app::vifs::change_group(asked.app(), &asked.caller, id.as_str(), group.as_str(), turn).await?;
    asked.answer(view)
}

/// External addresses of an interface: one, or none.
#[utoipa::path(get, path = "/network_vifs/{id}/external_ip", tag = "network vifs",
    responses((status = 200, body = Vec<ExternalAddress>)))]
pub async fn external_addresses(asked: Asked) -> Answer<Vec<ExternalAddress>> {
    let id: VifId = asked.id(ID)?;
    let found = app::networks::outside::list(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(found)
}

fn handle_of(asked: &mut Asked) -> Result<(VifId, IpHandleId), super::answer::Refused> {
    let id: VifId = asked.id(ID)?;
    let handle = asked.fields.parsed::<IpHandleId>("ip_handle_id", "ip-…")?;
    let handle = asked.fields.needed("ip_handle_id", handle)?;
    // The original's; it never did anything.
    asked.fields.text("ip_handle_filter")?;
    asked.fields.clone().finish()?;
    Ok((id, handle))
}

/// Give an interface the address of a handle as its external one, 1:1.
#[utoipa::path(post, path = "/network_vifs/{id}/external_ip", tag = "network vifs", request_body = BindAddress,
    responses((status = 200, body = ExternalAddress)))]
pub async fn add_external_address(mut asked: Asked) -> Answer<ExternalAddress> {
    let (id, handle) = handle_of(&mut asked)?;
    let view = app::networks::outside::bind(asked.app(), &asked.caller, id.as_str(), handle.as_str()).await?;
    asked.answer(view)
}

/// Take an external address from an interface; the handle keeps it.
#[utoipa::path(delete, path = "/network_vifs/{id}/external_ip", tag = "network vifs", request_body = BindAddress,
    responses((status = 200, body = Vec<ExternalAddress>)))]
pub async fn remove_external_address(mut asked: Asked) -> Answer<Vec<ExternalAddress>> {
    let (id, handle) = handle_of(&mut asked)?;
    let left = app::networks::outside::unbind(asked.app(), &asked.caller, id.as_str(), handle.as_str()).await?;
    asked.answer(left)
}
