//! The question `nsa.why` and its answer: what a machine asked a naming service, what it was told, and why not.
//!
//! Rule: reasons are codes with values; their sentences are in the catalogue.

use super::NetworkHost;
use crate::model::{MacAddress, NetworkId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The question's name on the wire.
pub const WHY: &str = "nsa.why";

/// About a MAC, or a name of the network's zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyQuestion {
    pub network: NetworkId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A code of the catalogue's silences, and what fills its places.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub code: String,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

impl Reason {
    pub fn new(code: &str) -> Self {
        Self { code: code.to_owned(), values: BTreeMap::new() }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.values.insert(name.to_owned(), value.to_string());
        self
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhyAnswer {
    pub network: NetworkId,
    pub version: u64,
    /// dcmgr has said so in this process's life; else it is what was on disk.
    pub confirmed: bool,
    /// Since when it could not have heard of a newer version; nothing: it hears dcmgr, or has never known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    #[serde(default)]
    pub mac: Option<MacAddress>,
    #[serde(default)]
    pub host: Option<NetworkHost>,
    /// What it would be answered now.
    pub verdict: Reason,
    /// What DNS answers for the name now: records as zone files write them.
    #[serde(default)]
    pub records: Vec<String>,
    /// Oldest first.
    pub exchanges: Vec<WhyExchange>,
    /// MACs that asked and are not of the network, latest last.
    #[serde(default)]
    pub strangers: Vec<MacAddress>,
    /// DNS questions of the machine, or for the name, where the network's are logged; oldest first.
    #[serde(default)]
    pub queries: Vec<WhyQuery>,
}

/// One DNS question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyQuery {
    /// RFC 3339.
    pub at: String,
    pub from: String,
    pub name: String,
    /// `A`, `PTR`, …
    pub kind: String,
    /// `answered`, `no_data`, `no_name`, `elsewhere`, `refused`.
    pub answer: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhyExchange {
    /// RFC 3339.
    pub at: String,
    /// `discover`, `request`, …
    pub message: String,
    #[serde(default)]
    pub asked: Option<Ipv4Addr>,
    /// `offer`, `ack`, `nak`; nothing: silence.
    #[serde(default)]
    pub answer: Option<String>,
    #[serde(default)]
    pub given: Option<Ipv4Addr>,
    /// Why there was silence, or a NAK.
    #[serde(default)]
    pub reason: Option<Reason>,
    #[serde(default)]
    pub asked_options: Vec<WhyOption>,
    #[serde(default)]
    pub answered_options: Vec<WhyOption>,
}

/// One option of a message (RFC 2132).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyOption {
    pub code: u8,
    pub name: String,
    pub value: String,
}
