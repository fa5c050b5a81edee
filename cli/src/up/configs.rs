//! Configuration files of dcmgr and the agents, written from one wish.
//!
//! What must stay true: secrets are in files of their own with mode 0600, a configuration names only their paths; the
//! laboratory settings of hva exist only here, inside namespaces.

use super::fabric;
use super::files;
use super::kvm::Acceleration;
use super::layout::{Kind, Layout, Wish, host_name};
use arame_schema::broker::{MANAGER, VHOST};
use arame_schema::model::AgentId;
use serde::Serialize;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The one place for backups of a data center on one machine.
pub const BACKUP_STORAGE: &str = "bkst-local";

pub const IQN: &str = "iqn.2026-11.jp.arame";

/// Port of tgtd's control socket: any number but the default, which a tgtd of the machine may use.
pub const TGT_CONTROL_PORT: u16 = 7;

/// Where hosts hand copies of disks to storage nodes.
const CAPTURES_PORT: u16 = 8890;

/// What one simulated host pretends to have: enough for the benches to fill a few hosts.
const SIM_CPU_CORES: u32 = 256;
const SIM_MEMORY_MIB: u64 = 1024 * 1024;
const SIM_DISK_MIB: u64 = 16 * 1024 * 1024;

/// Memory of the machine not offered to guests.
const MEMORY_KEPT_MIB: u64 = 2048;

#[derive(Serialize)]
struct Broker {
    host: String,
    port: u16,
    vhost: String,
    user: String,
    password_file: PathBuf,
    /// The addresses are of namespaces of this data center, which nobody else is in.
    plain_text: bool,
}

#[derive(Serialize)]
struct Common {
    agent: AgentId,
    key_file: PathBuf,
    state_dir: PathBuf,
    broker: Broker,
    streams: Streams,
}

/// Where consoles are brought: dcmgr's socket, which every namespace of the data center sees.
#[derive(Serialize)]
struct Streams {
    dcmgr: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Sim {
    state_file: PathBuf,
    latency_ms: u64,
    /// What hypervisor hosts move guests over.
    #[serde(skip_serializing_if = "Option::is_none")]
    trunk: Option<PathBuf>,
}

#[derive(Serialize)]
struct Dcmgr {
    listen: SocketAddr,
    secret_key_file: PathBuf,
    infrastructure: Vec<ipnet::Ipv4Net>,
    time_zone: String,
    database: Database,
    broker: Broker,
    #[serde(skip_serializing_if = "Option::is_none")]
    compat: Option<Compat>,
    streams: StreamDoor,
}

#[derive(Serialize)]
struct StreamDoor {
    listen: PathBuf,
}

#[derive(Serialize)]
struct Compat {
    listen: String,
    token_file: PathBuf,
}

#[derive(Serialize)]
struct Database {
    socket: PathBuf,
    user: &'static str,
    password_file: PathBuf,
    name: &'static str,
}

#[derive(Serialize)]
struct HvaFile {
    common: Common,
    hva: Hva,
}

#[derive(Serialize)]
struct Hva {
    host: String,
    driver: &'static str,
    data_dir: PathBuf,
    initiator_iqn: String,
    cpu_cores: u32,
    memory_mib: u64,
    disk_mib: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    libvirt: Option<Libvirt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    switch: Option<HvaSwitch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    captures: Option<Captures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sim: Option<Sim>,
}

#[derive(Serialize)]
struct Captures {
    listen: SocketAddr,
    url: String,
}

#[derive(Serialize)]
struct Libvirt {
    uri: &'static str,
    domain_type: &'static str,
    laboratory: bool,
    migration_uri: String,
}

#[derive(Serialize)]
struct HvaSwitch {
    driver: &'static str,
    bridge: &'static str,
    db_socket: &'static str,
    run_dir: &'static str,
}

#[derive(Serialize)]
struct Metadata {
    enabled: bool,
}

#[derive(Serialize)]
struct StaFile {
    common: Common,
    sta: Sta,
}

#[derive(Serialize)]
struct Sta {
    node: String,
    store: &'static str,
    data_dir: PathBuf,
    http_listen: SocketAddr,
    http_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_url: Option<String>,
    import_dirs: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_free_mib: Option<u64>,
    backups: Vec<Backups>,
    export: Export,
    fetch: Fetch,
    #[serde(skip_serializing_if = "Option::is_none")]
    sim: Option<Sim>,
}

#[derive(Serialize)]
struct Backups {
    storage: &'static str,
    path: PathBuf,
}

#[derive(Serialize)]
struct Fetch {
    allow_networks: Vec<ipnet::IpNet>,
    refuse_networks: Vec<ipnet::IpNet>,
}

#[derive(Serialize)]
struct Export {
    driver: &'static str,
    portal: String,
    control_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipc_socket: Option<PathBuf>,
    iqn_prefix: &'static str,
}

#[derive(Serialize)]
struct NsaFile {
    common: Common,
    nsa: Nsa,
}

#[derive(Serialize)]
struct Nsa {
    driver: &'static str,
    data_dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    switch: Option<NsaSwitch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sim: Option<Sim>,
}

#[derive(Serialize)]
struct NsaSwitch {
    bridge: &'static str,
    db_socket: PathBuf,
    netns_prefix: String,
}

/// Where less is free on the disk of this machine no new volumes are made. As much as backups leave.
const KEEP_FREE_MIB: u64 = 1024;

/// Agents of this data center: one sta, one nsa, an hva a host.
pub fn agents(wish: &Wish) -> Vec<AgentId> {
    let hosts = (1..=wish.hosts).map(|host| format!("hva.{}", host_name(host)));
    let texts = ["sta.s1".to_owned(), "nsa.n1".to_owned()].into_iter().chain(hosts);
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// Simulated hosts above this number share processes: one of its own for each of a thousand would need the memory of a
/// server.
const HOSTS_ALONE_MAX: usize = 50;

/// Simulated hosts of one process then.
const HOSTS_TOGETHER: usize = 250;

/// A process of agents: its name and who is in it.
pub struct Group {
    pub name: String,
    pub agents: Vec<AgentId>,
}

/// How the agents are spread over processes.
pub fn groups(wish: &Wish) -> Vec<Group> {
    let alone = |agent: AgentId| Group { name: agent.to_string(), agents: vec![agent] };
    let is_host = |agent: &AgentId| agent.kind() == arame_schema::model::AgentKind::Hva;
    let (hosts, others): (Vec<AgentId>, Vec<AgentId>) = agents(wish).into_iter().partition(is_host);
    let mut groups: Vec<Group> = others.into_iter().map(alone).collect();
    if wish.kind == Kind::Real || hosts.len() <= HOSTS_ALONE_MAX {
        groups.extend(hosts.into_iter().map(alone));
        return groups;
    }
    let together = hosts.chunks(HOSTS_TOGETHER).enumerate();
    groups.extend(together.map(|(n, hosts)| Group { name: format!("hosts.{}", n + 1), agents: hosts.to_vec() }));
    groups
}

/// The node an agent answers for.
pub fn node(agent: &AgentId) -> String {
    match agent.kind() {
        arame_schema::model::AgentKind::Hva => format!("hn-{}", agent.name()),
        arame_schema::model::AgentKind::Sta => format!("sn-{}", agent.name()),
        arame_schema::model::AgentKind::Nsa => format!("nn-{}", agent.name()),
    }
}

/// What the machine has, as far as it is offered to guests.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    pub cpus: u32,
    pub memory_mib: u64,
    pub disk_mib: u64,
}

/// The writer of all files of one data center.
pub struct Writer<'a> {
    pub layout: &'a Layout,
    pub wish: &'a Wish,
    pub capacity: Capacity,
}

impl Writer<'_> {
    fn write<T: Serialize>(&self, name: &str, content: &T) -> io::Result<()> {
        let text = toml::to_string(content).map_err(io::Error::other)?;
        files::replace_if_different(&self.layout.config(name), text.as_bytes(), 0o600)
    }

    fn common(&self, agent: &AgentId) -> io::Result<Common> {
        let key_file = self.layout.secret(&format!("key-{agent}"));
        files::secret(&key_file)?;
        let state_dir = self.layout.path("state").join(agent.as_str());
        if !state_dir.exists() {
            // The agents of a data center share this machine; each is a machine of its own, also when `--dir` moves.
            files::folder(&state_dir, 0o700)?;
            files::secret(&state_dir.join("machine_id"))?;
        }
        files::folder(&state_dir, 0o700)?;
        let address = self.wish.broker_for_agents();
        let broker = Broker {
            host: address.ip().to_string(),
            port: address.port(),
            vhost: VHOST.into(),
            user: agent.as_str().into(),
            password_file: self.layout.secret(&format!("broker-{agent}")),
            plain_text: !address.ip().is_loopback(),
        };
        let streams = Streams { dcmgr: vec![self.layout.streams_socket()] };
        Ok(Common { agent: agent.clone(), key_file, state_dir, broker, streams })
    }

    fn data_dir(&self, agent: &AgentId) -> io::Result<PathBuf> {
        let dir = self.layout.path("data").join(agent.as_str());
        files::folder(&dir, 0o755)?;
        Ok(dir)
    }

    fn sim(&self, agent: &AgentId) -> Option<Sim> {
        let state_file = self.layout.path("state").join(agent.as_str()).join("world.json");
        let is_host = agent.kind() == arame_schema::model::AgentKind::Hva;
        let trunk = is_host.then(|| self.layout.path("state").join("trunk"));
        (self.wish.kind == Kind::Sim).then_some(Sim { state_file, latency_ms: 0, trunk })
    }

    pub fn dcmgr(&self) -> io::Result<()> {
        let secret_key_file = self.layout.secret("dcmgr-key");
        files::secret(&secret_key_file)?;
        let address = self.wish.broker(self.layout);
        self.write(
            "dcmgr",
            &Dcmgr {
                listen: self.wish.listen,
                secret_key_file,
                infrastructure: self.wish.closed_to_guests(self.layout),
                time_zone: zone_name(&jiff::tz::TimeZone::system()),
                database: Database {
                    socket: self.layout.database_socket(),
                    user: "arame",
                    password_file: self.layout.secret("db-arame"),
                    name: "arame",
                },
                broker: Broker {
                    host: address.ip().to_string(),
                    port: address.port(),
                    vhost: VHOST.into(),
                    user: MANAGER.into(),
                    password_file: self.layout.secret("broker-dcmgr"),
                    plain_text: !address.ip().is_loopback(),
                },
                streams: StreamDoor { listen: self.layout.streams_socket() },
                compat: self.wish.compat.clone().map(|listen| Compat { listen, token_file: self.layout.token("demo") }),
            },
        )
    }

    /// The file of one agent; its name is the agent's.
    pub fn agent(&self, agent: &AgentId, acceleration: Acceleration) -> io::Result<()> {
        match agent.kind() {
            arame_schema::model::AgentKind::Hva => self.hva(agent, acceleration),
            arame_schema::model::AgentKind::Sta => self.sta(agent),
            arame_schema::model::AgentKind::Nsa => self.nsa(agent),
        }
    }

    fn hva(&self, agent: &AgentId, acceleration: Acceleration) -> io::Result<()> {
        let real = self.wish.kind == Kind::Real;
        let hosts = u64::from(self.wish.hosts.max(1));
        let (cpu_cores, memory_mib, disk_mib) = if real {
            let memory = self.capacity.memory_mib.saturating_sub(MEMORY_KEPT_MIB) / hosts;
            (self.capacity.cpus, memory.max(512), (self.capacity.disk_mib * 3 / 4 / hosts).max(1024))
        } else {
            (SIM_CPU_CORES, SIM_MEMORY_MIB, SIM_DISK_MIB)
        };
        let number = agent.name().trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or_default();
        let address = self.wish.host_address(number);
        let hva = Hva {
            host: node(agent),
            driver: if real { "libvirt" } else { "sim" },
            data_dir: self.data_dir(agent)?,
            initiator_iqn: format!("{IQN}:{}", agent.name()),
            cpu_cores,
            memory_mib,
            disk_mib,
            // Paths as the agent sees them, inside the host.
            libvirt: real.then_some(Libvirt {
                uri: "qemu:///system?socket=/run/libvirt/libvirt-sock",
                domain_type: acceleration.domain_type(),
                laboratory: true,
                migration_uri: format!("qemu+tcp://{address}/system"),
            }),
            switch: real.then_some(HvaSwitch {
                driver: "ovs",
                bridge: "ovs0",
                db_socket: "/run/openvswitch/db.sock",
                run_dir: "/run/openvswitch",
            }),
            metadata: real.then_some(Metadata { enabled: true }),
            captures: real.then(|| Captures {
                listen: (address, CAPTURES_PORT).into(),
                url: format!("http://{address}:{CAPTURES_PORT}"),
            }),
            sim: self.sim(agent),
        };
        self.write(agent.as_str(), &HvaFile { common: self.common(agent)?, hva })
    }

    fn sta(&self, agent: &AgentId) -> io::Result<()> {
        let real = self.wish.kind == Kind::Real;
        let http = self.wish.images();
        let sta = Sta {
            node: node(agent),
            store: if real { "file" } else { "sim" },
            data_dir: self.data_dir(agent)?,
            // In the fabric dcmgr, which is outside of it, comes by the link, as to the broker.
            http_listen: if real { (Ipv4Addr::UNSPECIFIED, http.port()).into() } else { http },
            http_url: format!("http://{http}"),
            upload_url: real.then(|| format!("http://{}:{}", self.layout.link_addresses().1, http.port())),
            import_dirs: vec![self.layout.path("images")],
            // The disk of somebody's machine, filled by other things too: not a share of all of it.
            keep_free_mib: real.then_some(KEEP_FREE_MIB),
            backups: vec![Backups { storage: BACKUP_STORAGE, path: self.layout.path("backups") }],
            fetch: Fetch {
                allow_networks: self.wish.images_from.clone(),
                // Whatever an operator allows, this is nobody's to fetch from.
                refuse_networks: vec![self.wish.management.into()],
            },
            export: Export {
                driver: if real { "tgt" } else { "sim" },
                portal: portal(self.wish),
                control_port: TGT_CONTROL_PORT,
                ipc_socket: real.then(|| tgt_socket(self.layout)),
                iqn_prefix: IQN,
            },
            sim: self.sim(agent),
        };
        self.write(agent.as_str(), &StaFile { common: self.common(agent)?, sta })
    }

    fn nsa(&self, agent: &AgentId) -> io::Result<()> {
        let real = self.wish.kind == Kind::Real;
        let nsa = Nsa {
            driver: if real { "netns" } else { "sim" },
            data_dir: self.data_dir(agent)?,
            switch: real.then(|| NsaSwitch {
                bridge: "ovs0",
                db_socket: fabric::switch_socket(self.layout),
                netns_prefix: format!("{}nw-", self.layout.netns_prefix()),
            }),
            sim: self.sim(agent),
        };
        self.write(agent.as_str(), &NsaFile { common: self.common(agent)?, nsa })
    }
}

/// Where volumes are exported.
pub fn portal(wish: &Wish) -> String {
    format!("{}:3260", wish.broker_for_agents().ip())
}

/// Without the control port that tgtd and tgtadm append.
pub fn tgt_socket(layout: &Layout) -> PathBuf {
    layout.run("tgt")
}

/// The IANA name of a time zone, as a machine says it (`TZ`, else `/etc/localtime`); UTC for one without a name.
fn zone_name(zone: &jiff::tz::TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::layout::wish;
    use super::*;
    use jiff::tz::TimeZone;

    #[test]
    fn plain_text_is_said_of_the_namespaces_and_not_where_loopback_needs_no_saying() {
        for kind in [Kind::Real, Kind::Sim] {
            let folder = tempfile::tempdir().unwrap();
            let layout = Layout::new(folder.path());
            std::fs::create_dir_all(layout.secret("any").parent().unwrap()).unwrap();
            std::fs::create_dir_all(layout.path("state")).unwrap();
            let wish = wish(kind);
            let capacity = Capacity { cpus: 4, memory_mib: 4096, disk_mib: 10_000 };
            let writer = Writer { layout: &layout, wish: &wish, capacity };
            let own = writer.common(&"nsa.n1".parse().unwrap()).unwrap().broker;
            let host: std::net::IpAddr = own.host.parse().unwrap();
            assert_eq!(own.plain_text, !host.is_loopback(), "{host}");
            assert_eq!(own.plain_text, kind == Kind::Real);
        }
    }

    #[test]
    fn a_zone_is_told_by_its_name_and_one_without_a_name_is_utc() {
        assert_eq!(zone_name(&TimeZone::get("Asia/Tokyo").unwrap()), "Asia/Tokyo");
        assert_eq!(zone_name(&TimeZone::posix("JST-9").unwrap()), "UTC");
    }
}
