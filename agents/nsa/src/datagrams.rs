//! Many datagrams by one call of the kernel, and their answers by another.
//!
//! Rule: the room for it is kept and used again; it is used only between two calls, never across a wait, so that a thousand
//! networks need it as often as there are threads. A datagram that cannot be sent costs that datagram: nothing is sent again,
//! the asker asks again.

use crate::limits::{BATCH, DATAGRAM_MAX};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;

/// What one call brought.
pub struct Incoming {
    packets: Vec<[u8; DATAGRAM_MAX]>,
    came: Vec<(usize, Option<SockaddrStorage>)>,
    headers: MultiHeaders<SockaddrStorage>,
}

/// One of them.
#[derive(Clone, Copy)]
pub struct Datagram<'a> {
    pub bytes: &'a [u8],
    pub from: SocketAddr,
    /// The same, as the kernel has it.
    pub storage: SockaddrStorage,
}

impl Default for Incoming {
    fn default() -> Self {
        Self {
            packets: vec![[0; DATAGRAM_MAX]; BATCH],
            came: Vec::with_capacity(BATCH),
            headers: MultiHeaders::preallocate(BATCH, None),
        }
    }
}

impl Incoming {
    /// Answers how many came; [`BATCH`] of them: more may wait.
    ///
    /// # Errors
    /// Nothing is there (`WouldBlock`), or the socket says why not.
    pub fn receive(&mut self, socket: RawFd) -> io::Result<usize> {
        self.came.clear();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> = self.packets.iter_mut().map(|one| [IoSliceMut::new(one)]).collect();
        let came = recvmmsg(socket, &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        self.came.extend(came.map(|one| (one.bytes, one.address)));
        Ok(self.came.len())
    }

    /// Those of an internet address, in the order of their coming.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.came.iter().zip(&self.packets).filter_map(|((length, storage), packet)| {
            let storage = (*storage)?;
            Some(Datagram { bytes: packet.get(..*length)?, from: plain(&storage)?, storage })
        })
    }
}

fn plain(address: &SockaddrStorage) -> Option<SocketAddr> {
    let four = address.as_sockaddr_in().map(|at| SocketAddr::V4(SocketAddrV4::from(*at)));
    four.or_else(|| address.as_sockaddr_in6().map(|at| SocketAddr::V6(SocketAddrV6::from(*at))))
}

/// What is to be sent by one call.
pub struct Outgoing {
    answers: Vec<Vec<u8>>,
    to: Vec<Option<SockaddrStorage>>,
    headers: MultiHeaders<SockaddrStorage>,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self {
            answers: (0..BATCH).map(|_| Vec::with_capacity(512)).collect(),
            to: Vec::with_capacity(BATCH),
            headers: MultiHeaders::preallocate(BATCH, None),
        }
    }
}

impl Outgoing {
    /// The next one's bytes: whatever is there is to be written over. It counts once it is [`Outgoing::keep`]-ed.
    ///
    /// # Panics
    /// Never: one batch of answers for one batch of questions.
    pub fn room(&mut self) -> &mut Vec<u8> {
        &mut self.answers[self.to.len()]
    }

    /// `None`: to whom the socket is bound for.
    pub fn keep(&mut self, to: Option<SockaddrStorage>) {
        self.to.push(to);
    }

    /// Sends them all; answers how many the kernel did not take.
    pub fn send(&mut self, socket: RawFd) -> usize {
        let (mut from, mut unsent) = (0, 0);
        while from < self.to.len() {
            let slices: Vec<[IoSlice<'_>; 1]> =
                self.answers[from..self.to.len()].iter().map(|answer| [IoSlice::new(answer)]).collect();
            let none: [ControlMessage<'_>; 0] = [];
            let flags = MsgFlags::MSG_DONTWAIT;
            match sendmmsg(socket, &mut self.headers, slices.iter(), &self.to[from..], none, flags) {
                Ok(sent) => from += sent.count().max(1),
                Err(Errno::EAGAIN) => {
                    unsent += self.to.len() - from;
                    break;
                }
                // The first of them is the one that cannot be sent.
                Err(_) => (from, unsent) = (from + 1, unsent + 1),
            }
        }
        self.to.clear();
        unsent
    }
}
