//! The plain questions of known machines, answered from the packet's bytes and options that were encoded once a version: a
//! DISCOVER, and a REQUEST of the address that is the machine's.
//!
//! Rule: what is answered here is, byte for byte, what the whole way ([`super::server::handle`]) would answer (`tests`
//! compares the two over any packet); what is not plain is left to it: refusals, strangers, rapid commit, relay information,
//! options that come twice or that this does not know, parts beyond the options. No lock is waited for.

use super::{Destination, decide, reply};
use crate::limits::DHCP_PACKET_MIN;
use crate::snapshot::Served;
use arame_schema::jobs::nsa::{NetworkHost, NetworkSnapshot};
use arame_schema::model::MacAddress;
use dhcproto::v4::{DhcpOption, Flags, MessageType};
use dhcproto::{Encodable, Encoder};
use hickory_proto::rr::Name;
use std::net::Ipv4Addr;

/// RFC 2131, figure 1: the fixed part with the magic cookie.
const HEADER: usize = 240;
const MAGIC: [u8; 4] = [99, 130, 83, 99];
/// Where the client's hardware address ends and the names of BOOTP begin.
const NAMES: usize = 44;

const PAD: u8 = 0;
const HOST_NAME: u8 = 12;
const REQUESTED_ADDRESS: u8 = 50;
const MESSAGE_TYPE: u8 = 53;
const SERVER_IDENTIFIER: u8 = 54;
const PARAMETERS: u8 = 55;
const MAX_MESSAGE_SIZE: u8 = 57;
const VENDOR_CLASS: u8 = 60;
const CLIENT_IDENTIFIER: u8 = 61;
const DOMAIN_SEARCH: u8 = 119;
const END: u8 = 255;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

/// The options of every lease of a network, as they are on the wire, in the order of their codes; between them go those that
/// are a machine's own or a question's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    before_name: Box<[u8]>,
    before_type: Box<[u8]>,
    before_identifier: Box<[u8]>,
    search: Box<[u8]>,
    last: Box<[u8]>,
}

impl Prepared {
    /// From the very options that the whole way gives. `None`: the codec cannot encode them, and the whole way says why.
    pub fn new(head: &NetworkSnapshot, origin: &Name) -> Option<Self> {
        let mut options = reply::of_network(head);
        options.extend(reply::of_lease(head));
        options.push(DhcpOption::ServerIdentifier(head.server));
        options.push(reply::search(origin));
        let mut encoded: Vec<Vec<u8>> = options.iter().map(encode).collect::<Option<_>>()?;
        encoded.sort_by_key(|option| option.first().copied());
        let within = |from: u8, to: u8| -> Box<[u8]> {
            let is_there = |option: &&Vec<u8>| option.first().is_some_and(|code| (from..=to).contains(code));
            encoded.iter().filter(is_there).flatten().copied().collect()
        };
        Some(Self {
            before_name: within(PAD, HOST_NAME - 1),
            before_type: within(HOST_NAME + 1, MESSAGE_TYPE - 1),
            before_identifier: within(MESSAGE_TYPE + 1, CLIENT_IDENTIFIER - 1),
            search: within(DOMAIN_SEARCH, DOMAIN_SEARCH),
            last: within(DOMAIN_SEARCH + 1, END - 1),
        })
    }
}

fn encode(option: &DhcpOption) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    option.encode(&mut Encoder::new(&mut bytes)).ok()?;
    Some(bytes)
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Offer,
    Ack,
}

#[derive(Debug, Clone)]
pub struct Answer<'a> {
    pub kind: Kind,
    pub host: &'a NetworkHost,
    /// The address that was asked for.
    pub asked: Option<Ipv4Addr>,
    pub to: Destination,
}

/// One question whose form is plain.
#[derive(Default)]
struct Question<'a> {
    kind: u8,
    broadcast: bool,
    ciaddr: u32,
    giaddr: u32,
    mac: [u8; 6],
    requested: Option<[u8; 4]>,
    server: Option<[u8; 4]>,
    identifier: &'a [u8],
    parameters: &'a [u8],
}

fn number(packet: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?))
}

fn read(packet: &[u8]) -> Option<Question<'_>> {
    let fixed = packet.get(..HEADER)?;
    // A request of an Ethernet's client, whose names are empty.
    let is_plain = fixed[..3] == [1, 1, 6] && fixed[HEADER - 4..] == MAGIC;
    if !is_plain || fixed[NAMES..HEADER - 4].iter().any(|byte| *byte != 0) {
        return None;
    }
    let mut question = Question {
        broadcast: Flags::from(u16::from_be_bytes([fixed[10], fixed[11]])).broadcast(),
        ciaddr: number(fixed, 12)?,
        giaddr: number(fixed, 24)?,
        mac: fixed[28..34].try_into().ok()?,
        ..Question::default()
    };
    read_options(&mut question, &packet[HEADER..])?;
    (question.kind != 0).then_some(question)
}

/// Up to the end, which must be there; each at most once.
fn read_options<'a>(question: &mut Question<'a>, mut bytes: &'a [u8]) -> Option<()> {
    let mut seen = 0u64;
    loop {
        let (code, rest) = bytes.split_first()?;
        match *code {
            PAD => {
                bytes = rest;
                continue;
            }
            END => return Some(()),
            code if code >= 64 || seen & (1 << code) != 0 => return None,
            code => seen |= 1 << code,
        }
        let (length, rest) = rest.split_first()?;
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        match (*code, value) {
            (MESSAGE_TYPE, [kind @ (DISCOVER | REQUEST)]) => question.kind = *kind,
            (REQUESTED_ADDRESS, value) => question.requested = Some(value.try_into().ok()?),
            (SERVER_IDENTIFIER, value) => question.server = Some(value.try_into().ok()?),
            (PARAMETERS, value) => question.parameters = value,
            (CLIENT_IDENTIFIER, value) if !value.is_empty() => question.identifier = value,
            (HOST_NAME, value) if value.is_ascii() => {}
            (MAX_MESSAGE_SIZE, [_, _]) | (VENDOR_CLASS, _) => {}
            _ => return None,
        }
        bytes = rest;
    }
}

/// Writes the answer over what `out` had. `None`: it is not plain, and `out` is worth nothing.
pub fn answer<'a>(served: &'a Served, packet: &[u8], out: &mut Vec<u8>) -> Option<Answer<'a>> {
    let prepared = served.leases.as_deref()?;
    let question = read(packet)?;
    let host = served.host(MacAddress(question.mac))?;
    let relay = Ipv4Addr::from(question.giaddr);
    if !relay.is_unspecified() && !served.head.subnet.contains(&relay) {
        return None;
    }
    let claimed = Some(question.ciaddr).filter(|address| *address != 0).map(Ipv4Addr::from);
    let asked = question.requested.map(Ipv4Addr::from).or(claimed);
    let kind = match question.kind {
        DISCOVER => Kind::Offer,
        _ => {
            let is_ours = question.server.is_none_or(|server| server == served.head.server.octets());
            if !is_ours || asked != Some(host.ipv4) {
                return None;
            }
            Kind::Ack
        }
    };
    write(prepared, packet, &question, (kind, host), out)?;
    let to = decide::destination(relay, question.broadcast && question.ciaddr == 0, host);
    Some(Answer { kind, host, asked, to })
}

/// The fields as RFC 2131, table 3 has them.
fn write(
    prepared: &Prepared,
    packet: &[u8],
    question: &Question<'_>,
    (kind, host): (Kind, &NetworkHost),
    out: &mut Vec<u8>,
) -> Option<()> {
    out.clear();
    // Type, length of the hardware address, no hops; the transaction.
    out.extend_from_slice(&[2, 1, 6, 0]);
    out.extend_from_slice(packet.get(4..8)?);
    // No seconds; flags and the client's address as they came.
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(packet.get(10..16)?);
    out.extend_from_slice(&host.ipv4.octets());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&question.giaddr.to_be_bytes());
    out.extend_from_slice(&question.mac);
    out.resize(HEADER - 4, 0);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&prepared.before_name);
    option(out, HOST_NAME, host.hostname.bytes().map(|letter| letter.to_ascii_lowercase()));
    out.extend_from_slice(&prepared.before_type);
    let kind = match kind {
        Kind::Offer => OFFER,
        Kind::Ack => ACK,
    };
    out.extend_from_slice(&[MESSAGE_TYPE, 1, kind]);
    out.extend_from_slice(&prepared.before_identifier);
    if !question.identifier.is_empty() {
        option(out, CLIENT_IDENTIFIER, question.identifier.iter().copied());
    }
    if question.parameters.contains(&DOMAIN_SEARCH) {
        out.extend_from_slice(&prepared.search);
    }
    out.extend_from_slice(&prepared.last);
    out.push(END);
    if out.len() < DHCP_PACKET_MIN {
        out.resize(DHCP_PACKET_MIN, 0);
    }
    Some(())
}

/// Values come from an option of one octet's length, or are a label.
fn option(out: &mut Vec<u8>, code: u8, value: impl ExactSizeIterator<Item = u8>) {
    out.extend_from_slice(&[code, value.len() as u8]);
    out.extend(value);
}

impl Kind {
    pub fn question(self) -> MessageType {
        match self {
            Kind::Offer => MessageType::Discover,
            Kind::Ack => MessageType::Request,
        }
    }

    pub fn answer(self) -> MessageType {
        match self {
            Kind::Offer => MessageType::Offer,
            Kind::Ack => MessageType::Ack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::decide::Currency;
    use super::super::server::handle;
    use super::*;
    use crate::snapshot::tests::snapshot;
    use dhcproto::v4::{Message, OptionCode};
    use proptest::prelude::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0x0a];
    const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
    const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

    /// With everything that a network can have, or next to nothing.
    fn served(is_rich: bool) -> Served {
        let mut snapshot = snapshot();
        snapshot.hosts[0].hostname = "Web1".into();
        if is_rich {
            let via = snapshot.server;
            let route =
                |n| arame_schema::jobs::nsa::Route { destination: format!("172.16.{n}.0/24").parse().unwrap(), via };
            snapshot.routes = (0..crate::snapshot::ROUTES_MAX).map(route).collect();
            snapshot.ntp_servers = vec![Ipv4Addr::new(10, 0, 0, 3)];
            snapshot.dns_servers = vec![via, Ipv4Addr::new(10, 0, 0, 4)];
        } else {
            (snapshot.gateway, snapshot.no_dns) = (None, true);
        }
        Served::new(snapshot, 7, 1).unwrap()
    }

    fn bytes(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.encode(&mut Encoder::new(&mut bytes)).unwrap();
        bytes
    }

    fn message(kind: MessageType, ciaddr: Ipv4Addr, options: &[DhcpOption]) -> Message {
        let mut message = Message::new_with_id(7, ciaddr, NONE, NONE, NONE, &MAC);
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        options.iter().for_each(|option| drop(message.opts_mut().insert(option.clone())));
        message
    }

    fn kind(served: &Served, packet: &[u8]) -> Option<Kind> {
        answer(served, packet, &mut Vec::new()).map(|answer| answer.kind)
    }

    #[test]
    fn what_clients_ask_at_every_start_is_answered_here_and_the_rest_is_left() {
        use DhcpOption::{ClassIdentifier, ClientIdentifier, Hostname, MaxMessageSize, ParameterRequestList};
        let served = served(true);
        let said = [
            ClientIdentifier(vec![1, 2, 3]),
            Hostname("guest".into()),
            MaxMessageSize(1500),
            ClassIdentifier(b"udhcp 1.35".to_vec()),
            ParameterRequestList(vec![OptionCode::SubnetMask, OptionCode::DomainSearch]),
        ];
        let with = |more: &[DhcpOption]| [&said[..], more].concat();
        let own = DhcpOption::RequestedIpAddress(OWN);
        let ours = DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 0, 2));
        let discover = message(MessageType::Discover, NONE, &said);
        assert_eq!(kind(&served, &bytes(&discover)), Some(Kind::Offer));
        for (name, request) in [
            ("selecting", message(MessageType::Request, NONE, &with(&[own.clone(), ours.clone()]))),
            ("init-reboot", message(MessageType::Request, NONE, &with(std::slice::from_ref(&own)))),
            ("renewing", message(MessageType::Request, OWN, &said)),
        ] {
            assert_eq!(kind(&served, &bytes(&request)), Some(Kind::Ack), "{name}");
        }
        let other = DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 0, 9));
        let mut foreign = discover.clone();
        foreign.set_giaddr([192, 0, 2, 1]);
        let mut stranger = discover.clone();
        stranger.set_chaddr(&[2, 0, 0, 0, 0, 1]);
        let mut twice = bytes(&discover);
        twice.pop();
        twice.extend([12, 1, b'x', 255]);
        let mut endless = bytes(&discover);
        endless.pop();
        for (name, packet) in [
            ("another server", bytes(&message(MessageType::Request, NONE, &[own.clone(), other]))),
            ("another address", bytes(&message(MessageType::Request, Ipv4Addr::new(10, 0, 0, 11), &[]))),
            ("no address", bytes(&message(MessageType::Request, NONE, &[]))),
            ("rapid commit", bytes(&message(MessageType::Discover, NONE, &[DhcpOption::RapidCommit]))),
            ("a release", bytes(&message(MessageType::Release, OWN, &[]))),
            ("information", bytes(&message(MessageType::Inform, OWN, &[]))),
            ("a relay elsewhere", bytes(&foreign)),
            ("a stranger", bytes(&stranger)),
            ("an option twice", twice),
            ("no end", endless),
            ("less than a header", bytes(&discover)[..200].to_vec()),
        ] {
            assert_eq!(kind(&served, &packet), None, "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        #[test]
        fn an_answer_given_here_is_the_whole_ways_byte_for_byte(
            is_rich in any::<bool>(), is_discover in any::<bool>(), is_broadcast in any::<bool>(),
            ciaddr in 0usize..3, giaddr in 0usize..3, last in 9u8..12, server in prop::option::of(2u8..4),
            requested in prop::option::of(9u8..12), identifier in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
            hostname in prop::option::of("[a-z]{0,5}"), search in any::<bool>(),
            flips in prop::collection::vec((0usize..330, any::<u8>()), 0..3), cut in prop::option::of(0usize..330),
        ) {
            let served = served(is_rich);
            let mut options = Vec::new();
            options.extend(server.map(|last| DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 0, last))));
            options.extend(requested.map(|last| DhcpOption::RequestedIpAddress(Ipv4Addr::new(10, 0, 0, last))));
            options.extend(identifier.map(DhcpOption::ClientIdentifier));
            options.extend(hostname.map(DhcpOption::Hostname));
            options.push(DhcpOption::MaxMessageSize(1500));
            let codes = if search { vec![OptionCode::DomainSearch] } else { vec![OptionCode::Router] };
            options.push(DhcpOption::ParameterRequestList(codes));
            let kind = if is_discover { MessageType::Discover } else { MessageType::Request };
            let addresses = [NONE, OWN, Ipv4Addr::new(10, 0, 0, 77)];
            let mut message = message(kind, addresses[ciaddr], &options);
            message.set_giaddr(addresses[giaddr]).set_chaddr(&[0x52, 0x54, 0, 0, 0, last]).set_hops(3).set_secs(9);
            if is_broadcast { message.set_flags(Flags::default().set_broadcast()); }
            let mut packet = bytes(&message);
            for (at, value) in flips {
                let at = at % packet.len();
                packet[at] = value;
            }
            if let Some(cut) = cut && cut < packet.len() / 4 { packet.truncate(packet.len() - cut); }
            let mut out = vec![1, 2, 3];
            if let Some(quick) = answer(&served, &packet, &mut out) {
                let whole = handle(&served, Currency::Remembered, &packet).unwrap();
                let (decided, wanted) = whole.outcome.unwrap();
                prop_assert_eq!(&out, &wanted);
                prop_assert_eq!(quick.to, decided.to);
                prop_assert_eq!(quick.kind.answer(), decided.kind);
                prop_assert_eq!(quick.asked, decide::asked_address(&whole.message));
                prop_assert_eq!(Some(quick.kind.question()), whole.message.opts().msg_type());
                prop_assert_eq!(decided.address, Some(quick.host.ipv4));
            }
        }
    }
}
