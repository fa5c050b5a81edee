//! What a guest's port lets out and in, in the order in which it is asked. Pure, and the same for every switch.
//!
//! Rule: this is the one place that decides; a driver only says it in its switch's words. Of the clauses that match a frame
//! the one with the highest precedence decides; what none matches is dropped. That a frame carries no 802.1Q tag and that
//! its Ethernet source is the port's own is the driver's to check, for every clause that lets something out.

use crate::policy::Policy;
use arame_schema::jobs::hva::{IngressRule, PortPolicy};
use arame_schema::model::security_group::Traffic;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// What a guest asks (EC2's address).
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// RFC 3927: nothing of it leaves a guest's link.
const LINK_LOCAL: Ipv4Addr = Ipv4Addr::new(169, 254, 0, 0);
const LINK_LOCAL_PREFIX: u8 = 16;

/// RFC 2131, 4.1.
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DNS: u16 = 53;
const HTTP: u16 = 80;
/// RFC 792.
const ECHO_REQUEST: u8 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

/// Fields of an IPv4 packet; `None` matches any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packet {
    pub protocol: Option<Protocol>,
    pub source: Option<Ipv4Net>,
    pub destination: Option<Ipv4Net>,
    pub source_port: Option<u16>,
    /// First and last.
    pub destination_ports: Option<(u16, u16)>,
    pub icmp_type: Option<u8>,
    pub icmp_code: Option<u8>,
}

/// What a clause matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// RFC 826: whose hardware address is the port's, and that says this of its protocol address.
    ArpFrom(Ipv4Addr),
    /// The question who has this address, from the port's hardware address.
    ArpAsking(Ipv4Addr),
    /// Any ARP.
    Arp,
    Ip(Packet),
}

/// Where a guest's frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Nowhere,
    /// To whom it is addressed on its segment; no connection is kept of it.
    Segment,
    /// Out by the trunk alone: no other guest hears it, so none can answer it.
    Servers,
    /// The same as `Segment`, with its connection tracked.
    Tracked,
    /// Tracked, and only as part of a connection that the other side began.
    Answering,
    /// To the host's metadata service, under the port's name.
    Metadata,
    /// Back to the guest: the metadata service's address is on its link.
    MetadataArp,
}

/// What connection tracking says of a packet (RFC 793's and RFC 792's relations, as the kernel's conntrack names them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Established,
    Related,
    New,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub precedence: u16,
    pub frame: Frame,
    pub way: Way,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    pub precedence: u16,
    pub frame: Frame,
    /// `None`: whether tracked or not.
    pub state: Option<State>,
    pub passes: bool,
}

/// One address as a network.
fn only(address: Ipv4Addr) -> Option<Ipv4Net> {
    Some(Ipv4Net::from(address))
}

/// A network without its host bits; the whole of IPv4 is no condition.
fn within(net: Ipv4Net) -> Option<Ipv4Net> {
    (net.prefix_len() > 0).then(|| net.trunc())
}

fn udp(source_port: u16, destination_port: u16) -> Packet {
    Packet {
        protocol: Some(Protocol::Udp),
        source_port: Some(source_port),
        destination_ports: Some((destination_port, destination_port)),
        ..Packet::default()
    }
}

/// What a guest may send, highest precedence first. With `metadata` its questions to that service are answered.
pub fn egress(port: &PortPolicy, policy: &Policy, metadata: bool) -> Vec<Sent> {
    let mut all = Vec::new();
    let mut add = |precedence, frame, way| all.push(Sent { precedence, frame, way });
    let (own, server) = (only(port.ipv4), only(port.dhcp_server));
    let from_own = Packet { source: own, ..Packet::default() };
    if metadata {
        // A guest without a router asks for the address on its own link.
        add(210, Frame::ArpAsking(METADATA), Way::MetadataArp);
    }
    // RFC 5227's probe has the sender address 0.0.0.0.
    for sender in [port.ipv4, Ipv4Addr::UNSPECIFIED] {
        add(200, Frame::ArpFrom(sender), Way::Segment);
    }
    let ask = udp(DHCP_CLIENT, DHCP_SERVER);
    let first = Packet { source: only(Ipv4Addr::UNSPECIFIED), destination: only(Ipv4Addr::BROADCAST), ..ask };
    add(200, Frame::Ip(first), Way::Servers);
    for target in [Ipv4Addr::BROADCAST, port.dhcp_server] {
        add(200, Frame::Ip(Packet { source: own, destination: only(target), ..ask }), Way::Servers);
    }
    let answers = Packet { protocol: Some(Protocol::Udp), source_port: Some(DHCP_SERVER), ..Packet::default() };
    add(190, Frame::Ip(answers), Way::Nowhere);
    if metadata {
        let ask = Packet {
            protocol: Some(Protocol::Tcp),
            destination: only(METADATA),
            destination_ports: Some((HTTP, HTTP)),
            ..from_own
        };
        add(185, Frame::Ip(ask), Way::Metadata);
    }
    let link_local = Ipv4Net::new(LINK_LOCAL, LINK_LOCAL_PREFIX).ok();
    add(184, Frame::Ip(Packet { destination: link_local, ..Packet::default() }), Way::Nowhere);
    let to_server = Packet { destination: server, ..from_own };
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let names = Packet { protocol: Some(protocol), destination_ports: Some((DNS, DNS)), ..to_server };
        add(180, Frame::Ip(names), Way::Tracked);
    }
    let ping = Packet { protocol: Some(Protocol::Icmp), icmp_type: Some(ECHO_REQUEST), ..to_server };
    add(180, Frame::Ip(ping), Way::Tracked);
    for net in &policy.infrastructure {
        // Answers to what infrastructure itself opened (an operator's SSH) pass; nothing new does.
        add(170, Frame::Ip(Packet { destination: Some(net.trunc()), ..from_own }), Way::Answering);
    }
    add(160, Frame::Ip(from_own), Way::Tracked);
    all
}

/// What a guest may hear of what is addressed to it, highest precedence first.
pub fn ingress(port: &PortPolicy) -> Vec<Heard> {
    let any = Frame::Ip(Packet::default());
    let answer = udp(DHCP_SERVER, DHCP_CLIENT);
    let mut all = vec![
        Heard { precedence: 210, frame: Frame::Arp, state: None, passes: true },
        Heard { precedence: 200, frame: any, state: Some(State::Established), passes: true },
        Heard { precedence: 200, frame: any, state: Some(State::Related), passes: true },
        Heard {
            precedence: 195,
            frame: Frame::Ip(Packet { source: only(port.dhcp_server), ..answer }),
            state: None,
            passes: true,
        },
        Heard { precedence: 190, frame: Frame::Ip(answer), state: None, passes: false },
    ];
    all.extend(port.ingress.iter().map(|rule| Heard {
        precedence: 100,
        frame: Frame::Ip(packet(rule)),
        state: Some(State::New),
        passes: true,
    }));
    all
}

/// What a rule lets in.
fn packet(rule: &IngressRule) -> Packet {
    let from = Packet { source: within(rule.source), ..Packet::default() };
    match rule.traffic {
        Traffic::Tcp { from: first, to: last } => {
            Packet { protocol: Some(Protocol::Tcp), destination_ports: Some((first, last)), ..from }
        }
        Traffic::Udp { from: first, to: last } => {
            Packet { protocol: Some(Protocol::Udp), destination_ports: Some((first, last)), ..from }
        }
        Traffic::Icmp { kind, code } => {
            Packet { protocol: Some(Protocol::Icmp), icmp_type: kind, icmp_code: code, ..from }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> PortPolicy {
        PortPolicy {
            vif: "vif-a".parse().unwrap(),
            instance: "i-a".parse().unwrap(),
            network: "nw-a".parse().unwrap(),
            vlan_tag: 100,
            mac: "52:54:00:00:00:01".parse().unwrap(),
            ipv4: Ipv4Addr::new(10, 0, 0, 5),
            subnet: "10.0.0.0/24".parse().unwrap(),
            dhcp_server: Ipv4Addr::new(10, 0, 0, 2),
            ingress: vec![],
        }
    }

    #[test]
    fn clauses_come_in_the_order_in_which_they_decide() {
        let policy = Policy { infrastructure: vec!["10.99.0.0/24".parse().unwrap()], ..Policy::default() };
        let sent: Vec<u16> = egress(&port(), &policy, true).iter().map(|clause| clause.precedence).collect();
        let heard: Vec<u16> = ingress(&port()).iter().map(|clause| clause.precedence).collect();
        assert!(sent.is_sorted_by(|a, b| a >= b) && heard.is_sorted_by(|a, b| a >= b), "{sent:?} {heard:?}");
    }

    #[test]
    fn every_packet_that_is_let_out_has_the_ports_own_source() {
        for clause in egress(&port(), &Policy::default(), true) {
            let Frame::Ip(packet) = clause.frame else { continue };
            let asks_for_an_address = clause.way == Way::Servers && packet.source == only(Ipv4Addr::UNSPECIFIED);
            assert!(
                clause.way == Way::Nowhere || asks_for_an_address || packet.source == only(port().ipv4),
                "{clause:?}"
            );
        }
    }

    #[test]
    fn a_port_without_rules_lets_no_new_connection_in() {
        let new = |port: &PortPolicy| ingress(port).iter().filter(|c| c.state == Some(State::New) && c.passes).count();
        let mut member = port();
        assert_eq!(new(&member), 0);
        let source = "0.0.0.0/0".parse().unwrap();
        member.ingress.push(IngressRule { traffic: Traffic::Tcp { from: 22, to: 22 }, source });
        assert_eq!(new(&member), 1, "the control");
    }

    #[test]
    fn without_the_service_nothing_of_it_is_answered() {
        let asks = |metadata| {
            let all = egress(&port(), &Policy::default(), metadata);
            all.iter().filter(|clause| matches!(clause.way, Way::Metadata | Way::MetadataArp)).count()
        };
        assert_eq!((asks(false), asks(true)), (0, 2));
    }
}
