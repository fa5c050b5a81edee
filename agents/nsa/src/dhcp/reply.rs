//! From a decision to a DHCP message: the options a client gets, all out of the snapshot.
//!
//! Option 121 (RFC 3442) makes a client ignore option 3, so it repeats the default route. Option 82 comes back as it
//! came (RFC 3046), option 61 too (RFC 6842).

use super::decide::Answer;
use crate::limits::DHCP_PACKET_MIN;
use crate::snapshot::Served;
use arame_schema::jobs::nsa::NetworkSnapshot;
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Encodable, Encoder};
use hickory_proto::rr::Name;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

pub fn build(served: &Served, question: &Message, answer: &Answer) -> Message {
    let given = answer.address.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let current = match answer.kind {
        MessageType::Nak => Ipv4Addr::UNSPECIFIED,
        _ => question.ciaddr(),
    };
    let (none, relay) = (Ipv4Addr::UNSPECIFIED, question.giaddr());
    let mut message = Message::new_with_id(question.xid(), current, given, none, relay, question.chaddr());
    message.set_opcode(Opcode::BootReply);
    let refused_by_relay = answer.kind == MessageType::Nak && !relay.is_unspecified();
    let flags = if refused_by_relay { Flags::default().set_broadcast() } else { question.flags() };
    message.set_flags(flags);
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(answer.kind));
    options.insert(DhcpOption::ServerIdentifier(served.head.server));
    for code in [OptionCode::ClientIdentifier, OptionCode::RelayAgentInformation] {
        if let Some(option) = question.opts().get(code) {
            options.insert(option.clone());
        }
    }
    if answer.rapid {
        options.insert(DhcpOption::RapidCommit);
    }
    match answer.kind {
        MessageType::Nak => {
            let asked = super::decide::asked_address(question).unwrap_or(Ipv4Addr::UNSPECIFIED);
            options.insert(DhcpOption::Message(format!("{asked} is not the address of this interface")));
        }
        _ => configuration(served, question, answer).into_iter().for_each(|option| drop(options.insert(option))),
    }
    message
}

fn configuration(served: &Served, question: &Message, answer: &Answer) -> Vec<DhcpOption> {
    let mut options = of_network(&served.head);
    if let Some(hostname) = super::decide::client_mac(question).and_then(|mac| served.host(mac)) {
        options.push(DhcpOption::Hostname(hostname.hostname.to_ascii_lowercase()));
    }
    if wants(question, OptionCode::DomainSearch) {
        options.push(search(&served.origin_name));
    }
    if answer.address.is_some() {
        options.extend(of_lease(&served.head));
    }
    options
}

/// What every machine of the network is told.
pub(super) fn of_network(snapshot: &NetworkSnapshot) -> Vec<DhcpOption> {
    let mut options = vec![
        DhcpOption::SubnetMask(snapshot.subnet.netmask()),
        DhcpOption::BroadcastAddr(snapshot.subnet.broadcast()),
        DhcpOption::DomainName(snapshot.domain.trim_end_matches('.').to_owned()),
        DhcpOption::InterfaceMtu(snapshot.mtu),
    ];
    if let Some(gateway) = snapshot.gateway {
        options.push(DhcpOption::Router(vec![gateway]));
    }
    let servers = match snapshot.dns_servers.as_slice() {
        [] if snapshot.no_dns => Vec::new(),
        [] => vec![snapshot.server],
        others => others.to_vec(),
    };
    if !servers.is_empty() {
        options.push(DhcpOption::DomainNameServer(servers));
    }
    if !snapshot.ntp_servers.is_empty() {
        options.push(DhcpOption::NtpServers(snapshot.ntp_servers.clone()));
    }
    if !snapshot.routes.is_empty() {
        options.push(DhcpOption::ClasslessStaticRoute(routes(snapshot)));
    }
    options
}

/// To whom asks for it.
pub(super) fn search(origin: &Name) -> DhcpOption {
    DhcpOption::DomainSearch(vec![origin.clone()])
}

/// What goes with an address.
pub(super) fn of_lease(snapshot: &NetworkSnapshot) -> [DhcpOption; 3] {
    let lease = snapshot.lease_seconds;
    [
        DhcpOption::AddressLeaseTime(lease),
        DhcpOption::Renewal(lease / 2),
        DhcpOption::Rebinding((u64::from(lease) * 7 / 8) as u32),
    ]
}

fn routes(snapshot: &NetworkSnapshot) -> Vec<(Ipv4Net, Ipv4Addr)> {
    let mut routes: Vec<_> = snapshot.routes.iter().map(|route| (route.destination.trunc(), route.via)).collect();
    let default = snapshot.gateway.filter(|_| routes.iter().all(|(to, _)| to.prefix_len() > 0));
    routes.extend(default.map(|gateway| (Ipv4Net::default(), gateway)));
    routes
}

fn wants(question: &Message, code: OptionCode) -> bool {
    match question.opts().get(OptionCode::ParameterRequestList) {
        Some(DhcpOption::ParameterRequestList(codes)) => codes.contains(&code),
        _ => false,
    }
}

/// # Errors
/// The codec's sentence; no snapshot that passed its check is known to cause one.
pub fn encode(message: &Message) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(512);
    message.encode(&mut Encoder::new(&mut bytes)).map_err(|error| error.to_string())?;
    if bytes.len() < DHCP_PACKET_MIN {
        bytes.resize(DHCP_PACKET_MIN, 0);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::decide::{Currency, decide};
    use crate::snapshot::tests::snapshot;
    use dhcproto::{Decodable, Decoder};

    fn discover() -> Message {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(99, none, none, none, none, &[0x52, 0x54, 0, 0, 0, 0x0a]);
        message.opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
        message
    }

    fn offer(served: &Served, question: &Message) -> Message {
        let answer = decide(served, Currency::Confirmed, question).unwrap();
        let bytes = encode(&build(served, question, &answer)).unwrap();
        assert!(bytes.len() >= DHCP_PACKET_MIN);
        Message::decode(&mut Decoder::new(&bytes)).unwrap()
    }

    #[test]
    fn an_offer_says_everything_a_guest_needs() {
        let mut snapshot = snapshot();
        snapshot.routes = vec![arame_schema::jobs::nsa::Route {
            destination: "169.254.169.254/32".parse().unwrap(),
            via: Ipv4Addr::new(10, 0, 0, 2),
        }];
        snapshot.ntp_servers = vec![Ipv4Addr::new(10, 0, 0, 3), Ipv4Addr::new(192, 0, 2, 123)];
        let served = Served::new(snapshot, 1, 1).unwrap();
        let mut question = discover();
        question
            .opts_mut()
            .insert(DhcpOption::ParameterRequestList(vec![OptionCode::DomainSearch, OptionCode::SubnetMask]));
        let offer = offer(&served, &question);
        let mut seen: Vec<String> = offer.opts().iter().map(|(_, option)| format!("{option:?}")).collect();
        seen.sort();
        let expected = [
            "AddressLeaseTime(3600)",
            "BroadcastAddr(10.0.0.255)",
            "ClasslessStaticRoute([(169.254.169.254/32, 10.0.0.2), (0.0.0.0/0, 10.0.0.1)])",
            "DomainName(\"demo.example\")",
            "DomainNameServer([10.0.0.2])",
            "DomainSearch([Name(\"demo.example.\")])",
            "Hostname(\"web1\")",
            "InterfaceMtu(1450)",
            "MessageType(Offer)",
            "NtpServers([10.0.0.3, 192.0.2.123])",
            "Rebinding(3150)",
            "Renewal(1800)",
            "Router([10.0.0.1])",
            "ServerIdentifier(10.0.0.2)",
            "SubnetMask(255.255.255.0)",
        ];
        assert_eq!(seen, expected);
        assert_eq!((offer.yiaddr(), offer.xid()), (Ipv4Addr::new(10, 0, 0, 10), 99));
    }

    #[test]
    fn a_network_without_a_gateway_offers_no_router_and_the_most_routes_fit() {
        let mut snapshot = snapshot();
        snapshot.gateway = None;
        let served = Served::new(snapshot.clone(), 1, 1).unwrap();
        assert!(offer(&served, &discover()).opts().get(OptionCode::Router).is_none());
        let via = snapshot.server;
        let route =
            |n| arame_schema::jobs::nsa::Route { destination: Ipv4Net::new([172, 16, 0, n].into(), 32).unwrap(), via };
        snapshot.gateway = Some(Ipv4Addr::new(10, 0, 0, 1));
        snapshot.routes = (1..=crate::snapshot::ROUTES_MAX as u8).map(route).collect();
        let served = Served::new(snapshot, 2, 1).unwrap();
        match offer(&served, &discover()).opts().get(OptionCode::ClasslessStaticRoute) {
            Some(DhcpOption::ClasslessStaticRoute(routes)) => assert_eq!(routes.len(), crate::snapshot::ROUTES_MAX + 1),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn relay_information_and_client_identifier_come_back() {
        let served = Served::new(snapshot(), 1, 1).unwrap();
        let mut question = discover();
        question.opts_mut().insert(DhcpOption::ClientIdentifier(vec![1, 2, 3]));
        let circuit = dhcproto::v4::relay::RelayInfo::AgentCircuitId(vec![9, 9]);
        let mut information = dhcproto::v4::relay::RelayAgentInformation::default();
        information.insert(circuit);
        question.opts_mut().insert(DhcpOption::RelayAgentInformation(information.clone()));
        let offer = offer(&served, &question);
        assert_eq!(
            offer.opts().get(OptionCode::RelayAgentInformation),
            Some(&DhcpOption::RelayAgentInformation(information))
        );
        assert_eq!(offer.opts().get(OptionCode::ClientIdentifier), Some(&DhcpOption::ClientIdentifier(vec![1, 2, 3])));
    }
}
