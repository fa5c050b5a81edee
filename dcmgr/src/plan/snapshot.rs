//! The plan of a versioned snapshot: a network at one nsa, the policy of one host; and of a network that goes.

use super::{Kind, Wanted};
use arame_schema::model::Fact;

/// `applied` is the version the agent is known to serve, 0 when unknown.
pub fn next_job(kind: Kind, version: u64, applied: u64) -> Option<Wanted> {
    if applied >= version { None } else { Some(Wanted { kind, generation: version }) }
}

/// What is to be served no more. Only an answer at this version or a later one says so: that an nsa did not serve an
/// older one tells nothing of a job that is still on its way to it.
pub fn next_removal(version: u64, served: Fact, generation: u64) -> Option<Wanted> {
    let is_gone = served == Fact::No && generation >= version;
    if is_gone { None } else { Some(Wanted { kind: Kind::DeleteNetwork, generation: version }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_served_is_not_sent_again() {
        assert_eq!(next_job(Kind::ApplyNetwork, 4, 4), None);
        assert_eq!(next_job(Kind::ApplyNetwork, 4, 3).map(|w| w.generation), Some(4));
    }

    #[test]
    fn a_network_is_gone_when_an_answer_at_its_last_version_says_so() {
        assert_eq!(next_removal(4, Fact::No, 4), None);
        for (served, generation) in [(Fact::Yes, 4), (Fact::Maybe, 4), (Fact::No, 3), (Fact::No, 0)] {
            let wanted = next_removal(4, served, generation).unwrap();
            assert_eq!((wanted.kind, wanted.generation), (Kind::DeleteNetwork, 4), "{served:?} {generation}");
        }
    }
}
