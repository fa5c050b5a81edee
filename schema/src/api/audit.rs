//! The view of a finding: where the rows and the world differ, or where the world could not be seen.
//!
//! Rule: on a healthy system there are none, and each says what will be done about it.

use super::{Language, Localise, Timestamp, catalogue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Stays the same while the finding stands.
    pub id: String,
    pub kind: FindingKind,
    /// What it is about, as the agent or the row names it.
    pub thing: String,
    pub agent: Option<String>,
    /// The resource that owns it, when known.
    pub owner: Option<String>,
    pub since: Timestamp,
    /// What will be done about it.
    pub rule: FindingRule,
    /// Sentences for `kind` and `rule`, filled by [`Localise`].
    #[serde(default)]
    pub sentence: String,
    #[serde(default)]
    pub next_step: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub detail: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// It exists, carries our mark, and no row knows it.
    Unknown,
    /// A row wants it and a complete listing does not have it; it holds no data.
    Missing,
    /// It held data, was present, and a complete listing does not have it.
    Lost,
    /// It exists otherwise than its row says.
    Mismatch,
    AgentSilent,
    ListingIncomplete,
    /// A message was delivered too often and put aside.
    DeadMessage,
    /// The database is older than what the agents have seen.
    MemoryLoss,
    /// A machine that is not the one that joined asks in its agent's name.
    AnotherMachine,
    /// A client found the address that it was given in use by another machine.
    AddressInUse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingRule {
    /// Its row says deleted: it is removed.
    Removed,
    /// It is made again.
    PlannedAgain,
    /// Data is never made again nor removed without a word of the operator.
    OperatorDecides,
    /// What is gone is never made again: its row stays until its owner deletes it.
    OwnerDeletes,
    /// It is not ours: it is never touched.
    NeverTouched,
    /// It settles when the agent is heard again.
    Waiting,
    /// Nothing that acts is asked of an agent until the operator confirms.
    Held,
    /// Nothing waits for it: jobs are rung again and agents tell again what they see.
    ToldAgain,
    /// It joins as a new host, or an operator says that it takes the former one's place.
    MachineOrNewHost,
    /// The other machine is to be found; the finding goes when nobody complains any more.
    FindTheOther,
}

impl FindingKind {
    pub const ALL: [FindingKind; 10] = [
        FindingKind::Unknown,
        FindingKind::Missing,
        FindingKind::Lost,
        FindingKind::Mismatch,
        FindingKind::AgentSilent,
        FindingKind::ListingIncomplete,
        FindingKind::DeadMessage,
        FindingKind::MemoryLoss,
        FindingKind::AnotherMachine,
        FindingKind::AddressInUse,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            FindingKind::Unknown => "unknown",
            FindingKind::Missing => "missing",
            FindingKind::Lost => "lost",
            FindingKind::Mismatch => "mismatch",
            FindingKind::AgentSilent => "agent_silent",
            FindingKind::ListingIncomplete => "listing_incomplete",
            FindingKind::DeadMessage => "dead_message",
            FindingKind::MemoryLoss => "memory_loss",
            FindingKind::AnotherMachine => "another_machine",
            FindingKind::AddressInUse => "address_in_use",
        }
    }
}

impl FindingRule {
    pub const ALL: [FindingRule; 10] = [
        FindingRule::Removed,
        FindingRule::PlannedAgain,
        FindingRule::OperatorDecides,
        FindingRule::OwnerDeletes,
        FindingRule::NeverTouched,
        FindingRule::Waiting,
        FindingRule::Held,
        FindingRule::ToldAgain,
        FindingRule::MachineOrNewHost,
        FindingRule::FindTheOther,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            FindingRule::Removed => "removed",
            FindingRule::PlannedAgain => "planned_again",
            FindingRule::OperatorDecides => "operator_decides",
            FindingRule::OwnerDeletes => "owner_deletes",
            FindingRule::NeverTouched => "never_touched",
            FindingRule::Waiting => "waiting",
            FindingRule::Held => "held",
            FindingRule::ToldAgain => "told_again",
            FindingRule::MachineOrNewHost => "machine_or_new_host",
            FindingRule::FindTheOther => "find_the_other",
        }
    }
}

impl Localise for Finding {
    fn localise(&mut self, language: Language) {
        let values = BTreeMap::from([
            ("thing".to_owned(), self.thing.clone()),
            ("agent".to_owned(), self.agent.clone().unwrap_or_else(|| "-".into())),
            ("owner".to_owned(), self.owner.clone().unwrap_or_else(|| "-".into())),
            ("mac".to_owned(), self.detail["mac"].as_str().unwrap_or("-").to_owned()),
            ("reason".to_owned(), self.detail["reason"].as_str().unwrap_or("-").to_owned()),
        ]);
        self.sentence = catalogue::fill(catalogue::finding_kind(self.kind).text(language), &values);
        self.next_step = catalogue::fill(catalogue::finding_rule(self.rule).text(language), &values);
    }
}
