//! What a move of a running machine would be: how long it takes, for how long its guest stands still, or why it would not end.
//!
//! Rule: what was not measured is null, and `why` says the reason; nothing is guessed in its place.

use super::{HostVerdict, Language, Localise, PlannedRefusal, Timestamp, catalogue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What a move would do. Nothing was changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MovePlan {
    pub id: String,
    /// Where it is.
    pub from: Option<String>,
    pub to: String,
    /// Of the other host, when it has no room for it.
    #[serde(default)]
    pub verdicts: Vec<HostVerdict>,
    /// Null: it would be refused, so nothing was measured.
    pub forecast: Option<MoveForecast>,
    /// Why it would be refused; empty: it would be accepted.
    #[serde(default)]
    pub refusals: Vec<PlannedRefusal>,
}

/// `seconds` and all that it is computed from. The image that the other host may have to fetch first is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveForecast {
    /// From the first byte that is sent until the guest runs on the other host. Null: not known, or it would not end.
    pub seconds: Option<u64>,
    /// By how much it may be wrong. Null beside `seconds`: `seconds` is the least, and it may take without end.
    pub plus_minus_seconds: Option<u64>,
    /// For how long the guest is expected to stand still.
    pub pause_ms: Option<u64>,
    /// At most, of its memory.
    pub memory_bytes: Option<u64>,
    /// Of its own disk.
    pub disk_bytes: Option<u64>,
    /// Of its memory that changes.
    pub dirty_bytes_per_second: Option<u64>,
    pub link_bytes_per_second: Option<u64>,
    /// Null: not known.
    pub converges: Option<bool>,
    /// Why it would not end, might not end, or is not known; null: nothing stands against it.
    pub why: Option<ForecastReason>,
    /// Of the oldest of the figures.
    pub measured_at: Option<Timestamp>,
}

/// `sentence` and `next_step` are filled by [`Localise`] from `code` and `values`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForecastReason {
    /// `will_not_converge`, `disk_will_not_converge`, `too_long`, `may_not_converge`, `measuring`, `host_silent`,
    /// `agent_too_old`, `not_running`, `no_link`, `link_unreachable`, `measure_failed`, `no_answer`.
    pub code: String,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    #[serde(default)]
    pub sentence: String,
    #[serde(default)]
    pub next_step: String,
}

impl ForecastReason {
    pub fn new(code: impl Into<String>) -> Self {
        Self { code: code.into(), ..Self::default() }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.values.insert(name.to_owned(), value.to_string());
        self
    }
}

/// For the document: what a move answers, without and with `plan=true`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum MovedOrPlan {
    /// `{instance_id}`
    Moved(BTreeMap<String, String>),
    Plan(Box<MovePlan>),
}

impl Localise for MovePlan {
    fn localise(&mut self, language: Language) {
        self.refusals.localise(language);
        if let Some(why) = self.forecast.as_mut().and_then(|forecast| forecast.why.as_mut()) {
            let (sentence, next_step) = catalogue::forecast(&why.code);
            why.sentence = catalogue::fill(sentence.text(language), &why.values);
            why.next_step = catalogue::fill(next_step.text(language), &why.values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_move_would_not_end_is_told_with_its_figures_and_the_next_step() {
        let why = ForecastReason::new("will_not_converge").with("dirty", "900.0 MiB").with("link", "110.0 MiB");
        let forecast = MoveForecast { converges: Some(false), why: Some(why), ..MoveForecast::default() };
        let mut plan = MovePlan { forecast: Some(forecast), ..MovePlan::default() };
        plan.localise(Language::En);
        let told = plan.forecast.clone().and_then(|forecast| forecast.why).unwrap();
        assert_eq!(
            told.sentence,
            "it will not converge: it changes 900.0 MiB of its memory in a second, the link carries 110.0 MiB"
        );
        assert!(told.next_step.contains("Stop it first"), "{}", told.next_step);
        plan.localise(Language::Ja);
        assert!(plan.forecast.and_then(|forecast| forecast.why).unwrap().sentence.contains("毎秒 900.0 MiB"));
    }
}
