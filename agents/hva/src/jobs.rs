//! The jobs of a hypervisor host, one file each, and what they share: what was found, and the facts about it.
//!
//! Rule: a job first looks what is there, refuses to go back in time, acts through the drivers, then looks again; only
//! the second look is answered. The generation answered is the last one that was carried out to its end: a job that
//! failed half way must not look done. Its observation is taken before looking.

pub mod apply;
pub mod capture;
pub mod delete;
pub mod list;
pub mod observe;
pub mod policy;
pub mod reboot;
pub mod receive;
pub mod send;
pub mod stay;

use crate::Hva;
use crate::driver::{DriverError, SeenDomain, SeenPower};
use crate::records::{Record, Side};
use arame_framework::agent::{Stopped, Work};
use arame_framework::rehearsal::{self, Sabotage};
use arame_schema::jobs::hva::Between;
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::model::restart::EndedBy;
use arame_schema::model::{AttachmentId, Fact, FactName, InstanceId, Observation, VifId};
use serde_json::json;
use uuid::Uuid;

/// The parts of an instance on this host.
pub struct Found {
    pub domain: Option<SeenDomain>,
    pub record: Option<Record>,
    /// Generation it was lately deleted with.
    pub grave: Option<u64>,
}

/// What a host holds of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    Absent,
    /// Some part of it, none that runs; its disk is its newest.
    Off,
    Waiting,
    Running,
    Paused,
    Handed,
}

impl Guest {
    /// It runs here or can go on here, and nowhere else.
    pub fn is_whole(self) -> bool {
        match self {
            Guest::Running | Guest::Paused => true,
            Guest::Absent | Guest::Off | Guest::Waiting | Guest::Handed => false,
        }
    }

    fn between(self) -> Option<Between> {
        match self {
            Guest::Waiting => Some(Between::Waiting),
            Guest::Paused => Some(Between::Paused),
            Guest::Handed => Some(Between::Handed),
            Guest::Absent | Guest::Off | Guest::Running => None,
        }
    }
}

impl Found {
    pub fn guest(&self) -> Guest {
        let side = self.record.as_ref().and_then(|record| record.side);
        match (&self.domain, side) {
            (None, None) if self.record.is_none() => Guest::Absent,
            (Some(domain), side) if domain.power != SeenPower::Off => match (domain.power, side) {
                (SeenPower::Paused, Some(Side::Waiting)) if !domain.mark.is_released() => Guest::Waiting,
                // Its memory is there and not to be used: the other host was told that it may run.
                (_, Some(Side::Handed)) => Guest::Handed,
                (SeenPower::Paused, _) => Guest::Paused,
                (SeenPower::On | SeenPower::Off, _) => Guest::Running,
            },
            (_, Some(Side::Handed)) => Guest::Handed,
            (None, Some(Side::Waiting)) => Guest::Waiting,
            (Some(domain), Some(Side::Waiting)) if domain.mark.waiting.is_some() => Guest::Waiting,
            (Some(domain), _) if domain.sent => Guest::Handed,
            // It ran here before it went off, whatever it waited for once.
            (Some(_), _) | (None, None) => Guest::Off,
        }
    }

    /// The newest generation any part carries; 0 when there is none.
    pub fn generation(&self) -> u64 {
        let domain = self.domain.as_ref().map_or(0, |domain| domain.mark.generation);
        domain.max(self.record.as_ref().map_or(0, |record| record.generation))
    }

    /// The newest generation that was carried out to its end, as far as is known.
    fn applied(&self) -> u64 {
        match (&self.record, &self.domain) {
            (Some(record), _) => record.applied,
            (None, Some(domain)) => domain.mark.generation,
            (None, None) => 0,
        }
    }

    /// Every attachment this instance has, or had and was not yet seen without.
    pub fn attachments(&self) -> Vec<AttachmentId> {
        let mut all: Vec<AttachmentId> = self.record.iter().flat_map(|record| record.attachments.clone()).collect();
        all.extend(self.domain.iter().flat_map(|domain| domain.plugged.clone()));
        all.sort();
        all.dedup();
        all
    }

    /// Every interface this instance has, or had and was not yet seen without.
    pub fn vifs(&self) -> Vec<VifId> {
        let of_record = |record: &Record| -> Vec<VifId> {
            record.vifs.iter().chain(record.nics.iter().map(|nic| &nic.vif)).cloned().collect()
        };
        let mut all: Vec<VifId> = self.record.iter().flat_map(of_record).collect();
        all.extend(self.domain.iter().flat_map(|domain| domain.nics.clone()));
        all.sort();
        all.dedup();
        all
    }

    fn installation(&self) -> Option<Uuid> {
        let domain = self.domain.as_ref().map(|domain| domain.mark.installation);
        domain.or(self.record.as_ref().map(|record| record.installation))
    }

    /// Things of another installation are never touched; older wishes are refused.
    pub fn admit(&self, work: &Work) -> Result<(), Stopped> {
        if let Some(other) = self.installation().filter(|found| *found != work.standing.installation) {
            let message = format!("{} here belongs to installation {other}", work.thing);
            return Err(Stopped::failed("foreign_thing", message, Retry::Never));
        }
        let found_generation = self.generation();
        if found_generation > work.generation && !rehearsal::sabotaged(Sabotage::SkipGenerationCheck) {
            return Err(Stopped::Refused { found_generation, facts: Vec::new() });
        }
        Ok(())
    }
}

/// One change of the world, between its two crash points.
pub async fn effect<T, E>(work: &Work, change: impl Future<Output = Result<T, E>>) -> Result<T, Stopped>
where
    Stopped: From<E>,
{
    work.crash_point("before_effect");
    let done = change.await?;
    work.crash_point("after_effect");
    Ok(done)
}

/// Looks at every part.
pub async fn find(hva: &Hva, instance: &InstanceId) -> Result<Found, DriverError> {
    let (domain, record, grave) =
        tokio::join!(hva.compute.observe(instance), hva.store.read(instance), hva.store.grave(instance));
    Ok(Found { domain: domain?, record: record?, grave: grave? })
}

/// Looks again and says what is there, about the instance and each of its attachments.
pub async fn facts(hva: &Hva, work: &Work, instance: &InstanceId) -> Result<Vec<FactReport>, DriverError> {
    let observed = work.standing.observe();
    let found = find(hva, instance).await?;
    Ok(facts_of(&found, instance, observed))
}

/// What is found, as facts.
pub fn facts_of(found: &Found, instance: &InstanceId, observed: Observation) -> Vec<FactReport> {
    let generation = found.applied();
    let exists = found.domain.is_some() || found.record.is_some();
    let fact = |thing: &str, name, value, detail| FactReport {
        thing: thing.to_owned(),
        name,
        value,
        generation,
        observed,
        detail,
    };
    let ended = found.domain.as_ref().and_then(|domain| match (domain.left, domain.died) {
        (true, _) => Some(EndedBy::Guest),
        (false, true) => Some(EndedBy::Death),
        (false, false) => None,
    });
    let ended = ended.map(|by| json!({ EndedBy::KEY: by.as_str() }));
    let (power, detail) = match found.domain.as_ref().map(|domain| domain.power) {
        Some(SeenPower::On) => (Fact::Yes, None),
        // Neither running nor surely gone: only an observation of no lets it run elsewhere.
        Some(SeenPower::Paused) => (Fact::Maybe, Some(json!({ "paused": true }))),
        Some(SeenPower::Off) => (Fact::No, ended),
        None => (Fact::No, None),
    };
    let thing = instance.as_str();
    let guest = found.guest();
    // A guest that may run elsewhere, or is to, does not run here, whatever is left of its memory.
    let (power, detail) = match guest {
        Guest::Waiting | Guest::Handed => (Fact::No, None),
        Guest::Absent | Guest::Off | Guest::Running | Guest::Paused => (power, detail),
    };
    let between = guest.between().map(|form| json!({ Between::KEY: form.as_str() }));
    let mut facts = vec![
        fact(thing, FactName::Domain, if exists { Fact::Yes } else { Fact::No }, between),
        fact(thing, FactName::Power, power, detail),
    ];
    let domain = found.domain.as_ref();
    let plugged: &[AttachmentId] = domain.map_or(&[], |domain| &domain.plugged);
    let half: &[AttachmentId] = domain.map_or(&[], |domain| &domain.half_plugged);
    for attachment in found.attachments() {
        let value = plug_seen(plugged.contains(&attachment), half.contains(&attachment));
        facts.push(fact(attachment.as_str(), FactName::Plugged, value, None));
    }
    let nics: &[VifId] = domain.map_or(&[], |domain| &domain.nics);
    let half: &[VifId] = domain.map_or(&[], |domain| &domain.half_nics);
    for vif in found.vifs() {
        let value = plug_seen(nics.contains(&vif), half.contains(&vif));
        facts.push(fact(vif.as_str(), FactName::Plugged, value, None));
    }
    facts
}

/// What only the guest or only its definition has is on its way in, or out.
fn plug_seen(somewhere: bool, half: bool) -> Fact {
    match (somewhere, half) {
        (_, true) => Fact::Maybe,
        (true, false) => Fact::Yes,
        (false, false) => Fact::No,
    }
}

/// A job that stopped answers what is there now, when that can be seen.
pub async fn with_what_is_there(hva: &Hva, stopped: Stopped, work: &Work) -> Stopped {
    let already = match &stopped {
        Stopped::Failed { facts, .. } | Stopped::Refused { facts, .. } | Stopped::Overtaken { facts } => {
            !facts.is_empty()
        }
    };
    let Ok(instance) = work.thing.parse::<InstanceId>() else { return stopped };
    if already {
        return stopped;
    }
    match facts(hva, work, &instance).await {
        Ok(seen) => stopped.with_facts(seen),
        Err(_) => stopped,
    }
}
