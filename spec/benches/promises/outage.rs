//! Promise: the broker, then the database, is away for 60 s under load; 10 s after it is back all work has been resumed:
//! what was asked for before and meanwhile is done, and what is asked for then runs. Nothing fails or is lost, which is
//! checked. Real processes, simulated backends; away means dead: killed whenever it is started again. Compared with the
//! time a launch needs before the outage.

use crate::storm::all;
use anyhow::{Context, ensure};
use arame_spec::bench::{introduce, judge};
use arame_spec::processes::{Backends, PATIENCE, Processes};
use arame_spec::wishes::{Order, send};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

const AWAY: Duration = Duration::from_secs(60);

/// Between two launches, before, during and after.
const LAUNCH_EVERY: Duration = Duration::from_secs(1);

/// Load before and after the outage.
const AROUND: Duration = Duration::from_secs(5);

const LOOK: Duration = Duration::from_millis(20);

/// Whether the broker speaks AMQP again.
async fn broker_speaks(center: &Processes) -> anyhow::Result<bool> {
    let broker = center.broker()?;
    let greeted = async {
        let mut stream = tokio::net::TcpStream::connect((broker.host.as_str(), broker.port)).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        stream.read_u8().await
    };
    Ok(matches!(tokio::time::timeout(Duration::from_secs(1), greeted).await, Ok(Ok(_))))
}

async fn is_back(center: &Processes, name: &str) -> anyhow::Result<bool> {
    match name {
        "rabbitmq" => broker_speaks(center).await,
        _ => Ok(center.number("SELECT 1").await.is_ok()),
    }
}

async fn until(what: &str, condition: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    while !condition().await? {
        ensure!(begin.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(begin.elapsed())
}

/// A launch by a patient client.
async fn ask(center: &Processes, name: String) -> anyhow::Result<String> {
    send(center, &Order::Launch { name }).await?.context("it was made")
}

/// One launch until it runs.
async fn launch(center: &Processes, name: String) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let id = ask(center, name).await?;
    until("it runs", async || Ok(center.get(&format!("/instances/{id}")).await?["state"] == "running")).await?;
    Ok(begin.elapsed())
}

async fn outage(center: &Arc<Processes>, name: &'static str, launched: &Arc<AtomicU64>) -> anyhow::Result<()> {
    let before = launch(center, format!("{name}before")).await?;
    launched.fetch_add(1, Ordering::Relaxed);
    let over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (center, over, launched) = (center.clone(), over.clone(), launched.clone());
        async move {
            let mut sent = JoinSet::new();
            while !over.load(Ordering::Relaxed) {
                let n = launched.fetch_add(1, Ordering::Relaxed);
                let center = center.clone();
                sent.spawn(async move { ask(&center, format!("{name}{n}")).await });
                tokio::time::sleep(LAUNCH_EVERY).await;
            }
            while let Some(made) = sent.join_next().await {
                made??;
            }
            anyhow::Ok(())
        }
    });
    tokio::time::sleep(AROUND).await;
    let began = Instant::now();
    center.keep_away(name, AWAY).await?;
    until("it is back", async || is_back(center, name).await).await?;
    let (back, away) = (Instant::now(), began.elapsed());
    // By the database's clock, and after the last moment at which something could have been asked for in vain.
    let moment = center.rows("SELECT DATE_FORMAT(UTC_TIMESTAMP(3), '%Y-%m-%d %H:%i:%s.%f')").await?;
    let moment: String = moment.into_iter().next().and_then(|mut row| row.take(0)).context("the time")?;
    let waited = center.number("SELECT COUNT(*) FROM jobs WHERE open = 1").await?;
    let fresh = launch(center, format!("{name}after"));
    let open = format!("SELECT COUNT(*) FROM jobs WHERE open = 1 AND created_at <= '{moment}'");
    let old = format!("SELECT COUNT(*) FROM instances WHERE state <> 'running' AND created_at <= '{moment}'");
    let done =
        until("what waited is done", async || Ok(center.number(&open).await? == 0 && center.number(&old).await? == 0));
    let (fresh, done) = tokio::join!(fresh, done);
    launched.fetch_add(1, Ordering::Relaxed);
    let (fresh, done) = (fresh?, done?);
    let resumed = back.elapsed();
    tokio::time::sleep(AROUND).await;
    over.store(true, Ordering::Relaxed);
    load.await??;
    all(center, "running", launched.load(Ordering::Relaxed)).await?;
    println!(
        "{name:9} away {:.1} s; {waited} jobs waited and were done after {:.1} s, a launch sent then ran after {:.1} s (before: {:.2} s)",
        away.as_secs_f64(),
        done.as_secs_f64(),
        fresh.as_secs_f64(),
        before.as_secs_f64()
    );
    judge(&format!("{name} back to all work resumed"), resumed.as_secs_f64(), 10.0, "s");
    Ok(())
}

pub async fn run() -> anyhow::Result<()> {
    introduce("outage", "broker, then database, away for 60 s under load: all work resumed <= 10 s after it is back")?;
    let center = Arc::new(Processes::up(Backends::Simulated, 4).await?);
    let launched = Arc::new(AtomicU64::new(0));
    for name in ["rabbitmq", "mariadb"] {
        outage(&center, name, &launched).await?;
    }
    Arc::into_inner(center).context("nobody uses it any more")?.down().await
}
