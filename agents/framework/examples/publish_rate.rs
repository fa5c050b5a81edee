//! Promise: at least 3,000 confirmed publishes a second from 16 tasks, one alone at p50 below 2 ms, a message from
//! publish to handler below 3 ms, on the two-core machine this is developed on. Peer: none; the figure before it
//! counts (five runs, medians).
//!
//! Run: `cargo run --release -p arame-framework --example publish_rate`. Starts a private RabbitMQ and ends it.

use arame_framework::bus::amqp::{AmqpBus, Role};
use arame_framework::bus::{Address, Bus, Durability, Source};
use arame_framework::runtime::two_workers;
use arame_framework::testkit::{DCMGR, Rabbit, agent};
use std::sync::Arc;
use std::time::{Duration, Instant};

const RUNS: usize = 5;
const TASKS: usize = 16;
const EACH: usize = 400;
const JOB: Durability = Durability::Persistent { expires: Some(Duration::from_secs(60)) };

fn median<T: Ord + Copy>(mut values: Vec<T>, of_hundred: usize) -> T {
    values.sort_unstable();
    values[(values.len() * of_hundred / 100).min(values.len() - 1)]
}

async fn up(bus: &Arc<AmqpBus>) -> anyhow::Result<()> {
    bus.link().wait_for(|link| link.up).await?;
    Ok(())
}

async fn bench() -> anyhow::Result<()> {
    let server = Rabbit::private()?;
    let realm = server.realm()?;
    let dcmgr = AmqpBus::connect(&realm.broker(DCMGR), Role::Dcmgr).await?;
    let host = AmqpBus::connect(&realm.broker("hva.h1"), Role::Agent(agent("hva.h1"))).await?;
    up(&dcmgr).await?;
    up(&host).await?;
    let to = Address::Agent(agent("hva.h1"));
    let mut jobs = host.subscribe(Source::AgentJobs(agent("hva.h1")), 200).await;
    let begun = Instant::now();
    // Nanoseconds since `begun`, in the message: how long until it is in a handler's hands.
    let reader = tokio::spawn(async move {
        let mut ages = Vec::new();
        while let Some(delivery) = jobs.recv().await {
            let text = String::from_utf8_lossy(&delivery.body);
            let sent = text.trim_start().parse::<u128>().unwrap_or_default();
            delivery.ack();
            if sent == 0 {
                break;
            }
            ages.push(begun.elapsed().as_nanos().saturating_sub(sent));
        }
        ages
    });
    // Padded to about the size of a small job.
    let stamp = move || format!("{:>700}", begun.elapsed().as_nanos()).into_bytes();
    let mut alone = Vec::new();
    for _ in 0..500 {
        let one = Instant::now();
        dcmgr.publish(&to, JOB, stamp()).await?;
        alone.push(one.elapsed());
    }
    println!("one at a time: p50 {:?}, p99 {:?}", median(alone.clone(), 50), median(alone, 99));
    dcmgr.publish(&to, JOB, b"0".to_vec()).await?;
    let ages = reader.await?;
    let micros: Vec<u128> = ages.iter().map(|nanos| nanos / 1000).collect();
    println!("publish to handler: p50 {} us, p99 {} us", median(micros.clone(), 50), median(micros, 99));
    let mut jobs = host.subscribe(Source::AgentJobs(agent("hva.h1")), 200).await;
    tokio::spawn(async move {
        while let Some(delivery) = jobs.recv().await {
            delivery.ack();
        }
    });
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let run = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..TASKS {
            let (dcmgr, to) = (dcmgr.clone(), to.clone());
            tasks.spawn(async move {
                for _ in 0..EACH {
                    dcmgr.publish(&to, JOB, stamp()).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        let rate = (TASKS * EACH) as f64 / run.elapsed().as_secs_f64();
        println!("{TASKS} tasks: {rate:.0} confirmed publishes/s");
        rates.push(rate as u64);
    }
    println!("median of {RUNS} runs: {} confirmed publishes/s", median(rates, 50));
    dcmgr.close().await;
    host.close().await;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    two_workers()?.block_on(bench())
}
