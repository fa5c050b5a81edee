//! The agent's configuration: one TOML file, unknown fields refused, raw text to checked values.
//!
//! Rule: whatever leaves here is usable; a missing section is a sentence, not a panic later. It holds no secrets:
//! those are file paths.

use arame_framework::config::Common;
use arame_schema::model::HostNodeId;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub common: Common,
    pub hva: HvaConfig,
}

/// `[hva]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HvaConfig {
    pub host: HostNodeId,
    pub driver: DriverKind,
    /// Image cache, overlays, console logs, records.
    pub data_dir: PathBuf,
    #[serde(default)]
    pub initiator_iqn: Option<String>,
    /// What is offered to placement; probed from the machine when not given.
    #[serde(default)]
    pub cpu_cores: Option<u32>,
    #[serde(default)]
    pub memory_mib: Option<u64>,
    #[serde(default)]
    pub disk_mib: Option<u64>,
    /// Between two readings of what guests use and what this machine is busy with.
    #[serde(default = "figures_every")]
    pub figures_every_seconds: u64,
    #[serde(default)]
    pub libvirt: Option<LibvirtConfig>,
    #[serde(default)]
    pub switch: Option<SwitchConfig>,
    #[serde(default)]
    pub metadata: MetadataConfig,
    /// Unsaid: no machine of this host becomes an image.
    #[serde(default)]
    pub captures: Option<CapturesConfig>,
    #[serde(default)]
    pub sim: SimConfig,
}

fn figures_every() -> u64 {
    10
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriverKind {
    Libvirt,
    Sim,
}

/// `[hva.libvirt]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LibvirtConfig {
    pub uri: String,
    pub domain_type: DomainType,
    /// Allows QEMU as root without a security driver. Only the profile of `arame up` says true.
    #[serde(default)]
    pub laboratory: bool,
    #[serde(default)]
    pub emulator: Option<PathBuf>,
    /// Where the libvirts of other hosts reach this one, to bring guests: `qemu+tls://h1.example/system`. Unsaid: guests
    /// are neither taken nor sent.
    #[serde(default)]
    pub migration_uri: Option<String>,
    /// Folder of the guests' serial ports, as sockets; it need not outlive a restart of the host.
    #[serde(default = "console_dir")]
    pub console_dir: PathBuf,
}

/// Short, because a socket's whole path has 108 bytes.
pub const CONSOLE_DIR: &str = "/run/arame-hva";

fn console_dir() -> PathBuf {
    CONSOLE_DIR.into()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainType {
    Kvm,
    /// QEMU's own emulation: slow, works everywhere.
    Qemu,
}

impl DomainType {
    pub fn as_str(self) -> &'static str {
        match self {
            DomainType::Kvm => "kvm",
            DomainType::Qemu => "qemu",
        }
    }
}

/// `[hva.captures]`: where storage nodes fetch copies of machines' disks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapturesConfig {
    /// On the storage network.
    pub listen: std::net::SocketAddr,
    /// As the storage nodes reach it.
    pub url: String,
}

/// `[hva.switch]`: `driver` says which, and each has fields of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "driver", rename_all = "lowercase")]
pub enum SwitchConfig {
    Ovs(OvsConfig),
    Bridge(BridgeConfig),
}

/// Open vSwitch, which the host's administrator set up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OvsConfig {
    pub bridge: String,
    /// Socket of ovsdb-server.
    pub db_socket: PathBuf,
    /// Folder with ovs-vswitchd's `<bridge>.mgmt` socket and control sockets.
    pub run_dir: PathBuf,
    /// The port that carries tagged frames to the other hosts. Unsaid: the one with `vlan_mode=trunk`.
    #[serde(default)]
    pub trunk: Option<String>,
}

/// The kernel's own bridge, which the agent makes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeConfig {
    /// Name of the bridge; a bridge of this name that the agent did not make is refused.
    pub bridge: String,
    /// The device that carries tagged frames to the other hosts, without an address of this host. Unsaid: there are no
    /// other hosts, nor a naming service beyond this one's bridge.
    #[serde(default)]
    pub trunk: Option<String>,
}

/// `[hva.metadata]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataConfig {
    #[serde(default = "yes")]
    pub enabled: bool,
    /// A file of cloud-init's forms that every guest of the host is given beside its own user-data.
    #[serde(default)]
    pub vendor_data: Option<PathBuf>,
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self { enabled: true, vendor_data: None }
    }
}

fn yes() -> bool {
    true
}

/// `[hva.sim]`: the world of the simulator and what shall go wrong in it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimConfig {
    /// Where the world is kept, so that a killed process finds it again. Unsaid: in memory only.
    #[serde(default)]
    pub state_file: Option<PathBuf>,
    /// How long each effect takes.
    #[serde(default)]
    pub latency_ms: u64,
    /// A folder shared by simulated hosts: by it guests are moved from one to another. Unsaid: none are.
    #[serde(default)]
    pub trunk: Option<PathBuf>,
    /// What a link to another simulated host is measured to carry.
    #[serde(default)]
    pub link_bytes_per_second: Option<u64>,
    #[serde(default)]
    pub faults: Vec<crate::driver::sim::Fault>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {source}")]
    Form { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{path}: driver \"libvirt\" needs the section [{section}]")]
    Missing { path: PathBuf, section: &'static str },
}

/// Reads and checks the file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// Checks a file's text; `path` only names it in errors.
pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let config: Config =
        toml::from_str(text).map_err(|source| ConfigError::Form { path: path.to_owned(), source: Box::new(source) })?;
    if config.hva.driver == DriverKind::Libvirt {
        let missing = |section| ConfigError::Missing { path: path.to_owned(), section };
        config.hva.libvirt.as_ref().ok_or_else(|| missing("hva.libvirt"))?;
        config.hva.switch.as_ref().ok_or_else(|| missing("hva.switch"))?;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_is_a_valid_configuration() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/hva.example.toml"));
        let config = load(path).unwrap();
        assert_eq!(config.hva.driver, DriverKind::Libvirt);
        assert!(config.hva.metadata.enabled);
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let text = include_str!("../hva.example.toml").replace("[hva.libvirt]", "[hva.libvirt]\nurl = \"x\"");
        let refused = parse(Path::new("hva.toml"), &text).unwrap_err();
        assert!(refused.to_string().contains("url"), "{refused}");
    }

    #[test]
    fn the_libvirt_driver_needs_its_switch() {
        let text = include_str!("../hva.example.toml");
        let cut = text.split("[hva.switch]").next().unwrap();
        let refused = parse(Path::new("hva.toml"), cut).unwrap_err();
        assert!(refused.to_string().contains("[hva.switch]"), "{refused}");
    }

    #[test]
    fn the_examples_other_switch_is_one_and_takes_no_fields_of_open_vswitch() {
        let text = include_str!("../hva.example.toml");
        let (before, ovs) = text.split_once("[hva.switch]").unwrap();
        let other = ovs.split_once("# [hva.switch]").unwrap().1.split("\n\n").next().unwrap().replace("\n# ", "\n");
        let file = |more: &str| format!("{before}[hva.switch]{other}\n{more}");
        let switch = parse(Path::new("hva.toml"), &file("")).unwrap().hva.switch;
        let Some(SwitchConfig::Bridge(bridge)) = switch else { panic!("{switch:?}") };
        assert_eq!((bridge.bridge.as_str(), bridge.trunk.as_deref()), ("arame0", Some("eth1")));
        let refused = parse(Path::new("hva.toml"), &file("db_socket = \"/run/db\"\n")).unwrap_err();
        assert!(refused.to_string().contains("db_socket"), "{refused}");
    }
}
