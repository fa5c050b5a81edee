//! Advances versioned snapshots: a network at each nsa (or its end there), a host's policy at its hva.

use super::super::{AppError, Ringing};
use super::{At, Cause, queue};
use crate::db::facts::FactRow;
use crate::db::networks::NetworkRow;
use crate::db::{self, Tx};
use crate::plan::Kind;
use crate::plan::snapshot::{next_job, next_removal};
use arame_schema::model::{Fact, FactName};

/// Sends a network's newest version to every nsa that is to serve it, is heard and does not serve it yet. One that is not
/// heard gets it at its hello; a launch waits for one of them only.
pub async fn network(tx: &mut Tx, ringing: &mut Ringing, network: &str, cause: Cause) -> Result<(), AppError> {
    let Some(row) = db::networks::find(tx, network).await? else { return Ok(()) };
    for nsa in db::networks::naming::heard(tx, network).await? {
        row_at(tx, ringing, &row, &nsa, cause).await?;
    }
    Ok(())
}

/// What one nsa has to do about a network as its row is now: serve its newest version, or serve it no more. One that serves
/// it without a place there gets one: too many are withdrawn when the others serve.
pub async fn row_at(
    tx: &mut Tx,
    ringing: &mut Ringing,
    row: &NetworkRow,
    nsa: &str,
    cause: Cause,
) -> Result<(), AppError> {
    let place = db::networks::naming::find(tx, &row.id, nsa).await?;
    let (served, generation) = db::facts::value(tx, &row.id, nsa, FactName::Applied).await?;
    let last = match place {
        None if !served.may_be_so() => return Ok(()),
        None => {
            db::networks::naming::note_found(tx, &row.id, nsa).await?;
            None
        }
        Some(withdrawn) => withdrawn,
    };
    let last = if row.is_deleted { Some(row.version) } else { last };
    let at = At { thing: &row.id, agent: nsa, account: None };
    let Some(last) = last else { return network_at(tx, ringing, &row.id, row.version, nsa, cause).await };
    let wanted = next_removal(last.max(if served.may_be_so() { generation } else { 0 }), served, generation);
    if wanted.is_none() {
        return Ok(db::networks::naming::forget(tx, &row.id, nsa).await?);
    }
    queue(tx, ringing, at, wanted, None, cause).await?;
    Ok(())
}

/// The same for a network that is to be served and whose newest version is known.
pub async fn network_version(
    tx: &mut Tx,
    ringing: &mut Ringing,
    network: &str,
    version: u64,
    cause: Cause,
) -> Result<(), AppError> {
    for nsa in db::networks::naming::heard_wanted(tx, network).await? {
        network_at(tx, ringing, network, version, &nsa, cause).await?;
    }
    Ok(())
}

/// The same for one nsa.
async fn network_at(
    tx: &mut Tx,
    ringing: &mut Ringing,
    network: &str,
    version: u64,
    nsa: &str,
    cause: Cause,
) -> Result<(), AppError> {
    let applied = applied_at(tx, network, nsa).await?;
    let at = At { thing: network, agent: nsa, account: None };
    queue(tx, ringing, at, next_job(Kind::ApplyNetwork, version, applied), None, cause).await?;
    Ok(())
}

/// Sends a host's newest policy to its hva.
pub async fn policy(tx: &mut Tx, ringing: &mut Ringing, host: &str, cause: Cause) -> Result<(), AppError> {
    // A host that was declared lost gives up what it runs before it hears of the network again.
    let Some((agent, version)) = db::nodes::policy_of_host(tx, host).await? else { return Ok(()) };
    let applied = applied_at(tx, host, &agent).await?;
    let at = At { thing: host, agent: &agent, account: None };
    queue(tx, ringing, at, next_job(Kind::ApplyPolicy, version, applied), None, cause).await?;
    Ok(())
}

async fn applied_at(tx: &mut Tx, thing: &str, agent: &str) -> Result<u64, AppError> {
    let (value, version) = db::facts::value(tx, thing, agent, FactName::Applied).await?;
    Ok(if value == Fact::Yes { version } else { 0 })
}

/// The highest version of a host's policy that its agent serves, by these facts.
pub fn applied_anywhere(facts: &[FactRow], thing: &str) -> u64 {
    let of_thing = |fact: &&FactRow| fact.thing == thing && fact.name == FactName::Applied && fact.value == Fact::Yes;
    facts.iter().filter(of_thing).map(|fact| fact.generation).max().unwrap_or(0)
}
