//! Promise: with 1,000 simulated hosts and 20,000 instances heartbeats and inventories cost dcmgr at most 25 % of a core;
//! while 30 writes a second go on, a GET of one instance takes at most 20 ms and a page of 100 at most 50 ms (p99), and
//! placement decides within 5 ms. Pages are the first twenty, and others by the cursor; what an offset from anywhere takes
//! is reported beside. Heartbeats every 5 s, inventories every 20 s, by real agents over the real broker, 250
//! of them in a process. The 20,000 are not launched but copied of one that was, rows and worlds alike, so that the audit
//! is empty, which is checked. Compared with the same questions while nothing is written.

use anyhow::{Context, ensure};
use arame_spec::bench::{Figures, introduce, judge};
use arame_spec::processes::{Backends, PATIENCE, Processes, world};
use arame_spec::wishes::{Order, send};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const HOSTS: u16 = 1_000;
const EACH: usize = 20;
const INSTANCES: usize = HOSTS as usize * EACH;
/// Instances of one network: a tenant's, not everybody's.
const OF_A_NETWORK: usize = 200;

/// Two rounds of inventories.
const QUIET: Duration = Duration::from_secs(40);
const BUSY: Duration = Duration::from_secs(30);
const WRITES_A_SECOND: u32 = 30;

/// Machines that are there at a time for the writes: each is deleted when so many younger ones exist.
const ALIVE: usize = 60;

/// Between two GETs, and how many of them come for one page of the list.
const GET_EVERY: Duration = Duration::from_millis(50);
const GETS_A_PAGE: usize = 5;

/// A thousand agents join, are told their policies and listed.
const SETTLE_LIMIT: Duration = Duration::from_secs(300);

/// `i-m0000042`: the copy of the template that is the n-th.
const NUMBER: &str = "LPAD(s.seq, 7, '0')";
const HOST: &str = "s.seq DIV 20 + 1";
const MAC: &str = "LOWER(CONCAT_WS(':', '52:54:01', LPAD(HEX(s.seq DIV 65536), 2, '0'), \
                   LPAD(HEX(s.seq DIV 256 MOD 256), 2, '0'), LPAD(HEX(s.seq MOD 256), 2, '0')))";
const ADDRESS: &str = "n.range_begin + 10 + s.seq MOD 200";

fn mac(n: usize) -> String {
    format!("52:54:01:{:02x}:{:02x}:{:02x}", n >> 16, n >> 8 & 255, n & 255)
}

/// Copies the rows of a table for each number, with some columns changed.
pub(super) async fn copy(
    center: &Processes,
    table: &str,
    from: &str,
    changes: &[(&str, String)],
) -> anyhow::Result<()> {
    let columns = format!(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'arame' AND table_name = '{table}' \
         AND extra <> 'auto_increment' ORDER BY ordinal_position"
    );
    let columns = center.rows(&columns).await?;
    let columns: Vec<String> = columns.into_iter().filter_map(|mut row| row.take(0)).collect();
    let value = |column: &String| {
        let change = changes.iter().find(|(name, _)| name == column);
        change.map_or_else(|| format!("t.{column}"), |(_, value)| value.clone())
    };
    let values: Vec<String> = columns.iter().map(value).collect();
    let insert = format!("INSERT INTO {table} ({}) SELECT {} FROM {from}", columns.join(", "), values.join(", "));
    center.rows(&insert).await.with_context(|| insert.clone())?;
    Ok(())
}

/// The rows of all instances, as copies of one that runs.
async fn seed_rows(center: &Processes, template: &str) -> anyhow::Result<()> {
    let numbers = format!("seq_0_to_{} s", INSTANCES - 1);
    let networks = format!("seq_0_to_{} s JOIN networks t ON t.id = 'nw-demo1'", INSTANCES / OF_A_NETWORK - 1);
    let network = format!("CONCAT('nw-m', s.seq DIV {OF_A_NETWORK})");
    let (id, vif) = (format!("CONCAT('i-m', {NUMBER})"), format!("CONCAT('vif-m', {NUMBER})"));
    let host = format!("CONCAT('hn-h', {HOST})");
    let of_network = [
        ("id", "CONCAT('nw-m', s.seq)".to_owned()),
        ("vlan_tag", "1000 + s.seq".to_owned()),
        ("domain_name", "CONCAT('m', s.seq, '.arame.internal')".to_owned()),
        ("version", "1".to_owned()),
    ];
    copy(center, "networks", &networks, &of_network).await?;
    let name = "CONCAT('m', s.seq)".to_owned();
    let of_instance = [
        ("id", id.clone()),
        ("uuid", "CONCAT('00000000-0000-4000-8000-', LPAD(s.seq, 12, '0'))".to_owned()),
        ("host_node_id", host.clone()),
        ("hostname", name.clone()),
        ("hostname_taken", name.clone()),
        ("display_name", name),
        ("need_policy_version", "1".to_owned()),
    ];
    copy(center, "instances", &format!("{numbers} JOIN instances t ON t.id = '{template}'"), &of_instance).await?;
    let placed = format!("{numbers} JOIN networks n ON n.id = {network} JOIN");
    let of_vif = [
        ("id", vif.clone()),
        ("instance_id", id.clone()),
        ("network_id", "n.id".to_owned()),
        ("mac", MAC.to_owned()),
        ("ipv4", ADDRESS.to_owned()),
        ("need_network_version", "1".to_owned()),
    ];
    let from = format!("{placed} network_vifs t ON t.instance_id = '{template}'");
    copy(center, "network_vifs", &from, &of_vif).await?;
    let of_lease = [
        ("network_id", "n.id".to_owned()),
        ("ipv4", ADDRESS.to_owned()),
        ("vif_id", vif.clone()),
        ("mac", MAC.to_owned()),
        ("host_node_id", host),
    ];
    let own_vif = format!("(SELECT v.id FROM network_vifs v WHERE v.instance_id = '{template}')");
    copy(center, "ip_leases", &format!("{placed} ip_leases t ON t.vif_id = {own_vif}"), &of_lease).await?;
    let member = format!("{numbers} JOIN network_vif_security_groups t ON t.vif_id = {own_vif}");
    copy(center, "network_vif_security_groups", &member, &[("vif_id", vif)]).await?;
    let of_fact = [("thing", id), ("agent_id", format!("CONCAT('hva.h', {HOST})")), ("observed", "0".to_owned())];
    copy(center, "facts", &format!("{numbers} JOIN facts t ON t.thing = '{template}'"), &of_fact).await?;
    // Each host has ports now that its policy does not know.
    center.rows("UPDATE host_nodes SET policy_version = policy_version + 1").await?;
    Ok(())
}

/// What a host's world holds of the template.
struct Template {
    id: String,
    domain: Value,
    record: Value,
    port: Value,
}

impl Template {
    fn of(id: &str, world: &Value) -> anyhow::Result<Template> {
        let (domain, record) = (world["domains"][id].clone(), world["records"][id].clone());
        let ports = world["ports"].as_object().context("ports")?;
        let port = ports.values().find(|port| port["instance"] == *id).context("its port")?.clone();
        ensure!(domain.is_object() && record.is_object(), "{id} is not in its host's world");
        Ok(Template { id: id.to_owned(), domain, record, port })
    }

    /// Its copies on the n-th host (from 0), beside what is there.
    fn put(&self, world: &mut Value, host: usize) -> anyhow::Result<()> {
        if world["domains"].is_null() {
            *world = json!({ "revision": 1, "domains": {}, "disks": [], "records": {}, "graves": {}, "ports": {},
                             "policy": world["policy"], "faults_done": {} });
        }
        for n in host * EACH..(host + 1) * EACH {
            let (id, vif) = (format!("i-m{n:07}"), format!("vif-m{n:07}"));
            let mut domain: Value = serde_json::from_str(&self.domain.to_string().replace(&self.id, &id))?;
            domain["mark"]["generation"] = json!(1);
            let mut record: Value = serde_json::from_str(&self.record.to_string().replace(&self.id, &id))?;
            record["uuid"] = json!(format!("00000000-0000-4000-8000-{n:012}"));
            record["hostname"] = json!(format!("m{n}"));
            let nic = &mut record["nics"][0];
            nic["vif"] = json!(vif);
            nic["network"] = json!(format!("nw-m{}", n / OF_A_NETWORK));
            nic["vlan_tag"] = json!(1000 + n / OF_A_NETWORK);
            nic["mac"] = json!(mac(n));
            let mut port = self.port.clone();
            port["instance"] = json!(id);
            world["domains"][&id] = domain;
            world["records"][&id] = record;
            world["disks"].as_array_mut().context("disks")?.push(json!(id));
            world["ports"][&vif] = port;
        }
        Ok(())
    }
}

fn swarm(center: &Processes) -> anyhow::Result<Vec<i32>> {
    let hosts = center.children()?.into_values().filter(|child| child.name.starts_with("hosts."));
    let hosts: Vec<i32> = hosts.map(|child| child.pid).collect();
    ensure!(!hosts.is_empty(), "no process of hosts");
    Ok(hosts)
}

/// Rows and worlds, while the hosts' processes stand still; they begin anew with what they find.
async fn seed(center: &Processes) -> anyhow::Result<()> {
    let template = send(center, &Order::Launch { name: "template".into() }).await?.context("it was made")?;
    settled(center, "the template runs", 1).await?;
    let row = center.get(&format!("/instances/{template}")).await?;
    let home = row["host_node"].as_str().context("its host")?.replace("hn-", "hva.");
    let file = |agent: &str| center.path(&format!("state/{agent}/world.json"));
    let hosts = swarm(center)?;
    for pid in &hosts {
        kill(Pid::from_raw(*pid), Signal::SIGSTOP)?;
    }
    // What they have sent is taken in.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let copied = Template::of(&template, &world(&file(&home))?)?;
    seed_rows(center, &template).await?;
    for host in 0..usize::from(HOSTS) {
        let path = file(&format!("hva.h{}", host + 1));
        let mut there = world(&path)?;
        copied.put(&mut there, host)?;
        std::fs::write(&path, serde_json::to_vec(&there)?)?;
    }
    for pid in &hosts {
        kill(Pid::from_raw(*pid), Signal::SIGKILL)?;
    }
    Ok(())
}

/// Until so many run, nothing is open and every agent is heard and listed; then the audit has to be empty.
async fn settled(center: &Processes, what: &str, running: usize) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let quiet = format!(
        "SELECT (SELECT COUNT(*) FROM jobs WHERE open = 1) \
         + (SELECT COUNT(*) FROM agents WHERE heard_at IS NULL OR heard_at < UTC_TIMESTAMP(3) - INTERVAL 12 SECOND) \
         + (SELECT COUNT(*) FROM host_nodes h LEFT JOIN facts f ON f.thing = h.id AND f.name = 'applied' \
            AND f.generation = h.policy_version WHERE f.thing IS NULL) \
         + (SELECT COUNT(*) FROM agents a LEFT JOIN inventories i ON i.agent_id = a.id AND i.incarnation = a.incarnation \
            WHERE i.agent_id IS NULL) \
         + ABS({running} - (SELECT COUNT(*) FROM instances WHERE state = 'running'))"
    );
    loop {
        let left = center.number(&quiet).await?;
        if left == 0 {
            break;
        }
        ensure!(begin.elapsed() < SETTLE_LIMIT, "not in time: {what}, {left} things are not as they should be");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let took = begin.elapsed();
    loop {
        let audit = center.get("/audit").await?;
        let findings = audit.as_array().context("the audit is a list")?;
        if findings.is_empty() {
            return Ok(took);
        }
        // A listing begun before the last delete still shows what was deleted.
        ensure!(begin.elapsed() < PATIENCE + SETTLE_LIMIT, "{what}: the audit shows {:?}", findings.first());
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

#[derive(Default)]
struct Asked {
    ones: Vec<Duration>,
    /// Of the first twenty, and by the cursor from anywhere.
    pages: Vec<Duration>,
    /// By an offset from anywhere: these grow with the table.
    deep: Vec<Duration>,
}

impl Asked {
    fn show(&self, what: &str) {
        let line = |times: &[Duration]| Figures::millis(times).line("ms");
        println!(
            "{what:9} GET {}; page {}; by a deep offset {}",
            line(&self.ones),
            line(&self.pages),
            line(&self.deep)
        );
    }
}

/// GETs of single instances and pages of the list, until the moment comes.
async fn ask(center: Arc<Processes>, until: Instant) -> anyhow::Result<Asked> {
    let mut asked = Asked::default();
    let mut n = 0;
    while Instant::now() < until {
        n += 1;
        let id = format!("/instances/i-m{:07}", n * 7919 % INSTANCES);
        let begin = Instant::now();
        center.get(&id).await?;
        asked.ones.push(begin.elapsed());
        if n % GETS_A_PAGE == 0 {
            let turn = n / GETS_A_PAGE;
            let (kind, page) = match turn % 5 {
                4 => (&mut asked.deep, format!("start={}", turn * 104_729 % (INSTANCES - 100))),
                odd if odd % 2 == 1 => {
                    (&mut asked.pages, format!("after=i-m{:07}", 100 + turn * 104_729 % (INSTANCES - 200)))
                }
                _ => (&mut asked.pages, format!("start={}", turn * 100 % 2_000)),
            };
            let begin = Instant::now();
            let page = center.get(&format!("/instances?limit=100&{page}")).await?;
            kind.push(begin.elapsed());
            ensure!(page[0]["results"].as_array().is_some_and(|rows| rows.len() == 100), "a page has 100");
        }
        tokio::time::sleep(GET_EVERY).await;
    }
    Ok(asked)
}

/// Launches and deletes in turn, evenly; answers how many of both, and how many machines are left.
async fn write(center: Arc<Processes>, until: Instant) -> anyhow::Result<(u32, usize)> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / WRITES_A_SECOND);
    let (mut sent, mut alive, mut count) = (JoinSet::new(), VecDeque::new(), 0u32);
    while Instant::now() < until {
        ticks.tick().await;
        count += 1;
        let oldest = if alive.len() >= ALIVE { alive.pop_front() } else { None };
        let order = match oldest {
            Some(machine) => Order::Delete { machine },
            None => Order::Launch { name: format!("w{count}") },
        };
        let center = center.clone();
        sent.spawn(async move { send(&center, &order).await });
        while let Some(made) = sent.try_join_next() {
            alive.extend(made??);
        }
    }
    while let Some(made) = sent.join_next().await {
        alive.extend(made??);
    }
    Ok((count, alive.len()))
}

/// The share of a core that each child used in a time.
async fn shares(center: &Processes, time: impl Future<Output = ()>) -> anyhow::Result<Vec<(String, f64)>> {
    let names: Vec<String> = center.children()?.into_keys().collect();
    let used = || names.iter().map(|name| center.processor_seconds(name)).collect::<anyhow::Result<Vec<f64>>>();
    let (begin, before) = (Instant::now(), used()?);
    time.await;
    let (after, took) = (used()?, begin.elapsed().as_secs_f64());
    let each = before.iter().zip(&after).map(|(before, after)| (after - before) / took * 100.0);
    Ok(names.iter().cloned().zip(each).collect())
}

fn show(what: &str, shares: &[(String, f64)]) -> f64 {
    let text: Vec<String> = shares.iter().map(|(name, share)| format!("{name} {share:.1} %")).collect();
    println!("{what:9} {}", text.join(", "));
    shares.iter().find(|(name, _)| name == "dcmgr").map_or(f64::NAN, |(_, share)| *share)
}

pub async fn run() -> anyhow::Result<()> {
    introduce(
        "many",
        "1,000 hosts, 20,000 instances: agents cost <= 25 % of a core; GET p99 <= 20 ms, page <= 50 ms, placement <= 5 ms",
    )?;
    let begin = Instant::now();
    let center = Arc::new(Processes::up(Backends::Simulated, HOSTS).await?);
    println!("up        after {:.1} s", begin.elapsed().as_secs_f64());
    seed(&center).await?;
    let took = settled(&center, "the copies are there", INSTANCES + 1).await?;
    println!(
        "seeded    {INSTANCES} instances on {HOSTS} hosts; all agents back and listed after {:.1} s",
        took.as_secs_f64()
    );
    let quiet = shares(&center, tokio::time::sleep(QUIET)).await?;
    let quiet = show("quiet", &quiet);
    ask(center.clone(), Instant::now() + BUSY / 3).await?.show("quiet");
    super::plans::show(&center, "i-m0010000").await?;
    let end = Instant::now() + BUSY;
    let asked = tokio::spawn(ask(center.clone(), end));
    let written = tokio::spawn(write(center.clone(), end));
    let busy = shares(&center, tokio::time::sleep(BUSY)).await?;
    show("busy", &busy);
    let (asked, (writes, left)) = (asked.await??, written.await??);
    println!("writes    {writes} in {} s, none refused", BUSY.as_secs());
    asked.show("busy");
    let (ones, pages) = (Figures::millis(&asked.ones), Figures::millis(&asked.pages));
    let placement = center.metric("arame_placement_seconds{quantile=\"0.5\"}").await? * 1000.0;
    let slow = center.metric("arame_placement_seconds{quantile=\"0.99\"}").await? * 1000.0;
    println!("placement median {placement:.2} ms, p99 {slow:.2} ms");
    let took = settled(&center, "what was written is done", INSTANCES + 1 + left).await?;
    println!("settled   {:.1} s later; the audit is empty", took.as_secs_f64());
    judge("heartbeats and inventories cost dcmgr", quiet, 25.0, "% of a core");
    judge("GET of one instance, p99", ones.percentile(99.0), 20.0, "ms");
    judge("page of 100, p99", pages.percentile(99.0), 50.0, "ms");
    judge("placement decision, median", placement, 5.0, "ms");
    Arc::into_inner(center).context("nobody uses it any more")?.down().await
}
