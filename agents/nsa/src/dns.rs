//! DNS of one network over hickory-server's messages: own names from the snapshot, other names from forwarders or
//! refused.
//!
//! Rule: an answer is computed from the snapshot served at that moment, so a flip is visible to the next question.
//! A tenant sees only its own network's names. No transfers, no updates (RFC 2136), no DNSSEC.

pub mod batch;
pub mod clients;
pub mod forward;
pub mod quick;
pub mod server;
pub mod zone;

use crate::limits::DNS_UDP_PAYLOAD;
use crate::queries::Queries;
use crate::snapshot::Served;
use arc_swap::ArcSwap;
use forward::Forwarders;
use hickory_proto::op::{Edns, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::net::xfer::Protocol;
use hickory_server::resolver::TokioResolver;
use hickory_server::server::Request;
use hickory_server::zone_handler::MessageResponseBuilder;
use std::iter;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zone::Found;

/// Questions answered, by how.
#[derive(Debug, Default)]
pub struct DnsCounters {
    pub answered: AtomicU64,
    pub no_data: AtomicU64,
    pub no_name: AtomicU64,
    pub forwarded: AtomicU64,
    pub refused: AtomicU64,
    pub malformed: AtomicU64,
    pub panicked: AtomicU64,
    /// Aliases that lead nowhere.
    pub endless: AtomicU64,
    /// Forwarded questions or TCP connections beyond the limit.
    pub too_many: AtomicU64,
    /// Not answered: one address asked more than one may.
    pub limited: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl DnsCounters {
    /// Each with its word.
    pub fn all(&self) -> [(&'static str, u64); 10] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("answered", read(&self.answered)),
            ("no_data", read(&self.no_data)),
            ("no_name", read(&self.no_name)),
            ("forwarded", read(&self.forwarded)),
            ("refused", read(&self.refused)),
            ("malformed", read(&self.malformed)),
            ("panicked", read(&self.panicked)),
            ("endless", read(&self.endless)),
            ("too_many", read(&self.too_many)),
            ("limited", read(&self.limited)),
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

/// Answers one network's questions.
#[derive(Clone)]
pub struct Handler {
    pub served: Arc<ArcSwap<Served>>,
    pub counters: Arc<DnsCounters>,
    pub forwarders: Forwarders,
    pub queries: Arc<Queries>,
}

/// What is sent back, before it is a message.
#[derive(Debug)]
struct Answer {
    code: ResponseCode,
    authoritative: bool,
    recursion: bool,
    records: Vec<Record>,
    soa: Vec<Record>,
}

impl Answer {
    fn empty(code: ResponseCode) -> Self {
        Self { code, authoritative: false, recursion: false, records: Vec::new(), soa: Vec::new() }
    }
}

/// What the network's own names say.
enum Own {
    Answer(Answer),
    /// Somebody else's name, perhaps by way of our aliases.
    Elsewhere {
        name: Name,
        kind: RecordType,
        before: Vec<Record>,
    },
}

impl Own {
    fn word(&self) -> &'static str {
        match self {
            Own::Answer(Answer { code: ResponseCode::NoError, records, .. }) if records.is_empty() => "no_data",
            Own::Answer(Answer { code: ResponseCode::NoError, .. }) => "answered",
            Own::Answer(Answer { code: ResponseCode::NXDomain, .. }) => "no_name",
            Own::Answer(_) => "refused",
            Own::Elsewhere { .. } => "elsewhere",
        }
    }
}

/// What is to be done about a packet.
pub enum Verdict {
    /// These bytes go back.
    Answered(Vec<u8>),
    /// Someone else must be asked first.
    Forward(Box<Forward>),
    /// Not a question: nothing goes back (answering answers would let two servers shout at each other).
    Silence,
}

/// A question for the forwarders.
pub struct Forward {
    request: Request,
    resolver: Arc<TokioResolver>,
    name: Name,
    kind: RecordType,
    /// Our own aliases that lead to it.
    before: Vec<Record>,
}

impl Forward {
    /// Asks, and gives the answer's bytes.
    pub async fn ask(self) -> Vec<u8> {
        let mut answer = forward::resolve(&self.resolver, &self.name, self.kind).await;
        answer.records.splice(0..0, self.before);
        encode(&self.request, &answer)
    }

    /// Instead of asking, when too many are asking already.
    pub fn give_up(self) -> Vec<u8> {
        encode(&self.request, &Answer::empty(ResponseCode::ServFail))
    }
}

impl Handler {
    /// Answers a plain question at once; `false`: it is for [`Handler::handle`].
    pub fn quick(&self, packet: &[u8], from: SocketAddr, answer: &mut Vec<u8>) -> bool {
        let served = self.served.load();
        if served.head.no_dns {
            return false;
        }
        let kind = match quick::answer(&served, packet, answer) {
            None => return false,
            Some(kind) => kind,
        };
        count(match kind {
            quick::Kind::Answered => &self.counters.answered,
            quick::Kind::NoData => &self.counters.no_data,
            quick::Kind::NoName => &self.counters.no_name,
        });
        if self.queries.are_wanted() {
            self.note(&served, packet, from, kind.word());
        }
        true
    }

    /// A question answered at once, into the log of questions.
    fn note(&self, served: &Served, packet: &[u8], from: SocketAddr, answer: &'static str) {
        let Ok(request) = Request::from_bytes(packet.to_vec(), from, Protocol::Udp) else { return };
        self.note_request(served, &request, from, answer);
    }

    fn note_request(&self, served: &Served, request: &Request, from: SocketAddr, answer: &'static str) {
        if let Ok(info) = request.request_info() {
            let (name, kind) = (info.query.original().name().to_string(), info.query.query_type());
            self.queries.note(served.head.network.as_str(), from, name, kind, answer);
        }
    }

    /// Decodes and decides; never panics.
    pub fn handle(&self, packet: &[u8], from: SocketAddr, protocol: Protocol) -> Verdict {
        let work = AssertUnwindSafe(|| self.decide(packet, from, protocol));
        catch_unwind(work).unwrap_or_else(|_| {
            count(&self.counters.panicked);
            Verdict::Silence
        })
    }

    fn decide(&self, packet: &[u8], from: SocketAddr, protocol: Protocol) -> Verdict {
        // One question, as everybody asks (RFC 9619): hundreds of them in one packet, each a ladder of pointers, cost as
        // much as a thousand packets.
        let is_single = packet.get(4..6) == Some(&[0, 1]);
        let request = is_single.then(|| Request::from_bytes(packet.to_vec(), from, protocol).ok()).flatten();
        let Some(request) = request else {
            count(&self.counters.malformed);
            return malformed(packet).map_or(Verdict::Silence, Verdict::Answered);
        };
        if request.metadata.message_type != MessageType::Query {
            return Verdict::Silence;
        }
        let served = self.served.load();
        if served.head.no_dns {
            return Verdict::Silence;
        }
        let resolver = self.forwarders.of(&served);
        let own = self.own_answer(&served, &request, resolver.is_some());
        if self.queries.are_wanted() {
            self.note_request(&served, &request, from, own.word());
        }
        let (name, kind, before) = match own {
            Own::Answer(answer) => return Verdict::Answered(encode(&request, &answer)),
            Own::Elsewhere { name, kind, before } => (name, kind, before),
        };
        match resolver.filter(|_| request.metadata.recursion_desired) {
            Some(resolver) => {
                count(&self.counters.forwarded);
                Verdict::Forward(Box::new(Forward { request, resolver, name, kind, before }))
            }
            // Where an alias leads is told also by who does not follow it.
            None if !before.is_empty() => {
                count(&self.counters.answered);
                let answer = Answer { authoritative: true, records: before, ..Answer::empty(ResponseCode::NoError) };
                Verdict::Answered(encode(&request, &answer))
            }
            None => {
                count(&self.counters.refused);
                Verdict::Answered(encode(&request, &Answer::empty(ResponseCode::Refused)))
            }
        }
    }

    fn own_answer(&self, served: &Served, request: &Request, recursion: bool) -> Own {
        if request.metadata.op_code != OpCode::Query {
            return Own::Answer(Answer::empty(ResponseCode::NotImp));
        }
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Own::Answer(Answer::empty(ResponseCode::BADVERS));
        }
        let Ok(info) = request.request_info() else { return Own::Answer(Answer::empty(ResponseCode::FormErr)) };
        if info.query.query_class() != DNSClass::IN {
            return Own::Answer(Answer::empty(ResponseCode::Refused));
        }
        let (name, kind) = (info.query.original().name(), info.query.query_type());
        let (found, before, at) = match zone::find(served, name, kind) {
            Found::Alias { chain, target, end } => (*end, chain, target),
            found => (found, Vec::new(), name.clone()),
        };
        let (counter, code, records) = match found {
            Found::Elsewhere => return Own::Elsewhere { name: at, kind, before },
            Found::Records(records) => (&self.counters.answered, ResponseCode::NoError, records),
            Found::NoData => (&self.counters.no_data, ResponseCode::NoError, Vec::new()),
            Found::NoName => (&self.counters.no_name, ResponseCode::NXDomain, Vec::new()),
            Found::Refused => (&self.counters.refused, ResponseCode::Refused, Vec::new()),
            Found::Endless | Found::Alias { .. } => (&self.counters.endless, ResponseCode::ServFail, Vec::new()),
        };
        count(counter);
        let negative = records.is_empty() && matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
        // The absence is that of the last name (RFC 2308 section 2.1).
        let soa = if negative { zone::soa_for(served, &at).into_iter().collect() } else { Vec::new() };
        let authoritative = !matches!(code, ResponseCode::Refused | ResponseCode::ServFail);
        Own::Answer(Answer { code, authoritative, recursion, records: [before, records].concat(), soa })
    }
}

/// The answer's bytes; what does not fit a UDP answer is cut and marked so.
fn encode(request: &Request, answer: &Answer) -> Vec<u8> {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.response_code = answer.code;
    metadata.authoritative = answer.authoritative;
    metadata.recursion_available = answer.recursion;
    let edns = request.edns.as_ref().map(|asked| {
        let mut edns = Edns::new();
        edns.set_max_payload(asked.max_payload().clamp(512, DNS_UDP_PAYLOAD)).set_version(0);
        edns.set_rcode_high(answer.code.high());
        edns
    });
    let message = MessageResponseBuilder::new(&request.queries, edns.as_ref()).build(
        metadata,
        answer.records.iter(),
        iter::empty(),
        answer.soa.iter(),
        iter::empty(),
    );
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(match request.protocol() {
        Protocol::Udp => edns.as_ref().map_or(512, Edns::max_payload),
        _ => u16::MAX,
    });
    if let Err(error) = message.destructive_emit(&mut encoder) {
        tracing::error!(%error, "a DNS answer could not be encoded");
        return header_only(request.as_slice(), ResponseCode::ServFail).unwrap_or_default();
    }
    bytes
}

/// FORMERR for a question that cannot be read; nothing for an answer or for less than a header.
fn malformed(packet: &[u8]) -> Option<Vec<u8>> {
    let is_question = packet.get(2).is_some_and(|flags| flags & 0x80 == 0);
    if is_question { header_only(packet, ResponseCode::FormErr) } else { None }
}

/// The question's id, opcode and RD with a response code and empty sections (RFC 1035, 4.1.1).
fn header_only(packet: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let [high, low, flags, ..] = *packet else { return None };
    (packet.len() >= 12).then(|| vec![high, low, 0x80 | (flags & 0x79), code.low(), 0, 0, 0, 0, 0, 0, 0, 0])
}
