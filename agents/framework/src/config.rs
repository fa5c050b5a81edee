//! The part of the configuration that every agent shares. One TOML file a program; unknown fields are refused. Secrets
//! are paths of files; a file of its own in `state_dir`, `machine_id`, stands for `/etc/machine-id` where several
//! agents share a machine. `agents/framework/common.example.toml` shows every field.

use crate::metrics::Metrics;
use arame_schema::model::AgentId;
use arame_service::{Unusable, readable};
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
    #[serde(default)]
    pub streams: Streams,
    #[serde(default)]
    pub metrics: Metrics,
}

impl Common {
    /// Whether the files that it names are there for this program.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check_files(&self) -> Result<(), Unusable> {
        readable(&self.key_file)?;
        readable(&self.broker.password_file)?;
        self.streams.ca_file.as_deref().map_or(Ok(()), readable)
    }
}

/// `[common.streams]`: where streams (consoles) are brought.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streams {
    /// The ends of every dcmgr, as they call themselves: `10.0.0.1:9003`, or the path of a unix socket. No other is dialed.
    #[serde(default)]
    pub dcmgr: Vec<String>,
    /// Who signs dcmgr's certificates (PEM). Unsaid: only loopback and unix sockets are dialed.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Plain TCP to other addresses. Only the profile of a laboratory says true.
    #[serde(default)]
    pub laboratory: bool,
}

/// `[streams]` of dcmgr: where it takes them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamDoor {
    /// `10.0.0.1:9003`, or the absolute path of a unix socket.
    pub listen: String,
    /// What agents dial, where that is another name. Each dcmgr has its own: no load balancer is between.
    #[serde(default)]
    pub reached_at: Option<String>,
    /// PEM; both are needed where other machines reach it.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Plain TCP off loopback.
    #[serde(default)]
    pub laboratory: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../common.example.toml");

    #[derive(Deserialize)]
    struct File {
        common: Common,
    }

    #[test]
    fn the_example_is_valid() {
        let file: File = toml::from_str(EXAMPLE).unwrap();
        assert_eq!((file.common.agent.as_str(), file.common.broker.port), ("hva.h1", 5672));
        assert_eq!(file.common.streams.dcmgr, ["10.0.0.1:9003"]);
        assert_eq!(file.common.metrics.listen.map(|at| at.port()), Some(9101));
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let mistaken = EXAMPLE.replace("vhost", "virtual_host");
        let error = toml::from_str::<File>(&mistaken).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("virtual_host"), "{error}");
    }
}
