//! Many questions by one call of the kernel, and their answers by another.
//!
//! Rule: what this thread needs for it is kept and used again; it is used only between two calls, never across a wait, so
//! that a thousand networks need it as often as there are threads. A packet that cannot be sent costs that packet.

use super::clients::Clients;
use super::{Forward, Handler, Verdict};
use crate::limits::{DNS_BATCH, DNS_QUESTION_MAX};
use hickory_server::net::xfer::Protocol;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;
use std::time::Instant;

/// What one call brought and what is left to do about it.
#[derive(Default)]
pub struct Served {
    /// Somebody else is to be asked.
    pub forwards: Vec<(Forward, SocketAddr)>,
    /// As many as could be taken: more may wait.
    pub is_full: bool,
}

struct Room {
    packets: Vec<[u8; DNS_QUESTION_MAX]>,
    came: Vec<(usize, Option<SockaddrStorage>)>,
    answers: Vec<Vec<u8>>,
    to: Vec<Option<SockaddrStorage>>,
    receiving: MultiHeaders<SockaddrStorage>,
    // Of its own: sending leaves its addresses in it.
    sending: MultiHeaders<SockaddrStorage>,
}

impl Room {
    fn new() -> Self {
        Self {
            packets: vec![[0; DNS_QUESTION_MAX]; DNS_BATCH],
            came: Vec::with_capacity(DNS_BATCH),
            answers: (0..DNS_BATCH).map(|_| Vec::with_capacity(512)).collect(),
            to: Vec::with_capacity(DNS_BATCH),
            receiving: MultiHeaders::preallocate(DNS_BATCH, None),
            sending: MultiHeaders::preallocate(DNS_BATCH, None),
        }
    }
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::new(Room::new());
}

/// Takes what is there, answers it, and gives back what has to be asked elsewhere.
///
/// # Errors
/// Nothing is there (`WouldBlock`), or the socket says why not.
pub fn serve(handler: &Handler, clients: &mut Clients, socket: RawFd) -> io::Result<Served> {
    ROOM.with_borrow_mut(|room| {
        receive(room, socket)?;
        clients.turn(Instant::now());
        let mut done = Served { is_full: room.came.len() == DNS_BATCH, ..Served::default() };
        room.to.clear();
        for at in 0..room.came.len() {
            let (length, from) = room.came[at];
            let Some((storage, from)) = from.and_then(|from| Some((from, plain(&from)?))) else { continue };
            let packet = &room.packets[at][..length];
            if !clients.may_ask(from.ip(), &handler.counters) {
                continue;
            }
            let answer = &mut room.answers[room.to.len()];
            if !handler.quick(packet, from, answer) {
                match handler.handle(packet, from, Protocol::Udp) {
                    Verdict::Answered(bytes) => *answer = bytes,
                    Verdict::Silence => continue,
                    Verdict::Forward(forward) if clients.may_forward(from.ip(), &handler.counters) => {
                        done.forwards.push((*forward, from));
                        continue;
                    }
                    Verdict::Forward(_) => continue,
                }
            }
            room.to.push(Some(storage));
        }
        send(room, socket);
        Ok(done)
    })
}

fn receive(room: &mut Room, socket: RawFd) -> io::Result<()> {
    room.came.clear();
    let mut slices: Vec<[IoSliceMut<'_>; 1]> = room.packets.iter_mut().map(|one| [IoSliceMut::new(one)]).collect();
    let came = recvmmsg(socket, &mut room.receiving, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
    room.came.extend(came.map(|one| (one.bytes, one.address)));
    Ok(())
}

fn plain(address: &SockaddrStorage) -> Option<SocketAddr> {
    let four = address.as_sockaddr_in().map(|at| SocketAddr::V4(SocketAddrV4::from(*at)));
    four.or_else(|| address.as_sockaddr_in6().map(|at| SocketAddr::V6(SocketAddrV6::from(*at))))
}

/// The asker asks again: what the kernel does not take now is not kept.
fn send(room: &mut Room, socket: RawFd) {
    let mut from = 0;
    while from < room.to.len() {
        let slices: Vec<[IoSlice<'_>; 1]> =
            room.answers[from..room.to.len()].iter().map(|answer| [IoSlice::new(answer)]).collect();
        let none: [ControlMessage<'_>; 0] = [];
        let flags = MsgFlags::MSG_DONTWAIT;
        from += match sendmmsg(socket, &mut room.sending, slices.iter(), &room.to[from..], none, flags) {
            Ok(sent) => sent.count().max(1),
            Err(Errno::EAGAIN) => return,
            // The first of them is the one that cannot be sent.
            Err(_) => 1,
        };
    }
}
