//! The other end of the wire, by hand: a dcmgr that welcomes, sends jobs and reads what comes back.

#![allow(dead_code)]

use super::LIMIT;
use arame_framework::bus::{Address, Bus, Delivery, Durability, PublishError, Source};
use arame_framework::testkit::DCMGR;
use arame_schema::jobs::report::{Heartbeat, Hello, Inventory, JobResult, Outcome, Reply, Welcome};
use arame_schema::jobs::sta::{CreateVolume, DeleteVolume, ObserveVolume};
use arame_schema::jobs::{Envelope, Job, control, exchange};
use arame_schema::limits::WIRE_VERSION;
use arame_schema::model::AgentId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

pub struct Dcmgr {
    pub bus: Arc<dyn Bus>,
    pub agent: AgentId,
    pub installation: Uuid,
    pub incarnation: u64,
    pub epoch: u64,
    hellos: Receiver<Delivery>,
    outcomes: Receiver<Delivery>,
    inventories: Receiver<Delivery>,
    heartbeats: Receiver<Delivery>,
    replies: Receiver<Delivery>,
}

pub async fn read<T: DeserializeOwned>(from: &mut Receiver<Delivery>) -> T {
    let delivery = tokio::time::timeout(LIMIT, from.recv()).await.expect("a message comes").expect("the bus lives");
    let message = serde_json::from_slice(&delivery.body).expect("it is of the agreed form");
    delivery.ack();
    message
}

impl Dcmgr {
    pub async fn new(kit: &super::Kit, agent: &str) -> Self {
        let bus = kit.bus(DCMGR).await;
        Self {
            hellos: bus.subscribe(Source::Exchange(exchange::HELLO), 10).await,
            outcomes: bus.subscribe(Source::Exchange(exchange::OUTCOME), 100).await,
            inventories: bus.subscribe(Source::Exchange(exchange::INVENTORY), 10).await,
            heartbeats: bus.subscribe(Source::Exchange(exchange::HEARTBEAT), 10).await,
            replies: bus.subscribe(Source::Fanout(exchange::REPLY), 10).await,
            bus,
            agent: agent.parse().unwrap(),
            installation: Uuid::new_v4(),
            incarnation: 0,
            epoch: 1,
        }
    }

    pub async fn hello(&mut self) -> Hello {
        read(&mut self.hellos).await
    }

    /// Reads hellos until one says `nonce`'s successor is wanted, and welcomes it with the next incarnation.
    pub async fn welcome(&mut self) -> Hello {
        let hello = self.hello().await;
        self.incarnation += 1;
        self.welcome_nonce(hello.nonce).await;
        hello
    }

    pub async fn welcome_nonce(&self, nonce: Uuid) {
        let welcome = Welcome {
            nonce,
            incarnation: self.incarnation,
            installation: self.installation,
            epoch: self.epoch,
            heartbeat_ms: 5_000,
            inventory_ms: 20_000,
        };
        self.control(control::WELCOME, Uuid::now_v7(), &welcome).await;
    }

    pub async fn control(&self, kind: &str, id: Uuid, body: &impl Serialize) {
        let mut envelope = self.envelope(kind, "", 0, serde_json::to_value(body).unwrap());
        envelope.id = id;
        envelope.incarnation = 0;
        self.send(&envelope).await.unwrap();
    }

    pub fn envelope(&self, kind: &str, thing: &str, generation: u64, body: Value) -> Envelope {
        Envelope {
            v: WIRE_VERSION,
            id: Uuid::now_v7(),
            kind: kind.into(),
            agent: self.agent.clone(),
            incarnation: self.incarnation,
            epoch: self.epoch,
            thing: thing.into(),
            generation,
            budget_ms: 60_000,
            body,
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        }
    }

    pub fn job(&self, job: &Job, thing: &str, generation: u64) -> Envelope {
        self.envelope(job.kind(), thing, generation, Envelope::body_of(job))
    }

    pub async fn send(&self, envelope: &Envelope) -> Result<(), PublishError> {
        let body = serde_json::to_vec(envelope).unwrap();
        self.send_raw(body).await
    }

    pub async fn send_raw(&self, body: Vec<u8>) -> Result<(), PublishError> {
        let expires = Some(Duration::from_secs(60));
        self.bus.publish(&Address::Agent(self.agent.clone()), Durability::Persistent { expires }, body).await
    }

    /// Sends a job and gives its id.
    pub async fn order(&self, job: &Job, thing: &str, generation: u64) -> Uuid {
        let envelope = self.job(job, thing, generation);
        self.send(&envelope).await.unwrap();
        envelope.id
    }

    /// The next outcome that is not progress.
    pub async fn outcome(&mut self) -> Outcome {
        loop {
            let outcome: Outcome = read(&mut self.outcomes).await;
            if !matches!(outcome.result, JobResult::Progress { .. }) {
                return outcome;
            }
        }
    }

    pub async fn any_outcome(&mut self) -> Outcome {
        read(&mut self.outcomes).await
    }

    pub fn no_outcome(&mut self) -> bool {
        self.outcomes.try_recv().is_err()
    }

    pub async fn inventory(&mut self) -> Inventory {
        read(&mut self.inventories).await
    }

    pub async fn heartbeat(&mut self) -> Heartbeat {
        read(&mut self.heartbeats).await
    }

    pub async fn reply(&mut self) -> Reply {
        read(&mut self.replies).await
    }
}

/// A job whose `key` tells the scripted agent what to do.
pub fn create(key: &str) -> Job {
    Job::CreateVolume(CreateVolume {
        volume: "vol-a".parse().unwrap(),
        account: "a-demo".parse().unwrap(),
        key: key.into(),
        size_bytes: 1,
        image: None,
        backup: None,
        snapshot: None,
        replica: None,
    })
}

pub fn delete(key: &str) -> Job {
    Job::DeleteVolume(DeleteVolume { volume: "vol-a".parse().unwrap(), key: key.into() })
}

pub fn observe(key: &str) -> Job {
    Job::ObserveVolume(ObserveVolume { volume: "vol-a".parse().unwrap(), key: key.into() })
}
