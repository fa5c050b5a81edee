//! Records that tenants add to the zone of a network: their names and values, checked.
//!
//! Rule: a name is relative to the zone (`www`, `_sip._tcp`, `@` for the zone itself), lower case. A target is whole
//! (`mail.example.org`) or one label of the zone (`web1`). What is a [`RecordData`] can be carried by DNS.

use super::DnsRecordId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;

/// RFC 1035 2.3.4.
const LABEL_BYTES_MAX: usize = 63;

/// Of a relative name and of a target: leaves room below the longest zone, 255 octets in all.
const NAME_BYTES_MAX: usize = 120;
const TARGET_BYTES_MAX: usize = 250;

/// Of a TXT's whole text: a DKIM key of 4096 bits fits. One string of it is at most 255 octets.
pub const TEXT_BYTES_MAX: usize = 1_000;
pub const TEXT_STRING_BYTES_MAX: usize = 255;

/// The name of the zone itself.
pub const APEX: &str = "@";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordKind {
    A,
    Cname,
    Txt,
    Srv,
}

impl RecordKind {
    pub const ALL: [RecordKind; 4] = [RecordKind::A, RecordKind::Cname, RecordKind::Txt, RecordKind::Srv];

    pub fn as_str(self) -> &'static str {
        match self {
            RecordKind::A => "A",
            RecordKind::Cname => "CNAME",
            RecordKind::Txt => "TXT",
            RecordKind::Srv => "SRV",
        }
    }

    /// In any spelling.
    pub fn parse(text: &str) -> Option<RecordKind> {
        Self::ALL.into_iter().find(|kind| text.eq_ignore_ascii_case(kind.as_str()))
    }

    /// What a value of it looks like.
    pub fn form(self) -> &'static str {
        match self {
            RecordKind::A => "192.0.2.1",
            RecordKind::Cname => "web1 | mail.example.org",
            RecordKind::Txt => "1..1000 bytes, no control characters",
            RecordKind::Srv => "priority weight port target: 10 5 5060 sip1",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A checked value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordData {
    A(Ipv4Addr),
    Cname(String),
    Txt(String),
    Srv { priority: u16, weight: u16, port: u16, target: String },
}

impl RecordData {
    /// `None`: not of the kind's form.
    pub fn parse(kind: RecordKind, value: &str) -> Option<RecordData> {
        match kind {
            RecordKind::A => value.parse().ok().filter(|address: &Ipv4Addr| is_host(*address)).map(RecordData::A),
            RecordKind::Cname => target(value).map(RecordData::Cname),
            RecordKind::Txt => {
                let formed = (1..=TEXT_BYTES_MAX).contains(&value.len()) && !value.chars().any(char::is_control);
                formed.then(|| RecordData::Txt(value.to_owned()))
            }
            RecordKind::Srv => {
                let words: Vec<&str> = value.split_whitespace().collect();
                let [priority, weight, port, aim] = words[..] else { return None };
                Some(RecordData::Srv {
                    priority: priority.parse().ok()?,
                    weight: weight.parse().ok()?,
                    port: port.parse().ok()?,
                    // RFC 2782: a dot alone says that there is no such service.
                    target: if aim == "." { aim.to_owned() } else { target(aim)? },
                })
            }
        }
    }

    pub fn kind(&self) -> RecordKind {
        match self {
            RecordData::A(_) => RecordKind::A,
            RecordData::Cname(_) => RecordKind::Cname,
            RecordData::Txt(_) => RecordKind::Txt,
            RecordData::Srv { .. } => RecordKind::Srv,
        }
    }

    /// The value's own spelling: two values are the same when these are.
    pub fn value(&self) -> String {
        match self {
            RecordData::A(address) => address.to_string(),
            RecordData::Cname(target) => target.clone(),
            RecordData::Txt(text) => text.clone(),
            RecordData::Srv { priority, weight, port, target } => format!("{priority} {weight} {port} {target}"),
        }
    }
}

fn is_host(address: Ipv4Addr) -> bool {
    !address.is_unspecified() && !address.is_broadcast() && !address.is_multicast()
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn labels(text: &str, bytes_max: usize) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    (lower.len() <= bytes_max && lower.split('.').all(is_label)).then_some(lower)
}

/// A record's name relative to the zone, in its own spelling.
pub fn record_name(text: &str) -> Option<String> {
    if text == APEX { Some(text.to_owned()) } else { labels(text, NAME_BYTES_MAX) }
}

/// The final dot of a whole name is left out; one label is of the zone.
fn target(text: &str) -> Option<String> {
    labels(text.strip_suffix('.').unwrap_or(text), TARGET_BYTES_MAX)
}

/// A target as a whole name without its final dot.
pub fn whole(target: &str, domain: &str) -> String {
    if target == "." || target.contains('.') { target.to_owned() } else { format!("{target}.{domain}") }
}

/// What a whole name is within a zone: [`APEX`], a relative name, or `None` outside of it.
pub fn within<'a>(name: &'a str, domain: &str) -> Option<&'a str> {
    if name.eq_ignore_ascii_case(domain) {
        return Some(APEX);
    }
    let at = name.len().checked_sub(domain.len() + 1)?;
    let below = name.get(at..)?.strip_prefix('.')?;
    below.eq_ignore_ascii_case(domain).then(|| &name[..at])
}

/// One record of a zone, as it is kept and sent. A kind that a program does not know is left out by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    pub id: DnsRecordId,
    pub name: String,
    pub kind: String,
    pub value: String,
    /// The network's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
}

impl NetworkRecord {
    pub fn data(&self) -> Option<RecordData> {
        RecordData::parse(RecordKind::parse(&self.kind)?, &self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_in_their_form_and_keep_one_spelling() {
        for (kind, given, kept) in [
            (RecordKind::A, "10.0.0.9", "10.0.0.9"),
            (RecordKind::Cname, "Mail.Example.Org.", "mail.example.org"),
            (RecordKind::Cname, "WEB1", "web1"),
            (RecordKind::Txt, "v=spf1 -all", "v=spf1 -all"),
            (RecordKind::Srv, "10  5 5060 Sip1", "10 5 5060 sip1"),
            (RecordKind::Srv, "0 0 0 .", "0 0 0 ."),
        ] {
            let data = RecordData::parse(kind, given).unwrap_or_else(|| panic!("{kind} {given}"));
            assert_eq!((data.kind(), data.value().as_str()), (kind, kept));
            assert_eq!(RecordData::parse(kind, &data.value()), Some(data), "its spelling is itself a value");
        }
    }

    #[test]
    fn what_dns_cannot_carry_is_refused() {
        let long = "x".repeat(64);
        for (kind, given) in [
            (RecordKind::A, "10.0.0.256"),
            (RecordKind::A, "0.0.0.0"),
            (RecordKind::A, "224.0.0.1"),
            (RecordKind::A, "::1"),
            (RecordKind::Cname, ""),
            (RecordKind::Cname, "a..b"),
            (RecordKind::Cname, "-a"),
            (RecordKind::Cname, long.as_str()),
            (RecordKind::Cname, "a b"),
            (RecordKind::Txt, ""),
            (RecordKind::Txt, "a\nb"),
            (RecordKind::Srv, "1 2 3"),
            (RecordKind::Srv, "1 2 70000 x"),
        ] {
            assert_eq!(RecordData::parse(kind, given), None, "{kind} {given}");
        }
        assert!(RecordData::parse(RecordKind::Txt, &"x".repeat(TEXT_BYTES_MAX)).is_some(), "the control");
        assert_eq!(RecordData::parse(RecordKind::Txt, &"x".repeat(TEXT_BYTES_MAX + 1)), None);
    }

    #[test]
    fn names_are_relative_and_targets_are_made_whole() {
        assert_eq!(record_name("WWW").as_deref(), Some("www"));
        assert_eq!(record_name("_sip._tcp").as_deref(), Some("_sip._tcp"));
        assert_eq!(record_name("@").as_deref(), Some("@"));
        for name in ["", ".", "a.", "*.a", "a b", "あ", &"a.".repeat(100)] {
            assert_eq!(record_name(name), None, "{name}");
        }
        assert_eq!(whole("web1", "demo.example"), "web1.demo.example");
        assert_eq!(whole("mail.example.org", "demo.example"), "mail.example.org");
        assert_eq!(within("a.b.Demo.example", "demo.example"), Some("a.b"));
        assert_eq!(within("demo.example", "demo.example"), Some(APEX));
        assert_eq!(within("xdemo.example", "demo.example"), None);
        assert_eq!(within("example", "demo.example"), None);
        assert_eq!(within("éé.demo.example", "demo.example"), Some("éé"));
    }
}
