//! The smallest DNS and DHCP clients: one question, one answer, by hand.
//!
//! Rule: an answer counts when it is the right one: the machine's own address. RFC 1035 section 4, RFC 2131 section 2.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

/// A question for the A record of a name.
fn dns_question(name: &str) -> Vec<u8> {
    // Id, flags (recursion desired), one question.
    let mut bytes = vec![0x4a, 0x52, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

/// No error, and the address stands at the end of the answer.
fn is_address(answer: &[u8], address: Ipv4Addr) -> bool {
    let header = answer.get(..12).unwrap_or_default();
    let is_answer = header.len() == 12 && header[..2] == [0x4a, 0x52] && header[3] & 0x0f == 0 && header[7] > 0;
    is_answer && answer.windows(4).any(|window| window == address.octets())
}

/// A DISCOVER from this hardware address.
fn discover(mac: [u8; 6]) -> Vec<u8> {
    let mut bytes = vec![0u8; 236];
    bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
    bytes[4..8].copy_from_slice(&[0, 0, 0x4a, 0x52]);
    bytes[28..34].copy_from_slice(&mac);
    // The magic cookie, message type DISCOVER, the end.
    bytes.extend([99, 130, 83, 99, 53, 1, 1, 255]);
    bytes
}

/// An OFFER of the address.
fn is_offer(answer: &[u8], address: Ipv4Addr) -> bool {
    answer.len() > 240
        && answer[4..8] == [0, 0, 0x4a, 0x52]
        && answer[16..20] == address.octets()
        && answer[240..].windows(3).any(|window| window == [53, 1, 2])
}

async fn ask(at: SocketAddr, question: &[u8], limit: Duration, is_right: impl Fn(&[u8]) -> bool) -> bool {
    let talk = async {
        let socket = UdpSocket::bind("0.0.0.0:0").await.ok()?;
        socket.send_to(question, at).await.ok()?;
        let mut answer = vec![0; 2048];
        let length = socket.recv(&mut answer).await.ok()?;
        is_right(&answer[..length]).then_some(())
    };
    matches!(tokio::time::timeout(limit, talk).await, Ok(Some(())))
}

/// Whether the server knows the name.
pub async fn resolves(at: SocketAddr, name: &str, address: Ipv4Addr, limit: Duration) -> bool {
    ask(at, &dns_question(name), limit, |answer| is_address(answer, address)).await
}

/// Whether the server offers the interface its address.
pub async fn offers(at: SocketAddr, mac: [u8; 6], address: Ipv4Addr, limit: Duration) -> bool {
    ask(at, &discover(mac), limit, |answer| is_offer(answer, address)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_only_with_the_right_address() {
        let address = Ipv4Addr::new(10, 100, 0, 10);
        let mut answer = dns_question("web1.example");
        (answer[2], answer[7]) = (0x85, 1);
        assert!(!is_address(&answer, address), "no record yet");
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 100, 0, 10]);
        assert!(is_address(&answer, address));
        assert!(!is_address(&answer, Ipv4Addr::new(10, 100, 0, 11)));
        answer[3] = 3;
        assert!(!is_address(&answer, address), "a name that is not known");
    }

    #[test]
    fn an_offer_counts_only_with_the_right_address() {
        let address = Ipv4Addr::new(10, 100, 0, 10);
        let mut offer = discover([0x52, 0x54, 0, 0, 0, 1]);
        assert!(!is_offer(&offer, address), "its own question");
        offer[16..20].copy_from_slice(&address.octets());
        offer[242] = 2;
        assert!(is_offer(&offer, address));
        assert!(!is_offer(&offer, Ipv4Addr::new(10, 100, 0, 11)));
    }
}
