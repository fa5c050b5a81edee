//! What a fresh data center is seeded with: a demo account, tokens, two networks of one subnet, sizes, a key, the image.
//!
//! dcmgr applies the file at every start and leaves alone what is there; this only writes it. Tokens and the private
//! key are made once, mode 0600.

use super::configs;
use super::fabric::{DEMO1_TAG, DEMO2_TAG};
use super::files;
use super::image::GuestImage;
use super::layout::{Layout, Wish};
use serde::Serialize;
use ssh_key::private::Ed25519Keypair;
use ssh_key::{LineEnding, PrivateKey};
use std::io;
use std::path::{Path, PathBuf};

const ACCOUNT: &str = "a-demo";
const DC_NETWORK: &str = "dcn-demo";

/// Everybody may ping a machine and reach its SSH server.
const DEFAULT_RULES: &str = "icmp:-1,-1,ip4:0.0.0.0\ntcp:22,22,ip4:0.0.0.0\n";

#[derive(Serialize)]
struct Seed {
    account: Vec<Account>,
    token: Vec<Token>,
    agent: Vec<Agent>,
    dc_network: Vec<DcNetwork>,
    network: Vec<Network>,
    instance_type: Vec<InstanceType>,
    ssh_key_pair: Vec<SshKeyPair>,
    security_group: Vec<SecurityGroup>,
    backup_storage: Vec<BackupStorage>,
    image: Vec<Image>,
}

#[derive(Serialize)]
struct Account {
    id: &'static str,
    description: &'static str,
}

#[derive(Serialize)]
struct Token {
    id: &'static str,
    account: &'static str,
    role: &'static str,
    secret_file: PathBuf,
}

#[derive(Serialize)]
struct Agent {
    id: String,
    node: String,
    key_file: PathBuf,
}

#[derive(Serialize)]
struct DcNetwork {
    id: &'static str,
    name: &'static str,
    vlan_first: u16,
    vlan_last: u16,
}

#[derive(Serialize)]
struct Network {
    id: &'static str,
    account: &'static str,
    dc_network: &'static str,
    name: &'static str,
    vlan_tag: u16,
    subnet: String,
    gateway: String,
    server: String,
    domain: &'static str,
    range_begin: String,
    range_end: String,
}

#[derive(Serialize)]
struct InstanceType {
    id: &'static str,
    name: &'static str,
    cpu_cores: u32,
    memory_mib: u64,
    disk_mib: u64,
}

#[derive(Serialize)]
struct SshKeyPair {
    id: &'static str,
    account: &'static str,
    name: &'static str,
    public_key_file: PathBuf,
}

#[derive(Serialize)]
struct SecurityGroup {
    id: &'static str,
    account: &'static str,
    name: &'static str,
    rule: &'static str,
}

#[derive(Serialize)]
struct BackupStorage {
    id: &'static str,
    name: &'static str,
}

#[derive(Serialize)]
struct Image {
    id: &'static str,
    account: &'static str,
    name: &'static str,
    public: bool,
    path: PathBuf,
    sha256: String,
    size_bytes: u64,
    format: String,
    arch: String,
}

/// Tokens and the demo key pair; made once.
pub fn prepare(layout: &Layout) -> io::Result<()> {
    for name in ["demo", "admin"] {
        files::secret(&layout.token(name))?;
    }
    let private = layout.path("keys/demo");
    if private.exists() {
        return Ok(());
    }
    let mut seed = [0u8; 32];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut seed);
    let mut key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    key.set_comment("arame-demo");
    let public = key.public_key().to_openssh().map_err(io::Error::other)?;
    let secret = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    files::replace(&public_key_path(layout), format!("{public}\n").as_bytes(), 0o644)?;
    // The private half last: its presence says that both are there.
    files::replace(&private, secret.as_bytes(), 0o600)
}

fn public_key_path(layout: &Layout) -> PathBuf {
    layout.path("keys/demo.pub")
}

/// The file dcmgr is started with.
pub fn path(layout: &Layout) -> PathBuf {
    layout.config("seed")
}

pub fn write(layout: &Layout, wish: &Wish, image: &GuestImage) -> io::Result<()> {
    let text = toml::to_string(&seed(layout, wish, image)).map_err(io::Error::other)?;
    files::replace_if_different(&path(layout), text.as_bytes(), 0o600)
}

fn seed(layout: &Layout, wish: &Wish, image: &GuestImage) -> Seed {
    let token = |id, role, name| Token { id, account: ACCOUNT, role, secret_file: layout.token(name) };
    let agents = configs::agents(wish).into_iter().map(|agent| Agent {
        id: agent.to_string(),
        node: configs::node(&agent),
        key_file: layout.secret(&format!("key-{agent}")),
    });
    Seed {
        account: vec![Account { id: ACCOUNT, description: "Demo account made by arame up" }],
        token: vec![token("tok-demo", "member", "demo"), token("tok-admin", "admin", "admin")],
        agent: agents.collect(),
        dc_network: vec![DcNetwork { id: DC_NETWORK, name: "demo", vlan_first: 101, vlan_last: 199 }],
        network: networks(wish),
        instance_type: instance_types(),
        ssh_key_pair: vec![SshKeyPair {
            id: "ssh-demo",
            account: ACCOUNT,
            name: "demo",
            public_key_file: public_key_path(layout),
        }],
        security_group: vec![SecurityGroup {
            id: "sg-default",
            account: ACCOUNT,
            name: "default",
            rule: DEFAULT_RULES,
        }],
        backup_storage: vec![BackupStorage { id: configs::BACKUP_STORAGE, name: "local" }],
        image: vec![seed_image(&image.path, image)],
    }
}

fn seed_image(path: &Path, image: &GuestImage) -> Image {
    Image {
        id: "wmi-tiny",
        account: ACCOUNT,
        name: "tiny",
        public: true,
        path: path.to_owned(),
        sha256: image.sha256.clone(),
        size_bytes: image.size_bytes,
        format: image.format.clone(),
        arch: image.arch.clone(),
    }
}

fn networks(wish: &Wish) -> Vec<Network> {
    let (begin, end) = wish.demo_range();
    let network = |id, name, vlan_tag, domain| Network {
        id,
        account: ACCOUNT,
        dc_network: DC_NETWORK,
        name,
        vlan_tag,
        subnet: wish.demo.to_string(),
        gateway: wish.demo_gateway().to_string(),
        server: wish.demo_server().to_string(),
        domain,
        range_begin: begin.to_string(),
        range_end: end.to_string(),
    };
    // One subnet on two segments, on purpose: that they never meet is what the system promises.
    vec![
        network("nw-demo1", "demo1", DEMO1_TAG, "demo1.arame.internal"),
        network("nw-demo2", "demo2", DEMO2_TAG, "demo2.arame.internal"),
    ]
}

fn instance_types() -> Vec<InstanceType> {
    let size = |id, name, cpu_cores, memory_mib, disk_mib| InstanceType { id, name, cpu_cores, memory_mib, disk_mib };
    vec![
        size("it-tiny", "tiny", 1, 192, 512),
        size("it-small", "small", 1, 512, 2048),
        size("it-medium", "medium", 2, 1024, 8192),
        size("it-large", "large", 4, 4096, 20480),
    ]
}
