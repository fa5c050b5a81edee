//! Networks: made in a dc network that takes them, changed, and ended when nothing is in them.
//!
//! Rule: a tag is one network's until no naming service serves it any more (DESIGN 3.11): a deleted network keeps its row
//! until then. What a naming service has to know raises the network's version in the same transaction.

pub mod naming;
pub mod outside;
pub mod parts;
mod plugs;
pub mod records;
mod settings;
pub mod subnet;
pub mod why;

use super::advance::{Cause, snapshot};
use super::{App, AppError, Caller, once};
use crate::db::networks::NetworkRow;
use crate::db::networks::changes::NewNetwork;
use crate::db::{self, Tx};
use arame_schema::api::dc_network::NETWORK_MODE;
use arame_schema::api::{
    Code, CreateNetwork, DcNetwork, ListFilter, Network, NetworkVif, Page, Refusal, Role, UpdateNetwork,
};
use arame_schema::model::NetworkId;

fn shown(caller: &Caller, mut network: Network) -> Network {
    // The segment's tag is the data center's inside.
    if matches!(caller.role, Role::Member) {
        network.vlan_tag = None;
        network.forwarders = None;
    }
    network.dc_network = network.dc_network.map(|one| super::dc_networks::shown(caller, one));
    network
}

/// Which networks of a list, beside what every list can be narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Narrowed {
    /// Id or name.
    pub dc_network: Option<String>,
    pub has_service: Option<String>,
}

pub async fn list(app: &App, caller: &Caller, filter: ListFilter, to: Narrowed) -> Result<Page<Network>, Refusal> {
    let found = db::networks::views::list(app.db(), caller.scope()).await.map_err(AppError::from)?;
    let wanted = |n: &Network| {
        let of_dc = |word: &String| n.dc_network.as_ref().is_some_and(|dc| dc.id == *word || dc.name == *word);
        let has = |name: &String| n.network_services.iter().any(|service| service.name == *name);
        to.dc_network.as_ref().is_none_or(of_dc) && to.has_service.as_ref().is_none_or(has)
    };
    let all: Vec<Network> = found.into_iter().filter(wanted).map(|n| shown(caller, n)).collect();
    super::page(all, &filter)
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<Network, Refusal> {
    let found = db::networks::views::get(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    found.map(|n| shown(caller, n)).ok_or_else(|| Refusal::unknown(id))
}

pub async fn vifs(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<NetworkVif>, Refusal> {
    let found = db::networks::views::vifs(app.db(), caller.scope(), None).await.map_err(AppError::from)?;
    super::page(found, &filter)
}

pub async fn create(app: &App, caller: &Caller, request: CreateNetwork) -> Result<Network, Refusal> {
    once::check_choice(caller, request.id.as_ref())?;
    once::check_choice(caller, request.vlan_tag.as_ref())?;
    once::check_choice(caller, request.naming_services_wanted.as_ref())?;
    let account = caller.owner()?.to_owned();
    let plan = subnet::plan(&request)?;
    let id = request.id.clone().unwrap_or_else(|| NetworkId::from_entropy(once::entropy())).to_string();
    let domain = subnet::domain(&request, &id)?;
    let made = crate::change!(app, "create network", Some(caller.request), |tx, ringing| {
        db::access::lock_account(tx, &account).await?.ok_or_else(|| Refusal::unknown(&account))?;
        super::recovery::refuse_new(tx).await?;
        if let Some(made) = once::made(tx, caller, NetworkId::PREFIX).await? {
            return Ok(made);
        }
        let dc_network = offering(tx, &request).await?;
        if db::networks::changes::is_known(tx, &id).await? {
            return Err(Refusal::new(Code::AlreadyExists).with("id", &id).into());
        }
        let row = NewNetwork {
            id: &id,
            account: &account,
            dc_network: &dc_network.id,
            vlan_tag: free_tag(tx, &dc_network, request.vlan_tag).await?,
            display_name: request.display_name.as_deref().unwrap_or_default(),
            description: &request.description,
            ipv4_network: request.network,
            prefix: request.prefix,
            gateway: plan.gateway,
            server: plan.server,
            domain: &domain,
            ranges: &plan.ranges,
            metric: request.metric.unwrap_or(100),
            ip_assignment: request.ip_assignment.as_deref().unwrap_or("asc"),
            editable: request.editable,
        };
        db::networks::changes::insert(tx, &row).await?;
        if let Some(count) = request.naming_services_wanted {
            db::networks::naming::set_count(tx, &id, Some(count)).await?;
        }
        once::keep(tx, caller, "network.create", &id).await?;
        naming::look(app, tx, &id).await?;
        snapshot::network(tx, ringing, &id, Cause::request(caller.request)).await?;
        Ok(id.clone())
    })?;
    get(app, caller, &made).await
}

/// The dc network, locked, if it takes such a network.
async fn offering(tx: &mut Tx, request: &CreateNetwork) -> Result<DcNetwork, AppError> {
    let id = request.dc_network.as_str();
    let found = db::dc_networks::lock(tx, id).await?;
    let found = found.ok_or_else(|| Refusal::new(Code::UnknownDcNetwork).with("id", id))?;
    if !found.allow_new_networks || !found.offering_network_modes.contains(&request.network_mode) {
        let refusal = Refusal::new(Code::DcNetworkNotPermitted).with("id", id);
        return Err(refusal.with("mode", &request.network_mode).into());
    }
    if request.network_mode != NETWORK_MODE {
        let what = format!("network_mode={}", request.network_mode);
        return Err(Refusal::new(Code::NotImplemented).with("what", what).into());
    }
    Ok(found)
}

/// The lowest tag of a dc network that no network has, or the one that was asked for; its row is locked.
async fn free_tag(tx: &mut Tx, dc_network: &DcNetwork, asked: Option<u16>) -> Result<u16, AppError> {
    let (first, last) = (dc_network.vlan_first.unwrap_or(1), dc_network.vlan_last.unwrap_or(0));
    let taken = db::networks::changes::tags_between(tx, first, last).await?;
    let is_free = |tag: &u16| taken.binary_search(tag).is_err();
    match asked {
        None => {
            let free = (first..=last).find(is_free);
            Ok(free.ok_or_else(|| Refusal::new(Code::OutOfSegments).with("id", &dc_network.id))?)
        }
        Some(tag) if (first..=last).contains(&tag) && is_free(&tag) => Ok(tag),
        Some(tag) => {
            let refusal = Refusal::new(Code::InvalidParameter).with("name", "vlan_tag").with("value", tag);
            Err(refusal.with("expected", format!("{first}..{last}, not one of another network")).into())
        }
    }
}

/// Locks a network the caller may change.
pub(super) async fn lock_own(tx: &mut Tx, caller: &Caller, id: &str) -> Result<NetworkRow, AppError> {
    let row = db::networks::lock(tx, id).await?.filter(|row| !row.is_deleted);
    let own = row.filter(|row| caller.scope().is_none_or(|account| account == row.account));
    Ok(own.ok_or_else(|| Refusal::unknown(id))?)
}

pub async fn update(app: &App, caller: &Caller, id: &str, request: UpdateNetwork) -> Result<Network, Refusal> {
    once::check_choice(caller, request.editable.as_ref())?;
    once::check_choice(caller, request.forwarders.as_ref())?;
    once::check_choice(caller, request.naming_services_wanted.as_ref())?;
    crate::change!(app, "update network", Some(caller.request), |tx, ringing| {
        let row = lock_own(tx, caller, id).await?;
        let served = settings::changed(&row, &request)?;
        if !settings::is_same(&row, &served) {
            if request.editable != Some(true) {
                parts::refuse_uneditable(&row)?;
            }
            let of_link = (served.mtu, served.domain.as_str());
            db::networks::changes::set_served(tx, id, of_link, &served.forwarders, &served.settings).await?;
            db::networks::bump(tx, id).await?;
            snapshot::network(tx, ringing, id, Cause::request(caller.request)).await?;
        }
        outside::change(tx, ringing, app, caller, &row, &request).await?;
        if let Some(count) = request.naming_services_wanted {
            db::networks::naming::set_count(tx, id, Some(count)).await?;
            naming::look_and_send(app, tx, ringing, id, Cause::request(caller.request)).await?;
        }
        let (name, description) = (request.display_name.as_deref(), request.description.as_deref());
        db::networks::changes::set_words(tx, id, name, description, request.editable).await?;
        Ok(db::events::audit(tx, &caller.who(), "network.update", id).await?)
    })?;
    get(app, caller, id).await
}

/// Ends a network in which no interface is.
pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete network", Some(caller.request), |tx, ringing| {
        let row = lock_own(tx, caller, id).await?;
        let mut users = db::networks::changes::users(tx, id).await?;
        users.extend(db::networks::outside::inside_of(tx, id).await?);
        if !users.is_empty() {
            return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", users.join(", ")).into());
        }
        outside::close(tx, &row).await?;
        db::networks::changes::set_deleted(tx, id).await?;
        db::node_groups::forget_member(tx, id).await?;
        db::events::audit(tx, &caller.who(), "network.delete", id).await?;
        snapshot::network(tx, ringing, id, Cause::request(caller.request)).await
    })?;
    Ok(vec![id.to_owned()])
}
