//! What the agent's own machine is busy with: load, CPU, memory and the disk of what it keeps, for the last hour.
//!
//! ```text
//! Meter ── every 10 s ──► the last hour by the minute ──► agent.machine (from memory, at once), /metrics
//! ```
//!
//! Rule: whoever asks is answered from memory: a disk that hangs makes the figures old, and nothing else; one look that hangs
//! is not joined by a second. Nothing is concluded from them, no state and no placement.

use crate::history::History;
use crate::metrics::{Form, Sample};
use crate::rehearsal;
use arame_schema::jobs::figures::{DiskNow, MachineAnswer, MachineReading, MachineTotals};
use async_trait::async_trait;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// What the kernel counts CPU time in for programs (USER_HZ, a hundred a second), in milliseconds: time(7), proc_stat(5).
const TICK_MS: u64 = 10;

/// Reads the machine, or says in a sentence why it cannot.
#[async_trait]
pub trait Meter: Send + Sync + 'static {
    async fn read(&self) -> Result<MachineTotals, String>;
}

/// The figures of the machine.
#[derive(Debug)]
pub struct Machine {
    every: Duration,
    history: Mutex<History<MachineTotals>>,
}

impl Machine {
    /// Reads from now on, every so often, until nobody holds it any more.
    pub fn watched(every: Duration, meter: Arc<dyn Meter>) -> Arc<Self> {
        let machine = Arc::new(Self::new(every));
        rehearsal::spawn(watch(Arc::downgrade(&machine), meter));
        machine
    }

    fn new(every: Duration) -> Self {
        Self { every, history: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, History<MachineTotals>> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to `agent.machine`.
    pub fn answer(&self, now: Instant) -> MachineAnswer {
        let told = |(age, totals): (Duration, &MachineTotals)| MachineReading {
            age_ms: age.as_millis() as u64,
            totals: *totals,
        };
        let readings = self.lock().readings(now).into_iter().map(told).collect();
        MachineAnswer { every_ms: self.every.as_millis() as u64, readings }
    }

    /// For `/metrics`. What was not read for three rounds is left out.
    pub fn samples(&self, now: Instant) -> Vec<Sample> {
        let history = self.lock();
        let fresh = history.newest(now).filter(|(age, _)| *age <= self.every * 3);
        fresh.map(|(_, totals)| of_machine(totals)).unwrap_or_default()
    }
}

fn of_machine(totals: &MachineTotals) -> Vec<Sample> {
    let seconds = |name, help, ms: u64| Sample { form: Form::Counter, ..Sample::gauge(name, help, ms as f64 / 1000.0) };
    let gauge = |name, help, value: u64| Sample::gauge(name, help, value as f64);
    let load = ["1", "5", "15"].into_iter().zip(totals.load).map(|(minutes, load)| {
        let help = "Load average of the agent's machine.";
        Sample::gauge("arame_machine_load", help, load).of("minutes", minutes)
    });
    let mut samples = vec![
        seconds("arame_machine_cpu_seconds_total", "CPU time that went by, of all CPUs.", totals.cpu_total_ms),
        seconds("arame_machine_cpu_busy_seconds_total", "CPU time that was not idle.", totals.cpu_busy_ms),
        gauge("arame_machine_cpus", "CPUs of the agent's machine.", totals.cpu_cores.into()),
        gauge("arame_machine_memory_bytes", "Memory of the agent's machine.", totals.memory_bytes),
        gauge("arame_machine_memory_available_bytes", "Memory that is still to be had.", totals.memory_available_bytes),
    ];
    samples.extend(load);
    if let Some(disk) = totals.disk {
        samples.push(gauge("arame_machine_disk_bytes", "Where the agent keeps its data: size.", disk.bytes));
        samples.push(gauge("arame_machine_disk_free_bytes", "Where the agent keeps its data: free.", disk.free_bytes));
    }
    samples
}

async fn watch(machine: Weak<Machine>, meter: Arc<dyn Meter>) {
    let Some(every) = machine.upgrade().map(|machine| machine.every) else { return };
    let mut round = tokio::time::interval(every);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_well = true;
    loop {
        round.tick().await;
        if machine.strong_count() == 0 {
            return;
        }
        let read = meter.read().await;
        let Some(machine) = machine.upgrade() else { return };
        match read {
            Ok(totals) => {
                machine.lock().take(Instant::now(), totals);
                is_well = true;
            }
            // Told once: the figures' age says the rest.
            Err(error) if is_well => {
                tracing::warn!(%error, "what this machine is busy with cannot be read");
                is_well = false;
            }
            Err(_) => {}
        }
    }
}

/// What the kernel says now, with the disk that `disk` looks at. It may block.
///
/// # Errors
/// The file under `/proc` that cannot be read or understood.
pub fn look(disk: impl FnOnce() -> Option<DiskNow>) -> Result<MachineTotals, String> {
    let file = |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let totals = understood(&file("/proc/stat")?, &file("/proc/loadavg")?, &file("/proc/meminfo")?)?;
    Ok(MachineTotals { disk: disk(), ..totals })
}

/// The three files of proc(5).
fn understood(stat: &str, loadavg: &str, meminfo: &str) -> Result<MachineTotals, String> {
    // user nice system idle iowait irq softirq steal; what guests use is in the first two already.
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let ticks: Vec<u64> = all.split_whitespace().take(8).filter_map(|word| word.parse().ok()).collect();
    let [_, _, _, idle, iowait, ..] = ticks[..] else { return Err("/proc/stat has no line of all CPUs".into()) };
    let total: u64 = ticks.iter().sum();
    let cpus = stat.lines().filter(|line| line.strip_prefix("cpu").is_some_and(|rest| !rest.starts_with(' '))).count();
    let loads: Vec<f64> = loadavg.split_whitespace().take(3).filter_map(|word| word.parse().ok()).collect();
    let load = <[f64; 3]>::try_from(loads).map_err(|_| "/proc/loadavg has no three averages".to_owned())?;
    let memory = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib: Option<u64> = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| format!("/proc/meminfo has no {name}"))
    };
    Ok(MachineTotals {
        cpu_cores: cpus as u32,
        cpu_busy_ms: (total - idle - iowait) * TICK_MS,
        cpu_total_ms: total * TICK_MS,
        load,
        memory_bytes: memory("MemTotal")?,
        memory_available_bytes: memory("MemAvailable")?,
        disk: None,
    })
}

/// A machine that is not there: plausible, and always the same for the same name and the same time since it began.
#[derive(Debug, Clone)]
pub struct Simulated {
    name: String,
    cores: u32,
    memory_bytes: u64,
    began: Instant,
}

/// Seconds in which a simulated machine is once busier and once calmer.
const WAVE_S: f64 = 900.0;

impl Simulated {
    pub fn new(name: &str, cores: u32, memory_bytes: u64) -> Self {
        Self { name: name.to_owned(), cores: cores.max(1), memory_bytes, began: Instant::now() }
    }

    /// Now, with the disk of whoever simulates it.
    pub fn totals(&self, disk: Option<DiskNow>) -> MachineTotals {
        self.after(self.began.elapsed(), disk)
    }

    fn after(&self, since: Duration, disk: Option<DiskNow>) -> MachineTotals {
        let name = self.name.bytes().fold(7u64, |sum, byte| (sum * 31 + u64::from(byte)) % 1009);
        let (seconds, turn) = (since.as_secs_f64(), std::f64::consts::TAU / WAVE_S);
        // Between a fifth and half of all CPUs, and a wave of up to a tenth around it.
        let base = 0.2 + 0.3 * name as f64 / 1009.0;
        let busy = base * seconds + 0.1 / turn * (1.0 - (seconds * turn).cos());
        let now = base + 0.1 * (seconds * turn).sin();
        let cores = f64::from(self.cores);
        let hundredths = |value: f64| (value * 100.0).round() / 100.0;
        MachineTotals {
            cpu_cores: self.cores,
            cpu_busy_ms: (busy * cores * 1000.0) as u64,
            cpu_total_ms: (seconds * cores * 1000.0) as u64,
            load: [now, base + 0.05, base].map(|part| hundredths(part * cores)),
            memory_bytes: self.memory_bytes,
            memory_available_bytes: (self.memory_bytes as f64 * (0.9 - now * 0.5)) as u64,
            disk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;

    const STAT: &str = "cpu  100 20 30 800 50 4 6 10 77 0\ncpu0 50 10 15 400 25 2 3 5 0 0\ncpu1 50 10 15 400 25 2 3 5 0 0\n\
                        intr 1 2 3\nctxt 9\n";
    const MEMINFO: &str = "MemTotal:        2048 kB\nMemFree:          100 kB\nMemAvailable:    1024 kB\n";

    #[test]
    fn busy_is_all_but_idle_and_waiting_and_guests_are_counted_once() {
        let totals = understood(STAT, "0.50 1.25 2.00 1/99 4242\n", MEMINFO).unwrap();
        assert_eq!((totals.cpu_cores, totals.cpu_busy_ms, totals.cpu_total_ms), (2, 1_700, 10_200));
        assert_eq!(totals.load, [0.5, 1.25, 2.0]);
        assert_eq!((totals.memory_bytes, totals.memory_available_bytes), (2 << 20, 1 << 20));
    }

    #[test]
    fn what_is_not_understood_is_told_and_no_zero_stands_for_it() {
        let loads = "0.50 1.25 2.00 1/99 4242\n";
        for (stat, load, memory, named) in [
            ("intr 1\n", loads, MEMINFO, "/proc/stat"),
            (STAT, "0.50\n", MEMINFO, "/proc/loadavg"),
            (STAT, loads, "MemTotal: 2048 kB\n", "MemAvailable"),
        ] {
            let told = understood(stat, load, memory).unwrap_err();
            assert!(told.contains(named), "{told}");
        }
        assert!(understood(STAT, loads, MEMINFO).is_ok(), "the control");
    }

    #[test]
    fn this_machine_can_be_read() {
        let disk = DiskNow { bytes: 9, free_bytes: 4 };
        let totals = look(|| Some(disk)).unwrap();
        assert!(totals.cpu_cores > 0 && totals.cpu_total_ms >= totals.cpu_busy_ms, "{totals:?}");
        assert!(totals.memory_bytes >= totals.memory_available_bytes && totals.disk == Some(disk), "{totals:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulated_machine_is_never_busier_than_it_is_and_never_counts_back() {
        let machine = Simulated::new("hva.h1", 8, 64 << 30);
        let all: Vec<MachineTotals> = (0..720).map(|n| machine.after(Duration::from_secs(n * 10), None)).collect();
        for pair in all.windows(2) {
            let (busy, total) =
                (pair[1].cpu_busy_ms.checked_sub(pair[0].cpu_busy_ms), pair[1].cpu_total_ms - pair[0].cpu_total_ms);
            assert!(busy.is_some_and(|busy| busy > 0 && busy < total), "{pair:?}");
            assert!(pair[1].memory_available_bytes < pair[1].memory_bytes, "{pair:?}");
        }
        let other = Simulated::new("hva.h2", 8, 64 << 30).after(Duration::from_secs(60), None);
        assert_ne!(other.cpu_busy_ms, all[6].cpu_busy_ms, "two machines are not the same");
        assert_eq!(machine.after(Duration::from_secs(60), None), all[6], "and one is always");
    }

    struct Sometimes(Simulated, std::sync::atomic::AtomicBool);

    #[async_trait]
    impl Meter for Sometimes {
        async fn read(&self) -> Result<MachineTotals, String> {
            if self.1.load(std::sync::atomic::Ordering::Relaxed) {
                Ok(self.0.totals(None))
            } else {
                Err("not now".into())
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_cannot_be_read_is_old_and_no_series_and_comes_back() {
        let every = Duration::from_secs(10);
        let meter = Arc::new(Sometimes(Simulated::new("sta.s1", 2, 1 << 30), true.into()));
        let machine = Machine::watched(every, meter.clone());
        tokio::time::sleep(every * 7).await;
        let newest = |machine: &Machine| machine.answer(Instant::now()).readings.last().map(|one| one.age_ms);
        assert!(newest(&machine).is_some_and(|age| age <= 10_000));
        assert!(metrics::text(machine.samples(Instant::now())).contains("arame_machine_load{minutes=\"15\"}"));
        meter.1.store(false, std::sync::atomic::Ordering::Relaxed);
        tokio::time::sleep(every * 5).await;
        assert!(newest(&machine).is_some_and(|age| age > 30_000), "{:?}", newest(&machine));
        assert_eq!(machine.samples(Instant::now()), []);
        meter.1.store(true, std::sync::atomic::Ordering::Relaxed);
        tokio::time::sleep(every * 2).await;
        assert!(newest(&machine).is_some_and(|age| age <= 10_000), "it is read again");
        tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
        let answer = machine.answer(Instant::now());
        assert!((60..=63).contains(&answer.readings.len()), "an hour, and no more: {}", answer.readings.len());
    }
}
