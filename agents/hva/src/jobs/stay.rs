//! `hva.instance.keep` and `hva.instance.resume`: the guest stays where it is.
//!
//! Rules: a guest that was given away, or only waits, is not touched: what is there is told. A guest that stays carries the
//! newer generation first, so that a send still on its way is refused.

use super::{Found, Guest, effect, facts, find};
use crate::Hva;
use crate::records::Record;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::model::InstanceId;

pub async fn keep(hva: &Hva, instance: &InstanceId, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let found = find(hva, instance).await?;
    found.admit(work)?;
    if found.guest().is_whole() || found.guest() == Guest::Off {
        carry(hva, found, work).await?;
    }
    Ok(facts(hva, work, instance).await?)
}

pub async fn resume(hva: &Hva, instance: &InstanceId, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let found = find(hva, instance).await?;
    found.admit(work)?;
    if found.guest() == Guest::Paused {
        carry(hva, found, work).await?;
        effect(work, hva.compute.ensure_running(instance)).await?;
    }
    Ok(facts(hva, work, instance).await?)
}

async fn carry(hva: &Hva, found: Found, work: &Work) -> Result<(), Stopped> {
    let Some(record) = found.record.filter(|record| record.applied < work.generation) else { return Ok(()) };
    let record = Record { generation: work.generation, applied: work.generation, ..record };
    effect(work, hva.store.write(&record)).await
}
