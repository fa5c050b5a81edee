//! Labels: names with values that users write on instances, images, security groups and keys.

use super::Timestamp;
use super::language::wordless;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Labels of one resource: bounds what its view costs.
pub const LABELS_MAX: usize = 64;

/// Bytes of one label's value.
pub const LABEL_VALUE_BYTES_MAX: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Label {
    pub resource_uuid: String,
    pub name: String,
    /// 1: text.
    pub value_type: u8,
    pub value: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One label's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetLabel {
    pub value: String,
}

/// Several labels at once, each beside its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetLabels {
    pub name: Vec<String>,
    pub value: Vec<String>,
}

wordless!(Label);
