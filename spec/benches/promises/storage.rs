//! Promise: a storage node with 500 volumes in a file store lists itself within 1 s, makes one more no slower than a node with 10,
//! and takes at most 30 MB of resident memory; a clone of a snapshot, exported and attached to a running machine, takes at most
//! 300 ms of our own time. The two nodes of the comparison are made in this process, on one file system, and asked by turns. The
//! rest is real processes and a durable database; files are real and empty, exports and hypervisor simulated without latency, so
//! that all of the time is ours but what MariaDB and the disk take to commit.

use super::idle::resident_mb;
use anyhow::{Context, ensure};
use arame_framework::agent::{Agent, Standing, Work};
use arame_schema::jobs::Job;
use arame_schema::jobs::report::BackendStatus;
use arame_spec::bench::{Figures, introduce, judge};
use arame_spec::processes::{Answer, Backends, Processes, until};
use arame_spec::wishes::{Order, send};
use arame_sta::Sta;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const MANY: usize = 500;
const FEW: usize = 10;
const LISTINGS: usize = 11;
const CREATES: usize = 51;
const CLONES: usize = 31;
const WARM: usize = 3;
/// Asked for at once: a volume is a job, and a node does several.
const AT_ONCE: usize = 8;
/// More than "no slower" by what medians of so few runs differ on a shared disk.
const NO_SLOWER: f64 = 1.1;
/// Several inventories.
const REST: Duration = Duration::from_secs(45);
const LOOK: Duration = Duration::from_millis(5);
const LOOKS_END: Duration = Duration::from_secs(60);

/// A storage agent alone, on a folder of its own.
struct Node {
    sta: Arc<Sta>,
    standing: Standing,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn with(count: usize) -> anyhow::Result<Node> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().display();
        let text = format!(
            "[common]\nagent = 'sta.s1'\nkey_file = 'x'\nstate_dir = '{root}/state'\n[common.broker]\nhost = 'x'\nport = 1\n\
             vhost = 'x'\nuser = 'x'\npassword_file = 'x'\n[sta]\nnode = 'sn-s1'\nstore = 'file'\ndata_dir = '{root}/data'\n\
             [sta.export]\ndriver = 'sim'\nportal = '127.0.0.1:3260'\n"
        );
        let sta = arame_sta::agent::build(toml::from_str(&text)?).await?;
        let standing = Standing::new(Uuid::new_v4(), 1);
        sta.joined(standing.clone()).await;
        let node = Node { sta, standing, _folder: folder };
        for n in 0..count {
            node.create(&format!("v{n}")).await?;
        }
        Ok(node)
    }

    async fn run(&self, key: &str, kind: &str, mut body: Value) -> anyhow::Result<()> {
        let thing = format!("vol-{key}");
        body["volume"] = json!(thing);
        body["key"] = json!(key);
        let job: Job = serde_json::from_value(json!({ "kind": kind, "body": body }))?;
        let work = Work::for_tests_in(&self.standing, &thing, 1);
        let answer = self.sta.handle(job, work).await;
        ensure!(answer.is_ok(), "{kind} {key}: {answer:?}");
        Ok(())
    }

    async fn create(&self, key: &str) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        self.run(key, "sta.volume.create", json!({ "account": "a-bench", "size_bytes": 1 << 20 })).await?;
        Ok(begin.elapsed())
    }

    async fn delete(&self, key: &str) -> anyhow::Result<()> {
        self.run(key, "sta.volume.delete", json!({})).await
    }

    async fn list(&self, count: usize) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let listing = self.sta.list(self.standing.observe()).await;
        let took = begin.elapsed();
        ensure!(listing.backends.iter().all(|backend| backend.status == BackendStatus::Complete), "not complete");
        let volumes = listing.things.iter().filter(|thing| thing.kind == "volume").count();
        ensure!(volumes == count, "{volumes} volumes are listed of {count}");
        Ok(took)
    }
}

async fn alone() -> anyhow::Result<()> {
    let (few, many) = (Node::with(FEW).await?, Node::with(MANY).await?);
    let mut listings = Vec::new();
    for _ in 0..LISTINGS {
        listings.push(many.list(MANY).await?);
    }
    let listings = Figures::millis(&listings);
    println!("inventory of {MANY} volumes: {}", listings.line("ms"));
    judge("inventory, median", listings.median(), 1_000.0, "ms");
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    for n in 0..CREATES {
        let key = format!("c{n}");
        of_few.push(few.create(&key).await?);
        of_many.push(many.create(&key).await?);
        few.delete(&key).await?;
        many.delete(&key).await?;
    }
    let (of_few, of_many) = (Figures::millis(&of_few), Figures::millis(&of_many));
    println!("create    beside {FEW}: {}; beside {MANY}: {}", of_few.line("ms"), of_many.line("ms"));
    judge("create beside many by create beside few, medians", of_many.median() / of_few.median(), NO_SLOWER, "");
    Ok(())
}

/// The storage node again, with files instead of words.
async fn on_files(center: &Processes) -> anyhow::Result<()> {
    let path = center.path("etc/sta.s1.toml");
    let mut file: toml::Table = toml::from_str(&std::fs::read_to_string(&path)?)?;
    let sta = file.get_mut("sta").and_then(toml::Value::as_table_mut).context("[sta]")?;
    sta.insert("store".into(), "file".into());
    // A disk that is nearly full is another bench's trouble.
    sta.insert("keep_free_mib".into(), 64.into());
    std::fs::write(&path, toml::to_string(&file)?)?;
    center.kill("sta.s1")?;
    center.all_alive().await?;
    let is_well = async || {
        let nodes = center.get("/storage_nodes").await?;
        let one = nodes[0]["results"][0].clone();
        Ok(one["storage_type"] == "file" && one["status"] == "online" && one["degraded"].is_null())
    };
    until("the storage node keeps files", is_well).await
}

async fn asked(center: &Processes, method: &str, path: &str, body: &Value) -> anyhow::Result<String> {
    let answer: Answer = center.insist(method, path, body, Some(&Uuid::new_v4().to_string())).await?;
    ensure!(answer.status == 200, "{method} {path}: {answer:?}");
    Ok(answer.body["id"].as_str().unwrap_or_default().to_owned())
}

async fn reaches(center: &Processes, path: &str, state: &str) -> anyhow::Result<()> {
    let end = Instant::now() + LOOKS_END;
    loop {
        let now = center.get(path).await?;
        if now["state"] == state {
            return Ok(());
        }
        ensure!(now["state"] != "failed" && Instant::now() < end, "{path}: {now}");
        tokio::time::sleep(LOOK).await;
    }
}

async fn volume(center: &Processes, body: &Value) -> anyhow::Result<String> {
    let id = asked(center, "POST", "/volumes", body).await?;
    reaches(center, &format!("/volumes/{id}"), "available").await?;
    Ok(id)
}

async fn clones(center: &Processes, machine: &str) -> anyhow::Result<()> {
    let of = volume(center, &json!({ "volume_size": 64 })).await?;
    let snapshot = asked(center, "POST", "/volume_snapshots", &json!({ "volume_id": of })).await?;
    reaches(center, &format!("/volume_snapshots/{snapshot}"), "available").await?;
    let mut times = Vec::new();
    for n in 0..WARM + CLONES {
        let begin = Instant::now();
        let id = volume(center, &json!({ "snapshot_id": snapshot })).await?;
        let path = format!("/volumes/{id}");
        asked(center, "PUT", &format!("{path}/attach"), &json!({ "instance_id": machine })).await?;
        reaches(center, &path, "attached").await?;
        if n >= WARM {
            times.push(begin.elapsed());
        }
        asked(center, "PUT", &format!("{path}/detach"), &Value::Null).await?;
        reaches(center, &path, "available").await?;
        asked(center, "DELETE", &path, &Value::Null).await?;
        reaches(center, &path, "deleted").await?;
    }
    let times = Figures::millis(&times);
    println!("clone     POST of the volume to attached: {}", times.line("ms"));
    judge("clone, export and attach, median", times.median(), 300.0, "ms");
    Ok(())
}

async fn memory(center: &Processes) -> anyhow::Result<()> {
    let held =
        || async { Ok::<_, anyhow::Error>(center.get("/storage_nodes").await?[0]["results"][0]["volumes"].as_u64()) };
    let there = usize::try_from(held().await?.context("how many volumes it has")?)?;
    let mut left = MANY.saturating_sub(there);
    while left > 0 {
        let now = left.min(AT_ONCE);
        let body = json!({ "volume_size": 64 });
        let made = futures_util::future::join_all((0..now).map(|_| volume(center, &body))).await;
        made.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        left -= now;
    }
    ensure!(held().await? == Some(MANY as u64), "not {MANY} volumes");
    tokio::time::sleep(REST).await;
    let children = center.children()?;
    let sta = children.get("sta.s1").context("the storage agent")?;
    judge("memory of sta.s1 with 500 volumes", resident_mb(sta.pid)?, 30.0, "MB");
    Ok(())
}

pub async fn run() -> anyhow::Result<()> {
    let promise =
        "500 volumes: inventory <= 1 s, create no slower than with 10, sta <= 30 MB; clone + export + attach <= 300 ms";
    introduce("storage", promise)?;
    alone().await?;
    let mut center = Processes::up(Backends::Simulated, 1).await?;
    let machine = send(&center, &Order::Launch { name: "m1".into() }).await?.context("it was made")?;
    reaches(&center, &format!("/instances/{machine}"), "running").await?;
    on_files(&center).await?;
    clones(&center, &machine).await?;
    memory(&center).await?;
    center.down().await
}
