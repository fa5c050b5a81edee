//! What one machine or one server elsewhere does is its own trouble: floods, dead upstreams, addresses that are taken.

use crate::kit::{Desk, fact, id, sim_config, snapshot, until};
use arame_framework::agent::{Agent, Standing};
use arame_nsa::agent::NsaAgent;
use arame_nsa::config::Nsa;
use arame_nsa::link::sim::Sim;
use arame_schema::jobs::nsa::NetworkSnapshot;
use arame_schema::jobs::report::{ADDRESS_IN_USE, Ask};
use arame_schema::model::Fact;
use dhcproto::v4::{DhcpOption, Message, MessageType};
use dhcproto::{Encodable, Encoder};
use hickory_proto::op::{Message as DnsMessage, MessageType as DnsType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub struct Served {
    pub sim: Arc<Sim>,
    pub agent: Arc<NsaAgent>,
    pub desk: Desk,
}

impl Served {
    pub fn dns(&self, network: &str) -> SocketAddr {
        self.sim.addresses(&id(network)).0.unwrap()
    }

    async fn ask(&self, question: &str, arguments: Value) -> Value {
        self.agent.ask(Ask { question: question.into(), arguments }).await.unwrap()
    }
}

pub fn free() -> SocketAddr {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let places = u32::from((PORTS.end - PORTS.start) / PORTS_AT_ONCE);
    // Tests are processes of their own: each begins elsewhere.
    let begin = std::process::id().wrapping_mul(37).wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
    let bases = (0..places).map(|n| PORTS.start + (begin.wrapping_add(n) % places) as u16 * PORTS_AT_ONCE);
    let is_free = |port| UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
    let base = bases.into_iter().find(|base| (*base..base + PORTS_AT_ONCE).all(is_free));
    SocketAddr::from(([127, 0, 0, 1], base.expect("a few free ports in a row")))
}

/// Below what Linux gives to outgoing connections (`ip_local_port_range`), so that what is free now stays so.
const PORTS: std::ops::Range<u16> = 14_000..20_000;
/// A network's slot is added to the port that is configured.
const PORTS_AT_ONCE: u16 = 4;

pub async fn serve(dir: &Path, change: impl FnOnce(&mut Nsa), snapshots: &[NetworkSnapshot]) -> Served {
    std::fs::create_dir_all(dir).unwrap();
    let mut config = sim_config(dir);
    (config.sim.listen_dns, config.sim.listen_dhcp) = (Some(free()), Some(free()));
    change(&mut config);
    let sim = Arc::new(Sim::open(config.sim.clone()).unwrap());
    let agent = Arc::new(NsaAgent::with_sim(&config, sim.clone()).unwrap());
    let desk = Desk::join(&agent, 1).await;
    for snapshot in snapshots {
        assert_eq!(fact(&desk.apply(&agent, snapshot, 1).await), (Fact::Yes, 1));
    }
    Served { sim, agent, desk }
}

fn question(name: &str, id: u16) -> Vec<u8> {
    let mut question = DnsMessage::new(id, DnsType::Query, OpCode::Query);
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    question.to_vec().unwrap()
}

/// From an address of the loopback; `None`: no answer in time.
pub fn resolve(from: &str, at: SocketAddr, name: &str, wait: Duration) -> Option<(ResponseCode, Vec<String>)> {
    let socket = UdpSocket::bind((from.parse::<Ipv4Addr>().unwrap(), 0)).unwrap();
    socket.set_read_timeout(Some(wait)).unwrap();
    socket.send_to(&question(name, 7), at).unwrap();
    let mut bytes = [0; 4096];
    let length = socket.recv(&mut bytes).ok()?;
    let answer = DnsMessage::from_vec(&bytes[..length]).unwrap();
    Some((answer.metadata.response_code, answer.answers.iter().map(|record| record.data.to_string()).collect()))
}

pub async fn asked(from: &'static str, at: SocketAddr, name: &'static str) -> Option<(ResponseCode, Vec<String>)> {
    tokio::task::spawn_blocking(move || resolve(from, at, name, Duration::from_secs(5))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_a_client_finds_in_use_is_told_and_no_other_is() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path(), |_| (), &[snapshot("nw-one", 101)]).await;
    let at = served.sim.addresses(&id("nw-one")).1.unwrap();
    let standing = Standing::new(crate::kit::INSTALLATION, 1);
    let listed = async || {
        let things = served.agent.list(standing.observe()).await.things;
        things.into_iter().filter(|thing| thing.kind == ADDRESS_IN_USE).collect::<Vec<_>>()
    };
    let decline = |address: [u8; 4]| {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(1, none, none, none, none, &[0x52, 0x54, 0, 0, 0x65, 0x0a]);
        message.opts_mut().insert(DhcpOption::MessageType(MessageType::Decline));
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(address.into()));
        message.opts_mut().insert(DhcpOption::ServerIdentifier([10, 0, 0, 2].into()));
        let mut bytes = Vec::new();
        message.encode(&mut Encoder::new(&mut bytes)).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(&bytes, at).unwrap();
    };
    let declines = async || served.ask("nsa.counters", json!({})).await["nw-one"]["dhcp"]["decline"] == 1;
    // Another machine's address is not its to complain about.
    decline([10, 0, 0, 11]);
    until("the first is heard", 5, declines).await;
    assert!(listed().await.is_empty());
    decline([10, 0, 0, 10]);
    until("the second is told", 5, async || listed().await.len() == 1).await;
    let thing = listed().await.remove(0);
    assert_eq!((thing.name.as_str(), thing.owner.as_deref()), ("nw-one/10.0.0.10", Some("nw-one")));
    assert_eq!(thing.detail, Some(json!({ "address": "10.0.0.10", "mac": "52:54:00:00:65:0a" })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_told_where_they_are_logged_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, two) = (snapshot("nw-one", 101), snapshot("nw-two", 102));
    one.log_queries = true;
    let served = serve(dir.path(), |_| (), &[one.clone(), two]).await;
    for (network, names) in
        [("nw-one", ["web1.t101.example.", "nobody.t101.example."]), ("nw-two", ["web1.t102.example."; 2])]
    {
        for name in names {
            assert!(asked("127.0.0.1", served.dns(network), name).await.is_some());
        }
    }
    let told = async |network: &str, name: &str| {
        let why = served.ask("nsa.why", json!({ "network": network, "name": name })).await;
        why["queries"].as_array().unwrap().iter().map(|query| query["answer"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(told("nw-one", "web1.t101.example").await, [json!("answered")]);
    assert_eq!(told("nw-one", "nobody.t101.example").await, [json!("no_name")]);
    assert!(told("nw-two", "web1.t102.example").await.is_empty());
    one.log_queries = false;
    assert_eq!(fact(&served.desk.apply(&served.agent, &one, 2).await), (Fact::Yes, 2));
    assert!(told("nw-one", "web1.t101.example").await.is_empty(), "and forgotten when it is off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_asks_too_much_is_held_and_its_neighbour_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let served = serve(dir.path(), |config| config.questions_per_second = 100, &[snapshot("nw-one", 101)]).await;
    let at = served.dns("nw-one");
    let flood = move || {
        let socket = UdpSocket::bind("127.0.0.2:0").unwrap();
        let packet = question("web1.t101.example.", 9);
        (0..2_000).for_each(|_| drop(socket.send_to(&packet, at)));
    };
    tokio::task::spawn_blocking(flood).await.unwrap();
    let limited = async || served.ask("nsa.counters", json!({})).await["nw-one"]["dns"]["limited"].as_u64() > Some(100);
    until("most of the flood is left out", 5, limited).await;
    let neighbour = asked("127.0.0.3", at, "web1.t101.example.").await;
    assert_eq!(neighbour, Some((ResponseCode::NoError, vec!["10.0.0.10".to_owned()])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_at_one_network_does_not_starve_another() {
    let dir = tempfile::tempdir().unwrap();
    let all = |config: &mut Nsa| config.questions_per_second = 100_000_000;
    let served = serve(dir.path(), all, &[snapshot("nw-one", 101), snapshot("nw-two", 102)]).await;
    let (flooded, other) = (served.dns("nw-one"), served.dns("nw-two"));
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (ends, counts) = (over.clone(), sent.clone());
    let flood = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let packet = question("web1.t101.example.", 9);
        while !ends.load(Ordering::Relaxed) {
            let _ = socket.send_to(&packet, flooded);
            counts.fetch_add(1, Ordering::Relaxed);
        }
    });
    let times = tokio::task::spawn_blocking(move || {
        let mut times = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            let answer = resolve("127.0.0.1", other, "web1.t102.example.", Duration::from_secs(5));
            assert_eq!(answer.map(|(code, _)| code), Some(ResponseCode::NoError));
            times.push(start.elapsed());
        }
        times.sort();
        times
    })
    .await
    .unwrap();
    over.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    let sent = sent.load(Ordering::Relaxed);
    println!(
        "beside {sent} questions at the other: median {:?}, p99 {:?}, max {:?}",
        times[100], times[197], times[199]
    );
    assert!(sent > 1_000, "the flood was one: {sent}");
    assert!(times[100] < Duration::from_millis(100), "{times:?}");
}

/// A DISCOVER of a machine (RFC 2131).
pub fn discover(mac: [u8; 6]) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(1, none, none, none, none, &mac);
    message.opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_dhcp_at_one_network_does_not_starve_another() {
    const MACHINES: u8 = 200;
    let dir = tempfile::tempdir().unwrap();
    let mut two = snapshot("nw-two", 102);
    let host = two.hosts[0].clone();
    let machine = |n: u8| {
        let mut host = host.clone();
        (host.vif, host.hostname) = (format!("vif-{n}").parse().unwrap(), format!("m{n}"));
        (host.mac.0, host.ipv4) = ([2, 0, 0, 0, 2, n], Ipv4Addr::new(10, 0, 0, 20 + n));
        host
    };
    two.hosts = (0..MACHINES).map(machine).collect();
    let served = serve(dir.path(), |_| (), &[snapshot("nw-one", 101), two]).await;
    let at = |network: &str| served.sim.addresses(&id(network)).1.unwrap();
    let (flooded, other) = (at("nw-one"), at("nw-two"));
    let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (ends, counts) = (over.clone(), sent.clone());
    // A machine of the network, strangers, and what is no message at all.
    let flood = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let known = discover([0x52, 0x54, 0, 0, 0x65, 0x0a]);
        let mut n = 0u32;
        while !ends.load(Ordering::Relaxed) {
            let [_, _, high, low] = n.to_be_bytes();
            let stranger = discover([2, 9, 9, 9, high, low]);
            for packet in [&known[..], &stranger, &known[..100]] {
                let _ = socket.send_to(packet, flooded);
            }
            n += 1;
            counts.store(u64::from(n), Ordering::Relaxed);
        }
    });
    let times = tokio::task::spawn_blocking(move || {
        let mut times = Vec::new();
        for n in 0..MACHINES {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let start = Instant::now();
            socket.send_to(&discover([2, 0, 0, 0, 2, n]), other).unwrap();
            let mut answer = [0; 1500];
            socket.recv(&mut answer).unwrap();
            assert_eq!(answer[16..20], [10, 0, 0, 20 + n]);
            times.push(start.elapsed());
        }
        times.sort();
        times
    })
    .await
    .unwrap();
    over.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    let sent = sent.load(Ordering::Relaxed);
    println!("beside {sent} rounds at the other: median {:?}, max {:?}", times[100], times[199]);
    let dhcp = served.ask("nsa.counters", json!({})).await["nw-one"]["dhcp"].clone();
    let heard = |word: &str| dhcp[word].as_u64().unwrap();
    assert!(heard("silent_unknown") > 100 && heard("silent_known") > 100 && heard("malformed") > 100, "{dhcp}");
    assert!(times[100] < Duration::from_millis(100), "{times:?}");
}

/// An upstream server that answers every name with one address, while it is let.
struct Upstream {
    at: SocketAddr,
    lives: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

impl Upstream {
    async fn start(last: u8) -> Self {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let (lives, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let upstream = Self { at, lives: lives.clone(), asked: asked.clone() };
        tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
                asked.fetch_add(1, Ordering::Relaxed);
                if !lives.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(question) = DnsMessage::from_vec(&bytes[..length]) else { continue };
                let mut answer = DnsMessage::new(question.metadata.id, DnsType::Response, OpCode::Query);
                answer.metadata.recursion_available = true;
                for query in &question.queries {
                    answer.add_query(query.clone());
                    let data = hickory_proto::rr::RData::A(hickory_proto::rr::rdata::A(Ipv4Addr::new(192, 0, 2, last)));
                    answer.add_answer(hickory_proto::rr::Record::from_rdata(query.name().clone(), 0, data));
                }
                let _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
            }
        });
        upstream
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_upstream_is_left_out_and_asked_again_when_it_returned() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (Upstream::start(1).await, Upstream::start(2).await);
    let mut network = snapshot("nw-one", 101);
    network.forwarders = vec![one.at, two.at];
    let served = serve(dir.path(), |_| (), &[network]).await;
    let at = served.dns("nw-one");
    let names = ["a.example.", "b.example.", "c.example.", "d.example.", "e.example.", "f.example."];
    one.lives.store(false, Ordering::Relaxed);
    let mut slow = 0;
    for name in names {
        let start = Instant::now();
        let (code, data) = asked("127.0.0.1", at, name).await.unwrap();
        assert_eq!((code, data), (ResponseCode::NoError, vec!["192.0.2.2".to_owned()]), "{name}");
        slow += u32::from(start.elapsed() > Duration::from_millis(1_500));
    }
    assert!(slow <= 1, "a dead one costs one wait: {slow}");
    // It returns, and the other one dies.
    one.lives.store(true, Ordering::Relaxed);
    two.lives.store(false, Ordering::Relaxed);
    let mut n = 0;
    let back = async || {
        n += 1;
        let name: &'static str = ["g.example.", "h.example.", "i.example.", "j.example.", "k.example."][n % 5];
        asked("127.0.0.1", at, name).await.is_some_and(|(_, data)| data == ["192.0.2.1"])
    };
    let took = until("the first is asked again", 30, back).await;
    let (first, second) = (one.asked.load(Ordering::Relaxed), two.asked.load(Ordering::Relaxed));
    println!("asked: {first} and {second}; the returned one answers after {took:?}");
}
