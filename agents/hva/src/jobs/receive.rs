//! `hva.instance.receive`: this host is made ready for a guest that another host will send.
//!
//! ```text
//! look ─► refuse older, refuse where a guest is ─► record: waiting ─► what was given away before goes
//!      ─► disk ∥ ports+flows ─► wait ─► look
//! ```
//!
//! Rules: nothing runs when it is done. A guest that is whole here, or whose newest disk is here, is never touched. What
//! waits already under this generation is left alone: somebody may be sending to it.

use super::{Found, Guest, apply, effect, facts, find};
use crate::Hva;
use crate::records::{Record, Side};
use crate::switch::Port;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::hva::InstanceSpec;
use arame_schema::jobs::report::{FactReport, Retry};

pub async fn receive(hva: &Hva, spec: &InstanceSpec, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let found = find(hva, &spec.instance).await?;
    found.admit(work)?;
    if let Some(buried) = found.grave.filter(|buried| *buried >= work.generation) {
        return Err(Stopped::Refused { found_generation: buried, facts: Vec::new() });
    }
    if !is_ready(&found, work) {
        check_free(&found, spec)?;
        work.check()?;
        build(hva, spec, &found, work).await?;
    }
    Ok(facts(hva, work, &spec.instance).await?)
}

/// It waits under this generation: it was made whole.
fn is_ready(found: &Found, work: &Work) -> bool {
    let applied = found.record.as_ref().map_or(0, |record| record.applied);
    found.guest() == Guest::Waiting && applied == work.generation
}

/// Only what waits or was given away may be replaced.
fn check_free(found: &Found, spec: &InstanceSpec) -> Result<(), Stopped> {
    match found.guest() {
        Guest::Absent | Guest::Waiting | Guest::Handed => Ok(()),
        Guest::Off | Guest::Running | Guest::Paused => {
            let message = format!("{} is here with its own disk: it cannot be received", spec.instance);
            Err(Stopped::failed("guest_is_here", message, Retry::Later))
        }
    }
}

async fn build(hva: &Hva, spec: &InstanceSpec, found: &Found, work: &Work) -> Result<(), Stopped> {
    let before = found.record.as_ref();
    let of_wish = Record::of(work.standing.installation, work.generation, spec, before);
    // A removal killed half way is finished by the next one: the record is what it finds the rest by.
    let mut record = Record { side: Some(Side::Waiting), disk_made: false, ..of_wish };
    if before.is_some() || found.domain.is_some() {
        effect(work, hva.compute.ensure_gone(&spec.instance)).await?;
    }
    effect(work, hva.store.write(&record)).await?;
    effect(work, hva.store.discard_disk(&spec.instance)).await?;
    hva.guests.put(&record);
    effect(work, hva.store.ensure_seed(&record)).await?;
    let ports: Vec<Port> = record.ports().collect();
    let ports = effect(work, hva.switch.ensure_ports(&ports));
    let disk = effect(work, hva.store.ensure_disk(&spec.instance, &spec.boot, work));
    tokio::try_join!(disk, ports)?;
    work.check()?;
    let machine = apply::machine(hva, spec, work);
    effect(work, hva.compute.ensure_waiting(&machine, work)).await?;
    record.disk_made = true;
    record.applied = work.generation;
    effect(work, hva.store.write(&record)).await
}
