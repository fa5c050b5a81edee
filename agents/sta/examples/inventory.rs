//! How long an inventory takes with many volumes and targets.
//!
//! Promise checked: an inventory every 20 s (limits::INVENTORY_INTERVAL) costs well under 1 % of it with 500 volumes,
//! all exported. Usage, as root, with a tgtd on its own socket:
//!
//! ```text
//! TGT_IPC_SOCKET=DIR/tgtd tgtd -f -C 1 --iscsi portal=127.0.0.1:3260 &
//! cargo run --release --example inventory -- DIR 500
//! ```

use anyhow::Context;
use arame_framework::agent::{Agent, Standing, Work};
use arame_schema::jobs::Job;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().context("a folder is needed")?;
    let count: u32 = arguments.next().unwrap_or_else(|| "500".into()).parse()?;
    let config = include_str!("../sta.example.toml")
        .replace("/var/lib/arame/sta", &root)
        .replace("/srv/arame", &format!("{root}/data"))
        .replace("/run/arame/tgtd", &format!("{root}/tgtd"))
        .replace("control_port = 7", "control_port = 1");
    let sta = arame_sta::agent::build(toml::from_str(&config)?).await?;
    let standing = Standing::new(Uuid::new_v4(), 1);
    sta.joined(standing.clone()).await;

    for (kind, name) in [("sta.volume.create", "create"), ("sta.volume.export", "export")] {
        let mut times = Vec::new();
        for at in 0..count {
            let body = json!({
                "volume": format!("vol-{at}"), "account": "a-x", "key": format!("k{at}"), "size_bytes": 64 << 20,
                "attachment": format!("att-{at}"), "epoch": 1, "initiator_iqn": "iqn.2026-11.jp.arame:h1",
                "chap_user": format!("u{at}"), "chap_secret": "0123456789abcdef",
            });
            let job: Job = serde_json::from_value(json!({ "kind": kind, "body": body }))?;
            let begun = Instant::now();
            let answer = sta.handle(job, work(&standing)).await;
            times.push(begun.elapsed());
            anyhow::ensure!(answer.is_ok(), "{answer:?}");
        }
        print(name, times);
    }
    let mut times = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        let listing = sta.list(standing.observe()).await;
        times.push(begun.elapsed());
        anyhow::ensure!(listing.things.len() == 2 * count as usize, "{} things", listing.things.len());
    }
    print("inventory", times);
    Ok(())
}

fn work(standing: &Standing) -> Work {
    let (progress, _) = tokio::sync::mpsc::channel(1);
    let budget = Duration::from_secs(60);
    Work::new(Uuid::new_v4(), String::new(), 1, standing.clone(), budget, CancellationToken::new(), progress)
}

fn print(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let (count, median, worst) = (times.len(), times[times.len() / 2], times[times.len() - 1]);
    println!("{name}: {count} runs, median {median:.1?}, worst {worst:.1?}");
}
