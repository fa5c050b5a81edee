//! The view of an image: the original's keys in its order, then ours.

use super::{Failure, Label, Language, Localise, Progress, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Image {
    pub id: String,
    pub account_id: String,
    pub uuid: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// 1 SAN, 2 local.
    pub boot_dev_type: u8,
    pub arch: String,
    pub description: String,
    pub is_public: bool,
    /// `creating`, `available`, `failed`, `deleting`, `deleted`.
    pub state: String,
    #[schema(value_type = Object)]
    pub features: Value,
    /// `raw` or `qcow2`.
    pub file_format: String,
    pub root_device: String,
    pub is_cacheable: bool,
    pub instance_model_name: String,
    pub parent_image_id: Option<String>,
    pub service_type: String,
    pub display_name: Option<String>,
    pub backup_object_id: Option<String>,
    pub deleted_at: Option<Timestamp>,
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub volumes: Vec<Value>,
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub vifs: Vec<Value>,
    pub os_type: String,
    #[serde(default)]
    pub labels: Vec<Label>,
    // Ours from here on.
    /// Bytes of the file.
    pub size: u64,
    /// SHA-256 of the file, lower-case hex.
    pub checksum: String,
    /// Account name a person logs in as over SSH.
    pub login_user: Option<String>,
    pub failure: Option<Failure>,
    pub progress: Option<Progress>,
}

impl Localise for Image {
    fn localise(&mut self, language: Language) {
        self.failure.localise(language);
    }
}

/// What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateImage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_public: Option<bool>,
}
