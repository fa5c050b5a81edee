//! DNS of one network over hickory-server: own names from the snapshot, other names from forwarders or refused.
//!
//! Rule: an answer is computed from the snapshot served at that moment, so a flip is visible to the next question.
//! A tenant sees only its own network's names. No transfers, no updates (RFC 2136), no DNSSEC.

pub mod forward;
pub mod zone;

use crate::limits::{DNS_TCP_BUFFER, DNS_TCP_TIMEOUT, DNS_UDP_PAYLOAD};
use crate::snapshot::Served;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use forward::Forwarders;
use hickory_proto::op::{Edns, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Record};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::{TcpListener, UdpSocket};
use zone::Found;

/// Questions answered, by how.
#[derive(Debug, Default)]
pub struct DnsCounters {
    pub answered: AtomicU64,
    pub no_data: AtomicU64,
    pub no_name: AtomicU64,
    pub forwarded: AtomicU64,
    pub refused: AtomicU64,
}

impl DnsCounters {
    pub fn to_json(&self) -> serde_json::Value {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        serde_json::json!({
            "answered": read(&self.answered), "no_data": read(&self.no_data), "no_name": read(&self.no_name),
            "forwarded": read(&self.forwarded), "refused": read(&self.refused),
        })
    }
}

pub struct Handler {
    pub served: Arc<ArcSwap<Served>>,
    pub counters: Arc<DnsCounters>,
    pub forwarders: Forwarders,
}

/// Answers on the given sockets until it is dropped.
pub fn serve(handler: Handler, udp: UdpSocket, tcp: TcpListener) -> Server<Handler> {
    let mut server = Server::new(handler);
    server.register_socket(udp);
    server.register_listener(tcp, DNS_TCP_TIMEOUT, DNS_TCP_BUFFER);
    server
}

/// What is sent back, before it is a message.
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

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, responder: R) -> ResponseInfo {
        let served = self.served.load_full();
        let forwarder = self.forwarders.of(&served);
        if let Some(answer) = self.own_answer(&served, request, forwarder.is_some()) {
            return send(request, responder, answer).await;
        }
        let Some(catalog) = forwarder else {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return send(request, responder, Answer::empty(ResponseCode::Refused)).await;
        };
        self.counters.forwarded.fetch_add(1, Ordering::Relaxed);
        catalog.handle_request::<R, T>(request, responder).await
    }
}

impl Handler {
    /// `None`: not one of our names; someone else is asked, or nobody.
    fn own_answer(&self, served: &Served, request: &Request, recursion: bool) -> Option<Answer> {
        if request.metadata.message_type != MessageType::Query {
            return Some(Answer::empty(ResponseCode::FormErr));
        }
        if request.metadata.op_code != OpCode::Query {
            return Some(Answer::empty(ResponseCode::NotImp));
        }
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Some(Answer::empty(ResponseCode::BADVERS));
        }
        let Ok(info) = request.request_info() else { return Some(Answer::empty(ResponseCode::FormErr)) };
        if info.query.query_class() != DNSClass::IN {
            return Some(Answer::empty(ResponseCode::Refused));
        }
        let name = info.query.original().name();
        let (counter, code, records) = match zone::find(served, name, info.query.query_type()) {
            Found::Elsewhere => return None,
            Found::Records(records) => (&self.counters.answered, ResponseCode::NoError, records),
            Found::NoData => (&self.counters.no_data, ResponseCode::NoError, Vec::new()),
            Found::NoName => (&self.counters.no_name, ResponseCode::NXDomain, Vec::new()),
            Found::Refused => (&self.counters.refused, ResponseCode::Refused, Vec::new()),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let negative = records.is_empty() && code != ResponseCode::Refused;
        let soa = if negative { zone::soa_for(served, name).into_iter().collect() } else { Vec::new() };
        Some(Answer { code, authoritative: code != ResponseCode::Refused, recursion, records, soa })
    }
}

async fn send<R: ResponseHandler>(request: &Request, mut responder: R, answer: Answer) -> ResponseInfo {
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
    responder.send_response(message).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "a DNS answer could not be sent");
        hickory_proto::op::Header { metadata, counts: hickory_proto::op::HeaderCounts::default() }.into()
    })
}
