//! The nsa's file: `[common]` of the framework and `[nsa]`. Unknown fields are refused; `arame up` writes it.

use crate::faults::Fault;
use crate::limits::DNS_QUESTIONS_PER_SECOND;
use anyhow::{Context, bail};
use arame_framework::config::Common;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub common: Common,
    pub nsa: Nsa,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nsa {
    pub driver: Driver,
    /// Snapshots, one file a network.
    pub data_dir: PathBuf,
    /// Needed by driver `netns`.
    #[serde(default)]
    pub switch: Option<Switch>,
    /// DNS questions that one address may ask a second; more of them are not answered.
    #[serde(default = "questions_per_second")]
    pub questions_per_second: u32,
    #[serde(default)]
    pub sim: Sim,
    /// The agent's id, of `[common]`.
    #[serde(skip)]
    pub identity: String,
}

fn questions_per_second() -> u32 {
    DNS_QUESTIONS_PER_SECOND
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A network namespace and an Open vSwitch port for each network.
    Netns,
    /// No namespaces; sockets only where asked for.
    Sim,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    pub bridge: String,
    /// Open vSwitch's database socket.
    pub db_socket: PathBuf,
    /// A network's namespace is this and the word of its id: `arame-nw-demo1` for `nw-demo1`.
    #[serde(default = "netns_prefix")]
    pub netns_prefix: String,
}

fn netns_prefix() -> String {
    "arame-nw-".to_owned()
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sim {
    /// Where the simulated links are written; `None`: only in memory.
    #[serde(default)]
    pub state_file: Option<PathBuf>,
    /// What making or removing a link takes.
    #[serde(default)]
    pub latency_ms: u64,
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// First address of a run, one port a network in the order of their making: the DNS of each.
    #[serde(default)]
    pub listen_dns: Option<SocketAddr>,
    /// The same for DHCP; replies go back to where the question came from.
    #[serde(default)]
    pub listen_dhcp: Option<SocketAddr>,
}

impl File {
    /// # Errors
    /// The file is not there, not TOML, has unknown fields, or misses what its driver needs.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// # Errors
    /// As [`File::read`].
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut file: File = toml::from_str(text)?;
        file.nsa.identity = file.common.agent.to_string();
        if file.nsa.driver == Driver::Netns && file.nsa.switch.is_none() {
            bail!("driver \"netns\" needs [nsa.switch] with bridge and db_socket");
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_is_read() {
        let file = File::parse(include_str!("../nsa.example.toml")).unwrap();
        assert_eq!(file.nsa.driver, Driver::Netns);
        assert_eq!(file.nsa.switch.unwrap().netns_prefix, "arame-nw-");
    }

    #[test]
    fn an_unknown_field_and_a_missing_switch_are_refused() {
        let example = include_str!("../nsa.example.toml");
        let strange = example.replace("data_dir", "data_dri");
        assert!(format!("{:#}", File::parse(&strange).unwrap_err()).contains("data_dri"));
        let unswitched = example.split("[nsa.switch]").next().unwrap();
        assert!(File::parse(unswitched).unwrap_err().to_string().contains("[nsa.switch]"));
        assert!(File::parse(&unswitched.replace("netns", "sim")).is_ok(), "the control: sim needs no switch");
    }
}
