//! Interfaces of an instance beside its power and its disks: what is known of each, and the end of those that left.
//!
//! Rule: an interface leaves its instance only when no host has it and nothing older could plug it again. Its network and
//! its host then get versions without it; the address stays the interface's.

use super::super::{AppError, Ringing, placement};
use super::Cause;
use super::snapshot::{self, applied_anywhere};
use crate::db::instances::InstanceRow;
use crate::db::networks::VifRow;
use crate::db::{self, Tx};
use crate::plan::Kind;
use crate::plan::instance::Facts as InstanceFacts;
use crate::plan::interface::{Facts, belongs, has_left, is_settled, is_settled_off};
use arame_schema::model::instance::DesiredInstance;
use arame_schema::model::{Fact, FactName};

/// An interface and what is known of it at its instance's host.
#[derive(Debug, Clone)]
pub struct Seen {
    pub vif: VifRow,
    pub facts: Facts,
    /// At any host: the most present of all.
    pub plugged_anywhere: Fact,
}

impl Seen {
    pub fn wanted(&self) -> bool {
        !self.vif.leaving
    }
}

pub async fn look(tx: &mut Tx, row: &InstanceRow, agent: &str) -> Result<Vec<Seen>, AppError> {
    let vifs = db::networks::vifs_of_instance(tx, &row.id).await?;
    let host = row.host.as_deref().unwrap_or_default();
    let things: Vec<&str> = vifs.iter().map(|vif| vif.id.as_str()).chain([host]).collect();
    let facts = db::facts::of_things(tx, &things).await?;
    let networks: Vec<&str> = vifs.iter().map(|vif| vif.network.as_str()).collect();
    let served = db::networks::naming::served(tx, &networks).await?;
    let seen = |vif: &VifRow| {
        let plugs = || facts.iter().filter(|fact| fact.thing == vif.id && fact.name == FactName::Plugged);
        let here = plugs().find(|fact| fact.agent == agent).map(|fact| fact.value);
        // An agent of an earlier version tells nothing of interfaces; what its guest began with it has.
        let unsaid = if vif.asked_generation == 1 && !vif.leaving { Fact::Yes } else { Fact::No };
        let ready = served.get(&vif.network).is_some_and(|at| *at >= vif.need_version)
            && applied_anywhere(&facts, host) >= vif.need_policy;
        Seen {
            vif: vif.clone(),
            facts: Facts { plugged: here.unwrap_or(unsaid), ready },
            plugged_anywhere: plugs().map(|fact| fact.value).max().unwrap_or(Fact::No),
        }
    };
    Ok(vifs.iter().map(seen).collect())
}

/// Whether every interface of the instance is as it is wished.
pub fn are_settled(row: &InstanceRow, seen: &[Seen]) -> bool {
    seen.iter().all(|one| match row.desired {
        DesiredInstance::On => is_settled(one.wanted(), one.facts),
        DesiredInstance::Off => is_settled_off(one.wanted(), one.facts),
        DesiredInstance::Gone => true,
    })
}

/// Gives the instance a new generation for interfaces that can come now: what was asked for without them stays older.
/// Answers whether it did.
pub async fn ask_for_ready(tx: &mut Tx, row: &InstanceRow, seen: &[Seen], running: bool) -> Result<bool, AppError> {
    let new = |one: &&Seen| one.vif.asked_generation == 0 && belongs(one.wanted(), one.facts, running);
    let coming: Vec<&Seen> = seen.iter().filter(new).collect();
    if coming.is_empty() || row.desired == DesiredInstance::Gone {
        return Ok(false);
    }
    db::instances::bump(tx, &row.id).await?;
    for one in coming {
        db::networks::plugs::ask_for(tx, &one.vif.id, row.generation + 1).await?;
    }
    Ok(true)
}

/// What a job that was queued will plug or unplug becomes maybe (DESIGN 3.4).
pub async fn write_maybe(tx: &mut Tx, seen: &[Seen], agent: &str, kind: Kind, running: bool) -> Result<(), AppError> {
    for one in seen {
        let plugs = kind == Kind::ApplyInstance && belongs(one.wanted(), one.facts, running);
        let touches = match one.facts.plugged {
            Fact::No => plugs,
            Fact::Yes => !plugs,
            Fact::Maybe => false,
        };
        if touches {
            db::facts::set_maybe(tx, &one.vif.id, agent, FactName::Plugged).await?;
        }
    }
    Ok(())
}

/// Lets those go that have left. Answers whether any did.
pub async fn release(
    tx: &mut Tx,
    ringing: &mut Ringing,
    row: &InstanceRow,
    seen: &[Seen],
    facts: InstanceFacts,
) -> Result<bool, AppError> {
    // A failure that is final was answered: nothing more of it is on its way.
    let carried = facts.generation >= row.generation || row.failure_final;
    let left = |one: &&Seen| has_left(one.wanted(), one.plugged_anywhere, facts.domain, carried);
    let gone: Vec<&VifRow> = seen.iter().filter(left).map(|one| &one.vif).collect();
    if gone.is_empty() || row.desired == DesiredInstance::Gone {
        return Ok(false);
    }
    let host = row.host.as_deref().unwrap_or_default();
    for vif in &gone {
        let version = db::networks::bump(tx, &vif.network).await?;
        let policy = db::nodes::bump_policy(tx, host).await?;
        db::networks::plugs::leave(tx, vif, version, policy).await?;
        db::networks::cool_at(tx, vif, host, policy).await?;
        let groups = db::networks::groups_of_vif(tx, &vif.id).await?;
        for (other, version) in placement::members_changed(tx, ringing, &groups, host).await? {
            db::networks::cool_at(tx, vif, &other, version).await?;
        }
        db::facts::forget_thing(tx, &vif.id).await?;
        snapshot::network(tx, ringing, &vif.network, Cause::fact()).await?;
        tell(tx, row, vif).await?;
    }
    snapshot::policy(tx, ringing, host, Cause::fact()).await?;
    Ok(true)
}

async fn tell(tx: &mut Tx, row: &InstanceRow, vif: &VifRow) -> Result<(), AppError> {
    let values = [("vif", vif.id.clone()), ("network", vif.network.clone())];
    let event = db::events::NewEvent {
        account: Some(&row.account),
        resource: &row.id,
        code: "interface_left",
        values: &values,
        job: None,
        request: None,
    };
    Ok(db::events::insert(tx, &event).await?)
}
