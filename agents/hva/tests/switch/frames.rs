//! Ethernet frames as bytes: made and read, for guests that say what no honest kernel does.

use arame_schema::model::MacAddress;
use std::net::Ipv4Addr;

pub type Mac = [u8; 6];

pub const BROADCAST: Mac = [0xff; 6];
pub const ARP: u16 = 0x0806;
pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;
pub const VLAN: u16 = 0x8100;
const UDP: u8 = 17;

/// Offsets behind the two addresses, without a tag.
const TYPE: usize = 12;
const BODY: usize = 14;

pub fn mac(address: MacAddress) -> Mac {
    address.0
}

pub fn ethernet(to: Mac, from: Mac, kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &from[..], &kind.to_be_bytes(), body].concat();
    // Shortest frame without its check sequence (IEEE 802.3, 3.2.8).
    frame.resize(frame.len().max(60), 0);
    frame
}

/// The same with an 802.1Q tag.
pub fn tagged(frame: &[u8], tag: u16) -> Vec<u8> {
    [&frame[..TYPE], &VLAN.to_be_bytes(), &tag.to_be_bytes(), &frame[TYPE..]].concat()
}

/// A frame's tag and the frame without it.
pub fn untagged(frame: &[u8]) -> (Option<u16>, Vec<u8>) {
    if kind(frame) != VLAN {
        return (None, frame.to_vec());
    }
    let tag = u16::from_be_bytes([frame[BODY], frame[BODY + 1]]) & 0xfff;
    (Some(tag), [&frame[..TYPE], &frame[BODY + 2..]].concat())
}

pub fn kind(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[TYPE], frame[TYPE + 1]])
}

/// Who has `target`, asked by `sender` of `whose`.
pub fn who_has(from: Mac, whose: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, 1];
    let body = [&head[..], &whose, &sender.octets(), &[0; 6], &target.octets()].concat();
    ethernet(BROADCAST, from, ARP, &body)
}

/// What an untagged question for an address asks for.
pub fn asked_for(frame: &[u8]) -> Option<Ipv4Addr> {
    let target: [u8; 4] = frame.get(BODY + 24..BODY + 28)?.try_into().ok()?;
    (kind(frame) == ARP && frame[BODY + 7] == 1).then(|| target.into())
}

/// A datagram; its text is how it is found again. Without UDP's checksum (RFC 768: not used).
pub fn datagram(to: Mac, from: Mac, source: (Ipv4Addr, u16), target: (Ipv4Addr, u16), text: &str) -> Vec<u8> {
    let length = (8 + text.len()) as u16;
    let udp = [&source.1.to_be_bytes()[..], &target.1.to_be_bytes(), &length.to_be_bytes(), &[0, 0], text.as_bytes()]
        .concat();
    let mut ip = [
        &[0x45, 0][..],
        &(20 + length).to_be_bytes(),
        &[0, 1, 0, 0, 64, UDP, 0, 0],
        &source.0.octets(),
        &target.0.octets(),
    ]
    .concat();
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    ethernet(to, from, IPV4, &[ip, udp].concat())
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Whether a frame carries this text.
pub fn says(frame: &[u8], text: &str) -> bool {
    frame.windows(text.len()).any(|part| part == text.as_bytes())
}
