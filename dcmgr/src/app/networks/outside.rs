//! The way out of a network, and external addresses of interfaces.
//!
//! Rule: the network's row is locked first, then the handle's. A change is a new version of the network; the naming service
//! that is its gateway translates by it. Nothing is told to guests: they know only their own address.

use super::super::advance::{Cause, snapshot};
use super::super::instances::addresses;
use super::super::{App, AppError, Caller, Ringing};
use super::lock_own;
use crate::db::networks::NetworkRow;
use crate::db::networks::changes::AnyVif;
use crate::db::{self, Tx};
use arame_schema::api::{Code, ExternalAddress, Refusal, UpdateNetwork};

/// The word that takes the way out away.
const NONE: &str = "none";

/// Changes where the way out leads, and who may use it.
pub(super) async fn change(
    tx: &mut Tx,
    ringing: &mut Ringing,
    app: &App,
    caller: &Caller,
    row: &NetworkRow,
    asked: &UpdateNetwork,
) -> Result<(), AppError> {
    if let Some(outbound) = asked.outbound {
        db::networks::outside::set_outbound(tx, &row.id, outbound).await?;
    }
    match asked.nat_network_id.as_deref() {
        None => {}
        Some(NONE | "") => {
            refuse_bound(tx, row).await?;
            close(tx, row).await?;
        }
        Some(network) if row.nat_network.as_deref() == Some(network) => {}
        Some(network) => {
            refuse_bound(tx, row).await?;
            close(tx, row).await?;
            let outer = lock_own(tx, caller, network).await?;
            if outer.id == row.id || outer.subnet.contains(&row.subnet) || row.subnet.contains(&outer.subnet) {
                let refusal =
                    Refusal::new(Code::InvalidParameter).with("name", "nat_network_id").with("value", network);
                return Err(refusal.with("expected", "another network with another subnet").into());
            }
            let address = addresses::address_for(tx, app, None, &outer).await?;
            db::networks::changes::reserve(tx, network, address, &row.id).await?;
            db::networks::outside::set_way(tx, &row.id, Some((network, address)), row.version + 1).await?;
        }
    }
    if asked.outbound.is_some() || asked.nat_network_id.is_some() {
        db::networks::bump(tx, &row.id).await?;
        super::naming::look(app, tx, &row.id).await?;
        snapshot::network(tx, ringing, &row.id, Cause::request(caller.request)).await?;
    }
    Ok(())
}

/// Gives the network's own address outside back.
pub(super) async fn close(tx: &mut Tx, row: &NetworkRow) -> Result<(), AppError> {
    if let (Some(outer), Some(address)) = (&row.nat_network, row.outside_ipv4) {
        db::networks::changes::unreserve(tx, outer, address, &row.id).await?;
    }
    Ok(db::networks::outside::set_way(tx, &row.id, None, row.version + 1).await?)
}

async fn refuse_bound(tx: &mut Tx, row: &NetworkRow) -> Result<(), AppError> {
    let bound = db::networks::outside::translations(tx, &row.id).await?;
    match bound.first() {
        Some(one) => Err(Refusal::new(Code::ResourceInUse).with("id", &row.id).with("by", &one.vif).into()),
        None => Ok(()),
    }
}

pub async fn list(app: &App, caller: &Caller, vif: &str) -> Result<Vec<ExternalAddress>, Refusal> {
    super::super::vifs::get(app, caller, vif).await?;
    Ok(db::networks::outside::addresses(app.db(), vif).await.map_err(AppError::from)?)
}

/// An interface of the caller's and its network, locked, with where its way out leads.
async fn way_of(tx: &mut Tx, caller: &Caller, vif: &str) -> Result<(AnyVif, NetworkRow, String), AppError> {
    let found = db::networks::changes::find_vif(tx, vif, caller.scope()).await?.ok_or_else(|| Refusal::unknown(vif))?;
    let network = found.network.clone().unwrap_or_default();
    let no_way = || Refusal::new(Code::NoWayOut).with("id", if network.is_empty() { vif } else { &network });
    let row = db::networks::lock(tx, &network).await?.ok_or_else(no_way)?;
    let outer = row.nat_network.clone().filter(|_| row.gateway.is_some()).ok_or_else(no_way)?;
    Ok((found, row, outer))
}

/// Makes a handle's address the external one of an interface.
pub async fn bind(app: &App, caller: &Caller, vif: &str, handle: &str) -> Result<ExternalAddress, Refusal> {
    let made = crate::change!(app, "bind address", Some(caller.request), |tx, ringing| {
        let (found, row, outer) = way_of(tx, caller, vif).await?;
        let held = db::ip_pools::lock_handle(tx, handle, None, Some(&found.account)).await?;
        let held = held.ok_or_else(|| Refusal::unknown(handle))?;
        let told = ExternalAddress {
            network_id: held.network.id.clone(),
            vif_id: vif.to_owned(),
            ip_handle_id: handle.to_owned(),
            ipv4: held.ipv4.clone(),
        };
        if held.network.id != outer {
            let refusal = Refusal::new(Code::AddressNotOutside).with("id", handle);
            return Err(refusal.with("network", held.network.id).with("outside", outer).into());
        }
        match held.network_vif {
            Some(by) if by == vif => return Ok(told),
            Some(by) => return Err(Refusal::new(Code::IpHandleInUse).with("id", handle).with("by", by).into()),
            None => {}
        }
        if let Some(other) = db::networks::outside::handles_of(tx, vif).await?.into_iter().next() {
            return Err(Refusal::new(Code::AlreadyExists).with("id", other).into());
        }
        super::records::refuse_record_of(tx, &row.id, vif, &told.ipv4).await?;
        // Another network may translate it still.
        refuse_cooling(tx, handle, Some(&row.id)).await?;
        db::networks::outside::bind(tx, handle, vif).await?;
        db::events::audit(tx, &caller.who(), "network_vif.external_ip", vif).await?;
        db::networks::bump(tx, &row.id).await?;
        snapshot::network(tx, ringing, &row.id, Cause::request(caller.request)).await?;
        Ok(told)
    })?;
    Ok(made)
}

/// Refuses a handle whose address a network may translate still.
pub(in crate::app) async fn refuse_cooling(tx: &mut Tx, handle: &str, but: Option<&str>) -> Result<(), AppError> {
    match db::networks::outside::cools_in(tx, handle).await?.filter(|network| Some(network.as_str()) != but) {
        Some(network) => Err(Refusal::new(Code::IpHandleInUse).with("id", handle).with("by", network).into()),
        None => Ok(()),
    }
}

/// Takes a handle's address from an interface; the handle keeps it.
pub async fn unbind(app: &App, caller: &Caller, vif: &str, handle: &str) -> Result<Vec<ExternalAddress>, Refusal> {
    crate::change!(app, "unbind address", Some(caller.request), |tx, ringing| {
        let found = db::networks::changes::find_vif(tx, vif, caller.scope()).await?;
        let network = found.ok_or_else(|| Refusal::unknown(vif))?.network.unwrap_or_default();
        db::networks::lock(tx, &network).await?;
        if !db::networks::outside::handles_of(tx, vif).await?.iter().any(|held| held == handle) {
            return Err(Refusal::unknown(handle).into());
        }
        let version = db::networks::bump(tx, &network).await?;
        db::networks::outside::unbind_of(tx, vif, &network, version).await?;
        db::events::audit(tx, &caller.who(), "network_vif.external_ip", vif).await?;
        snapshot::network(tx, ringing, &network, Cause::request(caller.request)).await
    })?;
    list(app, caller, vif).await
}
