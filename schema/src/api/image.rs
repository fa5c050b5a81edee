//! The view of an image: the original's keys in its order, then ours.

use super::{Failure, Label, Language, Localise, Progress, Timestamp};
use crate::model::ImageId;
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
    /// `pending` (its bytes have to be uploaded), `creating`, `available`, `failed`, `deleting`, `deleted`.
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
    /// Bytes of the file; 0 until they are known.
    pub size: u64,
    /// SHA-256 of the file, lower-case hex; empty until it is known.
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

/// With `uri` its bytes are fetched from there; without, they are uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateImage {
    /// Of an operator's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<ImageId>,
    /// `https://…`; `http://…` where the operator allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default)]
    pub description: String,
    pub file_format: ImageFormat,
    /// SHA-256 of the file, hex: what comes must have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// `x86_64` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_public: Option<bool>,
}

/// Of an image's file. It is always said, never guessed from the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    Raw,
    Qcow2,
}

impl ImageFormat {
    pub fn as_str(self) -> &'static str {
        match self {
            ImageFormat::Raw => "raw",
            ImageFormat::Qcow2 => "qcow2",
        }
    }
}

impl std::str::FromStr for ImageFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "raw" => Ok(ImageFormat::Raw),
            "qcow2" => Ok(ImageFormat::Qcow2),
            _ => Err(()),
        }
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
