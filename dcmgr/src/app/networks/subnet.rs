//! What a network's request means in addresses. Pure: it looks at nothing but the request.

use crate::db::networks::Range;
use arame_schema::api::{Code, CreateNetwork, Refusal};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Prefixes with room for a gateway, a naming service and a guest, and not more than a switch learns.
const PREFIXES: std::ops::RangeInclusive<u8> = 8..=29;

/// Labels of a domain (RFC 1035: 63 bytes), and all of it: the column's width.
const LABEL_BYTES_MAX: usize = 63;
const DOMAIN_BYTES_MAX: usize = 200;

/// Ranges of one network: bounds what the row and each look for an address cost.
pub const RANGES_MAX: usize = 64;

/// A network's own addresses and those it gives out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub gateway: Option<Ipv4Addr>,
    /// Where DHCP and DNS answer.
    pub server: Ipv4Addr,
    pub ranges: Vec<Range>,
}

fn invalid(name: &str, value: impl ToString, expected: impl ToString) -> Refusal {
    Refusal::new(Code::InvalidParameter).with("name", name).with("value", value).with("expected", expected)
}

/// Addresses that may be given to somebody: neither the network's own nor the broadcast address.
pub fn hosts(subnet: &Ipv4Net) -> Range {
    let (first, last) = (u32::from(subnet.network()), u32::from(subnet.broadcast()));
    Range { begin: Ipv4Addr::from(first + 1), end: Ipv4Addr::from(last - 1) }
}

pub fn plan(request: &CreateNetwork) -> Result<Plan, Refusal> {
    let prefixes = format!("{}..{}", PREFIXES.start(), PREFIXES.end());
    if !PREFIXES.contains(&request.prefix) {
        return Err(invalid("prefix", request.prefix, prefixes));
    }
    let subnet =
        Ipv4Net::new(request.network, request.prefix).map_err(|_| invalid("prefix", request.prefix, prefixes))?;
    if subnet.network() != request.network {
        return Err(invalid("network", request.network, subnet.network()));
    }
    let hosts = hosts(&subnet);
    let inside = |name: &str, address: Option<Ipv4Addr>| match address {
        Some(address) if !hosts.holds(address) => {
            Err(invalid(name, address, format!("{}..{}", hosts.begin, hosts.end)))
        }
        other => Ok(other),
    };
    let gateway = inside("gw", request.gw)?.or(inside("service_gateway", request.service_gateway)?);
    let named = inside("service_dhcp", request.service_dhcp)?;
    let dns = inside("service_dns", request.service_dns)?;
    if let (Some(dhcp), Some(dns)) = (named, dns)
        && dhcp != dns
    {
        // One naming service answers both, on one address.
        return Err(invalid("service_dns", dns, dhcp));
    }
    let server = named.or(dns).unwrap_or_else(|| {
        let second = Ipv4Addr::from(u32::from(hosts.begin) + 1);
        if gateway == Some(hosts.begin) { second } else { hosts.begin }
    });
    if gateway == Some(server) {
        return Err(invalid("service_dhcp", server, "not the gateway's address"));
    }
    Ok(Plan { gateway, server, ranges: if request.dhcp_range.is_some() { vec![hosts] } else { Vec::new() } })
}

/// Zone of the names in it: as asked for, or made from the network's id.
pub fn domain(request: &CreateNetwork, id: &str) -> Result<String, Refusal> {
    let Some(asked) = &request.domain_name else {
        let word = id.split_once('-').map_or(id, |(_, word)| word).to_ascii_lowercase().replace('_', "-");
        // An id may begin or end with a hyphen, a label may not.
        let label: String = word.trim_matches('-').chars().take(LABEL_BYTES_MAX).collect();
        let label = label.trim_end_matches('-');
        return Ok(format!("{}.arame.internal", if label.is_empty() { "network" } else { label }));
    };
    checked_domain(asked)
}

/// A zone's name in its own spelling.
pub fn checked_domain(asked: &str) -> Result<String, Refusal> {
    let lower = asked.trim_end_matches('.').to_ascii_lowercase();
    let formed = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if lower.len() <= DOMAIN_BYTES_MAX && lower.split('.').all(formed) {
        return Ok(lower);
    }
    Err(invalid("domain_name", asked.chars().take(80).collect::<String>(), "demo1.example"))
}

/// Ranges with one more, in order; refused when it overlaps another or leaves the subnet's hosts.
pub fn with_range(subnet: &Ipv4Net, ranges: &[Range], new: Range) -> Result<Vec<Range>, Refusal> {
    let hosts = hosts(subnet);
    let shown = format!("{}-{}", new.begin, new.end);
    if new.begin > new.end || !hosts.holds(new.begin) || !hosts.holds(new.end) {
        return Err(invalid("range_begin", shown, format!("{}-{}", hosts.begin, hosts.end)));
    }
    if let Some(other) = ranges.iter().find(|other| other.begin <= new.end && new.begin <= other.end) {
        return Err(invalid("range_begin", shown, format!("not {}-{}", other.begin, other.end)));
    }
    if ranges.len() == RANGES_MAX {
        return Err(Refusal::new(Code::TooMany)
            .with("id", subnet)
            .with("what", "dhcp_ranges")
            .with("limit", RANGES_MAX));
    }
    let mut all = ranges.to_vec();
    all.push(new);
    all.sort_by_key(|range| range.begin);
    Ok(all)
}

/// Ranges without one that is exactly this.
pub fn without_range(ranges: &[Range], old: Range) -> Result<Vec<Range>, Refusal> {
    if !ranges.contains(&old) {
        let known: Vec<String> = ranges.iter().map(|range| format!("{}-{}", range.begin, range.end)).collect();
        return Err(invalid("range_begin", format!("{}-{}", old.begin, old.end), known.join(" | ")));
    }
    Ok(ranges.iter().copied().filter(|range| *range != old).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(network: &str, prefix: u8) -> CreateNetwork {
        let text = serde_json::json!({
            "dc_network": "dcn-main", "network": network, "prefix": prefix, "network_mode": "securitygroup"
        });
        serde_json::from_value(text).unwrap()
    }

    fn address(text: &str) -> Option<Ipv4Addr> {
        Some(text.parse().unwrap())
    }

    fn range(begin: &str, end: &str) -> Range {
        Range { begin: begin.parse().unwrap(), end: end.parse().unwrap() }
    }

    #[test]
    fn the_naming_service_gets_the_first_host_that_is_not_the_gateway() {
        let bare = plan(&request("10.0.0.0", 24)).unwrap();
        assert_eq!((bare.gateway, bare.server.to_string().as_str()), (None, "10.0.0.1"));
        assert!(bare.ranges.is_empty(), "without dhcp_range nothing is given out, as in the original");
        let with_gateway = CreateNetwork { gw: address("10.0.0.1"), ..request("10.0.0.0", 24) };
        assert_eq!(plan(&with_gateway).unwrap().server.to_string(), "10.0.0.2");
        let whole = CreateNetwork { dhcp_range: Some("default".into()), ..request("10.0.0.0", 24) };
        assert_eq!(plan(&whole).unwrap().ranges, [range("10.0.0.1", "10.0.0.254")]);
    }

    #[test]
    fn addresses_outside_the_subnets_hosts_are_refused_by_name() {
        let base = || request("10.0.0.0", 24);
        for (request, name) in [
            (request("10.0.0.1", 24), "network"),
            (request("10.0.0.0", 7), "prefix"),
            (request("10.0.0.0", 30), "prefix"),
            (request("10.0.0.0", 99), "prefix"),
            (CreateNetwork { gw: address("10.0.1.1"), ..base() }, "gw"),
            (CreateNetwork { gw: address("10.0.0.255"), ..base() }, "gw"),
            (CreateNetwork { service_dhcp: address("10.0.0.0"), ..base() }, "service_dhcp"),
            (CreateNetwork { gw: address("10.0.0.9"), service_dhcp: address("10.0.0.9"), ..base() }, "service_dhcp"),
            (
                CreateNetwork { service_dhcp: address("10.0.0.3"), service_dns: address("10.0.0.4"), ..base() },
                "service_dns",
            ),
        ] {
            let refusal = plan(&request).unwrap_err();
            assert_eq!((refusal.code, refusal.values["name"].as_str()), (Code::InvalidParameter, name));
        }
    }

    #[test]
    fn ranges_do_not_overlap_and_are_removed_exactly() {
        let subnet: Ipv4Net = "10.0.0.0/24".parse().unwrap();
        let one = with_range(&subnet, &[], range("10.0.0.50", "10.0.0.60")).unwrap();
        let two = with_range(&subnet, &one, range("10.0.0.10", "10.0.0.20")).unwrap();
        assert_eq!(two, [range("10.0.0.10", "10.0.0.20"), range("10.0.0.50", "10.0.0.60")]);
        for (begin, end) in [
            ("10.0.0.20", "10.0.0.30"),
            ("10.0.0.0", "10.0.0.5"),
            ("10.0.0.250", "10.0.0.255"),
            ("10.0.0.9", "10.0.0.8"),
            ("10.0.1.1", "10.0.1.2"),
        ] {
            assert!(with_range(&subnet, &two, range(begin, end)).is_err(), "{begin}-{end}");
        }
        assert!(without_range(&two, range("10.0.0.10", "10.0.0.19")).is_err());
        assert_eq!(without_range(&two, range("10.0.0.10", "10.0.0.20")).unwrap(), one);
    }

    #[test]
    fn a_domain_is_made_of_the_id_or_checked() {
        assert_eq!(domain(&request("10.0.0.0", 24), "nw-Demo_1-").unwrap(), "demo-1.arame.internal");
        assert_eq!(domain(&request("10.0.0.0", 24), "nw-__").unwrap(), "network.arame.internal");
        let named = CreateNetwork { domain_name: Some("Lab.Example.".into()), ..request("10.0.0.0", 24) };
        assert_eq!(domain(&named, "nw-x").unwrap(), "lab.example");
        for text in ["", "a..b", "-a.b", "a b", &"a.".repeat(150)] {
            let named = CreateNetwork { domain_name: Some(text.into()), ..request("10.0.0.0", 24) };
            assert!(domain(&named, "nw-x").is_err(), "{text}");
        }
    }
}
