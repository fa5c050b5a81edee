//! Promise checked: one nsa carries a thousand networks of fifty hosts; an apply costs a few milliseconds.
//!
//! `cargo run --release --example thousand_networks [NETWORKS] [HOSTS]`, over the simulated switch without sockets.
//! Prints apply times, the time of a restart, and resident memory.

use arame_framework::agent::{Agent, Standing, Work};
use arame_nsa::agent::NsaAgent;
use arame_nsa::config::{Driver, Nsa, Sim};
use arame_schema::jobs::Job;
use arame_schema::jobs::nsa::{ApplyNetwork, NetworkSnapshot};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

fn snapshot(n: usize, hosts: usize) -> anyhow::Result<NetworkSnapshot> {
    let host = |h: usize| {
        json!({ "vif": format!("vif-{n}x{h}"), "instance": format!("i-{n}x{h}"), "hostname": format!("host{h}"),
            "mac": format!("52:54:{:02x}:{:02x}:{:02x}:{:02x}", n >> 8, n & 255, h >> 8, h & 255),
            "ipv4": format!("10.0.{}.{}", (h + 10) >> 8, (h + 10) & 255) })
    };
    let hosts: Vec<_> = (0..hosts).map(host).collect();
    Ok(serde_json::from_value(json!({
        "network": format!("nw-n{n}"), "account": "a-bench", "vlan_tag": n % 4094 + 1, "subnet": "10.0.0.0/16",
        "gateway": "10.0.0.1", "server": "10.0.0.2", "domain": format!("n{n}.example"), "mtu": 1450,
        "lease_seconds": 3600, "ttl_seconds": 60, "hosts": hosts }))?)
}

fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / 1_048_576.0
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let networks = arguments.next().transpose()?.unwrap_or(1000);
    let hosts = arguments.next().transpose()?.unwrap_or(50);
    let data_dir = std::env::temp_dir().join(format!("arame-nsa-bench-{}", std::process::id()));
    let config = Nsa {
        driver: Driver::Sim,
        data_dir: data_dir.clone(),
        switch: None,
        questions_per_second: 20_000,
        identity: "nsa.n1".into(),
        sim: Sim::default(),
    };
    println!("resident before: {:.1} MiB", resident_mib());
    let agent = NsaAgent::start(&config)?;
    let standing = Standing::new(Uuid::nil(), 1);
    agent.joined(standing.clone()).await;
    for version in 1..=2 {
        let mut times = Vec::new();
        let all = Instant::now();
        for n in 0..networks {
            let snapshot = snapshot(n, hosts)?;
            let (progress, _) = mpsc::channel(1);
            let thing = snapshot.network.to_string();
            let (budget, token) = (Duration::from_secs(60), CancellationToken::new());
            let work = Work::new(Uuid::nil(), thing, version, standing.clone(), budget, token, progress);
            let start = Instant::now();
            let job = Job::ApplyNetwork(Box::new(ApplyNetwork { snapshot, history: 1 }));
            agent.handle(job, work).await.map_err(|stopped| anyhow::anyhow!("{stopped:?}"))?;
            times.push(start.elapsed());
        }
        times.sort();
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        println!(
            "version {version}: {networks} networks of {hosts} hosts in {:?}; one apply p50 {:?} p99 {:?}; resident {:.1} MiB",
            all.elapsed(),
            at(50),
            at(99),
            resident_mib()
        );
    }
    drop(agent);
    let start = Instant::now();
    let agent = NsaAgent::start(&config)?;
    println!("restart: every snapshot in memory after {:?}; resident {:.1} MiB", start.elapsed(), resident_mib());
    drop(agent);
    std::fs::remove_dir_all(data_dir)?;
    Ok(())
}
