//! The agent's configuration file: read, checked once, then trusted.
//!
//! Rule: unknown fields are refused, and what is wrong is said by the name of its field.

use crate::faults::Fault;
use arame_framework::config::Common;
use arame_schema::limits::VOLUME_SIZE_MIB;
use arame_schema::model::BackupStorageId;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a valid configuration: {reason}")]
    Parse { path: PathBuf, reason: String },
    #[error("`{field}` is missing: {reason}")]
    Missing { field: &'static str, reason: &'static str },
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub common: Common,
    pub sta: StaConfig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    File,
    Zfs,
    Sim,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportKind {
    Lio,
    Tgt,
    Sim,
}

/// `[sta]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaConfig {
    /// The storage node's id, `sn-…`.
    pub node: String,
    pub store: StoreKind,
    /// Volumes and images; with `zfs` only images. Not needed with `sim`.
    pub data_dir: Option<PathBuf>,
    /// Where images are served; nowhere without it.
    pub http_listen: Option<SocketAddr>,
    /// How others reach `http_listen`.
    #[serde(default)]
    pub http_url: String,
    /// How dcmgr reaches it, to bring uploads, where that is another address.
    #[serde(default)]
    pub upload_url: String,
    /// `file://` sources are read only below these, symbolic links resolved.
    #[serde(default)]
    pub import_dirs: Vec<PathBuf>,
    /// What is offered, when it shall be less than the file system has.
    pub disk_mib: Option<u64>,
    /// Less free than this and the node wants no new volumes: room for those it has to grow into. 5 % of what there is without,
    /// as for a pool that nobody else writes to.
    pub keep_free_mib: Option<u64>,
    pub zfs_pool: Option<String>,
    /// Between two readings of what its machine is busy with.
    #[serde(default = "figures_every")]
    pub figures_every_seconds: u64,
    /// Backup storages that this node reaches.
    #[serde(default)]
    pub backups: Vec<BackupConfig>,
    pub export: ExportConfig,
    #[serde(default)]
    pub fetch: FetchConfig,
    #[serde(default)]
    pub sim: SimConfig,
}

fn figures_every() -> u64 {
    10
}

/// `[[sta.backups]]`: a folder for packed copies of volumes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupConfig {
    /// The backup storage's id, `bkst-…`.
    pub storage: BackupStorageId,
    pub path: PathBuf,
    /// It is mounted from elsewhere (NFS): used only where the file `.arame-backups` is, which somebody makes there by hand.
    /// Without, the folder and that file are made here, once.
    #[serde(default)]
    pub mounted: bool,
    /// A backup that would leave less is stopped.
    #[serde(default = "keep_free_mib")]
    pub keep_free_mib: u64,
}

fn keep_free_mib() -> u64 {
    1024
}

/// `[sta.export]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportConfig {
    pub driver: ExportKind,
    /// Address and port initiators connect to.
    pub portal: String,
    /// `tgtd -C`.
    #[serde(default)]
    pub control_port: u16,
    /// What tgtd was given as `TGT_IPC_SOCKET`; its own default without.
    pub ipc_socket: Option<PathBuf>,
    /// `iqn.YYYY-MM.reversed.domain`; targets are `<prefix>:<attachment>-<epoch>`.
    #[serde(default = "iqn_prefix")]
    pub iqn_prefix: String,
}

fn iqn_prefix() -> String {
    "iqn.2026-11.jp.arame".to_owned()
}

/// `[sta.fetch]`: what users may have fetched as images, and from where.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FetchConfig {
    /// Plain `http://` from anywhere. Without, it is fetched only from `allow_networks`.
    pub allow_http: bool,
    /// Addresses that may be fetched from although they are private, this machine's own, or the like.
    pub allow_networks: Vec<IpNet>,
    /// Addresses that may not, beside those that never may: the infrastructure's, where they are public ones.
    pub refuse_networks: Vec<IpNet>,
    /// The largest file, and the largest disk inside one.
    pub image_mib_max: u64,
    pub disk_mib_max: u64,
    /// A fetch or an upload takes no longer.
    pub minutes_max: u64,
    /// A server or a client that says nothing for as long has gone.
    pub silence_seconds: u64,
    /// The authorities that vouch for https servers (PEM).
    pub ca_file: PathBuf,
    /// The user that `qemu-img` runs as: a number that nobody else has.
    pub checker_uid: u32,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            allow_http: false,
            allow_networks: Vec::new(),
            refuse_networks: Vec::new(),
            image_mib_max: 64 * 1024,
            // The largest volume there is.
            disk_mib_max: *VOLUME_SIZE_MIB.end(),
            minutes_max: 6 * 60,
            silence_seconds: 30,
            ca_file: "/etc/ssl/certs/ca-certificates.crt".into(),
            checker_uid: CHECKER_UID,
        }
    }
}

/// Of the range that Debian gives to users (policy section 9.2.2), its end, which no machine fills.
pub const CHECKER_UID: u32 = 59_990;

/// `[sta.sim]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimConfig {
    /// The simulated world, so that it outlives the process.
    pub state_file: Option<PathBuf>,
    /// Each verb takes this long.
    #[serde(default)]
    pub latency_ms: u64,
    #[serde(default)]
    pub faults: Vec<Fault>,
}

impl Config {
    /// # Errors
    /// The file cannot be read, or the sentence that says which field is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let config: Config = toml::from_str(&text)
            .map_err(|wrong| ConfigError::Parse { path: path.to_owned(), reason: wrong.to_string() })?;
        config.sta.check()?;
        Ok(config)
    }
}

impl StaConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let missing = |field, reason| Err(ConfigError::Missing { field, reason });
        if self.store != StoreKind::Sim && self.data_dir.is_none() {
            return missing("sta.data_dir", "this store keeps files there");
        }
        if self.store == StoreKind::Zfs && self.zfs_pool.is_none() {
            return missing("sta.zfs_pool", "the zfs store keeps its volumes there");
        }
        if self.fetch.checker_uid == 0 {
            return missing("sta.fetch.checker_uid", "qemu-img reads strangers' files and does not run as root");
        }
        if self.http_listen.is_some() && self.http_url.is_empty() {
            return missing("sta.http_url", "hosts fetch images from it");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_is_valid() {
        let config: Config = toml::from_str(include_str!("../sta.example.toml")).unwrap();
        config.sta.check().unwrap();
        assert_eq!((config.sta.store, config.sta.export.driver), (StoreKind::File, ExportKind::Tgt));
    }

    #[test]
    fn an_unknown_field_and_a_missing_pool_are_refused() {
        let text = include_str!("../sta.example.toml");
        let unknown = text.replace("control_port", "controll_port");
        assert!(toml::from_str::<Config>(&unknown).unwrap_err().to_string().contains("controll_port"));
        let zfs: Config = toml::from_str(&text.replace("store = \"file\"", "store = \"zfs\"")).unwrap();
        assert!(zfs.sta.check().unwrap_err().to_string().contains("zfs_pool"));
    }
}
