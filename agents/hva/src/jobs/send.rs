//! `hva.instance.send`: the guest goes to the host where it is waited for.
//!
//! ```text
//! look ─► refuse older ─► record: this generation ─► memory and disk there, stopped here ─► record: given away
//!      ─► the other host may run it ─► look
//! ```
//!
//! Rules: it is marked *given away* before the other host may run it, and never resumed from then on. A guest that was
//! given away and is not run yet is only let run. Until the mark it is whole here, whatever fails.

use super::{Guest, effect, facts, find};
use crate::Hva;
use crate::driver::Sending;
use crate::records::{Record, Side};
use arame_framework::agent::{Stopped, Work};
use arame_framework::rehearsal::{self, Sabotage};
use arame_schema::jobs::hva::SendInstance;
use arame_schema::jobs::report::{FactReport, Retry};

pub async fn send(hva: &Hva, job: &SendInstance, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let found = find(hva, &job.instance).await?;
    found.admit(work)?;
    let missing = |what: &str| Stopped::failed("nothing_to_send", format!("{} {what}", job.instance), Retry::Later);
    let guest = found.guest();
    let Some(record) = found.record else { return Err(missing("is not on this host")) };
    let sending = Sending {
        instance: job.instance.clone(),
        to: job.to.clone(),
        endpoints: job.endpoints.clone(),
        generation: work.generation,
    };
    match guest {
        Guest::Running | Guest::Paused => give(hva, record, &sending, work).await?,
        Guest::Handed => mark(hva, record, work).await?,
        Guest::Absent | Guest::Waiting => return Err(missing("is not whole on this host")),
        Guest::Off => return Err(missing("does not run on this host")),
    }
    // Whoever was given it and does not run it has no other way to it.
    effect(work, hva.compute.ensure_released(&sending, work)).await?;
    Ok(facts(hva, work, &job.instance).await?)
}

async fn give(hva: &Hva, record: Record, sending: &Sending, work: &Work) -> Result<(), Stopped> {
    let record = Record { generation: work.generation, applied: work.generation, ..record };
    effect(work, hva.store.write(&record)).await?;
    work.check()?;
    effect(work, hva.compute.ensure_sent(sending, work)).await?;
    mark(hva, record, work).await
}

async fn mark(hva: &Hva, record: Record, work: &Work) -> Result<(), Stopped> {
    if record.side == Some(Side::Handed) || rehearsal::sabotaged(Sabotage::SendWithoutMark) {
        return Ok(());
    }
    effect(work, hva.store.write(&Record { side: Some(Side::Handed), ..record })).await
}
