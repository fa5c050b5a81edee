//! What a host or a storage node itself is busy with, asked of its agent: nothing of it is kept here.
//!
//! Rule: as with a guest's figures, one that is not heard has none, and that is told with the moment it was heard last. It is
//! not asked then: a list of many silent ones is not a wait for each.

use super::super::{App, AppError, Caller};
use super::{host, storage_one};
use crate::db;
use arame_schema::api::{
    Code, LoadAverage, NodeCpu, NodeDisk, NodeMemory, NodeUsage, NodeUsagePoint, Refusal, Timestamp,
};
use arame_schema::jobs::figures::{MACHINE, MachineAnswer, MachineReading};

pub async fn of_host(app: &App, caller: &Caller, id: &str) -> Result<NodeUsage, Refusal> {
    let found = host(app, caller, id).await?;
    let told = ask(app, Asked { id, agent: &found.node_id, status: &found.status, seen: found.last_seen_at }).await;
    match told {
        Ok(view) => Ok(view),
        // It may have fallen silent just now.
        Err(sentence) => {
            let now = db::nodes::host(app.db(), id).await.map_err(AppError::from)?;
            Err(unheard(id, now.map(|host| (host.status, host.last_seen_at)), sentence))
        }
    }
}

pub async fn of_storage(app: &App, caller: &Caller, id: &str) -> Result<NodeUsage, Refusal> {
    let found = storage_one(app, caller, id).await?;
    let told = ask(app, Asked { id, agent: &found.node_id, status: &found.status, seen: found.last_seen_at }).await;
    match told {
        Ok(view) => Ok(view),
        Err(sentence) => {
            let now = db::nodes::storage_one(app.db(), id).await.map_err(AppError::from)?;
            Err(unheard(id, now.map(|node| (node.status, node.last_seen_at)), sentence))
        }
    }
}

/// Whom to ask, as its row says it.
struct Asked<'a> {
    id: &'a str,
    agent: &'a str,
    status: &'a str,
    seen: Option<Timestamp>,
}

/// `Err`: why there is no answer.
async fn ask(app: &App, of: Asked<'_>) -> Result<NodeUsage, String> {
    if of.status != "online" {
        return Err(match of.seen {
            Some(since) => format!("{} is silent since {since}", of.agent),
            None => format!("{} was never heard", of.agent),
        });
    }
    let agent = of.agent.parse().map_err(|_| format!("{} is no agent", of.agent))?;
    let answer = app.questions().ask(agent, MACHINE, serde_json::Value::Null).await?;
    let answer: MachineAnswer = serde_json::from_value(answer).map_err(|error| error.to_string())?;
    Ok(told(of.id, of.agent, &answer))
}

fn unheard(id: &str, now: Option<(String, Option<Timestamp>)>, sentence: String) -> Refusal {
    match now.filter(|(status, _)| status != "online") {
        Some((_, seen)) => silent(id, seen),
        None => Refusal::new(Code::Unavailable).with("what", sentence),
    }
}

/// A host or storage node that is not heard: since when, or that it never was.
pub fn silent(id: &str, seen: Option<Timestamp>) -> Refusal {
    match seen {
        Some(since) => Refusal::new(Code::HostSilent).with("host", id).with("since", since),
        None => Refusal::new(Code::NeverHeard).with("host", id),
    }
}

/// Of all CPUs; none where the counters began anew or nothing went by.
fn cpu_percent(older: &MachineReading, newer: &MachineReading) -> Option<f64> {
    let total = newer.totals.cpu_total_ms.checked_sub(older.totals.cpu_total_ms).filter(|total| *total > 0)?;
    let busy = newer.totals.cpu_busy_ms.checked_sub(older.totals.cpu_busy_ms)?;
    let percent = busy.min(total) as f64 / total as f64 * 100.0;
    Some((percent * 100.0).round() / 100.0)
}

fn told(id: &str, agent: &str, answer: &MachineAnswer) -> NodeUsage {
    let readings = &answer.readings;
    let mut view = NodeUsage {
        id: id.to_owned(),
        node_id: agent.to_owned(),
        every_seconds: answer.every_ms as f64 / 1000.0,
        ..NodeUsage::default()
    };
    let Some(newest) = readings.last() else { return view };
    let totals = &newest.totals;
    let last = readings.len().checked_sub(2).map(|place| &readings[place]);
    let [one_minute, five_minutes, fifteen_minutes] = totals.load;
    view.age_seconds = Some(newest.age_ms as f64 / 1000.0);
    view.cpu = Some(NodeCpu { cores: totals.cpu_cores, percent: last.and_then(|last| cpu_percent(last, newest)) });
    view.load = Some(LoadAverage { one_minute, five_minutes, fifteen_minutes });
    view.memory = Some(NodeMemory { bytes: totals.memory_bytes, available_bytes: totals.memory_available_bytes });
    view.disk = totals.disk.map(|disk| NodeDisk { bytes: disk.bytes, free_bytes: disk.free_bytes });
    let point = |pair: &[MachineReading]| NodeUsagePoint {
        age_seconds: pair[1].age_ms as f64 / 1000.0,
        cpu_percent: cpu_percent(&pair[0], &pair[1]),
        load: pair[1].totals.load[0],
        memory_used_bytes: pair[1].totals.memory_bytes.saturating_sub(pair[1].totals.memory_available_bytes),
        disk_used_bytes: pair[1].totals.disk.map(|disk| disk.bytes.saturating_sub(disk.free_bytes)),
    };
    view.history = readings.windows(2).map(point).collect();
    view
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::jobs::figures::{DiskNow, MachineTotals};

    fn reading(age_ms: u64, busy: u64, total: u64) -> MachineReading {
        let totals = MachineTotals {
            cpu_cores: 4,
            cpu_busy_ms: busy,
            cpu_total_ms: total,
            load: [1.5, 1.0, 0.5],
            memory_bytes: 1000,
            memory_available_bytes: 400,
            disk: Some(DiskNow { bytes: 90, free_bytes: 30 }),
        };
        MachineReading { age_ms, totals }
    }

    #[test]
    fn how_busy_it_is_is_of_the_time_that_went_by_on_all_its_cpus() {
        let readings = vec![reading(70_000, 0, 0), reading(10_000, 60_000, 240_000), reading(0, 90_000, 280_000)];
        let view = told("hn-a", "hva.a", &MachineAnswer { every_ms: 10_000, readings });
        assert_eq!(view.cpu, Some(NodeCpu { cores: 4, percent: Some(75.0) }));
        let percents: Vec<Option<f64>> = view.history.iter().map(|point| point.cpu_percent).collect();
        assert_eq!(percents, [Some(25.0), Some(75.0)]);
        assert_eq!((view.history[0].memory_used_bytes, view.history[0].disk_used_bytes), (600, Some(60)));
        assert_eq!((view.age_seconds, view.every_seconds), (Some(0.0), 10.0));
    }

    #[test]
    fn a_machine_that_began_anew_has_no_percentage_across_its_start_and_an_unread_one_nothing() {
        assert_eq!(cpu_percent(&reading(9, 500, 900), &reading(1, 10, 20)), None);
        assert_eq!(cpu_percent(&reading(9, 500, 900), &reading(1, 500, 900)), None);
        assert_eq!(cpu_percent(&reading(9, 500, 900), &reading(1, 600, 1100)), Some(50.0), "the control");
        let view = told("hn-a", "hva.a", &MachineAnswer { every_ms: 10_000, readings: Vec::new() });
        assert_eq!((view.age_seconds, view.cpu, view.history.len()), (None, None, 0));
    }
}
