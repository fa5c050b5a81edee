//! Network interfaces by themselves: which security groups they are in.
//!
//! Rule: a change of groups is a change of policies: that of its own host, and those of hosts whose rules name the group.
//! What such a host knew of the address stays remembered until it answers a policy without it (DESIGN 3.11).

use super::advance::{Cause, snapshot};
use super::instances::record;
use super::{App, AppError, Caller, Ringing, placement};
use crate::db::networks::changes::AnyVif;
use crate::db::{self, Tx};
use arame_schema::api::{Code, NetworkVif, Refusal};
use std::collections::BTreeSet;

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<NetworkVif, Refusal> {
    let found = db::networks::views::vif(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}

/// Which way a change of a group goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Add,
    Remove,
}

pub async fn change_group(
    app: &App,
    caller: &Caller,
    id: &str,
    group: &str,
    turn: Turn,
) -> Result<NetworkVif, Refusal> {
    crate::change!(app, "change group", Some(caller.request), |tx, ringing| {
        let vif = db::networks::changes::find_vif(tx, id, caller.scope()).await?;
        let vif = vif.ok_or_else(|| Refusal::unknown(id))?;
        lock_around(tx, &vif).await?;
        if !db::access::hold_group(tx, group, &vif.account).await? {
            return Err(Refusal::unknown(group).into());
        }
        let mut groups: BTreeSet<String> = db::networks::groups_of_vif(tx, id).await?.into_iter().collect();
        let told = |code| Refusal::new(code).with("id", id).with("group", group);
        match turn {
            Turn::Add if !groups.insert(group.to_owned()) => return Err(told(Code::AlreadyInGroup).into()),
            Turn::Remove if !groups.remove(group) => return Err(told(Code::NotInGroup).into()),
            Turn::Add | Turn::Remove => {}
        }
        db::events::audit(tx, &caller.who(), "network_vif.group", id).await?;
        let code = if turn == Turn::Add { "group_joined" } else { "group_left" };
        let values = [("group", group.to_owned()), ("by", caller.token.clone())];
        record(tx, caller, &vif.account, id, code, &values).await?;
        set_groups(tx, ringing, &vif, &groups, Cause::request(caller.request)).await
    })?;
    get(app, caller, id).await
}

/// The host's row and the instance's, in this order, before anything of the interface is written.
async fn lock_around(tx: &mut Tx, vif: &AnyVif) -> Result<(), AppError> {
    if let Some(host) = &vif.host {
        db::nodes::lock_host(tx, host).await?;
    }
    if let Some(instance) = &vif.instance {
        db::instances::lock(tx, instance).await?;
    }
    Ok(())
}

/// Makes these the groups of an interface. Its host's row is locked and the groups are held.
pub(super) async fn set_groups(
    tx: &mut Tx,
    ringing: &mut Ringing,
    vif: &AnyVif,
    groups: &BTreeSet<String>,
    cause: Cause,
) -> Result<(), AppError> {
    let before: BTreeSet<String> = db::networks::groups_of_vif(tx, &vif.id).await?.into_iter().collect();
    for group in before.difference(groups) {
        db::networks::changes::take_from_group(tx, &vif.id, group).await?;
    }
    for group in groups.difference(&before) {
        db::networks::changes::add_to_group(tx, &vif.id, group).await?;
    }
    let changed: Vec<String> = before.symmetric_difference(groups).cloned().collect();
    let Some(host) = vif.host.as_deref().filter(|_| !changed.is_empty()) else { return Ok(()) };
    db::nodes::bump_policy(tx, host).await?;
    snapshot::policy(tx, ringing, host, cause).await?;
    for (other, version) in placement::members_changed(tx, ringing, &changed, host).await? {
        db::networks::changes::remember_at(tx, vif, &other, version).await?;
    }
    Ok(())
}
