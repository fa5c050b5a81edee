//! The plan of an attachment: the export on the storage node. Plugging belongs to the instance's plan; an export goes
//! only when the plug is surely gone, a plug comes only when the export surely stands (DESIGN 3.2).

use super::{Kind, Wanted};
use arame_schema::model::Fact;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wish {
    pub wanted: bool,
    pub generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    pub volume: Fact,
    pub exported: Fact,
    /// Generation that the export carries, or that its removal was answered with. A raised one (the instance is on
    /// another host) asks for another export.
    pub export_generation: u64,
    /// On any host: the most present of all its plugs.
    pub plugged: Fact,
}

pub fn next_job(wish: Wish, facts: Facts) -> Option<Wanted> {
    let job = |kind| Some(Wanted { kind, generation: wish.generation });
    if wish.wanted {
        let exportable = facts.volume.is_surely_so() && !is_exported(wish, facts);
        return if exportable { job(Kind::ExportVolume) } else { None };
    }
    // That no export was seen is not enough: one still on its way would serve a host that was left.
    let forbidden = facts.exported == Fact::No && facts.export_generation >= wish.generation;
    if facts.plugged.may_be_so() || forbidden { None } else { job(Kind::UnexportVolume) }
}

/// Whether the export surely stands as it is wished now.
pub fn is_exported(wish: Wish, facts: Facts) -> bool {
    facts.exported.is_surely_so() && facts.export_generation >= wish.generation
}

/// Whether the volume belongs into its instance's spec: plugging needs an export that surely stands (DESIGN 3.2). A disk
/// that surely is plugged stays in while its export is renewed: a running guest does not lose it for that.
pub fn is_pluggable(wish: Wish, facts: Facts) -> bool {
    wish.wanted && (is_exported(wish, facts) || (facts.plugged.is_surely_so() && facts.exported.may_be_so()))
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

/// Whether the attachment is over: nothing of it is left anywhere, and nothing of it can come any more.
pub fn is_over(wish: Wish, facts: Facts) -> bool {
    !wish.wanted && facts.plugged == Fact::No && next_job(wish, facts).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_outlives_every_plug_that_may_exist() {
        let wish = Wish { wanted: false, generation: 2 };
        for plugged in [Fact::Maybe, Fact::Yes] {
            let facts = Facts { volume: Fact::Yes, exported: Fact::Yes, export_generation: 1, plugged };
            assert_eq!(next_job(wish, facts), None);
            assert!(!is_over(wish, facts));
        }
        let facts = Facts { volume: Fact::Yes, exported: Fact::Yes, export_generation: 1, plugged: Fact::No };
        assert_eq!(next_job(wish, facts).map(|w| w.kind), Some(Kind::UnexportVolume));
    }
}
