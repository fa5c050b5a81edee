//! The view of a job: what dcmgr asked of which agent, and how it went. Bodies are never shown: they may name secrets.

use super::Timestamp;
use super::language::wordless;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// UUIDv7.
    pub id: String,
    /// `hva.instance.apply`.
    pub kind: String,
    pub agent: String,
    pub thing: String,
    pub generation: u64,
    /// `open`, `published`, `done`, `failed`, `superseded`, …
    pub state: String,
    /// 1 at the first try.
    pub attempt: u32,
    pub created_at: Timestamp,
    pub published_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// When it is tried again; null when it is not waiting.
    pub due_at: Option<Timestamp>,
    pub error: Option<JobError>,
}

/// As the agent said it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobError {
    pub code: String,
    pub message: String,
}

wordless!(Job);
