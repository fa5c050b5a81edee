//! RabbitMQ through amqprs: the only place that knows the AMQP library.
//!
//! ```text
//!   publish ──► Publisher (one channel, confirms by number) ─┐
//!   subscribe ─► Supervisor ── consumer channel each ────────┼── one connection, replaced when lost
//!   link ◄────── Supervisor (back off, reconnect) ───────────┘
//! ```
//!
//! Rules that keep amqprs 2.1.5 sound: one supervisor owns the connection and makes every synchronous call (declare,
//! bind, qos, consume), one at a time, in a task that is never dropped half-way; what is late costs the whole
//! connection. A channel serves one purpose. Nothing is sent on a channel the broker has closed: the close callback
//! shuts a door before it lets the library answer. A confirm that cannot come any more fails its waiter at once.
//! This does not retry a publish and does not deduplicate: delivery is at least once.

mod callbacks;
mod consumer;
mod publisher;
mod supervisor;
mod tls;
mod topology;

use super::{Address, Bus, Delivery, Durability, Link, PublishError, Source};
use crate::config::Broker;
use arame_schema::model::AgentId;
use async_trait::async_trait;
pub(super) use consumer::REQUEUE_AFTER;
use publisher::Publisher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use supervisor::{Order, Supervisor};
use tokio::sync::{mpsc, oneshot, watch};

/// Which end of the wire this process is; decides what it declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Declares the exchanges and the queues behind them.
    Dcmgr,
    /// Declares its own job queue and waits for the exchanges.
    Agent(AgentId),
}

/// Longest a publish waits for its confirm. A broker that keeps it longer has raised an alarm (disk, memory) or is
/// frozen; the row behind the message is rung again later.
pub const PUBLISH_LIMIT: Duration = Duration::from_secs(5);

/// Interval of AMQP heartbeats asked for; a peer that misses two is gone. RabbitMQ's own 60 s would mean two minutes.
const HEARTBEAT_SECONDS: u16 = 10;

/// AMQP 0-9-1 short strings hold 255 bytes; the library panics beyond.
const NAME_BYTES_MAX: usize = 255;

/// Longest the closing handshake may take before the connection is simply dropped.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Why a bus could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot read the broker password from {path}")]
    Password { path: std::path::PathBuf, source: std::io::Error },
    #[error("the broker's {what} is longer than {NAME_BYTES_MAX} bytes")]
    Name { what: &'static str },
}

/// Where the supervisor puts the publisher of the present connection.
pub(crate) type Slot = Arc<RwLock<Option<Arc<Publisher>>>>;

pub struct AmqpBus {
    user: String,
    slot: Slot,
    orders: mpsc::UnboundedSender<Order>,
    link: watch::Receiver<Link>,
    /// The last confirm that was waited for did not come in time.
    stalled: AtomicBool,
}

impl AmqpBus {
    /// Starts connecting and returns at once: the broker may come later, [`Bus::link`] tells.
    ///
    /// # Errors
    /// An unreadable password file, names too long for AMQP.
    pub async fn connect(broker: &Broker, role: Role) -> Result<Arc<Self>, ConnectError> {
        topology::password(broker).await?;
        for (what, name) in [("user", &broker.user), ("virtual host", &broker.vhost)] {
            if name.len() > NAME_BYTES_MAX {
                return Err(ConnectError::Name { what });
            }
        }
        let (orders, taken) = mpsc::unbounded_channel();
        let (up, link) = watch::channel(Link::NONE_YET);
        let slot = Slot::default();
        tokio::spawn(Supervisor::new(broker.clone(), role, taken, slot.clone(), up).run());
        Ok(Arc::new(Self { user: broker.user.clone(), slot, orders, link, stalled: AtomicBool::new(false) }))
    }

    /// Whether the broker keeps its confirms back: a memory or disk alarm, or it is frozen. A late confirm is the only sign
    /// of it, because the library does not ask to be told. Ends with the next confirm.
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::SeqCst)
    }

    /// Says on the log, once, that confirms do not come, and once that they come again.
    fn note(&self, answer: &Result<(), PublishError>) {
        match answer {
            Err(PublishError::Unconfirmed(limit)) => {
                if !self.stalled.swap(true, Ordering::SeqCst) {
                    tracing::error!(?limit, "the broker confirms nothing: a memory or disk alarm, or it is frozen");
                }
            }
            Ok(()) => {
                if self.stalled.swap(false, Ordering::SeqCst) {
                    tracing::info!("the broker confirms again");
                }
            }
            Err(PublishError::Disconnected | PublishError::Unroutable(_) | PublishError::Refused(_)) => {}
        }
    }

    fn publisher(&self) -> Option<Arc<Publisher>> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Bus for AmqpBus {
    async fn publish(&self, to: &Address, durability: Durability, body: Vec<u8>) -> Result<(), PublishError> {
        let (exchange, key) = match to {
            Address::Agent(agent) => ("", agent.queue()),
            Address::Exchange(name) => (*name, String::new()),
        };
        if exchange.len() > NAME_BYTES_MAX || key.len() > NAME_BYTES_MAX {
            return Err(PublishError::Refused("a name is longer than AMQP allows".into()));
        }
        let publisher = self.publisher().ok_or(PublishError::Disconnected)?;
        let sent = publisher.publish(exchange, &key, &self.user, durability, body);
        let answer = match tokio::time::timeout(PUBLISH_LIMIT, sent).await {
            Ok(answer) => answer,
            Err(_) => Err(PublishError::Unconfirmed(PUBLISH_LIMIT)),
        };
        self.note(&answer);
        answer
    }

    async fn subscribe(&self, source: Source, prefetch: u16) -> mpsc::Receiver<Delivery> {
        let (out, deliveries) = mpsc::channel(usize::from(prefetch.max(1)));
        if let Source::Exchange(name) | Source::Fanout(name) = &source
            && name.len() > NAME_BYTES_MAX
        {
            // The library would panic, and cost the connection at every attempt.
            tracing::error!("an exchange's name is longer than AMQP allows: nothing is consumed");
            return deliveries;
        }
        // After close the order is dropped with its sender: the receiver ends, as promised.
        let _ = self.orders.send(Order::Subscribe { source, prefetch: prefetch.max(1), out });
        deliveries
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.clone()
    }

    async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.orders.send(Order::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }
}
