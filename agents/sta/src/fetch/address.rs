//! Which addresses an image may be fetched from: a table, and nothing else.
//!
//! Rule: what is not surely a public unicast address is refused (IANA's special-purpose registries, RFC 6890), also when
//! it is wrapped in an IPv6 form that leads to it: mapped, 6to4, NAT64. An operator's allowance wins over the table, an
//! operator's refusal over everything. It resolves no name.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 that is not the public Internet's.
const REFUSED_V4: [(&str, [u8; 4], u8); 15] = [
    ("unspecified", [0, 0, 0, 0], 8),
    ("private", [10, 0, 0, 0], 8),
    ("carrier-grade NAT", [100, 64, 0, 0], 10),
    ("loopback", [127, 0, 0, 0], 8),
    ("link-local", [169, 254, 0, 0], 16),
    ("private", [172, 16, 0, 0], 12),
    ("reserved for protocols", [192, 0, 0, 0], 24),
    ("for documentation", [192, 0, 2, 0], 24),
    ("of 6to4 relays", [192, 88, 99, 0], 24),
    ("private", [192, 168, 0, 0], 16),
    ("for benchmarks", [198, 18, 0, 0], 15),
    ("for documentation", [198, 51, 100, 0], 24),
    ("for documentation", [203, 0, 113, 0], 24),
    ("multicast", [224, 0, 0, 0], 4),
    ("reserved", [240, 0, 0, 0], 4),
];

/// IPv6 inside of the public range 2000::/3 that is not public all the same.
const REFUSED_V6: [(&str, [u16; 2], u8); 3] = [
    // Teredo, ORCHID and the like: 2001::/23 holds them all.
    ("reserved for protocols", [0x2001, 0], 23),
    ("for documentation", [0x2001, 0x0db8], 32),
    ("for documentation", [0x3fff, 0], 20),
];

/// What an operator says beside the table.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub allowed: Vec<IpNet>,
    pub refused: Vec<IpNet>,
}

/// Why an address is refused, in a word or two.
pub type Refused = &'static str;

impl Rules {
    /// Whether the operator vouches for this address.
    pub fn vouches(&self, address: IpAddr) -> bool {
        holds(&self.allowed, address.to_canonical()) && !holds(&self.refused, address.to_canonical())
    }

    /// # Errors
    /// The kind of address that it is.
    pub fn check(&self, address: IpAddr) -> Result<(), Refused> {
        let address = address.to_canonical();
        if holds(&self.refused, address) || inside(address).is_some_and(|inner| holds(&self.refused, inner)) {
            return Err("of the infrastructure");
        }
        if holds(&self.allowed, address) {
            return Ok(());
        }
        match address {
            IpAddr::V4(address) => public_v4(address),
            IpAddr::V6(address) => public_v6(address),
        }
    }
}

fn holds(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

fn public_v4(address: Ipv4Addr) -> Result<(), Refused> {
    let bits = u32::from(address);
    let in_row = |(_, network, length): &&(Refused, [u8; 4], u8)| {
        (bits ^ u32::from_be_bytes(*network)) >> (32 - u32::from(*length)) == 0
    };
    REFUSED_V4.iter().find(in_row).map_or(Ok(()), |(why, ..)| Err(why))
}

fn public_v6(address: Ipv6Addr) -> Result<(), Refused> {
    if let Some(IpAddr::V4(inner)) = inside(IpAddr::V6(address)) {
        return public_v4(inner);
    }
    let parts = address.segments();
    match parts[0] {
        0 if address.is_unspecified() => return Err("unspecified"),
        0 if address.is_loopback() => return Err("loopback"),
        0xfc00..=0xfdff => return Err("private"),
        0xfe80..=0xfebf => return Err("link-local"),
        0xfec0..=0xfeff => return Err("site-local"),
        0xff00..=0xffff => return Err("multicast"),
        // Only this eighth of the space is public (RFC 4291 section 2.4, IANA's registry).
        0x2000..=0x3fff => {}
        _ => return Err("reserved"),
    }
    let bits = u32::from(parts[0]) << 16 | u32::from(parts[1]);
    let in_row = |(_, network, length): &&(Refused, [u16; 2], u8)| {
        let network = u32::from(network[0]) << 16 | u32::from(network[1]);
        (bits ^ network) >> (32 - u32::from(*length)) == 0
    };
    REFUSED_V6.iter().find(in_row).map_or(Ok(()), |(why, ..)| Err(why))
}

/// The IPv4 address that an IPv6 one leads to.
fn inside(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else { return None };
    let part = address.segments();
    let joined = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    };
    match part {
        // NAT64 (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => joined(high, low),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => joined(high, low),
        // IPv4-compatible, long abolished, and SIIT (RFC 2765). `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) != (0, 0) && (high, low) != (0, 1) => joined(high, low),
        [0, 0, 0, 0, 0xffff, 0, high, low] => joined(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str) -> Result<(), Refused> {
        Rules::default().check(text.parse().unwrap())
    }

    #[test]
    fn only_public_unicast_addresses_pass() {
        for public in ["8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0"] {
            assert_eq!(check(public), Ok(()), "{public}");
        }
        for public in ["2606:4700::1111", "2001:4860:4860::8888", "2400::1", "64:ff9b::808:808", "2002:808:808::1"] {
            assert_eq!(check(public), Ok(()), "{public}");
        }
        for (refused, why) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.0.0.1", "private"),
            ("100.64.0.1", "carrier-grade NAT"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("169.254.169.254", "link-local"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.0.1", "private"),
            ("198.19.0.1", "for benchmarks"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("255.255.255.255", "reserved"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:10.0.0.1", "private"),
            ("::127.0.0.1", "loopback"),
            ("::ffff:0:10.0.0.1", "private"),
            ("64:ff9b::a00:1", "private"),
            ("64:ff9b::7f00:1", "loopback"),
            ("64:ff9b:1::a00:1", "reserved"),
            ("2002:7f00:1::", "loopback"),
            ("2002:a9fe:a9fe::1", "link-local"),
            ("2001:0:1::1", "reserved for protocols"),
            ("2001:db8::1", "for documentation"),
            ("fc00::1", "private"),
            ("fd12:3456::1", "private"),
            ("fe80::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
            ("100::1", "reserved"),
            ("4000::1", "reserved"),
        ] {
            assert_eq!(check(refused), Err(why), "{refused}");
        }
    }

    #[test]
    fn an_operators_word_wins_and_a_refusal_wins_over_an_allowance() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let rules = Rules {
            allowed: vec![net("127.0.0.1/32"), net("10.0.0.0/8")],
            refused: vec![net("10.9.0.0/16"), net("8.8.0.0/16")],
        };
        let check = |text: &str| rules.check(text.parse().unwrap());
        assert_eq!(check("127.0.0.1"), Ok(()));
        assert_eq!(check("::ffff:127.0.0.1"), Ok(()));
        assert_eq!(check("127.0.0.2"), Err("loopback"));
        assert_eq!(check("10.1.1.1"), Ok(()));
        for refused in ["10.9.0.1", "8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"] {
            assert_eq!(check(refused), Err("of the infrastructure"), "{refused}");
        }
        assert!(rules.vouches("127.0.0.1".parse().unwrap()));
        assert!(!rules.vouches("10.9.0.1".parse().unwrap()) && !rules.vouches("1.1.1.1".parse().unwrap()));
    }

    proptest! {
        /// What the standard library calls by a name of its own is never public here.
        #[test]
        fn nothing_that_the_standard_library_knows_as_special_passes(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
            let verdict = Rules::default().check(IpAddr::V4(v4));
            prop_assert!(!(special && verdict.is_ok()), "{v4}");
            let [a, b, c, d] = v4.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            for wrapped in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert_eq!(Rules::default().check(IpAddr::V6(wrapped)), verdict, "{}", wrapped);
            }
        }
    }
}
