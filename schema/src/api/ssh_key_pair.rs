//! The view of an SSH key pair. The private key stands in the answer to its creation and nowhere else, ever.

use super::language::wordless;
use super::{Label, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SshKeyPair {
    pub id: String,
    pub account_id: String,
    pub uuid: String,
    /// MD5 in colon form, as the original and EC2 show it.
    pub finger_print: String,
    pub public_key: String,
    pub description: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub service_type: String,
    pub display_name: Option<String>,
    pub deleted_at: Option<Timestamp>,
    #[serde(default)]
    pub labels: Vec<Label>,
    /// Only in the answer to a creation that generated the pair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
}

/// What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateSshKeyPair {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// Written by hand so that a debug line never shows the private key.
impl std::fmt::Debug for SshKeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshKeyPair").field("id", &self.id).field("finger_print", &self.finger_print).finish()
    }
}

wordless!(SshKeyPair);
