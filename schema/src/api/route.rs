//! A route that a network tells its guests, as text: `192.168.0.0/16 via 10.0.0.1`.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StaticRoute {
    pub destination: Ipv4Net,
    pub via: Ipv4Addr,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a route: 192.168.0.0/16 via 10.0.0.1")]
pub struct RouteError(String);

impl FromStr for StaticRoute {
    type Err = RouteError;
    fn from_str(text: &str) -> Result<Self, RouteError> {
        let bad = || RouteError(text.chars().take(80).collect());
        let (destination, via) = text.split_once(" via ").ok_or_else(bad)?;
        let destination: Ipv4Net = destination.trim().parse().map_err(|_| bad())?;
        let via = via.trim().parse().map_err(|_| bad())?;
        Ok(Self { destination: destination.trunc(), via })
    }
}

impl TryFrom<String> for StaticRoute {
    type Error = RouteError;
    fn try_from(text: String) -> Result<Self, RouteError> {
        text.parse()
    }
}

impl From<StaticRoute> for String {
    fn from(route: StaticRoute) -> String {
        route.to_string()
    }
}

impl fmt::Display for StaticRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} via {}", self.destination, self.via)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_written_as_it_was_read_without_the_hosts_bits() {
        let route: StaticRoute = "192.168.7.0/16  via 10.0.0.1".parse().unwrap();
        assert_eq!(route.to_string(), "192.168.0.0/16 via 10.0.0.1");
        for text in ["", "via", "10.0.0.0/33 via 10.0.0.1", "10.0.0.0/8 10.0.0.1", "10.0.0.0/8 via x"] {
            assert!(text.parse::<StaticRoute>().is_err(), "{text}");
        }
    }
}
