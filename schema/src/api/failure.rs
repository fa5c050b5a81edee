//! Why something failed, and how far something is: parts of the views of instances, volumes and images.
//!
//! Rule: a failure is a code with values; its sentences come from the catalogue when it is shown.

use super::{Language, Localise, catalogue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Why it failed. `sentence`, `cause` and `next_step` are filled by [`Localise`] from `code` and `values`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Of the catalogue, such as `disk_full`; an agent's own code when the catalogue does not know it.
    pub code: String,
    pub sentence: String,
    pub cause: String,
    pub next_step: String,
    /// What fills the places of the sentences: `agent`, `host`, `message`, …
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

impl Failure {
    pub fn new(code: impl Into<String>) -> Self {
        Self { code: code.into(), ..Self::default() }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.values.insert(name.to_owned(), value.to_string());
        self
    }
}

impl Localise for Failure {
    fn localise(&mut self, language: Language) {
        let words = catalogue::failure(&self.code).words(language);
        let mut values = self.values.clone();
        values.entry("code".into()).or_insert_with(|| self.code.clone());
        self.sentence = catalogue::fill(words.sentence, &values);
        self.cause = catalogue::fill(words.cause, &values);
        self.next_step = catalogue::fill(words.next_step, &values);
    }
}

/// How far the work is that goes on now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// What the agent said it does, as it said it.
    pub note: String,
}
