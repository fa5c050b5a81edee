//! Addresses that a client found in use by somebody else (DECLINE, RFC 2131 4.4.4), until it finds them so no more.
//!
//! Rule: a client may only say so of its own address, so that there are at most as many as machines; nothing is decided by
//! it: the address stays its, the audit shows it, and it goes when nobody has complained for [`COMPLAINT_AGE`].

use crate::limits::COMPLAINT_AGE;
use arame_schema::model::MacAddress;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Complaint {
    pub mac: MacAddress,
    /// How often since the first.
    pub times: u32,
    last: Instant,
}

#[derive(Debug, Default)]
pub struct Complaints(Mutex<BTreeMap<Ipv4Addr, Complaint>>);

impl Complaints {
    /// Answers whether it is the first.
    pub fn note(&self, address: Ipv4Addr, mac: MacAddress, now: Instant) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, complaint| is_young(complaint, now));
        let complaint = kept.entry(address).or_insert(Complaint { mac, times: 0, last: now });
        *complaint = Complaint { mac, times: complaint.times.saturating_add(1), last: now };
        complaint.times == 1
    }

    /// Those that stand, by address.
    pub fn standing(&self, now: Instant) -> Vec<(Ipv4Addr, Complaint)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().filter(|(_, one)| is_young(one, now)).map(|(address, one)| (*address, *one)).collect()
    }
}

fn is_young(complaint: &Complaint, now: Instant) -> bool {
    now.saturating_duration_since(complaint.last) < COMPLAINT_AGE
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_complaint_stands_until_nobody_complained_for_its_age() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let (address, mac) = (Ipv4Addr::new(10, 0, 0, 10), MacAddress([2, 0, 0, 0, 0, 1]));
        assert!(complaints.note(address, mac, start));
        let later = start + COMPLAINT_AGE - Duration::from_secs(1);
        assert!(!complaints.note(address, mac, later), "the second of the same");
        assert_eq!(complaints.standing(start + COMPLAINT_AGE)[0].1.times, 2);
        assert!(complaints.standing(later + COMPLAINT_AGE).is_empty());
        assert!(complaints.note(address, mac, later + COMPLAINT_AGE), "and then it is the first again");
    }
}
