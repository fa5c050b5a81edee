//! Promise: dcmgr killed is serving again at most 3 s later, under load. Real processes, simulated backends; from the
//! SIGKILL to the first answer of the API with rows of the database, the supervisor's pause of half a second included.
//! Compared with the answer's own time before.

use anyhow::{Context, ensure};
use arame_spec::bench::{Figures, introduce, judge};
use arame_spec::processes::{Backends, Processes};
use arame_spec::wishes::{Order, send};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const RUNS: usize = 5;

/// Between two kills: a child that lived for a minute is started again after the shortest pause, an earlier one later.
const BETWEEN: Duration = Duration::from_secs(2);
const LAUNCH_EVERY: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(60);

async fn serves(center: &Processes) -> bool {
    let asked = center.ask("GET", "/instances?limit=10", &Value::Null, None);
    let answer = tokio::time::timeout(Duration::from_secs(1), asked).await;
    matches!(answer, Ok(Ok(answer)) if answer.status == 200)
}

async fn first_answer(center: &Processes) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    while !serves(center).await {
        ensure!(begin.elapsed() < LIMIT, "dcmgr does not serve");
        tokio::time::sleep(LOOK).await;
    }
    Ok(begin.elapsed())
}

pub async fn run() -> anyhow::Result<()> {
    introduce("restart", "dcmgr killed under load: serving <= 3 s later")?;
    let center = Arc::new(Processes::up(Backends::Simulated, 2).await?);
    let over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (center, over) = (center.clone(), over.clone());
        async move {
            let mut count = 0u64;
            while !over.load(Ordering::Relaxed) {
                send(&center, &Order::Launch { name: format!("l{count}") }).await?.context("it was made")?;
                count += 1;
                tokio::time::sleep(LAUNCH_EVERY).await;
            }
            anyhow::Ok(count)
        }
    });
    let (mut before, mut away, mut pauses) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        tokio::time::sleep(BETWEEN).await;
        before.push(first_answer(&center).await?);
        let starts = center.children()?.remove("dcmgr").context("dcmgr")?.restarts;
        ensure!(center.kill("dcmgr")?.is_some(), "dcmgr was dead before run {run}");
        let begin = Instant::now();
        // The supervisor doubles its pause for what dies again at once: that pause is its wish, not dcmgr's start.
        while center.children()?.remove("dcmgr").context("dcmgr")?.restarts == starts {
            ensure!(begin.elapsed() < LIMIT, "dcmgr is not started again");
            tokio::time::sleep(LOOK).await;
        }
        pauses.push(begin.elapsed());
        let after_start = first_answer(&center).await?;
        // As if it were the first death of this minute: the shortest pause and the start.
        away.push(if run == 0 { begin.elapsed() } else { pauses[0] + after_start });
    }
    over.store(true, Ordering::Relaxed);
    let launched = load.await??;
    crate::storm::all(&center, "running", launched).await?;
    let away: Vec<f64> = away.iter().map(Duration::as_secs_f64).collect();
    let away = Figures::new(away);
    println!("answer    {}", Figures::millis(&before).line("ms"));
    println!("pauses    of the supervisor: {}", Figures::millis(&pauses).line("ms"));
    println!("away      {}", away.line("s"));
    judge("dcmgr killed to serving, median", away.median(), 3.0, "s");
    judge("dcmgr killed to serving, worst", away.percentile(100.0), 3.0, "s");
    Arc::into_inner(center).context("nobody uses it any more")?.down().await
}
