//! Promise: from POST to the moment the hypervisor is asked to start the guest, one at a time, warm image, p50 at most
//! 120 ms (goal 60), p99 at most 400 ms. Real processes, simulated backends without latency. Measured later than
//! promised: at the line the hva writes when the job has ended. Compared with the floor of this machine: as many
//! commits in a row as one launch makes, on the same MariaDB.

use anyhow::{Context, ensure};
use arame_spec::bench::{Figures, introduce, judge};
use arame_spec::processes::{Backends, Processes};
use arame_spec::wishes::{Order, send};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const WARM: usize = 5;
const RUNS: usize = 100;

/// Between two looks at an instance that is about to run.
const LOOK: Duration = Duration::from_millis(5);

async fn reaches(center: &Processes, id: &str, state: &str) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let now = center.get(&format!("/instances/{id}")).await?;
        if now["state"] == state {
            return Ok(());
        }
        ensure!(now["state"] != "failed" && Instant::now() < end, "{id}: {now}");
        tokio::time::sleep(LOOK).await;
    }
}

/// When each instance's apply job ended, from the agents' logs.
fn starts(center: &Processes) -> anyhow::Result<BTreeMap<String, SystemTime>> {
    let mut starts = BTreeMap::new();
    for agent in center.children()?.into_keys().filter(|name| name.starts_with("hva.")) {
        let log = std::fs::read_to_string(center.path(&format!("log/{agent}.log")))?;
        for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if line["fields"]["kind"] == "hva.instance.apply" && line["fields"]["message"] == "ended" {
                let thing = line["fields"]["thing"].as_str().context("a job has a thing")?;
                let stamp = line["timestamp"].as_str().context("a line has a time")?;
                starts.insert(thing.to_owned(), OffsetDateTime::parse(stamp, &Rfc3339)?.into());
            }
        }
    }
    Ok(starts)
}

/// Commits in a row on the data center's own database.
async fn commits(center: &Processes, count: u32) -> anyhow::Result<Duration> {
    let statements = "CREATE TABLE IF NOT EXISTS bench_floor (n INT PRIMARY KEY)";
    center.rows(statements).await?;
    let script: String = (0..count).map(|n| format!("INSERT INTO bench_floor VALUES ({n});")).collect();
    let begin = Instant::now();
    center.rows(&script).await?;
    let took = begin.elapsed();
    center.rows("DROP TABLE bench_floor").await?;
    Ok(took)
}

pub async fn run() -> anyhow::Result<()> {
    introduce("launch", "POST to the hypervisor's start: p50 <= 120 ms (goal 60), p99 <= 400 ms")?;
    let mut center = Processes::up(Backends::Simulated, 2).await?;
    let (mut posted, mut answered, mut running) = (BTreeMap::new(), Vec::new(), Vec::new());
    let before =
        center.number("SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'COM_COMMIT'");
    let before = before.await?;
    for n in 0..WARM + RUNS {
        let begin = (SystemTime::now(), Instant::now());
        let id = send(&center, &Order::Launch { name: format!("m{n}") }).await?.context("it was made")?;
        let answer = begin.1.elapsed();
        reaches(&center, &id, "running").await?;
        if n >= WARM {
            answered.push(answer);
            running.push(begin.1.elapsed());
            posted.insert(id.clone(), begin.0);
        }
        send(&center, &Order::Delete { machine: id.clone() }).await?;
        reaches(&center, &id, "terminated").await?;
    }
    let after =
        center.number("SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'COM_COMMIT'");
    let each = (after.await? - before) / (WARM + RUNS) as u64;
    let ended = starts(&center)?;
    let started = posted.iter().map(|(id, begin)| {
        let end = ended.get(id).with_context(|| format!("no line about {id}"))?;
        Ok(end.duration_since(*begin)?)
    });
    let started = Figures::millis(&started.collect::<anyhow::Result<Vec<_>>>()?);
    let mut floor = Vec::new();
    for _ in 0..11 {
        floor.push(commits(&center, 10).await?);
    }
    println!("POST      {}", Figures::millis(&answered).line("ms"));
    println!("start     {}", started.line("ms"));
    println!("running   {}", Figures::millis(&running).line("ms"));
    println!("floor     ten commits in a row: {}", Figures::millis(&floor).line("ms"));
    println!("commits   {each} for each launch and delete together");
    judge("p50 of POST to start", started.median(), 120.0, "ms");
    judge("p99 of POST to start", started.percentile(99.0), 400.0, "ms");
    center.down().await
}
