//! What is to be watched of an instance or an interface. The rows are kept; nothing watches yet.

use super::Timestamp;
use super::language::wordless;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Monitors of one instance or interface.
pub const MONITORS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Monitor {
    pub id: String,
    pub uuid: String,
    pub enabled: bool,
    pub title: String,
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A monitor within the hash of its instance, by its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonitorItem {
    pub enabled: bool,
    pub title: String,
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SetMonitor {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub params: Option<Map<String, Value>>,
}

impl From<Monitor> for MonitorItem {
    fn from(one: Monitor) -> Self {
        Self { enabled: one.enabled, title: one.title, params: one.params }
    }
}

wordless!(Monitor, MonitorItem);
