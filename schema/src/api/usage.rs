//! What was used, from when to when: rows of `usage_intervals` as they are told.

use super::Timestamp;
use super::language::wordless;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One stretch of use by one resource, cut to the time that was asked for. The original's keys first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageInterval {
    /// The same as `resource`.
    #[serde(default)]
    pub uuid: String,
    /// `instance`, `volume` or `address`.
    #[serde(default)]
    pub resource_type: String,
    /// The same as `what`.
    #[serde(default)]
    pub event_type: String,
    /// The same as `seconds`.
    #[serde(default)]
    pub value: u64,
    /// The same as `begun_at`.
    #[serde(default)]
    pub time: Option<Timestamp>,
    // Ours from here on.
    pub account_id: String,
    pub resource: String,
    /// `running` (CPU, memory and disk), `kept` (disk) or `held` (an address).
    pub what: String,
    pub cpu_cores: u32,
    /// MiB.
    pub memory_size: u64,
    /// MiB.
    pub disk_size: u64,
    pub begun_at: Timestamp,
    /// Null: it goes on.
    pub ended_at: Option<Timestamp>,
    /// Within the time that was asked for.
    pub seconds: u64,
}

/// What an account used of one kind in a time. What is measured in gigabytes counts those of 1024 MiB.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageTotal {
    /// `instance`, `volume` or `address`.
    pub resource_type: String,
    /// `running`, `kept` or `held`.
    pub what: String,
    /// How many of them there were.
    pub resources: u64,
    pub seconds: f64,
    pub cpu_core_seconds: f64,
    pub memory_gigabyte_seconds: f64,
    pub disk_gigabyte_seconds: f64,
}

/// What an account used from one moment to another. The totals of adjoining times add up to those of the whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageOverTime {
    pub account_id: String,
    pub since: Timestamp,
    /// Not after the moment of the answer: what goes on is counted up to here.
    pub until: Timestamp,
    pub totals: Vec<UsageTotal>,
}

/// For the document: what an account uses now, or used in a time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum UsageNowOrOverTime {
    Now(super::AccountUsage),
    OverTime(UsageOverTime),
}

wordless!(UsageInterval, UsageOverTime);
