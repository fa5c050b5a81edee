//! A hand on the wire of a world: says what an agent might say, and knows when it was heard.
//!
//! Rule: what is said goes by the bus and is taken in by the shipped code; nothing here writes a row.

use super::World;
use anyhow::{Context, ensure};
use arame_dcmgr::db::{self, Columns};
use arame_framework::bus::{Address, Bus, Durability};
use arame_schema::jobs::report::{Backend, BackendStatus, Heartbeat, Inventory};
use arame_schema::jobs::{Envelope, control, exchange};
use arame_schema::limits::WIRE_VERSION;
use arame_schema::model::Observation;
use serde::Serialize;
use std::sync::PoisonError;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What is said by hand is heard at once or never.
const EXPIRES: Duration = Duration::from_secs(60);

/// An agent that has not answered by now had not joined when it was asked.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl World {
    /// Says something in an agent's name, over a connection that the broker takes for the agent's.
    ///
    /// # Errors
    /// The bus does not take it.
    pub async fn say(&self, agent: &str, to: &'static str, message: &impl Serialize) -> anyhow::Result<()> {
        let durability = Durability::Transient { expires: EXPIRES };
        let bus = self.broker.bus(agent);
        Ok(bus.publish(&Address::Exchange(to), durability, serde_json::to_vec(message)?).await?)
    }

    /// Waits until dcmgr has taken in everything that was said to an exchange: acknowledged is committed.
    ///
    /// # Errors
    /// It is not, in time.
    pub async fn heard(&self, from: &str) -> anyhow::Result<()> {
        let queue = from.replacen("arame.", "dcmgr.", 1);
        self.until(&format!("{queue} is empty"), async || Ok(self.broker.depth(&queue) == Some(0))).await
    }

    /// An inventory without any thing, all of it seen.
    ///
    /// # Errors
    /// No agent has such a name.
    pub fn nothing_there(agent: &str, began: Observation) -> anyhow::Result<Inventory> {
        let complete = |name: &str| Backend { name: name.into(), status: BackendStatus::Complete };
        Ok(Inventory {
            v: WIRE_VERSION,
            agent: agent.parse()?,
            asked: None,
            began,
            backends: vec![complete("everything")],
            things: Vec::new(),
            kept_mib: None,
        })
    }

    /// A heartbeat that complains.
    ///
    /// # Errors
    /// No agent has such a name.
    pub fn unwell(agent: &str, incarnation: u64) -> anyhow::Result<Heartbeat> {
        Ok(Heartbeat {
            v: WIRE_VERSION,
            agent: agent.parse()?,
            incarnation,
            degraded: Some("as a test says".into()),
            open_jobs: 0,
            hung_calls: 0,
        })
    }

    /// Asks an agent for an inventory and does not wait for it.
    ///
    /// # Errors
    /// The bus does not take the question.
    pub async fn want_inventory(&self, agent: &str) -> anyhow::Result<Uuid> {
        let id = Uuid::now_v7();
        let question = Envelope {
            v: WIRE_VERSION,
            id,
            kind: control::INVENTORY.to_owned(),
            agent: agent.parse()?,
            incarnation: 0,
            epoch: 0,
            thing: String::new(),
            generation: 0,
            budget_ms: 0,
            body: serde_json::Value::Null,
            traceparent: None,
        };
        let durability = Durability::Transient { expires: EXPIRES };
        let to = Address::Agent(agent.parse()?);
        self.broker.bus("kit").publish(&to, durability, serde_json::to_vec(&question)?).await?;
        Ok(id)
    }

    /// Asks an agent what it has and waits until that was taken in. The question is repeated: one that has not joined yet
    /// does not hear it.
    ///
    /// # Errors
    /// It does not tell, in time.
    pub async fn surveyed(&self, agent: &str) -> anyhow::Result<()> {
        let asked = std::sync::Mutex::new((Vec::new(), Instant::now()));
        let told = async || {
            let listed = db::agents::inventories(&self.db).await?;
            let answers =
                |ids: &[Uuid]| listed.iter().any(|row| row.inventory.asked.is_some_and(|id| ids.contains(&id)));
            let due = {
                let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                if answers(&asked.0) {
                    return Ok(true);
                }
                asked.0.is_empty() || asked.1.elapsed() > ASK_AGAIN
            };
            if due {
                let id = self.want_inventory(agent).await?;
                let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                asked.0.push(id);
                asked.1 = Instant::now();
            }
            Ok(false)
        };
        self.until(&format!("{agent} has told what it has"), told).await?;
        self.heard(exchange::INVENTORY).await
    }

    /// The agent's incarnation and the place in order that an observation made now would have.
    ///
    /// # Errors
    /// No such agent.
    pub async fn next_observation(&self, agent: &str) -> anyhow::Result<Observation> {
        let incarnation = self.agent(agent).await?.incarnation;
        let statement = "SELECT GREATEST(IFNULL((SELECT MAX(observed) FROM facts WHERE agent_id = ? AND incarnation = ?), 0), \
                         IFNULL((SELECT MAX(observed) FROM inventories WHERE agent_id = ? AND incarnation = ?), 0)) AS seq";
        let found = self.db.rows(statement, (agent, incarnation, agent, incarnation)).await?;
        let seq: u64 = found.first().context("a row")?.col("seq")?;
        Ok(Observation { incarnation, seq: seq + 1 })
    }

    /// # Errors
    /// No such agent.
    pub async fn agent(&self, agent: &str) -> anyhow::Result<db::agents::AgentRow> {
        db::agents::get(&self.db, agent).await?.with_context(|| format!("{agent} is unknown"))
    }

    /// Jobs of a thing: kind and state, the oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn jobs_of(&self, thing: &str) -> anyhow::Result<Vec<String>> {
        let found = self.db.rows("SELECT kind, state FROM jobs WHERE thing = ? ORDER BY seq", (thing,)).await?;
        found.iter().map(|row| Ok(format!("{} {}", row.text("kind")?, row.text("state")?))).collect()
    }

    /// Nothing is under way.
    ///
    /// # Errors
    /// Something still is, after a minute.
    pub async fn settled(&self) -> anyhow::Result<()> {
        self.until("no job is open", async || Ok(db::jobs::open_count(&self.db).await? == 0)).await
    }

    /// As `count` of a statement that answers one number named `n`.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(&self, statement: &str) -> anyhow::Result<u64> {
        let found = self.db.rows(statement, ()).await?;
        let row = found.first();
        ensure!(row.is_some(), "{statement} answers nothing");
        Ok(row.context("a row")?.col("n")?)
    }
}
