//! Applies a seed file: accounts, tokens, agents, networks, types, keys, groups and images with given ids. Run again it
//! changes nothing but what the file says otherwise (agents' keys, tokens' secrets, the image's bytes): quotas that were
//! changed since stay.

use super::pool::run;
use super::{Db, DbError, Tx};
use ipnet::Ipv4Net;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    #[serde(default)]
    pub account: Vec<Account>,
    #[serde(default)]
    pub token: Vec<Token>,
    #[serde(default)]
    pub agent: Vec<Agent>,
    #[serde(default)]
    pub dc_network: Vec<DcNetwork>,
    #[serde(default)]
    pub network: Vec<Network>,
    #[serde(default)]
    pub instance_type: Vec<InstanceType>,
    #[serde(default)]
    pub ssh_key_pair: Vec<SshKeyPair>,
    #[serde(default)]
    pub security_group: Vec<SecurityGroup>,
    #[serde(default)]
    pub backup_storage: Vec<BackupStorage>,
    #[serde(default)]
    pub image: Vec<Image>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub id: String,
    #[serde(default)]
    pub description: String,
    pub quota_instances: Option<u32>,
    pub quota_volumes: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub id: String,
    pub account: String,
    pub role: String,
    pub secret_file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    pub id: arame_schema::model::AgentId,
    pub node: String,
    pub key_file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DcNetwork {
    pub id: String,
    pub name: String,
    pub vlan_first: u16,
    pub vlan_last: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    pub id: String,
    pub account: String,
    pub dc_network: String,
    pub name: String,
    pub vlan_tag: u16,
    pub subnet: Ipv4Net,
    pub gateway: Option<Ipv4Addr>,
    pub server: Ipv4Addr,
    pub domain: String,
    pub range_begin: Ipv4Addr,
    pub range_end: Ipv4Addr,
    #[serde(default)]
    pub forwarders: Vec<SocketAddr>,
    pub mtu: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceType {
    pub id: String,
    pub name: String,
    pub cpu_cores: u32,
    pub memory_mib: u64,
    pub disk_mib: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshKeyPair {
    pub id: String,
    pub account: String,
    pub name: String,
    pub public_key_file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityGroup {
    pub id: String,
    pub account: String,
    pub name: String,
    pub rule: String,
}

/// A place for backups; which folder it is, the configuration of the storage nodes says that reach it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupStorage {
    pub id: String,
    pub name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    pub id: String,
    pub account: String,
    pub name: String,
    pub public: bool,
    pub path: PathBuf,
    pub sha256: String,
    pub size_bytes: u64,
    pub format: String,
    pub arch: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error("cannot read `{path}` named in the seed: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("ssh key pair `{id}` in the seed: {reason}")]
    Key { id: String, reason: String },
    #[error("the seed cannot be written: {0}")]
    Db(#[from] DbError),
}

impl super::pool::Contended for SeedError {
    fn is_contended(&self) -> bool {
        matches!(self, SeedError::Db(e) if e.is_contention())
    }
}

fn line(path: &PathBuf) -> Result<String, SeedError> {
    let text = std::fs::read_to_string(path).map_err(|source| SeedError::Read { path: path.clone(), source })?;
    Ok(text.trim().to_owned())
}

/// SHA-256 in hex: what is kept of every secret that comes from outside.
pub fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

/// MD5 of a public key's wire form in colons, as the original and EC2 show it (RFC 4716 section 4).
///
/// # Errors
/// The key cannot be written in its wire form.
pub fn finger_print(key: &ssh_key::PublicKey) -> Result<String, ssh_key::Error> {
    let digest = <md5::Md5 as md5::Digest>::digest(key.to_bytes()?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

/// Makes the installation's row if it is not there: a new uuid, epoch 1.
///
/// # Errors
/// The database's.
pub async fn install(db: &Db) -> Result<(), DbError> {
    let uuid = crate::rehearsal::uuid_v4().to_string();
    let statement = "INSERT IGNORE INTO installation (one, uuid, epoch, created_at) VALUES (1, ?, 1, UTC_TIMESTAMP(3))";
    db.run(statement, (uuid,)).await?;
    Ok(())
}

/// Applies the whole file in one transaction.
///
/// # Errors
/// An unreadable file named in it, a bad key, or the database's.
pub async fn apply(db: &Db, seed: &Seed) -> Result<(), SeedError> {
    crate::transact!(db, "seed", None, SeedError, |tx| {
        accounts(tx, seed).await?;
        agents(tx, seed).await?;
        networks(tx, seed).await?;
        for t in &seed.instance_type {
            let statement = "INSERT IGNORE INTO instance_types (id, display_name, cpu_cores, memory_mib, disk_mib) VALUES (?, ?, ?, ?, ?)";
            run(tx, statement, (&t.id, &t.name, t.cpu_cores, t.memory_mib, t.disk_mib)).await?;
        }
        keys_and_groups(tx, seed).await?;
        for b in &seed.backup_storage {
            let statement = "INSERT IGNORE INTO backup_storages (id, display_name, storage_type, created_at, updated_at) \
                             VALUES (?, ?, 'local', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
            run(tx, statement, (&b.id, &b.name)).await?;
        }
        images(tx, seed).await
    })
}

async fn accounts(tx: &mut Tx, seed: &Seed) -> Result<(), SeedError> {
    for a in &seed.account {
        let statement = "INSERT INTO accounts (id, description, quota_instances, quota_volumes, created_at, updated_at) \
                         VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)) ON DUPLICATE KEY UPDATE id = VALUES(id)";
        run(tx, statement, (&a.id, &a.description, a.quota_instances, a.quota_volumes)).await?;
    }
    for t in &seed.token {
        let statement = "INSERT INTO tokens (id, account_id, role, secret_sha256, created_at) VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3)) \
                         ON DUPLICATE KEY UPDATE secret_sha256 = VALUES(secret_sha256), role = VALUES(role)";
        run(tx, statement, (&t.id, &t.account, &t.role, digest(&line(&t.secret_file)?))).await?;
    }
    Ok(())
}

async fn agents(tx: &mut Tx, seed: &Seed) -> Result<(), SeedError> {
    for agent in &seed.agent {
        let kind = agent.id.kind().as_str();
        let statement = "INSERT INTO agents (id, kind, node_id, key_sha256, created_at) VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3)) \
                         ON DUPLICATE KEY UPDATE key_sha256 = VALUES(key_sha256)";
        run(tx, statement, (agent.id.as_str(), kind, &agent.node, digest(&line(&agent.key_file)?))).await?;
        let node = match kind {
            "hva" => {
                "INSERT IGNORE INTO host_nodes (id, agent_id, created_at, updated_at) VALUES (?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))"
            }
            "sta" => {
                "INSERT IGNORE INTO storage_nodes (id, agent_id, created_at, updated_at) VALUES (?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))"
            }
            _ => continue,
        };
        run(tx, node, (&agent.node, agent.id.as_str())).await?;
    }
    Ok(())
}

async fn networks(tx: &mut Tx, seed: &Seed) -> Result<(), SeedError> {
    for d in &seed.dc_network {
        let statement = "INSERT IGNORE INTO dc_networks (id, name, vlan_first, vlan_last, created_at) VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3))";
        run(tx, statement, (&d.id, &d.name, d.vlan_first, d.vlan_last)).await?;
    }
    for n in &seed.network {
        let forwarders = serde_json::to_string(&n.forwarders).map_err(|e| super::row::strange("forwarders", e))?;
        let statement = "INSERT IGNORE INTO networks (id, account_id, dc_network_id, vlan_tag, display_name, ipv4_network, prefix, \
                         ipv4_gw, server, domain_name, mtu, range_begin, range_end, forwarders, created_at, updated_at) \
                         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
        let values = mysql_async::Params::Positional(vec![
            n.id.as_str().into(),
            n.account.as_str().into(),
            n.dc_network.as_str().into(),
            n.vlan_tag.into(),
            n.name.as_str().into(),
            u32::from(n.subnet.network()).into(),
            n.subnet.prefix_len().into(),
            n.gateway.map(u32::from).into(),
            u32::from(n.server).into(),
            n.domain.as_str().into(),
            n.mtu.unwrap_or(1500).into(),
            u32::from(n.range_begin).into(),
            u32::from(n.range_end).into(),
            forwarders.into(),
        ]);
        run(tx, statement, values).await?;
    }
    Ok(())
}

async fn keys_and_groups(tx: &mut Tx, seed: &Seed) -> Result<(), SeedError> {
    for k in &seed.ssh_key_pair {
        let public_key = line(&k.public_key_file)?;
        let parsed = ssh_key::PublicKey::from_openssh(&public_key)
            .map_err(|e| SeedError::Key { id: k.id.clone(), reason: e.to_string() })?;
        let finger_print =
            finger_print(&parsed).map_err(|e| SeedError::Key { id: k.id.clone(), reason: e.to_string() })?;
        let statement = "INSERT INTO ssh_key_pairs (id, account_id, display_name, finger_print, public_key, created_at, updated_at) \
                         VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)) \
                         ON DUPLICATE KEY UPDATE finger_print = VALUES(finger_print), public_key = VALUES(public_key)";
        run(tx, statement, (&k.id, &k.account, &k.name, finger_print, public_key)).await?;
    }
    for g in &seed.security_group {
        let statement = "INSERT IGNORE INTO security_groups (id, account_id, display_name, rule, created_at, updated_at) \
                         VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
        run(tx, statement, (&g.id, &g.account, &g.name, &g.rule)).await?;
    }
    Ok(())
}

async fn images(tx: &mut Tx, seed: &Seed) -> Result<(), SeedError> {
    for i in &seed.image {
        // New bytes under an old id are a new generation: storage nodes import them again.
        let statement = "INSERT INTO images (id, account_id, display_name, is_public, arch, source, sha256, size_bytes, format, \
                         created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)) \
                         ON DUPLICATE KEY UPDATE generation = IF(sha256 = VALUES(sha256), generation, generation + 1), \
                         failure_code = IF(sha256 = VALUES(sha256), failure_code, NULL), source = VALUES(source), \
                         size_bytes = VALUES(size_bytes), format = VALUES(format), sha256 = VALUES(sha256)";
        let source = format!("file://{}", i.path.display());
        let values = (&i.id, &i.account, &i.name, i.public, &i.arch, source, &i.sha256, i.size_bytes, &i.format);
        run(tx, statement, values).await?;
    }
    Ok(())
}
