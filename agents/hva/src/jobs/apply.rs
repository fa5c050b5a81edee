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
use arame_schema::model::instance::Shutdown;
use arame_schema::model::{AttachmentId, Fact, FactName, VifId};
use std::time::{Duration, Instant};

/// The drivers' word for a guest that does not let a disk go.
const GUEST_HOLDS_VOLUME: &str = "guest_holds_volume";

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
    interfaces(hva, &machine, &found, was_running, work).await?;
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
    // Also for a guest that runs: the definition names it from now on, and the next start reads it.
    effect(work, hva.store.ensure_seed(record)).await?;
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
            released: None,
        },
        disk: hva.store.disk_path(&spec.instance),
        seed: hva.store.seed_path(&spec.instance),
        console: hva.store.console_path(&spec.instance),
    }
}

/// Exactly the spec's volumes. What was defined is plugged by the start; a guest that ran already gets and loses them
/// live. One that does not let go of what is taken by force is switched off, which ends what QEMU has open, and started
/// without it: the definition has no such disk any more.
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
            let spec = &machine.spec;
            match effect(work, hva.compute.ensure_unplugged(&spec.instance, &attachment)).await {
                Err(stopped) if is_held(&stopped) && spec.forced.contains(&attachment) => {
                    tracing::warn!(instance = %spec.instance, %attachment, "taken away by force: the guest is switched off");
                    power_cycle(hva, spec, work).await?;
                    effect(work, hva.compute.ensure_unplugged(&spec.instance, &attachment)).await?;
                }
                other => other?,
            }
        }
    }
    Ok(())
}

fn is_held(stopped: &Stopped) -> bool {
    matches!(stopped, Stopped::Failed { code, .. } if code == GUEST_HOLDS_VOLUME)
}

/// Off at once, and on again if it is to run.
async fn power_cycle(hva: &Hva, spec: &InstanceSpec, work: &Work) -> Result<(), Stopped> {
    work.check()?;
    effect(work, hva.compute.ensure_off(&spec.instance, Shutdown::Hard, Duration::ZERO, work)).await?;
    if spec.power == Power::On {
        work.check()?;
        effect(work, hva.compute.ensure_running(&spec.instance)).await?;
    }
    Ok(())
}

/// Exactly the spec's interfaces: a port before its link, and the port goes after it.
async fn interfaces(
    hva: &Hva,
    machine: &Machine,
    found: &Found,
    was_running: bool,
    work: &Work,
) -> Result<(), Stopped> {
    let InstanceSpec { instance, nics, .. } = &machine.spec;
    if was_running {
        for nic in nics {
            work.check()?;
            effect(work, hva.compute.ensure_nic(machine, nic)).await?;
        }
    }
    let wished: Vec<VifId> = nics.iter().map(|nic| nic.vif.clone()).collect();
    let unwished: Vec<VifId> = found.vifs().into_iter().filter(|vif| !wished.contains(vif)).collect();
    for vif in &unwished {
        work.check()?;
        effect(work, hva.compute.ensure_no_nic(instance, vif)).await?;
    }
    if !unwished.is_empty() {
        effect(work, hva.switch.ensure_no_ports(instance, &wished)).await?;
    }
    Ok(())
}

/// This generation is done. An attachment or interface seen unplugged and not wished needs no more answers.
async fn finish(
    hva: &Hva,
    spec: &InstanceSpec,
    record: &mut Record,
    seen: &[FactReport],
    work: &Work,
) -> Result<(), Stopped> {
    let before = record.clone();
    record.applied = work.generation;
    let is_gone = |plug: &str| {
        let gone = |fact: &FactReport| fact.name == FactName::Plugged && fact.value == Fact::No;
        seen.iter().any(|fact| fact.thing == plug && gone(fact))
    };
    record.attachments.retain(|attachment| {
        let wished = spec.volumes.iter().any(|volume| volume.attachment == *attachment);
        wished || !is_gone(attachment.as_str())
    });
    record.vifs.retain(|vif| spec.nics.iter().any(|nic| nic.vif == *vif) || !is_gone(vif.as_str()));
    if *record != before {
        effect(work, hva.store.write(record)).await?;
    }
    Ok(())
}
