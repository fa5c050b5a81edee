//! Where everything of one data center is: folders below `--dir`, names of namespaces and links, addresses, ports.
//!
//! What must stay true: every name outside `--dir` carries a tag made from `--dir`, so that two data centers on one
//! machine never meet and `down` finds exactly its own. Pure: nothing here touches the machine.

use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Real hosts: the management network has room for these below the infrastructure's address.
pub const REAL_HOSTS_MAX: u16 = 200;

/// Unix sockets must fit into 108 bytes; the longest one below `--dir` takes 42.
pub const DIR_LENGTH_MAX: usize = 64;

/// What kind of data center is wanted, checked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Wish {
    pub kind: Kind,
    pub hosts: u16,
    pub listen: SocketAddr,
    pub port_base: u16,
    pub management: Ipv4Net,
    pub demo: Ipv4Net,
    /// Where unchanged old clients come in with the demo token, if anywhere: an address on loopback or a socket's path.
    #[serde(default)]
    pub compat: Option<String>,
    /// Where the web console is, if anywhere.
    #[serde(default)]
    pub webui: Option<SocketAddr>,
    /// Where images may be fetched from beside the public Internet.
    #[serde(default)]
    pub images_from: Vec<ipnet::IpNet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Namespaces, libvirt, Open vSwitch: needs root.
    Real,
    /// Simulated backends, everything on loopback.
    Sim,
}

/// Folders and names.
#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
    tag: String,
}

impl Layout {
    /// `dir` must be absolute; the tag is a function of it alone.
    pub fn new(dir: &Path) -> Self {
        let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
        Self { dir: dir.to_owned(), tag: hex::encode(&digest[..3]) }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn run(&self, name: &str) -> PathBuf {
        self.dir.join("run").join(name)
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("log").join(format!("{name}.log"))
    }

    pub fn secret(&self, name: &str) -> PathBuf {
        self.dir.join("secrets").join(name)
    }

    pub fn token(&self, name: &str) -> PathBuf {
        self.dir.join("tokens").join(name)
    }

    pub fn config(&self, name: &str) -> PathBuf {
        self.dir.join("etc").join(format!("{name}.toml"))
    }

    pub fn host(&self, host: u16) -> PathBuf {
        self.dir.join("hosts").join(host_name(host))
    }

    pub fn database_socket(&self) -> PathBuf {
        self.dir.join("db/s.sock")
    }

    /// Where dcmgr takes streams (consoles).
    pub fn streams_socket(&self) -> PathBuf {
        self.dir.join("run/streams.sock")
    }

    /// Namespaces of this data center all begin so.
    pub fn netns_prefix(&self) -> String {
        format!("arame-{}-", self.tag)
    }

    /// The infrastructure: broker, storage, naming, their switch.
    pub fn netns_fab(&self) -> String {
        format!("{}fab", self.netns_prefix())
    }

    /// The second demo network's gateway: alone, so that its equal subnet meets nothing.
    pub fn netns_gateway2(&self) -> String {
        format!("{}gw2", self.netns_prefix())
    }

    pub fn netns_host(&self, host: u16) -> String {
        format!("{}{}", self.netns_prefix(), host_name(host))
    }

    /// The one link between the machine and the infrastructure (at most 15 bytes).
    pub fn link(&self) -> String {
        format!("ara-{}", self.tag)
    }

    /// A /30 of the link-local range, chosen by the tag: machine, infrastructure.
    pub fn link_addresses(&self) -> (Ipv4Addr, Ipv4Addr) {
        let digest = Sha256::digest(self.tag.as_bytes());
        // 169.254.64.0 to .127.255: away from 169.254.169.254 and from RFC 3927's reserved ends.
        let third = 64 + digest[0] % 64;
        let fourth = digest[1] & 0xfc;
        (Ipv4Addr::new(169, 254, third, fourth + 1), Ipv4Addr::new(169, 254, third, fourth + 2))
    }
}

pub fn host_name(host: u16) -> String {
    format!("h{host}")
}

/// Ports of a data center on loopback (simulated), counted from `--port-base`.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    base: u16,
}

impl Wish {
    pub fn ports(&self) -> Ports {
        Ports { base: self.port_base }
    }

    /// The infrastructure's address on the management network: the last usable one.
    pub fn infrastructure(&self) -> Ipv4Addr {
        nth_from_end(self.management, 1)
    }

    /// Address of host 1, 2, …
    pub fn host_address(&self, host: u16) -> Ipv4Addr {
        nth(self.management, u32::from(host))
    }

    pub fn demo_gateway(&self) -> Ipv4Addr {
        nth(self.demo, 1)
    }

    /// The nsa's address in the demo networks.
    pub fn demo_server(&self) -> Ipv4Addr {
        nth(self.demo, 2)
    }

    pub fn demo_range(&self) -> (Ipv4Addr, Ipv4Addr) {
        (nth(self.demo, 10), nth_from_end(self.demo, 5))
    }

    /// Networks no guest may reach: the hosts' and the link to the machine.
    pub fn closed_to_guests(&self, layout: &Layout) -> Vec<Ipv4Net> {
        let link = Ipv4Net::new(layout.link_addresses().0, 30).map(|net| net.trunc());
        [Some(self.management), link.ok()].into_iter().flatten().collect()
    }

    /// Where dcmgr meets the broker.
    pub fn broker(&self, layout: &Layout) -> SocketAddr {
        match self.kind {
            Kind::Real => (layout.link_addresses().1, 5672).into(),
            Kind::Sim => (Ipv4Addr::LOCALHOST, self.ports().broker()).into(),
        }
    }

    /// Where the agents meet the broker.
    pub fn broker_for_agents(&self) -> SocketAddr {
        match self.kind {
            Kind::Real => (self.infrastructure(), 5672).into(),
            Kind::Sim => (Ipv4Addr::LOCALHOST, self.ports().broker()).into(),
        }
    }

    /// Where the sta serves images.
    pub fn images(&self) -> SocketAddr {
        match self.kind {
            Kind::Real => (self.infrastructure(), 9080).into(),
            Kind::Sim => (Ipv4Addr::LOCALHOST, self.ports().images()).into(),
        }
    }
}

impl Ports {
    pub fn broker(self) -> u16 {
        self.base
    }

    pub fn broker_distribution(self) -> u16 {
        self.base + 1
    }

    pub fn images(self) -> u16 {
        self.base + 2
    }
}

fn nth(net: Ipv4Net, n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(net.network()) + n)
}

fn nth_from_end(net: Ipv4Net, n: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(net.broadcast()) - n)
}

#[cfg(test)]
pub(crate) fn wish(kind: Kind) -> Wish {
    Wish {
        kind,
        hosts: 2,
        listen: "127.0.0.1:9001".parse().unwrap(),
        port_base: 9010,
        management: "10.99.0.0/24".parse().unwrap(),
        demo: "10.100.0.0/24".parse().unwrap(),
        compat: None,
        webui: None,
        images_from: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_folders_never_share_a_name() {
        let (one, two) = (Layout::new(Path::new("/a/var")), Layout::new(Path::new("/b/var")));
        assert_ne!(one.netns_fab(), two.netns_fab());
        assert_ne!(one.link(), two.link());
        assert_ne!(one.link_addresses(), two.link_addresses());
        assert_eq!(one.netns_fab(), Layout::new(Path::new("/a/var")).netns_fab());
    }

    #[test]
    fn names_fit_where_the_kernel_wants_them() {
        let layout = Layout::new(Path::new("/a/var"));
        assert!(layout.link().len() <= 15);
        let (machine, infrastructure) = layout.link_addresses();
        assert_eq!(u32::from(machine) & !3, u32::from(infrastructure) & !3);
        assert!(machine.is_link_local());
    }

    #[test]
    fn addresses_come_from_the_two_networks() {
        let wish = wish(Kind::Real);
        assert_eq!(wish.infrastructure().to_string(), "10.99.0.254");
        assert_eq!(wish.host_address(2).to_string(), "10.99.0.2");
        assert_eq!(wish.demo_range().0.to_string(), "10.100.0.10");
        assert_eq!(wish.demo_range().1.to_string(), "10.100.0.250");
    }
}
