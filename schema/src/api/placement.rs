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
