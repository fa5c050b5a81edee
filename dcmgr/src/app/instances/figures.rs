//! What an instance uses, asked of its host: counters are made into rates here, and nothing of it is kept.
//!
//! Rule: a host that is not heard has no figures, and that is told with the moment it was heard last: an old number is never
//! shown as a new one.

use super::super::nodes::figures::silent;
use super::super::{App, AppError, Caller};
use super::{agent_of, get};
use crate::db;
use arame_schema::api::{
    Code, CpuUsage, DiskUsage, Instance, InstanceUsage, MemoryUsage, Refusal, UsagePoint, VifUsage,
};
use arame_schema::jobs::figures::{DiskTotals, FIGURES, FiguresAnswer, Reading, VifTotals};
use arame_schema::model::instance::InstanceState;
use std::collections::BTreeMap;

pub async fn usage(app: &App, caller: &Caller, id: &str) -> Result<InstanceUsage, Refusal> {
    let instance = get(app, caller, id).await?;
    if instance.host_node.is_none() || instance.state == InstanceState::Terminated {
        let refusal = Refusal::new(Code::InvalidInstanceState).with("id", id);
        return Err(refusal.with("state", instance.state).with("needed", "running | halted"));
    }
    let agent = agent_of(app, &instance).await?;
    let arguments = serde_json::json!({ "instance": id });
    let answer = match app.questions().ask(agent, FIGURES, arguments).await {
        Ok(answer) => answer,
        Err(sentence) => return Err(unheard(app, &instance, sentence).await?),
    };
    let answer: FiguresAnswer = serde_json::from_value(answer)
        .map_err(|error| Refusal::new(Code::Unavailable).with("what", error.to_string()))?;
    let volumes = db::volumes::volumes_of_instance(app.db(), id).await.map_err(AppError::from)?;
    Ok(told(&instance, &answer, &volumes))
}

/// Why there is no answer: the host is silent since a moment that is known, or it said something else.
async fn unheard(app: &App, instance: &Instance, sentence: String) -> Result<Refusal, Refusal> {
    let host = instance.host_node.clone().unwrap_or_default();
    let found = db::nodes::host(app.db(), &host).await.map_err(AppError::from)?;
    let unheard = found.filter(|host| host.status != "online");
    Ok(match unheard {
        Some(found) => silent(&host, found.last_seen_at),
        None => Refusal::new(Code::Unavailable).with("what", sentence),
    })
}

/// Two counters, the older first, and how far they lie apart.
struct Span<'a> {
    older: &'a Reading,
    newer: &'a Reading,
    seconds: f64,
}

impl<'a> Span<'a> {
    fn of(older: &'a Reading, newer: &'a Reading) -> Option<Self> {
        let seconds = older.age_ms.checked_sub(newer.age_ms).filter(|apart| *apart > 0)? as f64 / 1000.0;
        // A guest that was started again counts anew.
        let is_one = newer.totals.cpu_ns >= older.totals.cpu_ns;
        is_one.then_some(Self { older, newer, seconds })
    }

    fn a_second(&self, older: u64, newer: u64) -> Option<f64> {
        newer.checked_sub(older).map(|more| rounded(more as f64 / self.seconds))
    }

    /// Of all its cores.
    fn cpu_percent(&self) -> Option<f64> {
        let cores = f64::from(self.newer.totals.vcpus.max(1));
        let busy = (self.newer.totals.cpu_ns - self.older.totals.cpu_ns) as f64 / 1e9;
        Some(rounded(busy / self.seconds / cores * 100.0))
    }

    /// Of a disk that both readings have.
    fn of_disk(&self, device: &str, value: fn(&DiskTotals) -> u64) -> Option<f64> {
        let of = |reading: &Reading| reading.totals.disks.get(device).map(value);
        self.a_second(of(self.older)?, of(self.newer)?)
    }

    fn of_disks(&self, value: fn(&DiskTotals) -> u64) -> Option<f64> {
        let parts = self.newer.totals.disks.keys().filter_map(|device| self.of_disk(device, value));
        parts.reduce(|one, other| one + other)
    }

    fn of_vif(&self, vif: &arame_schema::model::VifId, value: fn(&VifTotals) -> u64) -> Option<f64> {
        let of = |reading: &Reading| reading.totals.vifs.get(vif).map(value);
        self.a_second(of(self.older)?, of(self.newer)?)
    }

    fn of_vifs(&self, value: fn(&VifTotals) -> u64) -> Option<f64> {
        let parts = self.newer.totals.vifs.keys().filter_map(|vif| self.of_vif(vif, value));
        parts.reduce(|one, other| one + other)
    }

    fn point(&self) -> UsagePoint {
        UsagePoint {
            age_seconds: self.newer.age_ms as f64 / 1000.0,
            cpu_percent: self.cpu_percent(),
            memory_bytes: self.newer.totals.memory.resident_kib.map(|kib| kib * 1024),
            read_bytes_per_second: self.of_disks(|disk| disk.read_bytes),
            written_bytes_per_second: self.of_disks(|disk| disk.written_bytes),
            received_bytes_per_second: self.of_vifs(|vif| vif.received_bytes),
            sent_bytes_per_second: self.of_vifs(|vif| vif.sent_bytes),
        }
    }
}

/// Two places behind the point: more is noise.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The view of what a host answered. `volumes` are those of its attachments.
fn told(instance: &Instance, answer: &FiguresAnswer, volumes: &BTreeMap<String, String>) -> InstanceUsage {
    let mut view = InstanceUsage {
        instance_id: instance.id.clone(),
        host_node_id: instance.host_node.clone().unwrap_or_default(),
        every_seconds: answer.every_ms as f64 / 1000.0,
        ..InstanceUsage::default()
    };
    let readings = &answer.readings;
    let Some(newest) = readings.last() else { return view };
    let last = readings.len().checked_sub(2).and_then(|place| Span::of(&readings[place], newest));
    let totals = &newest.totals;
    view.age_seconds = Some(newest.age_ms as f64 / 1000.0);
    view.cpu = Some(CpuUsage {
        cores: totals.vcpus,
        seconds: rounded(totals.cpu_ns as f64 / 1e9),
        percent: last.as_ref().and_then(Span::cpu_percent),
    });
    view.memory = Some(MemoryUsage {
        bytes: totals.memory.kib * 1024,
        resident_bytes: totals.memory.resident_kib.map(|kib| kib * 1024),
        used_bytes: totals.memory.usable_kib.map(|usable| totals.memory.kib.saturating_sub(usable) * 1024),
    });
    let disk = |(device, disk): (&String, &DiskTotals)| {
        let rate = |value| last.as_ref().and_then(|last| last.of_disk(device, value));
        DiskUsage {
            device: device.clone(),
            volume_id: disk.attachment.as_ref().and_then(|attachment| volumes.get(attachment.as_str()).cloned()),
            read_bytes: disk.read_bytes,
            reads: disk.reads,
            written_bytes: disk.written_bytes,
            writes: disk.writes,
            read_bytes_per_second: rate(|disk| disk.read_bytes),
            written_bytes_per_second: rate(|disk| disk.written_bytes),
        }
    };
    view.disks = totals.disks.iter().map(disk).collect();
    let vif = |(id, vif): (&arame_schema::model::VifId, &VifTotals)| {
        let rate = |value| last.as_ref().and_then(|last| last.of_vif(id, value));
        VifUsage {
            vif_id: id.to_string(),
            received_bytes: vif.received_bytes,
            received_packets: vif.received_packets,
            received_drops: vif.received_drops,
            sent_bytes: vif.sent_bytes,
            sent_packets: vif.sent_packets,
            sent_drops: vif.sent_drops,
            received_bytes_per_second: rate(|vif| vif.received_bytes),
            sent_bytes_per_second: rate(|vif| vif.sent_bytes),
        }
    };
    view.vifs = totals.vifs.iter().map(vif).collect();
    view.history = readings.windows(2).filter_map(|pair| Some(Span::of(&pair[0], &pair[1])?.point())).collect();
    view
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::jobs::figures::Totals;

    fn reading(age_ms: u64, cpu_ms: u64, read: u64) -> Reading {
        let disk = DiskTotals { read_bytes: read, ..DiskTotals::default() };
        let disks = BTreeMap::from([("vda".to_owned(), disk)]);
        Reading { age_ms, totals: Totals { vcpus: 2, cpu_ns: cpu_ms * 1_000_000, disks, ..Totals::default() } }
    }

    #[test]
    fn rates_are_of_all_cores_and_of_a_second() {
        let (older, newer) = (reading(12_000, 1_000, 0), reading(2_000, 6_000, 40_960));
        let point = Span::of(&older, &newer).unwrap().point();
        assert_eq!(point.cpu_percent, Some(25.0), "5 of 10 seconds on two cores");
        assert_eq!(point.read_bytes_per_second, Some(4096.0));
        assert_eq!((point.age_seconds, point.sent_bytes_per_second), (2.0, None), "it has no interface");
    }

    #[test]
    fn a_guest_that_began_anew_has_no_rate_across_its_start() {
        assert!(Span::of(&reading(20_000, 9_000, 9), &reading(10_000, 100, 0)).is_none());
        assert!(Span::of(&reading(20_000, 9_000, 9), &reading(10_000, 9_100, 9)).is_some(), "the control");
        let (older, newer) = (reading(20_000, 9_000, 9), reading(10_000, 9_100, 3));
        let exchanged = Span::of(&older, &newer).unwrap().point();
        assert_eq!((exchanged.cpu_percent, exchanged.read_bytes_per_second), (Some(0.5), None), "another disk");
    }
}
