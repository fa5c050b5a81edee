//! The tap: a copy of every message that was published, and the means to publish old ones again.
//!
//! Rule: jobs are sent again as dcmgr, what agents say as that agent itself: the broker lets nobody else. Nothing is
//! made up: a replayed message was sent once by a program.

use super::center::Center;
use super::files::{MANAGER_USER, TAP};
use anyhow::Context;
use arame_framework::bus::amqp::{AmqpBus, Role};
use arame_framework::bus::{Address, Bus, Delivery, Durability, Source};
use arame_schema::jobs::exchange;
use arame_schema::model::AgentId;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Old messages kept, of jobs and of what agents said.
const KEPT_MAX: usize = 2000;

/// A replayed message is worth delivering this long.
const EXPIRES: Duration = Duration::from_secs(30);

const PREFETCH: u16 = 500;

#[derive(Debug, Clone)]
struct Old {
    agent: AgentId,
    /// `None`: a job.
    exchange: Option<&'static str>,
    body: Vec<u8>,
}

#[derive(Default)]
struct Kept {
    jobs: VecDeque<Old>,
    said: VecDeque<Old>,
    /// Job ids that were published, as often.
    published: HashMap<String, u64>,
}

pub struct Tap {
    bus: Arc<AmqpBus>,
    kept: Arc<Mutex<Kept>>,
}

/// What a message is, by its fields.
fn read(body: &[u8]) -> Option<(Old, Option<String>)> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let agent = value["agent"].as_str()?.parse().ok()?;
    let has = |name: &str| value.get(name).is_some();
    let exchange = if has("budget_ms") {
        let job = value["incarnation"].as_u64().is_some_and(|number| number > 0);
        if !job {
            return None; // A welcome or a question: answered once, to one process.
        }
        None
    } else if has("job") {
        Some(exchange::OUTCOME)
    } else if has("things") {
        Some(exchange::INVENTORY)
    } else if has("hung_calls") {
        Some(exchange::HEARTBEAT)
    } else if has("kinds") {
        Some(exchange::HELLO)
    } else {
        return None;
    };
    let id = value["id"].as_str().map(str::to_owned).filter(|_| exchange.is_none());
    Some((Old { agent, exchange, body: body.to_vec() }, id))
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tap {
    /// Begins to listen.
    ///
    /// # Errors
    /// The broker's password cannot be read.
    pub async fn open(center: &Center) -> anyhow::Result<Tap> {
        let bus = AmqpBus::connect(&center.broker(MANAGER_USER)?, Role::Dcmgr).await?;
        let deliveries = bus.subscribe(Source::Fanout(TAP), PREFETCH).await;
        let kept = Arc::new(Mutex::new(Kept::default()));
        tokio::spawn(listen(deliveries, kept.clone()));
        Ok(Tap { bus, kept })
    }

    pub fn was_published(&self, job: &str) -> bool {
        lock(&self.kept).published.contains_key(job)
    }

    /// Job messages seen, and jobs among them.
    pub fn seen(&self) -> (u64, usize) {
        let kept = lock(&self.kept);
        (kept.published.values().sum(), kept.published.len())
    }

    /// Publishes old messages again, several of each kind, in no order. Gives how many.
    ///
    /// # Errors
    /// An agent's user cannot connect.
    pub async fn replay(&self, center: &Center, rng: &mut StdRng, count: usize) -> anyhow::Result<usize> {
        let mut sent = 0;
        // Chosen first: a lock held where the loop waits would stop the listener.
        let jobs = choose(&lock(&self.kept).jobs, rng, count);
        for old in jobs {
            let to = Address::Agent(old.agent.clone());
            sent += usize::from(self.bus.publish(&to, durability(), old.body).await.is_ok());
        }
        for agent in center.agents() {
            let own: VecDeque<Old> =
                lock(&self.kept).said.iter().filter(|old| old.agent.as_str() == agent).cloned().collect();
            let chosen = choose(&own, rng, count / 4 + 1);
            sent += self.say_again(center, agent, chosen).await?;
        }
        Ok(sent)
    }

    async fn say_again(&self, center: &Center, agent: &str, chosen: Vec<Old>) -> anyhow::Result<usize> {
        let id: AgentId = agent.parse().ok().with_context(|| agent.to_owned())?;
        let bus = AmqpBus::connect(&center.broker(agent)?, Role::Agent(id)).await?;
        let mut link = bus.link();
        // Only the answer is kept: the state itself, held, would keep the bus from changing it.
        let up = tokio::time::timeout(Duration::from_secs(10), link.wait_for(|link| link.up)).await;
        let up = up.is_ok_and(|seen| seen.is_ok());
        let mut sent = 0;
        if up {
            for old in chosen {
                if let Some(exchange) = old.exchange {
                    let said = bus.publish(&Address::Exchange(exchange), durability(), old.body).await;
                    sent += usize::from(said.is_ok());
                }
            }
        }
        bus.close().await;
        Ok(sent)
    }
}

fn durability() -> Durability {
    Durability::Persistent { expires: Some(EXPIRES) }
}

/// Some of them, twice each in a row or apart.
fn choose(from: &VecDeque<Old>, rng: &mut StdRng, count: usize) -> Vec<Old> {
    if from.is_empty() {
        return Vec::new();
    }
    (0..count).map(|_| from[rng.random_range(0..from.len())].clone()).collect()
}

async fn listen(mut deliveries: mpsc::Receiver<Delivery>, kept: Arc<Mutex<Kept>>) {
    while let Some(delivery) = deliveries.recv().await {
        if let Some((old, id)) = read(&delivery.body) {
            let mut kept = lock(&kept);
            if let Some(id) = id {
                *kept.published.entry(id).or_default() += 1;
            }
            let list = if old.exchange.is_none() { &mut kept.jobs } else { &mut kept.said };
            list.push_back(old);
            if list.len() > KEPT_MAX {
                list.pop_front();
            }
        }
        delivery.ack();
    }
}
