//! Promise: DNS of a network of 20,000 machines, names and reverse names, answered by one core at least as fast as dnsmasq
//! does; Knot, NSD and Unbound are shown beside it (goal: 70 % of the fastest). The same names and the same questions, each
//! server pinned to one core and dnsperf to another, all on this machine in one run, one after the other, twice round.
//! And: a name added to a network of 10,000 machines is answered as fast by its difference as the whole is slow.

use anyhow::{Context, ensure};
use arame_dcmgr::app::networks::records;
use arame_schema::api::CreateDnsRecord;
use arame_schema::jobs::nsa::why::{WHY, WhyQuestion};
use arame_spec::bench::{Figures, judge};
use arame_spec::processes;
use arame_spec::world::{Size, World};
use serde_json::json;
use std::fmt::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const HOSTS: u32 = 20_000;
const ROUNDS: usize = 2;
pub const DOMAIN: &str = "peers.example";

/// A server reads its zone before it answers.
const READY: Duration = Duration::from_secs(60);

/// Hosts of the network that is changed, and how often.
const MANY: u32 = 10_000;
const CHANGES: usize = 20;

/// How long one measurement takes: `ARAME_BENCH_SECONDS`, to see that all of it works, or five.
pub fn seconds() -> u32 {
    std::env::var("ARAME_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// Ended when it is dropped, whatever became of the bench.
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a40_0000 + 16 + n)
}

pub fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]).map(PathBuf::from);
    folders.map(|folder| folder.join(program)).find(|path| path.exists())
}

fn reverse(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

/// What dnsperf asks: each name and each reverse name once, mixed by a fixed stride.
fn questions() -> String {
    let mut text = String::new();
    for n in 0..HOSTS {
        let n = n * 7919 % HOSTS;
        let _ = writeln!(text, "h{n}.{DOMAIN} A\n{} PTR", reverse(address(n)));
    }
    text
}

fn zone(origin: &str, records: &str) -> String {
    format!(
        "$ORIGIN {origin}.\n$TTL 60\n@ SOA ns.{DOMAIN}. hostmaster.{DOMAIN}. 1 3600 600 86400 5\n@ NS ns.{DOMAIN}.\n{records}"
    )
}

pub fn zones(folder: &Path) -> anyhow::Result<()> {
    let (mut forward, mut back) = (String::from("ns A 10.64.0.2\n"), String::new());
    for n in 0..HOSTS {
        let _ = writeln!(forward, "h{n} A {}", address(n));
        let [_, _, c, d] = address(n).octets();
        let _ = writeln!(back, "{d}.{c} PTR h{n}.{DOMAIN}.");
    }
    std::fs::write(folder.join("forward.zone"), zone(DOMAIN, &forward))?;
    Ok(std::fs::write(folder.join("reverse.zone"), zone("64.10.in-addr.arpa", &back))?)
}

/// Our own, from a snapshot on disk and without a broker, as after a restart in an outage. The rate of one address is not
/// held, since all that is asked comes from one; it is counted all the same.
pub fn ours(folder: &Path, hosts: u32, listen: &str) -> anyhow::Result<Vec<String>> {
    let hosts: Vec<_> = (0..hosts)
        .map(|n| {
            let mac = format!("52:54:00:{:02x}:{:02x}:{:02x}", n >> 16, (n >> 8) & 0xff, n & 0xff);
            json!({ "vif": format!("vif-{n}"), "instance": "i-x", "mac": mac, "ipv4": address(n), "hostname": format!("h{n}") })
        })
        .collect();
    let snapshot = json!({ "network": "nw-peers", "account": "a-peers", "vlan_tag": 100, "subnet": "10.64.0.0/16",
        "server": "10.64.0.2", "domain": DOMAIN, "mtu": 1500, "lease_seconds": 3600, "ttl_seconds": 60, "hosts": hosts });
    let stored =
        json!({ "form": 1, "installation": uuid::Uuid::nil(), "version": 1, "history": 1, "snapshot": snapshot });
    std::fs::create_dir_all(folder.join("data"))?;
    std::fs::write(folder.join("data/nw-peers.json"), serde_json::to_vec(&stored)?)?;
    std::fs::write(folder.join("key"), "key")?;
    let config = format!(
        "[common]\nagent = 'nsa.peers'\nkey_file = '{0}/key'\nstate_dir = '{0}/state'\n[common.broker]\nhost = '127.0.0.1'\n\
         port = 1\nvhost = 'x'\nuser = 'nsa.peers'\npassword_file = '{0}/key'\n[nsa]\ndriver = 'sim'\ndata_dir = '{0}/data'\n\
         questions_per_second = 4000000000\n[nsa.sim]\n{listen}\n",
        folder.display()
    );
    std::fs::write(folder.join("nsa.toml"), config)?;
    let program = processes::programs()?.join("arame-nsa");
    Ok(vec![program.display().to_string(), "--config".into(), folder.join("nsa.toml").display().to_string()])
}

/// How a peer is started in the foreground on one core's worth of workers; `None`: it is not here.
pub fn peer(name: &str, folder: &Path, port: u16) -> anyhow::Result<Option<Vec<String>>> {
    let at = |file: &str| folder.join(file).display().to_string();
    let program = match name {
        "arame" => return ours(folder, HOSTS, &format!("listen_dns = '127.0.0.1:{port}'")).map(Some),
        "knot" => found("knotd"),
        other => found(other),
    };
    let Some(program) = program.map(|path| path.display().to_string()) else { return Ok(None) };
    let (forward, back) = (at("forward.zone"), at("reverse.zone"));
    let file = at(&format!("{name}.conf"));
    let (text, arguments): (String, Vec<String>) = match name {
        "dnsmasq" => {
            let hosts = (0..HOSTS).map(|n| format!("{} h{n}.{DOMAIN}\n", address(n))).collect::<String>();
            std::fs::write(at("hosts"), hosts)?;
            let text = format!(
                "no-resolv\nno-hosts\naddn-hosts={}\nport={port}\nlisten-address=127.0.0.1\nbind-interfaces\nlocal-ttl=60\n\
                 cache-size=1000\nuser=root\nlocal=/{DOMAIN}/\npid-file=\n",
                at("hosts")
            );
            (text, vec!["--keep-in-foreground".into(), format!("--conf-file={file}")])
        }
        "knot" => {
            let text = format!(
                "server:\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  rundir: {0}\n\
                 database:\n  storage: {0}/knot\nlog:\n  - target: stderr\n    any: error\n\
                 zone:\n  - domain: {DOMAIN}\n    file: {forward}\n  - domain: 64.10.in-addr.arpa\n    file: {back}\n",
                folder.display()
            );
            std::fs::create_dir_all(folder.join("knot"))?;
            (text, vec!["-c".into(), file.clone()])
        }
        "nsd" => {
            let text = format!(
                "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  database: \"\"\n\
                 \u{20} zonesdir: \"{0}\"\n  pidfile: \"{0}/nsd.pid\"\n  zonelistfile: \"{0}/nsd.list\"\n  xfrdfile: \"{0}/nsd.xfrd\"\n  xfrdir: \"{0}\"\n\
                 remote-control:\n  control-enable: no\nzone:\n  name: {DOMAIN}\n  zonefile: {forward}\n\
                 zone:\n  name: 64.10.in-addr.arpa\n  zonefile: {back}\n",
                folder.display()
            );
            (text, vec!["-d".into(), "-c".into(), file.clone()])
        }
        _ => {
            let mut text = format!(
                "server:\n  interface: 127.0.0.1@{port}\n  num-threads: 1\n  username: \"\"\n  chroot: \"\"\n  directory: \"{0}\"\n\
                 \u{20} pidfile: \"{0}/unbound.pid\"\n  do-daemonize: no\n  use-syslog: no\n  logfile: \"\"\n  verbosity: 0\n\
                 \u{20} access-control: 127.0.0.0/8 allow\n  local-zone: \"{DOMAIN}.\" static\n  local-zone: \"64.10.in-addr.arpa.\" static\n",
                folder.display()
            );
            for n in 0..HOSTS {
                let a = address(n);
                let _ = writeln!(
                    text,
                    "  local-data: \"h{n}.{DOMAIN}. 60 A {a}\"\n  local-data-ptr: \"{a} 60 h{n}.{DOMAIN}\""
                );
            }
            (text, vec!["-d".into(), "-c".into(), file.clone()])
        }
    };
    std::fs::write(&file, text)?;
    Ok(Some([vec![program], arguments].concat()))
}

pub fn version(name: &str) -> String {
    let (program, argument) = match name {
        "arame" => return format!("this one, {}", env!("CARGO_PKG_VERSION")),
        "dnsmasq" => ("dnsmasq", "--version"),
        "knot" => ("knotd", "--version"),
        "nsd" => ("nsd", "-v"),
        "kea" => ("kea-dhcp4", "-v"),
        "perfdhcp" => ("perfdhcp", "-v"),
        "dnsperf" => ("dnsperf", "-h"),
        _ => ("unbound", "-V"),
    };
    let Some(program) = found(program) else { return "-".into() };
    let output = Command::new(program).arg(argument).output();
    let text = output.map(|o| [o.stdout, o.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().chars().take(60).collect()
}

/// Asks until the last name is answered.
pub async fn ready(server: &mut Server, port: u16) -> anyhow::Result<()> {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(("127.0.0.1", port)).await?;
    let name = format!("h{}.{DOMAIN}.", HOSTS - 1);
    let begin = Instant::now();
    while begin.elapsed() < READY {
        if let Some(status) = server.0.try_wait()? {
            anyhow::bail!("it ended: {status}");
        }
        if super::names::ask_short(&socket, &name.parse()?).await.is_some() {
            return Ok(());
        }
    }
    anyhow::bail!("not ready within {READY:?}")
}

/// Questions a second, and the part that was lost, in percent.
fn dnsperf(folder: &Path, port: u16) -> anyhow::Result<(f64, f64)> {
    let questions = folder.join("questions").display().to_string();
    let (port, seconds) = (port.to_string(), seconds().to_string());
    let arguments = [
        "-c",
        "0",
        "dnsperf",
        "-s",
        "127.0.0.1",
        "-p",
        &port,
        "-d",
        &questions,
        "-l",
        &seconds,
        "-c",
        "8",
        "-T",
        "1",
        "-q",
        "200",
    ];
    let output = Command::new("taskset").args(arguments).output().context("dnsperf")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |word: &str, end: char| {
        let line =
            text.lines().find(|line| line.contains(word)).with_context(|| format!("dnsperf says no {word}: {text}"))?;
        let rest = line.split_once(word).map_or("", |(_, rest)| rest);
        let rest = rest.rsplit('(').next().unwrap_or(rest);
        rest.trim()
            .split([end, ' ', ')'])
            .next()
            .unwrap_or_default()
            .trim()
            .parse::<f64>()
            .context("a number of dnsperf")
    };
    Ok((number("Queries per second:", ' ')?, number("Queries lost:", '%')?))
}

/// The first comparison: who answers how many questions a second.
pub async fn dns() -> anyhow::Result<()> {
    if found("dnsperf").is_none() || found("taskset").is_none() {
        println!("skipped: needs dnsperf and taskset (apt-get install dnsperf util-linux)");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    zones(folder.path())?;
    std::fs::write(folder.path().join("questions"), questions())?;
    let names = ["arame", "dnsmasq", "knot", "nsd", "unbound"];
    let mut figures: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    for round in 0..ROUNDS {
        for (at, name) in names.iter().enumerate() {
            let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
            let Some(command) = peer(name, folder.path(), port)? else {
                if round == 0 {
                    println!("MISSING   {name} is not installed: nothing is said of it");
                }
                continue;
            };
            let log = std::fs::File::create(folder.path().join(format!("{name}.log")))?;
            let started = Command::new("taskset")
                .args(["-c", "1"])
                .args(&command)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()?;
            let mut server = Server(started);
            ready(&mut server, port).await.with_context(|| {
                format!(
                    "{name}: {}",
                    std::fs::read_to_string(folder.path().join(format!("{name}.log"))).unwrap_or_default()
                )
            })?;
            let (per_second, lost) = dnsperf(folder.path(), port)?;
            println!("dns       {name:<8} {per_second:>9.0} questions/s, {lost:.2} % lost  ({})", version(name));
            figures[at].push(per_second);
        }
    }
    let best = |at: usize| figures[at].iter().copied().fold(0.0, f64::max);
    let fastest = (1..names.len()).map(best).fold(0.0, f64::max);
    println!("dns       ours are {:.0} % of the fastest peer's", 100.0 * best(0) / fastest.max(1.0));
    if best(1) > 0.0 {
        // As a part of what dnsmasq does: at most all of it.
        judge("DNS: dnsmasq's questions/s by ours, one core", best(1) / best(0), 1.0, "");
    }
    Ok(())
}

/// The rows of a network with many machines, without launching each.
async fn fill(world: &World) -> anyhow::Result<()> {
    let made = world.launch("first").await?;
    world.instance_in(&made.id, arame_schema::model::instance::InstanceState::Running).await?;
    let columns = "SELECT GROUP_CONCAT(column_name) AS names FROM information_schema.columns WHERE table_schema = DATABASE() \
                   AND table_name = 'instances' AND column_name NOT IN ('seq', 'id', 'uuid', 'hostname', 'hostname_taken')";
    let rows = world.db().rows(columns, ()).await?;
    let names = arame_dcmgr::db::Columns::text(rows.first().context("columns")?, "names")?;
    let digits = "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 \
                  UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    let numbers = format!(
        "(SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS n FROM {digits} a, {digits} b, {digits} c, {digits} e) numbers"
    );
    let instances = format!(
        "INSERT INTO instances (id, uuid, hostname, hostname_taken, {names}) \
         SELECT CONCAT('i-many', n), UUID(), CONCAT('m', n), CONCAT('m', n), {names} FROM instances, {numbers} WHERE id = '{}'",
        made.id
    );
    world.db().run(instances, ()).await?;
    let vifs = format!(
        "INSERT INTO network_vifs (id, account_id, instance_id, network_id, device_index, mac, ipv4, need_network_version, created_at) \
         SELECT CONCAT('vif-many', n), 'a-demo', CONCAT('i-many', n), 'nw-many', 0, \
         CONCAT('52:54:01:00:', LPAD(HEX(n DIV 256), 2, '0'), ':', LPAD(HEX(n MOD 256), 2, '0')), {} + n, 2, UTC_TIMESTAMP(3) \
         FROM {numbers} WHERE n < {MANY}",
        u32::from(Ipv4Addr::new(10, 9, 1, 0))
    );
    world.db().run(vifs, ()).await?;
    world.db().run("UPDATE networks SET version = 2 WHERE id = 'nw-many'", ()).await?;
    Ok(())
}

/// From the commit to the naming service's first answer with the name.
async fn change(world: &World, name: &str) -> anyhow::Result<Duration> {
    let request = CreateDnsRecord { name: name.into(), kind: "A".into(), value: "192.0.2.7".into(), ttl: None };
    let added = records::add(&world.app, &world.demo(), "nw-many", request).await;
    added.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    let begin = Instant::now();
    let question = WhyQuestion { network: "nw-many".parse()?, mac: None, name: Some(name.into()) };
    let question = serde_json::to_value(question)?;
    loop {
        let answer = world.app.questions().ask("nsa.n1".parse()?, WHY, question.clone()).await;
        if answer.is_ok_and(|answer| answer["records"].as_array().is_some_and(|records| !records.is_empty())) {
            return Ok(begin.elapsed());
        }
        ensure!(begin.elapsed() < READY, "{name} is never answered");
    }
}

/// The second comparison: a difference beside the whole, from the commit to the answer.
pub async fn many() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let request = json!({ "id": "nw-many", "dc_network": "dcn-main", "network": "10.9.0.0", "prefix": 16,
        "network_mode": "securitygroup", "editable": true });
    let operator = world.caller("a-demo", arame_schema::api::Role::Operator);
    let made = arame_dcmgr::app::networks::create(&world.app, &operator, serde_json::from_value(request)?).await;
    made.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    fill(&world).await?;
    change(&world, "first").await?;
    let mut figures = Vec::new();
    for (word, kinds) in [
        ("whole", r#"["nsa.network.apply","nsa.network.delete"]"#),
        ("change", r#"["nsa.network.apply","nsa.network.change","nsa.network.delete"]"#),
    ] {
        world.db().run("UPDATE agents SET kinds = ? WHERE id = 'nsa.n1'", (kinds,)).await?;
        let mut times = Vec::new();
        for n in 0..CHANGES {
            times.push(change(&world, &format!("{word}{n}")).await?);
        }
        let of = Figures::millis(&times);
        println!("added     of {MANY} hosts, committed to answered, as a {word}: {}", of.line("ms"));
        figures.push(of.median());
    }
    judge("committed to answered as a change, median", figures[1], 50.0, "ms");
    println!("added     a change takes {:.1} % of the whole", 100.0 * figures[1] / figures[0]);
    Ok(())
}
