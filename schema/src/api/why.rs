//! Why a machine has its address and name, or has not: what each naming service of its network heard and answered.
//!
//! Rule: `sentence` is made of `code` and `values` in the reader's language; nothing is concluded here that no naming
//! service said.

use super::{Language, Localise, Timestamp, catalogue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkWhy {
    pub network_id: String,
    /// The version that every naming service is to serve.
    pub version: u64,
    pub mac_addr: Option<String>,
    pub hostname: Option<String>,
    pub ipv4_address: Option<String>,
    pub instance_id: Option<String>,
    pub naming_services: Vec<WhyOfService>,
}

/// What one naming service says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyOfService {
    pub agent: String,
    /// Null: it does not serve the network, or does not answer.
    pub version: Option<u64>,
    /// It has heard of its version since it was started; else it is what it had kept.
    pub confirmed: bool,
    /// How long ago it could last have heard of a newer version; null: it could just now.
    #[serde(default)]
    pub age_seconds: Option<u64>,
    pub code: String,
    pub sentence: String,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// What DNS answers for the name now.
    pub records: Vec<String>,
    /// Oldest first.
    pub exchanges: Vec<DhcpExchange>,
    /// MACs that asked for an address and are not of the network, latest last.
    pub strangers: Vec<String>,
    /// DNS questions of the machine, or for the name, while the network's `query_log` is on; oldest first.
    #[serde(default)]
    pub queries: Vec<DnsQuestion>,
}

/// A DNS question, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsQuestion {
    pub at: Option<Timestamp>,
    pub from: String,
    pub name: String,
    /// `A`, `PTR`, …
    pub kind: String,
    /// `answered`, `no_data`, `no_name`, `elsewhere`, `refused`.
    pub answer: String,
}

/// A question of a machine, and the answer or the reason of silence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DhcpExchange {
    pub at: Option<Timestamp>,
    /// `discover`, `request`, `inform`, `release`, `decline`.
    pub message: String,
    /// The address asked for.
    pub asked: Option<String>,
    /// `offer`, `ack`, `nak`; null: silence.
    pub answer: Option<String>,
    pub given: Option<String>,
    /// Of a silence or a NAK.
    pub code: Option<String>,
    pub sentence: Option<String>,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    pub asked_options: Vec<DhcpOption>,
    pub answered_options: Vec<DhcpOption>,
}

/// An option of RFC 2132, as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DhcpOption {
    pub code: u8,
    pub name: String,
    pub value: String,
}

impl Localise for NetworkWhy {
    fn localise(&mut self, language: Language) {
        for service in &mut self.naming_services {
            service.sentence = said(&service.code, &service.values, language);
            for exchange in &mut service.exchanges {
                exchange.sentence = exchange.code.as_ref().map(|code| said(code, &exchange.values, language));
            }
        }
    }
}

/// A code that the catalogue does not know is shown as it is.
fn said(code: &str, values: &BTreeMap<String, String>, language: Language) -> String {
    catalogue::silence(code).map_or_else(|| code.to_owned(), |entry| catalogue::fill(entry.text(language), values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_told_in_both_languages_and_an_unknown_one_by_its_code() {
        let values = BTreeMap::from([("mac".to_owned(), "52:54:00:00:00:01".to_owned())]);
        assert!(said("unknown_mac", &values, Language::En).contains("52:54:00:00:00:01"));
        assert!(said("unknown_mac", &values, Language::Ja).contains("応答しません"));
        assert_eq!(said("from_a_newer_nsa", &values, Language::Ja), "from_a_newer_nsa");
    }
}
