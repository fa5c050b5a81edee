//! What tenants see of networks.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{ListFilter, Network, NetworkVif, Page, Refusal, Role};

fn shown(caller: &Caller, mut network: Network) -> Network {
    // The segment's tag is the data center's inside.
    if matches!(caller.role, Role::Member) {
        network.vlan_tag = None;
    }
    network
}

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<Network>, Refusal> {
    let found = db::networks::list(app.db(), caller.scope()).await.map_err(AppError::from)?;
    let wanted = |n: &Network| {
        filter.display_name.as_ref().is_none_or(|name| n.display_name.as_ref() == Some(name))
            && filter.id.as_ref().is_none_or(|id| n.id.starts_with(id))
    };
    let all: Vec<Network> = found.into_iter().filter(wanted).map(|n| shown(caller, n)).collect();
    Ok(super::page(all, &filter))
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<Network, Refusal> {
    let found = db::networks::get(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    found.map(|n| shown(caller, n)).ok_or_else(|| Refusal::unknown(id))
}

pub async fn vifs(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<NetworkVif>, Refusal> {
    let found = db::networks::vif_views(app.db(), caller.scope(), None).await.map_err(AppError::from)?;
    Ok(super::page(found, &filter))
}
