//! The simulated driver with sockets on the loopback, trouble on request, and the answers to it.

use crate::kit::{Desk, fact, failed, id, refused, sim_config, snapshot};
use arame_framework::agent::{Agent, Standing, Stopped};
use arame_nsa::agent::NsaAgent;
use arame_nsa::faults::{Effect, Fault, Point};
use arame_nsa::link::sim::Sim;
use arame_schema::jobs::Job;
use arame_schema::jobs::hva::ApplyPolicy;
use arame_schema::jobs::nsa::ApplyNetwork;
use arame_schema::jobs::report::{Ask, Retry};
use arame_schema::model::Fact;
use dhcproto::v4::{DhcpOption, Message, MessageType};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use hickory_proto::op::{Message as DnsMessage, MessageType as DnsType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

/// An agent whose networks listen on the loopback, from a run of ports found free.
fn listening(dir: &Path) -> (Arc<Sim>, NsaAgent) {
    let free = || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    let mut config = sim_config(dir);
    (config.sim.listen_dns, config.sim.listen_dhcp) = (Some(free()), Some(free()));
    let sim = Arc::new(Sim::open(config.sim.clone()).unwrap());
    (sim.clone(), NsaAgent::with_sim(&config, sim).unwrap())
}

async fn ask_at(at: SocketAddr, question: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(question, at).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = tokio::time::timeout(Duration::from_secs(2), socket.recv(&mut answer)).await.unwrap().unwrap();
    answer.truncate(length);
    answer
}

async fn resolve(at: SocketAddr, name: &str) -> (ResponseCode, Vec<String>) {
    let mut question = DnsMessage::new(7, DnsType::Query, OpCode::Query);
    question.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    let answer = DnsMessage::from_vec(&ask_at(at, &question.to_vec().unwrap()).await).unwrap();
    (answer.metadata.response_code, answer.answers.iter().map(|record| record.data.to_string()).collect())
}

async fn discover(at: SocketAddr, mac: [u8; 6]) -> Message {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(1, none, none, none, none, &mac);
    message.opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    Message::decode(&mut Decoder::new(&ask_at(at, &bytes).await)).unwrap()
}

#[tokio::test]
async fn a_simulated_network_answers_on_the_loopback_and_shows_a_new_version_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, agent) = listening(dir.path());
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 1).await), (Fact::Yes, 1));
    let (dns, dhcp) = sim.addresses(&id("nw-one"));
    let (dns, dhcp) = (dns.unwrap(), dhcp.unwrap());
    assert_eq!(resolve(dns, "web1.t101.example.").await, (ResponseCode::NoError, vec!["10.0.0.10".to_owned()]));
    let offer = discover(dhcp, [0x52, 0x54, 0, 0, 0x65, 0x0a]).await;
    assert_eq!(offer.yiaddr(), Ipv4Addr::new(10, 0, 0, 10));
    let mut grown = snapshot("nw-one", 101);
    grown.hosts[1].hostname = "fresh".to_owned();
    assert_eq!(resolve(dns, "fresh.t101.example.").await.0, ResponseCode::NXDomain, "the control");
    let start = Instant::now();
    assert_eq!(fact(&desk.apply(&agent, &grown, 2).await), (Fact::Yes, 2));
    assert_eq!(resolve(dns, "fresh.t101.example.").await.0, ResponseCode::NoError);
    println!("from the job to the first answer with the new name: {:?}", start.elapsed());
}

#[tokio::test]
async fn an_agent_without_a_broker_serves_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, agent) = listening(dir.path());
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 1).await), (Fact::Yes, 1));
    let (dns, _) = sim.addresses(&id("nw-one"));
    drop((agent, sim));
    let mut config = sim_config(dir.path());
    config.sim.listen_dns = dns;
    let start = Instant::now();
    let agent = NsaAgent::start(&config).unwrap();
    let standing = Standing::new(crate::kit::INSTALLATION, 0);
    let up = async || {
        let things = agent.list(standing.observe()).await.things;
        things.iter().any(|thing| thing.facts.iter().any(|fact| fact.value == Fact::Yes))
    };
    crate::kit::until("serving", 2, up).await;
    assert_eq!(resolve(dns.unwrap(), "web1.t101.example.").await.0, ResponseCode::NoError);
    println!("the first answer came {:?} after the start", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_cannot_hear_the_manager_says_how_old_its_truth_is() {
    let dir = tempfile::tempdir().unwrap();
    let agent = NsaAgent::start(&sim_config(dir.path())).unwrap();
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 1).await), (Fact::Yes, 1));
    let told = async |agent: &NsaAgent| {
        let arguments = json!({ "network": "nw-one", "name": "web1" });
        let why = agent.ask(Ask { question: "nsa.why".into(), arguments }).await.unwrap();
        let thing = agent.list(Standing::new(crate::kit::INSTALLATION, 1).observe()).await.things.remove(0);
        let as_of = thing.detail.unwrap().get("as_of").cloned();
        let gauge = agent.metrics().into_iter().any(|sample| format!("{sample:?}").contains("truth_age"));
        (why.get("age_seconds").is_some(), as_of.is_some(), gauge)
    };
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(told(&agent).await, (false, false, true), "the control: it hears the manager");
    agent.linked(false);
    assert_eq!(told(&agent).await, (true, true, true));
    agent.joined(desk.standing.clone()).await;
    assert_eq!(told(&agent).await, (false, false, true), "and no more when it is welcomed again");
    // The next process has what was written down, until it is told otherwise.
    drop(agent);
    let agent = NsaAgent::start(&sim_config(dir.path())).unwrap();
    assert_eq!(told(&agent).await, (true, true, true));
    agent.joined(desk.standing.clone()).await;
    assert_eq!(told(&agent).await, (true, true, true), "a welcome says nothing of the version");
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(told(&agent).await, (false, false, true));
}

#[tokio::test]
async fn a_failed_job_says_so_and_the_next_one_finds_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, agent) = listening(dir.path());
    let desk = Desk::join(&agent, 1).await;
    for (version, at) in (1..).zip([Point::ApplyBefore, Point::ApplyWritten, Point::LinkBefore, Point::ApplyAfter]) {
        sim.faults().inject(Fault { at, effect: Effect::Fail, times: 1 });
        let mut changed = snapshot("nw-one", 100 + version as u16);
        changed.domain = "t.example".to_owned();
        assert_eq!(failed(desk.apply(&agent, &changed, version).await), ("simulated".into(), Retry::Later), "{at:?}");
        assert_eq!(fact(&desk.apply(&agent, &changed, version).await), (Fact::Yes, version), "{at:?}");
    }
}

#[tokio::test]
async fn a_newer_job_ends_the_wait_of_one_that_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, agent) = listening(dir.path());
    let desk = Desk::join(&agent, 1).await;
    for at in [Point::ApplyBefore, Point::ApplyWritten, Point::LinkBefore] {
        let network = "nw-one";
        sim.faults().inject(Fault { at, effect: Effect::Hang, times: 1 });
        let cancelled = CancellationToken::new();
        let version = agent.version(&id(network)).unwrap_or(0) + 1;
        let job = ApplyNetwork { snapshot: snapshot(network, 100 + version as u16), history: 1 };
        let hung = agent.handle(Job::ApplyNetwork(Box::new(job)), desk.work(network, version, &cancelled));
        let cancel = async {
            tokio::task::yield_now().await;
            cancelled.cancel();
        };
        let (answer, ()) = tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(hung, cancel) })
            .await
            .expect("the hanging job ends");
        assert!(matches!(answer, Err(Stopped::Overtaken { .. })), "{at:?}: {answer:?}");
        sim.faults().clear();
        let next = desk.apply(&agent, &snapshot(network, 300 + version as u16), version + 1).await;
        assert_eq!(fact(&next), (Fact::Yes, version + 1), "{at:?}");
    }
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_or_served_leaves_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, agent) = listening(dir.path());
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 1).await), (Fact::Yes, 1));
    let mut broken = snapshot("nw-one", 101);
    broken.hosts[0].mac = broken.hosts[1].mac;
    assert_eq!(failed(desk.apply(&agent, &broken, 2).await), ("snapshot_invalid".into(), Retry::Never));
    std::fs::remove_dir_all(dir.path().join("data")).unwrap();
    assert_eq!(failed(desk.apply(&agent, &snapshot("nw-one", 101), 3).await), ("disk_error".into(), Retry::Later));
    assert_eq!(agent.version(&id("nw-one")), Some(1));
    let (dns, _) = sim.addresses(&id("nw-one"));
    assert_eq!(resolve(dns.unwrap(), "web1.t101.example.").await.0, ResponseCode::NoError);
}

#[tokio::test]
async fn jobs_and_questions_of_others_are_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let (_, agent) = listening(dir.path());
    let desk = Desk::join(&agent, 1).await;
    let policy: ApplyPolicy = serde_json::from_value(json!({ "host": "hn-h1", "ports": [] }))
        .unwrap_or_else(|error| panic!("the example of a foreign job is out of date: {error}"));
    let answer = agent.handle(Job::ApplyPolicy(policy), desk.work("hn-h1", 1, &CancellationToken::new())).await;
    assert_eq!(failed(answer), ("unsupported".into(), Retry::Never));
    let job = Job::ApplyNetwork(Box::new(ApplyNetwork { snapshot: snapshot("nw-one", 101), history: 1 }));
    let answer = agent.handle(job, desk.work("nw-two", 1, &CancellationToken::new())).await;
    assert_eq!(failed(answer), ("wrong_thing".into(), Retry::Never));
    for (question, arguments, sentence) in [
        ("nsa.weather", json!({}), "does not know the question nsa.weather"),
        ("nsa.why", json!({ "network": "nw-none", "name": "x" }), "nw-none is not served here"),
        ("nsa.why", json!({ "network": "none" }), "does not begin with `nw-`"),
    ] {
        let answer = agent.ask(Ask { question: question.to_owned(), arguments }).await;
        assert!(answer.as_ref().unwrap_err().contains(sentence), "{answer:?}");
    }
}

#[tokio::test]
async fn one_mac_cannot_ask_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, agent) = listening(dir.path());
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 1).await), (Fact::Yes, 1));
    let at = sim.addresses(&id("nw-one")).1.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(1, none, none, none, none, &[0x52, 0x54, 0, 0, 0x65, 0x0a]);
    message.opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    for _ in 0..100 {
        socket.send_to(&bytes, at).await.unwrap();
    }
    let counters = async || agent.ask(Ask { question: "nsa.counters".into(), arguments: json!({}) }).await.unwrap();
    crate::kit::until("all are heard", 2, async || counters().await["nw-one"]["dhcp"]["discover"] == 100).await;
    let offers = counters().await["nw-one"]["dhcp"]["offer"].as_u64().unwrap();
    assert!((20..40).contains(&offers), "{offers} offers for 100 questions");
    let other = discover(at, [0x52, 0x54, 0, 0, 0x65, 0x0b]).await;
    assert_eq!(other.yiaddr(), Ipv4Addr::new(10, 0, 0, 11), "the control: another MAC is not held up");
}

#[tokio::test]
async fn a_version_older_than_one_that_was_written_and_never_served_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (sim, agent) = listening(dir.path());
    let desk = Desk::join(&agent, 1).await;
    let network = snapshot("nw-one", 101);
    assert_eq!(fact(&desk.apply(&agent, &network, 1).await), (Fact::Yes, 1));
    sim.faults().inject(Fault { at: Point::ApplyWritten, effect: Effect::Fail, times: 1 });
    assert_eq!(failed(desk.apply(&agent, &network, 3).await).0, "simulated");
    assert_eq!(refused(desk.apply(&agent, &network, 2).await), 3, "2 would go over 3 on disk");
    assert_eq!(agent.version(&id("nw-one")), Some(1), "and 3 is not served yet");
    assert_eq!(fact(&desk.apply(&agent, &network, 3).await), (Fact::Yes, 3), "the same again is done");
    assert_eq!(fact(&desk.apply(&agent, &network, 4).await), (Fact::Yes, 4), "the control: a newer one is taken");
}
