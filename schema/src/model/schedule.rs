//! The words of a volume's schedules: how often something is made of the volume, what, and how many of those are kept.
//!
//! Rule: a schedule is told by what a clock on the wall of its time zone shows. Which moments those are, and which of what was
//! made goes, are the plan's affair (`plan/schedule.rs`, `plan/retention.rs`).

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name {
            $($(#[$of])* $variant),*
        }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word),*
                }
            }

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == text)
            }

            /// Every word, as a refusal shows what is expected.
            pub fn expected() -> String {
                Self::ALL.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(" | ")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::parse(text).ok_or_else(|| Self::expected())
            }
        }
    };
}

words!(
    /// How often a schedule comes.
    Every {
        /// When the clock shows its minute.
        Hour = "hour",
        /// When the clock shows its hour and minute.
        Day = "day",
        /// The same, on its weekday.
        Week = "week",
    }
);

words!(
    /// What a schedule makes.
    Makes {
        /// A snapshot in the volume's own pool: at once, and lost with the pool.
        Snapshot = "snapshot",
        /// A backup in a backup storage.
        Backup = "backup",
    }
);

words!(
    Weekday {
        Monday = "monday",
        Tuesday = "tuesday",
        Wednesday = "wednesday",
        Thursday = "thursday",
        Friday = "friday",
        Saturday = "saturday",
        Sunday = "sunday",
    }
);

words!(
    /// What became of a run.
    RunResult {
        /// What it makes is not whole yet.
        Making = "making",
        /// What it made was whole.
        Whole = "whole",
        /// What it made did not become whole.
        Failed = "failed",
        /// Nothing was made: it was refused, as a person would have been.
        Refused = "refused",
        /// Nothing was to be made at that moment.
        Skipped = "skipped",
        /// Somebody deleted what it made before that was whole.
        Ended = "ended",
    }
);

/// When a schedule comes, by the clock of its time zone. What its [`Every`] does not need is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Calendar {
    pub every: Every,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 23.
    pub hour: u8,
    pub weekday: Weekday,
}

/// How many of what a schedule made are kept. All zero: all of them.
///
/// The counts are taken in this order, as Proxmox's `prune` does: each looks only at times that those before it have not
/// kept anything of, so that `last` 3 and `daily` 7 keep the last three and one of each of seven days before them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Keep {
    pub last: u32,
    pub hourly: u32,
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
}

impl Keep {
    pub fn is_all(self) -> bool {
        self == Keep::default()
    }
}
