//! Whatever a tenant sends, the codecs and the decisions survive it, and nothing grows by it.
//!
//! A hundred thousand packets each in `make test`; `ARAME_NOISE_MINUTES=10` goes on for so long and prints how many it were.

use crate::kit::snapshot;
use arame_nsa::dhcp::decide::Currency;
use arame_nsa::dhcp::quick;
use arame_nsa::dhcp::server::{Handled, Unreadable, handle};
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
use std::time::{Duration, Instant};

const PACKETS: u64 = 100_000;

/// What a campaign may grow by: allocators keep some.
const GROWTH_MIB: f64 = 48.0;

/// How long a campaign goes on, and what it must not have grown by at its end.
pub struct Campaign {
    until: Option<Instant>,
    most: u64,
    done: u64,
    before_mib: f64,
}

impl Campaign {
    fn begin() -> Self {
        Self::of(PACKETS)
    }

    /// One of so many, where no time is named.
    pub fn of(most: u64) -> Self {
        let minutes = std::env::var("ARAME_NOISE_MINUTES").ok().and_then(|text| text.parse::<f64>().ok());
        let until = minutes.map(|minutes| Instant::now() + Duration::from_secs_f64(minutes * 60.0));
        Self { until, most, done: 0, before_mib: resident_mib() }
    }

    pub fn goes_on(&mut self) -> bool {
        self.done += 1;
        match self.until {
            Some(until) if self.done.is_multiple_of(1_024.min(self.most / 10)) => Instant::now() < until,
            Some(_) => true,
            None => self.done <= self.most,
        }
    }

    pub fn end(&self, what: &str) {
        let grown = resident_mib() - self.before_mib;
        println!("{what}: {} packets, grown by {grown:.1} MiB", self.done);
        assert!(grown < GROWTH_MIB, "{what}: grown by {grown:.1} MiB");
    }
}

fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 4096.0 / 1_048_576.0
}

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
        let plain = bytes.clone();
        // Relay information, a search list with a pointer, routes: the parts with inner structure.
        bytes.pop();
        bytes.extend([82, 6, 1, 4, 0, 0, 0, 1, 119, 4, 1, b'a', 0xc0, 0, 121, 5, 0, 10, 0, 0, 1, 43, 2, 9, 9, 255]);
        [bytes, plain]
    });
    let mut seeds: Vec<Vec<u8>> = encoded.flatten().collect();
    // As a client asks at its start: nothing that is not plain.
    let mut message = Message::new_with_id(1, none, none, none, none, &[0x52, 0x54, 0, 0, 0x65, 0x0a]);
    message.opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
    message.opts_mut().insert(Hostname("web1".to_owned()));
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    seeds.push(bytes);
    seeds
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

pub fn questions() -> Vec<Vec<u8>> {
    let long = format!("{}t101.example.", "abcdefgh.".repeat(24));
    let wide = format!("{}.{}.{}.t101.example.", "a".repeat(63), "b".repeat(63), "c".repeat(63));
    let names = [
        ("web1.t101.example.", RecordType::A),
        ("10.0.0.10.in-addr.arpa.", RecordType::PTR),
        ("nobody.t101.example.", RecordType::SOA),
        ("debian.org.", RecordType::ANY),
        ("loop1.t101.example.", RecordType::A),
        ("chain0.t101.example.", RecordType::A),
        ("text.t101.example.", RecordType::TXT),
        (&long, RecordType::A),
        (&wide, RecordType::A),
    ];
    let encoded = names.iter().map(|(name, kind)| {
        let mut question = DnsMessage::new(7, DnsType::Query, OpCode::Query);
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), *kind));
        question.set_edns(Edns::new());
        question.to_vec().unwrap()
    });
    encoded.chain(bombs()).collect()
}

/// Names whose pointers lead to themselves, to each other, back and back again, or far: compression bombs.
fn bombs() -> Vec<Vec<u8>> {
    let head = |questions: u8| vec![0, 7, 1, 0, 0, questions, 0, 0, 0, 0, 0, 0];
    let ends = [0, 1, 0, 1];
    let itself = [head(1), vec![0xc0, 12], ends.to_vec()].concat();
    let each_other = [head(1), vec![0xc0, 14, 0xc0, 12], ends.to_vec()].concat();
    let forward = [head(1), vec![0xc0, 0xff], ends.to_vec()].concat();
    let mut ladder = head(255);
    ladder.extend([1, b'a', 0, 0, 1, 0, 1]);
    for rung in 1..255u16 {
        let to = if rung == 1 { 12 } else { 12 + 7 + (rung - 2) * 8 };
        ladder.extend([1, b'a']);
        ladder.extend((0xc000 | to).to_be_bytes());
        ladder.extend(ends);
    }
    vec![itself, each_other, forward, ladder]
}

/// Aliases in circles and in rows longer than are followed.
fn tangled() -> Served {
    let mut network = snapshot("nw-one", 101);
    let record = |n: usize, name: &str, kind: &str, value: &str| {
        let value = serde_json::json!({ "id": format!("dnr-{n}"), "name": name, "kind": kind, "value": value });
        serde_json::from_value(value).unwrap()
    };
    network.records = vec![
        record(900, "loop1", "CNAME", "loop2"),
        record(901, "loop2", "CNAME", "loop1"),
        record(902, "text", "TXT", &"x".repeat(900)),
    ];
    network.records.extend((0..40).map(|n| record(n, &format!("chain{n}"), "CNAME", &format!("chain{}", n + 1))));
    Served::new(network, 1, 1).unwrap()
}

#[test]
fn a_hundred_thousand_broken_questions_end_nothing() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let served = tangled();
    let handler = Handler {
        served: Arc::new(ArcSwap::from_pointee(served)),
        counters: Arc::default(),
        forwarders: Forwarders::default(),
        queries: Arc::default(),
    };
    let seeds = questions();
    let (mut answered, mut silent, mut quick) = (0, 0, 0);
    let (mut out, from) = (Vec::new(), "10.0.0.10:4000".parse().unwrap());
    let mut campaign = Campaign::begin();
    while campaign.goes_on() {
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
        if handler.quick(&packet, from, &mut out) {
            assert!((12..=1232).contains(&out.len()) && out[..2] == packet[..2] && out[2] & 0x80 != 0);
            quick += 1;
        }
        match handler.handle(&packet, from, Protocol::Udp) {
            Verdict::Answered(bytes) => {
                assert!((12..=1232).contains(&bytes.len()) && bytes[..2] == packet[..2] && bytes[2] & 0x80 != 0);
                answered += 1;
            }
            Verdict::Silence => silent += 1,
            Verdict::Forward(_) => panic!("nobody to forward to"),
        }
    }
    println!("questions: {answered} answered, {quick} of them at once, {silent} not; {}", handler.counters.to_json());
    campaign.end("questions");
    assert!(quick > 500 && handler.counters.endless.load(Ordering::Relaxed) > 500, "bombs and loops were among them");
    assert_eq!(handler.counters.panicked.load(Ordering::Relaxed), 0);
    assert!(handler.counters.answered.load(Ordering::Relaxed) > 1000 && silent > 100, "the noise reached both sides");
}

#[test]
fn a_hundred_thousand_broken_packets_end_nothing() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let served = Served::new(snapshot("nw-one", 101), 1, 1).unwrap();
    let seeds = seeds();
    let (mut answered, mut silent, mut malformed, mut panicked, mut at_once) = (0, 0, 0, 0, 0);
    let mut out = Vec::new();
    let mut campaign = Campaign::begin();
    while campaign.goes_on() {
        let seed = &seeds[rng.random_range(0..seeds.len())];
        let packet = mutate(&mut rng, seed);
        arame_nsa::dhcp::options::list(&arame_nsa::dhcp::options::of_message(&packet));
        let is_quick = quick::answer(&served, &packet, &mut out).is_some();
        at_once += u32::from(is_quick);
        match handle(&served, Currency::Confirmed, &packet) {
            Ok(Handled { outcome: Ok((_, bytes)), .. }) if is_quick => {
                assert_eq!(bytes, out);
                answered += 1;
            }
            _ if is_quick => panic!("the whole way does not answer {packet:02x?}"),
            Ok(handled) if handled.outcome.is_ok() => answered += 1,
            Ok(_) => silent += 1,
            Err(Unreadable::Malformed(_)) => malformed += 1,
            Err(Unreadable::Panicked) => panicked += 1,
        }
    }
    campaign.end("DHCP");
    println!(
        "packets: {answered} answered, {at_once} of them at once, {silent} silent, {malformed} malformed, {panicked} panicked"
    );
    assert!(answered > 1000 && malformed > 1000 && at_once > 100, "the noise reached both sides");
    assert_eq!(panicked, 0, "a panic is survived, but the build profile is meant to leave none");
}
