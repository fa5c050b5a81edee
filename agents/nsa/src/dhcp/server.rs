//! The loop of one network's DHCP socket: receive, decode, decide, send, remember.
//!
//! Rule: everything between receiving and sending is computing: no lock is waited for, nothing is written. A packet
//! that makes the codec panic costs that packet.

use super::decide::{self, Answer, Currency};
use super::{CLIENT_PORT, Destination, DhcpCounters, SERVER_PORT, Silence, count, frame, options, reply};
use crate::complaints::Complaints;
use crate::exchanges::{Exchange, Exchanges};
use crate::limits::{DHCP_BURST, DHCP_PACKET_MAX, DHCP_PER_SECOND, UNKNOWN_LOG_INTERVAL, UNKNOWN_LOG_MACS};
use crate::link::FrameSocket;
use crate::snapshot::Served;
use arame_schema::model::MacAddress;
use arc_swap::ArcSwap;
use dhcproto::v4::{Message, MessageType};
use dhcproto::{Decodable, Decoder};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use time::OffsetDateTime;
use tokio::net::UdpSocket;

/// What the server shares with its network.
#[derive(Clone)]
pub struct Shared {
    pub served: Arc<ArcSwap<Served>>,
    pub confirmed: Arc<AtomicBool>,
    pub counters: Arc<DhcpCounters>,
    pub exchanges: Arc<Exchanges>,
    pub complaints: Arc<Complaints>,
}

pub struct Server {
    shared: Shared,
    udp: UdpSocket,
    frames: Option<FrameSocket>,
    buckets: HashMap<MacAddress, Bucket>,
    strangers: HashMap<MacAddress, Instant>,
}

/// A question understood, with what is to be done about it.
pub struct Handled {
    pub message: Message,
    pub outcome: Result<(Answer, Vec<u8>), Silence>,
}

/// Decodes and decides; never panics.
///
/// # Errors
/// The packet is no DHCP message. `Panicked`: the codec had to be stopped.
pub fn handle(served: &Served, currency: Currency, packet: &[u8]) -> Result<Handled, Unreadable> {
    let work = AssertUnwindSafe(|| {
        let message = Message::decode(&mut Decoder::new(packet)).map_err(|e| Unreadable::Malformed(e.to_string()))?;
        let outcome = decide::decide(served, currency, &message).and_then(|answer| {
            let bytes = reply::encode(&reply::build(served, &message, &answer)).map_err(Silence::Malformed)?;
            Ok((answer, bytes))
        });
        Ok(Handled { message, outcome })
    });
    catch_unwind(work).unwrap_or(Err(Unreadable::Panicked))
}

#[derive(Debug, PartialEq, Eq)]
pub enum Unreadable {
    Malformed(String),
    Panicked,
}

impl Server {
    pub fn new(shared: Shared, udp: UdpSocket, frames: Option<FrameSocket>) -> Self {
        Self { shared, udp, frames, buckets: HashMap::new(), strangers: HashMap::new() }
    }

    /// Ends when its task is aborted, or when the socket is broken for good.
    pub async fn run(mut self) -> io::Result<()> {
        let mut packet = vec![0u8; DHCP_PACKET_MAX];
        loop {
            let (length, from) = match self.udp.recv_from(&mut packet).await {
                Ok(received) => received,
                // An ICMP answer to something we sent: the socket itself is well.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(e) => return Err(e),
            };
            self.answer(&packet[..length], from).await;
        }
    }

    async fn answer(&mut self, packet: &[u8], from: SocketAddr) {
        let served = self.shared.served.load_full();
        if served.head.no_dhcp {
            return;
        }
        let confirmed = self.shared.confirmed.load(Ordering::Relaxed);
        let currency = if confirmed { Currency::Confirmed } else { Currency::Remembered };
        let counters = self.shared.counters.clone();
        let handled = match handle(&served, currency, packet) {
            Ok(handled) => handled,
            Err(Unreadable::Malformed(_)) => return count(&counters.malformed),
            Err(Unreadable::Panicked) => return count(&counters.panicked),
        };
        count_question(&counters, &handled.message);
        let Some(mac) = decide::client_mac(&handled.message) else { return };
        let known = served.host(mac).is_some();
        let mut outcome = handled.outcome;
        if known && !self.buckets.entry(mac).or_insert_with(Bucket::full).take(Instant::now()) {
            outcome = Err(Silence::TooMany);
        }
        match &outcome {
            Ok((answer, bytes)) => self.send(&served, answer, bytes, from).await,
            Err(silence) => self.note_silence(&served, mac, silence, known),
        }
        self.remember(&handled.message, packet, mac, outcome, known);
        if self.buckets.len() > served.host_count() * 2 + 16 {
            self.buckets.retain(|mac, _| served.host(*mac).is_some());
        }
    }

    async fn send(&self, served: &Served, answer: &Answer, bytes: &[u8], from: SocketAddr) {
        let counters = &self.shared.counters;
        match answer.kind {
            MessageType::Offer => count(&counters.offer),
            MessageType::Ack => count(&counters.ack),
            _ => count(&counters.nak),
        }
        let sent = match (&self.frames, answer.to) {
            // Simulated: the client is a test on this machine.
            (None, _) => self.udp.send_to(bytes, from).await.map(drop),
            (Some(_), Destination::Relay(relay)) => self.udp.send_to(bytes, (relay, SERVER_PORT)).await.map(drop),
            (Some(frames), Destination::Broadcast) => {
                let everyone = (MacAddress([0xff; 6]), Ipv4Addr::BROADCAST);
                send_frame(frames, served.head.server, everyone, bytes)
            }
            (Some(frames), Destination::Client { mac, address }) => {
                send_frame(frames, served.head.server, (mac, address), bytes)
            }
        };
        if let Err(error) = sent {
            count(&counters.unsent);
            let network = &served.head.network;
            tracing::debug!(%network, %error, to = ?answer.to, port = CLIENT_PORT, "a DHCP answer could not be sent");
        }
    }

    fn note_silence(&mut self, served: &Served, mac: MacAddress, silence: &Silence, known: bool) {
        let network = &served.head.network;
        if known {
            count(&self.shared.counters.silent_known);
            let own = served.host(mac).map(|host| host.ipv4);
            if let Silence::Declined(address) = silence
                && own == Some(*address)
                && self.shared.complaints.note(*address, mac, Instant::now())
            {
                tracing::warn!(%network, %mac, %address, "a client found its address in use by another machine");
            }
            return;
        }
        count(&self.shared.counters.silent_unknown);
        let now = Instant::now();
        let is_due = |last: &Instant| now.duration_since(*last) >= UNKNOWN_LOG_INTERVAL;
        if self.strangers.len() >= UNKNOWN_LOG_MACS {
            self.strangers.retain(|_, last| !is_due(last));
        }
        // With the table full of MACs of the last minute a flood goes on; it is in the counters, not in the log.
        let due = self.strangers.get(&mac).map_or(self.strangers.len() < UNKNOWN_LOG_MACS, is_due);
        if due {
            self.strangers.insert(mac, now);
            tracing::info!(%network, %mac, "a MAC that is not of this network asks for an address; not answered");
        }
    }

    fn remember(
        &self,
        message: &Message,
        packet: &[u8],
        mac: MacAddress,
        outcome: Result<(Answer, Vec<u8>), Silence>,
        known: bool,
    ) {
        let word = |kind: MessageType| format!("{kind:?}").to_lowercase();
        let (answer, given, reason, reply) = match outcome {
            Err(silence) => (None, None, Some(silence.reason()), Box::default()),
            Ok((Answer { kind, address, reason, .. }, bytes)) => {
                (Some(word(kind)), address, reason, options::of_message(&bytes))
            }
        };
        let exchange = Exchange {
            at: OffsetDateTime::now_utc(),
            mac,
            message: message.opts().msg_type().map_or("bootp".to_owned(), word),
            asked: decide::asked_address(message),
            answer,
            given,
            reason,
            question: options::of_message(packet),
            reply,
        };
        self.shared.exchanges.push(exchange, known);
    }
}

fn send_frame(frames: &FrameSocket, from: Ipv4Addr, to: (MacAddress, Ipv4Addr), bytes: &[u8]) -> io::Result<()> {
    let addresses = frame::Addresses { from_mac: frames.mac, to_mac: to.0, from, to: to.1 };
    frames.send(&frame::build(&addresses, bytes))
}

fn count_question(counters: &DhcpCounters, message: &Message) {
    count(match message.opts().msg_type() {
        Some(MessageType::Discover) => &counters.discover,
        Some(MessageType::Request) => &counters.request,
        Some(MessageType::Inform) => &counters.inform,
        Some(MessageType::Release) => &counters.release,
        Some(MessageType::Decline) => &counters.decline,
        _ => &counters.other,
    });
}

/// A token bucket.
struct Bucket {
    tokens: f64,
    last: Instant,
}

impl Bucket {
    fn full() -> Self {
        Self { tokens: DHCP_BURST, last: Instant::now() }
    }

    fn take(&mut self, now: Instant) -> bool {
        let earned = now.duration_since(self.last).as_secs_f64() * DHCP_PER_SECOND;
        self.tokens = (self.tokens + earned).min(DHCP_BURST);
        self.last = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::full();
        let start = bucket.last;
        let given = (0..100).filter(|_| bucket.take(start)).count();
        assert_eq!(given, DHCP_BURST as usize);
        let later = start + Duration::from_secs(2);
        assert_eq!((0..100).filter(|_| bucket.take(later)).count(), (2.0 * DHCP_PER_SECOND) as usize);
    }
}
