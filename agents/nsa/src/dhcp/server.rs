//! The loop of one network's DHCP socket: receive what is there, decide, send, remember.
//!
//! Rule: everything between receiving and sending is computing: no lock is waited for, nothing is written. A packet
//! that makes the codec panic costs that packet. A flood at one network takes its turns as the others do.

use super::decide::{self, Answer, Currency};
use super::{Destination, DhcpCounters, SERVER_PORT, Silence, count, frame, options, quick, reply};
use crate::complaints::Complaints;
use crate::datagrams::{Datagram, Incoming, Outgoing};
use crate::exchanges::{Exchange, Exchanges};
use crate::limits::{BATCH, BATCHES_IN_A_ROW, DHCP_BURST, DHCP_PER_SECOND, UNKNOWN_LOG_INTERVAL, UNKNOWN_LOG_MACS};
use crate::link::FrameSocket;
use crate::snapshot::Served;
use arame_schema::jobs::nsa::why::Reason;
use arame_schema::model::MacAddress;
use arc_swap::ArcSwap;
use dhcproto::v4::{Message, MessageType};
use dhcproto::{Decodable, Decoder};
use nix::sys::socket::SockaddrStorage;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use time::OffsetDateTime;
use tokio::io::Interest;
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

/// What a thread needs between two calls of the kernel.
#[derive(Default)]
struct Room {
    incoming: Incoming,
    out: Out,
    /// The answer's bytes, before it is known how they go.
    answer: Vec<u8>,
}

/// By way of the socket, and as frames to clients that answer no ARP yet.
#[derive(Default)]
struct Out {
    datagrams: Outgoing,
    frames: Outgoing,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

/// A question, as it is remembered.
struct Asked<'a> {
    packet: &'a [u8],
    mac: MacAddress,
    message: Cow<'static, str>,
    address: Option<Ipv4Addr>,
}

/// What was said to it, or why nothing was.
struct Said<'a> {
    answer: Option<Cow<'static, str>>,
    given: Option<Ipv4Addr>,
    reason: Option<Reason>,
    bytes: &'a [u8],
}

impl Server {
    pub fn new(shared: Shared, udp: UdpSocket, frames: Option<FrameSocket>) -> Self {
        Self { shared, udp, frames, buckets: HashMap::new(), strangers: HashMap::new() }
    }

    /// Ends when its task is aborted, or when the socket is broken for good.
    ///
    /// # Errors
    /// The error of the broken socket.
    pub async fn run(mut self) -> io::Result<()> {
        loop {
            self.udp.readable().await?;
            for _ in 0..BATCHES_IN_A_ROW {
                match self.take_turn() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    // An ICMP answer to something we sent: the socket itself is well.
                    Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted) => {}
                    Err(e) => return Err(e),
                }
            }
            // Other networks' turn.
            tokio::task::yield_now().await;
        }
    }

    /// One batch. Answers whether more may wait.
    fn take_turn(&mut self) -> io::Result<bool> {
        ROOM.with_borrow_mut(|Room { incoming, out, answer }| {
            let socket = self.udp.as_raw_fd();
            let came = self.udp.try_io(Interest::READABLE, || incoming.receive(socket))?;
            let served = self.shared.served.load_full();
            if served.head.no_dhcp {
                return Ok(came == BATCH);
            }
            for question in incoming.iter() {
                self.answer(&served, &question, answer, out);
            }
            let mut unsent = out.datagrams.send(socket);
            if let Some(frames) = &self.frames {
                unsent += out.frames.send(frames.socket.as_raw_fd());
            }
            if unsent > 0 {
                self.shared.counters.unsent.fetch_add(unsent as u64, Ordering::Relaxed);
                tracing::debug!(network = %served.head.network, unsent, "DHCP answers could not be sent");
            }
            if self.buckets.len() > served.host_count() * 2 + 16 {
                self.buckets.retain(|mac, _| served.host(*mac).is_some());
            }
            Ok(came == BATCH)
        })
    }

    fn answer(&mut self, served: &Served, question: &Datagram<'_>, bytes: &mut Vec<u8>, out: &mut Out) {
        match quick::answer(served, question.bytes, bytes) {
            Some(answer) => self.give(served, question, &answer, (bytes, out)),
            None => self.answer_whole(served, question, bytes, out),
        }
    }

    /// A plain question's answer, already written.
    fn give(
        &mut self,
        served: &Served,
        question: &Datagram<'_>,
        answer: &quick::Answer<'_>,
        (bytes, out): (&[u8], &mut Out),
    ) {
        let (kind, mac) = (answer.kind, answer.host.mac);
        count_question(&self.shared.counters, Some(kind.question()));
        let asked = Asked { packet: question.bytes, mac, message: word(kind.question()), address: answer.asked };
        if !self.may_ask(mac) {
            self.note_silence(served, mac, &Silence::TooMany, true);
            let reason = Some(Silence::TooMany.reason());
            return self.remember(asked, Said { answer: None, given: None, reason, bytes: &[] }, true);
        }
        self.send(served, (kind.answer(), answer.to), (question, bytes), out);
        let given = Some(answer.host.ipv4);
        self.remember(asked, Said { answer: Some(word(kind.answer())), given, reason: None, bytes }, true);
    }

    /// By way of messages.
    fn answer_whole(&mut self, served: &Served, question: &Datagram<'_>, bytes: &mut Vec<u8>, out: &mut Out) {
        let confirmed = self.shared.confirmed.load(Ordering::Relaxed);
        let currency = if confirmed { Currency::Confirmed } else { Currency::Remembered };
        let handled = match handle(served, currency, question.bytes) {
            Ok(handled) => handled,
            Err(Unreadable::Malformed(_)) => return count(&self.shared.counters.malformed),
            Err(Unreadable::Panicked) => return count(&self.shared.counters.panicked),
        };
        let kind = handled.message.opts().msg_type();
        count_question(&self.shared.counters, kind);
        let Some(mac) = decide::client_mac(&handled.message) else { return };
        let known = served.host(mac).is_some();
        let mut outcome = handled.outcome;
        if known && !self.may_ask(mac) {
            outcome = Err(Silence::TooMany);
        }
        let message = kind.map_or(Cow::Borrowed("bootp"), word);
        let asked = Asked { packet: question.bytes, mac, message, address: decide::asked_address(&handled.message) };
        match outcome {
            Ok((answer, encoded)) => {
                *bytes = encoded;
                self.send(served, (answer.kind, answer.to), (question, bytes), out);
                let Answer { kind, address: given, reason, .. } = answer;
                self.remember(asked, Said { answer: Some(word(kind)), given, reason, bytes }, known);
            }
            Err(silence) => {
                self.note_silence(served, mac, &silence, known);
                let reason = Some(silence.reason());
                self.remember(asked, Said { answer: None, given: None, reason, bytes: &[] }, known);
            }
        }
    }

    fn may_ask(&mut self, mac: MacAddress) -> bool {
        self.buckets.entry(mac).or_insert_with(Bucket::full).take(Instant::now())
    }

    /// Goes with the batch.
    fn send(
        &self,
        served: &Served,
        (kind, to): (MessageType, Destination),
        (question, bytes): (&Datagram<'_>, &[u8]),
        out: &mut Out,
    ) {
        let counters = &self.shared.counters;
        count(match kind {
            MessageType::Offer => &counters.offer,
            MessageType::Ack => &counters.ack,
            _ => &counters.nak,
        });
        let (to_mac, to) = match (&self.frames, to) {
            // Simulated: the client is a test on this machine.
            (None, _) => return datagram(&mut out.datagrams, question.storage, bytes),
            (Some(_), Destination::Relay(relay)) => {
                return datagram(&mut out.datagrams, SocketAddrV4::new(relay, SERVER_PORT).into(), bytes);
            }
            (Some(_), Destination::Broadcast) => (MacAddress([0xff; 6]), Ipv4Addr::BROADCAST),
            (Some(_), Destination::Client { mac, address }) => (mac, address),
        };
        let Some(frames) = &self.frames else { return };
        let addresses = frame::Addresses { from_mac: frames.mac, to_mac, from: served.head.server, to };
        frame::write(out.frames.room(), &addresses, bytes);
        out.frames.keep(None);
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

    fn remember(&self, asked: Asked<'_>, said: Said<'_>, known: bool) {
        let exchange = Exchange {
            at: OffsetDateTime::now_utc(),
            mac: asked.mac,
            message: asked.message,
            asked: asked.address,
            answer: said.answer,
            given: said.given,
            reason: said.reason,
            question: options::of_message(asked.packet),
            reply: options::of_message(said.bytes),
        };
        self.shared.exchanges.push(exchange, known);
    }
}

fn datagram(out: &mut Outgoing, to: SockaddrStorage, bytes: &[u8]) {
    let room = out.room();
    room.clear();
    room.extend_from_slice(bytes);
    out.keep(Some(to));
}

/// As people read it.
fn word(kind: MessageType) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        MessageType::Discover => "discover",
        MessageType::Offer => "offer",
        MessageType::Request => "request",
        MessageType::Decline => "decline",
        MessageType::Ack => "ack",
        MessageType::Nak => "nak",
        MessageType::Release => "release",
        MessageType::Inform => "inform",
        other => return Cow::Owned(format!("{other:?}").to_lowercase()),
    })
}

fn count_question(counters: &DhcpCounters, kind: Option<MessageType>) {
    count(match kind {
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
