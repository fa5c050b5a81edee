//! Promise: launches asked for without end by a crowd of clients run at 60 a second or more (goal 100), none fails; with
//! simulated drivers, a durable database, publisher confirms, the crowd and everything else on the same cores. One
//! launch costs at most 10 commits and 8 messages: these counts are checked, beyond them this bench fails. Compared with
//! what the same run's MariaDB and RabbitMQ do alone, tiny commits and confirmed publishes: of what these allow for the
//! counted commits and messages, at least 40 % is reached.

use crate::storm::{COMMITS_MAX, Costs, MESSAGES_MAX, all, costs, send_all};
use anyhow::{Context, ensure};
use arame_framework::bus::amqp::{AmqpBus, Role};
use arame_framework::bus::{Address, Bus, Durability, Source};
use arame_schema::model::AgentId;
use arame_spec::bench::{Figures, introduce, judge_least};
use arame_spec::processes::{Backends, Processes};
use arame_spec::wishes::{Order, Wishes, send};
use mysql_async::prelude::Queryable;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const HOSTS: u16 = 8;
const CLIENTS: usize = 32;
const RUNS: usize = 3;
const RUN: Duration = Duration::from_secs(15);

/// How long each raw limit is measured.
const RAW: Duration = Duration::from_secs(3);
const PUBLISHERS: usize = 64;
/// About what a job's message weighs.
const MESSAGE_BYTES: usize = 1_000;

/// What the servers do alone, each second.
struct Raw {
    commits_one: f64,
    commits_sixteen: f64,
    publishes: f64,
}

async fn commits(center: &Processes, connections: usize) -> anyhow::Result<f64> {
    center.rows("CREATE TABLE IF NOT EXISTS bench_raw (c INT, n INT, PRIMARY KEY (c, n))").await?;
    let mut writers = JoinSet::new();
    for c in 0..connections {
        let mut connection = center.connection().await?;
        writers.spawn(async move {
            let begin = Instant::now();
            let mut n = 0u32;
            while begin.elapsed() < RAW {
                connection.exec_drop("INSERT INTO bench_raw VALUES (?, ?)", (c, n)).await?;
                n += 1;
            }
            connection.disconnect().await?;
            Ok::<_, mysql_async::Error>(f64::from(n) / begin.elapsed().as_secs_f64())
        });
    }
    let mut together = 0.0;
    while let Some(rate) = writers.join_next().await {
        together += rate??;
    }
    center.rows("DROP TABLE bench_raw").await?;
    Ok(together)
}

/// Persistent messages to a quorum queue of the same kind as an agent's.
async fn publishes(center: &Processes) -> anyhow::Result<f64> {
    let nobody: AgentId = "hva.bench".parse()?;
    let bus = AmqpBus::connect(&center.broker()?, Role::Agent(nobody.clone())).await?;
    let mut link = bus.link();
    link.wait_for(|link| link.up).await?;
    let mut taken = bus.subscribe(Source::AgentJobs(nobody.clone()), 1000).await;
    let reader = tokio::spawn(async move {
        while let Some(delivery) = taken.recv().await {
            delivery.ack();
        }
    });
    let address = Address::Agent(nobody);
    let durability = Durability::Persistent { expires: Some(Duration::from_secs(60)) };
    // Until the queue is there nothing can be sent to it.
    while bus.publish(&address, durability, vec![b' '; MESSAGE_BYTES]).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut publishers = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let (bus, address) = (bus.clone(), address.clone());
        publishers.spawn(async move {
            let begin = Instant::now();
            let mut n = 0u32;
            while begin.elapsed() < RAW {
                bus.publish(&address, durability, vec![b' '; MESSAGE_BYTES]).await?;
                n += 1;
            }
            anyhow::Ok(f64::from(n) / begin.elapsed().as_secs_f64())
        });
    }
    let mut together = 0.0;
    while let Some(rate) = publishers.join_next().await {
        together += rate??;
    }
    bus.close().await;
    reader.await?;
    Ok(together)
}

async fn raw(center: &Processes) -> anyhow::Result<Raw> {
    let raw = Raw {
        commits_one: commits(center, 1).await?,
        commits_sixteen: commits(center, 16).await?,
        publishes: publishes(center).await?,
    };
    println!(
        "raw       {:.0} commits/s by one connection, {:.0} by sixteen; {:.0} confirmed publishes/s",
        raw.commits_one, raw.commits_sixteen, raw.publishes
    );
    Ok(raw)
}

/// What one run reached: launches a second, and what each cost.
struct Reached {
    rate: f64,
    cost: Costs,
    ids: Vec<String>,
}

async fn sustained(center: &Arc<Processes>, run: usize) -> anyhow::Result<Reached> {
    let before = costs(center).await?;
    let names: Vec<String> = center.children()?.into_keys().collect();
    let used = || names.iter().map(|name| center.processor_seconds(name)).collect::<anyhow::Result<Vec<f64>>>();
    let used_before = used()?;
    let begin = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let center = center.clone();
        clients.spawn(async move {
            let mut ids = Vec::new();
            while begin.elapsed() < RUN {
                let order = Order::Launch { name: format!("r{run}c{client}n{}", ids.len()) };
                ids.push(send(&center, &order).await?.context("it was made")?);
            }
            anyhow::Ok(ids)
        });
    }
    let mut ids = Vec::new();
    while let Some(made) = clients.join_next().await {
        ids.extend(made??);
    }
    all(center, "running", ids.len() as u64).await?;
    let took = begin.elapsed().as_secs_f64();
    let after = costs(center).await?;
    let count = ids.len() as f64;
    let each = |after: f64, before: f64| (after - before) / count;
    let cost = Costs {
        commits: each(after.commits, before.commits),
        rings: each(after.rings, before.rings),
        outcomes: each(after.outcomes, before.outcomes),
    };
    let used_after = used()?;
    let shares = names.iter().zip(used_after.iter().zip(&used_before));
    let shares: Vec<String> =
        shares.map(|(name, (after, before))| format!("{name} {:.1}", (after - before) / count * 1000.0)).collect();
    println!(
        "run {run}     {count} launches, all running after {took:.1} s: {:.1} a second; each: {:.1} commits, {:.1} jobs rung, {:.1} outcomes",
        count / took,
        cost.commits,
        cost.rings,
        cost.outcomes
    );
    println!("          processor, ms a launch: {}", shares.join(", "));
    Ok(Reached { rate: count / took, cost, ids })
}

pub async fn run() -> anyhow::Result<()> {
    introduce("sustained", "launches without end: >= 60 a second (goal 100), 0 failed, >= 40 % of the raw limits")?;
    let center = Arc::new(Processes::up(Backends::Simulated, HOSTS).await?);
    let before = raw(&center).await?;
    let (mut rates, mut commits, mut messages, mut gone) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for run in 0..RUNS {
        let reached = sustained(&center, run).await?;
        rates.push(reached.rate);
        commits.push(reached.cost.commits);
        messages.push(reached.cost.rings + reached.cost.outcomes);
        let mut wishes = Wishes::default();
        for id in &reached.ids {
            wishes.note(&Order::Launch { name: String::new() }, Some(id.clone()));
        }
        let begin = Instant::now();
        let deletes: Vec<Order> = wishes.machines.keys().map(|id| Order::Delete { machine: id.clone() }).collect();
        for some in deletes.chunks(CLIENTS) {
            send_all(&center, some.to_vec()).await?;
        }
        gone += reached.ids.len() as u64;
        all(&center, "terminated", gone).await?;
        println!("          gone {:.1} s later", begin.elapsed().as_secs_f64());
    }
    let after = raw(&center).await?;
    let (rate, commits, messages) =
        (Figures::new(rates).median(), Figures::new(commits).median(), Figures::new(messages).median());
    let mean = |a: f64, b: f64| (a + b) / 2.0;
    let allowed = |commits_per_second: f64| {
        let publishes = mean(before.publishes, after.publishes);
        1.0 / (commits / commits_per_second + messages / publishes)
    };
    let one = allowed(mean(before.commits_one, after.commits_one));
    let sixteen = allowed(mean(before.commits_sixteen, after.commits_sixteen));
    println!(
        "costs     {commits:.1} commits and {messages:.1} messages a launch (budget {COMMITS_MAX} and {MESSAGES_MAX})"
    );
    println!("allowed   {one:.1} launches/s by one connection's commits, {sixteen:.1} by sixteen's");
    judge_least("launches", rate, 60.0, "a second");
    judge_least("of what one connection's commits allow", rate / one * 100.0, 40.0, "%");
    judge_least("of what sixteen connections' commits allow", rate / sixteen * 100.0, 40.0, "%");
    Arc::into_inner(center).context("nobody uses it any more")?.down().await?;
    ensure!(commits <= COMMITS_MAX, "a launch costs {commits:.1} commits");
    ensure!(messages <= MESSAGES_MAX, "a launch costs {messages:.1} messages");
    Ok(())
}
