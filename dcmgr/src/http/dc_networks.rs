//! `/dc_networks`: the physical networks that offer segments.

use super::answer::{Answer, Refused};
use super::app;
use super::asked::Asked;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use app::dc_networks::Offer;
use arame_schema::api::{CreateDcNetwork, DcNetwork, OfferingModes, Page, UpdateDcNetwork};
use arame_schema::model::DcNetworkId;

const ID: &str = "dcn-…";

/// List dc networks.
#[utoipa::path(get, path = "/dc_networks", tag = "dc networks",
    params(ListQuery, ("name" = Option<String>, Query, description = "Exactly this name.")),
    responses((status = 200, body = Page<DcNetwork>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<DcNetwork>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let name = asked.fields.text_within("name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty());
    let page = app::dc_networks::list(asked.app(), &asked.caller, filter, name.as_deref()).await?;
    asked.page(page)
}

/// Show a dc network.
#[utoipa::path(get, path = "/dc_networks/{id}", tag = "dc networks", responses((status = 200, body = DcNetwork)))]
pub async fn get(asked: Asked) -> Answer<DcNetwork> {
    let id: DcNetworkId = asked.id(ID)?;
    let view = app::dc_networks::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Register a dc network.
#[utoipa::path(post, path = "/dc_networks", tag = "dc networks", request_body = CreateDcNetwork,
    responses((status = 200, body = DcNetwork)))]
pub async fn create(mut asked: Asked) -> Answer<DcNetwork> {
    let fields = &mut asked.fields;
    let name = fields.text_within("name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty());
    let tag = |number: Option<u64>| number.map(|number| number as u16);
    let request = CreateDcNetwork {
        id: fields.parsed("id", ID)?,
        name: fields.needed("name", name)?,
        description: fields.text_within("description", NAME_BYTES_MAX)?.unwrap_or_default(),
        allow_new_networks: fields.flag("allow_new_networks")?.unwrap_or_default(),
        vlan_first: tag(fields.number("vlan_first", 1..=4094)?),
        vlan_last: tag(fields.number("vlan_last", 1..=4094)?),
    };
    asked.fields.clone().finish()?;
    let view = app::dc_networks::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Change a dc network. What is absent stays.
#[utoipa::path(put, path = "/dc_networks/{id}", tag = "dc networks", request_body = UpdateDcNetwork,
    responses((status = 200, body = DcNetwork)))]
pub async fn update(mut asked: Asked) -> Answer<DcNetwork> {
    let id: DcNetworkId = asked.id(ID)?;
    let request = UpdateDcNetwork {
        name: asked.fields.text_within("name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
        description: asked.fields.text_within("description", NAME_BYTES_MAX)?,
        allow_new_networks: asked.fields.flag("allow_new_networks")?,
    };
    asked.fields.clone().finish()?;
    let view = app::dc_networks::update(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(view)
}

/// Delete a dc network in which no network is.
#[utoipa::path(delete, path = "/dc_networks/{id}", tag = "dc networks", responses((status = 200, body = Vec<String>)))]
pub async fn delete(asked: Asked) -> Answer<Vec<String>> {
    let id: DcNetworkId = asked.id(ID)?;
    let gone = app::dc_networks::delete(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(gone)
}

/// Modes in which networks may be made.
#[utoipa::path(get, path = "/dc_networks/{id}/offering_modes", tag = "dc networks",
    responses((status = 200, body = Vec<String>)))]
pub async fn modes(asked: Asked) -> Answer<Vec<String>> {
    let id: DcNetworkId = asked.id(ID)?;
    let view = app::dc_networks::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view.offering_network_modes)
}

/// Offer modes.
#[utoipa::path(put, path = "/dc_networks/{id}/offering_modes/add", tag = "dc networks", request_body = OfferingModes,
    responses((status = 200, body = Vec<String>)))]
pub async fn add_modes(asked: Asked) -> Answer<Vec<String>> {
    offer(asked, Offer::Add).await
}

/// Offer modes no more. Networks that are there stay.
#[utoipa::path(put, path = "/dc_networks/{id}/offering_modes/delete", tag = "dc networks",
    request_body = OfferingModes, responses((status = 200, body = Vec<String>)))]
pub async fn delete_modes(asked: Asked) -> Answer<Vec<String>> {
    offer(asked, Offer::Delete).await
}

async fn offer(mut asked: Asked, offer: Offer) -> Result<axum::Json<Vec<String>>, Refused> {
    let id: DcNetworkId = asked.id(ID)?;
    let modes: Vec<String> = asked.fields.list("mode", "passthrough | securitygroup | l2overlay")?;
    asked.fields.needed("mode", modes.first())?;
    asked.fields.clone().finish()?;
    let offered = app::dc_networks::offer(asked.app(), &asked.caller, id.as_str(), &modes, offer).await?;
    asked.answer(offered)
}
