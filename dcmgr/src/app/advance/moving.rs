//! Advances an instance between two hosts: the plan of its move, wired to facts, jobs and the move's row.
//!
//! ```text
//! instance::advance ─► a row in instance_moves? ─► plan::moving::step ─► one job at one of the two hosts
//!                                                                     └► settled ─► the row goes, the instance's plan goes on
//! ```
//!
//! Rules: until it is settled nothing else is planned for the instance, but its deletion, which goes to both hosts and wins.
//! What an agent tells is weighed here before and after it is written ([`is_hidden`], [`overtake`]): a send changes both
//! hosts and is told by one.

use super::super::{AppError, Ringing};
use super::instance::{self, settle_state};
use super::{At, Cause, queue, snapshot};
use crate::db::facts::FactRow;
use crate::db::instances::InstanceRow;
use crate::db::moves::MoveRow;
use crate::db::{self, Tx};
use crate::plan::instance::Facts as InstanceFacts;
use crate::plan::migration::{Around, Guest, Host, Job, Touched, Wish, sender_changes};
use crate::plan::moving::{self, Held, Step};
use crate::plan::{Kind, Wanted};
use arame_schema::jobs::hva::Between;
use arame_schema::jobs::report::FactReport;
use arame_schema::model::instance::DesiredInstance;
use arame_schema::model::{Fact, FactName};

/// More steps without a job than any move needs: a plan that goes round is stopped and told.
const STEPS_MAX: usize = 12;

/// Attempts to bring a guest to the other host before it stays.
const ATTEMPTS_MAX: u32 = 5;

/// Why a move ended where it began although nothing failed.
const STOPPED: (&str, &str) = ("guest_stopped", "its guest stopped, and only a running one is moved");

/// Looks at an instance with an open move. Its row is locked.
pub async fn advance(tx: &mut Tx, ringing: &mut Ringing, row: &InstanceRow, cause: Cause) -> Result<(), AppError> {
    if row.desired == DesiredInstance::Gone {
        return leave(tx, ringing, row, cause).await;
    }
    for _ in 0..STEPS_MAX {
        let Some(row) = db::instances::lock(tx, &row.id).await? else { return Ok(()) };
        let Some(open) = db::moves::of_instance(tx, &row.id).await? else { return Ok(()) };
        let facts = db::facts::of_thing(tx, &row.id).await?;
        match asked(tx, &row, &open, &facts).await? {
            Step::Use { host, may, generation } => {
                let end = open.end(host);
                if end.may_use == may && end.use_generation >= generation {
                    break;
                }
                db::moves::set_use(tx, &row.id, host, may, generation).await?;
            }
            Step::StaysAt(host) => stay_at(tx, &row, &open, host, STOPPED).await?,
            Step::Do { job, host, generation } => {
                ask(tx, ringing, (&row, &open, &facts), (job, host, generation), cause).await?;
                break;
            }
            Step::Wait(_) | Step::Lost => break,
            Step::Settled => return settle(tx, ringing, &row, &open, cause).await,
        }
    }
    let Some(row) = db::instances::lock(tx, &row.id).await? else { return Ok(()) };
    let facts = instance::facts_at(tx, &row.id, row.agent.as_deref().unwrap_or_default()).await?;
    settle_state(tx, ringing, &row, facts, true, cause).await
}

/// What the plan says of the rows.
async fn asked(tx: &mut Tx, row: &InstanceRow, open: &MoveRow, facts: &[FactRow]) -> Result<Step, AppError> {
    let sides = Host::ALL.map(|host| {
        let end = open.end(host);
        let (held, generation) = held_at(facts, &end.agent);
        moving::At { held, generation, may_use: end.may_use, use_generation: end.use_generation }
    });
    let mut sending = [false; 2];
    for (place, host) in sending.iter_mut().zip(Host::ALL) {
        let job = db::jobs::open_of(tx, &row.id, &open.end(host).agent).await?;
        *place = job.is_some_and(|(_, job)| job.kind == Kind::SendInstance);
    }
    let silent = Host::ALL.map(|host| open.end(host).silent);
    let wish = Wish { host: open.wish, generation: row.generation };
    Ok(moving::step(wish, sides, Around { silent, may_fence: false, sending }))
}

/// What the facts of an agent say it holds of the instance, and the generation of that.
pub fn held_at(facts: &[FactRow], agent: &str) -> (Held, u64) {
    let of = |name| facts.iter().find(|fact| fact.agent == agent && fact.name == name);
    let Some(domain) = of(FactName::Domain) else { return (Held::Between(Guest::Absent), 0) };
    let power = of(FactName::Power).map_or(Fact::No, |fact| fact.value);
    let form = domain.detail.as_ref().and_then(|detail| detail.get(Between::KEY)).and_then(|form| form.as_str());
    let held = match (domain.value, form.and_then(Between::parse), power) {
        (Fact::No, _, Fact::No) => Held::Between(Guest::Absent),
        (Fact::No | Fact::Maybe, _, _) => Held::Between(Guest::Maybe),
        (Fact::Yes, Some(Between::Waiting), _) => Held::Between(Guest::Waiting),
        (Fact::Yes, Some(Between::Handed), _) => Held::Between(Guest::HandedOver),
        (Fact::Yes, _, Fact::Yes) => Held::Between(Guest::Running),
        (Fact::Yes, Some(Between::Paused), Fact::Maybe) => Held::Between(Guest::Paused),
        (Fact::Yes, _, Fact::Maybe) => Held::Between(Guest::Maybe),
        (Fact::Yes, _, Fact::No) => Held::Off,
    };
    (held, domain.generation)
}

/// Queues the wanted job; what it touches becomes maybe with it (DESIGN 3.4).
async fn ask(
    tx: &mut Tx,
    ringing: &mut Ringing,
    (row, open, facts): (&InstanceRow, &MoveRow, &[FactRow]),
    (job, host, generation): (Job, Host, u64),
    cause: Cause,
) -> Result<(), AppError> {
    let kind = match job {
        Job::Receive => Kind::ReceiveInstance,
        Job::Send => Kind::SendInstance,
        Job::Keep => Kind::KeepInstance,
        Job::Resume => Kind::ResumeInstance,
        Job::Remove => Kind::DeleteInstance,
        Job::Observe => Kind::ObserveInstance,
        Job::Attach | Job::Retain | Job::Detach | Job::Fence | Job::Start => return Ok(()),
    };
    // The other host's firewall stands before the guest can be there.
    if open.wish == Host::B && matches!(job, Job::Receive | Job::Send) && !is_policy_there(tx, open).await? {
        return Ok(());
    }
    let agent = &open.end(host).agent;
    let at = At { thing: &row.id, agent, account: Some(&row.account) };
    let queued = queue(tx, ringing, at, Some(Wanted { kind, generation }), None, cause).await?;
    if queued.is_none() {
        return Ok(());
    }
    let other = &open.end(host.other()).agent;
    match job.touches() {
        Touched::Guest => set_maybe(tx, &row.id, agent).await,
        Touched::BothGuests => {
            if !matches!(held_at(facts, agent).0, Held::Between(guest) if !sender_changes(guest)) {
                set_maybe(tx, &row.id, agent).await?;
            }
            set_maybe(tx, &row.id, other).await
        }
        Touched::Waiting if held_at(facts, other).0 == Held::Between(Guest::Waiting) => {
            set_maybe(tx, &row.id, other).await
        }
        Touched::Waiting | Touched::Nothing | Touched::Attachment => Ok(()),
    }
}

async fn is_policy_there(tx: &mut Tx, open: &MoveRow) -> Result<bool, AppError> {
    let facts = db::facts::of_things(tx, &[open.to()]).await?;
    Ok(snapshot::applied_anywhere(&facts, open.to()) >= open.need_policy_version)
}

async fn set_maybe(tx: &mut Tx, id: &str, agent: &str) -> Result<(), AppError> {
    db::facts::set_maybe(tx, id, agent, FactName::Domain).await?;
    Ok(db::facts::set_maybe(tx, id, agent, FactName::Power).await?)
}

/// The wish goes to a host of the two, under a generation that everything older is refused by.
async fn stay_at(
    tx: &mut Tx,
    row: &InstanceRow,
    open: &MoveRow,
    host: Host,
    (code, message): (&str, &str),
) -> Result<(), AppError> {
    db::moves::set_wish(tx, &row.id, host).await?;
    db::instances::bump(tx, &row.id).await?;
    if host == Host::B {
        return Ok(());
    }
    let values = [
        ("from", open.from().to_owned()),
        ("to", open.to().to_owned()),
        ("code", code.to_owned()),
        ("message", message.to_owned()),
    ];
    tell(tx, row, "move_given_up", &values).await
}

async fn tell(tx: &mut Tx, row: &InstanceRow, code: &str, values: &[(&str, String)]) -> Result<(), AppError> {
    let account = Some(row.account.as_str());
    let event = db::events::NewEvent { account, resource: &row.id, code, values, job: None, request: None };
    Ok(db::events::insert(tx, &event).await?)
}

/// Takes a move back, because somebody asked for it.
pub async fn take_back(tx: &mut Tx, row: &InstanceRow) -> Result<(), AppError> {
    db::moves::set_wish(tx, &row.id, Host::A).await?;
    Ok(db::instances::bump(tx, &row.id).await?)
}

/// It is on one host alone: the row of the move goes, the other host forgets its port, and what was its address there cools
/// when it is released.
async fn settle(
    tx: &mut Tx,
    ringing: &mut Ringing,
    row: &InstanceRow,
    open: &MoveRow,
    cause: Cause,
) -> Result<(), AppError> {
    db::moves::remove(tx, &row.id).await?;
    let (here, left) = (&open.end(open.wish).host, &open.end(open.wish.other()).host);
    let mut known = row.tried_hosts.clone();
    known.retain(|host| host != here && host != left);
    known.push(left.clone());
    let policy = (open.wish == Host::B).then_some(open.need_policy_version);
    db::instances::set_moved(tx, &row.id, here, &known, policy).await?;
    db::networks::move_vifs(tx, &row.id, here).await?;
    db::nodes::bump_policy(tx, left).await?;
    snapshot::policy(tx, ringing, left, Cause::fact()).await?;
    let values = [("from", open.from().to_owned()), ("to", open.to().to_owned())];
    let code = if open.wish == Host::B { "moved" } else { "move_ended_back" };
    tell(tx, row, code, &values).await?;
    Box::pin(instance::advance(tx, ringing, &row.id, Cause { request: cause.request, ..Cause::fact() })).await
}

/// A deletion goes to both hosts, and is over when both have answered that nothing is there and nothing older is taken.
async fn leave(tx: &mut Tx, ringing: &mut Ringing, row: &InstanceRow, cause: Cause) -> Result<(), AppError> {
    let Some(open) = db::moves::of_instance(tx, &row.id).await? else { return Ok(()) };
    let mut all = InstanceFacts { domain: Fact::No, power: Fact::No, generation: 0, devices_settled: true };
    for end in &open.ends {
        let before = instance::facts_at(tx, &row.id, &end.agent).await?;
        let has_left = before.domain == Fact::No && before.power == Fact::No && before.generation >= row.generation;
        if !has_left {
            let at = At { thing: &row.id, agent: &end.agent, account: Some(&row.account) };
            let wanted = Wanted { kind: Kind::DeleteInstance, generation: row.generation };
            if queue(tx, ringing, at, Some(wanted), None, cause).await?.is_some() {
                set_maybe(tx, &row.id, &end.agent).await?;
            }
            all.domain = Fact::Maybe;
        }
    }
    settle_state(tx, ringing, row, all, true, cause).await
}

/// Removes what is on another host although no move leads there: a receive that was late, or what a host that was not heard
/// when the move ended still has.
pub async fn remove_strays(
    tx: &mut Tx,
    ringing: &mut Ringing,
    row: &InstanceRow,
    facts: &[FactRow],
    own: &str,
    cause: Cause,
) -> Result<(), AppError> {
    let others = facts.iter().filter(|fact| fact.agent != own && fact.name == FactName::Domain);
    let others: Vec<(&str, Held)> = others
        .map(|fact| (fact.agent.as_str(), held_at(facts, &fact.agent).0))
        .filter(|(_, held)| *held != Held::Between(Guest::Absent))
        .collect();
    let lost = if others.is_empty() { Vec::new() } else { db::losses::agents(tx).await? };
    for (agent, held) in others {
        let removal = if lost.iter().any(|one| one == agent) {
            moving::stray_of_lost(held_at(facts, own).0, held, row.ran_before)
        } else {
            moving::stray(held_at(facts, own).0, held)
        };
        let kind = match removal {
            Some(Job::Remove) => Kind::DeleteInstance,
            Some(_) => Kind::ObserveInstance,
            None => continue,
        };
        let at = At { thing: &row.id, agent, account: Some(&row.account) };
        let wanted = Wanted { kind, generation: row.generation };
        let queued = queue(tx, ringing, at, Some(wanted), None, cause).await?;
        if queued.is_some() && kind == Kind::DeleteInstance {
            set_maybe(tx, &row.id, agent).await?;
        }
    }
    Ok(())
}

/// Removes what a host has of an instance that is elsewhere, and forbids what is older there.
pub async fn remove_at(
    tx: &mut Tx,
    ringing: &mut Ringing,
    row: &InstanceRow,
    agent: &str,
    cause: Cause,
) -> Result<(), AppError> {
    let at = At { thing: &row.id, agent, account: Some(&row.account) };
    let wanted = Wanted { kind: Kind::DeleteInstance, generation: row.generation };
    if queue(tx, ringing, at, Some(wanted), None, cause).await?.is_some() {
        set_maybe(tx, &row.id, agent).await?;
    }
    Ok(())
}

/// Whether what an agent tells of an instance is older than the end of a send that is open at the other host.
pub async fn is_hidden(tx: &mut Tx, open: Option<&MoveRow>, agent: &str) -> Result<bool, AppError> {
    let Some(other) = open.and_then(|open| Some(&open.end(open.side_of(agent)?.other()).agent)) else {
        return Ok(false);
    };
    let thing = open.map_or("", |open| open.instance.as_str());
    let job = db::jobs::open_of(tx, thing, other).await?;
    Ok(job.is_some_and(|(_, job)| job.kind == Kind::SendInstance))
}

/// What an agent held, before what it tells now is written.
#[derive(Debug)]
pub struct Before {
    open: MoveRow,
    held: Held,
}

pub async fn before(tx: &mut Tx, open: Option<MoveRow>, agent: &str) -> Result<Option<Before>, AppError> {
    let Some(open) = open.filter(|open| open.side_of(agent).is_some()) else { return Ok(None) };
    let facts = db::facts::of_thing(tx, &open.instance).await?;
    Ok(Some(Before { held: held_at(&facts, agent).0, open }))
}

/// A sender that is not whole any more is news of the other side too: what was seen to wait there may run by now.
pub async fn overtake(tx: &mut Tx, before: Option<Before>, agent: &str) -> Result<(), AppError> {
    let Some(Before { open, held: was }) = before else { return Ok(()) };
    let Some(other) = open.side_of(agent).map(|side| &open.end(side.other()).agent) else { return Ok(()) };
    let facts = db::facts::of_thing(tx, &open.instance).await?;
    let waits = held_at(&facts, other).0 == Held::Between(Guest::Waiting);
    let overtaken = match held_at(&facts, agent).0 {
        Held::Between(Guest::HandedOver) => was != Held::Between(Guest::HandedOver) || waits,
        Held::Between(Guest::Absent) => waits,
        Held::Between(_) | Held::Off => false,
    };
    if overtaken { set_maybe(tx, &open.instance, other).await } else { Ok(()) }
}

/// Reports about an instance, and the agent that made them.
pub fn is_about(report: &FactReport, open: &MoveRow) -> bool {
    report.thing == open.instance
}

/// A guest could not be received or sent. Answers the pause before the next attempt, or `None` when the move was given up.
pub async fn failed(tx: &mut Tx, id: &str, reason: (&str, &str), passing: bool) -> Result<Option<u32>, AppError> {
    let Some(row) = db::instances::lock(tx, id).await? else { return Ok(None) };
    let Some(open) = db::moves::of_instance(tx, id).await? else { return Ok(None) };
    let attempts = db::moves::count_attempt(tx, id).await?;
    let facts = db::facts::of_thing(tx, id).await?;
    let arrived = held_at(&facts, &open.ends[1].agent).0 == Held::Between(Guest::Running);
    // On its way back there is nothing left to give up.
    if open.wish == Host::A || arrived || (passing && attempts < ATTEMPTS_MAX) {
        return Ok(Some(attempts));
    }
    stay_at(tx, &row, &open, Host::A, reason).await?;
    Ok(None)
}
