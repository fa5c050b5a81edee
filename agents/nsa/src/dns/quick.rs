//! The plain questions, answered from the packet's bytes and the snapshot's tables alone: a machine's name, or an address.
//!
//! Rule: what is answered here is what [`super::Handler`]'s whole way would answer, record by record (`tests` compares the
//! two over any question); what is not plain is left to it: aliases and added records, names elsewhere, other classes, options
//! with a content, answers that would be cut. Nothing is allocated, and no lock is waited for.

use crate::limits::{DNS_UDP_PAYLOAD, NEGATIVE_TTL_SECONDS};
use crate::snapshot::Served;
use std::net::Ipv4Addr;

const HEADER: usize = 12;
const LABEL_MAX: usize = 63;
/// RFC 1035, 2.3.4.
const NAME_MAX: usize = 255;
const REVERSE: &[u8] = b"\x07in-addr\x04arpa\x00";

const A: u16 = 1;
const SOA: u16 = 6;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const OPT: u16 = 41;
const HTTPS: u16 = 65;
const IN: u16 = 1;

/// What was answered, for the counters and the log of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Answered,
    NoData,
    NoName,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Kind::Answered => "answered",
            Kind::NoData => "no_data",
            Kind::NoName => "no_name",
        }
    }
}

/// One question whose form is plain.
struct Question<'a> {
    /// The name's bytes as they came, with the root's.
    name: &'a [u8],
    kind: u16,
    recursion_desired: bool,
    /// Where the question ends: what is repeated in the answer.
    end: usize,
    /// What the client takes, if it said so.
    payload: Option<u16>,
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn read(packet: &[u8]) -> Option<Question<'_>> {
    let (high, low) = (*packet.get(2)?, *packet.get(3)?);
    // A standard query; AD is a wish that is not answered, anything else is not plain.
    if high & 0xfe != 0 || low & !0x20 != 0 {
        return None;
    }
    let counts = [number(packet, 4)?, number(packet, 6)?, number(packet, 8)?];
    if counts != [1, 0, 0] {
        return None;
    }
    let name = name_at(packet)?;
    let at = HEADER + name.len();
    let (kind, class) = (number(packet, at)?, number(packet, at + 2)?);
    let end = at + 4;
    let payload = match number(packet, 10)? {
        0 if packet.len() == end => None,
        1 => Some(payload_of(packet.get(end..)?)?),
        _ => return None,
    };
    (class == IN).then_some(Question { name, kind, recursion_desired: high & 1 == 1, end, payload })
}

/// A name without pointers, from the first question on.
fn name_at(packet: &[u8]) -> Option<&[u8]> {
    let mut at = HEADER;
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1 + length;
        if length > LABEL_MAX || at - HEADER > NAME_MAX {
            return None;
        }
        if length == 0 {
            return packet.get(HEADER..at);
        }
    }
}

/// The size an OPT record of version 0 without options says (RFC 6891, 6.1.2).
fn payload_of(opt: &[u8]) -> Option<u16> {
    let [0, 0, kind, high, low, 0, 0, _, _, 0, 0] = *opt else { return None };
    (u16::from(kind) == OPT).then(|| u16::from_be_bytes([high, low]))
}

/// Writes the answer over what `out` had. `None`: it is not plain, and `out` is worth nothing.
pub fn answer(served: &Served, packet: &[u8], out: &mut Vec<u8>) -> Option<Kind> {
    let question = read(packet)?;
    let limit = question.payload.map_or(512, |payload| payload.clamp(512, DNS_UDP_PAYLOAD));
    out.clear();
    out.extend_from_slice(&packet[..question.end]);
    let kind = match question.name.split_first() {
        Some((length, rest)) if is_zone(rest.get(usize::from(*length)..)?, served) => {
            let label = rest.get(..usize::from(*length))?;
            forward(served, &question, label, out)?
        }
        _ => reverse(served, &question, out)?,
    };
    let (answers, authorities) = match kind {
        Kind::Answered => (records_of(out, &question)?, 0),
        Kind::NoData | Kind::NoName => (0, 1),
    };
    let recursion = if served.asks_elsewhere { 0x80 } else { 0 };
    let code = if kind == Kind::NoName { 3 } else { 0 };
    // QR, AA, and RD as it came; RA and the code; one question.
    out[2] = 0x84 | u8::from(question.recursion_desired);
    out[3] = recursion | code;
    out[4..12].copy_from_slice(&[0, 1, 0, answers, 0, authorities, 0, u8::from(question.payload.is_some())]);
    if question.payload.is_some() {
        let [high, low] = limit.to_be_bytes();
        out.extend_from_slice(&[0, 0, OPT as u8, high, low, 0, 0, 0, 0, 0, 0]);
    }
    (out.len() <= usize::from(limit)).then_some(kind)
}

/// The lengths of labels are no letters, so that a name's bytes compare as its text does.
fn is_zone(name: &[u8], served: &Served) -> bool {
    name.eq_ignore_ascii_case(&served.origin_wire)
}

/// How many records were written after the question: all of one length in an answer with addresses, one else.
fn records_of(out: &[u8], question: &Question<'_>) -> Option<u8> {
    match question.kind {
        A => u8::try_from((out.len() - question.end) / 16).ok(),
        _ => Some(1),
    }
}

fn forward(served: &Served, question: &Question<'_>, label: &[u8], out: &mut Vec<u8>) -> Option<Kind> {
    if !matches!(question.kind, A | AAAA | HTTPS | PTR) || label.is_empty() {
        return None;
    }
    let mut lower = [0u8; LABEL_MAX];
    for (to, from) in lower.iter_mut().zip(label) {
        *to = match *from {
            letter @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') => letter,
            letter @ b'A'..=b'Z' => letter.to_ascii_lowercase(),
            _ => return None,
        };
    }
    let word = std::str::from_utf8(lower.get(..label.len())?).ok()?;
    let addresses = served.addresses(word);
    let ttl = served.head.ttl_seconds;
    if question.kind == A && !addresses.is_empty() {
        for address in addresses {
            record(out, A, ttl, 4);
            out.extend_from_slice(&address.octets());
        }
        return Some(Kind::Answered);
    }
    if !served.records(word).is_empty() || served.is_between(word) {
        return None;
    }
    // The zone's name begins after the label: pointers lead there.
    soa(served, HEADER + 1 + label.len(), out);
    Some(if addresses.is_empty() { Kind::NoName } else { Kind::NoData })
}

/// A record of the question's name, but for its data.
fn record(out: &mut Vec<u8>, kind: u16, ttl: u32, length: u16) {
    named(out, HEADER, kind, ttl, length);
}

fn pointer(at: usize) -> [u8; 2] {
    (0xc000 | at as u16).to_be_bytes()
}

fn named(out: &mut Vec<u8>, at: usize, kind: u16, ttl: u32, length: u16) {
    let (name, kind, class, ttl, length) =
        (pointer(at), kind.to_be_bytes(), IN.to_be_bytes(), ttl.to_be_bytes(), length.to_be_bytes());
    out.extend_from_slice(&[name[0], name[1], kind[0], kind[1], class[0], class[1]]);
    out.extend_from_slice(&[ttl[0], ttl[1], ttl[2], ttl[3], length[0], length[1]]);
}

/// What an absence carries (RFC 2308), as [`super::zone`] has it.
fn soa(served: &Served, zone: usize, out: &mut Vec<u8>) {
    const MAILBOX: &[u8] = b"\x0ahostmaster";
    let word = served.name_server_word.as_bytes();
    let negative = NEGATIVE_TTL_SECONDS.min(served.head.ttl_seconds);
    let length = 1 + word.len() + 2 + MAILBOX.len() + 2 + 5 * 4;
    named(out, zone, SOA, negative, length as u16);
    out.push(word.len() as u8);
    out.extend_from_slice(word);
    out.extend_from_slice(&pointer(zone));
    out.extend_from_slice(MAILBOX);
    out.extend_from_slice(&pointer(zone));
    for number in [served.version as u32, 3600, 600, 86_400, negative] {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn reverse(served: &Served, question: &Question<'_>, out: &mut Vec<u8>) -> Option<Kind> {
    if question.kind != PTR || served.origin_wire.ends_with(b"\x04arpa\x00") {
        return None;
    }
    let address = address_of(question.name)?;
    if !served.head.subnet.contains(&address) {
        return None;
    }
    let own = (address == served.head.server).then_some(served.name_server_word.as_str());
    let name = own.or_else(|| served.host_at(address).map(|host| host.hostname.as_str()))?;
    let length = 1 + name.len() + served.origin_wire.len();
    record(out, PTR, served.head.ttl_seconds, length as u16);
    out.push(name.len() as u8);
    out.extend(name.bytes().map(|letter| letter.to_ascii_lowercase()));
    out.extend_from_slice(&served.origin_wire);
    Some(Kind::Answered)
}

/// `10.0.0.10.in-addr.arpa` and nothing below or above it.
fn address_of(mut name: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    for octet in octets.iter_mut().rev() {
        let (length, rest) = name.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        *octet = canonical(label)?;
        name = rest;
    }
    name.eq_ignore_ascii_case(REVERSE).then(|| octets.into())
}

/// Decimal without a leading zero: `01` and `+1` are other names.
fn canonical(label: &[u8]) -> Option<u8> {
    if label.is_empty() || label.len() > 3 || (label[0] == b'0' && label.len() > 1) {
        return None;
    }
    let value = label
        .iter()
        .try_fold(0u16, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u16::from(digit - b'0')))?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::super::{Handler, Verdict};
    use super::*;
    use crate::dns::forward::Forwarders;
    use crate::snapshot::tests::snapshot;
    use arc_swap::ArcSwap;
    use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
    use hickory_proto::rr::{Name, RecordType};
    use hickory_server::net::xfer::Protocol;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn served() -> Served {
        let mut snapshot = snapshot();
        let record = |(n, name, kind, value): (u8, &str, &str, &str)| {
            serde_json::from_value(
                serde_json::json!({ "id": format!("dnr-{n}"), "name": name, "kind": kind, "value": value }),
            )
            .unwrap()
        };
        let records = [
            (1, "www", "CNAME", "web1"),
            (2, "vip", "A", "10.0.0.9"),
            (3, "_sip._tcp", "SRV", "1 2 3 web1"),
            (4, "db1", "TXT", "beside"),
        ];
        snapshot.records = records.into_iter().map(record).collect();
        Served::new(snapshot, 42, 1).unwrap()
    }

    fn question(name: &str, kind: RecordType, payload: Option<u16>, recursion: bool) -> Vec<u8> {
        let mut question = Message::new(7, MessageType::Query, OpCode::Query);
        question.metadata.recursion_desired = recursion;
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        if let Some(payload) = payload {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            question.set_edns(edns);
        }
        question.to_vec().unwrap()
    }

    /// What the whole way answers.
    fn whole(served: &Served, packet: &[u8]) -> Vec<u8> {
        let handler = Handler {
            served: Arc::new(ArcSwap::from_pointee(served.clone())),
            counters: Arc::default(),
            forwarders: Forwarders::default(),
            queries: Arc::default(),
        };
        match handler.handle(packet, "10.0.0.10:4000".parse().unwrap(), Protocol::Udp) {
            Verdict::Answered(bytes) => bytes,
            Verdict::Silence | Verdict::Forward(_) => Vec::new(),
        }
    }

    fn told(bytes: &[u8]) -> String {
        let message = Message::from_vec(bytes).unwrap();
        let mut answers: Vec<String> = message.answers.iter().map(ToString::to_string).collect();
        answers.sort();
        // A name that the question has is repeated as the question spells it.
        let authorities = format!("{:?}", message.authorities).to_lowercase();
        format!("{:?} {:?} {answers:?} {authorities} {:?}", message.metadata, message.queries, message.edns)
    }

    #[test]
    fn machines_and_addresses_are_answered_here_and_the_rest_is_left() {
        let served = served();
        let mut out = Vec::new();
        let mut ask = |name: &str, kind| answer(&served, &question(name, kind, Some(1232), true), &mut out);
        assert_eq!(ask("web1.demo.example.", RecordType::A), Some(Kind::Answered));
        assert_eq!(ask("WEB1.Demo.Example.", RecordType::A), Some(Kind::Answered));
        assert_eq!(ask("10.0.0.10.in-addr.arpa.", RecordType::PTR), Some(Kind::Answered));
        assert_eq!(ask("2.0.0.10.in-addr.arpa.", RecordType::PTR), Some(Kind::Answered));
        assert_eq!(ask("web1.demo.example.", RecordType::AAAA), Some(Kind::NoData));
        assert_eq!(ask("nobody.demo.example.", RecordType::A), Some(Kind::NoName));
        for (name, kind) in [
            ("www.demo.example.", RecordType::A),
            ("vip.demo.example.", RecordType::A),
            ("_tcp.demo.example.", RecordType::A),
            ("db1.demo.example.", RecordType::AAAA),
            ("demo.example.", RecordType::SOA),
            ("a.b.demo.example.", RecordType::A),
            ("debian.org.", RecordType::A),
            ("99.0.0.10.in-addr.arpa.", RecordType::PTR),
            ("010.0.0.10.in-addr.arpa.", RecordType::PTR),
            ("web1.demo.example.", RecordType::ANY),
        ] {
            assert_eq!(ask(name, kind), None, "{name} {kind}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn an_answer_given_here_is_the_whole_ways(
            label in "[a-zA-Z0-9_-]{0,6}|web1|WEB1|db1|www|vip|ns|_tcp|_sip", tail in 0usize..6, octet in 0u8..30,
            kind in 0usize..8, payload in prop::option::of(0u16..5_000), recursion in any::<bool>(),
            flips in prop::collection::vec((0usize..60, any::<u8>()), 0..2),
        ) {
            let served = served();
            let tail = ["demo.example.".to_owned(), "Demo.eXample.".into(), format!("{octet}.0.0.10.in-addr.arpa."),
                format!("{octet}.0.0.10.IN-ADDR.ARPA."), "example.".into(), "sub.demo.example.".into()][tail].clone();
            let is_reverse = tail.to_lowercase().ends_with("arpa.");
            let name = if label.is_empty() || (is_reverse && octet % 2 == 0) { tail } else { format!("{label}.{tail}") };
            prop_assume!(Name::from_ascii(&name).is_ok());
            let kinds = [RecordType::A, RecordType::AAAA, RecordType::PTR, RecordType::HTTPS, RecordType::TXT,
                RecordType::ANY, RecordType::SOA, RecordType::AXFR];
            let mut packet = question(&name, kinds[kind], payload, recursion);
            for (at, value) in flips {
                let at = at % packet.len();
                packet[at] = value;
            }
            let mut out = vec![1, 2, 3];
            if answer(&served, &packet, &mut out).is_some() {
                prop_assert_eq!(told(&out), told(&whole(&served, &packet)));
                prop_assert_eq!(&out[..2], &packet[..2]);
            }
        }
    }
}
