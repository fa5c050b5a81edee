//! The view of an account.

use super::Timestamp;
use super::language::wordless;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    pub id: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    // Ours from here on.
    pub display_name: Option<String>,
    pub description: String,
    pub enabled: bool,
}

wordless!(Account);
