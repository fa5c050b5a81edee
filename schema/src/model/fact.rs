//! Facts: what an agent saw, or what might be so because a job is on its way (DESIGN 3.2, 3.4).
//!
//! A fact is no, maybe or yes. Building up treats maybe as missing, tearing down treats maybe as present. Facts are
//! keyed (thing, agent, name) and carry the order of their observation; an older observation never wins.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fact {
    No,
    Maybe,
    Yes,
}

impl Fact {
    /// For building up: only yes counts.
    pub fn is_surely_so(self) -> bool {
        matches!(self, Fact::Yes)
    }

    /// For tearing down: maybe counts as well.
    pub fn may_be_so(self) -> bool {
        matches!(self, Fact::Yes | Fact::Maybe)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Fact::No => "no",
            Fact::Maybe => "maybe",
            Fact::Yes => "yes",
        }
    }

    pub fn parse(text: &str) -> Option<Fact> {
        match text {
            "no" => Some(Fact::No),
            "maybe" => Some(Fact::Maybe),
            "yes" => Some(Fact::Yes),
            _ => None,
        }
    }
}

/// What a fact is about. The owner of each name is the plan of the thing it is kept under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactName {
    /// An instance's domain, disk or any other part of it exists on this host.
    Domain,
    /// The instance's guest runs on this host. `generation` is the spec generation it runs with.
    Power,
    /// The attachment's volume is plugged into its instance's domain on this host. Owned by the instance's plan.
    Plugged,
    /// The volume exists on this storage node. `detail` names the rollback it carries, if any.
    Volume,
    /// The snapshot of a volume exists on this storage node.
    Snapshot,
    /// The snapshot may be read by another storage node, which receives it. `detail` is [`crate::jobs::sta::OfferedSnapshot`].
    Offered,
    /// The copy of another node's snapshot is on this storage node: yes when it is whole and was proved equal, maybe when only
    /// a part of it is. `detail` is [`crate::jobs::sta::StoredReplica`].
    Replica,
    /// The attachment's target exists on this storage node. `detail` is [`crate::jobs::sta::ExportedTarget`].
    Exported,
    /// The image's bytes are on this storage node, verified. `detail` is [`crate::jobs::sta::StoredImage`].
    Image,
    /// The backup is in its storage, whole, as this storage node sees it. `detail` is [`crate::jobs::sta::StoredBackup`].
    Object,
    /// A copy of a machine's disk, for an image, is on this host, whole. `detail` is [`crate::jobs::hva::Captured`].
    Captured,
    /// A snapshot (a network's at an nsa, a host's policy at its hva) is applied; `generation` is its version.
    Applied,
}

impl FactName {
    pub const ALL: [FactName; 12] = [
        FactName::Domain,
        FactName::Power,
        FactName::Plugged,
        FactName::Volume,
        FactName::Snapshot,
        FactName::Offered,
        FactName::Replica,
        FactName::Exported,
        FactName::Image,
        FactName::Object,
        FactName::Captured,
        FactName::Applied,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            FactName::Domain => "domain",
            FactName::Power => "power",
            FactName::Plugged => "plugged",
            FactName::Volume => "volume",
            FactName::Snapshot => "snapshot",
            FactName::Offered => "offered",
            FactName::Replica => "replica",
            FactName::Exported => "exported",
            FactName::Image => "image",
            FactName::Object => "object",
            FactName::Captured => "captured",
            FactName::Applied => "applied",
        }
    }

    pub fn parse(text: &str) -> Option<FactName> {
        FactName::ALL.into_iter().find(|name| name.as_str() == text)
    }
}

/// The order of an observation: the agent's incarnation (given by dcmgr at hello), then its own count. Compared in
/// that order; a fact is replaced only by a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Observation {
    pub incarnation: u64,
    pub seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_incarnation_outranks_every_count_of_the_old_one() {
        let old = Observation { incarnation: 3, seq: 9_000 };
        let new = Observation { incarnation: 4, seq: 1 };
        assert!(new > old);
    }

    #[test]
    fn every_fact_name_is_read_back_from_its_text() {
        for name in FactName::ALL {
            assert_eq!(FactName::parse(name.as_str()), Some(name));
        }
    }

    #[test]
    fn maybe_is_missing_for_building_and_present_for_tearing_down() {
        assert!(!Fact::Maybe.is_surely_so());
        assert!(Fact::Maybe.may_be_so());
    }
}
