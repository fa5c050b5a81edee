//! The program itself: under the real framework over the bus in memory, and as a process without any broker.

use crate::kit::{Desk, INSTALLATION, fact, has, sim_config, snapshot};
use crate::lab::Lab;
use arame_framework::bus::memory::MemoryBroker;
use arame_framework::bus::{Address, Bus, Delivery, Durability, Source};
use arame_framework::config::{Broker, Common};
use arame_framework::runtime;
use arame_nsa::agent::NsaAgent;
use arame_schema::jobs::nsa::{ApplyNetwork, DeleteNetwork};
use arame_schema::jobs::report::{Ask, Hello, JobResult, Outcome, Reply, Welcome};
use arame_schema::jobs::{Envelope, Job, control, exchange};
use arame_schema::limits::WIRE_VERSION;
use arame_schema::model::{AgentId, Fact};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const AGENT: &str = "nsa.n1";

fn common(dir: &Path) -> Common {
    let (key_file, password_file) = (dir.join("key"), dir.join("password"));
    std::fs::write(&key_file, "a-key-made-at-join\n").unwrap();
    std::fs::write(&password_file, "secret\n").unwrap();
    // Nobody listens on port 1.
    let broker = Broker { host: "127.0.0.1".into(), port: 1, vhost: "arame".into(), user: AGENT.into(), password_file };
    Common {
        agent: AGENT.parse().unwrap(),
        key_file,
        state_dir: dir.join("state"),
        broker,
        streams: Default::default(),
        metrics: Default::default(),
    }
}

async fn read<T: DeserializeOwned>(from: &mut Receiver<Delivery>) -> T {
    let delivery = tokio::time::timeout(Duration::from_secs(10), from.recv()).await.unwrap().unwrap();
    let message = serde_json::from_slice(&delivery.body).unwrap();
    delivery.ack();
    message
}

/// A message of dcmgr to the agent; gives its id.
async fn send(bus: &dyn Bus, kind: &str, incarnation: u64, about: (&str, u64), body: impl Serialize) -> Uuid {
    let agent: AgentId = AGENT.parse().unwrap();
    let envelope = Envelope {
        v: WIRE_VERSION,
        id: Uuid::now_v7(),
        kind: kind.into(),
        agent: agent.clone(),
        incarnation,
        epoch: 1,
        thing: about.0.into(),
        generation: about.1,
        budget_ms: 60_000,
        body: serde_json::to_value(body).unwrap(),
        traceparent: None,
    };
    let body = serde_json::to_vec(&envelope).unwrap();
    bus.publish(&Address::Agent(agent), Durability::Persistent { expires: None }, body).await.unwrap();
    envelope.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_the_framework_a_network_comes_is_asked_about_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let broker = MemoryBroker::new();
    let dcmgr = broker.bus("dcmgr");
    let mut hellos = dcmgr.subscribe(Source::Exchange(exchange::HELLO), 10).await;
    let mut outcomes = dcmgr.subscribe(Source::Exchange(exchange::OUTCOME), 10).await;
    let mut replies = dcmgr.subscribe(Source::Fanout(exchange::REPLY), 10).await;
    let agent = Arc::new(NsaAgent::start(&sim_config(dir.path())).unwrap());
    let stop = CancellationToken::new();
    let running = tokio::spawn(runtime::run(common(dir.path()), broker.bus(AGENT), agent.clone(), stop.clone()));

    let hello: Hello = read(&mut hellos).await;
    assert_eq!(hello.kinds, ["nsa.network.apply", "nsa.network.change", "nsa.network.delete"]);
    let welcome = Welcome {
        nonce: hello.nonce,
        incarnation: 1,
        installation: INSTALLATION,
        epoch: 1,
        heartbeat_ms: 5_000,
        inventory_ms: 20_000,
    };
    send(&*dcmgr, control::WELCOME, 0, ("", 0), &welcome).await;

    let apply = Job::ApplyNetwork(Box::new(ApplyNetwork { snapshot: snapshot("nw-one", 101), history: 1 }));
    let start = Instant::now();
    let job = send(&*dcmgr, apply.kind(), 1, ("nw-one", 7), Envelope::body_of(&apply)).await;
    let outcome: Outcome = read(&mut outcomes).await;
    println!("job to outcome in {:?}", start.elapsed());
    assert_eq!((outcome.job, &outcome.result), (job, &JobResult::Done));
    assert_eq!((outcome.facts[0].value, outcome.facts[0].generation), (Fact::Yes, 7));

    let ask = Ask { question: "nsa.why".into(), arguments: json!({ "network": "nw-one", "name": "web1" }) };
    let asked = send(&*dcmgr, control::ASK, 0, ("", 0), &ask).await;
    let reply: Reply = read(&mut replies).await;
    assert_eq!(reply.asked, asked);
    assert_eq!(reply.answer.unwrap()["host"]["ipv4"], Value::from("10.0.0.10"));

    let delete = Job::DeleteNetwork(DeleteNetwork { network: "nw-one".parse().unwrap() });
    send(&*dcmgr, delete.kind(), 1, ("nw-one", 6), Envelope::body_of(&delete)).await;
    let refused: Outcome = read(&mut outcomes).await;
    assert_eq!(refused.result, JobResult::Refused { found_generation: 7 });
    send(&*dcmgr, delete.kind(), 1, ("nw-one", 8), Envelope::body_of(&delete)).await;
    let gone: Outcome = read(&mut outcomes).await;
    assert_eq!((gone.result, gone.facts[0].value), (JobResult::Done, Fact::No));
    stop.cancel();
    running.await.unwrap().unwrap();
}

/// The program in the lab's infrastructure namespace, as `arame up` starts it.
fn spawn(lab: &Lab, config: &Path) -> Child {
    let netns = format!("--net=/run/netns/{}", lab.infra());
    let mut command = Command::new("nsenter");
    command.args([&netns, "--", env!("CARGO_BIN_EXE_arame-nsa"), "--config"]).arg(config);
    command.stdin(Stdio::null()).stderr(std::fs::File::create(config.with_extension("log")).unwrap()).spawn().unwrap()
}

#[test]
fn the_program_serves_what_it_served_after_kill_9_without_a_broker() {
    if !has(&["root", "tun", "ovs", "dig", "udhcpc", "nsenter"]) {
        return;
    }
    let lab = Arc::new(Lab::new());
    let config = lab.config();
    let file = lab.dir.path().join("nsa.toml");
    let Common { key_file, state_dir, broker, .. } = common(lab.dir.path());
    let text = format!(
        "[common]\nagent = \"{AGENT}\"\nkey_file = {key_file:?}\nstate_dir = {state_dir:?}\n[common.broker]\n\
         host = \"127.0.0.1\"\nport = 1\nvhost = \"arame\"\nuser = \"{AGENT}\"\npassword_file = {:?}\n\
         [nsa]\ndriver = \"netns\"\ndata_dir = {:?}\n[nsa.switch]\nbridge = \"ovs0\"\ndb_socket = {:?}\n\
         netns_prefix = {:?}\n",
        broker.password_file,
        config.data_dir,
        lab.db_socket(),
        lab.prefix(),
    );
    std::fs::write(&file, text).unwrap();
    // What an earlier life was told.
    Lab::inside(&lab.infra(), move || async move {
        let agent = NsaAgent::start(&config).unwrap();
        let desk = Desk::join(&agent, 1).await;
        for n in 0..5 {
            let answer = desk.apply(&agent, &snapshot(&format!("nw-n{n}"), 101 + n), 1).await;
            assert_eq!(fact(&answer), (Fact::Yes, 1));
        }
    });
    let client = lab.client("a", 105, "52:54:00:00:69:0a");
    client.address("10.0.0.10/24");
    assert_ne!(client.dig_short(&["+time=1", "web1.t105.example"]), "10.0.0.10", "the control: nobody serves");
    for round in 0..3 {
        let start = Instant::now();
        let mut process = spawn(&lab, &file);
        let answered = || client.dig_short(&["+time=1", "web1.t105.example"]) == "10.0.0.10";
        while !answered() {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{}",
                std::fs::read_to_string(file.with_extension("log")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let took = start.elapsed();
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
        let resident = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
        println!("round {round}: answered {took:?} after the start; {resident}");
        assert_eq!(client.udhcpc(2, &[]).unwrap().ip, "10.0.0.10");
        assert!(process.try_wait().unwrap().is_none(), "it goes on without a broker");
        process.kill().unwrap();
        process.wait().unwrap();
    }
}

#[test]
fn an_unreadable_configuration_is_a_sentence_and_an_exit() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nsa.toml");
    std::fs::write(&file, "[nsa]\ndriver = \"brctl\"\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_arame-nsa")).arg("--config").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "EX_CONFIG: no service manager starts it again");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("nsa.toml"), "{said}");
}
