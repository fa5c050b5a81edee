//! Which of several naming services a segment's machines talk to: each says by ARP that the address is at its MAC (RFC 5227).
//!
//! ```text
//!  alone:   one announcement in [`ANNOUNCE_ALONE`]        another is heard ─► one in [`ANNOUNCE_SHARED`]
//! ```
//!
//! Rule: all of them answer the same, so whoever was heard last is right, and one that died is passed over with the next
//! announcement of another: its namespace may go on answering ARP for it. Nothing is elected and nobody steps back; a process
//! that does not announce does not answer.

use crate::gateway::Gateway;
use crate::limits::{ANNOUNCE_ALONE, ANNOUNCE_SHARED, SHARED_FOR};
use crate::snapshot::Served;
use arame_schema::model::MacAddress;
use arc_swap::ArcSwap;
use nix::sys::socket::{MsgFlags, recv, send};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// Ethernet, then ARP for IPv4 (RFC 826).
pub const FRAME: usize = 14 + 28;

/// An AF_PACKET socket for ARP, bound to the link's inner end.
#[derive(Debug)]
pub struct ArpSocket {
    pub socket: OwnedFd,
    pub mac: MacAddress,
}

/// "This address is at this MAC", to everybody.
pub fn announcement(mac: MacAddress, address: Ipv4Addr) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    frame[..6].copy_from_slice(&[0xff; 6]);
    frame[6..12].copy_from_slice(&mac.0);
    // ARP; Ethernet, IPv4, their lengths, a request.
    frame[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&mac.0);
    frame[28..32].copy_from_slice(&address.octets());
    frame[38..42].copy_from_slice(&address.octets());
    frame
}

/// Whether a frame says that the address is at another MAC.
fn is_another(frame: &[u8], mac: MacAddress, address: Ipv4Addr) -> bool {
    let is_arp = frame.get(12..18) == Some(&[0x08, 0x06, 0, 1, 0x08, 0]);
    is_arp && frame.get(28..32) == Some(&address.octets()) && frame.get(22..28).is_some_and(|sender| sender != mac.0)
}

/// Who is told that another announced the gateway's address.
#[derive(Debug, Clone)]
pub struct Heard {
    pub gateway: Arc<Gateway>,
    /// Whether the manager is heard.
    pub manager: Arc<AtomicBool>,
}

impl Heard {
    fn look(&self, frame: &[u8], mac: MacAddress, served: &Served) {
        let (Some(address), Some(_)) = (served.head.gateway, &served.head.outside) else { return };
        if is_another(frame, mac, address) && self.gateway.heard_another(self.manager.load(Ordering::Relaxed)) {
            tracing::warn!(network = %served.head.network, %address, "another is the gateway: the way out is given up here");
        }
    }
}

/// Announces until it is dropped. What cannot be sent is sent the next time.
///
/// # Errors
/// The socket cannot be waited for.
pub async fn run(socket: ArpSocket, served: Arc<ArcSwap<Served>>, gateway: Heard) -> io::Result<()> {
    let mac = socket.mac;
    // Only to be woken by it: tokio waits for any socket in this dress.
    let socket = UdpSocket::from_std(socket.socket.into())?;
    let mut heard: Option<Instant> = None;
    let mut next = Instant::now();
    loop {
        let address = served.load().head.server;
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                let frame = announcement(mac, address);
                let _ = send(socket.as_raw_fd(), &frame, MsgFlags::MSG_DONTWAIT);
                next = Instant::now() + pause(heard.map(|at| at.elapsed()));
            }
            ready = socket.readable() => {
                ready?;
                let mut frame = [0; 128];
                let read = || recv(socket.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT).map_err(io::Error::from);
                match socket.try_io(Interest::READABLE, read) {
                    Ok(length) if is_another(&frame[..length], mac, address) => {
                        heard = Some(Instant::now());
                        next = next.min(Instant::now() + ANNOUNCE_SHARED);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // A link that is down says so at each look.
                    Err(_) => tokio::time::sleep(ANNOUNCE_SHARED).await,
                    Ok(length) => gateway.look(&frame[..length], mac, &served.load()),
                }
            }
        }
    }
}

fn pause(since_heard: Option<Duration>) -> Duration {
    if since_heard.is_some_and(|since| since < SHARED_FOR) { ANNOUNCE_SHARED } else { ANNOUNCE_ALONE }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_frame_is_too_strange_to_be_looked_at(frame in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let (own, address) = (MacAddress([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 0, 0, 2));
            let mut forged = announcement(MacAddress([2, 0, 0, 0, 0, 2]), address).to_vec();
            proptest::prop_assert!(is_another(&forged, own, address));
            forged.splice(12..20.min(12 + frame.len()), frame.iter().copied().take(8));
            let _ = (is_another(&frame, own, address), is_another(&forged, own, address));
        }
    }

    #[test]
    fn another_at_the_same_address_is_heard_and_nobody_else() {
        let (own, other) = (MacAddress([2, 0, 0, 0, 0, 1]), MacAddress([2, 0, 0, 0, 0, 2]));
        let address = Ipv4Addr::new(10, 0, 0, 2);
        assert!(is_another(&announcement(other, address), own, address));
        assert!(!is_another(&announcement(own, address), own, address), "ourselves");
        assert!(!is_another(&announcement(other, Ipv4Addr::new(10, 0, 0, 3)), own, address), "a machine");
        assert!(!is_another(&announcement(other, address)[..30], own, address), "half a frame");
        assert_eq!(pause(None), ANNOUNCE_ALONE);
        assert_eq!(pause(Some(Duration::ZERO)), ANNOUNCE_SHARED);
        assert_eq!(pause(Some(SHARED_FOR)), ANNOUNCE_ALONE);
    }
}
