//! The plan of an attachment: the export on the storage node. Plugging belongs to the instance's plan; an export goes
//! only when the plug is surely gone, a plug comes only when the export surely stands (DESIGN 3.2).
//!
//! Where the plug's host was declared lost nobody tells whether it is gone: the way to the volume is fenced instead, and the
//! proof of that is what everything else waits for (DESIGN 7).

use super::{Kind, Wanted};
use arame_schema::model::Fact;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wish {
    pub wanted: bool,
    pub generation: u64,
    /// Its host was declared lost: no export, whatever is wanted, before the old one is fenced with proof.
    pub fencing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    pub volume: Fact,
    pub exported: Fact,
    /// Generation that the export carries, or that its removal was answered with. A raised one (the instance is on
    /// another host) asks for another export.
    pub export_generation: u64,
    /// The absence of the export was told with a proof of the fence, at this generation.
    pub proved: Option<u64>,
    /// On any host: the most present of all its plugs.
    pub plugged: Fact,
}

pub fn next_job(wish: Wish, facts: Facts) -> Option<Wanted> {
    let job = |kind| Some(Wanted { kind, generation: wish.generation });
    if wish.fencing {
        return if is_fenced(wish, facts) { None } else { job(Kind::FenceVolume) };
    }
    if wish.wanted {
        let exportable = facts.volume.is_surely_so() && !is_exported(wish, facts);
        return if exportable { job(Kind::ExportVolume) } else { None };
    }
    // That no export was seen is not enough: one still on its way would serve a host that was left.
    let forbidden = facts.exported == Fact::No && facts.export_generation >= wish.generation;
    if facts.plugged.may_be_so() || forbidden { None } else { job(Kind::UnexportVolume) }
}

/// Whether it is proved that nobody reaches the volume by this attachment any more. A proof of an older wish says nothing of
/// an export that was asked for after it, and none is left of one that was overtaken by any other word about the export.
pub fn is_fenced(wish: Wish, facts: Facts) -> bool {
    facts.exported == Fact::No && facts.proved.is_some_and(|proved| proved >= wish.generation)
}

/// Whether the export surely stands as it is wished now.
pub fn is_exported(wish: Wish, facts: Facts) -> bool {
    !wish.fencing && facts.exported.is_surely_so() && facts.export_generation >= wish.generation
}

/// Whether the volume belongs into its instance's spec: plugging needs an export that surely stands (DESIGN 3.2). A disk
/// that surely is plugged stays in while its export is renewed: a running guest does not lose it for that.
pub fn is_pluggable(wish: Wish, facts: Facts) -> bool {
    let keeps = facts.plugged.is_surely_so() && facts.exported.may_be_so() && !wish.fencing;
    wish.wanted && (is_exported(wish, facts) || keeps)
}

/// Whether the plug of a guest that is to run is surely as it is wished: nothing is left to do for its instance.
pub fn is_plug_settled(wish: Wish, facts: Facts) -> bool {
    if is_pluggable(wish, facts) { facts.plugged.is_surely_so() } else { is_unplug_settled(wish, facts) }
}

/// The same for a guest that is off: what it is to have is plugged when it starts.
pub fn is_unplug_settled(wish: Wish, facts: Facts) -> bool {
    wish.wanted || facts.plugged == Fact::No
}

/// What counts of a plug that is to go, from a look at its host. That it was not seen is believed only when there is no
/// domain, or when the domain carries the instance's newest wish (`carried`): an older job still on its way could plug it.
pub fn plug_to_go(plugged: Fact, domain: Fact, carried: bool) -> Fact {
    if plugged == Fact::No && domain.may_be_so() && !carried { Fact::Maybe } else { plugged }
}

/// Whether the attachment is over: nothing of it is left anywhere, and nothing of it can come any more. What a lost host still
/// has plugged leads nowhere, by the proof.
pub fn is_over(wish: Wish, facts: Facts) -> bool {
    if wish.fencing {
        return !wish.wanted && is_fenced(wish, facts);
    }
    !wish.wanted && facts.plugged == Fact::No && next_job(wish, facts).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_outlives_every_plug_that_may_exist() {
        let wish = Wish { wanted: false, generation: 2, fencing: false };
        for plugged in [Fact::Maybe, Fact::Yes] {
            let facts = Facts { volume: Fact::Yes, exported: Fact::Yes, export_generation: 1, proved: None, plugged };
            assert_eq!(next_job(wish, facts), None);
            assert!(!is_over(wish, facts));
        }
        let facts =
            Facts { volume: Fact::Yes, exported: Fact::Yes, export_generation: 1, proved: None, plugged: Fact::No };
        assert_eq!(next_job(wish, facts).map(|w| w.kind), Some(Kind::UnexportVolume));
    }
    #[test]
    fn only_the_newest_proof_of_an_absent_export_frees_a_lost_hosts_volume() {
        let facts =
            Facts { volume: Fact::Yes, exported: Fact::No, export_generation: 3, proved: Some(3), plugged: Fact::Yes };
        for wanted in [false, true] {
            let wish = Wish { wanted, generation: 3, fencing: true };
            assert!(is_fenced(wish, facts));
            assert_eq!((is_over(wish, facts), next_job(wish, facts)), (!wanted, None));
            for unproved in [
                Facts { proved: None, ..facts },
                Facts { proved: Some(2), ..facts },
                Facts { exported: Fact::Maybe, ..facts },
                Facts { exported: Fact::Yes, ..facts },
            ] {
                assert!(!is_over(wish, unproved) && !is_fenced(wish, unproved), "{unproved:?}");
                assert_eq!(next_job(wish, unproved).map(|w| w.kind), Some(Kind::FenceVolume), "{unproved:?}");
                assert!(!is_pluggable(wish, unproved), "{unproved:?}");
            }
        }
    }
}
