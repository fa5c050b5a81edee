//! The plan of an interface: when it belongs into its instance's spec, when that is settled, and when it has left.
//!
//! ```text
//!   wanted, its network and policy served ──► into the spec ──► plugged
//!   leaving ──► out of the spec ──► surely unplugged, and nothing older on its way ──► it belongs to no instance
//! ```
//!
//! Rule: what a running guest is to get waits for its port's rules; what it has it keeps until it is told to let go. The
//! jobs are the instance's: it owns its whole domain (DESIGN 3.2).

use super::attachment::plug_to_go;
use arame_schema::model::Fact;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    pub plugged: Fact,
    /// Its network is served, and its host's policy applied, at the versions that know it.
    pub ready: bool,
}

/// Whether it belongs into the spec. A guest that does not run gets all: its start waits for their versions.
pub fn belongs(wanted: bool, facts: Facts, running: bool) -> bool {
    wanted && (!running || facts.ready || facts.plugged.may_be_so())
}

/// Whether nothing is left to do for it at a guest that runs and is to.
pub fn is_settled(wanted: bool, facts: Facts) -> bool {
    if belongs(wanted, facts, true) { facts.plugged.is_surely_so() } else { facts.plugged == Fact::No }
}

/// The same for a guest that is off: what it is to have comes with its start.
pub fn is_settled_off(wanted: bool, facts: Facts) -> bool {
    wanted || facts.plugged == Fact::No
}

/// Whether it has left. That it was not seen is believed only where no older job could plug it again: the domain carries
/// the instance's newest wish (`carried`), or there is none.
pub fn has_left(wanted: bool, plugged: Fact, domain: Fact, carried: bool) -> bool {
    !wanted && plug_to_go(plugged, domain, carried) == Fact::No
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_guest_gets_it_when_its_port_is_ready_and_keeps_what_it_has() {
        let facts = |plugged, ready| Facts { plugged, ready };
        assert!(!belongs(true, facts(Fact::No, false), true));
        assert!(is_settled(true, facts(Fact::No, false)), "there is nothing to do but wait");
        assert!(belongs(true, facts(Fact::No, true), true), "the control: it is ready");
        assert!(!is_settled(true, facts(Fact::No, true)));
        assert!(belongs(true, facts(Fact::Yes, false), true), "a version that is not known takes nothing away");
        assert!(belongs(true, facts(Fact::No, false), false), "a start waits for all of them");
    }
}
