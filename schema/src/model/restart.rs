//! What follows when a guest ends although it is to run.
//!
//! Rule: a guest that shuts itself down is halted, whatever its policy says: somebody inside wished it. A host that was
//! switched off did not kill its guests: what is to run comes back with it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is done with a guest that crashed, or whose QEMU was killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Started again however often it dies, after ever longer rests.
    #[default]
    Always,
    /// The same, but given up when it dies again and again within a short time.
    OnFailure,
    /// It stays off.
    Never,
}

impl RestartPolicy {
    pub const ALL: [RestartPolicy; 3] = [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never];

    pub fn as_str(self) -> &'static str {
        match self {
            RestartPolicy::Always => "always",
            RestartPolicy::OnFailure => "on-failure",
            RestartPolicy::Never => "never",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text)
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a guest that is off ended, in the detail of its power under [`EndedBy::KEY`]. Unsaid: not by itself, or nobody
/// knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndedBy {
    /// It shut itself down.
    Guest,
    /// It crashed, or its QEMU was killed.
    Death,
}

impl EndedBy {
    pub const KEY: &'static str = "stopped_by";

    pub fn as_str(self) -> &'static str {
        match self {
            EndedBy::Guest => "guest",
            EndedBy::Death => "death",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [EndedBy::Guest, EndedBy::Death].into_iter().find(|by| by.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_wire_are_those_that_are_parsed() {
        for policy in RestartPolicy::ALL {
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
            assert_eq!(RestartPolicy::parse(policy.as_str()), Some(policy));
        }
        assert_eq!(EndedBy::parse("guest"), Some(EndedBy::Guest));
        assert_eq!(RestartPolicy::parse("on_failure"), None);
    }
}
