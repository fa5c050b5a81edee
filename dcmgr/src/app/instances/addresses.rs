//! Which address a new interface gets: the first free one of its network's ranges, or the one that was asked for.
//!
//! Rule: the leases decide, with the network's row locked by the caller. What is remembered between launches is a hint
//! where to look first.

use super::super::{App, AppError};
use crate::db::networks::{NetworkRow, Range};
use crate::db::{self, Tx};
use arame_schema::api::{Code, Refusal};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

pub(in crate::app) async fn address_for(
    tx: &mut Tx,
    app: &App,
    asked: Option<Ipv4Addr>,
    network: &NetworkRow,
) -> Result<Ipv4Addr, AppError> {
    if let Some(asked) = asked {
        let is_given_out = network.ranges.iter().any(|range| range.holds(asked));
        if !network.subnet.contains(&asked) || !is_given_out || is_infrastructure(network, asked) {
            return Err(outside(asked, network));
        }
        return free(tx, asked, network).await;
    }
    let full = || Refusal::new(Code::OutOfNetworkCapacity).with("network", &network.id);
    if network.is_descending {
        return Ok(free_below(tx, network).await?.ok_or_else(full)?);
    }
    let hint = app.addresses_hint().get(&network.id);
    let mut free = match hint {
        Some(hint) => free_from(tx, network, hint).await?,
        None => None,
    };
    if free.is_none() {
        free = free_from(tx, network, Ipv4Addr::UNSPECIFIED).await?;
    }
    let free = free.ok_or_else(full)?;
    app.addresses_hint().keep(&network.id, free);
    Ok(free)
}

/// An address that is not taken and does not cool.
pub(in crate::app) async fn free(tx: &mut Tx, asked: Ipv4Addr, network: &NetworkRow) -> Result<Ipv4Addr, AppError> {
    if db::networks::is_taken(tx, &network.id, asked).await? {
        return Err(Refusal::new(Code::DuplicateAddress).with("address", asked).into());
    }
    Ok(asked)
}

pub(in crate::app) fn outside(asked: Ipv4Addr, network: &NetworkRow) -> AppError {
    Refusal::new(Code::AddressNotInNetwork).with("address", asked).with("network", &network.id).into()
}

/// The gateway's address and that of the naming service: nobody else's.
pub(in crate::app) fn is_infrastructure(network: &NetworkRow, address: Ipv4Addr) -> bool {
    address == network.server || Some(address) == network.gateway
}

/// Leases read at a time when an address is looked for.
const LEASES_READ: u32 = 256;

/// The lowest free address of a network from one on.
async fn free_from(tx: &mut Tx, network: &NetworkRow, from: Ipv4Addr) -> Result<Option<Ipv4Addr>, AppError> {
    for range in network.ranges.iter().filter(|range| range.end >= from) {
        let part = Range { begin: range.begin.max(from), end: range.end };
        if let Some(free) = lowest_of(tx, network, part).await? {
            return Ok(Some(free));
        }
    }
    Ok(None)
}

async fn lowest_of(tx: &mut Tx, network: &NetworkRow, range: Range) -> Result<Option<Ipv4Addr>, AppError> {
    let (mut next, end) = (u32::from(range.begin), u32::from(range.end));
    loop {
        let taken = db::networks::taken(tx, &network.id, Ipv4Addr::from(next), LEASES_READ).await?;
        let is_whole = taken.len() < LEASES_READ as usize;
        // Of what lies behind the last one nothing is known yet.
        let known = if is_whole { end } else { taken.last().copied().unwrap_or(end).min(end) };
        let is_free =
            |number: &u32| !is_infrastructure(network, Ipv4Addr::from(*number)) && taken.binary_search(number).is_err();
        if let Some(free) = (next..=known).find(is_free) {
            return Ok(Some(Ipv4Addr::from(free)));
        }
        if known >= end {
            return Ok(None);
        }
        next = known + 1;
    }
}

/// The highest free address of a network whose addresses are given out from the end.
async fn free_below(tx: &mut Tx, network: &NetworkRow) -> Result<Option<Ipv4Addr>, AppError> {
    for range in network.ranges.iter().rev() {
        let (begin, mut next) = (u32::from(range.begin), u32::from(range.end));
        loop {
            let taken = db::networks::taken_below(tx, &network.id, Ipv4Addr::from(next), LEASES_READ).await?;
            let is_whole = taken.len() < LEASES_READ as usize;
            let known = if is_whole { begin } else { taken.last().copied().unwrap_or(begin).max(begin) };
            let is_free =
                |number: &u32| !is_infrastructure(network, Ipv4Addr::from(*number)) && !taken.contains(number);
            if let Some(free) = (known..=next).rev().find(is_free) {
                return Ok(Some(Ipv4Addr::from(free)));
            }
            if known <= begin {
                break;
            }
            next = known - 1;
        }
    }
    Ok(None)
}

/// How long it is remembered below which address a network has none free. Addresses that were given back meanwhile are
/// found after this.
const ADDRESS_HINT_AGE: Duration = Duration::from_secs(10);

/// From which address on a free one is looked for, by network. A hint: the leases decide.
#[derive(Debug, Default)]
pub struct AddressesHint(Mutex<BTreeMap<String, (Instant, Ipv4Addr)>>);

impl AddressesHint {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, Ipv4Addr)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, network: &str) -> Option<Ipv4Addr> {
        let mut kept = self.lock();
        kept.retain(|_, (since, _)| since.elapsed() < ADDRESS_HINT_AGE);
        kept.get(network).map(|(_, from)| *from)
    }

    fn keep(&self, network: &str, given: Ipv4Addr) {
        let since = Instant::now();
        self.lock().entry(network.to_owned()).or_insert((since, given)).1 = given;
    }
}
