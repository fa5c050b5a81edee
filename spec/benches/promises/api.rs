//! Promise: with 20,000 instances in the database a GET of one takes at most 10 ms (p99) and at least 2,000 a second are
//! answered to 8 clients; beside 50 lists of 100 rows and 30 writes a second a page takes at most 60 ms (p99); a
//! credential is looked at within 0.2 ms when it is known and 2 ms when it is not; dcmgr stays within 100 MB. Compared
//! with the same server's `/healthz`, which asks the database one constant: what the connection and the server cost
//! alone. Pages at 200 lists a second are reported too. The plans of the queries are printed and the rows that they read
//! counted: none but `total` and deep offsets grows with the table.
//!
//! The rows are copies of one instance that was launched, as in `many`.

use anyhow::{Context, ensure};
use arame_spec::bench::{Figures, introduce, judge, judge_least};
use arame_spec::processes::{Backends, Processes};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const INSTANCES: usize = 20_000;
const CLIENTS: usize = 8;
const BUSY: Duration = Duration::from_secs(15);
/// Promised at this rate.
const LISTS_A_SECOND: u32 = 50;
/// Reported at this one.
const MORE_LISTS_A_SECOND: u32 = 200;
const WRITES_A_SECOND: u32 = 30;
const LOOKS: usize = 300;

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A client that costs next to nothing, as load generators are: it shares the two cores with what it measures.
struct Lean {
    stream: BufStream<TcpStream>,
    head: String,
}

impl Lean {
    async fn new(center: &Processes) -> anyhow::Result<Lean> {
        let stream = TcpStream::connect(center.listen()).await?;
        stream.set_nodelay(true)?;
        let head = format!("host: {}\r\nauthorization: Bearer {}\r\n", center.listen(), center.token());
        Ok(Lean { stream: BufStream::new(stream), head: head + "x-vdc-account-uuid: a-demo\r\n\r\n" })
    }

    /// Asks for one resource and reads the answer to its end.
    async fn get(&mut self, path: &str) -> anyhow::Result<()> {
        let request = format!("GET /api/12.03{path} HTTP/1.1\r\n{}", self.head);
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await?;
        let (mut line, mut length) = (String::new(), None);
        self.stream.read_line(&mut line).await?;
        ensure!(line.starts_with("HTTP/1.1 200"), "{path}: {line}");
        while line != "\r\n" {
            line.clear();
            ensure!(self.stream.read_line(&mut line).await? > 0, "{path}: the answer has no end");
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse()?);
            }
        }
        let mut body = vec![0; length.context("content-length")?];
        self.stream.read_exact(&mut body).await?;
        ensure!(body.starts_with(b"{"), "{path}: not an object");
        Ok(())
    }
}

/// Asks as fast as answers come, by each client; the times.
async fn hammer(
    center: &Arc<Processes>,
    paths: Arc<Vec<String>>,
    time: Duration,
) -> anyhow::Result<(Vec<Duration>, f64)> {
    let (mut clients, begin) = (JoinSet::new(), Instant::now());
    for n in 0..CLIENTS {
        let (center, paths) = (center.clone(), paths.clone());
        clients.spawn(async move {
            let (mut times, mut at, mut client) = (Vec::new(), n, Lean::new(&center).await?);
            while begin.elapsed() < time {
                let path = &paths[at * 7919 % paths.len()];
                let sent = Instant::now();
                client.get(path).await?;
                times.push(sent.elapsed());
                at += CLIENTS;
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Vec::new();
    while let Some(times) = clients.join_next().await {
        all.extend(times??);
    }
    let each_second = all.len() as f64 / begin.elapsed().as_secs_f64();
    Ok((all, each_second))
}

/// What became of lists and writes that were sent at their rates, whether they were answered or not.
struct Beside {
    pages: Vec<Duration>,
    writes: usize,
    refused: usize,
}

/// Lists and writes at their rates, beside each other.
async fn beside(center: &Arc<Processes>, lists: u32, time: Duration) -> anyhow::Result<Beside> {
    let (over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    let (writer, ending, count) = (center.clone(), over.clone(), written.clone());
    tasks.spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / WRITES_A_SECOND);
        let mut sent = JoinSet::new();
        while !ending.load(Ordering::Relaxed) {
            tick.tick().await;
            let (center, n) = (writer.clone(), count.fetch_add(1, Ordering::Relaxed));
            sent.spawn(async move {
                let body = json!({ "display_name": format!("bench {n}"), "rule": "" });
                center.ask("POST", "/security_groups", &body, None).await.map(|answer| answer.status)
            });
        }
        let mut refused = 0;
        while let Some(status) = sent.join_next().await {
            refused += usize::from(status?? != 200);
        }
        anyhow::Ok((None, refused))
    });
    let mut tick = tokio::time::interval(Duration::from_secs(1) / lists);
    let (begin, mut n) = (Instant::now(), 0_usize);
    while begin.elapsed() < time {
        tick.tick().await;
        let (center, start) = (center.clone(), n * 100 % INSTANCES.min(2_000));
        n += 1;
        tasks.spawn(async move {
            let sent = Instant::now();
            let answer = center.ask("GET", &format!("/instances?limit=100&start={start}"), &Value::Null, None).await?;
            let well = answer.status == 200;
            Ok((well.then(|| sent.elapsed()), usize::from(!well)))
        });
    }
    over.store(true, Ordering::Relaxed);
    let (mut pages, mut refused) = (Vec::new(), 0);
    while let Some(one) = tasks.join_next().await {
        let (page, more) = one??;
        pages.extend(page);
        refused += more;
    }
    Ok(Beside { pages, writes: written.load(Ordering::Relaxed), refused })
}

/// The times of pages at a rate, and how much was refused.
async fn pages_beside(center: &Arc<Processes>, lists: u32, time: Duration) -> anyhow::Result<(Figures, usize)> {
    let Beside { pages, writes, refused } = beside(center, lists, time).await?;
    ensure!(!pages.is_empty(), "no page was answered");
    let pages = Figures::millis(&pages);
    println!("page      {} at {lists} lists/s beside {writes} writes; {refused} refused", pages.line("ms"));
    Ok((pages, refused))
}

/// What a request costs beyond one whose credential is known, when its is not: each uses a token of its own once.
async fn credentials(center: &Arc<Processes>) -> anyhow::Result<(Figures, Figures)> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let client = reqwest::Client::new();
    let ask = async |secret: &str| -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let answer = client.get(center.url("/api/12.03/instance_types")).bearer_auth(secret).send().await?;
        answer.error_for_status()?.bytes().await?;
        Ok(begin.elapsed())
    };
    let mut secrets = Vec::new();
    for _ in 0..LOOKS / 3 {
        let made = center.ask("POST", "/tokens", &json!({ "role": "member" }), None).await?;
        secrets.push(made.body["secret"].as_str().context("a secret")?.to_owned());
    }
    for secret in &secrets {
        // The first use also notes itself; what was believed is over before the next.
        ask(secret).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for secret in &secrets {
        unknown.push(ask(secret).await?);
        known.push(ask(secret).await?);
    }
    Ok((Figures::millis(&known), Figures::millis(&unknown)))
}

fn resident_mb(pid: i32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1024.0)
}

pub async fn run() -> anyhow::Result<()> {
    introduce(
        "api",
        "20,000 instances: GET p99 <= 10 ms, >= 2,000/s; page p99 <= 60 ms; credential <= 0.2 ms and 2 ms",
    )?;
    let (instances, busy) = (number("ARAME_BENCH_INSTANCES", INSTANCES), BUSY);
    let center = Processes::up(Backends::Simulated, 1).await?;
    let launch = json!({ "image_id": "wmi-tiny", "instance_type": "tiny", "hostname": "template" });
    let made = center.insist("POST", "/instances", &launch, Some("template")).await?;
    let template = made.body["id"].as_str().with_context(|| format!("{made:?}"))?.to_owned();
    let numbers = format!("seq_0_to_{} s JOIN instances t ON t.id = '{template}'", instances - 1);
    let name = "CONCAT('m', s.seq)".to_owned();
    // On no host of ours: nothing is asked of an agent about them, and no inventory speaks of them.
    let changes = [
        ("id", "CONCAT('i-m', LPAD(s.seq, 7, '0'))".to_owned()),
        ("uuid", "CONCAT('00000000-0000-4000-8000-', LPAD(s.seq, 12, '0'))".to_owned()),
        ("host_node_id", "'hn-elsewhere'".to_owned()),
        ("hostname", name.clone()),
        ("hostname_taken", name.clone()),
        ("display_name", name),
    ];
    super::many::copy(&center, "instances", &numbers, &changes).await?;
    let mut center = Arc::new(center);
    let paths: Vec<String> = (0..instances).map(|n| format!("/instances/i-m{n:07}")).collect();
    let paths = Arc::new(paths);
    let health = {
        let mut times = Vec::new();
        let client = reqwest::Client::new();
        for _ in 0..LOOKS {
            let begin = Instant::now();
            client.get(center.url("/healthz")).send().await?.bytes().await?;
            times.push(begin.elapsed());
        }
        Figures::millis(&times)
    };
    let (times, each_second) = hammer(&center, paths, busy).await?;
    let gets = Figures::millis(&times);
    println!("floor     /healthz {}", health.line("ms"));
    println!("get       {} at {each_second:.0}/s by {CLIENTS} clients", gets.line("ms"));
    let (pages, refused) = pages_beside(&center, LISTS_A_SECOND, busy).await?;
    // Only told: what two busy cores cannot answer in time is refused.
    pages_beside(&center, MORE_LISTS_A_SECOND, busy).await?;
    let (known, unknown) = credentials(&center).await?;
    let pid = center.children()?.remove("dcmgr").context("dcmgr")?.pid;
    println!("known     {}", known.line("ms"));
    println!("unknown   {}", unknown.line("ms"));
    super::plans::show(&center, "i-m0010000").await?;
    judge("GET of one, p99", gets.percentile(99.0), 10.0, "ms");
    judge_least("GETs a second", each_second, 2_000.0, "/s");
    judge("lists and writes refused", refused as f64, 0.0, "");
    judge("page of 100, p99", pages.percentile(99.0), 60.0, "ms");
    judge("an unknown credential beyond a known one, median", unknown.median() - known.median(), 2.0, "ms");
    judge("dcmgr's memory", resident_mb(pid)?, 100.0, "MB");
    Arc::get_mut(&mut center).context("a client is left")?.down().await
}
