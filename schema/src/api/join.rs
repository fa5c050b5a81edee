//! Machines that come and go: the one-time token of a machine that is to join, what it says when it does, what it is told.

use super::Timestamp;
use super::language::wordless;
use crate::model::{AgentId, Secret};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// What may become of a join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinTokenState {
    /// A machine may still join by it.
    Open,
    /// A machine has.
    Used,
    Expired,
    Revoked,
}

impl JoinTokenState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// Lets one machine join, as one agent, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    pub id: String,
    /// `hva.h3`: what the machine will be.
    pub agent: String,
    pub state: JoinTokenState,
    pub created_at: Timestamp,
    /// The token it was made with.
    pub created_by: String,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    pub used_at: Option<Timestamp>,
    /// From where it was used, as dcmgr saw it.
    pub used_from: Option<String>,
    /// The machine that used it, by its machine-id(5).
    pub used_machine: Option<String>,
    /// What is typed behind `arame join` on the new machine. In the answer that makes it and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateJoinToken {
    /// `hva.h3`: kind and name of an agent that has not joined yet.
    pub agent: String,
    /// Seconds in which it is good; absent: an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
}

/// What a machine says that joins. Its secrets are its own: sent again they mean the same machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Join {
    /// The invitation's.
    #[schema(value_type = String)]
    pub secret: Secret,
    /// Drawn by the machine: its agent's key from now on.
    #[schema(value_type = String)]
    pub agent_key: Secret,
    /// Drawn by the machine: its agent's password at the broker from now on.
    #[schema(value_type = String)]
    pub broker_password: Secret,
    /// machine-id(5), for whoever asks later which machine it was.
    pub machine: String,
}

/// What a machine that joined needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Joined {
    pub agent: String,
    /// `hn-h3`, `sn-s1`, `nn-n1`.
    pub node_id: String,
    pub broker_host: String,
    /// Of TLS.
    pub broker_port: u16,
    pub broker_vhost: String,
    /// Where streams are brought: `dcm.example:9003`; null: there are none.
    pub streams: Option<String>,
}

/// What a machine says that leaves, or (`check`) asks whether it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Leave {
    pub agent: String,
    #[schema(value_type = String)]
    pub agent_key: Secret,
    /// Only whether it may: nothing is changed.
    #[serde(default)]
    pub check: bool,
}

/// The agent that left, or may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Left {
    pub agent: String,
    pub node_id: String,
}

/// The words behind `arame join`: `hva.h3@dcm.example:9443/PIN/SECRET`. As kubeadm's discovery token it carries whom to trust,
/// so that nothing has to be copied before: the manager is the one whose authority's key has this digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    pub agent: AgentId,
    /// Host and port of the API by TLS.
    pub manager: String,
    /// SHA-256 of the authority's public key ([`public_key_info`]), base64url.
    pub pin: String,
    /// 256 random bits, base64url.
    pub secret: Secret,
}

/// Characters of 32 bytes in base64url without padding (RFC 4648 section 5).
const BITS_256: usize = 43;

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}/…", self.agent, self.manager, self.pin)
    }
}

impl Invitation {
    /// The whole of it, secret included: for whoever is to type it.
    pub fn text(&self) -> String {
        format!("{}@{}/{}/{}", self.agent, self.manager, self.pin, self.secret.expose())
    }

    /// Host and port apart; a host in brackets is an IPv6 address and comes without them.
    pub fn host_and_port(&self) -> Option<(&str, u16)> {
        host_and_port(&self.manager)
    }
}

/// `dcm.example:9443` or `[2001:db8::1]:9443`, apart.
pub fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bare = match host.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    (!bare.is_empty() && bare.chars().all(plain)).then_some((bare, port))
}

/// A SubjectPublicKeyInfo whole (RFC 5280 section 4.1), of which libraries keep only what is inside: the DER form of a SEQUENCE.
/// Its SHA-256 is what `openssl x509 -pubkey | openssl pkey -pubin -outform der | sha256sum` says.
pub fn public_key_info(inside: &[u8]) -> Vec<u8> {
    let length = inside.len().to_be_bytes();
    let significant = length.iter().position(|byte| *byte != 0).map_or(&[][..], |first| &length[first..]);
    let mut whole = vec![0x30];
    match significant {
        [] => whole.push(0),
        [short] if *short < 0x80 => whole.push(*short),
        long => {
            whole.push(0x80 | u8::try_from(long.len()).unwrap_or(u8::MAX));
            whole.extend_from_slice(long);
        }
    }
    whole.extend_from_slice(inside);
    whole
}

/// What is wrong is not told apart: it was not copied whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not of the form AGENT@HOST:PORT/PIN/SECRET")]
pub struct NoInvitation;

impl FromStr for Invitation {
    type Err = NoInvitation;

    fn from_str(text: &str) -> Result<Self, NoInvitation> {
        let (agent, rest) = text.trim().split_once('@').ok_or(NoInvitation)?;
        let mut parts = rest.split('/');
        let (Some(manager), Some(pin), Some(secret), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoInvitation);
        };
        let is_256 = |text: &str| {
            text.len() == BITS_256 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if !is_256(pin) || !is_256(secret) || host_and_port(manager).is_none() {
            return Err(NoInvitation);
        }
        let agent = agent.parse().map_err(|_| NoInvitation)?;
        Ok(Self { agent, manager: manager.into(), pin: pin.into(), secret: Secret::new(secret) })
    }
}

wordless!(JoinToken, Joined, Left);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_is_read_as_it_was_written_and_half_of_one_is_none() {
        let whole = Invitation {
            agent: "hva.h3".parse().unwrap(),
            manager: "dcm.example:9443".into(),
            pin: "p".repeat(43),
            secret: Secret::new("s".repeat(43)),
        };
        let text = whole.text();
        assert_eq!(text.parse::<Invitation>().unwrap(), whole);
        assert_eq!(format!(" {text}\n").parse::<Invitation>().unwrap(), whole, "as a terminal pastes it");
        for cut in 0..text.len() {
            assert!(text[..cut].parse::<Invitation>().is_err(), "{}", &text[..cut]);
        }
        assert!(format!("{text}/x").parse::<Invitation>().is_err());
        assert!(!format!("{whole:?}").contains(&"s".repeat(43)), "its secret is in no log");
    }

    #[test]
    fn a_sequence_tells_its_length_in_as_few_bytes_as_it_can() {
        for (inside, head) in [
            (0, vec![0x30, 0x00]),
            (127, vec![0x30, 0x7f]),
            (128, vec![0x30, 0x81, 0x80]),
            (300, vec![0x30, 0x82, 0x01, 0x2c]),
        ] {
            let whole = public_key_info(&vec![7; inside]);
            assert_eq!((&whole[..head.len()], whole.len()), (&head[..], head.len() + inside));
        }
    }

    #[test]
    fn a_manager_is_a_host_and_a_port() {
        assert_eq!(host_and_port("dcm.example:9443"), Some(("dcm.example", 9443)));
        assert_eq!(host_and_port("10.0.0.1:9443"), Some(("10.0.0.1", 9443)));
        assert_eq!(host_and_port("[2001:db8::1]:9443"), Some(("2001:db8::1", 9443)));
        for text in ["dcm.example", ":9443", "dcm.example:0", "dcm.example:70000", "2001:db8::1:9443", "a b:1", "a/b:1"]
        {
            assert_eq!(host_and_port(text), None, "{text}");
        }
    }
}
