//! The verdict of placement: each host, each rule with what was needed and what was had, and the smallest change that
//! would make it fit. Stored for yes and for no.

use super::{Language, Localise, catalogue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Placement {
    pub fits: bool,
    /// The chosen host.
    pub host: Option<String>,
    pub verdicts: Vec<HostVerdict>,
    /// Hosts that were judged too and are not listed: in a large data center only the most telling are.
    #[serde(default)]
    pub left_out: u64,
    /// Null when it fits.
    pub smallest_change: Option<SmallestChange>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostVerdict {
    pub host: String,
    pub fits: bool,
    pub rules: Vec<RuleVerdict>,
}

/// `needed` and `had` are texts with their unit: `512 MiB`, `online`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleVerdict {
    /// `online`, `scheduling_enabled`, `not_degraded`, `hypervisor`, `arch`, `cpu_cores`, `memory_size`, `disk_space`,
    /// `asked_for`, …
    pub rule: String,
    pub needed: String,
    pub had: String,
    pub ok: bool,
}

/// The smallest change that would make it fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SmallestChange {
    /// Of the catalogue's changes, such as `free_memory`.
    pub code: String,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Filled by [`Localise`].
    #[serde(default)]
    pub sentence: String,
}

impl SmallestChange {
    pub fn new(code: impl Into<String>) -> Self {
        Self { code: code.into(), ..Self::default() }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.values.insert(name.to_owned(), value.to_string());
        self
    }
}

/// What a launch would do, and what would stand against it. Nothing was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LaunchPlan {
    pub fits: bool,
    /// The chosen host.
    pub host: Option<String>,
    pub verdicts: Vec<HostVerdict>,
    #[serde(default)]
    pub left_out: u64,
    pub smallest_change: Option<SmallestChange>,
    /// What it would use of the account's quotas.
    #[serde(default)]
    pub quotas: Vec<QuotaEffect>,
    /// Why it would be refused; empty: it would be accepted.
    #[serde(default)]
    pub refusals: Vec<PlannedRefusal>,
}

impl LaunchPlan {
    pub fn new(placement: Placement, quotas: Vec<QuotaEffect>, refusals: Vec<PlannedRefusal>) -> Self {
        let Placement { fits, host, verdicts, left_out, smallest_change } = placement;
        Self { fits, host, verdicts, left_out, smallest_change, quotas, refusals }
    }

    /// The verdicts alone.
    pub fn placement(&self) -> Placement {
        let Self { fits, host, verdicts, left_out, smallest_change, .. } = self.clone();
        Placement { fits, host, verdicts, left_out, smallest_change }
    }
}

/// What a deletion would do. Nothing was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeletePlan {
    pub id: String,
    /// Volumes that would be detached; they and their data stay.
    pub detaches: Vec<String>,
    /// Volumes that would be deleted with it, unless they have snapshots.
    #[serde(default)]
    pub deletes: Vec<String>,
    /// Addresses that would be released.
    pub releases: Vec<String>,
    pub quotas: Vec<QuotaEffect>,
    /// Why it would be refused; empty: it would be accepted.
    #[serde(default)]
    pub refusals: Vec<PlannedRefusal>,
}

/// A quota before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotaEffect {
    /// The original's key: `instance.count`.
    pub quota: String,
    pub used: u64,
    pub after: u64,
    /// Null is no limit.
    pub limit: Option<u64>,
}

/// A refusal that the real request would meet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedRefusal {
    /// Its word: `exceed_quota`.
    pub reason: String,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Filled by [`Localise`].
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub next_step: String,
}

impl From<&super::Refusal> for PlannedRefusal {
    fn from(refusal: &super::Refusal) -> Self {
        let values = refusal.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let reason = catalogue::refusal(refusal.code).wire.to_owned();
        Self { reason, values: values.collect(), ..Self::default() }
    }
}

impl Localise for PlannedRefusal {
    fn localise(&mut self, language: Language) {
        let known = super::Code::ALL.into_iter().find(|code| catalogue::refusal(*code).wire == self.reason);
        let Some(words) = known.map(|code| catalogue::refusal(code).words(language)) else { return };
        self.message = catalogue::fill(words.sentence, &self.values);
        self.next_step = catalogue::fill(words.next_step, &self.values);
    }
}

impl Localise for LaunchPlan {
    fn localise(&mut self, language: Language) {
        self.smallest_change.localise(language);
        self.refusals.localise(language);
    }
}

impl Localise for DeletePlan {
    fn localise(&mut self, language: Language) {
        self.refusals.localise(language);
    }
}

impl Localise for Placement {
    fn localise(&mut self, language: Language) {
        self.smallest_change.localise(language);
    }
}

impl Localise for SmallestChange {
    fn localise(&mut self, language: Language) {
        let mut values = self.values.clone();
        values.entry("code".into()).or_insert_with(|| self.code.clone());
        if let Some(rule) = values.get_mut("rule")
            && let Some(known) = catalogue::placement_rule(rule)
        {
            *rule = known.text(language).to_owned();
        }
        self.sentence = catalogue::fill(catalogue::change(&self.code).text(language), &values);
    }
}
