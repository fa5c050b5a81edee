//! Ids: one newtype per kind of resource, `<prefix>-<word>`, the prefixes of Wakame-vdc.
//!
//! An id is compared byte for byte. Generated ids have eight characters `[a-z0-9]` after the prefix; operators may
//! choose their own (`nw-demo1`), up to [`crate::limits::ID_LENGTH_MAX`] bytes of `[A-Za-z0-9_-]`.

use crate::limits::ID_LENGTH_MAX;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("`{given}` does not begin with `{prefix}-`")]
    Prefix { given: String, prefix: &'static str },
    #[error("`{given}` is not an id: 1 to 63 characters of letters, digits, `_` and `-`")]
    Form { given: String },
}

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

fn check(text: &str, prefix: &'static str) -> Result<(), IdError> {
    let word = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'))
        .ok_or_else(|| IdError::Prefix { given: text.chars().take(80).collect(), prefix })?;
    let formed = !word.is_empty()
        && text.len() <= ID_LENGTH_MAX
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if formed { Ok(()) } else { Err(IdError::Form { given: text.chars().take(80).collect() }) }
}

/// Eight characters of the alphabet from eight random bytes. A byte's bias towards the first letters (256 is no
/// multiple of 36) does not matter: the unique index decides, and a collision is drawn again.
fn word_from(entropy: [u8; 8]) -> String {
    entropy.iter().map(|b| ALPHABET[*b as usize % ALPHABET.len()] as char).collect()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The prefix, without its hyphen.
            pub const PREFIX: &'static str = $prefix;

            /// An id from eight random bytes of the caller; uniqueness is the database's affair.
            pub fn from_entropy(entropy: [u8; 8]) -> Self {
                Self(format!("{}-{}", $prefix, word_from(entropy)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check(text, $prefix)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                check(&text, $prefix)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

id!(/// An account: the owner of resources and quotas.
    AccountId, "a");
id!(/// A virtual machine.
    InstanceId, "i");
id!(/// A machine image.
    ImageId, "wmi");
id!(/// A block volume on a storage node.
    VolumeId, "vol");
id!(/// One writing connection between a volume and a host, for one epoch.
    AttachmentId, "att");
id!(/// A snapshot of a volume.
    VolumeSnapshotId, "snap");
id!(/// A copy of a volume's snapshot on another storage node.
    SnapshotReplicaId, "rep");
id!(/// A schedule of a volume's snapshots or backups.
    VolumeScheduleId, "vsc");
id!(/// A hypervisor host.
    HostNodeId, "hn");
id!(/// A storage node.
    StorageNodeId, "sn");
id!(/// A network: a subnet on a VLAN segment.
    NetworkId, "nw");
id!(/// A physical network that offers segments.
    DcNetworkId, "dcn");
id!(/// A DNS record that a tenant added to a network.
    DnsRecordId, "dnr");
id!(/// A network interface of an instance.
    VifId, "vif");
id!(/// A security group.
    SecurityGroupId, "sg");
id!(/// A registered SSH public key.
    SshKeyPairId, "ssh");
id!(/// An instance type (named size of a machine).
    InstanceTypeId, "it");
id!(/// An API token (its name, never its secret).
    TokenId, "tok");
id!(/// What lets one machine join (its name, never its secret).
    JoinTokenId, "jt");
id!(/// A person who signs in.
    UserId, "u");
id!(/// Something to be watched of an instance.
    InstanceMonitorId, "imon");
id!(/// Something to be watched of a network interface.
    VifMonitorId, "nwm");
id!(/// A group of hypervisor hosts.
    HostNodeGroupId, "hng");
id!(/// A group of networks.
    NetworkGroupId, "nwg");
id!(/// A group of storage nodes.
    StorageNodeGroupId, "sng");
id!(/// A place for backups.
    BackupStorageId, "bkst");
id!(/// A backup of a disk.
    BackupObjectId, "bo");
id!(/// A pool of addresses that are handed out by name.
    IpPoolId, "ipp");
id!(/// An address that is held.
    IpHandleId, "ip");

/// The kind of an agent, the first half of its [`AgentId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentKind {
    Hva,
    Sta,
    Nsa,
}

impl AgentKind {
    pub fn as_str(self) -> &'static str {
        match self {
            AgentKind::Hva => "hva",
            AgentKind::Sta => "sta",
            AgentKind::Nsa => "nsa",
        }
    }
}

impl fmt::Display for AgentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An agent's name on the bus: `<kind>.<name>`, as Wakame's node ids (`hva.h1`). It is also the broker user's name
/// and the end of its queue's name, so it is short and plain: at most 63 bytes of `[a-z0-9-]` after the dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentId(String);

impl AsRef<str> for AgentId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl AgentId {
    pub fn kind(&self) -> AgentKind {
        match self.0.split('.').next() {
            Some("hva") => AgentKind::Hva,
            Some("sta") => AgentKind::Sta,
            _ => AgentKind::Nsa,
        }
    }

    /// The part after the dot: the node's own name.
    pub fn name(&self) -> &str {
        self.0.split_once('.').map_or("", |(_, name)| name)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The agent's job queue on the broker (DESIGN, On the wire).
    pub fn queue(&self) -> String {
        format!("job.{}", self.0)
    }
}

impl FromStr for AgentId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::Form { given: text.chars().take(80).collect() };
        let (kind, name) = text.split_once('.').ok_or_else(bad)?;
        let known = matches!(kind, "hva" | "sta" | "nsa");
        let plain = !name.is_empty()
            && name.len() <= 59
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if known && plain { Ok(Self(text.to_owned())) } else { Err(bad()) }
    }
}

impl TryFrom<String> for AgentId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<AgentId> for String {
    fn from(id: AgentId) -> String {
        id.0
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_another_kind_is_refused_by_its_prefix() {
        let refused = "vol-abc".parse::<InstanceId>();
        assert_eq!(refused, Err(IdError::Prefix { given: "vol-abc".into(), prefix: "i" }));
    }

    #[test]
    fn ids_chosen_by_an_operator_keep_every_byte() {
        let id: ImageId = "wmi-Centos1d64_x".parse().unwrap();
        assert_eq!(id.to_string(), "wmi-Centos1d64_x");
    }

    #[test]
    fn empty_overlong_and_strange_words_are_refused() {
        let long = format!("i-{}", "a".repeat(62));
        for text in ["i-", "i-ä", "i-a b", "i-a/b", long.as_str()] {
            assert!(text.parse::<InstanceId>().is_err(), "{text} was accepted");
        }
        assert!(format!("i-{}", "a".repeat(61)).parse::<InstanceId>().is_ok());
    }

    #[test]
    fn generated_ids_are_of_the_original_form() {
        let id = InstanceId::from_entropy([0, 25, 26, 35, 36, 255, 7, 8]);
        assert_eq!(id.as_str(), "i-az09adhi");
        assert_eq!(id.as_str().parse::<InstanceId>().unwrap(), id);
    }

    #[test]
    fn an_agent_id_names_its_kind_and_its_queue() {
        let id: AgentId = "hva.h1".parse().unwrap();
        assert_eq!((id.kind(), id.name(), id.queue().as_str()), (AgentKind::Hva, "h1", "job.hva.h1"));
        for text in ["h1", "dcmgr.h1", "hva.", "hva.H1", "hva.a b"] {
            assert!(text.parse::<AgentId>().is_err(), "{text} was accepted");
        }
    }
}
