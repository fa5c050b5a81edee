//! Bringing running machines to other hosts, and taking that back.
//!
//! Rule: what is refused here would fail for a reason that is known before; what is accepted has room on the other host from
//! then on. Nothing is stopped by any of this.

pub mod forecast;

use super::advance::{self, Cause, snapshot};
use super::instances::{lock_own, record, refuse_state};
use super::placement::company::Wishes;
use super::{App, AppError, Caller, Ringing, placement};
use crate::db::instances::InstanceRow;
use crate::db::{self, Tx};
use crate::plan::Kind;
use crate::plan::migration::Host;
use crate::plan::placement::Demand;
use arame_schema::api::{Code, Refusal};
use arame_schema::model::instance::{DesiredInstance, InstanceState};

/// Brings a running instance to another host.
pub async fn start(app: &App, caller: &Caller, id: &str, to: &str) -> Result<(), Refusal> {
    crate::change!(app, "move instance", Some(caller.request), |tx, ringing| {
        start_in(tx, ringing, caller, id, to).await
    })
    .map_err(Refusal::from)
}

async fn start_in(tx: &mut Tx, ringing: &mut Ringing, caller: &Caller, id: &str, to: &str) -> Result<(), AppError> {
    super::recovery::refuse_new(tx).await?;
    let row = lock_own(tx, caller, id).await?;
    if let Some(open) = db::moves::of_instance(tx, id).await? {
        if open.to() == to && open.wish == Host::B {
            return Ok(());
        }
        return Err(refuse_moving(id, open.to()));
    }
    super::losses::refuse_lost(tx, &row).await?;
    if row.state != InstanceState::Running || row.desired != DesiredInstance::On {
        return Err(refuse_state(&row, "running"));
    }
    refuse_volumes(tx, id).await?;
    let copies = db::access::captures_of(tx, id).await?;
    if !copies.is_empty() {
        return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", copies.join(", ")).into());
    }
    let from = row.host.clone().unwrap_or_default();
    choose(tx, &row, &from, to).await?;
    let version = db::nodes::bump_policy(tx, to).await?;
    db::instances::bump(tx, id).await?;
    db::moves::insert(tx, id, (&from, to), row.generation, version).await?;
    db::events::audit(tx, &caller.who(), "instance.move", id).await?;
    let values = [("by", caller.token.clone()), ("from", from), ("to", to.to_owned())];
    record(tx, caller, &row.account, id, "move_requested", &values).await?;
    snapshot::policy(tx, ringing, to, Cause::request(caller.request)).await?;
    advance::instance::advance(tx, ringing, id, Cause::request(caller.request)).await
}

/// Takes a move back: the instance stays on, or comes back to, the host it is from.
pub async fn cancel(app: &App, caller: &Caller, id: &str) -> Result<(), Refusal> {
    crate::change!(app, "cancel move", Some(caller.request), |tx, ringing| {
        let row = lock_own(tx, caller, id).await?;
        let Some(open) = db::moves::of_instance(tx, id).await?.filter(|_| row.desired != DesiredInstance::Gone) else {
            return Err(refuse_state(&row, "migrating"));
        };
        db::events::audit(tx, &caller.who(), "instance.move_cancel", id).await?;
        if open.wish == Host::A {
            return Ok(());
        }
        advance::moving::take_back(tx, &row).await?;
        let values = [("by", caller.token.clone()), ("from", open.from().to_owned()), ("to", open.to().to_owned())];
        record(tx, caller, &row.account, id, "move_cancelled", &values).await?;
        advance::instance::advance(tx, ringing, id, Cause::request(caller.request)).await
    })
    .map_err(Refusal::from)
}

pub(super) fn refuse_moving(id: &str, host: &str) -> AppError {
    Refusal::new(Code::InstanceMigrating).with("id", id).with("host", host).into()
}

/// Whatever would change an instance waits until its move has ended.
///
/// # Errors
/// `instance_migrating`.
pub async fn refuse_while_moving(tx: &mut Tx, id: &str) -> Result<(), AppError> {
    match db::moves::of_instance(tx, id).await? {
        Some(open) => Err(refuse_moving(id, open.to())),
        None => Ok(()),
    }
}

async fn refuse_volumes(tx: &mut Tx, id: &str) -> Result<(), AppError> {
    let attached = db::volumes::attachments_of_instance(tx, id).await?;
    if attached.is_empty() {
        return Ok(());
    }
    let volumes: Vec<&str> = attached.iter().map(|open| open.volume.as_str()).collect();
    Err(Refusal::new(Code::InstanceHasVolumes).with("id", id).with("volumes", volumes.join(", ")).into())
}

/// Locks the other host, which must be able to take it and have room for it.
async fn choose(tx: &mut Tx, row: &InstanceRow, from: &str, to: &str) -> Result<(), AppError> {
    if from == to {
        let refusal = Refusal::new(Code::InvalidParameter).with("name", "host_node_id").with("value", to);
        return Err(refusal.with("expected", format!("hn-… (not {from})")).into());
    }
    let image = db::access::find_image(tx, &row.image).await?;
    let mut demand = Demand {
        cpu_cores: u64::from(row.cpu_cores),
        memory_mib: row.memory_mib,
        disk_mib: row.disk_mib,
        hypervisor: None,
        arch: image.map(|image| image.arch).unwrap_or_default(),
        host: Some(to.to_owned()),
        ..Demand::default()
    };
    placement::company::add(tx, &mut demand, Wishes::of(row)).await?;
    let placement = placement::choose(tx, &mut demand).await?;
    if !placement.fits {
        let detail = serde_json::to_value(&placement).unwrap_or_default();
        return Err(Refusal::new(Code::OutOfHostCapacity).with_detail(detail).into());
    }
    for host in [from, to] {
        let agent = db::nodes::agent_of_host(tx, host).await?.unwrap_or_default();
        let kinds = db::agents::find(tx, &agent).await?.map(|agent| agent.kinds).unwrap_or_default();
        if !kinds.iter().any(|kind| kind == Kind::SendInstance.as_str()) {
            return Err(Refusal::new(Code::HostCannotMove).with("host", host).into());
        }
    }
    Ok(())
}
