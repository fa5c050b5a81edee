//! Promise: what is added is answered by ours within 2 ms on the agent and nobody waits for it (`leases.rs` measures that).
//! Beside it, what the peers take for the same: a name by dnsmasq (its hosts file and SIGHUP) and by Knot (three words of
//! `knotc`), a reservation by dnsmasq and by Kea (their files and SIGHUP), with the longest that a machine known all the time
//! waited meanwhile. And: ours with 1,000 networks of 50 hosts, all listening, in at most 150 MB.

use super::leases::{Cable, RELAY, RESERVED, SERVER, dnsmasq_hosts, kea_config, question};
use super::peers::{DOMAIN, HOSTS, Server, address, found, peer, ready, version, zones};
use anyhow::{Context, ensure};
use arame_spec::bench::{Figures, judge};
use arame_spec::processes;
use hickory_proto::rr::Name;
use nix::sched::{CloneFlags, setns};
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often something is added.
const RUNS: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(30);

const NETWORKS: u16 = 1_000;
const NETWORK_HOSTS: u16 = 50;
const MEMORY_MB: f64 = 150.0;

fn hang_up(server: &Server) -> anyhow::Result<()> {
    let pid = server.0.id().to_string();
    ensure!(Command::new("kill").args(["-HUP", &pid]).status()?.success(), "kill -HUP {pid}");
    Ok(())
}

fn knotc(folder: &Path, words: &[&str]) -> anyhow::Result<()> {
    let socket = folder.join("knot.sock").display().to_string();
    let output = Command::new(found("knotc").context("knotc")?).args(["-s", &socket]).args(words).output()?;
    ensure!(output.status.success(), "knotc {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// One name more.
fn add_name(name: &str, folder: &Path, server: &Server, label: &str, at: Ipv4Addr) -> anyhow::Result<()> {
    if name == "dnsmasq" {
        writeln!(File::options().append(true).open(folder.join("hosts"))?, "{at} {label}.{DOMAIN}")?;
        return hang_up(server);
    }
    knotc(folder, &["zone-begin", DOMAIN])?;
    knotc(folder, &["zone-set", DOMAIN, label, "60", "A", &at.to_string()])?;
    knotc(folder, &["zone-commit", DOMAIN])
}

/// From *added* to *answered* by those that serve names, of as many as `dns` asks.
pub async fn names() -> anyhow::Result<()> {
    for name in ["dnsmasq", "knot"] {
        let folder = tempfile::tempdir()?;
        zones(folder.path())?;
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let Some(command) = peer(name, folder.path(), port)? else {
            println!("MISSING   {name} is not installed: nothing is said of it");
            continue;
        };
        let log = File::create(folder.path().join("log"))?;
        let mut started = Command::new(&command[0]);
        started.args(&command[1..]).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut server = Server(started.spawn()?);
        ready(&mut server, port).await.with_context(|| name.to_owned())?;
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(("127.0.0.1", port)).await?;
        let mut times = Vec::new();
        for n in 0..RUNS {
            let (label, at) = (format!("new{n}"), address(HOSTS + n));
            let wanted: Name = format!("{label}.{DOMAIN}.").parse()?;
            let begin = Instant::now();
            add_name(name, folder.path(), &server, &label, at)?;
            while super::names::ask_short(&socket, &wanted).await != Some(at) {
                ensure!(begin.elapsed() < PATIENCE, "{name} never answers {label}");
            }
            times.push(begin.elapsed());
        }
        let of = Figures::millis(&times);
        println!("added     a name of {HOSTS} by {name}: {}  ({})", of.line("ms"), version(name));
    }
    Ok(())
}

/// A relay that asks for machines.
struct Relay(UdpSocket);

impl Relay {
    fn new(cable: &Cable) -> anyhow::Result<Self> {
        let netns = File::open(Path::new("/run/netns").join(cable.client()))?;
        let bind = move || -> anyhow::Result<UdpSocket> {
            setns(&netns, CloneFlags::CLONE_NEWNET)?;
            Ok(UdpSocket::bind((RELAY.parse::<Ipv4Addr>()?, 67))?)
        };
        let socket = std::thread::spawn(bind).join().map_err(|_| anyhow::anyhow!("the relay's thread died"))??;
        Ok(Self(socket))
    }

    /// Whether machine `n` is offered its address within this time.
    fn asks(&self, n: u32, patience: Duration) -> anyhow::Result<bool> {
        self.0.send_to(&question(n, RELAY.parse()?), (SERVER.parse::<Ipv4Addr>()?, 67))?;
        let begin = Instant::now();
        let mut answer = [0u8; 1500];
        while let Some(left) = patience.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
            self.0.set_read_timeout(Some(left))?;
            let Ok(length) = self.0.recv(&mut answer) else { return Ok(false) };
            // A late answer to another question is passed over.
            if length >= 240 && answer[4..8] == n.to_be_bytes() {
                return Ok(answer[16..20] == address(n).octets());
            }
        }
        Ok(false)
    }

    /// Until machine `n` is answered; meanwhile the known are asked. Answers the longest that one of them waited.
    fn until(&self, n: u32, begin: Instant) -> anyhow::Result<Duration> {
        let (mut longest, mut known) = (Duration::ZERO, 0);
        while !self.asks(n, Duration::from_millis(5))? {
            ensure!(begin.elapsed() < PATIENCE, "machine {n} is never answered");
            let asked = Instant::now();
            while !self.asks(known, Duration::from_millis(200))? {
                ensure!(begin.elapsed() < PATIENCE, "machine {known} is not answered any more");
            }
            longest = longest.max(asked.elapsed());
            known = (known + 1) % RESERVED;
        }
        Ok(longest)
    }
}

/// The same by those that give addresses.
pub async fn leases() -> anyhow::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root (namespaces)");
        return Ok(());
    }
    let cable = Cable::new()?;
    for name in ["dnsmasq", "kea"] {
        let folder = tempfile::tempdir()?;
        let Some(command) = super::leases::peer(name, folder.path())? else {
            println!("MISSING   {name} is not installed: nothing is said of it");
            continue;
        };
        let log = File::create(folder.path().join("log"))?;
        let server = super::leases::start(&cable.server(), &command, folder.path(), log)?;
        let relay = Relay::new(&cable)?;
        relay.until(0, Instant::now()).with_context(|| name.to_owned())?;
        let (mut times, mut waits) = (Vec::new(), Vec::new());
        for n in RESERVED..RESERVED + RUNS {
            let begin = Instant::now();
            match name {
                "dnsmasq" => std::fs::write(folder.path().join("dhcp-hosts"), dnsmasq_hosts(n + 1))?,
                _ => std::fs::write(folder.path().join("kea.json"), kea_config(n + 1)?)?,
            }
            hang_up(&server)?;
            waits.push(relay.until(n, begin)?);
            times.push(begin.elapsed());
        }
        let (of, waited) = (Figures::millis(&times), Figures::millis(&waits));
        println!(
            "added     a reservation of {RESERVED} by {name}: {}; the known waited up to {:.1} ms  ({})",
            of.line("ms"),
            waited.percentile(100.0),
            version(name)
        );
    }
    Ok(())
}

/// A run of ports that nobody has, one for each network.
fn ports(from: u16) -> anyhow::Result<u16> {
    let is_free = |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok();
    let bases = (from..u16::MAX - 2 * NETWORKS).step_by(usize::from(NETWORKS));
    let mut free = bases.filter(|base| (*base..base + NETWORKS).all(is_free));
    free.next().with_context(|| format!("{NETWORKS} ports in a row"))
}

fn network(n: u16) -> serde_json::Value {
    let hosts: Vec<_> = (0..NETWORK_HOSTS)
        .map(|h| {
            json!({ "vif": format!("vif-{n}x{h}"), "instance": format!("i-{n}x{h}"), "hostname": format!("host{h}"),
                "mac": format!("52:54:{:02x}:{:02x}:00:{h:02x}", n >> 8, n & 255), "ipv4": format!("10.0.0.{}", h + 10) })
        })
        .collect();
    let snapshot = json!({ "network": format!("nw-n{n}"), "account": "a-bench", "vlan_tag": n + 1, "subnet": "10.0.0.0/24",
        "gateway": "10.0.0.1", "server": "10.0.0.2", "domain": format!("n{n}.example"), "mtu": 1450,
        "lease_seconds": 3600, "ttl_seconds": 60, "hosts": hosts });
    json!({ "form": 1, "installation": uuid::Uuid::nil(), "version": 1, "history": 1, "snapshot": snapshot })
}

fn resident_mb(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: f64 = line.split_whitespace().next().context("a number")?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// Ours with a thousand networks, each asked.
pub async fn thousand() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, dns) = (folder.path().join("data"), ports(20_000)?);
    let dhcp = ports(dns + NETWORKS)?;
    let command = super::peers::ours(
        folder.path(),
        0,
        &format!("listen_dns = '127.0.0.1:{dns}'\nlisten_dhcp = '127.0.0.1:{dhcp}'"),
    )?;
    std::fs::remove_file(data.join("nw-peers.json"))?;
    for n in 0..NETWORKS {
        std::fs::write(data.join(format!("nw-n{n}.json")), serde_json::to_vec(&network(n))?)?;
    }
    let log = File::create(folder.path().join("log"))?;
    let mut started = Command::new(&command[0]);
    started.args(&command[1..]).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let begin = Instant::now();
    let server = Server(started.spawn()?);
    // Which network has which place is found by asking: each place knows one name of all.
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    let mut answered = 0;
    for place in 0..NETWORKS {
        socket.connect(("127.0.0.1", dns + place)).await?;
        let last: Name = "2.0.0.10.in-addr.arpa.".parse()?;
        while !super::names::is_answered(&socket, &last).await {
            ensure!(
                begin.elapsed() < PATIENCE * 2,
                "place {place}: {}",
                std::fs::read_to_string(folder.path().join("log"))?
            );
        }
        answered += 1;
    }
    let (took, memory) = (begin.elapsed(), resident_mb(server.0.id())?);
    let programs = processes::programs()?;
    println!(
        "memory    {answered} networks of {NETWORK_HOSTS} hosts, each asked, {:.1} s after the start: {memory:.1} MB  ({})",
        took.as_secs_f64(),
        programs.display()
    );
    judge("1,000 networks of 50 hosts in one process", memory, MEMORY_MB, "MB");
    Ok(())
}
