//! The plan of an instance: from the wish and the facts of its host to the next job, or none.
//!
//! ```text
//!   wish on,  prerequisites met ──► apply ──► power yes at the wish's generation
//!   wish off                    ──► apply (power off) ──► power no
//!   wish gone                   ──► delete ──► domain no, power no
//!   leaving host                ──► delete ──► and the host knows that it was left
//! ```

use super::{Kind, Wanted};
use arame_schema::model::Fact;
use arame_schema::model::instance::DesiredInstance;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wish {
    pub desired: DesiredInstance,
    pub generation: u64,
    /// A requested reboot whose outcome is not known.
    pub reboot: bool,
    /// This host is to be left: remove everything here.
    pub leaving_host: bool,
}

/// What is known of the instance on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    pub domain: Fact,
    pub power: Fact,
    /// Spec generation that the domain carries. It is written before the disks are plugged and unplugged.
    pub generation: u64,
    /// Every attachment's plug, and every interface, is surely as it is wished.
    pub devices_settled: bool,
}

/// What stands outside the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Surroundings {
    /// Every network of its NICs is served by one nsa at the needed version, and its host's policy is applied at the
    /// needed version.
    pub ready: bool,
    /// Its guest was seen running once: its disk holds data.
    pub ran_before: bool,
    /// The attempts are used up or the reason is final.
    pub failed: bool,
}

/// The next job for the instance on its host.
pub fn next_job(wish: Wish, facts: Facts, around: Surroundings) -> Option<Wanted> {
    let wanted = |kind| Some(Wanted { kind, generation: wish.generation });
    let exists = facts.domain.may_be_so() || facts.power.may_be_so();
    if wish.desired == DesiredInstance::Gone {
        return if exists { wanted(Kind::DeleteInstance) } else { None };
    }
    if wish.leaving_host {
        return if has_left(wish, facts) { None } else { wanted(Kind::DeleteInstance) };
    }
    if around.failed {
        // A launch that failed for good leaves nothing on the host; a disk that was used is never removed.
        return if exists && !around.ran_before { wanted(Kind::DeleteInstance) } else { None };
    }
    if is_lost(facts, around) {
        return None;
    }
    match wish.desired {
        DesiredInstance::On if !around.ready => None,
        DesiredInstance::On => {
            let current = facts.domain.is_surely_so() && !is_behind(wish, facts);
            match (facts.power.is_surely_so() && current, wish.reboot) {
                (false, _) => wanted(Kind::ApplyInstance),
                (true, true) => wanted(Kind::RebootInstance),
                (true, false) => None,
            }
        }
        DesiredInstance::Off => {
            let behind = exists && is_behind(wish, facts);
            if facts.power.may_be_so() || facts.domain == Fact::Maybe || behind {
                wanted(Kind::ApplyInstance)
            } else {
                None
            }
        }
        DesiredInstance::Gone => None,
    }
}

fn is_behind(wish: Wish, facts: Facts) -> bool {
    facts.generation < wish.generation || !facts.devices_settled
}

/// Whether a host that is being left holds nothing and will take nothing: a delete of this generation was answered there.
/// That nothing was seen is not enough, because a job still on its way would start the guest on two hosts.
pub fn has_left(wish: Wish, facts: Facts) -> bool {
    facts.domain == Fact::No && facts.power == Fact::No && facts.generation >= wish.generation
}

/// Whether the instance may be placed on another host. `volumes_fenced`: of every volume that it had on a host declared lost it
/// is proved that nobody reaches it from there (DESIGN 7).
pub fn may_start_elsewhere(wish: Wish, facts: Facts, volumes_fenced: bool) -> bool {
    wish.leaving_host && wish.desired != DesiredInstance::Gone && volumes_fenced && has_left(wish, facts)
}

/// A disk that held data and is gone: never made again (DESIGN 3.9).
pub fn is_lost(facts: Facts, around: Surroundings) -> bool {
    around.ran_before && facts.domain == Fact::No && facts.power == Fact::No
}

#[cfg(test)]
mod tests;
