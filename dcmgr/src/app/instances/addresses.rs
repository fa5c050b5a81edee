//! Which address a new interface gets: the lowest free one, or the one that was asked for.
//!
//! Rule: the leases decide, with the network's row locked by the caller. What is remembered between launches is a hint
//! where to look first.

use super::super::{App, AppError};
use crate::db::networks::NetworkRow;
use crate::db::{self, Tx};
use arame_schema::api::{Code, Refusal, VifRequest};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

pub(super) async fn address_for(
    tx: &mut Tx,
    app: &App,
    vif: &VifRequest,
    network: &NetworkRow,
) -> Result<Ipv4Addr, AppError> {
    let (begin, end) = (u32::from(network.range_begin), u32::from(network.range_end));
    if let Some(asked) = vif.ipv4_addr {
        let number = u32::from(asked);
        let reserved = asked == network.server || Some(asked) == network.gateway;
        if !network.subnet.contains(&asked) || number < begin || number > end || reserved {
            let refusal = Refusal::new(Code::AddressNotInNetwork);
            return Err(refusal.with("address", asked).with("network", &network.id).into());
        }
        if db::networks::is_taken(tx, &network.id, asked).await? {
            return Err(Refusal::new(Code::DuplicateAddress).with("address", asked).into());
        }
        return Ok(asked);
    }
    let hint = app.addresses_hint().get(&network.id).filter(|hint| *hint > network.range_begin);
    let mut free = match hint {
        Some(hint) => free_from(tx, network, hint).await?,
        None => None,
    };
    if free.is_none() {
        free = free_from(tx, network, network.range_begin).await?;
    }
    let free = free.ok_or_else(|| Refusal::new(Code::OutOfNetworkCapacity).with("network", &network.id))?;
    app.addresses_hint().keep(&network.id, free);
    Ok(free)
}

/// Leases read at a time when an address is looked for.
const LEASES_READ: u32 = 256;

/// The lowest free address of a network from one on.
async fn free_from(tx: &mut Tx, network: &NetworkRow, from: Ipv4Addr) -> Result<Option<Ipv4Addr>, AppError> {
    let (mut next, end) = (u32::from(from), u32::from(network.range_end));
    loop {
        let taken = db::networks::taken(tx, &network.id, Ipv4Addr::from(next), LEASES_READ).await?;
        let is_whole = taken.len() < LEASES_READ as usize;
        // Of what lies behind the last one nothing is known yet.
        let known = if is_whole { end } else { taken.last().copied().unwrap_or(end).min(end) };
        let is_free = |number: &u32| {
            let address = Ipv4Addr::from(*number);
            address != network.server && Some(address) != network.gateway && taken.binary_search(number).is_err()
        };
        if let Some(free) = (next..=known).find(is_free) {
            return Ok(Some(Ipv4Addr::from(free)));
        }
        if known >= end {
            return Ok(None);
        }
        next = known + 1;
    }
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
