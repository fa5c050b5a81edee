//! How much each address asks one network: a bound on what one machine takes of what all share.
//!
//! Rule: a place for a fixed number of addresses; one that comes to a taken place has it, anew: a machine is never held
//! back by what another asked.

use super::{DnsCounters, count};
use crate::limits::{DNS_CLIENTS, DNS_FORWARDS_PER_SECOND};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Rates are counted in parts of a second, so that a burst is not followed by a long silence.
const PART: Duration = Duration::from_millis(100);
const PARTS: u32 = 10;

#[derive(Debug, Clone, Copy)]
struct Client {
    address: IpAddr,
    part: u32,
    asked: u32,
    forwarded: u32,
}

pub struct Clients {
    per_part: u32,
    begin: Instant,
    /// Which part it is; looked at once a batch.
    part: u32,
    /// Made at the first question: most networks of many are quiet.
    places: Vec<Option<Client>>,
    told: Option<Instant>,
}

impl Clients {
    pub fn new(questions_per_second: u32) -> Self {
        let begin = Instant::now();
        let per_part = (questions_per_second / PARTS).max(1);
        Self { per_part, begin, part: 0, places: Vec::new(), told: None }
    }

    /// A new look at the clock.
    pub fn turn(&mut self, now: Instant) {
        let parts = now.duration_since(self.begin).as_millis() / PART.as_millis();
        // It wraps after years, and then a part is another than the one before all the same.
        self.part = parts as u32;
        if self.places.is_empty() {
            self.places = vec![None; DNS_CLIENTS];
        }
    }

    fn place(&mut self, address: IpAddr) -> Option<&mut Client> {
        let last = match address {
            IpAddr::V4(address) => u32::from(address) as usize,
            IpAddr::V6(address) => u128::from(address) as usize,
        };
        let part = self.part;
        let place = self.places.get_mut(last % DNS_CLIENTS)?;
        let anew = Client { address, part, asked: 0, forwarded: 0 };
        let client = place.get_or_insert(anew);
        if client.address != address || client.part != part {
            *client = anew;
        }
        Some(client)
    }

    /// Whether this address may ask one more.
    pub fn may_ask(&mut self, address: IpAddr, counters: &DnsCounters) -> bool {
        let most = self.per_part;
        let Some(client) = self.place(address) else { return true };
        client.asked = client.asked.saturating_add(1);
        if client.asked <= most {
            return true;
        }
        count(&counters.limited);
        self.tell(address);
        false
    }

    /// Whether one more of its questions may be asked elsewhere.
    pub fn may_forward(&mut self, address: IpAddr, counters: &DnsCounters) -> bool {
        let Some(client) = self.place(address) else { return true };
        client.forwarded = client.forwarded.saturating_add(1);
        if client.forwarded <= DNS_FORWARDS_PER_SECOND / PARTS {
            return true;
        }
        count(&counters.limited);
        self.tell(address);
        false
    }

    /// A line a minute at most.
    fn tell(&mut self, address: IpAddr) {
        let now = Instant::now();
        if self.told.is_none_or(|told| now.duration_since(told) >= crate::limits::UNKNOWN_LOG_INTERVAL) {
            self.told = Some(now);
            tracing::warn!(%address, "asks more names than one machine may; the rest is not answered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn one_address_is_held_to_its_rate_and_no_other_is() {
        let (mut clients, counters) = (Clients::new(1_000), DnsCounters::default());
        let (one, other): (IpAddr, IpAddr) = ("10.0.0.5".parse().unwrap(), "10.0.0.6".parse().unwrap());
        clients.turn(clients.begin);
        let answered = (0..5_000).filter(|_| clients.may_ask(one, &counters)).count();
        assert_eq!(answered, 100, "a tenth of a second's");
        assert!(clients.may_ask(other, &counters));
        clients.turn(clients.begin + PART);
        assert!(clients.may_ask(one, &counters), "and again in the next part");
        // Another address of the same place begins anew, and so does the first after it.
        let same: IpAddr = "10.0.2.5".parse().unwrap();
        let answered = (0..200).filter(|_| clients.may_ask(one, &counters)).count();
        assert_eq!(answered, 99, "one was asked above");
        assert!(clients.may_ask(same, &counters));
        let forwarded = (0..500).filter(|_| clients.may_forward(other, &counters)).count();
        assert_eq!(forwarded as u32, DNS_FORWARDS_PER_SECOND / PARTS);
        assert!(counters.limited.load(Ordering::Relaxed) > 4_900);
    }
}
