//! DNS records that tenants add to a network's zone.

use super::Timestamp;
use super::language::wordless;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Records of one network: bounds its snapshot and each look for a loop.
pub const DNS_RECORDS_MAX: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DnsRecord {
    pub id: String,
    pub uuid: String,
    pub network_id: String,
    /// Relative to the network's zone; `@` is the zone itself.
    pub name: String,
    /// The whole name.
    pub dns_name: String,
    /// `A`, `CNAME`, `TXT`, `SRV`.
    #[serde(rename = "type")]
    #[schema(example = "A")]
    pub kind: String,
    pub value: String,
    /// Null: the network's.
    pub ttl: Option<u32>,
    pub created_at: Timestamp,
}

/// A record to be added. The names of machines always win over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateDnsRecord {
    /// Relative to the network's zone, `@` for the zone itself.
    #[schema(example = "www")]
    pub name: String,
    /// `A`, `CNAME`, `TXT`, `SRV`.
    #[serde(rename = "type")]
    #[schema(example = "CNAME")]
    pub kind: String,
    /// An address; a name of the zone (one word) or a whole one; a text; `priority weight port target`.
    #[schema(example = "web1")]
    pub value: String,
    /// Seconds, 5 to 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
}

wordless!(DnsRecord);
