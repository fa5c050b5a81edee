//! DHCPv4 (RFC 2131) of one network: read a message, decide, answer. Nothing is leased: the snapshot says who has what.
//!
//! ```text
//!  DISCOVER ─► OFFER        REQUEST ─► ACK, or NAK when a known MAC asks for another address
//!  INFORM ─► ACK            RELEASE, DECLINE ─► noted        unknown MAC ─► silence
//! ```
//!
//! The two questions of every start are answered from prepared bytes ([`quick`]), all others by way of messages.
//!
//! Rule: a tenant's packet never ends the process (decoding happens inside an unwind guard), and a MAC that is not in
//! the snapshot never gets a word, not even a NAK: another server on the segment may know it.

pub mod decide;
pub mod frame;
pub mod options;
pub mod quick;
pub mod reply;
pub mod server;

use arame_schema::jobs::nsa::why::Reason;
use arame_schema::model::MacAddress;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};

pub const SERVER_PORT: u16 = 67;
pub const CLIENT_PORT: u16 = 68;

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The client asked for it, or has no usable address (NAK).
    Broadcast,
    /// Straight to the client's MAC; it may not answer ARP yet.
    Client { mac: MacAddress, address: Ipv4Addr },
    /// A relay on the segment.
    Relay(Ipv4Addr),
}

/// Why nothing was answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    #[error("the packet is not a DHCP message: {0}")]
    Malformed(String),
    #[error("it is not a request of a client on an Ethernet")]
    NotAClient,
    #[error("this MAC is not an interface of this network")]
    UnknownMac,
    #[error("the client chose another server, {0}")]
    OtherServer(Ipv4Addr),
    #[error("the request names no address")]
    NoAddress,
    #[error(
        "the client has {asked} and the snapshot says {known}, but the snapshot is from disk and not yet confirmed \
         by the manager, so it is not refused"
    )]
    Unconfirmed { asked: Ipv4Addr, known: Ipv4Addr },
    #[error("the relay {0} is not on this segment")]
    ForeignRelay(Ipv4Addr),
    #[error("too many messages from this MAC")]
    TooMany,
    #[error("the client gave its address back; it stays reserved for it")]
    Released,
    #[error("the client found {0} in use by another machine")]
    Declined(Ipv4Addr),
    #[error("message type {0} is not for a server")]
    NotForServers(String),
}

impl Silence {
    /// As the catalogue tells it.
    pub fn reason(&self) -> Reason {
        match self {
            Silence::Malformed(reason) => Reason::new("malformed").with("reason", reason),
            Silence::NotAClient => Reason::new("not_a_client"),
            Silence::UnknownMac => Reason::new("unknown_mac"),
            Silence::OtherServer(server) => Reason::new("other_server").with("server", server),
            Silence::NoAddress => Reason::new("no_address"),
            Silence::Unconfirmed { asked, known } => {
                Reason::new("unconfirmed").with("asked", asked).with("known", known)
            }
            Silence::ForeignRelay(relay) => Reason::new("foreign_relay").with("relay", relay),
            Silence::TooMany => Reason::new("too_many"),
            Silence::Released => Reason::new("released"),
            Silence::Declined(address) => Reason::new("declined").with("address", address),
            Silence::NotForServers(kind) => Reason::new("not_for_servers").with("type", kind),
        }
    }
}

/// Messages by type; silences and errors apart.
#[derive(Debug, Default)]
pub struct DhcpCounters {
    pub discover: AtomicU64,
    pub request: AtomicU64,
    pub inform: AtomicU64,
    pub release: AtomicU64,
    pub decline: AtomicU64,
    pub other: AtomicU64,
    pub malformed: AtomicU64,
    pub panicked: AtomicU64,
    pub offer: AtomicU64,
    pub ack: AtomicU64,
    pub nak: AtomicU64,
    pub silent_unknown: AtomicU64,
    pub silent_known: AtomicU64,
    pub unsent: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl DhcpCounters {
    /// Each with its word.
    pub fn all(&self) -> [(&'static str, u64); 14] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("discover", read(&self.discover)),
            ("request", read(&self.request)),
            ("inform", read(&self.inform)),
            ("release", read(&self.release)),
            ("decline", read(&self.decline)),
            ("other", read(&self.other)),
            ("malformed", read(&self.malformed)),
            ("panicked", read(&self.panicked)),
            ("offer", read(&self.offer)),
            ("ack", read(&self.ack)),
            ("nak", read(&self.nak)),
            ("silent_unknown", read(&self.silent_unknown)),
            ("silent_known", read(&self.silent_known)),
            ("unsent", read(&self.unsent)),
        ]
    }

    pub fn to_json(&self) -> serde_json::Value {
        self.all()
            .into_iter()
            .map(|(word, value)| (word.to_owned(), value.into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}
