//! Whatever a tenant sends, the codec and the decision survive it.

use crate::kit::snapshot;
use arame_nsa::dhcp::decide::Currency;
use arame_nsa::dhcp::server::{Unreadable, handle};
use arame_nsa::dns::forward::Forwarders;
use arame_nsa::dns::{Handler, Verdict};
use arame_nsa::snapshot::Served;
use arc_swap::ArcSwap;
use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Encodable, Encoder};
use hickory_proto::op::{Edns, Message as DnsMessage, MessageType as DnsType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use hickory_server::net::xfer::Protocol;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const PACKETS: u32 = 100_000;

fn seeds() -> Vec<Vec<u8>> {
    use DhcpOption::{
        ClientIdentifier, Hostname, MaxMessageSize, ParameterRequestList, RapidCommit, RequestedIpAddress,
        ServerIdentifier,
    };
    let own = Ipv4Addr::new(10, 0, 0, 10);
    let kinds = [MessageType::Discover, MessageType::Request, MessageType::Inform, MessageType::Decline];
    let none = Ipv4Addr::UNSPECIFIED;
    let encoded = kinds.into_iter().map(|kind| {
        let mut message = Message::new_with_id(1, none, none, none, none, &[0x52, 0x54, 0, 0, 0x65, 0x0a]);
        for option in [
            DhcpOption::MessageType(kind),
            RequestedIpAddress(own),
            ServerIdentifier(Ipv4Addr::new(10, 0, 0, 2)),
            ClientIdentifier(vec![1, 2, 3, 4]),
            Hostname("web1".to_owned()),
            MaxMessageSize(1500),
            RapidCommit,
            ParameterRequestList(vec![OptionCode::DomainSearch, OptionCode::Router]),
        ] {
            message.opts_mut().insert(option);
        }
        let mut bytes = Vec::new();
        message.encode(&mut Encoder::new(&mut bytes)).unwrap();
        // Relay information, a search list with a pointer, routes: the parts with inner structure.
        bytes.pop();
        bytes.extend([82, 6, 1, 4, 0, 0, 0, 1, 119, 4, 1, b'a', 0xc0, 0, 121, 5, 0, 10, 0, 0, 1, 43, 2, 9, 9, 255]);
        bytes
    });
    encoded.collect()
}

fn mutate(rng: &mut StdRng, seed: &[u8]) -> Vec<u8> {
    let mut packet = seed.to_vec();
    for _ in 0..rng.random_range(0..8) {
        // Mostly the options: the fixed header cannot be misread.
        let from = if rng.random_bool(0.8) { 236.min(packet.len()) } else { 0 };
        if from >= packet.len() {
            break;
        }
        let at = rng.random_range(from..packet.len());
        match rng.random_range(0..4) {
            0 => packet[at] = rng.random(),
            1 => packet[at] ^= 1 << rng.random_range(0..8),
            2 => packet.truncate(at),
            _ => packet.insert(at, rng.random()),
        }
    }
    packet
}

fn questions() -> Vec<Vec<u8>> {
    let names = ["web1.t101.example.", "10.0.0.10.in-addr.arpa.", "nobody.t101.example.", "debian.org."];
    let kinds = [RecordType::A, RecordType::PTR, RecordType::SOA, RecordType::ANY];
    let encoded = names.iter().zip(kinds).map(|(name, kind)| {
        let mut question = DnsMessage::new(7, DnsType::Query, OpCode::Query);
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        question.set_edns(Edns::new());
        question.to_vec().unwrap()
    });
    encoded.collect()
}

#[test]
fn a_hundred_thousand_broken_questions_end_nothing() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let served = Served::new(snapshot("nw-one", 101), 1).unwrap();
    let handler = Handler {
        served: Arc::new(ArcSwap::from_pointee(served)),
        counters: Arc::default(),
        forwarders: Forwarders::default(),
    };
    let seeds = questions();
    let (mut answered, mut silent) = (0, 0);
    for _ in 0..PACKETS {
        let seed = &seeds[rng.random_range(0..seeds.len())];
        let mut packet = seed.clone();
        for _ in 0..rng.random_range(0..4) {
            let at = rng.random_range(0..packet.len());
            match rng.random_range(0..3) {
                0 => packet[at] = rng.random(),
                1 => packet.truncate(at.max(1)),
                _ => packet.insert(at, rng.random()),
            }
        }
        match handler.handle(&packet, "10.0.0.10:4000".parse().unwrap(), Protocol::Udp) {
            Verdict::Answered(bytes) => {
                assert!((12..=1232).contains(&bytes.len()) && bytes[..2] == packet[..2] && bytes[2] & 0x80 != 0);
                answered += 1;
            }
            Verdict::Silence => silent += 1,
            Verdict::Forward(_) => panic!("nobody to forward to"),
        }
    }
    println!("{PACKETS} questions: {answered} answered, {silent} not; {}", handler.counters.to_json());
    assert_eq!(handler.counters.panicked.load(Ordering::Relaxed), 0);
    assert!(handler.counters.answered.load(Ordering::Relaxed) > 1000 && silent > 100, "the noise reached both sides");
}

#[test]
fn a_hundred_thousand_broken_packets_end_nothing() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let served = Served::new(snapshot("nw-one", 101), 1).unwrap();
    let seeds = seeds();
    let (mut answered, mut silent, mut malformed, mut panicked) = (0, 0, 0, 0);
    for _ in 0..PACKETS {
        let seed = &seeds[rng.random_range(0..seeds.len())];
        let packet = mutate(&mut rng, seed);
        match handle(&served, Currency::Confirmed, &packet) {
            Ok(handled) if handled.outcome.is_ok() => answered += 1,
            Ok(_) => silent += 1,
            Err(Unreadable::Malformed(_)) => malformed += 1,
            Err(Unreadable::Panicked) => panicked += 1,
        }
    }
    println!("{PACKETS} packets: {answered} answered, {silent} silent, {malformed} malformed, {panicked} panicked");
    assert!(answered > 1000 && malformed > 1000, "the noise reached both sides");
    assert_eq!(panicked, 0, "a panic is survived, but the build profile is meant to leave none");
}
