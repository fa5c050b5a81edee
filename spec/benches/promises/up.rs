//! Promise: `arame up` takes at most 6 s more than MariaDB and RabbitMQ themselves need side by side, `--sim` at most
//! 2 s more, and run again with all up at most 1 s. Compared with the two servers alone, started by
//! `--infrastructure-only` in turn with the whole: the longer of the two steps it shows, without what `arame` itself adds.

use anyhow::Context;
use arame_spec::bench::{Figures, introduce, judge};
use arame_spec::processes::{Backends, Processes, Start, programs};
use std::time::Instant;

const RUNS: usize = 5;

/// Seconds of the longer of the two servers' steps, from lines like `  ✓ MariaDB  3.7 s`.
fn servers(printed: &str) -> anyhow::Result<f64> {
    let step = |name: &str| {
        let line = printed.lines().find(|line| line.contains(name) && line.trim_end().ends_with('s'))?;
        line.split_whitespace().rev().nth(1)?.parse::<f64>().ok()
    };
    let (database, broker) = (step("MariaDB"), step("RabbitMQ"));
    Ok(database.context("no line about MariaDB")?.max(broker.context("no line about RabbitMQ")?))
}

async fn whole(backends: Backends) -> anyhow::Result<(f64, f64)> {
    let begin = Instant::now();
    let mut center = Processes::up_with(&programs()?, Start { backends, ..Start::default() }).await?;
    let first = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    center.up_again().await?;
    let again = begin.elapsed().as_secs_f64();
    center.down().await?;
    Ok((first, again))
}

async fn alone(backends: Backends) -> anyhow::Result<f64> {
    let start = Start { backends, infrastructure_only: true, ..Start::default() };
    let mut center = Processes::up_with(&programs()?, start).await?;
    let seconds = servers(center.printed())?;
    center.down().await?;
    Ok(seconds)
}

async fn measure(backends: Backends, runs: usize, more: f64) -> anyhow::Result<()> {
    let (mut bare, mut full, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        bare.push(alone(backends).await?);
        let (first, second) = whole(backends).await?;
        full.push(first);
        again.push(second);
    }
    let (bare, full, again) = (Figures::new(bare), Figures::new(full), Figures::new(again));
    println!("servers   {}", bare.line("s"));
    println!("whole     {}", full.line("s"));
    println!("again     {}", again.line("s"));
    judge(&format!("{backends:?}: more than the servers"), full.median() - bare.median(), more, "s");
    judge(&format!("{backends:?}: run again with all up"), again.median(), 1.0, "s");
    Ok(())
}

pub async fn run() -> anyhow::Result<()> {
    introduce("up", "--sim <= 2 s more than MariaDB and RabbitMQ alone, real <= 6 s more, again <= 1 s")?;
    measure(Backends::Simulated, RUNS, 2.0).await?;
    if std::env::var_os("ARAME_BENCH_REAL").is_none() || !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root and ARAME_BENCH_REAL=1 (namespaces, libvirt, Open vSwitch)");
        return Ok(());
    }
    measure(Backends::Real, 3, 6.0).await
}
