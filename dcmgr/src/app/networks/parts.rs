//! What a network consists of: ranges, reserved addresses, services, and interfaces that belong to no instance.
//!
//! Rule: the network's row is locked before a lease is written. An interface of an instance is the instance's business:
//! it comes and goes with it.

use super::super::advance::{Cause, snapshot};
use super::super::instances::{MAC_DRAWS_MAX, addresses, local_mac};
use super::super::{App, AppError, Caller, once};
use super::{lock_own, plugs, subnet};
use crate::db;
use crate::db::networks::changes::LoneVif;
use crate::db::networks::{NetworkRow, Range};
use arame_schema::api::{
    Code, CreateVif, DhcpRange, ListFilter, Network, NetworkRoute, NetworkService, NetworkVif, Page, Refusal,
    SetNetworkService,
};
use arame_schema::model::VifId;
use std::net::Ipv4Addr;

/// Whether something is given or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Give,
    Take,
}

pub(super) fn refuse_uneditable(row: &NetworkRow) -> Result<(), Refusal> {
    if row.editable { Ok(()) } else { Err(Refusal::new(Code::NetworkNotEditable).with("id", &row.id)) }
}

/// Adds or removes addresses that are given out. Those that were given stay with whom they were given to.
pub async fn change_range(app: &App, caller: &Caller, id: &str, asked: DhcpRange, turn: Turn) -> Result<(), Refusal> {
    let range = Range { begin: asked.range_begin, end: asked.range_end };
    crate::change!(app, "change ranges", Some(caller.request), |tx, _ringing| {
        let row = lock_own(tx, caller, id).await?;
        refuse_uneditable(&row)?;
        let ranges = match turn {
            Turn::Give => subnet::with_range(&row.subnet, &row.ranges, range)?,
            Turn::Take => subnet::without_range(&row.ranges, range)?,
        };
        db::networks::changes::set_ranges(tx, id, &ranges).await?;
        Ok(db::events::audit(tx, &caller.who(), "network.ranges", id).await?)
    })
    .map_err(Refusal::from)
}

/// Keeps addresses from everybody, or gives them back: all of them or none.
pub async fn reserve(app: &App, caller: &Caller, id: &str, asked: &[Ipv4Addr], turn: Turn) -> Result<(), Refusal> {
    crate::change!(app, "reserve addresses", Some(caller.request), |tx, _ringing| {
        let row = lock_own(tx, caller, id).await?;
        for address in asked {
            match turn {
                Turn::Give => {
                    addresses::free(tx, inside(&row, *address)?, &row).await?;
                    db::networks::changes::reserve(tx, id, *address, "").await?;
                }
                Turn::Take => {
                    if !db::networks::changes::unreserve(tx, id, *address, "").await? {
                        let refusal = Refusal::new(Code::InvalidParameter).with("name", "ipaddr");
                        return Err(refusal.with("value", address).with("expected", "a reserved address").into());
                    }
                }
            }
        }
        Ok(db::events::audit(tx, &caller.who(), "network.reserve", id).await?)
    })
    .map_err(Refusal::from)
}

/// An address of a host in the network that is not the network's own.
fn inside(row: &NetworkRow, address: Ipv4Addr) -> Result<Ipv4Addr, AppError> {
    let is_host = subnet::hosts(&row.subnet).holds(address);
    if is_host && !addresses::is_infrastructure(row, address) {
        Ok(address)
    } else {
        Err(addresses::outside(address, row))
    }
}

pub async fn services(
    app: &App,
    caller: &Caller,
    id: &str,
    filter: ListFilter,
) -> Result<Page<NetworkService>, Refusal> {
    super::super::page(super::get(app, caller, id).await?.network_services, &filter)
}

/// Names of services that a network always has.
const ALWAYS: [&str; 3] = ["dhcp", "dns", "metadata"];

/// Gives a network its gateway, or takes it away. The other services are always there.
pub async fn set_service(
    app: &App,
    caller: &Caller,
    id: &str,
    asked: &SetNetworkService,
    turn: Turn,
) -> Result<Network, Refusal> {
    let name = asked.name.as_str();
    crate::change!(app, "set service", Some(caller.request), |tx, ringing| {
        let row = lock_own(tx, caller, id).await?;
        refuse_uneditable(&row)?;
        let is_always = ALWAYS.contains(&name);
        let gateway = match (name, turn, row.gateway) {
            ("gateway", Turn::Give, None) => {
                let address = asked.ipv4.unwrap_or(subnet::hosts(&row.subnet).begin);
                Some(addresses::free(tx, inside(&row, address)?, &row).await?)
            }
            ("gateway", Turn::Take, Some(_)) => None,
            ("gateway", Turn::Take, None) => {
                return Err(Refusal::unknown("gateway").into());
            }
            (_, Turn::Give, _) if is_always || name == "gateway" => {
                return Err(Refusal::new(Code::AlreadyExists).with("id", name).into());
            }
            _ => {
                let what = format!("service {name}");
                return Err(Refusal::new(Code::NotImplemented).with("what", what).into());
            }
        };
        db::networks::changes::set_gateway(tx, id, gateway).await?;
        db::networks::bump(tx, id).await?;
        super::naming::look(app, tx, id).await?;
        db::events::audit(tx, &caller.who(), "network.service", id).await?;
        snapshot::network(tx, ringing, id, Cause::request(caller.request)).await
    })?;
    super::get(app, caller, id).await
}

/// External addresses, from the one to the other.
pub async fn routes(app: &App, caller: &Caller, id: &str, filter: ListFilter) -> Result<Page<NetworkRoute>, Refusal> {
    super::get(app, caller, id).await?;
    super::super::page(db::networks::outside::routes(app.db(), id).await.map_err(AppError::from)?, &filter)
}

pub async fn vifs(app: &App, caller: &Caller, id: &str, filter: ListFilter) -> Result<Page<NetworkVif>, Refusal> {
    super::get(app, caller, id).await?;
    let found = db::networks::views::vifs(app.db(), caller.scope(), Some(id)).await.map_err(AppError::from)?;
    super::super::page(found, &filter)
}

pub async fn vif(app: &App, caller: &Caller, id: &str, vif: &str) -> Result<NetworkVif, Refusal> {
    let found = super::super::vifs::get(app, caller, vif).await?;
    if found.network_id.as_deref() == Some(id) { Ok(found) } else { Err(Refusal::unknown(vif)) }
}

/// Makes an interface of no instance: it holds an address and a MAC.
pub async fn create_vif(app: &App, caller: &Caller, id: &str, request: CreateVif) -> Result<NetworkVif, Refusal> {
    let made = crate::change!(app, "create vif", Some(caller.request), |tx, _ringing| {
        let row = lock_own(tx, caller, id).await?;
        super::super::recovery::refuse_new(tx).await?;
        if let Some(made) = once::made(tx, caller, VifId::PREFIX).await? {
            return Ok(made);
        }
        let ipv4 = addresses::address_for(tx, app, request.ipv4_addr, &row).await?;
        let own = VifId::from_entropy(once::entropy()).to_string();
        let mac = request.mac_addr.unwrap_or_else(local_mac);
        let new = LoneVif { id: &own, account: &row.account, network: id, mac, ipv4 };
        insert_lone_vif(tx, new, request.mac_addr.is_none()).await?;
        once::keep(tx, caller, "network_vif.create", &own).await?;
        Ok(own)
    })
    .map_err(|error| duplicate_mac(error, &request))?;
    super::super::vifs::get(app, caller, &made).await
}

/// As of a launch: a MAC of our own choosing that somebody has is drawn anew.
async fn insert_lone_vif(tx: &mut db::Tx, mut new: LoneVif<'_>, is_drawn: bool) -> Result<(), AppError> {
    let mut draws = if is_drawn { MAC_DRAWS_MAX } else { 1 };
    loop {
        draws -= 1;
        match db::networks::changes::insert_lone_vif(tx, &new).await {
            Err(error) if draws > 0 && error.is_duplicate("mac") => new.mac = local_mac(),
            ended => return Ok(ended?),
        }
    }
}

fn duplicate_mac(error: AppError, request: &CreateVif) -> AppError {
    match &error {
        AppError::Db(inner) if inner.is_duplicate("mac") => {
            let mac = request.mac_addr.map(|mac| mac.to_string()).unwrap_or_default();
            Refusal::new(Code::DuplicateMacAddress).with("mac", mac).into()
        }
        AppError::Db(_) | AppError::Refused(_) | AppError::Planned | AppError::Seal(_) => error,
    }
}

/// Puts an interface of no instance into a network, and with `instance` into that machine: one that runs gets it as soon as
/// its port's rules stand.
pub async fn attach(
    app: &App,
    caller: &Caller,
    id: &str,
    vif: &str,
    instance: Option<&str>,
) -> Result<NetworkVif, Refusal> {
    crate::change!(app, "attach vif", Some(caller.request), |tx, ringing| {
        let row = lock_own(tx, caller, id).await?;
        let found = db::networks::changes::find_vif(tx, vif, caller.scope()).await?;
        let mut found = found.filter(|found| found.account == row.account).ok_or_else(|| Refusal::unknown(vif))?;
        let is_there = found.network.as_deref() == Some(id) && found.instance.is_none();
        match &found.network {
            Some(network) if !(is_there && instance.is_some()) => {
                let by = found.instance.as_ref().unwrap_or(network);
                return Err(Refusal::new(Code::VifAttached).with("id", vif).with("network", by).into());
            }
            Some(_) => {}
            None => {
                let ipv4 = addresses::address_for(tx, app, None, &row).await?;
                db::networks::changes::place_lone_vif(tx, &found, Some((id, ipv4))).await?;
                (found.network, found.ipv4) = (Some(id.to_owned()), Some(ipv4));
            }
        }
        db::events::audit(tx, &caller.who(), "network_vif.attach", vif).await?;
        match instance {
            Some(instance) => plugs::join(tx, ringing, caller, &found, instance).await,
            None => Ok(()),
        }
    })?;
    super::super::vifs::get(app, caller, vif).await
}

/// Takes an interface out of its machine, where it keeps its address; one of no instance out of its network, where its
/// address is given back.
pub async fn detach(app: &App, caller: &Caller, id: &str, vif: &str) -> Result<NetworkVif, Refusal> {
    crate::change!(app, "detach vif", Some(caller.request), |tx, ringing| {
        lock_own(tx, caller, id).await?;
        let found = db::networks::changes::find_vif(tx, vif, caller.scope()).await?;
        let found = found.ok_or_else(|| Refusal::unknown(vif))?;
        if found.network.as_deref() != Some(id) {
            return Err(Refusal::new(Code::VifNotAttached).with("id", vif).with("network", id).into());
        }
        db::events::audit(tx, &caller.who(), "network_vif.detach", vif).await?;
        if found.instance.is_some() {
            return plugs::leave(tx, ringing, caller, &found).await;
        }
        let version = db::networks::bump(tx, id).await?;
        db::networks::outside::unbind_of(tx, vif, id, version).await?;
        snapshot::network(tx, ringing, id, Cause::request(caller.request)).await?;
        Ok(db::networks::changes::place_lone_vif(tx, &found, None).await?)
    })?;
    super::super::vifs::get(app, caller, vif).await
}

/// Ends an interface of no instance.
pub async fn delete_vif(app: &App, caller: &Caller, id: &str, vif: &str) -> Result<(), Refusal> {
    crate::change!(app, "delete vif", Some(caller.request), |tx, ringing| {
        lock_own(tx, caller, id).await?;
        let found = db::networks::changes::find_vif(tx, vif, caller.scope()).await?;
        let found = found.filter(|found| found.network.as_deref() == Some(id));
        let found = found.ok_or_else(|| Refusal::unknown(vif))?;
        if let Some(instance) = found.instance {
            return Err(Refusal::new(Code::ResourceInUse).with("id", vif).with("by", instance).into());
        }
        let version = db::networks::bump(tx, id).await?;
        db::networks::outside::unbind_of(tx, vif, id, version).await?;
        snapshot::network(tx, ringing, id, Cause::request(caller.request)).await?;
        db::networks::changes::delete_lone_vif(tx, vif).await?;
        Ok(db::events::audit(tx, &caller.who(), "network_vif.delete", vif).await?)
    })
    .map_err(Refusal::from)
}
