//! The bus as the rest of the system sees it: publish with a confirm, subscribe, know when the connection changed.
//!
//! Rule: a message is a bell, never the truth (DESIGN 3.1). Delivery is at least once: handlers are idempotent. No
//! caller retries here; a failed publish is an answer. Two implementations: [`amqp`] on RabbitMQ (the only place
//! that knows the AMQP library) and [`memory`], the same contract in one process with faults on request.

pub mod amqp;
mod distrust;
pub mod memory;

pub use distrust::Distrust;

use crate::stream::{Door, Road};
use arame_schema::model::AgentId;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The agent's own job queue, by the default exchange, persistent and mandatory. dcmgr only.
    Agent(AgentId),
    /// One of [`arame_schema::jobs::exchange`]. Agents only.
    Exchange(&'static str),
}

/// How long a message is worth delivering, and whether it must survive the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Persistent; expires after the given time if any (jobs: their budget; outcomes: never).
    Persistent { expires: Option<Duration> },
    /// Transient; expires after the given time (heartbeats, inventories, replies).
    Transient { expires: Duration },
}

/// What is consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An agent's job queue: quorum, exclusive consumer.
    AgentJobs(AgentId),
    /// dcmgr's queue behind an exchange: quorum for hello and outcome, classic transient for the others; shared by
    /// all dcmgr processes.
    Exchange(&'static str),
    /// dcmgr's own exclusive, auto-deleted queue bound to an exchange: every dcmgr process gets every message
    /// (replies to questions).
    Fanout(&'static str),
    /// The queue [`DEAD_QUEUE`](arame_schema::jobs::DEAD_QUEUE) of messages that the broker put aside; shared by all dcmgr
    /// processes.
    Dead,
}

/// Why the broker put a message aside, in its words (RabbitMQ's headers `x-first-death-reason` and `-queue`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    pub queue: String,
    pub reason: String,
}

impl Death {
    /// The reason of a message that was delivered as often as its queue allows and acknowledged by nobody.
    pub const DELIVERED_TOO_OFTEN: &'static str = "delivery_limit";
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("not connected to the broker")]
    Disconnected,
    #[error("the broker has no queue for {0}")]
    Unroutable(String),
    #[error("the broker did not confirm within {0:?}")]
    Unconfirmed(Duration),
    #[error("the broker refused the message: {0}")]
    Refused(String),
}

/// A received message. Dropping it without [`Delivery::ack`] leaves it to be delivered again.
#[derive(Debug)]
pub struct Delivery {
    pub body: Vec<u8>,
    /// The broker-validated user of the publisher (DESIGN, Permissions). `None`: not given.
    pub user: Option<String>,
    pub redelivered: bool,
    /// Set on what comes from [`Source::Dead`].
    pub death: Option<Death>,
    /// Consumed by [`Delivery::ack`]; an implementation sends on it (or finds it dropped).
    pub done: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Delivery {
    /// Acknowledge. A no-op when the connection it came by is gone: it will come again.
    pub fn ack(mut self) {
        if let Some(done) = self.done.take() {
            let _ = done.send(());
        }
    }
}

/// Connection state; `session` counts connections made, so a watcher sees every reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub up: bool,
    pub session: u64,
    /// Why the last attempt ended, where it was the broker's certificate; attempts go on.
    pub distrust: Option<Distrust>,
}

impl Link {
    /// Before the first connection.
    pub const NONE_YET: Self = Self { up: false, session: 0, distrust: None };

    /// Why nothing is reached, for the status of a service, in both languages where an operator has to mend it.
    pub fn trouble(&self) -> Option<String> {
        match (self.up, self.distrust) {
            (true, _) => None,
            (false, None) => Some("the broker is not reached".to_owned()),
            (false, Some(distrust)) => Some(format!("{distrust} / {}", distrust.japanese())),
        }
    }
}

#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Resolves when the broker confirmed the message, or says why it did not. Bounded in time.
    async fn publish(&self, to: &Address, durability: Durability, body: Vec<u8>) -> Result<(), PublishError>;

    /// Starts consuming and goes on across reconnects; the receiver ends only with the bus. At most `prefetch`
    /// deliveries are unacknowledged at a time.
    async fn subscribe(&self, source: Source, prefetch: u16) -> mpsc::Receiver<Delivery>;

    /// Follows the connection.
    fn link(&self) -> watch::Receiver<Link>;

    /// Closes the connection in good order.
    async fn close(&self);

    /// The road of streams that this bus brings along. `None`: they go as the configuration says.
    fn road(&self) -> Option<Arc<dyn Road>> {
        None
    }

    /// dcmgr's end of that road, the first time it is asked for.
    fn door(&self) -> Option<Door> {
        None
    }
}
