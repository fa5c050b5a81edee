//! Asks an iSCSI portal whether an initiator would be let in: one Login Request (RFC 7143 section 11.12), no more.
//!
//! The management side of a target daemon says what it knows; this is the door that the old host would come by. Rule: only
//! an answer that is a refusal is a refusal: a portal that is silent, or answers something else, proves nothing. No secret is
//! sent: a target that is there answers before it asks for one.

use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One exchange with a daemon of this machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Of every PDU of iSCSI (RFC 7143 section 11.2.1).
const HEADER_BYTES: usize = 48;
/// Login Request, immediate.
const LOGIN_REQUEST: u8 = 0x43;
const LOGIN_RESPONSE: u8 = 0x23;
/// Transit from security negotiation to operational negotiation.
const FIRST_STEP: u8 = 0x81;
/// An initiator session id of the random format; a portal tells sessions apart by it.
const ISID: [u8; 6] = [0x80, 0x61, 0x72, 0x61, 0x6d, 0x65];

/// How a portal answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It goes on: the initiator may show its secret now.
    Open,
    /// Status class and detail (RFC 7143 section 11.13.5).
    Refused { class: u8, detail: u8 },
    /// It hung up without a word, as tgtd does to everybody while it has no target at all.
    HungUp,
}

/// Tries the first step of a login.
///
/// # Errors
/// Nobody listens, nothing was answered in time, or the answer was no login's.
pub async fn knock(portal: &str, initiator: &str, target: &str) -> std::io::Result<Answer> {
    let limit = || std::io::Error::new(ErrorKind::TimedOut, "no answer to a login");
    tokio::time::timeout(ANSWER_LIMIT, exchange(portal, initiator, target)).await.map_err(|_| limit())?
}

async fn exchange(portal: &str, initiator: &str, target: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(portal).await?;
    let mut header = [0; HEADER_BYTES];
    let answered = async {
        stream.write_all(&request(initiator, target)).await?;
        stream.read_exact(&mut header).await
    };
    match answered.await {
        Ok(_) => understand(&header),
        Err(error) if hung_up(error.kind()) => Ok(Answer::HungUp),
        Err(error) => Err(error),
    }
}

fn hung_up(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

fn understand(header: &[u8; HEADER_BYTES]) -> std::io::Result<Answer> {
    match (header[0] & 0x3f, header[36], header[37]) {
        (LOGIN_RESPONSE, 0, _) => Ok(Answer::Open),
        // 1 is a redirection: somewhere else it would be let in.
        (LOGIN_RESPONSE, class @ 2..=3, detail) => Ok(Answer::Refused { class, detail }),
        (opcode, class, _) => {
            Err(std::io::Error::other(format!("the portal answered a login with {opcode:#04x}, class {class}")))
        }
    }
}

fn request(initiator: &str, target: &str) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in
        [("InitiatorName", initiator), ("SessionType", "Normal"), ("TargetName", target), ("AuthMethod", "CHAP")]
    {
        text.extend(format!("{key}={value}\0").into_bytes());
    }
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[0] = LOGIN_REQUEST;
    bytes[1] = FIRST_STEP;
    // Names are at most 223 bytes each (RFC 7143 section 4.2.7.1): the length has room in its lower two bytes.
    bytes[6..8].copy_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes[8..14].copy_from_slice(&ISID);
    text.resize(text.len().next_multiple_of(4), 0);
    bytes.extend(text);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(opcode: u8, class: u8, detail: u8) -> std::io::Result<Answer> {
        let mut header = [0; HEADER_BYTES];
        (header[0], header[36], header[37]) = (opcode, class, detail);
        understand(&header)
    }

    #[test]
    fn only_a_refused_login_is_a_refusal() {
        assert_eq!(answered(LOGIN_RESPONSE, 2, 3).unwrap(), Answer::Refused { class: 2, detail: 3 });
        assert_eq!(answered(LOGIN_RESPONSE, 0, 0).unwrap(), Answer::Open);
        assert!(answered(LOGIN_RESPONSE, 1, 1).is_err(), "moved elsewhere");
        assert!(answered(0x3f, 2, 3).is_err(), "a reject of the PDU says nothing of the target");
    }

    #[test]
    fn a_request_is_whole_words_and_says_how_long_its_text_is() {
        let bytes = request("iqn.2026-11.jp.arame:h1", "iqn.2026-11.jp.arame:att-a-1");
        assert_eq!(bytes.len() % 4, 0);
        let said = usize::from(u16::from_be_bytes([bytes[6], bytes[7]]));
        let text = &bytes[HEADER_BYTES..HEADER_BYTES + said];
        assert!(text.ends_with(b"AuthMethod=CHAP\0") && bytes.len() - HEADER_BYTES - said < 4);
    }

    #[tokio::test]
    async fn a_portal_where_nobody_listens_refuses_nothing() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(knock(&port.to_string(), "iqn.a", "iqn.b").await.is_err());
    }
}
