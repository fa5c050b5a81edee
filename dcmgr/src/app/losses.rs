//! Hosts that an operator declares lost, and their return.
//!
//! ```text
//! declare ─┬► the host's row is lost, its open jobs end, what its agent was last known to have of machines counts as absent
//!          ├► each volume of its machines is fenced at its storage node ─► proved ─► free, or exported to another host
//!          └► each machine: lost | placed again | stays where its move brought it (`plan::loss`)
//! heard again ─► its listing is believed ─► what runs is stopped ─► nothing is left ─► a host like any other, out of placement
//! ```
//!
//! Rules: one transaction, so that no half of it is ever seen. A host that is heard is never declared lost. The firewall of a
//! lost host is not touched: it hears of the network when it has given everything up.

use super::advance::{self, Cause, snapshot};
use super::{App, AppError, Caller, Ringing, moves, placement};
use crate::db::facts::FactRow;
use crate::db::instances::InstanceRow;
use crate::db::losses::HostRow;
use crate::db::moves::MoveRow;
use crate::db::{self, Tx};
use crate::plan::loss::{Fate, Left, Machine, Other, fate, has_given_up, is_to_go};
use crate::plan::migration::Host;
use crate::plan::moving::may_be_newest;
use arame_schema::api::{
    Code, DeclareLost, FreedVolume, HostLoss, InstanceFate, LostInstance, PlannedRefusal, Refusal,
};
use arame_schema::jobs::report::{BackendStatus, Inventory};
use arame_schema::jobs::sta::FenceProof;
use arame_schema::model::instance::{DesiredInstance, InstanceState, Shutdown};
use arame_schema::model::{FactName, HostNodeId, VifId};

/// Why a machine is off: its disk was on a host that was declared lost.
pub const HOST_LOST: &str = "host_lost";

/// Declares a host lost. The host's id has to be said once more.
///
/// # Errors
/// It is heard; it was not confirmed; where one of its machines is, is being asked.
pub async fn declare(app: &App, caller: &Caller, id: &str, request: DeclareLost) -> Result<HostLoss, Refusal> {
    let confirmed = request.confirm.as_deref();
    if confirmed.is_none_or(|said| said != id) {
        let refusal = Refusal::new(if confirmed.is_some() { Code::InvalidParameter } else { Code::MissingParameter });
        let value: String = confirmed.unwrap_or_default().chars().take(80).collect();
        return Err(refusal.with("name", "confirm").with("value", value).with("expected", id));
    }
    let told = crate::change!(app, "declare host lost", Some(caller.request), |tx, ringing| {
        let loss = declare_in(tx, ringing, caller, id).await?;
        Ok::<_, AppError>(HostLoss { declared: true, ..loss })
    })?;
    Ok(told)
}

/// The same carried out and taken back: what would become of what.
///
/// # Errors
/// The host is not known.
pub async fn plan(app: &App, caller: &Caller, id: &str) -> Result<HostLoss, Refusal> {
    let mut told = None;
    let tried: Result<(), AppError> = crate::transact!(app.db(), "plan loss", None, AppError, |tx| {
        told = Some(declare_in(tx, &mut Ringing::default(), caller, id).await?);
        Err(AppError::Planned)
    });
    match tried {
        Ok(()) | Err(AppError::Planned) => told.ok_or_else(|| Refusal::new(Code::Internal)),
        Err(AppError::Refused(refusal)) if refusal.code != Code::UnknownResource => {
            let view = db::nodes::host(app.db(), id).await.map_err(AppError::from)?;
            let view = view.ok_or_else(|| Refusal::unknown(id))?;
            Ok(HostLoss {
                id: id.to_owned(),
                uuid: id.to_owned(),
                last_seen_at: view.last_seen_at,
                refusals: vec![PlannedRefusal::from(&*refusal)],
                ..HostLoss::default()
            })
        }
        Err(error) => Err(error.into()),
    }
}

async fn declare_in(tx: &mut Tx, ringing: &mut Ringing, caller: &Caller, id: &str) -> Result<HostLoss, AppError> {
    let host = db::losses::lock(tx, id).await?.ok_or_else(|| Refusal::unknown(id))?;
    if host.heard {
        return Err(Refusal::new(Code::HostHeard).with("host", id).into());
    }
    db::losses::declare(tx, id, &host.agent).await?;
    db::events::audit(tx, &caller.who(), "host.declare_lost", id).await?;
    tell(tx, None, id, "host_declared_lost", &[("by", caller.token.clone())], Some(caller)).await?;
    let mut loss =
        HostLoss { id: id.to_owned(), uuid: id.to_owned(), last_seen_at: host.heard_at, ..HostLoss::default() };
    let cause = Cause::request(caller.request);
    for instance in db::instances::on_host(tx, id).await? {
        let Some(row) = db::instances::lock(tx, &instance).await? else { continue };
        let open = db::moves::of_instance(tx, &instance).await?;
        let fate = fate_of(tx, &row, open.as_ref(), &host).await?;
        let volumes = settle(tx, caller, (id, &host), (&row, open.as_ref()), fate).await?;
        loss.volumes.extend(volumes);
        loss.instances.push(LostInstance {
            id: row.id.clone(),
            account_id: row.account.clone(),
            hostname: row.hostname.clone(),
            fate: told(fate),
        });
        follow(tx, ringing, &row, cause).await?;
    }
    give_up_captures(tx, ringing, &host.agent).await?;
    Ok(loss)
}

fn told(fate: Fate) -> InstanceFate {
    match fate {
        Fate::Ended => InstanceFate::Ended,
        Fate::PlacedAgain => InstanceFate::PlacedAgain,
        Fate::Lost => InstanceFate::Lost,
        Fate::Stays => InstanceFate::Stays,
        Fate::NotYet | Fate::Undecided => InstanceFate::Undecided,
    }
}

async fn fate_of(tx: &mut Tx, row: &InstanceRow, open: Option<&MoveRow>, host: &HostRow) -> Result<Fate, AppError> {
    let mut other = None;
    if let Some(end) = open.and_then(|open| other_end(open, host)).map(|(_, end)| end) {
        let facts = db::facts::of_thing(tx, &row.id).await?;
        let held = advance::moving::held_at(&facts, &end.agent).0;
        other = Some(Other { held, heard: !end.silent, lost: db::losses::is_lost(tx, &end.host).await? });
    }
    let may_be_placed = !row.pinned && row.placements < placement::PLACEMENTS_MAX;
    Ok(fate(Machine { desired: row.desired, ran_before: row.ran_before, may_be_placed, other }))
}

fn other_end<'a>(open: &'a MoveRow, host: &HostRow) -> Option<(Host, &'a db::moves::End)> {
    let other = open.side_of(&host.agent)?.other();
    Some((other, open.end(other)))
}

/// Writes what becomes of one machine; answers its volumes.
async fn settle(
    tx: &mut Tx,
    caller: &Caller,
    (id, host): (&str, &HostRow),
    (row, open): (&InstanceRow, Option<&MoveRow>),
    fate: Fate,
) -> Result<Vec<FreedVolume>, AppError> {
    let values = [("host", id.to_owned())];
    match fate {
        Fate::NotYet => {
            let to = open.and_then(|open| other_end(open, host)).map(|(_, end)| end.host.clone()).unwrap_or_default();
            return Err(moves::refuse_moving(&row.id, &to));
        }
        Fate::Undecided => return Ok(Vec::new()),
        Fate::Ended => {}
        Fate::Stays => {
            if let Some((side, _)) = open.and_then(|open| other_end(open, host)) {
                db::moves::set_wish(tx, &row.id, side).await?;
                db::instances::bump(tx, &row.id).await?;
            }
        }
        Fate::PlacedAgain if row.leaving_host => {}
        Fate::PlacedAgain => {
            let mut tried = row.tried_hosts.clone();
            tried.push(id.to_owned());
            db::instances::set_leaving(tx, &row.id, &tried).await?;
        }
        // Declared once more.
        Fate::Lost if row.failure_code.as_deref() == Some(HOST_LOST) => {}
        Fate::Lost => {
            if let Some(open) = open {
                end_move(tx, row, open, id).await?;
            }
            db::instances::set_desired(tx, &row.id, DesiredInstance::Off, Shutdown::Hard).await?;
            let message = format!("{id} was declared lost");
            db::instances::set_failure(tx, &row.id, Some((HOST_LOST, &message)), true).await?;
            tell(tx, Some(&row.account), &row.id, "lost_with_host", &values, Some(caller)).await?;
        }
    }
    let generation = db::instances::lock(tx, &row.id).await?.map_or(row.generation, |row| row.generation);
    db::losses::settle_absent(tx, &row.id, &host.agent, generation).await?;
    fence_volumes(tx, row, fate).await
}

/// The machine is of the lost host from then on: its newest disk is there, or nowhere.
async fn end_move(tx: &mut Tx, row: &InstanceRow, open: &MoveRow, lost: &str) -> Result<(), AppError> {
    db::moves::remove(tx, &row.id).await?;
    if open.to() != lost {
        return Ok(());
    }
    let mut known = row.tried_hosts.clone();
    known.retain(|host| host != lost && host != open.from());
    known.push(open.from().to_owned());
    db::instances::set_moved(tx, &row.id, lost, &known, Some(open.need_policy_version)).await?;
    Ok(db::networks::move_vifs(tx, &row.id, lost).await?)
}

/// Every volume of the machine is fenced. What is placed again gets its volumes there.
async fn fence_volumes(tx: &mut Tx, row: &InstanceRow, fate: Fate) -> Result<Vec<FreedVolume>, AppError> {
    let mut freed = Vec::new();
    for open in db::volumes::attachments_of_instance(tx, &row.id).await? {
        let keeps = fate == Fate::PlacedAgain;
        db::losses::fence(tx, &open.id, keeps).await?;
        freed.push(FreedVolume {
            id: open.volume,
            account_id: row.account.clone(),
            instance_id: row.id.clone(),
            follows_instance: keeps && open.wanted,
        });
    }
    Ok(freed)
}

async fn follow(tx: &mut Tx, ringing: &mut Ringing, row: &InstanceRow, cause: Cause) -> Result<(), AppError> {
    let attachments = db::volumes::attachments_of_instance(tx, &row.id).await?;
    advance::instance::advance(tx, ringing, &row.id, cause).await?;
    for open in attachments {
        advance::attachment::advance(tx, ringing, &open.id, cause).await?;
    }
    Ok(())
}

/// A copy of a disk that was on its way there will not come.
async fn give_up_captures(tx: &mut Tx, ringing: &mut Ringing, agent: &str) -> Result<(), AppError> {
    for image in db::access::captures_at(tx, agent).await? {
        let reason = (HOST_LOST, "the host that made it was declared lost");
        db::access::set_image_failure(tx, &image, Some(reason)).await?;
        advance::image::advance(tx, ringing, &image, Cause::fact()).await?;
    }
    Ok(())
}

/// A volume was fenced with this proof: told on its timeline.
pub async fn tell_fenced(tx: &mut Tx, attachment: &str, proof: &FenceProof) -> Result<(), AppError> {
    let Some(open) = db::volumes::find_attachment(tx, attachment).await? else { return Ok(()) };
    let Some(disk) = db::volumes::lock(tx, &open.volume).await? else { return Ok(()) };
    let values = [
        ("instance", open.instance.clone()),
        ("initiator", proof.initiator.clone()),
        ("sessions", proof.sessions_ended.len().to_string()),
        ("refusal", proof.refusal.clone()),
    ];
    tell(tx, Some(&disk.account), &disk.id, "volume_fenced", &values, None).await
}

/// Whether the instance's own host was declared lost.
pub async fn is_on_lost_host(tx: &mut Tx, row: &InstanceRow) -> Result<bool, AppError> {
    Ok(db::losses::is_lost(tx, row.host.as_deref().unwrap_or_default()).await?)
}

/// Nothing is asked of a machine whose host was declared lost, but its deletion.
///
/// # Errors
/// `host_lost`.
pub async fn refuse_lost(tx: &mut Tx, row: &InstanceRow) -> Result<(), AppError> {
    if is_on_lost_host(tx, row).await? {
        let host = row.host.clone().unwrap_or_default();
        return Err(Refusal::new(Code::HostLost).with("id", &row.id).with("host", host).into());
    }
    Ok(())
}

/// A lost host that is heard again: once its listing says that it has given up everything, it is a host like any other.
pub async fn weigh_return(
    tx: &mut Tx,
    ringing: &mut Ringing,
    host: &str,
    inventory: &Inventory,
) -> Result<(), AppError> {
    let whole = !inventory.backends.is_empty()
        && inventory.backends.iter().all(|backend| backend.status == BackendStatus::Complete);
    if !host.starts_with(HostNodeId::PREFIX) || !whole || !db::losses::is_lost(tx, host).await? {
        return Ok(());
    }
    let own = db::instances::on_host(tx, host).await?;
    let facts = db::facts::of_agent(tx, inventory.agent.as_str()).await?;
    let mut left = Vec::new();
    // An interface stays in what is kept of a machine that is off.
    for fact in facts.iter().filter(|fact| !fact.thing.starts_with(VifId::PREFIX)) {
        let one = left_of(tx, fact, &own).await?;
        if is_to_go(one) {
            forbid(tx, ringing, &fact.thing, inventory.agent.as_str()).await?;
        }
        left.push(one);
    }
    if !has_given_up(&left) {
        return Ok(());
    }
    db::losses::end(tx, host).await?;
    tell(tx, None, host, "host_returned", &[], None).await?;
    for id in db::losses::with_host(tx, host, HOST_LOST).await? {
        let has_disk = facts.iter().any(|f| f.thing == id && f.name == FactName::Domain && f.value.is_surely_so());
        if let Some(row) = db::instances::lock(tx, &id).await?.filter(|row| has_disk || !row.ran_before) {
            db::instances::set_failure(tx, &id, None, false).await?;
            tell(tx, Some(&row.account), &id, "found_with_host", &[("host", host.to_owned())], None).await?;
        }
        advance::instance::advance(tx, ringing, &id, Cause::fact()).await?;
    }
    snapshot::policy(tx, ringing, host, Cause::fact()).await
}

async fn left_of(tx: &mut Tx, fact: &FactRow, own: &[String]) -> Result<Left, AppError> {
    let mut left = Left {
        name: fact.name,
        value: fact.value,
        elsewhere: !own.contains(&fact.thing),
        removed: fact.generation > 0 && fact.observed.incarnation > 0,
        spare: false,
    };
    if fact.name != FactName::Domain {
        return Ok(left);
    }
    let row = db::instances::find(tx, &fact.thing).await?.filter(|row| row.state != InstanceState::Terminated);
    match row {
        // It is to be made elsewhere: as if it were there.
        Some(row) if !left.elsewhere => left.elsewhere = row.leaving_host,
        Some(row) => {
            let facts = db::facts::of_thing(tx, &row.id).await?;
            let held = advance::moving::held_at(&facts, row.agent.as_deref().unwrap_or_default()).0;
            left.spare = may_be_newest(held, row.ran_before);
        }
        // Of one that ended nothing is left to forbid.
        None => left.elsewhere = fact.value.may_be_so(),
    }
    Ok(left)
}

/// What is elsewhere is removed there, and may not come any more.
async fn forbid(tx: &mut Tx, ringing: &mut Ringing, instance: &str, agent: &str) -> Result<(), AppError> {
    match db::instances::lock(tx, instance).await? {
        Some(row) => advance::moving::remove_at(tx, ringing, &row, agent, Cause::fact()).await,
        None => Ok(()),
    }
}

async fn tell(
    tx: &mut Tx,
    account: Option<&str>,
    resource: &str,
    code: &str,
    values: &[(&str, String)],
    by: Option<&Caller>,
) -> Result<(), AppError> {
    let request = by.map(|caller| caller.request);
    let event = db::events::NewEvent { account, resource, code, values, job: None, request };
    Ok(db::events::insert(tx, &event).await?)
}
