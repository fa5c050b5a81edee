//! What was used, from when to when: rows of `usage_intervals` as they are told.

use super::Timestamp;
use super::language::wordless;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One stretch of use by one resource, cut to the time that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageInterval {
    pub account_id: String,
    pub resource: String,
    /// `running` (CPU, memory and disk) or `kept` (disk).
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

wordless!(UsageInterval);
