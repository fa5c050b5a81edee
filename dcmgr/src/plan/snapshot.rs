//! The plan of a versioned snapshot: a network at one nsa, the policy of one host.

use super::{Kind, Wanted};

/// `applied` is the version the agent is known to serve, 0 when unknown.
pub fn next_job(kind: Kind, version: u64, applied: u64) -> Option<Wanted> {
    if applied >= version { None } else { Some(Wanted { kind, generation: version }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_served_is_not_sent_again() {
        assert_eq!(next_job(Kind::ApplyNetwork, 4, 4), None);
        assert_eq!(next_job(Kind::ApplyNetwork, 4, 3).map(|w| w.generation), Some(4));
    }
}
