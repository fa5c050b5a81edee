//! Promise: 200 instances asked for at once with simulated drivers all run, without an error, at 40 a second or more;
//! one launch costs at most 10 commits and 8 messages. The counts are checked: beyond them this bench fails. Compared
//! with the floor: what one launch costs when it is alone (bench `launch`).

use anyhow::{Context, ensure};
use arame_spec::bench::{Figures, introduce};
use arame_spec::processes::{Backends, Processes};
use arame_spec::wishes::{Order, Wishes, send};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const LAUNCHES: usize = 200;
const RUNS: usize = 3;
pub(crate) const COMMITS_MAX: f64 = 10.0;
pub(crate) const MESSAGES_MAX: f64 = 8.0;
const PATIENCE: Duration = Duration::from_secs(180);

const COMMITS: &str = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'COM_COMMIT'";

pub(crate) struct Costs {
    pub(crate) commits: f64,
    pub(crate) rings: f64,
    pub(crate) outcomes: f64,
}

pub(crate) async fn costs(center: &Processes) -> anyhow::Result<Costs> {
    Ok(Costs {
        commits: center.number(COMMITS).await? as f64,
        rings: center.counter("arame_rings_total").await?,
        outcomes: center.counter("arame_outcomes_total").await?,
    })
}

pub(crate) async fn all(center: &Processes, state: &str, count: u64) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let there = center.number(&format!("SELECT COUNT(*) FROM instances WHERE state = '{state}'")).await?;
        let failed = center.number("SELECT COUNT(*) FROM instances WHERE state = 'failed'").await?;
        ensure!(failed == 0, "{failed} failed");
        if there == count {
            return Ok(());
        }
        ensure!(Instant::now() < end, "only {there} of {count} are {state}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn send_all(
    center: &Arc<Processes>,
    orders: Vec<Order>,
) -> anyhow::Result<Vec<(Order, Option<String>)>> {
    let mut sent = JoinSet::new();
    for order in orders {
        let center = center.clone();
        sent.spawn(async move { send(&center, &order).await.map(|made| (order, made)) });
    }
    let mut answers = Vec::new();
    while let Some(answer) = sent.join_next().await {
        answers.push(answer??);
    }
    Ok(answers)
}

/// One storm: how long it took, and what each launch of it cost.
async fn storm(center: &Arc<Processes>, run: usize, wishes: &mut Wishes) -> anyhow::Result<(f64, Costs)> {
    let before = costs(center).await?;
    let begin = Instant::now();
    let orders = (0..LAUNCHES).map(|n| Order::Launch { name: format!("r{run}n{n}") }).collect();
    for (order, made) in send_all(center, orders).await? {
        wishes.note(&order, made);
    }
    all(center, "running", LAUNCHES as u64).await?;
    let took = begin.elapsed().as_secs_f64();
    let after = costs(center).await?;
    let each = |after: f64, before: f64| (after - before) / LAUNCHES as f64;
    let cost = Costs {
        commits: each(after.commits, before.commits),
        rings: each(after.rings, before.rings),
        outcomes: each(after.outcomes, before.outcomes),
    };
    Ok((took, cost))
}

pub async fn run() -> anyhow::Result<()> {
    introduce("storm", "200 launches at once: no error, >= 40 a second, <= 10 commits and <= 8 messages each")?;
    let center = Arc::new(Processes::up(Backends::Simulated, 4).await?);
    let (mut rates, mut commits, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        let mut wishes = Wishes::default();
        let (took, cost) = storm(&center, run, &mut wishes).await?;
        rates.push(LAUNCHES as f64 / took);
        commits.push(cost.commits);
        messages.push(cost.rings + cost.outcomes);
        let begin = Instant::now();
        let deletes = wishes.machines.keys().map(|id| Order::Delete { machine: id.clone() }).collect();
        send_all(&center, deletes).await?;
        all(&center, "terminated", (LAUNCHES * (run + 1)) as u64).await?;
        println!(
            "run {run}     {LAUNCHES} running after {took:.1} s, gone {:.1} s later; each launch: {:.1} commits, {:.1} jobs rung, {:.1} outcomes",
            begin.elapsed().as_secs_f64(),
            cost.commits,
            cost.rings,
            cost.outcomes
        );
    }
    let rate = Figures::new(rates).median();
    let (commits, messages) = (Figures::new(commits).median(), Figures::new(messages).median());
    let word = if rate >= 40.0 { "kept" } else { "NOT KEPT" };
    println!("{word:9} rate: {rate:.1} a second (promised: at least 40), n {RUNS}");
    println!(
        "costs     {commits:.1} commits and {messages:.1} messages a launch (budget {COMMITS_MAX} and {MESSAGES_MAX})"
    );
    let mut center = Arc::into_inner(center).context("nobody uses it any more")?;
    center.down().await?;
    ensure!(commits <= COMMITS_MAX, "a launch costs {commits:.1} commits");
    ensure!(messages <= MESSAGES_MAX, "a launch costs {messages:.1} messages");
    Ok(())
}
