//! Promise: a DHCP answer at most 5 ms after the DISCOVER, a DNS record visible at most 50 ms after the lease is
//! committed. Real guests on a real fabric; needs root. The first is read from the frames at the trunk of the guest's
//! host, so the switches are in it; the second is counted from the API's answer, which comes after the commit, to the
//! first answer with the address. Compared with the round trip of the same questions when nothing is new: what the
//! switches and the client cost alone.

use anyhow::{Context, ensure};
use arame_spec::bench::{Figures, introduce, judge};
use arame_spec::real::{DataCenter, program, until};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

const RUNS: usize = 10;

/// Between two questions for a name that is not there yet.
const ASK_AGAIN: Duration = Duration::from_millis(1);
pub const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// A guest without KVM asks for its address some seconds after its start.
const BOOT_LIMIT: Duration = Duration::from_secs(60);

async fn ask(socket: &UdpSocket, name: &Name) -> anyhow::Result<Option<Ipv4Addr>> {
    let mut question = Message::query();
    question.add_query(Query::query(name.clone(), RecordType::A));
    socket.send(&question.to_vec()?).await?;
    let answer = answer_to(socket, question.metadata.id);
    let answer = tokio::time::timeout(ANSWER_LIMIT, answer).await.context("the nsa is silent")??;
    if answer.metadata.response_code != ResponseCode::NoError {
        return Ok(None);
    }
    Ok(answer.answers.iter().find_map(|record| match &record.data {
        RData::A(address) => Some(address.0),
        _ => None,
    }))
}

/// The answer to this question. One to a question that was given up may come first: whoever took it for his own would be
/// one behind for ever.
pub async fn answer_to(socket: &UdpSocket, id: u16) -> anyhow::Result<Message> {
    let mut bytes = [0; 1500];
    loop {
        let length = socket.recv(&mut bytes).await?;
        let answer = Message::from_vec(&bytes[..length])?;
        if answer.metadata.id == id {
            return Ok(answer);
        }
    }
}

/// A question that is given up soon: the server may not be there yet.
pub async fn ask_short(socket: &UdpSocket, name: &Name) -> Option<Ipv4Addr> {
    let answer = tokio::time::timeout(Duration::from_millis(200), ask(socket, name)).await;
    let found = answer.ok().and_then(Result::ok).flatten();
    if found.is_none() {
        tokio::time::sleep(ASK_AGAIN).await;
    }
    found
}

/// Whether anything but an error is said about a reverse name, soon.
pub async fn is_answered(socket: &UdpSocket, name: &Name) -> bool {
    let exchange = async {
        let mut question = Message::query();
        question.add_query(Query::query(name.clone(), RecordType::PTR));
        socket.send(&question.to_vec()?).await?;
        Ok::<bool, anyhow::Error>(!answer_to(socket, question.metadata.id).await?.answers.is_empty())
    };
    let answer = tokio::time::timeout(Duration::from_millis(200), exchange).await;
    let is_answered = matches!(answer, Ok(Ok(true)));
    if !is_answered {
        tokio::time::sleep(ASK_AGAIN).await;
    }
    is_answered
}

/// One launch: the API's answer to the first answer with its address, and a repeated question's round trip.
async fn launch(center: &DataCenter, client: &reqwest::Client, host: &str) -> anyhow::Result<(String, [Duration; 2])> {
    let token = std::fs::read_to_string(center.dir().join("tokens/demo"))?;
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(SocketAddr::from((center.address(2).parse::<Ipv4Addr>()?, 53))).await?;
    let name: Name = format!("{host}.demo1.arame.internal.").parse()?;
    ensure!(ask(&socket, &name).await?.is_none(), "{host} has a name before it exists");
    let vifs = json!({ "eth0": { "index": "0", "network": "nw-demo1" } });
    let body = json!({ "image_id": "wmi-tiny", "instance_type": "tiny", "hostname": host, "vifs": vifs });
    let request = client.post(center.api("/instances")).bearer_auth(token.trim()).json(&body);
    let answer = request.send().await?.error_for_status()?;
    let begin = Instant::now();
    while ask(&socket, &name).await?.is_none() {
        ensure!(begin.elapsed() < BOOT_LIMIT, "{host} never got its name");
        tokio::time::sleep(ASK_AGAIN).await;
    }
    let visible = begin.elapsed();
    let begin = Instant::now();
    ask(&socket, &name).await?;
    let again = begin.elapsed();
    let made: Value = answer.json().await?;
    Ok((made["id"].as_str().context("an instance has an id")?.to_owned(), [visible, again]))
}

/// Pairs of request and reply per client, in the order they passed: `12.345678 52:54:00:… > …, … BOOTP/DHCP, Request …`
fn pairs(text: &str) -> Vec<Duration> {
    let mut waiting: BTreeMap<String, f64> = BTreeMap::new();
    let mut answered = Vec::new();
    for line in text.lines().filter(|line| line.contains("BOOTP/DHCP")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [time, from, _, to, ..] = words[..] else { continue };
        let Ok(time) = time.parse::<f64>() else { continue };
        if line.contains("Request") {
            waiting.entry(from.to_lowercase()).or_insert(time);
        } else if let Some(asked) = waiting.remove(&to.trim_end_matches(',').to_lowercase()) {
            answered.push(Duration::from_secs_f64((time - asked).max(0.0)));
        }
    }
    answered
}

pub async fn run() -> anyhow::Result<()> {
    introduce("names", "DHCP answer <= 5 ms after the DISCOVER, DNS record <= 50 ms after the lease's commit")?;
    super::peers::dns().await?;
    super::leases::dhcp().await?;
    super::leases::added().await?;
    super::beside::names().await?;
    super::beside::leases().await?;
    super::beside::thousand().await?;
    super::peers::many().await?;
    if std::env::var_os("ARAME_BENCH_REAL").is_none() || !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root and ARAME_BENCH_REAL=1 (namespaces, libvirt, Open vSwitch)");
        return Ok(());
    }
    let center = DataCenter::new()?;
    center.up().await?.well()?;
    let client = reqwest::Client::new();
    let (mut visible, mut again) = (Vec::new(), Vec::new());
    let capture = center.capture("fab", "h1t").await?;
    let (file, host) = (capture.file().display().to_string(), "hn-h1");
    for n in 0..RUNS {
        let (id, [first, second]) = launch(&center, &client, &format!("n{n}")).await?;
        visible.push(first);
        again.push(second);
        let on_h1 = center.json(&["instance", "show", &id]).await?["host_node"] == host;
        let seen = pairs(&told(&file).await?).len();
        if on_h1 {
            until("its lease passes the trunk", BOOT_LIMIT, || async {
                Ok((pairs(&told(&file).await?).len() >= seen + 2).then_some(()))
            })
            .await?;
        }
        center.done(&["instance", "delete", &id, "--wait"]).await?;
    }
    capture.end().await?;
    let dhcp = Figures::millis(&pairs(&told(&file).await?));
    ensure!(dhcp.count() > 0, "no exchange was seen");
    let (visible, again) = (Figures::millis(&visible), Figures::millis(&again));
    println!("dhcp      {}", dhcp.line("ms"));
    println!("dns       visible {}", visible.line("ms"));
    println!("floor     the same question again: {}", again.line("ms"));
    judge("DHCP answer after the request, median", dhcp.median(), 5.0, "ms");
    judge("DNS record after the commit, median", visible.median(), 50.0, "ms");
    center.down().await?.well()?;
    center.ended_well();
    Ok(())
}

async fn told(file: &str) -> anyhow::Result<String> {
    Ok(program::run("tcpdump", &["-e", "-nn", "-tt", "-r", file], program::SHORT).await?.out)
}
