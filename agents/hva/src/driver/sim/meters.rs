//! What simulated guests use: plausible and always the same for the same guest and the same time, so that two readings can
//! be compared. Nothing is kept of it but since when each guest runs.

use super::{Point, Sim, Told, lock};
use crate::driver::SeenPower;
use crate::driver::meters::Meters;
use arame_schema::jobs::figures::{DiskTotals, MemoryNow, Totals, VifTotals};
use arame_schema::model::{AttachmentId, InstanceId, VifId};
use async_trait::async_trait;
use tokio::time::Instant;

/// Most of a second that a simulated guest keeps one of its CPUs busy, in thousandths.
const BUSY_MAX: u64 = 400;

/// A number that a name always has.
pub(super) fn number(name: &str) -> u64 {
    // FNV-1a: no more than an even spread is asked of it.
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Between `least` and twice that.
pub(super) fn rate(name: &str, least: u64) -> u64 {
    least + number(name) % least.max(1)
}

#[async_trait]
impl Meters for Sim {
    async fn read(&self) -> Told<Vec<(InstanceId, Totals)>> {
        self.fault(Point::BeforeEffect, "read_figures", None).await?;
        let now = Instant::now();
        let mut running = lock(&self.inner.running);
        Ok(self.look(|world| {
            running.retain(|instance, (starts, _)| {
                world.domains.get(instance).is_some_and(|one| one.power != SeenPower::Off && one.starts == *starts)
            });
            let on = world.domains.iter().filter(|(_, domain)| domain.power != SeenPower::Off);
            on.map(|(instance, domain)| {
                let since = running.entry(instance.clone()).or_insert((domain.starts, now)).1;
                let record = world.records.get(instance);
                let (vcpus, mib) = record.map_or((1, 256), |record| (record.vcpus, record.memory_mib));
                let volumes: Vec<&AttachmentId> = domain.live.iter().collect();
                let vifs: Vec<&VifId> = domain.live_nics.iter().collect();
                let millis = now.duration_since(since).as_millis() as u64;
                (instance.clone(), totals(instance, millis, (vcpus, mib), &volumes, &vifs))
            })
            .collect()
        }))
    }
}

fn totals(
    instance: &InstanceId,
    millis: u64,
    (vcpus, mib): (u32, u64),
    volumes: &[&AttachmentId],
    vifs: &[&VifId],
) -> Totals {
    let busy = number(instance.as_str()) % BUSY_MAX + 1;
    let disk = |attachment: Option<&AttachmentId>| {
        let name = attachment.map_or(instance.as_str(), |attachment| attachment.as_str());
        let (reads, writes) = (rate(name, 5) * millis / 1000, rate(name, 3) * millis / 1000);
        DiskTotals {
            attachment: attachment.cloned(),
            read_bytes: reads * 4096,
            reads,
            written_bytes: writes * 4096,
            writes,
        }
    };
    let vif = |vif: &VifId| {
        let (received, sent) = (rate(vif.as_str(), 20) * millis / 1000, rate(vif.as_str(), 10) * millis / 1000);
        VifTotals {
            received_bytes: received * 700,
            received_packets: received,
            sent_bytes: sent * 300,
            sent_packets: sent,
            ..VifTotals::default()
        }
    };
    let boot = std::iter::once(("vda".to_owned(), disk(None)));
    let plugged = volumes.iter().zip('b'..='z').map(|(volume, letter)| (format!("vd{letter}"), disk(Some(volume))));
    Totals {
        vcpus,
        cpu_ns: millis * busy * u64::from(vcpus) * 1000,
        memory: MemoryNow { kib: mib * 1024, resident_kib: Some(mib * 1024 * 3 / 4), usable_kib: None },
        disks: boot.chain(plugged).collect(),
        vifs: vifs.iter().map(|id| ((*id).clone(), vif(id))).collect(),
    }
}
