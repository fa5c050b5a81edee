//! Whatever comes back from a server that somebody else runs, and whatever a guest writes into a connection: nothing ends by
//! it, nothing grows, and who asks properly is answered.
//!
//! Bounded in `make test`; `ARAME_NOISE_MINUTES=10` goes on for so long and prints how many it were.

use crate::kit::snapshot;
use crate::noise::{Campaign, questions};
use arame_nsa::dns::clients::Clients;
use arame_nsa::dns::forward::Forwarders;
use arame_nsa::dns::{Handler, Verdict, server};
use arame_nsa::snapshot::Served;
use arc_swap::ArcSwap;
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::{A, CNAME, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_server::net::xfer::Protocol;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// Each may cost the patience of a resolver whose answer was spoiled.
const ANSWERS: u64 = 600;
const AT_ONCE: usize = 64;
const CONNECTIONS: u64 = 500;

fn handler(forwarder: Option<SocketAddr>) -> Handler {
    let mut network = snapshot("nw-one", 101);
    network.forwarders = forwarder.into_iter().collect();
    Handler {
        served: Arc::new(ArcSwap::from_pointee(Served::new(network, 1, 1).unwrap())),
        counters: Arc::default(),
        forwarders: Forwarders::default(),
        queries: Arc::default(),
    }
}

fn question(id: u16, name: &str) -> Vec<u8> {
    let mut question = Message::new(id, MessageType::Query, OpCode::Query);
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    question.to_vec().unwrap()
}

/// A good answer with an alias, an address and a text.
fn answer(asked: &[u8]) -> Option<Vec<u8>> {
    let asked = Message::from_vec(asked).ok()?;
    let name = asked.queries.first()?.name().clone();
    let mut answer = Message::response(asked.id, OpCode::Query);
    answer.add_queries(asked.queries.clone());
    answer.metadata.recursion_available = true;
    let other = Name::from_ascii("other.example.org.").unwrap();
    answer.add_answer(Record::from_rdata(name, 60, RData::CNAME(CNAME(other.clone()))));
    answer.add_answer(Record::from_rdata(other.clone(), 60, RData::A(A(Ipv4Addr::new(192, 0, 2, 7)))));
    answer.add_additional(Record::from_rdata(other, 60, RData::TXT(TXT::new(vec!["x".repeat(200)]))));
    answer.to_vec().ok()
}

/// Its question's id stays, else nobody would look at the rest.
fn spoil(rng: &mut StdRng, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.random_range(0..4) {
        let at = rng.random_range(2..bytes.len().max(3));
        match rng.random_range(0..4) {
            0 if at < bytes.len() => bytes[at] = rng.random(),
            1 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => bytes.truncate(at.max(12)),
            _ if at <= bytes.len() => bytes.insert(at, rng.random()),
            _ => {}
        }
    }
    bytes
}

async fn upstream(socket: UdpSocket, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut packet = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut packet).await {
        if let Some(answer) = answer(&packet[..length]) {
            let _ = socket.send_to(&spoil(&mut rng, answer), from).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_answers_from_elsewhere_end_nothing() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let handler = Arc::new(handler(Some(socket.local_addr().unwrap())));
    let serving = tokio::spawn(upstream(socket, seed));
    let (mut asking, mut good, mut failed) = (JoinSet::new(), 0, 0);
    let mut campaign = Campaign::of(ANSWERS);
    let mut number = 0_u64;
    let mut count = |told: Result<Vec<u8>, tokio::task::JoinError>| {
        let bytes = told.unwrap();
        assert!((12..=1232).contains(&bytes.len()) && bytes[2] & 0x80 != 0, "{bytes:02x?}");
        match bytes[3] & 0x0f {
            0 => good += 1,
            _ => failed += 1,
        }
    };
    while campaign.goes_on() {
        number += 1;
        let (handler, id) = (handler.clone(), number as u16);
        asking.spawn(async move {
            let packet = question(id, &format!("n{number}.example.org."));
            match handler.handle(&packet, "10.0.0.10:4000".parse().unwrap(), Protocol::Udp) {
                Verdict::Forward(forward) => forward.ask().await,
                _ => panic!("a name elsewhere is asked elsewhere"),
            }
        });
        if asking.len() >= AT_ONCE {
            count(asking.join_next().await.unwrap());
        }
    }
    while let Some(told) = asking.join_next().await {
        count(told);
    }
    println!("answers from elsewhere: {good} good, {failed} of no use");
    campaign.end("answers from elsewhere");
    assert!(good > 50 && failed > 50, "the noise reached both sides: {good} {failed}");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_written_into_a_connection_ends_only_that_connection() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let at = tcp.local_addr().unwrap();
    let serving = tokio::spawn(server::run(handler(None), Clients::new(20_000), udp, tcp));
    let seeds = questions();
    let mut campaign = Campaign::of(CONNECTIONS);
    while campaign.goes_on() {
        let Ok(mut stream) = TcpStream::connect(at).await else { continue };
        for _ in 0..rng.random_range(1..4) {
            let seed = seeds[rng.random_range(0..seeds.len())].clone();
            let packet = spoil(&mut rng, seed);
            let length = if rng.random_bool(0.8) { packet.len() as u16 } else { rng.random() };
            if stream.write_all(&[&length.to_be_bytes()[..], &packet].concat()).await.is_err() {
                break;
            }
        }
    }
    campaign.end("connections");
    // Who asks properly is answered, once what was left open had its time.
    let answered = async {
        loop {
            if let Ok(mut stream) = TcpStream::connect(at).await {
                let packet = question(9, "web1.t101.example.");
                let _ = stream.write_all(&[&(packet.len() as u16).to_be_bytes()[..], &packet].concat()).await;
                if let Ok(Ok(length)) = tokio::time::timeout(Duration::from_secs(5), stream.read_u16()).await {
                    let mut bytes = vec![0; usize::from(length)];
                    stream.read_exact(&mut bytes).await.unwrap();
                    return Message::from_vec(&bytes).unwrap().answers.len();
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), answered).await, Ok(1));
    assert!(!serving.is_finished());
    serving.abort();
}
