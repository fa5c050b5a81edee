//! The last exchanges of a network, for `nsa.why`: who asked what, and the answer or the reason of silence.
//!
//! Rule: bounded, and strangers have a ring of their own so that they cannot push out known machines.

use crate::dhcp::options;
use crate::limits::{EXCHANGES_KNOWN, EXCHANGES_UNKNOWN};
use arame_schema::jobs::nsa::why::{Reason, WhyExchange};
use arame_schema::model::MacAddress;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub at: OffsetDateTime,
    pub mac: MacAddress,
    /// `discover`, `request`, …
    pub message: Cow<'static, str>,
    /// The address asked for or claimed, if any.
    pub asked: Option<Ipv4Addr>,
    /// `offer`, `nak`, …; `None`: silence.
    pub answer: Option<Cow<'static, str>>,
    pub given: Option<Ipv4Addr>,
    /// Why there was silence, or a NAK.
    pub reason: Option<Reason>,
    /// Options as they were on the wire.
    pub question: Box<[u8]>,
    pub reply: Box<[u8]>,
}

impl Exchange {
    /// In words, option by option.
    pub fn told(&self) -> WhyExchange {
        WhyExchange {
            at: self.at.format(&Rfc3339).unwrap_or_default(),
            message: self.message.to_string(),
            asked: self.asked,
            answer: self.answer.as_ref().map(ToString::to_string),
            given: self.given,
            reason: self.reason.clone(),
            asked_options: options::list(&self.question),
            answered_options: options::list(&self.reply),
        }
    }
}

#[derive(Debug, Default)]
struct Rings {
    known: VecDeque<(u64, Exchange)>,
    unknown: VecDeque<(u64, Exchange)>,
    /// How many came, ever.
    count: u64,
}

#[derive(Debug, Default)]
pub struct Exchanges {
    rings: Mutex<Rings>,
}

impl Exchanges {
    pub fn push(&self, exchange: Exchange, known: bool) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings.count += 1;
        let number = rings.count;
        let (ring, room) = match known {
            true => (&mut rings.known, EXCHANGES_KNOWN),
            false => (&mut rings.unknown, EXCHANGES_UNKNOWN),
        };
        if ring.len() == room {
            ring.pop_front();
        }
        ring.push_back((number, exchange));
    }

    /// In the order of their coming, whatever the wall clock did meanwhile.
    pub fn of(&self, mac: MacAddress) -> Vec<Exchange> {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let of = rings.known.iter().chain(&rings.unknown).filter(|(_, exchange)| exchange.mac == mac);
        let mut found: Vec<_> = of.collect();
        found.sort_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, exchange)| exchange.clone()).collect()
    }

    /// MACs that asked and are not of this network, latest last.
    pub fn strangers(&self) -> Vec<MacAddress> {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut macs: Vec<MacAddress> = Vec::new();
        for (_, exchange) in &rings.unknown {
            macs.retain(|mac| *mac != exchange.mac);
            macs.push(exchange.mac);
        }
        macs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mac: u32) -> Exchange {
        Exchange {
            at: OffsetDateTime::UNIX_EPOCH,
            mac: MacAddress([2, 0, 0, (mac >> 16) as u8, (mac >> 8) as u8, mac as u8]),
            message: "discover".into(),
            asked: None,
            answer: None,
            given: None,
            reason: None,
            question: Box::default(),
            reply: Box::default(),
        }
    }

    #[test]
    fn a_flood_of_strangers_pushes_out_no_known_machine() {
        let exchanges = Exchanges::default();
        exchanges.push(of(1), true);
        (2..5000).for_each(|mac| exchanges.push(of(mac), false));
        assert_eq!(exchanges.of(of(1).mac).len(), 1);
        assert_eq!(exchanges.of(of(2).mac).len(), 0, "the control: an early stranger was pushed out");
        assert_eq!(exchanges.strangers().len(), EXCHANGES_UNKNOWN);
    }

    #[test]
    fn what_came_first_is_told_first_although_the_clock_was_set_back() {
        let exchanges = Exchanges::default();
        let at = |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        for (seconds, known) in [(90_000, false), (3_600, true), (3_601, true)] {
            exchanges.push(Exchange { at: at(seconds), ..of(1) }, known);
        }
        let told: Vec<_> = exchanges.of(of(1).mac).iter().map(|one| one.at.unix_timestamp()).collect();
        assert_eq!(told, [90_000, 3_600, 3_601]);
    }
}
