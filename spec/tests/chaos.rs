//! A data center of real processes under load while everything that can break does: every accepted request ends as
//! asked or fails with a reason; nothing lost, nothing twice, nothing left behind, nothing stuck.
//!
//! `ARAME_SEED` repeats a campaign's orders and faults, `ARAME_CHAOS_MINUTES` makes it longer (`make chaos`), and
//! `ARAME_CHAOS_SABOTAGE` (orphan, lose, twice, open, silence) spoils the evidence: the campaign must then fail.
//! `ARAME_CHAOS_ONLY="clock step"` (the words of the table) injects one kind of fault and no other. It runs in namespaces
//! of its own and needs root, or a kernel that lets users make them. Where libvirt and Open vSwitch are, a fourth hva has
//! real, empty guests, and its host loses guests, libvirtd, its switch and its power.

use anyhow::{Context, ensure};
use arame_framework::testkit;
use arame_spec::chaos::campaign::{self, Options};
use arame_spec::chaos::cell::{self, Entered};
use arame_spec::chaos::evidence::Sabotage;
use arame_spec::chaos::faults::{Holds, Kind};
use arame_spec::chaos::files::faketime_library;
use arame_spec::chaos::host;
use arame_spec::chaos::judge::Verdict;
use arame_spec::{database, processes};
use rand::Rng;
use std::time::Duration;

/// Minutes of faults without a word: with the start and the end of it about two and a half.
const MINUTES: f64 = 2.0;

/// From here on every kind of fault must have happened, and faults last longer.
const LONG_MINUTES: f64 = 5.0;

const NAME: &str = "whatever_breaks_every_request_ends_and_nothing_is_left";

fn word<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// What the machine lacks, said aloud.
fn lacks_something() -> bool {
    if testkit::lacks_rabbitmq() {
        return true;
    }
    let needs = [("mariadb", database::is_installed()), ("root", cell::is_possible())];
    if let Some((lacking, _)) = needs.iter().find(|(_, is_there)| !is_there) {
        testkit::skip(lacking);
        return true;
    }
    if faketime_library().is_none() {
        testkit::skip("faketime"); // Clocks are not stepped; the rest runs.
    }
    false
}

#[test]
fn whatever_breaks_every_request_ends_and_nothing_is_left() -> anyhow::Result<()> {
    if lacks_something() {
        return Ok(());
    }
    if let Entered::Outside(status) = cell::enter(NAME)? {
        ensure!(status.success(), "the campaign failed ({status}): see above");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(campaign())
}

async fn campaign() -> anyhow::Result<()> {
    let seed = word("ARAME_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let minutes: f64 = word("ARAME_CHAOS_MINUTES").unwrap_or(MINUTES);
    let is_long = minutes >= LONG_MINUTES;
    let sabotage = match word::<String>("ARAME_CHAOS_SABOTAGE") {
        Some(name) => Some(Sabotage::parse(&name).with_context(|| format!("no sabotage {name}"))?),
        None => None,
    };
    let only = match std::env::var("ARAME_CHAOS_ONLY") {
        Ok(words) => Some(Kind::parse(&words).with_context(|| format!("no fault is called {words}"))?),
        Err(_) => None,
    };
    let with_host = match host::is_possible() {
        Ok(()) => true,
        Err(missing) => {
            testkit::skip(missing); // No host on libvirt; the simulated ones run.
            false
        }
    };
    println!("seed {seed}, {minutes} minutes of faults: repeat with ARAME_SEED={seed} ARAME_CHAOS_MINUTES={minutes}");
    let options = Options {
        seed,
        time: Duration::from_secs_f64(minutes * 60.0),
        programs: processes::programs()?,
        holds: if is_long || only.is_some() { Holds::LONG } else { Holds::SHORT },
        sabotage,
        with_host,
        only,
    };
    let told = campaign::run(&options).await.with_context(|| format!("seed {seed}"))?;
    println!("{}", told.text);
    ensure!(told.verdicts.iter().all(Verdict::is_clean), "seed {seed}: see the verdicts above");
    campaign::visited(&told, &options, is_long && only.is_none())
}
