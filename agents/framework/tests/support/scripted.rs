//! An agent that does what a job's key says: `ok`, `fail`, `refuse`, `panic`, `wait` (for cancellation), `hang` (whatever
//! comes), `gate` (until the test opens it), `progress`.

#![allow(dead_code)]

use arame_framework::agent::{Agent, Listing, Profile, Standing, Stopped, Work};
use arame_framework::config::{Broker, Common};
use arame_schema::jobs::Job;
use arame_schema::jobs::report::{Ask, Backend, BackendStatus, Capacity, FactReport, Retry};
use arame_schema::model::{Fact, FactName, Observation};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use tokio::sync::Semaphore;

pub struct Scripted {
    /// `started KEY`, `ended KEY`, `joined N`, `leaving`, in order.
    pub log: Mutex<Vec<String>>,
    pub gate: Semaphore,
    pub standing: Mutex<Option<Standing>>,
}

impl Default for Scripted {
    fn default() -> Self {
        Self { log: Mutex::default(), gate: Semaphore::new(0), standing: Mutex::default() }
    }
}

impl Scripted {
    pub fn note(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    pub fn seen(&self, line: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|seen| *seen == line).count()
    }

    async fn play(&self, key: &str, work: &Work) -> Result<(), Stopped> {
        match key {
            "fail" => Err(Stopped::failed("disk_full", "no room", Retry::Elsewhere)),
            "fail and be gone" => {
                let gone = FactReport {
                    thing: work.thing.clone(),
                    name: FactName::Volume,
                    value: Fact::No,
                    generation: work.generation,
                    observed: work.standing.observe(),
                    detail: None,
                };
                Err(Stopped::failed("disk_full", "no room", Retry::Elsewhere).with_facts(vec![gone]))
            }
            "refuse" => Err(Stopped::Refused { found_generation: 99, facts: Vec::new() }),
            "panic" => panic!("as the test asked"),
            "wait" => {
                work.cancelled().cancelled().await;
                work.check()
            }
            "hang" => std::future::pending().await,
            "gate" => {
                self.gate.acquire().await.expect("never closed").forget();
                Ok(())
            }
            "progress" => {
                for percent in 0..50 {
                    work.progress(percent, format!("step {percent}"));
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[async_trait::async_trait]
impl Agent for Scripted {
    fn profile(&self) -> Profile {
        let kinds = vec!["sta.volume.create", "sta.volume.delete", "sta.volume.observe"];
        Profile { kinds, capacity: Capacity::default(), endpoints: BTreeMap::new() }
    }

    async fn joined(&self, standing: Standing) {
        self.note(format!("joined {}", standing.incarnation));
        *self.standing.lock().unwrap() = Some(standing);
    }

    async fn handle(&self, job: Job, work: Work) -> Result<Vec<FactReport>, Stopped> {
        let (key, value) = match job {
            Job::CreateVolume(job) => (job.key, Fact::Yes),
            Job::DeleteVolume(job) => (job.key, Fact::No),
            Job::ObserveVolume(job) => (job.key, Fact::Yes),
            other => panic!("{} was not announced", other.kind()),
        };
        self.note(format!("started {key}"));
        work.crash_point("before_effect");
        let played = self.play(&key, &work).await;
        self.note(format!("ended {key}"));
        let fact = work.fact(FactName::Volume, value, work.standing.observe());
        played.map(|()| vec![fact])
    }

    async fn list(&self, _: Observation) -> Listing {
        let backends = vec![Backend { name: "store:test".into(), status: BackendStatus::Complete }];
        Listing { backends, ..Listing::default() }
    }

    async fn ask(&self, ask: Ask) -> Result<Value, String> {
        match ask.question.as_str() {
            "slow" => std::future::pending().await,
            "known" => Ok(json!({ "answer": 42 })),
            other => Err(format!("nothing is known about {other}")),
        }
    }

    async fn leaving(&self) {
        self.note("leaving".into());
    }
}

/// A `[common]` whose files are in `dir`.
pub fn common(dir: &Path, agent: &str, broker: Broker) -> Common {
    std::fs::write(dir.join("key"), "a key\n").unwrap();
    std::fs::write(dir.join("machine_id"), "a machine\n").unwrap();
    Common {
        agent: agent.parse().unwrap(),
        key_file: dir.join("key"),
        state_dir: dir.join("state"),
        broker,
        streams: Default::default(),
        metrics: Default::default(),
    }
}

/// For the memory bus, which reads none of it.
pub fn no_broker() -> Broker {
    Broker {
        host: String::new(),
        port: 0,
        vhost: String::new(),
        user: String::new(),
        password_file: "/".into(),
        ca_file: None,
        plain_text: true,
    }
}
