//! `/ip_pools` and `/ip_handles`: addresses that are held by a name.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use arame_schema::api::ip_pool::HANDLE_SECONDS_MAX;
use arame_schema::api::{
    AcquireAddress, AcquiredAddress, CreateIpPool, ExpireHandle, IpHandle, IpPool, Nothing, Page, ReleaseAddress,
};
use arame_schema::model::{IpHandleId, IpPoolId, NetworkId};

const ID: &str = "ipp-…";

const HANDLE_ID: &str = "ip-…";

/// List IP pools.
#[utoipa::path(get, path = "/ip_pools", tag = "ip pools", params(ListQuery),
    responses((status = 200, body = Page<IpPool>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<IpPool>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::ip_pools::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show an IP pool.
#[utoipa::path(get, path = "/ip_pools/{id}", tag = "ip pools", responses((status = 200, body = IpPool)))]
pub async fn get(asked: Asked) -> Answer<IpPool> {
    let id: IpPoolId = asked.id(ID)?;
    let view = app::ip_pools::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Make an IP pool over dc networks.
#[utoipa::path(post, path = "/ip_pools", tag = "ip pools", request_body = CreateIpPool,
    responses((status = 200, body = IpPool)))]
pub async fn create(mut asked: Asked) -> Answer<IpPool> {
    let fields = &mut asked.fields;
    let name = fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty());
    let request = CreateIpPool {
        id: fields.parsed("id", ID)?,
        display_name: fields.needed("display_name", name)?,
        dc_networks: fields.list("dc_networks", "dcn-…")?,
    };
    fields.needed("dc_networks", request.dc_networks.first())?;
    asked.fields.clone().finish()?;
    let view = app::ip_pools::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Delete an IP pool that holds no address.
#[utoipa::path(delete, path = "/ip_pools/{id}", tag = "ip pools", responses((status = 200, body = Vec<String>)))]
pub async fn delete(asked: Asked) -> Answer<Vec<String>> {
    let id: IpPoolId = asked.id(ID)?;
    let gone = app::ip_pools::delete(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(gone)
}

/// Addresses that a pool holds.
#[utoipa::path(get, path = "/ip_pools/{id}/ip_handles", tag = "ip pools", params(ListQuery),
    responses((status = 200, body = Page<IpHandle>)))]
pub async fn handles(mut asked: Asked) -> Answer<[Page<IpHandle>; 1]> {
    let id: IpPoolId = asked.id(ID)?;
    let filter = list::filter(&mut asked.fields)?;
    let page = app::ip_pools::handles(asked.app(), &asked.caller, id.as_str(), filter).await?;
    asked.page(page)
}

/// Take a free address of a network.
#[utoipa::path(put, path = "/ip_pools/{id}/acquire", tag = "ip pools", request_body = AcquireAddress,
    responses((status = 200, body = AcquiredAddress)))]
pub async fn acquire(mut asked: Asked) -> Answer<AcquiredAddress> {
    let id: IpPoolId = asked.id(ID)?;
    let network: Option<NetworkId> = asked.fields.parsed("network_id", "nw-…")?;
    let network = asked.fields.needed("network_id", network)?;
    asked.fields.clone().finish()?;
    let view = app::ip_pools::acquire(asked.app(), &asked.caller, id.as_str(), network.as_str()).await?;
    asked.answer(view)
}

/// Give an address back.
#[utoipa::path(put, path = "/ip_pools/{id}/release", tag = "ip pools", request_body = ReleaseAddress,
    responses((status = 200, body = Nothing)))]
pub async fn release(mut asked: Asked) -> Answer<Nothing> {
    let id: IpPoolId = asked.id(ID)?;
    let handle: Option<IpHandleId> = asked.fields.parsed("ip_handle_id", HANDLE_ID)?;
    let handle = asked.fields.needed("ip_handle_id", handle)?;
    asked.fields.clone().finish()?;
    app::ip_pools::release(asked.app(), &asked.caller, id.as_str(), handle.as_str()).await?;
    asked.answer(Nothing {})
}

/// Show an IP handle.
#[utoipa::path(get, path = "/ip_handles/{id}", tag = "ip pools", responses((status = 200, body = IpHandle)))]
pub async fn handle(asked: Asked) -> Answer<IpHandle> {
    let id: IpHandleId = asked.id(HANDLE_ID)?;
    let view = app::ip_pools::handle(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Say how long a handle is held from now on.
#[utoipa::path(put, path = "/ip_handles/{id}/expire_at", tag = "ip pools", request_body = ExpireHandle,
    responses((status = 200, body = IpHandle)))]
pub async fn expire(mut asked: Asked) -> Answer<IpHandle> {
    let id: IpHandleId = asked.id(HANDLE_ID)?;
    let seconds = asked.fields.number("time_to", 1..=HANDLE_SECONDS_MAX)?;
    let seconds = asked.fields.needed("time_to", seconds)?;
    asked.fields.clone().finish()?;
    let view = app::ip_pools::expire(asked.app(), &asked.caller, id.as_str(), seconds).await?;
    asked.answer(view)
}
