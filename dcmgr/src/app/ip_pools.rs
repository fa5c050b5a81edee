//! IP pools: addresses that are held by a handle, for as long as it is wanted.
//!
//! Rule: the network's row is locked before its pool's handle takes an address. A handle keeps it from others until it is
//! bound to an interface, whose external address it is then.

use super::instances::addresses;
use super::{App, AppError, Caller, once};
use crate::db;
use crate::db::ip_pools::PoolRow;
use arame_schema::api::ip_pool::HANDLE_SECONDS_MAX;
use arame_schema::api::{AcquiredAddress, Code, CreateIpPool, DcNetwork, IpHandle, IpPool, ListFilter, Page, Refusal};
use arame_schema::model::{IpHandleId, IpPoolId};

fn view(caller: &Caller, row: PoolRow, all: &[DcNetwork]) -> IpPool {
    let known = row.dc_networks.iter().filter_map(|id| all.iter().find(|one| one.id == *id));
    IpPool {
        dc_networks: known.map(|one| super::dc_networks::shown(caller, one.clone())).collect(),
        id: row.id,
        display_name: row.display_name,
        created_at: row.created_at,
        updated_at: row.updated_at,
        account_id: row.account,
    }
}

async fn all(app: &App, caller: &Caller) -> Result<Vec<IpPool>, Refusal> {
    let networks = db::dc_networks::list(app.db()).await.map_err(AppError::from)?;
    let found = db::ip_pools::list(app.db(), caller.scope()).await.map_err(AppError::from)?;
    Ok(found.into_iter().map(|row| view(caller, row, &networks)).collect())
}

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<IpPool>, Refusal> {
    super::page(all(app, caller).await?, &filter)
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<IpPool, Refusal> {
    let found = db::ip_pools::get(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    let row = found.ok_or_else(|| Refusal::unknown(id))?;
    let networks = db::dc_networks::list(app.db()).await.map_err(AppError::from)?;
    Ok(view(caller, row, &networks))
}

pub async fn create(app: &App, caller: &Caller, request: CreateIpPool) -> Result<IpPool, Refusal> {
    once::check_choice(caller, request.id.as_ref())?;
    let account = caller.owner()?.to_owned();
    let known = db::dc_networks::list(app.db()).await.map_err(AppError::from)?;
    let mut ids = Vec::new();
    for word in &request.dc_networks {
        let found = known.iter().find(|one| one.id == *word || one.name == *word);
        let found = found.ok_or_else(|| Refusal::new(Code::UnknownDcNetwork).with("id", word))?;
        if !ids.contains(&found.id) {
            ids.push(found.id.clone());
        }
    }
    let id = request.id.clone().unwrap_or_else(|| IpPoolId::from_entropy(once::entropy())).to_string();
    let made = crate::change!(app, "create ip pool", Some(caller.request), |tx, _ringing| {
        if let Some(made) = once::made(tx, caller, IpPoolId::PREFIX).await? {
            return Ok(made);
        }
        for network in &ids {
            // Locked, so that none of them goes before the pool is there.
            if db::dc_networks::lock(tx, network).await?.is_none() {
                return Err(Refusal::new(Code::UnknownDcNetwork).with("id", network).into());
            }
        }
        db::ip_pools::insert(tx, &id, &account, &request.display_name, &ids).await?;
        once::keep(tx, caller, "ip_pool.create", &id).await?;
        Ok(id.clone())
    })
    .map_err(|error| once::taken(error, &id))?;
    get(app, caller, &made).await
}

/// Ends a pool that holds no address.
pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete ip pool", Some(caller.request), |tx, _ringing| {
        db::ip_pools::lock(tx, id, caller.scope()).await?.ok_or_else(|| Refusal::unknown(id))?;
        let held = db::ip_pools::held(tx, id).await?;
        if !held.is_empty() {
            return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", held.join(", ")).into());
        }
        db::ip_pools::delete(tx, id).await?;
        Ok(db::events::audit(tx, &caller.who(), "ip_pool.delete", id).await?)
    })?;
    Ok(vec![id.to_owned()])
}

pub async fn handles(app: &App, caller: &Caller, id: &str, filter: ListFilter) -> Result<Page<IpHandle>, Refusal> {
    get(app, caller, id).await?;
    let found = db::ip_pools::handles(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    super::page(found, &filter)
}

pub async fn handle(app: &App, caller: &Caller, id: &str) -> Result<IpHandle, Refusal> {
    let found = db::ip_pools::handle(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}

/// Takes a free address of one of the pool's networks; repeated with its key, the address it took.
pub async fn acquire(app: &App, caller: &Caller, id: &str, network: &str) -> Result<AcquiredAddress, Refusal> {
    crate::change!(app, "acquire address", Some(caller.request), |tx, _ringing| {
        let row = super::networks::lock_own(tx, caller, network).await?;
        let made = once::made(tx, caller, IpHandleId::PREFIX).await?;
        let pool = db::ip_pools::lock(tx, id, caller.scope()).await?;
        let pool = pool.ok_or_else(|| Refusal::unknown(id))?;
        if !pool.dc_networks.contains(&row.dc_network) || pool.account != row.account {
            return Err(Refusal::new(Code::NetworkNotInDcNetwork).with("id", network).with("pool", id).into());
        }
        if let Some(made) = made {
            let held = db::ip_pools::lock_handle(tx, &made, Some(id), caller.scope()).await?;
            let held = held.filter(|held| held.network.id == network).ok_or_else(|| Refusal::unknown(&made))?;
            let (dc_network_id, network_id) = (row.dc_network, network.to_owned());
            return Ok(AcquiredAddress { ip_handle_id: made, dc_network_id, network_id, ipv4: held.ipv4 });
        }
        let address = addresses::address_for(tx, app, None, &row).await?;
        let handle = IpHandleId::from_entropy(once::entropy()).to_string();
        db::ip_pools::insert_handle(tx, &handle, &pool, network, address).await?;
        db::networks::changes::reserve(tx, network, address, &handle).await?;
        db::events::audit(tx, &caller.who(), "ip_pool.acquire", &handle).await?;
        let (dc_network_id, network_id) = (row.dc_network, network.to_owned());
        Ok(AcquiredAddress { ip_handle_id: handle, dc_network_id, network_id, ipv4: address.to_string() })
    })
    .map_err(Refusal::from)
}

/// Gives an address back.
pub async fn release(app: &App, caller: &Caller, id: &str, handle: &str) -> Result<(), Refusal> {
    crate::change!(app, "release address", Some(caller.request), |tx, _ringing| {
        db::ip_pools::lock(tx, id, caller.scope()).await?.ok_or_else(|| Refusal::unknown(id))?;
        let held = db::ip_pools::lock_handle(tx, handle, Some(id), caller.scope()).await?;
        let held = held.ok_or_else(|| Refusal::unknown(handle))?;
        if let Some(vif) = held.network_vif {
            return Err(Refusal::new(Code::IpHandleInUse).with("id", handle).with("by", vif).into());
        }
        super::networks::outside::refuse_cooling(tx, handle, None).await?;
        if let Ok(address) = held.ipv4.parse() {
            db::networks::changes::unreserve(tx, &held.network.id, address, handle).await?;
        }
        db::ip_pools::delete_handle(tx, handle).await?;
        Ok(db::events::audit(tx, &caller.who(), "ip_pool.release", handle).await?)
    })
    .map_err(Refusal::from)
}

/// From now on a handle is held this long.
pub async fn expire(app: &App, caller: &Caller, id: &str, seconds: u64) -> Result<IpHandle, Refusal> {
    if !(1..=HANDLE_SECONDS_MAX).contains(&seconds) {
        let refusal = Refusal::new(Code::InvalidParameter).with("name", "time_to").with("value", seconds);
        return Err(refusal.with("expected", format!("1..{HANDLE_SECONDS_MAX}")));
    }
    crate::change!(app, "expire handle", Some(caller.request), |tx, _ringing| {
        let held = db::ip_pools::lock_handle(tx, id, None, caller.scope()).await?;
        if let Some(vif) = held.ok_or_else(|| Refusal::unknown(id))?.network_vif {
            return Err(Refusal::new(Code::IpHandleInUse).with("id", id).with("by", vif).into());
        }
        db::ip_pools::set_expiry(tx, id, seconds).await?;
        Ok(db::events::audit(tx, &caller.who(), "ip_handle.expire", id).await?)
    })?;
    handle(app, caller, id).await
}
