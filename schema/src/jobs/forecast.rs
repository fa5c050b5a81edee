//! The questions `hva.link` and `hva.forecast` and their answers: what a move of a running guest would have to carry, and
//! over what.
//!
//! ```text
//! dcmgr ── hva.link ─────► the host that would take it: opens a port for a moment, answers its number and a word
//!       ── hva.forecast ─► the host that has it: measures its guest, and sends some MiB of nothing to that port
//! ```
//!
//! Rule: figures as they were measured and how long ago; what was not measured says why. Nothing is computed here.

use crate::model::{HostNodeId, InstanceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Asked of the host that would take the guest.
pub const LINK: &str = "hva.link";

/// Asked of the host that has it.
pub const FORECAST: &str = "hva.forecast";

/// How an agent says that it does not know a question: agents of earlier versions say it of these.
pub const NOT_UNDERSTOOD: &str = "does not understand the question";

/// The end of a link that waits to be measured, for a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkEnd {
    /// TCP, at the address under which the host's hypervisor takes guests.
    pub port: u16,
    /// Whoever does not begin with it is not listened to.
    pub word: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastAsk {
    pub instance: InstanceId,
    pub to: HostNodeId,
    /// Where that host takes guests, as it told in its hello.
    #[serde(default)]
    pub endpoints: BTreeMap<String, String>,
    /// None: it opened none, and the link is told as it was measured last.
    #[serde(default)]
    pub link: Option<LinkEnd>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForecastAnswer {
    pub load: Measured<GuestLoad>,
    pub link: Measured<LinkRate>,
}

/// A figure with its age, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured<T> {
    Known { age_ms: u64, value: T },
    Unknown { why: Unmeasured, message: String },
}

/// Why something was not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unmeasured {
    /// It is on its way: whoever asks again in a second is told.
    Measuring,
    /// No guest runs.
    NotRunning,
    /// The other host opened nothing to measure against.
    NoLink,
    /// The other host's end could not be reached, or fell silent.
    LinkUnreachable,
    /// The hypervisor did not do it.
    Failed,
}

/// What a move of a guest has to carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestLoad {
    /// At most: what of its memory the host has really given.
    pub memory_bytes: u64,
    /// Of its own disk, what the host's file system has given.
    pub disk_bytes: u64,
    /// Different bytes of memory that it changed in a second.
    pub dirty_bytes_per_second: u64,
    /// One standard deviation of that: the hypervisor looks at a sample of the pages.
    pub dirty_error_bytes_per_second: u64,
    /// Written to its own disk in the same second.
    pub written_bytes_per_second: u64,
    /// For how long the hypervisor may let it stand still at the end.
    pub pause_limit_ms: u64,
    /// To what the hypervisor holds migrations, if to anything.
    #[serde(default)]
    pub limit_bytes_per_second: Option<u64>,
}

/// What a link carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRate {
    pub bytes_per_second: u64,
    /// Of the parts that the measure was divided into.
    pub slowest_bytes_per_second: u64,
    pub fastest_bytes_per_second: u64,
    pub carried_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_reads_as_it_was_written_and_what_is_unknown_says_why() {
        let load = GuestLoad { memory_bytes: 1 << 30, pause_limit_ms: 300, ..GuestLoad::default() };
        let why = Measured::Unknown { why: Unmeasured::LinkUnreachable, message: "refused".into() };
        let answer = ForecastAnswer { load: Measured::Known { age_ms: 1200, value: load }, link: why };
        let wire = serde_json::to_value(&answer).unwrap();
        assert_eq!(wire["link"], json!({ "unknown": { "why": "link_unreachable", "message": "refused" } }));
        assert_eq!(wire["load"]["known"]["age_ms"], 1200);
        assert_eq!(serde_json::from_value::<ForecastAnswer>(wire).unwrap(), answer);
    }

    #[test]
    fn a_question_without_an_end_is_still_one() {
        let ask: ForecastAsk = serde_json::from_value(json!({ "instance": "i-a", "to": "hn-b" })).unwrap();
        assert_eq!((ask.link, ask.endpoints.len()), (None, 0));
    }
}
