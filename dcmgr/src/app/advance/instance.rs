//! Advances an instance: its job, its maybe facts, its state, and what ends with it.

use super::super::losses::HOST_LOST;
use super::super::{AppError, Ringing, placement};
use super::image::{self, Readiness};
use super::{At, Cause, attachment, interface, moving, queue, snapshot};
use crate::db::facts::FactRow;
use crate::db::instances::InstanceRow;
use crate::db::volumes::AttachmentRow;
use crate::db::{self, Tx};
use crate::plan::attachment::{is_plug_settled, is_pluggable, is_unplug_settled};
use crate::plan::instance::{Facts, Surroundings, Wish, is_lost, may_start_elsewhere, next_job};
use crate::plan::loss::as_sworn;
use crate::plan::{Kind, Wanted};
use arame_schema::model::instance::{DesiredInstance, InstanceState, InstanceView, state};
use arame_schema::model::usage::of_instance;
use arame_schema::model::{Fact, FactName};

/// Looks at one instance and does what follows. Locks its row; the caller already holds what comes before it in the
/// lock order, or holds nothing.
pub async fn advance(tx: &mut Tx, ringing: &mut Ringing, id: &str, cause: Cause) -> Result<(), AppError> {
    let Some(row) = db::instances::lock(tx, id).await? else { return Ok(()) };
    let Some(agent) = row.agent.clone() else { return Ok(()) };
    let known = db::facts::of_instance(tx, id).await?;
    if known.may_move && db::moves::of_instance(tx, id).await?.is_some() {
        return Box::pin(moving::advance(tx, ringing, &row, cause)).await;
    }
    moving::remove_strays(tx, ringing, &row, &known.facts, &agent, cause).await?;
    let attachments = match known.may_have_attachments {
        true => db::volumes::attachments_of_instance(tx, id).await?,
        false => Vec::new(),
    };
    let mut facts = facts_among(&known.facts, &agent);
    let running = facts.power == Fact::Yes && facts.domain == Fact::Yes;
    // What it was launched with was made with it.
    let interfaces = match known.may_change_interfaces {
        true => interface::look(tx, &row, &agent).await?,
        false => Vec::new(),
    };
    if interface::release(tx, ringing, &row, &interfaces, facts).await?
        || interface::ask_for_ready(tx, &row, &interfaces, running).await?
    {
        return Box::pin(advance(tx, ringing, id, cause)).await;
    }
    facts.devices_settled =
        disks_settled(tx, &row, &attachments, &agent).await? && interface::are_settled(&row, &interfaces);
    let wish = Wish {
        desired: row.desired,
        generation: row.generation,
        reboot: row.operation.is_some(),
        leaving_host: row.leaving_host,
    };
    if row.leaving_host && super::super::losses::is_on_lost_host(tx, &row).await? {
        facts = as_sworn(facts, row.generation);
    }
    if may_start_elsewhere(wish, facts, attachment::are_fenced(tx, &attachments).await?) {
        return Box::pin(place_again(tx, ringing, &row, cause)).await;
    }
    let need = need(tx, &row, facts).await?;
    let around = Surroundings {
        ready: matches!(need, Need::Nothing),
        ran_before: row.ran_before,
        // That its host was lost is said of it; what is seen of it there is stopped all the same.
        failed: row.failure_code.as_deref().is_some_and(|code| code != HOST_LOST),
    };
    if is_lost(facts, around) && row.desired != DesiredInstance::Gone && row.failure_code.is_none() {
        let told = ("disk_lost", "the host's complete listing does not have its disk");
        db::instances::set_failure(tx, id, Some(told), true).await?;
        return Box::pin(advance(tx, ringing, id, cause)).await;
    }
    if let Need::Image(code, message) = need
        && row.failure_code.is_none()
    {
        db::instances::set_failure(tx, id, Some((&code, &message)), false).await?;
        return Box::pin(advance(tx, ringing, id, cause)).await;
    }
    let at = At { thing: id, agent: &agent, account: Some(&row.account) };
    let queued = queue(tx, ringing, at, next_job(wish, facts, around), row.operation, cause).await?;
    let mut now = facts;
    if let Some(wanted) = queued {
        write_maybe(tx, &row, &attachments, &agent, facts, wanted).await?;
        interface::write_maybe(tx, &interfaces, &agent, wanted.kind, running).await?;
        now = facts_at(tx, id, &agent).await?;
    }
    settle_state(tx, ringing, &row, now, false, cause).await
}

/// Disks and interfaces are looked at separately.
pub(in crate::app) async fn facts_at(tx: &mut Tx, id: &str, agent: &str) -> Result<Facts, AppError> {
    Ok(facts_among(&db::facts::of_thing(tx, id).await?, agent))
}

fn facts_among(all: &[FactRow], agent: &str) -> Facts {
    let here = |name| {
        let fact = all.iter().find(|fact| fact.agent == agent && fact.name == name);
        fact.map_or((Fact::No, 0), |fact| (fact.value, fact.generation))
    };
    let (domain, generation) = here(FactName::Domain);
    Facts { domain, power: here(FactName::Power).0, generation, devices_settled: true }
}

/// Whether every attachment's plug on this host is as it is wished.
async fn disks_settled(
    tx: &mut Tx,
    row: &InstanceRow,
    attachments: &[AttachmentRow],
    agent: &str,
) -> Result<bool, AppError> {
    for open in attachments {
        let (wish, facts) = super::attachment::facts_at(tx, open, agent).await?;
        let settled = match row.desired {
            DesiredInstance::On => is_plug_settled(wish, facts),
            DesiredInstance::Off => is_unplug_settled(wish, facts),
            DesiredInstance::Gone => true,
        };
        if !settled {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a start has to wait for.
enum Need {
    Nothing,
    /// A version of a network or of the host's policy, or an image that is coming.
    Time,
    /// A machine that never ran cannot be made from an image that cannot be imported: code and message.
    Image(String, String),
}

/// A start needs the image at a storage node, every network served by one nsa at the needed version, and the host's
/// policy applied at the needed version.
async fn need(tx: &mut Tx, row: &InstanceRow, facts: Facts) -> Result<Need, AppError> {
    let running = facts.power == Fact::Yes && facts.domain == Fact::Yes;
    // What runs was ready once; asking again would stop a change of its disks for a version of its network.
    if running || row.desired != DesiredInstance::On {
        return Ok(Need::Nothing);
    }
    let host = row.host.as_deref().unwrap_or_default();
    let vifs = db::networks::vifs_of_instance(tx, &row.id).await?;
    let facts = db::facts::of_things(tx, &[row.image.as_str(), host]).await?;
    // A disk made once needs its image no more.
    if !row.ran_before {
        match image::readiness(db::access::find_image(tx, &row.image).await?, &facts) {
            Readiness::Ready => {}
            Readiness::Coming => return Ok(Need::Time),
            Readiness::Failed(code, message) => return Ok(Need::Image(code, message)),
        }
    }
    let policy = vifs.iter().map(|vif| vif.need_policy).max().unwrap_or(0).max(row.need_policy_version);
    if snapshot::applied_anywhere(&facts, host) < policy {
        return Ok(Need::Time);
    }
    let networks: Vec<&str> = vifs.iter().map(|vif| vif.network.as_str()).collect();
    let served = db::networks::naming::served(tx, &networks).await?;
    let is_served = |vif: &db::networks::VifRow| served.get(&vif.network).is_some_and(|at| *at >= vif.need_version);
    Ok(if vifs.iter().all(is_served) { Need::Nothing } else { Need::Time })
}

/// The facts a job will touch become maybe with it (DESIGN 3.4).
async fn write_maybe(
    tx: &mut Tx,
    row: &InstanceRow,
    attachments: &[AttachmentRow],
    agent: &str,
    facts: Facts,
    job: Wanted,
) -> Result<(), AppError> {
    let changes_power = match job.kind {
        // A change of disks on a running guest does not touch its power, but for one that is taken by force.
        Kind::ApplyInstance => {
            let by_force = attachments.iter().any(|one| one.forced && !one.wanted);
            !(facts.power == Fact::Yes && row.desired == DesiredInstance::On) || by_force
        }
        Kind::DeleteInstance => true,
        _ => return Ok(()),
    };
    if changes_power {
        db::facts::set_maybe(tx, &row.id, agent, FactName::Domain).await?;
        db::facts::set_maybe(tx, &row.id, agent, FactName::Power).await?;
    }
    for attachment in attachments {
        let (wish, facts) = super::attachment::facts_at(tx, attachment, agent).await?;
        let will_plug = is_pluggable(wish, facts) && job.kind == Kind::ApplyInstance;
        let plugged = facts.plugged.is_surely_so();
        if (will_plug && !plugged) || (!attachment.wanted && plugged) {
            db::facts::set_maybe(tx, &attachment.id, agent, FactName::Plugged).await?;
        }
    }
    Ok(())
}

/// Writes the state that follows from the facts as they are now.
pub(super) async fn settle_state(
    tx: &mut Tx,
    ringing: &mut Ringing,
    row: &InstanceRow,
    facts: Facts,
    moving: bool,
    cause: Cause,
) -> Result<(), AppError> {
    let view = InstanceView {
        desired: row.desired,
        domain: facts.domain,
        power: facts.power,
        ran_before: row.ran_before,
        failed: row.failure_code.is_some(),
        moving,
    };
    let now = state(view);
    if now == row.state {
        return Ok(());
    }
    db::instances::set_state(tx, &row.id, now).await?;
    let measure = db::usage::Measure {
        resource: &row.id,
        account: &row.account,
        cpu_cores: row.cpu_cores,
        memory_mib: row.memory_mib,
        disk_mib: row.disk_mib,
    };
    let used = of_instance(now, row.ran_before);
    if used.is_some() || row.ran_before {
        db::usage::set(tx, measure, used).await?;
    }
    let values = [("from", row.state.to_string()), ("to", now.to_string())];
    let event = db::events::NewEvent {
        account: Some(&row.account),
        resource: &row.id,
        code: "state_changed",
        values: &values,
        job: None,
        request: cause.request,
    };
    db::events::insert(tx, &event).await?;
    if now == InstanceState::Terminated {
        end(tx, ringing, row).await?;
    }
    Ok(())
}

/// A terminated instance gives back its addresses; its names and flows go with the next versions.
async fn end(tx: &mut Tx, ringing: &mut Ringing, row: &InstanceRow) -> Result<(), AppError> {
    let host = row.host.as_deref().unwrap_or_default();
    let vifs = db::networks::vifs_of_instance(tx, &row.id).await?;
    let mut groups = Vec::new();
    let mut versions = Vec::new();
    for vif in &vifs {
        versions.push(db::networks::bump(tx, &vif.network).await?);
        groups.extend(db::networks::groups_of_vif(tx, &vif.id).await?);
    }
    let policy = db::nodes::bump_policy(tx, host).await?;
    for (vif, version) in vifs.iter().zip(versions) {
        db::networks::release_vif(tx, vif, version, policy).await?;
    }
    for vif in &vifs {
        db::facts::forget_thing(tx, &vif.id).await?;
        snapshot::network(tx, ringing, &vif.network, Cause::fact()).await?;
    }
    snapshot::policy(tx, ringing, host, Cause::fact()).await?;
    let mut knew = placement::members_changed(tx, ringing, &groups, host).await?;
    for tried in &row.tried_hosts {
        if tried != host {
            knew.push((tried.clone(), db::nodes::policy_version(tx, tried).await?));
        }
    }
    if let Some(open) = db::moves::of_instance(tx, &row.id).await? {
        db::moves::remove(tx, &row.id).await?;
        knew.push((open.to().to_owned(), db::nodes::bump_policy(tx, open.to()).await?));
        snapshot::policy(tx, ringing, open.to(), Cause::fact()).await?;
    }
    for vif in &vifs {
        for (host, version) in &knew {
            db::networks::cool_at(tx, vif, host, *version).await?;
        }
    }
    Ok(())
}

/// Everything on the host that failed it is gone: another host is tried.
async fn place_again(tx: &mut Tx, ringing: &mut Ringing, row: &InstanceRow, cause: Cause) -> Result<(), AppError> {
    if placement::replace(tx, ringing, row).await? {
        let again = Cause { attempt: 1, delay_ms: 0, ..cause };
        let attachments = db::volumes::attachments_of_instance(tx, &row.id).await?;
        for open in &attachments {
            // What a lost host has plugged leads nowhere, by the proof; any other was seen without it.
            db::facts::forget(tx, &open.id, FactName::Plugged).await?;
        }
        Box::pin(advance(tx, ringing, &row.id, again)).await?;
        for open in attachments {
            Box::pin(super::attachment::advance(tx, ringing, &open.id, again)).await?;
        }
        return Ok(());
    }
    let facts = facts_at(tx, &row.id, row.agent.as_deref().unwrap_or_default()).await?;
    settle_state(tx, ringing, row, facts, false, cause).await
}
