//! Promise: idle, dcmgr takes at most 60 MB and each agent at most 30 MB of resident memory, and all together at most
//! 1 % of one core. Compared with MariaDB and RabbitMQ, printed beside them, which are not ours.

use anyhow::Context;
use arame_spec::bench::{introduce, judge, processor_seconds};
use arame_spec::processes::{Backends, Processes};
use std::time::Duration;

/// What happens at the start is over after this.
const REST: Duration = Duration::from_secs(30);
const WATCH: Duration = Duration::from_secs(30);

pub fn resident_mb(pid: i32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("kB")?.parse::<f64>()? / 1000.0)
}

pub async fn run() -> anyhow::Result<()> {
    introduce("idle", "dcmgr <= 60 MB, each agent <= 30 MB, together <= 1 % of a core")?;
    let mut center = Processes::up(Backends::Simulated, 2).await?;
    tokio::time::sleep(REST).await;
    let children = center.children()?;
    let before: Vec<f64> =
        children.values().map(|child| processor_seconds(child.pid)).collect::<anyhow::Result<_>>()?;
    tokio::time::sleep(WATCH).await;
    let mut together = 0.0;
    for (child, before) in children.values().zip(before) {
        let share = (processor_seconds(child.pid)? - before) / WATCH.as_secs_f64() * 100.0;
        let resident = resident_mb(child.pid)?;
        println!("{:9} {resident:.1} MB resident, {share:.2} % of a core", child.name);
        match child.name.as_str() {
            "mariadb" | "rabbitmq" => continue,
            "dcmgr" => judge("dcmgr's memory", resident, 60.0, "MB"),
            agent => judge(&format!("memory of {agent}"), resident, 30.0, "MB"),
        }
        together += share;
    }
    judge("dcmgr and the agents together", together, 1.0, "% of a core");
    center.down().await
}
