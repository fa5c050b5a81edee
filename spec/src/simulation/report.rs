//! What a campaign visited, as a table: a campaign that visited too little proves too little.

use arame_framework::bus::memory::Stats;
use arame_framework::rehearsal::Note;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Seeds whose trace hash is printed.
const HASHES_SHOWN: usize = 5;

/// Orders of one kind and their ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    pub accepted: u64,
    pub refused: u64,
}

/// Trouble of one kind, and how often it came while a job was open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Struck {
    pub times: u64,
    pub hits: u64,
}

/// One seed's run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub seed: u64,
    /// Lines of the trace: messages, commits, points, orders, trouble.
    pub trace: Vec<Note>,
    pub hash: String,
    pub virtual_time: Duration,
    /// From the last trouble until everything was as wished.
    pub settled_in: Duration,
    pub asked: BTreeMap<&'static str, Asked>,
    pub struck: BTreeMap<String, Struck>,
    pub bus: Stats,
    pub restarts: u64,
    /// Agents that ended because a late hello of their former process was heard after their own.
    pub displaced: u64,
    /// States in which machines and disks ended.
    pub ends: BTreeMap<String, u64>,
    /// Machines and disks that failed although only trouble that passes had come.
    pub failed: u64,
    /// The first thing the world model does not accept.
    pub violation: Option<String>,
}

/// Many runs.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    pub seeds: u64,
    pub steps: u64,
    pub virtual_time: Duration,
    pub settled_in_max: Duration,
    pub asked: BTreeMap<&'static str, Asked>,
    pub struck: BTreeMap<String, Struck>,
    pub bus: Stats,
    pub restarts: u64,
    pub displaced: u64,
    pub ends: BTreeMap<String, u64>,
    pub failed: u64,
    pub hashes: Vec<(u64, String)>,
}

impl Summary {
    pub fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.steps += report.trace.len() as u64;
        self.virtual_time += report.virtual_time;
        self.settled_in_max = self.settled_in_max.max(report.settled_in);
        for (kind, asked) in &report.asked {
            let sum = self.asked.entry(kind).or_default();
            sum.accepted += asked.accepted;
            sum.refused += asked.refused;
        }
        for (kind, struck) in &report.struck {
            let sum = self.struck.entry(kind.clone()).or_default();
            sum.times += struck.times;
            sum.hits += struck.hits;
        }
        for (end, count) in &report.ends {
            *self.ends.entry(end.clone()).or_default() += count;
        }
        self.add_bus(&report.bus);
        self.restarts += report.restarts;
        self.displaced += report.displaced;
        self.failed += report.failed;
        self.hashes.push((report.seed, report.hash.clone()));
    }

    fn add_bus(&mut self, bus: &Stats) {
        self.bus.published += bus.published;
        self.bus.delivered += bus.delivered;
        self.bus.redelivered += bus.redelivered;
        self.bus.expired += bus.expired;
        self.bus.dropped += bus.dropped;
        self.bus.duplicated += bus.duplicated;
        self.bus.delayed += bus.delayed;
        self.bus.reordered += bus.reordered;
        self.bus.unconfirmed += bus.unconfirmed;
        self.bus.disconnects += bus.disconnects;
    }

    /// Troubles, and those of them that came while a job was open.
    pub fn troubles(&self) -> (u64, u64) {
        self.struck.values().fold((0, 0), |(times, hits), struck| (times + struck.times, hits + struck.hits))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (times, hits) = self.troubles();
        writeln!(f, "  {:<34} {:>10}", "seeds", self.seeds)?;
        writeln!(f, "  {:<34} {:>10}", "steps (lines of traces)", self.steps)?;
        writeln!(f, "  {:<34} {:>8.1} h", "virtual time", self.virtual_time.as_secs_f64() / 3600.0)?;
        writeln!(f, "  {:<34} {:>8.0} s", "longest until all was as wished", self.settled_in_max.as_secs_f64())?;
        writeln!(f, "  {:<34} {:>10} {:>10}", "orders", "accepted", "refused")?;
        for (kind, asked) in &self.asked {
            writeln!(f, "    {kind:<32} {:>10} {:>10}", asked.accepted, asked.refused)?;
        }
        writeln!(f, "  {:<34} {:>10}", "ends", "")?;
        for (end, count) in &self.ends {
            writeln!(f, "    {end:<32} {count:>10}")?;
        }
        writeln!(f, "  {:<34} {times:>10} {hits:>10}", "trouble, and while a job was open")?;
        for (kind, struck) in &self.struck {
            writeln!(f, "    {kind:<32} {:>10} {:>10}", struck.times, struck.hits)?;
        }
        writeln!(f, "  {:<34} {:>10}", "processes started again", self.restarts)?;
        writeln!(f, "  {:<34} {:>10}", "of them displaced by a late hello", self.displaced)?;
        let bus = &self.bus;
        let lines = [
            ("messages published", bus.published),
            ("lost", bus.dropped),
            ("doubled", bus.duplicated),
            ("late", bus.delayed),
            ("out of order", bus.reordered),
            ("confirm lost", bus.unconfirmed),
            ("redelivered", bus.redelivered),
            ("expired", bus.expired),
            ("links cut", bus.disconnects),
        ];
        for (what, count) in lines {
            writeln!(f, "    {what:<32} {count:>10}")?;
        }
        writeln!(f, "  {:<34} {:>10}", "failed under passing trouble", self.failed)?;
        for (seed, hash) in self.hashes.iter().take(HASHES_SHOWN) {
            writeln!(f, "  trace of seed {seed:<20} {hash}")?;
        }
        Ok(())
    }
}
