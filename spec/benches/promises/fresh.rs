//! Promise: while 50 machines a second are launched, a name that was committed is answered at most 150 ms later, and one
//! that was deleted is answered no more as soon. Real processes, a durable database, simulated hosts; the names are asked
//! over the wire, from the API's answer to the naming service's. Compared with the same without launches: at most 50 ms.

use crate::names::{ANSWER_LIMIT, answer_to};
use anyhow::{Context, ensure};
use arame_spec::bench::{Figures, introduce, judge};
use arame_spec::processes::{Answer, Backends, Processes, until};
use arame_spec::wishes::{Order, send};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

const HOSTS: u16 = 8;
const NETWORK: &str = "nw-demo1";
const LAUNCHES_A_SECOND: u32 = 50;
const NAMES: usize = 60;

/// Between two names: 60 of them take some 15 s.
const PAUSE: Duration = Duration::from_millis(200);
const ASK_AGAIN: Duration = Duration::from_micros(500);

/// The naming service again, as one that is asked over the wire: a socket to it in the network.
async fn listening(center: &Processes) -> anyhow::Result<UdpSocket> {
    let first = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let path = center.path("etc/nsa.n1.toml");
    let mut file: toml::Table = toml::from_str(&std::fs::read_to_string(&path)?)?;
    let sim = file.get_mut("nsa").and_then(|nsa| nsa.get_mut("sim")).and_then(toml::Value::as_table_mut);
    sim.context("[nsa.sim]")?.insert("listen_dns".into(), format!("127.0.0.1:{first}").into());
    std::fs::write(&path, toml::to_string(&file)?)?;
    center.kill("nsa.n1")?;
    center.all_alive().await?;
    let slot = || Ok::<_, anyhow::Error>(center.worlds()?["nsa.n1"]["links"][NETWORK]["slot"].as_u64());
    until("the network has a link", async || Ok(slot()?.is_some())).await?;
    let port = first + u16::try_from(slot()?.context("a slot")?)?;
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(("127.0.0.1", port)).await?;
    let any: Name = "quiet.".parse()?;
    until("it is asked over the wire", async || Ok(is_there(&socket, &any).await.is_ok())).await?;
    Ok(socket)
}

async fn is_there(socket: &UdpSocket, name: &Name) -> anyhow::Result<bool> {
    let mut question = Message::query();
    question.add_query(Query::query(name.clone(), RecordType::A));
    socket.send(&question.to_vec()?).await?;
    let answer = tokio::time::timeout(ANSWER_LIMIT, answer_to(socket, question.metadata.id)).await;
    Ok(!answer.context("the naming service is silent")??.answers.is_empty())
}

async fn until_there(socket: &UdpSocket, name: &Name, wanted: bool) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    while is_there(socket, name).await? != wanted {
        ensure!(begin.elapsed() < Duration::from_secs(30), "{name}: not {wanted} within 30 s");
        tokio::time::sleep(ASK_AGAIN).await;
    }
    Ok(begin.elapsed())
}

fn well(answer: Answer) -> anyhow::Result<Answer> {
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
    Ok(answer)
}

/// How long each of some names took to be answered, and to be gone.
async fn names(center: &Processes, socket: &UdpSocket, word: &str) -> anyhow::Result<[Vec<Duration>; 2]> {
    let records = format!("/networks/{NETWORK}/records");
    let [mut added, mut gone] = [Vec::new(), Vec::new()];
    for n in 0..NAMES {
        let body = json!({ "name": format!("{word}{n}"), "type": "A", "value": "192.0.2.7" });
        let made = well(center.ask("POST", &records, &body, None).await?)?;
        let told = made.body["dns_name"].as_str().context("a record has a name")?;
        let name: Name = format!("{told}.").parse()?;
        added.push(until_there(socket, &name, true).await?);
        let id = made.body["id"].as_str().context("a record has an id")?;
        well(center.ask("DELETE", &format!("{records}/{id}"), &json!({}), None).await?)?;
        gone.push(until_there(socket, &name, false).await?);
        tokio::time::sleep(PAUSE).await;
    }
    Ok([added, gone])
}

/// Machines without end at a steady pace, until it is told to stop: how many there were, in how long.
async fn launches(
    center: Arc<Processes>,
    stop: tokio::sync::oneshot::Receiver<()>,
) -> anyhow::Result<(usize, Duration)> {
    let begin = Instant::now();
    let (mut pace, mut sent, mut number) =
        (tokio::time::interval(Duration::from_secs(1) / LAUNCHES_A_SECOND), JoinSet::new(), 0);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            _ = &mut stop => break,
            _ = pace.tick() => {
                let (center, order) = (center.clone(), Order::Launch { name: format!("m{number}") });
                number += 1;
                sent.spawn(async move { send(&center, &order).await });
            }
        }
    }
    let mut made = 0;
    while let Some(answer) = sent.join_next().await {
        answer??.context("it was made")?;
        made += 1;
    }
    Ok((made, begin.elapsed()))
}

pub async fn run() -> anyhow::Result<()> {
    introduce("fresh", "a committed name is answered <= 150 ms later under 50 launches/s, <= 50 ms without")?;
    let center = Arc::new(Processes::up(Backends::Simulated, HOSTS).await?);
    let socket = listening(&center).await?;
    let quiet = names(&center, &socket, "quiet").await?;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let load = tokio::spawn(launches(center.clone(), stopped));
    let busy = names(&center, &socket, "busy").await;
    let _ = stop.send(());
    let (made, took) = load.await??;
    println!(
        "load      {made} launches in {:.1} s: {:.1} a second",
        took.as_secs_f64(),
        made as f64 / took.as_secs_f64()
    );
    for (word, [added, gone], limit) in [("without", quiet, 50.0), ("under 50 launches/s", busy?, 150.0)] {
        let (added, gone) = (Figures::millis(&added), Figures::millis(&gone));
        println!("fresh     {word}: answered {}", added.line("ms"));
        println!("fresh     {word}: gone     {}", gone.line("ms"));
        judge(&format!("committed to answered {word}, median"), added.median(), limit, "ms");
        judge(&format!("deleted to answered no more {word}, median"), gone.median(), limit, "ms");
    }
    let mut center = Arc::into_inner(center).context("nobody uses it any more")?;
    center.down().await
}
