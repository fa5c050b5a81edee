//! How the command fails: what it prints and with which status it ends.
//!
//! | status | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | refused: by the API, or because a name means nothing or too much |
//! | 2 | used wrongly: arguments, files, the token |
//! | 3 | the API cannot be reached |
//! | 4 | a `--wait` ended in failure or in time |

use crate::table::plain;
use crate::words::{Message, say, word};
use arame_schema::api::{ErrorBody, Failure, Language, Localise, Placement, catalogue};
use std::fmt::Write;

pub const REFUSED: u8 = 1;
pub const USAGE: u8 = 2;
pub const UNREACHABLE: u8 = 3;
pub const WAIT_FAILED: u8 = 4;

/// Why the command did not do what was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum CliError {
    /// The API's refusal, in the language it was asked in.
    Refused(Box<ErrorBody>),
    /// A sentence of our own, with cause and next step.
    Own { status: u8, told: Box<Told> },
    /// What was waited for failed, for this reason.
    Failed { sentence: String, failure: Box<Failure> },
    /// A pipe's reader went away: nothing to say, nothing failed.
    OutputClosed,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    pub sentence: String,
    pub cause: String,
    pub next_step: String,
}

impl CliError {
    /// From our own words. All three messages share the values.
    pub fn own(status: u8, language: Language, words: [Message; 3], values: &[(&str, &str)]) -> Self {
        let [sentence, cause, next_step] = words.map(|message| say(language, message, values));
        Self::Own { status, told: Box::new(Told { sentence, cause, next_step }) }
    }

    /// From our own words and a cause that somebody else worded.
    pub fn because(status: u8, sentence: String, cause: impl ToString, next_step: String) -> Self {
        Self::Own { status, told: Box::new(Told { sentence, cause: cause.to_string(), next_step }) }
    }

    pub fn status(&self) -> u8 {
        match self {
            CliError::Refused(_) => REFUSED,
            CliError::Own { status, .. } => *status,
            CliError::Failed { .. } => WAIT_FAILED,
            CliError::OutputClosed => 0,
        }
    }

    /// What is printed on standard error.
    pub fn told(&self, language: Language) -> String {
        match self {
            CliError::Refused(body) => refused(body, language),
            CliError::Own { told, .. } => lines(language, &told.sentence, &told.cause, &told.next_step),
            CliError::Failed { sentence, failure } => {
                let sentence = format!("{sentence} {}", failure.sentence);
                lines(language, sentence.trim(), &failure.cause, &failure.next_step)
            }
            CliError::OutputClosed => String::new(),
        }
    }
}

impl From<std::io::Error> for CliError {
    /// Only writing to standard output comes here.
    fn from(source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::BrokenPipe {
            return CliError::OutputClosed;
        }
        CliError::because(USAGE, "standard output".into(), source, String::new())
    }
}

fn lines(language: Language, sentence: &str, cause: &str, next_step: &str) -> String {
    let mut text = format!("{}: {}\n", word(language, Message::Error), plain(sentence));
    for (heading, line) in [(Message::Cause, cause), (Message::NextStep, next_step)] {
        if !line.is_empty() {
            let _ = writeln!(text, "{}: {}", word(language, heading), plain(line));
        }
    }
    text
}

fn refused(body: &ErrorBody, language: Language) -> String {
    let mut text = lines(language, &body.message, &body.cause, &body.next_step);
    if let Some(placement) = body.detail.clone().and_then(|detail| serde_json::from_value::<Placement>(detail).ok()) {
        text.push_str(&verdicts(placement, language));
    }
    let _ = writeln!(text, "{}: {}", word(language, Message::RequestId), body.request_id);
    text
}

/// For each host the rules it does not meet.
fn verdicts(mut placement: Placement, language: Language) -> String {
    placement.localise(language);
    let mut text = String::new();
    for verdict in &placement.verdicts {
        for rule in verdict.rules.iter().filter(|rule| !rule.ok) {
            let name = catalogue::placement_rule(&rule.rule).map_or(rule.rule.as_str(), |entry| entry.text(language));
            let (needed, had) = (word(language, Message::Needed), word(language, Message::Had));
            let _ = writeln!(text, "  {}: {name} ({needed} {}, {had} {})", verdict.host, rule.needed, rule.had);
        }
    }
    text
}
