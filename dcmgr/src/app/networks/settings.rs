//! What a network tells its guests by DHCP and DNS beside their addresses: its owner's choice, within what guests can use.
//!
//! Rule: pure. Upstream servers are asked from the data center's own place, so who names them runs it (the caller checks).

use super::subnet;
use crate::db::networks::{NetworkRow, Settings};
use arame_schema::api::{Code, Refusal, UpdateNetwork};
use arame_schema::jobs::nsa::Route;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// The least an IPv4 host takes (RFC 791), and the most an Ethernet switch is usually let carry.
const MTU_RANGE: RangeInclusive<u16> = 576..=9_216;

/// Guests renew at half of it: less than a minute is a load, more than a year is for ever.
const LEASE_RANGE: RangeInclusive<u32> = 60..=31_536_000;

const TTL_RANGE: RangeInclusive<u32> = 5..=86_400;

/// What a naming service takes: one DHCP option, and what resolvers of guests ask.
const ROUTES_MAX: usize = 24;
const SERVERS_MAX: usize = 8;

/// All of a row that a naming service serves and that may be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub mtu: u16,
    pub domain: String,
    pub forwarders: Vec<SocketAddr>,
    pub settings: Settings,
}

fn invalid(name: &str, value: impl ToString, expected: impl ToString) -> Refusal {
    Refusal::new(Code::InvalidParameter).with("name", name).with("value", value).with("expected", expected)
}

fn within<T: PartialOrd + Copy + ToString>(name: &str, value: T, range: &RangeInclusive<T>) -> Result<T, Refusal> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(invalid(name, value.to_string(), format!("{}..{}", range.start().to_string(), range.end().to_string())))
}

fn at_most(name: &str, count: usize, most: usize) -> Result<(), Refusal> {
    if count <= most { Ok(()) } else { Err(invalid(name, count, format!("0..{most}"))) }
}

/// The row as it is to be served, with what is asked for; what is absent stays.
pub fn changed(row: &NetworkRow, asked: &UpdateNetwork) -> Result<Served, Refusal> {
    let mut settings = row.settings.clone();
    if let Some(seconds) = asked.lease_seconds {
        settings.lease_seconds = Some(within("lease_seconds", seconds, &LEASE_RANGE)?);
    }
    if let Some(seconds) = asked.ttl_seconds {
        settings.ttl_seconds = Some(within("ttl_seconds", seconds, &TTL_RANGE)?);
    }
    if let Some(servers) = &asked.dns_servers {
        at_most("dns_servers", servers.len(), SERVERS_MAX)?;
        settings.dns_servers.clone_from(servers);
    }
    if let Some(servers) = &asked.ntp_servers {
        at_most("ntp_servers", servers.len(), SERVERS_MAX)?;
        settings.ntp_servers.clone_from(servers);
    }
    settings.log_queries = asked.query_log.unwrap_or(settings.log_queries);
    if let Some(routes) = &asked.routes {
        at_most("routes", routes.len(), ROUTES_MAX)?;
        let hosts = subnet::hosts(&row.subnet);
        if let Some(outside) = routes.iter().find(|route| !hosts.holds(route.via)) {
            return Err(invalid("routes", outside, format!("via {}..{}", hosts.begin, hosts.end)));
        }
        settings.routes = routes.iter().map(|one| Route { destination: one.destination, via: one.via }).collect();
    }
    settings.no_dhcp = asked.dhcp.map_or(settings.no_dhcp, |on| !on);
    settings.no_dns = asked.dns.map_or(settings.no_dns, |on| !on);
    if let Some(forwarders) = &asked.forwarders {
        at_most("forwarders", forwarders.len(), SERVERS_MAX)?;
    }
    Ok(Served {
        mtu: asked.mtu.map_or(Ok(row.mtu), |mtu| within("mtu", mtu, &MTU_RANGE))?,
        domain: asked.domain_name.as_deref().map_or_else(|| Ok(row.domain.clone()), subnet::checked_domain)?,
        forwarders: asked.forwarders.clone().unwrap_or_else(|| row.forwarders.clone()),
        settings,
    })
}

/// Whether it says the same as the row.
pub fn is_same(row: &NetworkRow, served: &Served) -> bool {
    (row.mtu, &row.domain, &row.forwarders, &row.settings)
        == (served.mtu, &served.domain, &served.forwarders, &served.settings)
}
