//! Whatever a tenant sends, the codec and the decision survive it.

use crate::kit::snapshot;
use arame_nsa::dhcp::decide::Currency;
use arame_nsa::dhcp::server::{Unreadable, handle};
use arame_nsa::snapshot::Served;
use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Encodable, Encoder};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::net::Ipv4Addr;

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
