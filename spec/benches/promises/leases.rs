//! Promise: 10,000 reserved addresses, full exchanges (DISCOVER, OFFER, REQUEST, ACK) a second at less than 1 % drops: more
//! than dnsmasq and Kea on the same core, goal 10,000. Measured by perfdhcp from another namespace, each server alone, the
//! same rates for all, upwards until one is not kept. And on the agent alone: a machine added to 10,000 is answered by DNS and
//! by DHCP within 2 ms, and 50 a second of them make no DISCOVER be missed, p99 5 ms.

use super::peers::{Server, address, found, ours, seconds, version};
use anyhow::{Context, ensure};
use arame_framework::agent::{Agent, Standing, Work};
use arame_nsa::agent::NsaAgent;
use arame_nsa::config::{Driver, Nsa, Sim};
use arame_schema::jobs::Job;
use arame_schema::jobs::nsa::{ApplyNetwork, ChangeNetwork, NetworkHost, NetworkSnapshot};
use arame_spec::bench::{Figures, judge};
use hickory_proto::rr::Name;
use serde_json::json;
use std::fmt::Write;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const RESERVED: u32 = 10_000;
const RATES: [u32; 9] = [500, 1_000, 2_000, 3_000, 4_000, 6_000, 8_000, 10_000, 14_000];
/// Exchanges that may be lost.
const DROPS_PERCENT: f64 = 1.0;
pub const SERVER: &str = "10.64.0.2";
pub const RELAY: &str = "10.64.255.254";
const READY: Duration = Duration::from_secs(60);

/// Machines added one after the other, and how often a second in the second part.
const ADDED: u32 = 200;
const PER_SECOND: u32 = 50;

/// Two namespaces and a cable; gone with the value.
pub struct Cable {
    word: String,
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().context(program.to_owned())?;
    Ok(output)
}

fn must(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = run(program, arguments)?;
    ensure!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

impl Cable {
    pub fn new() -> anyhow::Result<Self> {
        let cable = Self { word: format!("arame-leases{}", std::process::id()) };
        let (server, client) = (cable.server(), cable.client());
        must("ip", &["netns", "add", &server])?;
        must("ip", &["netns", "add", &client])?;
        let veth =
            ["link", "add", "name", "eth0", "netns", &server, "type", "veth", "peer", "name", "eth0", "netns", &client];
        must("ip", &veth)?;
        for (netns, address) in [(&server, SERVER), (&client, RELAY)] {
            must("ip", &["-n", netns, "addr", "add", &format!("{address}/16"), "dev", "eth0"])?;
            must("ip", &["-n", netns, "link", "set", "dev", "eth0", "up"])?;
            must("ip", &["-n", netns, "link", "set", "dev", "lo", "up"])?;
        }
        Ok(cable)
    }

    pub fn server(&self) -> String {
        format!("{}-s", self.word)
    }

    pub fn client(&self) -> String {
        format!("{}-c", self.word)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for netns in [self.server(), self.client()] {
            let _ = run("ip", &["netns", "del", &netns]);
        }
    }
}

fn mac(n: u32) -> String {
    format!("52:54:00:{:02x}:{:02x}:{:02x}", n >> 16, (n >> 8) & 0xff, n & 0xff)
}

/// How a server is started in the foreground; `None`: it is not here.
/// The reservations of so many machines, as dnsmasq reads them.
pub fn dnsmasq_hosts(count: u32) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "{},{},h{n}", mac(n), address(n));
        text
    })
}

/// The same for Kea: its whole configuration.
pub fn kea_config(count: u32) -> anyhow::Result<Vec<u8>> {
    let reservations: Vec<_> = (0..count)
        .map(|n| json!({ "hw-address": mac(n), "ip-address": address(n), "hostname": format!("h{n}") }))
        .collect();
    let subnet = json!({ "id": 1, "subnet": "10.64.0.0/16", "reservations": reservations,
        "reservations-in-subnet": true, "reservations-out-of-pool": true });
    let text = json!({ "Dhcp4": {
        "interfaces-config": { "interfaces": ["eth0"], "dhcp-socket-type": "udp" },
        "lease-database": { "type": "memfile", "persist": false }, "valid-lifetime": 3600,
        "host-reservation-identifiers": ["hw-address"], "subnet4": [subnet],
        "loggers": [{ "name": "kea-dhcp4", "severity": "ERROR", "output_options": [{ "output": "stderr" }] }] } });
    Ok(serde_json::to_vec(&text)?)
}

pub fn peer(name: &str, folder: &Path) -> anyhow::Result<Option<Vec<String>>> {
    let at = |file: &str| folder.join(file).display().to_string();
    match name {
        "arame" => ours(folder, RESERVED, &format!("listen_dhcp = '{SERVER}:67'")).map(Some),
        "dnsmasq" => {
            let Some(program) = found("dnsmasq") else { return Ok(None) };
            std::fs::write(at("dhcp-hosts"), dnsmasq_hosts(RESERVED))?;
            let text = format!(
                "port=0\ninterface=eth0\nbind-interfaces\nno-ping\ndhcp-authoritative\ndhcp-range=10.64.0.0,static,255.255.0.0,1h\n\
                 dhcp-lease-max=20000\ndhcp-hostsfile={}\ndhcp-leasefile={}\nuser=root\nquiet-dhcp\npid-file=\n",
                at("dhcp-hosts"),
                at("dnsmasq.leases")
            );
            std::fs::write(at("dnsmasq-dhcp.conf"), text)?;
            let program = program.display().to_string();
            Ok(Some(vec![program, "--keep-in-foreground".into(), format!("--conf-file={}", at("dnsmasq-dhcp.conf"))]))
        }
        _ => {
            let Some(program) = found("kea-dhcp4") else { return Ok(None) };
            std::fs::write(at("kea.json"), kea_config(RESERVED)?)?;
            Ok(Some(vec![program.display().to_string(), "-c".into(), at("kea.json")]))
        }
    }
}

/// What perfdhcp says of one rate: exchanges a second, and the part of them that was lost.
fn perfdhcp(cable: &Cable, rate: u32, seconds: u32) -> anyhow::Result<(f64, f64)> {
    let (netns, rate, clients, seconds) = (cable.client(), rate.to_string(), RESERVED.to_string(), seconds.to_string());
    let arguments = [
        "netns",
        "exec",
        &netns,
        "taskset",
        "-c",
        "0",
        "perfdhcp",
        "-4",
        "-l",
        "eth0",
        "-r",
        &rate,
        "-p",
        &seconds,
        // What is on its way at the end is waited for, in microseconds.
        "-W",
        "500000",
        "-R",
        &clients,
        "-b",
        "mac=52:54:00:00:00:00",
        SERVER,
    ];
    let output = run("ip", &arguments)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let after = |word: &str| text.lines().filter_map(|line| line.trim().strip_prefix(word)).collect::<Vec<_>>();
    let first = |text: &str| text.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let exchanges = after("Rate:").first().and_then(|text| first(text)).with_context(|| format!("{text}{errors}"))?;
    // Of both halves: DISCOVER to OFFER, REQUEST to ACK.
    let sent: Vec<f64> = after("sent packets:").into_iter().filter_map(first).collect();
    let dropped: f64 = after("drops:").into_iter().filter_map(first).sum();
    Ok((exchanges, 100.0 * dropped / sent.first().copied().unwrap_or(1.0).max(1.0)))
}

/// The highest rate that a server keeps. It is warmed up by the lowest, until that is answered.
async fn best(cable: &Cable, name: &str) -> anyhow::Result<f64> {
    let begin = Instant::now();
    loop {
        if perfdhcp(cable, 100, 1).is_ok_and(|(exchanges, drops)| exchanges > 10.0 && drops < 50.0) {
            break;
        }
        ensure!(begin.elapsed() < READY, "{name} answers nobody");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut kept: f64 = 0.0;
    for rate in RATES {
        let (exchanges, drops) = perfdhcp(cable, rate, seconds())?;
        println!("dhcp      {name:<8} at {rate:>6}/s: {exchanges:>8.0} exchanges/s, {drops:.2} % lost");
        if drops >= DROPS_PERCENT {
            break;
        }
        kept = kept.max(exchanges);
    }
    Ok(kept)
}

/// On a core of its own.
pub fn start(netns: &str, command: &[String], folder: &Path, log: File) -> anyhow::Result<Server> {
    let mut server = Command::new("ip");
    server.args(["netns", "exec", netns, "taskset", "-c", "1"]).args(command);
    // Kea keeps its lock files where its package's user may write.
    server.env("KEA_LOCKFILE_DIR", folder).env("KEA_PIDFILE_DIR", folder);
    Ok(Server(server.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?))
}

/// Who keeps how many exchanges a second.
pub async fn dhcp() -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() || found("perfdhcp").is_none() || found("taskset").is_none() {
        println!("skipped: needs root, perfdhcp and taskset (apt-get install kea-admin kea-dhcp4-server util-linux)");
        return Ok(());
    }
    println!("dhcp      {RESERVED} reservations, asked by perfdhcp {}", version("perfdhcp"));
    let cable = Cable::new()?;
    let folder = tempfile::tempdir()?;
    let mut kept = Vec::new();
    for name in ["arame", "dnsmasq", "kea"] {
        let Some(command) = peer(name, folder.path())? else {
            println!("MISSING   {name} is not installed: nothing is said of it");
            kept.push(0.0);
            continue;
        };
        let log = File::create(folder.path().join(format!("{name}-dhcp.log")))?;
        let netns = cable.server();
        let _server = start(&netns, &command, folder.path(), log)?;
        let best = best(&cable, name).await.with_context(|| {
            std::fs::read_to_string(folder.path().join(format!("{name}-dhcp.log"))).unwrap_or_default()
        })?;
        println!("dhcp      {name:<8} keeps {best:>8.0} exchanges/s at < {DROPS_PERCENT} % lost  ({})", version(name));
        kept.push(best);
    }
    let fastest = kept.iter().skip(1).copied().fold(0.0, f64::max);
    if fastest > 0.0 {
        // As a part of what the better of the two does: at most all of it.
        judge("DHCP: the faster peer's exchanges/s by ours", fastest / kept[0].max(1.0), 1.0, "");
    }
    Ok(())
}

/// The agent in this process over its simulated switch, with sockets.
struct Alone {
    agent: NsaAgent,
    standing: Standing,
    dns: SocketAddr,
    dhcp: SocketAddr,
    head: NetworkSnapshot,
    count: u32,
    _folder: tempfile::TempDir,
}

fn host(n: u32) -> anyhow::Result<NetworkHost> {
    Ok(serde_json::from_value(
        json!({ "vif": format!("vif-{n}"), "instance": "i-x", "mac": mac(n), "ipv4": address(n),
        "hostname": format!("h{n}") }),
    )?)
}

impl Alone {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let free = || UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let (dns, dhcp) = (free()?, free()?);
        let sim = Sim { listen_dns: Some(dns), listen_dhcp: Some(dhcp), ..Sim::default() };
        let data_dir = folder.path().join("data");
        let config = Nsa {
            driver: Driver::Sim,
            data_dir,
            switch: None,
            questions_per_second: 20_000,
            identity: "nsa.n1".into(),
            sim,
        };
        let agent = NsaAgent::start(&config)?;
        let standing = Standing::new(Uuid::nil(), 1);
        agent.joined(standing.clone()).await;
        let head: NetworkSnapshot = serde_json::from_value(json!({
            "network": "nw-added", "account": "a-bench", "vlan_tag": 100, "subnet": "10.64.0.0/16", "server": SERVER,
            "domain": "added.example", "mtu": 1500, "lease_seconds": 3600, "ttl_seconds": 60, "hosts": [] }))?;
        let alone = Self { agent, standing, dns, dhcp, head, count: RESERVED, _folder: folder };
        let hosts = (0..RESERVED).map(host).collect::<anyhow::Result<Vec<_>>>()?;
        let snapshot = NetworkSnapshot { hosts, ..alone.head.clone() };
        alone.job(1, Job::ApplyNetwork(Box::new(ApplyNetwork { snapshot, history: 1 }))).await?;
        Ok(alone)
    }

    async fn job(&self, version: u64, job: Job) -> anyhow::Result<()> {
        let (progress, _) = mpsc::channel(1);
        let (thing, standing) = (self.head.network.to_string(), self.standing.clone());
        let budget = Duration::from_secs(60);
        let work = Work::new(Uuid::nil(), thing, version, standing, budget, CancellationToken::new(), progress);
        self.agent.handle(job, work).await.map(drop).map_err(|stopped| anyhow::anyhow!("{stopped:?}"))
    }

    /// One machine more.
    async fn add(&mut self) -> anyhow::Result<()> {
        let n = self.count;
        let change = ChangeNetwork {
            base: u64::from(n - RESERVED) + 1,
            history: 1,
            head: self.head.clone(),
            hosts: vec![host(n)?],
            hosts_gone: Vec::new(),
            records: Vec::new(),
            records_gone: Vec::new(),
            host_count: u64::from(n) + 1,
            record_count: 0,
        };
        self.count += 1;
        self.job(u64::from(n - RESERVED) + 2, Job::ChangeNetwork(Box::new(change))).await
    }
}

/// A DISCOVER of machine `n`, as a relay hands it on or as the machine sends it.
pub fn question(n: u32, relay: Ipv4Addr) -> Vec<u8> {
    let mut message = vec![0u8; 236];
    (message[0], message[1], message[2]) = (1, 1, 6);
    message[4..8].copy_from_slice(&n.to_be_bytes());
    message[24..28].copy_from_slice(&relay.octets());
    message[28..34].copy_from_slice(&[0x52, 0x54, 0, (n >> 16) as u8, (n >> 8) as u8, n as u8]);
    message.extend([99, 130, 83, 99, 53, 1, 1, 255]);
    message
}

/// A DISCOVER of machine `n`, and whether it was offered its address.
fn discover(at: SocketAddr, n: u32) -> anyhow::Result<bool> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.send_to(&question(n, Ipv4Addr::UNSPECIFIED), at)?;
    let mut answer = [0u8; 1500];
    let Ok(length) = socket.recv(&mut answer) else { return Ok(false) };
    ensure!(length >= 240, "a short answer");
    Ok(Ipv4Addr::new(answer[16], answer[17], answer[18], answer[19]) == address(n))
}

/// On the agent: from the job to the first answers, and what others notice of it.
pub async fn added() -> anyhow::Result<()> {
    let mut alone = Alone::start().await?;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(alone.dns).await?;
    let mut times = Vec::new();
    for _ in 0..ADDED {
        let n = alone.count;
        let name: Name = format!("h{n}.added.example.").parse()?;
        let begin = Instant::now();
        alone.add().await?;
        ensure!(super::names::ask_short(&socket, &name).await == Some(address(n)), "h{n} is not answered");
        ensure!(discover(alone.dhcp, n)?, "h{n} is not offered its address");
        times.push(begin.elapsed());
    }
    let of = Figures::millis(&times);
    println!("added     on the agent, of {RESERVED} hosts, job to DNS and DHCP answered: {}", of.line("ms"));
    judge("job to answered on the agent, median", of.median(), 2.0, "ms");
    let over = Arc::new(AtomicBool::new(false));
    let (ends, at) = (over.clone(), alone.dhcp);
    let asker = std::thread::spawn(move || {
        let (mut times, mut missed, mut n) = (Vec::new(), 0u32, 0u32);
        while !ends.load(Ordering::Relaxed) {
            let begin = Instant::now();
            // Each machine in its turn: none comes to its own limit.
            missed += u32::from(!discover(at, n % RESERVED).unwrap_or(false));
            times.push(begin.elapsed());
            n += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        (times, missed)
    });
    let mut turns = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    for _ in 0..PER_SECOND * 2 * seconds() {
        turns.tick().await;
        alone.add().await?;
    }
    over.store(true, Ordering::Relaxed);
    let (mut times, missed) = asker.join().map_err(|_| anyhow::anyhow!("the asker died"))?;
    times.sort();
    let p99 = times[(times.len() * 99 / 100).min(times.len() - 1)].as_secs_f64() * 1_000.0;
    let median = times[times.len() / 2].as_secs_f64() * 1_000.0;
    println!(
        "churn     {PER_SECOND} machines/s for {} s: {} DISCOVERs, {missed} missed, median {median:.2} ms, p99 {p99:.2} ms",
        2 * seconds(),
        times.len()
    );
    ensure!(missed == 0, "{missed} DISCOVERs were missed");
    judge("DISCOVER to OFFER under churn, p99", p99, 5.0, "ms");
    Ok(())
}
