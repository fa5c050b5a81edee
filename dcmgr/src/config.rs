//! The configuration of dcmgr: one TOML file, unknown fields refused, secrets are paths of files.

use crate::db::pool;
use arame_framework::config::Broker;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    pub database: pool::Config,
    pub broker: Broker,
    /// 64 hex digits; opens what the database keeps sealed.
    pub secret_key_file: PathBuf,
    /// Networks of the infrastructure: no guest reaches them.
    #[serde(default)]
    pub infrastructure: Vec<ipnet::Ipv4Net>,
}
