//! What every bench prints beside its figures: the machine, the versions, medians and how often something was
//! measured. A promise about time is printed as kept or not and fails nothing: machines differ. A promise about counts
//! fails the bench that checks it.

use crate::processes;
use anyhow::Context;
use sha2::Digest;
use std::time::Duration;

/// Prints where the figures come from.
///
/// # Errors
/// The programs are not built.
pub fn introduce(name: &str, promise: &str) -> anyhow::Result<()> {
    let first = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
        line.rsplit(':').next().unwrap_or_default().trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let programs = processes::programs()?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("\n== {name}");
    println!("promise   {promise}");
    println!(
        "machine   {}, {cores} cores, {}, Linux {}, load {}",
        first("/proc/cpuinfo", "model name"),
        first("/proc/meminfo", "MemTotal"),
        std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        load.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
    );
    println!("speed     SHA-256 of 64 MiB in {:.0} ms by one core, best of three", speed().as_secs_f64() * 1000.0);
    println!(
        "versions  {}, {}, RabbitMQ {}; programs of {}",
        printed(&programs.join("arame"), "--version"),
        printed("/usr/sbin/mariadbd".as_ref(), "--version"),
        rabbitmq(),
        programs.file_name().unwrap_or_default().display(),
    );
    Ok(())
}

/// A piece of work that never changes: what a shared machine gives differs from one hour to the next by as much as a
/// promise, and figures of two runs are compared only beside this one.
fn speed() -> Duration {
    let bytes = vec![0x5a; 64 << 20];
    let once = || {
        let begin = std::time::Instant::now();
        std::hint::black_box(sha2::Sha256::digest(&bytes));
        begin.elapsed()
    };
    (0..3).map(|_| once()).min().unwrap_or_default()
}

fn printed(program: &std::path::Path, argument: &str) -> String {
    let output = std::process::Command::new(program).arg(argument).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    // mariadbd says its own path first.
    text.rsplit("  ").next().unwrap_or_default().to_owned()
}

fn rabbitmq() -> String {
    let folders = std::fs::read_dir("/usr/lib/rabbitmq/lib").into_iter().flatten().flatten();
    let names = folders.filter_map(|folder| folder.file_name().into_string().ok());
    names.filter_map(|name| Some(name.strip_prefix("rabbitmq_server-")?.to_owned())).next().unwrap_or_default()
}

/// Sorted measurements.
#[derive(Debug, Clone)]
pub struct Figures(Vec<f64>);

impl Figures {
    pub fn new(mut figures: Vec<f64>) -> Figures {
        figures.sort_by(f64::total_cmp);
        Figures(figures)
    }

    pub fn millis(times: &[Duration]) -> Figures {
        Figures::new(times.iter().map(|time| time.as_secs_f64() * 1000.0).collect())
    }

    /// The smallest measurement that `percent` of all do not exceed.
    pub fn percentile(&self, percent: f64) -> f64 {
        let place = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(place.max(1) - 1).copied().unwrap_or(f64::NAN)
    }

    pub fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// `median 61.2 ms, p90 …, p99 …, n 100`
    pub fn line(&self, unit: &str) -> String {
        let (median, p90, p99) = (self.median(), self.percentile(90.0), self.percentile(99.0));
        format!("median {median:.1} {unit}, p90 {p90:.1} {unit}, p99 {p99:.1} {unit}, n {}", self.count())
    }
}

/// `proc(5)`: clock ticks are hundredths of a second to user space on every Linux of today.
const TICKS: f64 = 100.0;

/// Seconds of processor time that a process has used.
///
/// # Errors
/// No such process.
pub fn processor_seconds(pid: i32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let words: Vec<&str> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
    let ticks = |place: usize| Ok::<f64, anyhow::Error>(words.get(place).context("stat")?.parse()?);
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

/// As [`judge`], for what must not be less.
pub fn judge_least(what: &str, measured: f64, limit: f64, unit: &str) {
    let word = if measured >= limit { "kept" } else { "NOT KEPT" };
    println!("{word:9} {what}: {measured:.1} {unit} (promised: at least {limit:.1})");
}

/// `kept` or `NOT KEPT`, as a line.
pub fn judge(what: &str, measured: f64, limit: f64, unit: &str) {
    let word = if measured <= limit { "kept" } else { "NOT KEPT" };
    println!("{word:9} {what}: {measured:.1} {unit} (promised: at most {limit:.1})");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measurements() {
        let figures = Figures::new((1..=100).rev().map(f64::from).collect());
        assert_eq!((figures.median(), figures.percentile(99.0), figures.percentile(100.0)), (50.0, 99.0, 100.0));
        assert_eq!(Figures::new(vec![7.0]).percentile(1.0), 7.0);
    }
}
