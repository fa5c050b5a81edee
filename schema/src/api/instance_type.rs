//! The view of an instance type: a named size of a machine.

use super::language::wordless;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceType {
    pub id: String,
    /// What a request may say in place of the id: `small`.
    pub name: String,
    pub cpu_cores: u32,
    /// MiB.
    pub memory_size: u64,
    /// MiB of the boot disk.
    pub disk_size: u64,
    pub description: String,
}

/// A size to be made or changed: at its creation everything but the description is needed, later what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetInstanceType {
    /// At its creation only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<u32>,
    /// MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_size: Option<u64>,
    /// MiB of the boot disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

wordless!(InstanceType);
