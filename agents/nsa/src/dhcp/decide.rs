//! From a message and a snapshot to an answer or a reason of silence. Pure.
//!
//! The four kinds of REQUEST are told apart as in RFC 2131 table 4: *selecting* has a server identifier,
//! *init-reboot* has option 50 and no ciaddr, *renewing* and *rebinding* have ciaddr and no option 50.

use super::{Destination, Silence};
use crate::snapshot::Served;
use arame_schema::jobs::nsa::NetworkHost;
use arame_schema::jobs::nsa::why::Reason;
use arame_schema::model::MacAddress;
use dhcproto::v4::{DhcpOption, HType, Message, MessageType, Opcode, OptionCode};
use std::net::Ipv4Addr;

/// An answer, before it is bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub kind: MessageType,
    /// The address given; `None` for INFORM and NAK.
    pub address: Option<Ipv4Addr>,
    pub to: Destination,
    /// Of a NAK, kept for `nsa.why`.
    pub reason: Option<Reason>,
    /// In two messages instead of four (RFC 4039).
    pub rapid: bool,
}

/// Whether NAKs may be sent (DESIGN 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Currency {
    /// dcmgr said so in this process's life, or had its chance to say otherwise.
    Confirmed,
    /// From disk only.
    Remembered,
}

pub fn client_mac(message: &Message) -> Option<MacAddress> {
    if message.opcode() != Opcode::BootRequest || message.htype() != HType::Eth || message.hlen() != 6 {
        return None;
    }
    let octets: [u8; 6] = message.chaddr().try_into().ok()?;
    Some(MacAddress(octets))
}

/// The address the client asks for or claims.
pub fn asked_address(message: &Message) -> Option<Ipv4Addr> {
    match message.opts().get(OptionCode::RequestedIpAddress) {
        Some(DhcpOption::RequestedIpAddress(address)) => Some(*address),
        _ => Some(message.ciaddr()).filter(|address| !address.is_unspecified()),
    }
}

/// # Errors
/// Nothing is to be answered, and why.
pub fn decide(served: &Served, currency: Currency, message: &Message) -> Result<Answer, Silence> {
    let mac = client_mac(message).ok_or(Silence::NotAClient)?;
    let kind = message.opts().msg_type().ok_or_else(|| Silence::Malformed("it has no message type".to_owned()))?;
    let host = served.host(mac).ok_or(Silence::UnknownMac)?;
    let relay = message.giaddr();
    if !relay.is_unspecified() && !served.head.subnet.contains(&relay) {
        return Err(Silence::ForeignRelay(relay));
    }
    match kind {
        MessageType::Discover if message.opts().contains(OptionCode::RapidCommit) => {
            Ok(Answer { rapid: true, ..give(MessageType::Ack, host, message) })
        }
        MessageType::Discover => Ok(give(MessageType::Offer, host, message)),
        MessageType::Request => answer_request(served, currency, host, message),
        MessageType::Inform => answer_inform(host, message),
        MessageType::Release => Err(Silence::Released),
        MessageType::Decline => Err(Silence::Declined(asked_address(message).unwrap_or(host.ipv4))),
        other => Err(Silence::NotForServers(format!("{other:?}"))),
    }
}

fn answer_request(
    served: &Served,
    currency: Currency,
    host: &NetworkHost,
    message: &Message,
) -> Result<Answer, Silence> {
    let chosen = match message.opts().get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) => Some(*server),
        _ => None,
    };
    if let Some(other) = chosen.filter(|server| *server != served.head.server) {
        return Err(Silence::OtherServer(other));
    }
    let asked = asked_address(message).ok_or(Silence::NoAddress)?;
    if asked == host.ipv4 {
        return Ok(give(MessageType::Ack, host, message));
    }
    if currency == Currency::Remembered {
        return Err(Silence::Unconfirmed { asked, known: host.ipv4 });
    }
    let reason = Reason::new("wrong_address").with("asked", asked).with("known", host.ipv4);
    let to = if message.giaddr().is_unspecified() {
        // A client that is refused may hold an address of another subnet: RFC 2131 4.1 says broadcast.
        Destination::Broadcast
    } else {
        Destination::Relay(message.giaddr())
    };
    Ok(Answer { kind: MessageType::Nak, address: None, to, reason: Some(reason), rapid: false })
}

fn answer_inform(host: &NetworkHost, message: &Message) -> Result<Answer, Silence> {
    let address = message.ciaddr();
    if address.is_unspecified() {
        return Err(Silence::NoAddress);
    }
    let to = Destination::Client { mac: host.mac, address };
    Ok(Answer { kind: MessageType::Ack, address: None, to, reason: None, rapid: false })
}

fn give(kind: MessageType, host: &NetworkHost, message: &Message) -> Answer {
    let wants_broadcast = message.flags().broadcast() && message.ciaddr().is_unspecified();
    let to = destination(message.giaddr(), wants_broadcast, host);
    Answer { kind, address: Some(host.ipv4), to, reason: None, rapid: false }
}

/// Where an address that is given goes (RFC 2131, 4.1).
pub(super) fn destination(relay: Ipv4Addr, wants_broadcast: bool, host: &NetworkHost) -> Destination {
    match (relay.is_unspecified(), wants_broadcast) {
        (false, _) => Destination::Relay(relay),
        (true, true) => Destination::Broadcast,
        (true, false) => Destination::Client { mac: host.mac, address: host.ipv4 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::snapshot;
    use dhcproto::v4::Flags;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 0x0a];
    const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 99);
    const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

    fn message(kind: MessageType, mac: [u8; 6], ciaddr: Ipv4Addr, options: &[DhcpOption]) -> Message {
        let mut message = Message::new_with_id(7, ciaddr, NONE, NONE, NONE, &mac);
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        options.iter().for_each(|option| drop(message.opts_mut().insert(option.clone())));
        message
    }

    fn decided(message: &Message) -> Result<(MessageType, Option<Ipv4Addr>), Silence> {
        let served = Served::new(snapshot(), 1, 1).unwrap();
        decide(&served, Currency::Confirmed, message).map(|answer| (answer.kind, answer.address))
    }

    #[test]
    fn every_kind_of_request_is_acked_for_the_own_address_and_refused_for_another() {
        use DhcpOption::{RequestedIpAddress, ServerIdentifier};
        let server = ServerIdentifier(Ipv4Addr::new(10, 0, 0, 2));
        // Option 54, option 50, ciaddr.
        let kinds =
            [("selecting", true, true, false), ("init-reboot", false, true, false), ("renewing", false, false, true)];
        for (name, with_server, with_address, with_ciaddr) in kinds {
            for (asked, expected) in [(OWN, (MessageType::Ack, Some(OWN))), (OTHER, (MessageType::Nak, None))] {
                let mut options = Vec::new();
                with_server.then(|| options.push(server.clone()));
                with_address.then(|| options.push(RequestedIpAddress(asked)));
                let ciaddr = if with_ciaddr { asked } else { NONE };
                let message = message(MessageType::Request, MAC, ciaddr, &options);
                assert_eq!(decided(&message), Ok(expected), "{name} {asked}");
            }
        }
    }

    #[test]
    fn a_discover_with_rapid_commit_is_acknowledged_at_once() {
        let rapid = message(MessageType::Discover, MAC, NONE, &[DhcpOption::RapidCommit]);
        assert_eq!(decided(&rapid), Ok((MessageType::Ack, Some(OWN))));
        let plain = message(MessageType::Discover, MAC, NONE, &[]);
        assert_eq!(decided(&plain), Ok((MessageType::Offer, Some(OWN))), "the control");
    }

    #[test]
    fn an_unknown_mac_hears_nothing_where_a_known_one_is_answered() {
        let stranger = [0x52, 0x54, 0, 0, 0, 0xff];
        for kind in [MessageType::Discover, MessageType::Request, MessageType::Inform] {
            let asked = [DhcpOption::RequestedIpAddress(OTHER)];
            assert_eq!(decided(&message(kind, stranger, OTHER, &asked)), Err(Silence::UnknownMac));
            assert!(decided(&message(kind, MAC, OTHER, &asked)).is_ok(), "the control");
        }
    }

    #[test]
    fn a_client_that_chose_another_server_is_left_alone() {
        let other = DhcpOption::ServerIdentifier(OTHER);
        let message = message(MessageType::Request, MAC, NONE, &[other, DhcpOption::RequestedIpAddress(OTHER)]);
        assert_eq!(decided(&message), Err(Silence::OtherServer(OTHER)));
    }

    #[test]
    fn a_snapshot_from_disk_refuses_nobody_until_it_is_confirmed() {
        let served = Served::new(snapshot(), 1, 1).unwrap();
        let renew = message(MessageType::Request, MAC, OTHER, &[]);
        let silence = decide(&served, Currency::Remembered, &renew);
        assert_eq!(silence, Err(Silence::Unconfirmed { asked: OTHER, known: OWN }));
        assert_eq!(decide(&served, Currency::Confirmed, &renew).unwrap().kind, MessageType::Nak, "the control");
        let own = message(MessageType::Request, MAC, OWN, &[]);
        assert_eq!(decide(&served, Currency::Remembered, &own).unwrap().kind, MessageType::Ack);
    }

    #[test]
    fn answers_go_where_the_client_can_hear_them() {
        let served = Served::new(snapshot(), 1, 1).unwrap();
        let to = |message: &Message| decide(&served, Currency::Confirmed, message).unwrap().to;
        let mut discover = message(MessageType::Discover, MAC, NONE, &[]);
        assert_eq!(to(&discover), Destination::Client { mac: MacAddress(MAC), address: OWN });
        discover.set_flags(Flags::default().set_broadcast());
        assert_eq!(to(&discover), Destination::Broadcast);
        discover.set_giaddr(OTHER);
        assert_eq!(to(&discover), Destination::Relay(OTHER));
        discover.set_giaddr([192, 0, 2, 1]);
        let foreign = decide(&served, Currency::Confirmed, &discover);
        assert_eq!(foreign, Err(Silence::ForeignRelay(Ipv4Addr::new(192, 0, 2, 1))));
        let nak = message(MessageType::Request, MAC, OTHER, &[]);
        assert_eq!(to(&nak), Destination::Broadcast);
    }

    #[test]
    fn messages_of_servers_and_without_a_type_are_not_answered() {
        assert!(matches!(decided(&message(MessageType::Offer, MAC, NONE, &[])), Err(Silence::NotForServers(_))));
        let mut untyped = message(MessageType::Discover, MAC, NONE, &[]);
        untyped.opts_mut().remove(OptionCode::MessageType);
        assert!(matches!(decided(&untyped), Err(Silence::Malformed(_))));
        let mut reply = message(MessageType::Discover, MAC, NONE, &[]);
        reply.set_opcode(Opcode::BootReply);
        assert_eq!(decided(&reply), Err(Silence::NotAClient));
    }
}
