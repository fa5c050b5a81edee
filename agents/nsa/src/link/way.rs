//! The way out of a network: what its namespace translates between the segment and the outside, as one set of nftables
//! rules.
//!
//! ```text
//!   guests ── eth0 [gateway] ── namespace ── out0 [own address, external addresses] ── outside segment
//!             external address ◄─ 1:1 ─► guest        anything else leaves as the own address, or not at all
//! ```
//!
//! Rule: the set is whole: it is put in place by one transaction and the one before it is gone with the same. Nothing is
//! forwarded that it does not name; a connection lives only while the address that it uses is the network's.

use arame_schema::jobs::nsa::Outside;
use ipnet::Ipv4Net;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// The table in the network's namespace.
pub const TABLE: &str = "arame_way";

fn set_of(addresses: impl IntoIterator<Item = impl ToString>) -> Option<String> {
    let words: Vec<String> = addresses.into_iter().map(|address| address.to_string()).collect();
    (!words.is_empty()).then(|| format!("{{ {} }}", words.join(", ")))
}

/// Input of `nft -f`: the rules before are replaced by these.
pub fn rules(subnet: Ipv4Net, gateway: Ipv4Addr, outside: &Outside) -> String {
    let mut text = format!("table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n");
    translations(&mut text, subnet, gateway, outside);
    forwarding(&mut text, subnet, outside);
    // The namespace serves names and addresses to its own segment only.
    text.push_str(
        " chain input {\n  type filter hook input priority 0; policy accept;\n  \
         iifname \"out0\" ct state established,related accept\n  \
         iifname \"out0\" meta l4proto icmp accept\n  iifname \"out0\" drop\n }\n}\n",
    );
    text
}

/// What ends the rules, also where there are none.
pub fn no_rules() -> String {
    format!("table ip {TABLE}\ndelete table ip {TABLE}\n")
}

fn translations(text: &mut String, subnet: Ipv4Net, gateway: Ipv4Addr, outside: &Outside) {
    text.push_str(" chain prerouting {\n  type nat hook prerouting priority dstnat; policy accept;\n");
    for one in &outside.translations {
        let _ = writeln!(text, "  ip daddr {} dnat to {}", one.outer, one.inner);
    }
    text.push_str(" }\n chain postrouting {\n  type nat hook postrouting priority srcnat; policy accept;\n");
    for one in &outside.translations {
        let _ = writeln!(text, "  oifname \"out0\" ip saddr {} snat to {}", one.inner, one.outer);
    }
    let _ = writeln!(text, "  oifname \"out0\" ip saddr {subnet} snat to {}", outside.address);
    // A guest that asks for its neighbour by the external address: the answer has to come back this way.
    let _ = writeln!(text, "  oifname \"eth0\" ip saddr {subnet} ct status dnat snat to {gateway}\n }}");
}

fn forwarding(text: &mut String, subnet: Ipv4Net, outside: &Outside) {
    text.push_str(" chain forward {\n  type filter hook forward priority 0; policy drop;\n");
    if let Some(closed) = set_of(&outside.closed) {
        let _ = writeln!(text, "  iifname \"eth0\" ip daddr {closed} drop");
    }
    let outer = outside.translations.iter().map(|one| one.outer);
    if let Some(outer) = set_of(outer.clone()) {
        let _ = writeln!(text, "  ct original ip daddr {outer} ct state new,established,related ct status dnat accept");
    }
    let own = outside.outbound.then_some(outside.address);
    if let Some(sources) = set_of(outer.chain(own)) {
        let _ = writeln!(
            text,
            "  ct state established,related ct original ip saddr {subnet} ct reply ip daddr {sources} accept"
        );
    }
    let inner = set_of(outside.translations.iter().map(|one| one.inner));
    let may_open = if outside.outbound { Some(subnet.to_string()) } else { inner };
    if let Some(may_open) = may_open {
        let _ = writeln!(text, "  iifname \"eth0\" oifname \"out0\" ip saddr {may_open} ct state new accept");
    }
    text.push_str(" }\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::jobs::nsa::Translation;

    fn outside(outbound: bool, translated: bool) -> Outside {
        let one = Translation {
            vif: "vif-a".parse().unwrap(),
            inner: Ipv4Addr::new(10, 0, 0, 10),
            outer: Ipv4Addr::new(192, 0, 2, 50),
        };
        Outside {
            network: "nw-outside".parse().unwrap(),
            vlan_tag: 200,
            subnet: "192.0.2.0/24".parse().unwrap(),
            gateway: Some(Ipv4Addr::new(192, 0, 2, 1)),
            address: Ipv4Addr::new(192, 0, 2, 10),
            mtu: 1450,
            outbound,
            translations: if translated { vec![one] } else { Vec::new() },
            closed: vec!["10.99.0.0/24".parse().unwrap()],
        }
    }

    fn text(outbound: bool, translated: bool) -> String {
        rules("10.0.0.0/24".parse().unwrap(), Ipv4Addr::new(10, 0, 0, 1), &outside(outbound, translated))
    }

    #[test]
    fn without_a_way_out_only_what_has_an_external_address_may_open_anything() {
        let opens =
            |text: &str, who: &str| text.contains(&format!("oifname \"out0\" ip saddr {who} ct state new accept"));
        assert!(opens(&text(true, true), "10.0.0.0/24"), "the control");
        assert!(opens(&text(false, true), "{ 10.0.0.10 }") && !opens(&text(false, true), "10.0.0.0/24"));
        assert!(!text(false, false).contains("ct state new"), "{}", text(false, false));
    }
}
