//! `hva.instance.apply`: bring the whole domain to one spec.
//!
//! ```text
//! look ─► refuse older ─► record ─► [off] ─► disk ∥ ports+flows ─► define ─► run ─► plug, unplug ─► look
//! ```
//!
//! Rules: ports carry their tag and their firewall before the guest starts; the record is first and carries the
//! generation; a boot disk that was finished once is never made again. Killed after any step, the same job ends in
//! the same place.

use super::{Found, Guest, effect, facts, find};
use crate::Hva;
use crate::driver::{Machine, Mark, SeenPower};
use crate::records::Record;
use crate::switch::Port;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::hva::{InstanceSpec, Power};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::model::{AttachmentId, Fact, FactName};
use std::time::{Duration, Instant};

pub async fn apply(hva: &Hva, spec: &InstanceSpec, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let began = Instant::now();
    let found = find(hva, &spec.instance).await?;
    found.admit(work)?;
    if let Some(buried) = found.grave.filter(|buried| *buried >= work.generation) {
        return Err(Stopped::Refused { found_generation: buried, facts: Vec::new() });
    }
    if matches!(found.guest(), Guest::Waiting | Guest::Handed) {
        let message = format!("{} is on its way between two hosts", spec.instance);
        return Err(Stopped::failed("between_hosts", message, Retry::Later));
    }
    work.check()?;
    // Before the record: it would be a trace of a disk that is not there.
    if spec.boot.used && found.record.is_none() && !hva.store.has_disk(&spec.instance).await? {
        return Err(data_lost(spec));
    }
    let mut record = record(hva, spec, &found, work).await?;
    let mut power = found.domain.as_ref().map_or(SeenPower::Off, |domain| domain.power);
    if let (Power::Off { method, grace_ms }, true) = (spec.power, power != SeenPower::Off) {
        let grace = Duration::from_millis(grace_ms);
        effect(work, hva.compute.ensure_off(&spec.instance, method, grace, work)).await?;
        power = SeenPower::Off;
    }
    let was_running = power != SeenPower::Off;
    build(hva, spec, &mut record, was_running, work).await?;
    work.check()?;
    let machine = machine(hva, spec, work);
    effect(work, hva.compute.ensure_defined(&machine)).await?;
    if spec.power == Power::On {
        work.check()?;
        work.progress(90, "starting the guest");
        tracing::info!(instance = %spec.instance, ms = began.elapsed().as_millis() as u64, "the hypervisor is asked to start the guest");
        effect(work, hva.compute.ensure_running(&spec.instance)).await?;
    }
    volumes(hva, &machine, &found, was_running, work).await?;
    let seen = facts(hva, work, &spec.instance).await?;
    finish(hva, spec, &mut record, &seen, work).await?;
    Ok(seen.into_iter().map(|fact| FactReport { generation: work.generation, ..fact }).collect())
}

/// Writes the record when it says something new.
async fn record(hva: &Hva, spec: &InstanceSpec, found: &Found, work: &Work) -> Result<Record, Stopped> {
    let before = found.record.as_ref();
    let record = Record::of(work.standing.installation, work.generation, spec, before);
    if before != Some(&record) {
        effect(work, hva.store.write(&record)).await?;
    }
    hva.guests.put(&record);
    Ok(record)
}

/// Disk and ports, at the same time: neither needs the other.
async fn build(
    hva: &Hva,
    spec: &InstanceSpec,
    record: &mut Record,
    was_running: bool,
    work: &Work,
) -> Result<(), Stopped> {
    let ports: Vec<Port> = record.ports().collect();
    let ports = effect(work, hva.switch.ensure_ports(&ports));
    if was_running {
        return ports.await;
    }
    tokio::try_join!(disk(hva, spec, record, work), ports).map(|_| ())
}

fn data_lost(spec: &InstanceSpec) -> Stopped {
    let message = format!("the boot disk of {} was here and is gone; it is not made again", spec.instance);
    Stopped::failed("data_lost", message, Retry::Never)
}

async fn disk(hva: &Hva, spec: &InstanceSpec, record: &mut Record, work: &Work) -> Result<(), Stopped> {
    if record.disk_made && !hva.store.has_disk(&spec.instance).await? {
        return Err(data_lost(spec));
    }
    if record.disk_made && spec.power != Power::On {
        // What is off does not read its image: none is fetched again for it.
        return Ok(());
    }
    effect(work, hva.store.ensure_disk(&spec.instance, &spec.boot, work)).await?;
    if !record.disk_made {
        record.disk_made = true;
        effect(work, hva.store.write(record)).await?;
    }
    Ok(())
}

pub(super) fn machine(hva: &Hva, spec: &InstanceSpec, work: &Work) -> Machine {
    Machine {
        spec: spec.clone(),
        mark: Mark {
            installation: work.standing.installation,
            instance: spec.instance.clone(),
            account: spec.account.clone(),
            generation: work.generation,
            operation: None,
            waiting: None,
            arrived: None,
        },
        disk: hva.store.disk_path(&spec.instance),
        console: hva.store.console_path(&spec.instance),
    }
}

/// Exactly the spec's volumes. What was defined is plugged by the start; a guest that ran already gets and loses them
/// live.
async fn volumes(hva: &Hva, machine: &Machine, found: &Found, was_running: bool, work: &Work) -> Result<(), Stopped> {
    if was_running {
        for volume in &machine.spec.volumes {
            work.check()?;
            effect(work, hva.compute.ensure_plugged(machine, volume)).await?;
        }
    }
    let wished = |attachment: &AttachmentId| machine.spec.volumes.iter().any(|volume| volume.attachment == *attachment);
    for attachment in found.attachments() {
        if !wished(&attachment) {
            work.check()?;
            effect(work, hva.compute.ensure_unplugged(&machine.spec.instance, &attachment)).await?;
        }
    }
    Ok(())
}

/// This generation is done. An attachment seen unplugged and not wished needs no more answers.
async fn finish(
    hva: &Hva,
    spec: &InstanceSpec,
    record: &mut Record,
    seen: &[FactReport],
    work: &Work,
) -> Result<(), Stopped> {
    let before = record.clone();
    record.applied = work.generation;
    record.attachments.retain(|attachment| {
        let wished = spec.volumes.iter().any(|volume| volume.attachment == *attachment);
        let gone = |fact: &FactReport| fact.name == FactName::Plugged && fact.value == Fact::No;
        wished || !seen.iter().any(|fact| fact.thing == attachment.as_str() && gone(fact))
    });
    if *record != before {
        effect(work, hva.store.write(record)).await?;
    }
    Ok(())
}
