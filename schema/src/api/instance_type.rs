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

wordless!(InstanceType);
