//! One entry of a timeline. Events are facts of the past: a code with values, told in the reader's language.

use super::{Language, Localise, Timestamp, catalogue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Public event number, given by one writer after commit: grows, never reused; where a stream resumes.
    pub id: u64,
    pub at: Timestamp,
    /// The same moment in milliseconds since 1970: `at` has whole seconds, and a launch may take less than one.
    #[serde(default)]
    pub at_ms: i64,
    /// The resource it is about.
    pub resource: String,
    /// The request or operation it belongs to.
    pub operation: Option<String>,
    /// Of the catalogue's events, such as `job_done`.
    pub code: String,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// The sentence, filled by [`Localise`] from `code` and `values`.
    #[serde(default)]
    pub text: String,
    /// The job it is about, if it is about one.
    pub job: Option<String>,
    pub agent: Option<String>,
}

impl Localise for Event {
    fn localise(&mut self, language: Language) {
        self.text = match catalogue::event(&self.code) {
            Some(entry) => catalogue::fill(entry.text(language), &self.values),
            None => untold(&self.code, &self.values),
        };
    }
}

/// An event the catalogue does not know (a newer writer's) is still shown whole.
fn untold(code: &str, values: &BTreeMap<String, String>) -> String {
    values.iter().fold(code.to_owned(), |line, (name, value)| format!("{line} {name}={value}"))
}
