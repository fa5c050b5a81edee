//! Where a network's services stand on its segment: a namespace, a veth pair, a tagged switch port, sockets inside.
//!
//! Rule: what we make carries our mark (installation, network, generation), and only what carries this installation's
//! mark is changed or removed. Two drivers behind one trait: [`netns`] and [`sim`]. Drivers do not retry; the watcher
//! is the one place that tries again.

pub mod command;
pub mod netns;
pub mod ovsdb;
pub mod sim;
pub mod way;

use crate::announce::ArpSocket;
use crate::snapshot::Served;
use arame_schema::jobs::nsa::Outside;
use arame_schema::model::{MacAddress, NetworkId};
use async_trait::async_trait;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use uuid::Uuid;

/// What decides how a link must look. Hosts are no part of it: a new host changes no port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSpec {
    pub network: NetworkId,
    pub vlan_tag: u16,
    pub server: Ipv4Addr,
    pub prefix_len: u8,
    pub gateway: Option<Ipv4Addr>,
    pub mtu: u16,
    /// The way out, where it is here.
    pub outside: Option<Outside>,
    /// The way out is mended where it stands and not made where it does not.
    pub keeps_way: bool,
}

impl LinkSpec {
    pub fn of(served: &Served) -> Self {
        let snapshot = &served.head;
        Self {
            network: snapshot.network.clone(),
            vlan_tag: snapshot.vlan_tag,
            server: snapshot.server,
            prefix_len: snapshot.subnet.prefix_len(),
            gateway: snapshot.gateway,
            mtu: snapshot.mtu,
            outside: snapshot.outside.clone(),
            keeps_way: false,
        }
    }
}

/// What a link carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub installation: Uuid,
    /// Version of the snapshot that shaped the link.
    pub generation: u64,
}

/// Two equal identities: the sockets opened on the one are good on the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkId(pub String);

/// The sockets of one network, opened in its namespace, non-blocking.
#[derive(Debug, Default)]
pub struct Sockets {
    pub dhcp: Option<DhcpSockets>,
    pub dns: Option<(std::net::UdpSocket, std::net::TcpListener)>,
    /// To say where the address is. `None`: nobody listens by ARP.
    pub arp: Option<ArpSocket>,
}

#[derive(Debug)]
pub struct DhcpSockets {
    pub udp: std::net::UdpSocket,
    /// For answers to clients that have no address. `None`: answers go back to where the question came from.
    pub frames: Option<FrameSocket>,
}

/// An AF_PACKET socket bound to the link's inner end; only ever sends.
#[derive(Debug)]
pub struct FrameSocket {
    pub socket: OwnedFd,
    pub mac: MacAddress,
}

/// A port or namespace that carries a mark, or a name like ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLink {
    /// `port` or `namespace`.
    pub kind: &'static str,
    pub name: String,
    pub network: Option<String>,
    pub installation: Option<Uuid>,
    pub generation: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error(transparent)]
    Command(#[from] command::CommandError),
    #[error("{verb} {what}")]
    Io {
        verb: &'static str,
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the switch does not answer: {0}")]
    Switch(String),
    #[error("{what} belongs to {owner}; it is not touched")]
    Foreign { what: String, owner: String },
    #[error(transparent)]
    Simulated(#[from] crate::faults::Struck),
}

/// The whole chain of causes in one line.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[async_trait]
pub trait Links: Send + Sync + 'static {
    /// Makes the link as the spec says, from whatever is there. Idempotent; touches nothing when all is well.
    async fn ensure(&self, spec: &LinkSpec, mark: Mark) -> Result<LinkId, LinkError>;

    /// Opens the sockets inside.
    async fn open(&self, spec: &LinkSpec) -> Result<Sockets, LinkError>;

    /// Removes port, veth and namespace of this installation's network. Absent: done.
    async fn remove(&self, network: &NetworkId, installation: Uuid) -> Result<(), LinkError>;

    /// Everything that carries a mark. An error: nothing is known.
    async fn list(&self) -> Result<Vec<FoundLink>, LinkError>;

    /// Says on both segments that the addresses of the way out are here (RFC 5227).
    async fn announce_way(&self, spec: &LinkSpec) -> Result<(), LinkError>;

    /// Which of these links, once made, are no longer as made. Cheap: called every second.
    async fn broken(&self, specs: &[LinkSpec]) -> Result<Vec<NetworkId>, LinkError>;
}
