//! The view of a security group, with its rule text and the rules parsed from it.

use super::language::wordless;
use super::{Label, Timestamp};
use crate::model::security_group::{Rule, Source, Traffic};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SecurityGroup {
    pub id: String,
    pub account_id: String,
    pub uuid: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub description: String,
    /// One rule a line, as it was written.
    pub rule: String,
    pub service_type: String,
    pub display_name: Option<String>,
    #[serde(default)]
    pub labels: Vec<Label>,
    pub rules: Vec<SecurityGroupRule>,
}

/// A parsed rule in the original's keys. `icmp_type` and `icmp_code` mean what they say: the original swapped them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum SecurityGroupRule {
    Ports { ip_protocol: String, ip_fport: u16, ip_tport: u16, protocol: String, ip_source: String },
    Icmp { ip_protocol: String, icmp_type: i16, icmp_code: i16, protocol: String, ip_source: String },
}

impl From<&Rule> for SecurityGroupRule {
    fn from(rule: &Rule) -> Self {
        let ip_source = match &rule.source {
            Source::Net(net) => net.to_string(),
            Source::Group(group) => group.to_string(),
        };
        let ports = |ip_protocol: &str, from, to, ip_source| SecurityGroupRule::Ports {
            ip_protocol: ip_protocol.into(),
            ip_fport: from,
            ip_tport: to,
            protocol: "ip4".into(),
            ip_source,
        };
        match rule.traffic {
            Traffic::Tcp { from, to } => ports("tcp", from, to, ip_source),
            Traffic::Udp { from, to } => ports("udp", from, to, ip_source),
            Traffic::Icmp { kind, code } => SecurityGroupRule::Icmp {
                ip_protocol: "icmp".into(),
                icmp_type: kind.map_or(-1, i16::from),
                icmp_code: code.map_or(-1, i16::from),
                protocol: "ip4".into(),
                ip_source,
            },
        }
    }
}

wordless!(SecurityGroup);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::security_group::parse;

    #[test]
    fn parsed_rules_are_shown_in_the_originals_keys() {
        let rules = parse("tcp:22,22,ip4:0.0.0.0\nicmp:8,0,ip4:10.0.0.0/8\nicmp:-1,-1,sg-abcd1234").unwrap();
        let shown: Vec<SecurityGroupRule> = rules.iter().map(SecurityGroupRule::from).collect();
        let text = serde_json::to_string(&shown).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"[{"ip_protocol":"tcp","ip_fport":22,"ip_tport":22,"protocol":"ip4","ip_source":"0.0.0.0/0"},"#,
                r#"{"ip_protocol":"icmp","icmp_type":8,"icmp_code":0,"protocol":"ip4","ip_source":"10.0.0.0/8"},"#,
                r#"{"ip_protocol":"icmp","icmp_type":-1,"icmp_code":-1,"protocol":"ip4","ip_source":"sg-abcd1234"}]"#
            )
        );
        let back: Vec<SecurityGroupRule> = serde_json::from_str(&text).unwrap();
        assert_eq!(back, shown);
    }
}
