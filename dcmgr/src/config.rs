//! The configuration of dcmgr: one TOML file, unknown fields refused, secrets are paths of files.

use crate::db::pool;
use arame_framework::config::{Broker, StreamDoor};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    pub database: pool::Config,
    pub broker: Broker,
    /// 64 hex digits; opens what the database keeps sealed.
    pub secret_key_file: PathBuf,
    /// Accounts, tokens, agents, networks with given ids, applied at each start; applied again it changes nothing.
    #[serde(default)]
    pub seed_file: Option<PathBuf>,
    /// Networks of the infrastructure: no guest reaches them.
    #[serde(default)]
    pub infrastructure: Vec<ipnet::Ipv4Net>,
    /// The IANA name of the time zone of schedules that name none.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// How many naming services serve a network that names no number; 0: every one.
    #[serde(default = "naming_services")]
    pub naming_services: u16,
    /// The listener for unchanged old clients; off unless it is here.
    #[serde(default)]
    pub compat: Option<Compat>,
    /// The API by TLS, for other machines. Unsaid: only `listen`.
    #[serde(default)]
    pub https: Option<Https>,
    /// How machines join by a one-time token. Unsaid: none do.
    #[serde(default)]
    pub join: Option<Join>,
    /// Where agents bring the bytes of consoles. Unsaid: there are none.
    #[serde(default)]
    pub streams: Option<StreamDoor>,
    /// Pages that may open consoles, beside those that are reached where the API is: `https://console.example`.
    #[serde(default)]
    pub console_origins: Vec<String>,
}

/// One may die, and be replaced by whoever else there is.
fn naming_services() -> u16 {
    2
}

fn utc() -> String {
    "UTC".to_owned()
}

/// `[https]`: what is served at `listen`, by TLS. The files (PEM) are looked at for each caller: renewed ones need no restart.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Https {
    pub listen: SocketAddr,
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

/// `[join]`: what machines are told that join. Their users are made by the broker's management API, as the user that dcmgr is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Host and port at which other machines reach `[https]`.
    pub manager: HostPort,
    /// Host and port at which they reach the broker, by TLS.
    pub broker: HostPort,
    /// The authority that signed both certificates.
    pub ca_file: PathBuf,
    /// RabbitMQ's management API, on this machine.
    #[serde(default = "management")]
    pub management: LocalUrl,
}

fn management() -> LocalUrl {
    LocalUrl("http://127.0.0.1:15672".to_owned())
}

/// `dcm.example:9443`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPort(pub String);

impl TryFrom<String> for HostPort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match arame_schema::api::join::host_and_port(&text) {
            Some(_) => Ok(Self(text)),
            None => Err(format!("`{text}` is not a host and a port, as dcm.example:9443")),
        }
    }
}

/// `http://` at an address that only this machine reaches: a password goes there in plain text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LocalUrl(pub String);

impl TryFrom<String> for LocalUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let place = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        match place.and_then(|place| place.parse::<SocketAddr>().ok()) {
            Some(address) if address.ip().is_loopback() => Ok(Self(text)),
            _ => Err(format!("`{text}` is not an address of this machine, as http://127.0.0.1:15672")),
        }
    }
}

/// A listener that attaches a token to requests without one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compat {
    /// `127.0.0.1:9002`, `[::1]:9002`, or the absolute path of a unix socket.
    pub listen: CompatAddress,
    /// Of the token that is attached: a member's or an auditor's.
    pub token_file: PathBuf,
}

/// An address that only this machine reaches.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum CompatAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl TryFrom<String> for CompatAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self::Tcp(address)),
            Ok(address) => Err(format!("{address} is not on loopback: whoever reaches it needs no credential")),
            Err(_) => Err(format!("`{text}` is neither an address with a port nor the path of a socket")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_for_old_clients_stands_only_where_this_machine_alone_reaches_it() {
        let read = |text: &str| CompatAddress::try_from(text.to_owned());
        assert_eq!(read("127.0.0.1:9002"), Ok(CompatAddress::Tcp(([127, 0, 0, 1], 9002).into())));
        assert!(read("[::1]:9002").is_ok());
        assert_eq!(read("/run/arame/compat.sock"), Ok(CompatAddress::Unix("/run/arame/compat.sock".into())));
        for refused in
            ["http://10.0.0.1:15672", "https://127.0.0.1:15672", "http://dcm.example:15672", "127.0.0.1:15672"]
        {
            assert!(LocalUrl::try_from(refused.to_owned()).is_err(), "{refused}");
        }
        assert!(LocalUrl::try_from("http://127.0.0.1:15672/".to_owned()).is_ok());
        for refused in ["0.0.0.0:9002", "10.0.0.1:9002", "[::]:9002", "9002", "compat.sock"] {
            assert!(read(refused).is_err(), "{refused}");
        }
    }
}
