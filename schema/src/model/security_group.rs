//! The rule language of security groups: one rule a line, `#` comments, as in Wakame-vdc.
//!
//! ```text
//! tcp:22,22,ip4:0.0.0.0          # ports from,to and a source
//! udp:53,53,ip4:10.0.0.0/8
//! icmp:-1,-1,ip4:0.0.0.0         # type,code; -1 is any
//! tcp:80,80,sg-abcd1234          # every member of that group
//! ```
//!
//! An address without a prefix (or with /0) is one host, `0.0.0.0` is everywhere. Unlike the original a line with
//! too few parts is an error, not silence, and `icmp:8,0` means echo request.

use super::SecurityGroupId;
use crate::limits::SECURITY_GROUP_RULES_MAX;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// What a rule lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "protocol")]
pub enum Traffic {
    Tcp {
        from: u16,
        to: u16,
    },
    Udp {
        from: u16,
        to: u16,
    },
    /// `None` is any type or any code (RFC 792).
    Icmp {
        kind: Option<u8>,
        code: Option<u8>,
    },
}

/// Where it may come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Net(Ipv4Net),
    Group(SecurityGroupId),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    pub traffic: Traffic,
    pub source: Source,
}

/// Why a rule text was refused: the line's number (from 1), the line, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} `{text}`: {reason}")]
pub struct RuleError {
    pub line: usize,
    pub text: String,
    pub reason: String,
}

/// Parses a whole rule text. Empty text is an empty group: nothing is let in.
pub fn parse(text: &str) -> Result<Vec<Rule>, RuleError> {
    let mut rules = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let bare: String = raw.split('#').next().unwrap_or("").chars().filter(|c| !c.is_whitespace()).collect();
        if bare.is_empty() {
            continue;
        }
        let refuse =
            |reason: String| RuleError { line: index + 1, text: raw.trim().chars().take(80).collect(), reason };
        if rules.len() == SECURITY_GROUP_RULES_MAX {
            return Err(refuse(format!("a group holds at most {SECURITY_GROUP_RULES_MAX} rules")));
        }
        rules.push(parse_line(&bare).map_err(refuse)?);
    }
    Ok(rules)
}

fn parse_line(line: &str) -> Result<Rule, String> {
    let (protocol, rest) = line.split_once(':').ok_or("a rule begins with tcp:, udp: or icmp:")?;
    let parts: Vec<&str> = rest.splitn(3, ',').collect();
    let [first, second, source] = parts[..] else {
        return Err("three parts are needed: from,to,source (or type,code,source)".into());
    };
    let traffic = match protocol {
        "tcp" => {
            let (from, to) = ports(first, second)?;
            Traffic::Tcp { from, to }
        }
        "udp" => {
            let (from, to) = ports(first, second)?;
            Traffic::Udp { from, to }
        }
        "icmp" => icmp(first, second)?,
        other => return Err(format!("protocol `{other}` is not tcp, udp or icmp")),
    };
    Ok(Rule { traffic, source: source_of(source)? })
}

fn ports(from: &str, to: &str) -> Result<(u16, u16), String> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{text}` is not a port between 1 and 65535")),
    };
    let (from, to) = (port(from)?, port(to)?);
    if from > to {
        return Err(format!("the first port {from} is above the last {to}"));
    }
    Ok((from, to))
}

fn icmp(kind: &str, code: &str) -> Result<Traffic, String> {
    let number = |text: &str| match text.parse::<i16>() {
        Ok(-1) => Ok(None),
        Ok(n) if (0..=255).contains(&n) => Ok(Some(n as u8)),
        _ => Err(format!("`{text}` is not an ICMP number (0 to 255, or -1 for any)")),
    };
    let (kind, code) = (number(kind)?, number(code)?);
    if kind.is_none() && code.is_some() {
        return Err("an ICMP code needs an ICMP type".into());
    }
    Ok(Traffic::Icmp { kind, code })
}

fn source_of(text: &str) -> Result<Source, String> {
    if let Some(net) = text.strip_prefix("ip4:") {
        return net_of(net).map(Source::Net);
    }
    if text.starts_with("sg-") {
        return text.parse().map(Source::Group).map_err(|e: super::IdError| e.to_string());
    }
    Err(format!("source `{text}` is neither ip4:ADDRESS[/PREFIX] nor a security group"))
}

fn net_of(text: &str) -> Result<Ipv4Net, String> {
    let bad = || format!("`{text}` is not an IPv4 address or network");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, prefix.parse::<u8>().map_err(|_| bad())?),
        None => (text, 0),
    };
    let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
    let prefix = match prefix {
        0 if address.is_unspecified() => 0,
        0 => 32,
        n => n,
    };
    Ipv4Net::new(address, prefix).map(|net| net.trunc()).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Source {
        Source::Net(text.parse().unwrap())
    }

    #[test]
    fn the_originals_rules_are_understood() {
        let rules = parse("# web\ntcp:80,80,ip4:0.0.0.0\n\nudp: 53 , 53 ,ip4:10.1.2.3/8 # dns\nicmp:8,0,ip4:10.0.0.9\ntcp:1,65535,sg-abcd1234")
            .unwrap();
        assert_eq!(rules[0], Rule { traffic: Traffic::Tcp { from: 80, to: 80 }, source: net("0.0.0.0/0") });
        assert_eq!(rules[1], Rule { traffic: Traffic::Udp { from: 53, to: 53 }, source: net("10.0.0.0/8") });
        assert_eq!(
            rules[2],
            Rule { traffic: Traffic::Icmp { kind: Some(8), code: Some(0) }, source: net("10.0.0.9/32") }
        );
        assert_eq!(rules[3].source, Source::Group("sg-abcd1234".parse().unwrap()));
    }

    #[test]
    fn a_bad_line_is_named_with_its_number_and_reason() {
        let refused = parse("tcp:22,22,ip4:0.0.0.0\ntcp:80").unwrap_err();
        assert_eq!(refused.line, 2);
        for bad in [
            "tcp:0,80,ip4:0.0.0.0",
            "tcp:90,80,ip4:0.0.0.0",
            "tcp:80,80,ip6:::",
            "gre:1,1,ip4:0.0.0.0",
            "icmp:-1,3,ip4:0.0.0.0",
            "icmp:8,256,ip4:0.0.0.0",
            "tcp:80,80,ip4:10.0.0.0/33",
            "tcp:80,80,ip4:10.0.0",
        ] {
            assert!(parse(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn a_group_holds_a_bounded_number_of_rules() {
        let many = "tcp:1,1,ip4:0.0.0.0\n".repeat(SECURITY_GROUP_RULES_MAX + 1);
        assert!(parse(&many).unwrap_err().reason.contains("at most"));
    }
}
