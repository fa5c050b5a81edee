//! The link between the switch and this host's metadata service: its names and addresses. Pure.
//!
//! Rule: who asks is written by the switch, from the port a question came in by: the address that the listener sees is the
//! port's number, never anything a guest said.

use std::net::Ipv4Addr;

/// Where the host's listener is, on a link of the switch alone. RFC 2544's range: no guest or host has it.
pub const LISTENER: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 254);
/// MAC of the listener's device.
pub const LISTENER_MAC: &str = "02:61:72:61:6d:65";
/// MAC under which the switch shows guests to the listener.
pub const PEER_MAC: &str = "02:61:72:61:6d:66";
/// Name of the device that carries metadata between the switch and this host.
pub const METADATA_LINK: &str = "ameta0";

/// The address by which the listener knows the guest at a port.
pub fn peer(number: u32) -> Ipv4Addr {
    let [_, _, high, low] = number.to_be_bytes();
    Ipv4Addr::new(198, 18, high, low)
}

/// The port behind an address of the metadata link.
pub fn number_of(peer: Ipv4Addr) -> Option<u32> {
    match peer.octets() {
        [198, 18, high, low] => Some(u32::from_be_bytes([0, 0, high, low])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_address_of_a_port_leads_back_to_it() {
        for number in [1, 255, 256, 65_279] {
            assert_eq!(number_of(peer(number)), Some(number));
        }
        assert_eq!(number_of(Ipv4Addr::new(10, 0, 0, 1)), None);
        assert_eq!(number_of(LISTENER), None);
    }
}
