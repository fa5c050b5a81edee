//! The part of the configuration that every agent shares. One TOML file a program; unknown fields are refused.

use arame_schema::model::AgentId;
use serde::Deserialize;
use std::path::PathBuf;

/// `[common]` of an agent's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    pub agent: AgentId,
    /// File with the key made at join (one line).
    pub key_file: PathBuf,
    /// The little an agent keeps of its own: highest epoch, tombstones (DESIGN 3.6).
    pub state_dir: PathBuf,
    pub broker: Broker,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    pub vhost: String,
    pub user: String,
    /// File with the password (one line).
    pub password_file: PathBuf,
}
