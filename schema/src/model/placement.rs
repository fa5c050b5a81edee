//! What an instance wishes of the hosts that others of its group are on, and which of the hosts that fit is taken.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How the instances of one placement group are placed. A group is a name within an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlacementPolicy {
    /// No two on one host: a launch that would need it is refused.
    #[default]
    Apart,
    /// Where the others are; not kept by a move, which takes them one by one.
    Together,
    /// On the host with the fewest of them, if there is a choice.
    Spread,
}

impl PlacementPolicy {
    pub const ALL: [PlacementPolicy; 3] = [PlacementPolicy::Apart, PlacementPolicy::Together, PlacementPolicy::Spread];

    pub fn as_str(self) -> &'static str {
        match self {
            PlacementPolicy::Apart => "apart",
            PlacementPolicy::Together => "together",
            PlacementPolicy::Spread => "spread",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text)
    }
}

impl fmt::Display for PlacementPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which of the hosts that fit is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlacementWeight {
    /// The emptiest: load is even, and each host has room to grow.
    #[default]
    Spread,
    /// The fullest: whole hosts stay free, for large machines or to be switched off.
    Pack,
}

impl PlacementWeight {
    pub const ALL: [PlacementWeight; 2] = [PlacementWeight::Spread, PlacementWeight::Pack];

    pub fn as_str(self) -> &'static str {
        match self {
            PlacementWeight::Spread => "spread",
            PlacementWeight::Pack => "pack",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|weight| weight.as_str() == text)
    }
}

impl fmt::Display for PlacementWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
