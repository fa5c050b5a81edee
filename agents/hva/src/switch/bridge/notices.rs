//! Hears that something changed in the host's links, bridge entries or nftables, whoever changed it (netlink(7)).
//!
//! Rule: a notice says that it is worth looking, nothing more: what changed is not believed from it, and one that was lost
//! costs a later look. Our own changes are heard too.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use tokio::sync::Notify;

/// `RTMGRP_LINK | RTMGRP_NEIGH` of rtnetlink(7).
const LINKS: u32 = 0x1 | 0x4;
/// `NFNLGRP_NFTABLES` (7) of linux/netfilter/nfnetlink.h, as a bit.
const RULES: u32 = 1 << 6;
/// `RTM_NEWNEIGH`, `RTM_DELNEIGH`: also of the host's own neighbours, which are nothing to us.
const NEIGHBOURS: [u16; 2] = [28, 29];
/// Length of a message's header, and where its kind is in it (netlink(7)).
const HEADER: usize = 16;
const KIND: usize = 4;
const AF_BRIDGE: u8 = 7;
/// A datagram of the kernel's; what is longer is cut and heard all the same.
const BYTES: usize = 8192;

/// How often the listening thread looks whether anybody is left to be told.
const TICK_MS: u16 = 1000;

/// A thread listens for as long as this lives: readiness of foreign descriptors is the one thing that the runtime gives only
/// to code that may be unsafe.
pub struct Notices {
    heard: Arc<Notify>,
}

fn open(protocol: SockProtocol, groups: u32) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

impl Notices {
    /// Hears from now on.
    ///
    /// # Errors
    /// The kernel gives no socket of these families, or no thread.
    pub fn open() -> io::Result<Self> {
        let sockets = [open(SockProtocol::NetlinkRoute, LINKS)?, open(SockProtocol::NetlinkNetFilter, RULES)?];
        let heard = Arc::new(Notify::new());
        let told = heard.clone();
        std::thread::Builder::new().name("notices".to_owned()).spawn(move || listen(&sockets, &told))?;
        Ok(Self { heard })
    }

    /// Waits until something changed since the last time. Everything that came meanwhile is one change.
    pub async fn changed(&self) {
        self.heard.notified().await;
    }
}

/// Ends when nobody else holds `told`.
fn listen(sockets: &[OwnedFd; 2], told: &Arc<Notify>) {
    while Arc::strong_count(told) > 1 {
        let mut ready = sockets.each_ref().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        if poll(&mut ready, PollTimeout::from(TICK_MS)).is_err() {
            continue;
        }
        // Both are read, whatever the first said.
        let heard = sockets.each_ref().map(drain);
        if heard.contains(&true) {
            told.notify_one();
        }
    }
}

/// Reads all there is: whether any of it concerns a bridge or its rules.
fn drain(socket: &OwnedFd) -> bool {
    let mut concerns = false;
    let mut bytes = [0; BYTES];
    loop {
        match recv(socket.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
            Ok(length) => concerns |= concerns_us(&bytes[..length]),
            Err(nix::errno::Errno::EAGAIN) => return concerns,
            Err(nix::errno::Errno::EINTR) => {}
            // Some were lost (ENOBUFS): that may have been anything.
            Err(_) => return true,
        }
    }
}

fn concerns_us(message: &[u8]) -> bool {
    let kind = message.get(KIND..KIND + 2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let is_neighbour = kind.is_some_and(|kind| NEIGHBOURS.contains(&kind));
    !is_neighbour || message.get(HEADER) == Some(&AF_BRIDGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_neighbours_are_nothing_to_us_but_a_bridges_entries_are() {
        let message = |kind: u16, family: u8| {
            let mut bytes = vec![0; HEADER + 12];
            bytes[KIND..KIND + 2].copy_from_slice(&kind.to_ne_bytes());
            bytes[HEADER] = family;
            bytes
        };
        assert!(!concerns_us(&message(28, 2)), "IPv4");
        assert!(concerns_us(&message(28, AF_BRIDGE)) && concerns_us(&message(29, AF_BRIDGE)));
        assert!(concerns_us(&message(16, 0)), "a link");
        assert!(concerns_us(&[]), "what is not understood is looked after");
    }
}
