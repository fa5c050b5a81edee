//! Many questions by one call of the kernel, and their answers by another ([`crate::datagrams`]).

use super::clients::Clients;
use super::{Forward, Handler, Verdict};
use crate::datagrams::{Incoming, Outgoing};
use crate::limits::BATCH;
use hickory_server::net::xfer::Protocol;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
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

thread_local! {
    static ROOM: RefCell<(Incoming, Outgoing)> = RefCell::default();
}

/// Takes what is there, answers it, and gives back what has to be asked elsewhere.
///
/// # Errors
/// Nothing is there (`WouldBlock`), or the socket says why not.
pub fn serve(handler: &Handler, clients: &mut Clients, socket: RawFd) -> io::Result<Served> {
    ROOM.with_borrow_mut(|(incoming, outgoing)| {
        let came = incoming.receive(socket)?;
        clients.turn(Instant::now());
        let mut done = Served { is_full: came == BATCH, ..Served::default() };
        for question in incoming.iter() {
            let from = question.from;
            if !clients.may_ask(from.ip(), &handler.counters) {
                continue;
            }
            let answer = outgoing.room();
            if !handler.quick(question.bytes, from, answer) {
                match handler.handle(question.bytes, from, Protocol::Udp) {
                    Verdict::Answered(bytes) => *answer = bytes,
                    Verdict::Silence => continue,
                    Verdict::Forward(forward) if clients.may_forward(from.ip(), &handler.counters) => {
                        done.forwards.push((*forward, from));
                        continue;
                    }
                    Verdict::Forward(_) => continue,
                }
            }
            outgoing.keep(Some(question.storage));
        }
        outgoing.send(socket);
        Ok(done)
    })
}
