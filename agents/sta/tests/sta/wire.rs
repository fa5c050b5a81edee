//! The program itself, on a real broker: joins, works, dies, comes back, ends.

use crate::kit::*;
use arame_framework::bus::amqp::{AmqpBus, Role};
use arame_framework::bus::{Address, Bus, Delivery, Durability, Source};
use arame_framework::testkit::{self, DCMGR, Rabbit, Realm};
use arame_schema::jobs::report::{Hello, Inventory, JobResult, Outcome, Welcome};
use arame_schema::jobs::{Envelope, Job, control, exchange};
use arame_schema::model::Fact;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(60);

/// The other end, by hand.
struct Dcmgr {
    bus: Arc<dyn Bus>,
    incarnation: u64,
    hellos: Receiver<Delivery>,
    outcomes: Receiver<Delivery>,
    inventories: Receiver<Delivery>,
}

async fn read<T: DeserializeOwned>(from: &mut Receiver<Delivery>) -> T {
    let delivery = tokio::time::timeout(LIMIT, from.recv()).await.expect("a message comes").unwrap();
    let message = serde_json::from_slice(&delivery.body).unwrap();
    delivery.ack();
    message
}

impl Dcmgr {
    async fn new(realm: &Realm) -> Self {
        let bus: Arc<dyn Bus> = AmqpBus::connect(&realm.broker(DCMGR), Role::Dcmgr).await.unwrap();
        let mut link = bus.link();
        tokio::time::timeout(LIMIT, link.wait_for(|link| link.up)).await.unwrap().unwrap();
        let (hellos, outcomes, inventories) = (
            bus.subscribe(Source::Exchange(exchange::HELLO), 10).await,
            bus.subscribe(Source::Exchange(exchange::OUTCOME), 10).await,
            bus.subscribe(Source::Exchange(exchange::INVENTORY), 10).await,
        );
        Self { incarnation: 0, hellos, outcomes, inventories, bus }
    }

    async fn welcome(&mut self) -> Hello {
        let hello: Hello = read(&mut self.hellos).await;
        self.incarnation += 1;
        let welcome = Welcome {
            nonce: hello.nonce,
            incarnation: self.incarnation,
            installation: INSTALLATION,
            epoch: 1,
            heartbeat_ms: 5_000,
            inventory_ms: 20_000,
        };
        self.send(control::WELCOME, "", 0, serde_json::to_value(welcome).unwrap()).await;
        hello
    }

    async fn send(&self, kind: &str, thing: &str, generation: u64, body: serde_json::Value) -> Uuid {
        let envelope = Envelope {
            v: 1,
            id: Uuid::now_v7(),
            kind: kind.into(),
            agent: "sta.s1".parse().unwrap(),
            incarnation: if kind == control::WELCOME { 0 } else { self.incarnation },
            epoch: 1,
            thing: thing.into(),
            generation,
            budget_ms: 60_000,
            body,
            traceparent: None,
        };
        let to = Address::Agent(envelope.agent.clone());
        let durability = Durability::Persistent { expires: Some(LIMIT) };
        self.bus.publish(&to, durability, serde_json::to_vec(&envelope).unwrap()).await.unwrap();
        envelope.id
    }

    async fn order(&mut self, job: &Job, thing: &str, generation: u64) -> Outcome {
        let id = self.send(job.kind(), thing, generation, Envelope::body_of(job)).await;
        loop {
            let outcome: Outcome = read(&mut self.outcomes).await;
            if outcome.job == id && !matches!(outcome.result, JobResult::Progress { .. }) {
                return outcome;
            }
        }
    }
}

fn start(place: &Place, realm: &Realm, crash: Option<&str>) -> Child {
    let broker = realm.broker("sta.s1");
    let config = place.config().replace(
        &format!(
            r#"host = "127.0.0.1", port = 1, vhost = "arame", user = "sta.s1", password_file = "{}/password""#,
            place.root.display()
        ),
        &format!(
            r#"host = "{}", port = {}, vhost = "{}", user = "sta.s1", password_file = "{}""#,
            broker.host,
            broker.port,
            broker.vhost,
            broker.password_file.display()
        ),
    );
    let file = place.root.join("sta.toml");
    std::fs::write(&file, config).unwrap();
    std::fs::write(place.root.join("key"), "key-of-the-test\n").unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_arame-sta"), "--config"]).arg(file);
    if let Some(crash) = crash {
        command.env("ARAME_CRASH", crash);
    }
    command.stdout(Stdio::null()).stderr(std::fs::File::create(place.root.join("log")).unwrap()).spawn().unwrap()
}

#[tokio::test]
async fn the_program_joins_works_dies_and_comes_back() {
    if testkit::lacks_rabbitmq() {
        return;
    }
    let Some(kit) = Kit::new(Drivers::FileTgt).await else { return };
    let kit = kit.release().await;
    let realm = Rabbit::shared().unwrap().realm().unwrap();
    let mut dcmgr = Dcmgr::new(&realm).await;

    let mut dying = start(&kit.place, &realm, Some("after_effect:sta.volume.export"));
    let hello = dcmgr.welcome().await;
    assert_eq!((hello.kinds.len(), hello.capacity.driver.as_str()), (22, "file"));
    assert_eq!(hello.endpoints["portal"], kit.place.portal);
    let first: Inventory = read(&mut dcmgr.inventories).await;
    assert_eq!((first.things.len(), first.backends.len()), (0, 3));
    let made = dcmgr.order(&create("k1", MIB), "vol-k1", 1).await;
    assert_eq!((made.result, made.facts[0].value), (JobResult::Done, Fact::Yes));
    let job = export("k1", 1);
    dcmgr.send(job.kind(), "att-k1", 1, Envelope::body_of(&job)).await;
    assert!(wait_until(|| dying.try_wait().unwrap().is_some()), "it dies after the effect, before its answer");

    let mut next = start(&kit.place, &realm, None);
    dcmgr.welcome().await;
    let after: Inventory = read(&mut dcmgr.inventories).await;
    let kinds: Vec<_> = after.things.iter().map(|thing| thing.kind.as_str()).collect();
    assert_eq!(kinds, ["volume", "target"], "what it made before it died is there and whole");
    assert_eq!(after.things[1].facts[0].value, Fact::Yes);
    let again = dcmgr.order(&job, "att-k1", 1).await;
    assert_eq!((again.result, again.facts[0].value), (JobResult::Done, Fact::Yes));
    for (job, thing) in [(unexport("k1", 1), "att-k1"), (delete("k1"), "vol-k1")] {
        let gone = dcmgr.order(&job, thing, 2).await;
        assert_eq!((gone.result, gone.facts[0].value), (JobResult::Done, Fact::No));
    }
    kill(Pid::from_raw(next.id() as i32), Signal::SIGTERM).unwrap();
    assert!(wait_until(|| next.try_wait().unwrap().is_some()), "it ends when told");
    assert_eq!(kit.accounts(), [] as [&str; 0]);
    let log = std::fs::read_to_string(kit.place.root.join("log")).unwrap();
    assert!(!log.contains(SECRET), "the secret is in the log");
}
