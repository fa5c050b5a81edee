//! Ethernet, IPv4 and UDP around a DHCP answer, for clients that have no address yet and so answer no ARP.
//!
//! Rule: both checksums are always complete: nothing on the way fills them in (userspace switches do not).

use super::{CLIENT_PORT, SERVER_PORT};
use arame_schema::model::MacAddress;
use std::net::Ipv4Addr;

pub struct Addresses {
    pub from_mac: MacAddress,
    pub to_mac: MacAddress,
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
}

/// Writes the frame over what `frame` had.
///
/// # Panics
/// Never: a payload longer than an IPv4 datagram is cut by the caller's packet limit long before.
pub fn write(frame: &mut Vec<u8>, addresses: &Addresses, payload: &[u8]) {
    let udp_length = (8 + payload.len()) as u16;
    frame.clear();
    frame.extend(addresses.to_mac.0);
    frame.extend(addresses.from_mac.0);
    frame.extend([0x08, 0x00]);
    let mut ip = [0x45, 0x10, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    ip[2..4].copy_from_slice(&(20 + udp_length).to_be_bytes());
    ip[12..16].copy_from_slice(&addresses.from.octets());
    ip[16..20].copy_from_slice(&addresses.to.octets());
    let header_sum = checksum(sum(&ip, 0));
    ip[10..12].copy_from_slice(&header_sum.to_be_bytes());
    frame.extend(ip);
    let mut udp = [0; 8];
    udp[..2].copy_from_slice(&SERVER_PORT.to_be_bytes());
    udp[2..4].copy_from_slice(&CLIENT_PORT.to_be_bytes());
    udp[4..6].copy_from_slice(&udp_length.to_be_bytes());
    let pseudo = sum(&ip[12..20], 17 + u32::from(udp_length));
    // 0 on the wire means "no checksum" (RFC 768).
    let udp_sum = match checksum(sum(payload, sum(&udp, pseudo))) {
        0 => 0xffff,
        sum => sum,
    };
    udp[6..].copy_from_slice(&udp_sum.to_be_bytes());
    frame.extend(udp);
    frame.extend_from_slice(payload);
}

fn sum(bytes: &[u8], start: u32) -> u32 {
    bytes.chunks(2).fold(start, |sum, pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        sum + u32::from(u16::from_be_bytes([pair[0], low]))
    })
}

fn checksum(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_checksums_add_up_for_even_and_odd_payloads() {
        let addresses = Addresses {
            from_mac: MacAddress([2, 0, 0, 0, 0, 1]),
            to_mac: MacAddress([2, 0, 0, 0, 0, 2]),
            from: Ipv4Addr::new(10, 0, 0, 2),
            to: Ipv4Addr::new(10, 0, 0, 10),
        };
        for payload in [vec![0u8; 300], vec![0xabu8; 301], vec![0xff; 548]] {
            let mut frame = vec![9; 3];
            write(&mut frame, &addresses, &payload);
            assert_eq!(checksum(sum(&frame[14..34], 0)), 0, "IPv4 header");
            let pseudo = sum(&frame[26..34], 17 + (frame.len() - 34) as u32);
            assert_eq!(checksum(sum(&frame[34..], pseudo)), 0, "UDP");
            assert_eq!(&frame[42..], payload);
        }
    }
}
