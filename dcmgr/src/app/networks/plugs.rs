//! Interfaces that come into a machine and leave it, as they are asked for.
//!
//! Rule: a wish only. The network and the host's policy get versions that know the interface; the machine's plan plugs it
//! when they are served, and lets it go when no host has it (`advance/interface.rs`). The network's row is locked.

use super::super::advance::{self, Cause, snapshot};
use super::super::{AppError, Caller, Ringing, moves, placement};
use crate::db::instances::InstanceRow;
use crate::db::networks::changes::AnyVif;
use crate::db::networks::plugs::Place;
use crate::db::{self, Tx};
use arame_schema::api::{Code, Refusal};
use arame_schema::limits::NICS_MAX;
use arame_schema::model::instance::DesiredInstance;

/// The host of an instance and the instance, locked in this order.
async fn lock_machine(tx: &mut Tx, id: &str) -> Result<Option<InstanceRow>, AppError> {
    let host = db::instances::find(tx, id).await?.and_then(|row| row.host);
    if let Some(host) = &host {
        db::nodes::lock_host(tx, host).await?;
    }
    Ok(db::instances::lock(tx, id).await?)
}

pub(super) async fn join(
    tx: &mut Tx,
    ringing: &mut Ringing,
    caller: &Caller,
    vif: &AnyVif,
    instance: &str,
) -> Result<(), AppError> {
    let machine = lock_machine(tx, instance).await?.filter(|row| row.account == vif.account);
    let machine = machine.ok_or_else(|| Refusal::unknown(instance))?;
    moves::refuse_while_moving(tx, instance).await?;
    let state = || {
        let refusal = Refusal::new(Code::InvalidInstanceState).with("id", instance);
        refusal.with("state", machine.state).with("needed", "running | halted")
    };
    if machine.desired == DesiredInstance::Gone || machine.leaving_host {
        return Err(state().into());
    }
    let host = machine.host.as_deref().ok_or_else(state)?;
    let network = vif.network.as_deref().ok_or_else(|| Refusal::unknown(&vif.id))?;
    let taken: Vec<u32> =
        db::networks::vifs_of_instance(tx, instance).await?.into_iter().map(|one| one.index).collect();
    if taken.len() >= NICS_MAX {
        let refusal = Refusal::new(Code::ExceedQuota).with("quota", "interfaces of one instance");
        return Err(refusal.with("limit", NICS_MAX).with("used", taken.len()).into());
    }
    let place = Place {
        instance,
        host,
        index: (0..).find(|index| !taken.contains(index)).unwrap_or_default(),
        network_version: db::networks::bump(tx, network).await?,
        policy_version: db::nodes::bump_policy(tx, host).await?,
    };
    db::networks::plugs::join(tx, vif, place).await?;
    let cause = Cause::request(caller.request);
    let groups = db::networks::groups_of_vif(tx, &vif.id).await?;
    for (other, version) in placement::members_changed(tx, ringing, &groups, host).await? {
        db::networks::changes::remember_at(tx, vif, &other, version).await?;
    }
    snapshot::network(tx, ringing, network, cause).await?;
    snapshot::policy(tx, ringing, host, cause).await?;
    tell(tx, caller, &machine, ("interface_asked", vif)).await?;
    advance::instance::advance(tx, ringing, instance, cause).await
}

pub(super) async fn leave(tx: &mut Tx, ringing: &mut Ringing, caller: &Caller, vif: &AnyVif) -> Result<(), AppError> {
    let Some(instance) = vif.instance.as_deref() else { return Ok(()) };
    let Some(machine) = lock_machine(tx, instance).await? else { return Ok(()) };
    moves::refuse_while_moving(tx, instance).await?;
    if !vif.leaving {
        db::networks::plugs::set_leaving(tx, &vif.id).await?;
        tell(tx, caller, &machine, ("interface_to_leave", vif)).await?;
    }
    // Said again to a guest that did not let go, it is asked again.
    db::instances::bump(tx, instance).await?;
    advance::instance::advance(tx, ringing, instance, Cause::request(caller.request)).await
}

async fn tell(tx: &mut Tx, caller: &Caller, row: &InstanceRow, (code, vif): (&str, &AnyVif)) -> Result<(), AppError> {
    let values =
        [("by", caller.token.clone()), ("vif", vif.id.clone()), ("network", vif.network.clone().unwrap_or_default())];
    let event = db::events::NewEvent {
        account: Some(&row.account),
        resource: &row.id,
        code,
        values: &values,
        job: None,
        request: Some(caller.request),
    };
    Ok(db::events::insert(tx, &event).await?)
}
