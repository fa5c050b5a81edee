//! Accounts, their tokens, and the log of what was done with them.

use super::language::wordless;
use super::{PlannedRefusal, Role, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    pub id: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    // Ours from here on.
    pub display_name: Option<String>,
    pub description: String,
    /// A disabled account's tokens are refused; what it has goes on.
    pub enabled: bool,
    /// Most instances at once; null is no limit.
    #[serde(default)]
    pub quota_instances: Option<u64>,
    /// Most volumes at once; null is no limit.
    #[serde(default)]
    pub quota_volumes: Option<u64>,
}

/// What an account uses now, by the original's quota keys: `instance.count`, `instance.cpu_cores`,
/// `instance.memory_mb`, `volume.count`, `volume.size_mb`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct AccountUsage(pub BTreeMap<String, u64>);

/// What became of a verb that was asked of everything an account has of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkResult {
    pub account_id: String,
    /// Those it was asked of; the work follows.
    pub asked: Vec<String>,
    /// Those that refused it; they are as they were.
    pub refused: Vec<BulkRefusal>,
    /// There were more than one call asks: call again.
    pub more: bool,
}

/// Why one of many was not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkRefusal {
    pub id: String,
    /// The refusal's word: `volume_attached`.
    pub reason: String,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Filled by [`super::Localise`].
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub next_step: String,
}

impl BulkRefusal {
    pub fn new(id: &str, refusal: &super::Refusal) -> Self {
        let PlannedRefusal { reason, values, message, next_step } = PlannedRefusal::from(refusal);
        Self { id: id.to_owned(), reason, values, message, next_step }
    }
}

impl super::Localise for BulkResult {
    fn localise(&mut self, language: super::Language) {
        for one in &mut self.refused {
            let (reason, values) = (one.reason.clone(), one.values.clone());
            let mut told = PlannedRefusal { reason, values, ..PlannedRefusal::default() };
            told.localise(language);
            (one.message, one.next_step) = (told.message, told.next_step);
        }
    }
}

/// For the document: what a verb on everything answers, without and with `detail=true`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum AskedOrDetail {
    Asked(Vec<String>),
    Detail(BulkResult),
}

/// A credential. What it may do is its role's, for whom its account's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub id: String,
    pub account_id: String,
    pub role: Role,
    pub display_name: Option<String>,
    pub created_at: Timestamp,
    /// The token it was made with; null for one of the operator's seed.
    pub created_by: Option<String>,
    /// Null: never.
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
    /// In the answer that makes it and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// One line of the log of changes. It only grows; lines go after 400 days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub token: String,
    pub account: String,
    /// Of the client, as the server saw it.
    pub address: String,
    /// `instance.create`, `token.revoke`, …
    pub verb: String,
    pub resource: String,
    pub request: String,
}

wordless!(Account, AccountUsage, Token, AuditEntry);
