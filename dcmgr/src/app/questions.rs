//! Read-only questions to agents (DESIGN 3.14): asked through whoever holds the bus, answered once or not at all.

use arame_schema::jobs::report::{Ask, Dial, Reply, StreamAsk};
use arame_schema::limits::ASK_TIMEOUT;
use arame_schema::model::AgentId;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// Questions waiting at a time; more are answered "busy" at once.
const WAITING_MAX: usize = 200;

/// A question on its way to the bus.
#[derive(Debug)]
pub struct Question {
    pub id: Uuid,
    pub agent: AgentId,
    pub what: What,
}

#[derive(Debug)]
pub enum What {
    Ask(Ask),
    /// A question whose answer is a stream.
    Stream(StreamAsk),
    /// An inventory begun after this; its id comes back in it.
    Inventory,
}

#[derive(Debug, Clone, Default)]
pub struct Questions {
    waiting: Arc<Mutex<HashMap<Uuid, oneshot::Sender<Reply>>>>,
    out: Arc<OnceLock<mpsc::Sender<Question>>>,
}

impl Questions {
    /// The bus side takes questions from here.
    pub fn listen(&self) -> mpsc::Receiver<Question> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let _ = self.out.set(sender);
        receiver
    }

    /// Asks and waits up to [`ASK_TIMEOUT`].
    ///
    /// # Errors
    /// A sentence: nobody answered, or the agent's own.
    pub async fn ask(&self, agent: AgentId, question: &str, arguments: Value) -> Result<Value, String> {
        self.send(agent, What::Ask(Ask { question: question.to_owned(), arguments })).await
    }

    /// Asks for a stream, which has been brought when this is answered.
    ///
    /// # Errors
    /// As [`Questions::ask`].
    pub async fn open(&self, agent: AgentId, question: &str, arguments: Value, stream: Dial) -> Result<(), String> {
        let ask = Ask { question: question.to_owned(), arguments };
        self.send(agent, What::Stream(StreamAsk { ask, stream })).await.map(drop)
    }

    async fn send(&self, agent: AgentId, what: What) -> Result<Value, String> {
        let id = crate::rehearsal::uuid_v7();
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().map_err(|_| "too many questions".to_owned())?;
            if waiting.len() >= WAITING_MAX {
                return Err("too many questions are waiting".into());
            }
            waiting.insert(id, sender);
        }
        let sent = match self.out.get() {
            Some(out) => out.try_send(Question { id, agent: agent.clone(), what }).is_ok(),
            None => false,
        };
        let answered =
            if sent { tokio::time::timeout(ASK_TIMEOUT, receiver).await.ok().and_then(Result::ok) } else { None };
        if let Ok(mut waiting) = self.waiting.lock() {
            waiting.remove(&id);
        }
        match answered {
            Some(reply) if reply.agent == agent => reply.answer,
            Some(_) => Err(format!("another agent answered for {agent}")),
            None => Err(format!("{agent} did not answer within {} s", ASK_TIMEOUT.as_secs())),
        }
    }

    /// Asks agents for inventories; they come as inventories do.
    pub fn want_inventories(&self, id: Uuid, agents: &BTreeSet<String>) {
        let Some(out) = self.out.get() else { return };
        for agent in agents.iter().filter_map(|agent| agent.parse().ok()) {
            let _ = out.try_send(Question { id, agent, what: What::Inventory });
        }
    }

    /// A reply came in. One that nobody waits for any more is dropped.
    pub fn answer(&self, reply: Reply) {
        let waiter = self.waiting.lock().ok().and_then(|mut waiting| waiting.remove(&reply.asked));
        if let Some(waiter) = waiter {
            let _ = waiter.send(reply);
        }
    }
}
