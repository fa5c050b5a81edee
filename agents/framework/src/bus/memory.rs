//! The bus in one process: the contract of [`super::amqp`] without a broker, with faults on request.
//!
//! Rule: whatever RabbitMQ may do to a message (lose it, bring it twice, late, out of order, cut the connection with
//! deliveries unacknowledged), this does when asked, decided by a seeded generator, so that a run can be repeated.
//! Time is tokio's: a paused clock works. It keeps nothing on disk and checks no permissions.

mod broker;

pub use broker::{Faults, Stats};

use super::amqp::PUBLISH_LIMIT;
use super::{Address, Bus, Death, Delivery, Durability, Link, PublishError, Source};
use crate::stream::{BoxedWire, Door, Road};
use arame_schema::model::AgentId;
use async_trait::async_trait;
use broker::{Acked, PartyId, State, SubscriptionId, Take};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};

/// The broker all participants of one process share. Clones are the same broker.
#[derive(Clone, Default)]
pub struct MemoryBroker(Arc<Mutex<State>>, Doors);

/// Ends of dcmgrs by their names.
type Doors = Arc<Mutex<HashMap<String, mpsc::Sender<BoxedWire>>>>;

/// Doors made so far: no two have one name.
static DOORS: AtomicU64 = AtomicU64::new(0);

/// Callers of one dcmgr that have not been heard yet.
const CALLERS: usize = 64;

/// Bytes on their way on a stream.
const STREAM_BYTES: usize = 16 * 1024;

impl MemoryBroker {
    pub fn new() -> Self {
        Self::default()
    }

    /// A participant's own connection. A user that is not an agent's id plays dcmgr's part: the queues behind the
    /// exchanges exist from its first connection on.
    pub fn bus(&self, user: &str) -> Arc<MemoryBus> {
        let declares = user.parse::<AgentId>().is_err();
        let (party, frozen) = self.lock().join(user, declares);
        Arc::new(MemoryBus { broker: self.clone(), party, user: user.to_owned(), frozen })
    }

    /// From now on messages meet these faults, drawn from `seed`.
    pub fn set_faults(&self, seed: u64, faults: Faults) {
        self.lock().set_faults(seed, faults);
    }

    /// Cuts every connection of `user`; what it had not acknowledged goes back and will come again, marked.
    pub fn disconnect(&self, user: &str) {
        self.lock().set_up(user, false);
    }

    /// Lets `user` connect again; its subscriptions come back by themselves.
    pub fn reconnect(&self, user: &str) {
        self.lock().set_up(user, true);
    }

    /// Nothing moves on `user`'s connections, which stay open: publishes wait for their time limit.
    pub fn freeze(&self, user: &str) {
        self.lock().set_frozen(user, true);
    }

    pub fn thaw(&self, user: &str) {
        self.lock().set_frozen(user, false);
    }

    /// Keeps back messages to `queue` (`job.hva.h1`, `dcmgr.outcome`) that `matches`, after they were confirmed to their
    /// publisher, as a relay that froze before it published would: when they are let through their time begins anew.
    pub fn keep_back(&self, queue: &str, matches: impl Fn(&[u8]) -> bool + Send + 'static) -> KeptBack {
        let number = self.lock().keep_back(queue, Box::new(matches));
        KeptBack { broker: self.clone(), number }
    }

    /// Puts a message of `user` aside, as the real broker does with what was delivered too often.
    pub fn bury(&self, user: &str, death: Death, body: Vec<u8>) {
        self.lock().bury(user, death, body);
    }

    /// How often what happened.
    pub fn stats(&self) -> Stats {
        self.lock().stats.clone()
    }

    /// Messages that wait in a queue, unacknowledged ones included. `None`: nobody declared it.
    pub fn depth(&self, queue: &str) -> Option<usize> {
        self.lock().depth(queue)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages kept back by [`MemoryBroker::keep_back`]. Dropped, it lets them through.
#[must_use = "dropping it lets the messages through"]
pub struct KeptBack {
    broker: MemoryBroker,
    number: u64,
}

impl KeptBack {
    /// Their bodies, in the order they came.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.broker.lock().kept_bodies(self.number)
    }

    /// Takes no more; those it has stay.
    pub fn take_no_more(&self) {
        self.broker.lock().keep_no_more(self.number);
    }

    /// Delivers what was kept, once each.
    pub fn let_through(self) {}

    /// They are never delivered.
    pub fn lose(self) {
        self.broker.lock().lose_kept(self.number);
    }
}

impl Drop for KeptBack {
    fn drop(&mut self) {
        self.broker.lock().let_through(self.number);
    }
}

/// One participant's connection.
pub struct MemoryBus {
    broker: MemoryBroker,
    party: PartyId,
    user: String,
    frozen: watch::Receiver<bool>,
}

impl MemoryBus {
    /// A frozen connection takes nothing; the publisher's time limit is what ends the wait.
    async fn wait_thawed(&self) -> Result<(), PublishError> {
        let mut frozen = self.frozen.clone();
        let thawed = tokio::time::timeout(PUBLISH_LIMIT, frozen.wait_for(|frozen| !frozen)).await;
        match thawed {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(PublishError::Disconnected),
            Err(_) => Err(PublishError::Unconfirmed(PUBLISH_LIMIT)),
        }
    }
}

/// Streams in memory: both ends are this process, and nothing of the machine is opened.
#[async_trait]
impl Road for MemoryBroker {
    async fn dial(&self, to: &str) -> Result<BoxedWire, String> {
        let door = self.1.lock().unwrap_or_else(PoisonError::into_inner).get(to).cloned();
        let (here, there) = tokio::io::duplex(STREAM_BYTES);
        match door {
            Some(door) if door.send(Box::new(there)).await.is_ok() => Ok(Box::new(here)),
            _ => Err(format!("{to} cannot be reached")),
        }
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn publish(&self, to: &Address, durability: Durability, body: Vec<u8>) -> Result<(), PublishError> {
        // A real publish always goes through the scheduler; callers must not rely on finishing in one step.
        tokio::task::yield_now().await;
        self.wait_thawed().await?;
        self.broker.lock().publish(self.party, &self.user, to, durability, body)
    }

    async fn subscribe(&self, source: Source, prefetch: u16) -> mpsc::Receiver<Delivery> {
        let (out, deliveries) = mpsc::channel(usize::from(prefetch.max(1)));
        let number = self.broker.lock().subscribe(self.party, source, usize::from(prefetch.max(1)));
        if let Some(number) = number {
            tokio::spawn(serve(self.broker.clone(), number, out));
        }
        deliveries
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.broker.lock().follow(self.party)
    }

    async fn close(&self) {
        self.broker.lock().leave(self.party);
    }

    fn road(&self) -> Option<Arc<dyn Road>> {
        Some(Arc::new(self.broker.clone()))
    }

    fn door(&self) -> Option<Door> {
        let (sender, callers) = mpsc::channel(CALLERS);
        let mut doors = self.broker.1.lock().unwrap_or_else(PoisonError::into_inner);
        doors.retain(|_, door| !door.is_closed());
        let name = format!("memory:{}:{}", self.user, DOORS.fetch_add(1, Ordering::Relaxed));
        doors.insert(name.clone(), sender);
        Some(Door { name, callers })
    }
}

impl Drop for MemoryBus {
    fn drop(&mut self) {
        self.broker.lock().leave(self.party);
    }
}

/// Hands one subscription's messages to its receiver until either goes away.
async fn serve(broker: MemoryBroker, number: SubscriptionId, out: mpsc::Sender<Delivery>) {
    while let Ok(permit) = out.reserve().await {
        let taken = loop {
            let (take, news) = broker.lock().take(number);
            let until = match take {
                Take::Message { tag, delivery, acked } => break Some((tag, delivery, acked)),
                Take::Gone => break None,
                Take::Wait(until) => until,
            };
            let nap = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = news.notified() => {}
                () = nap => {}
                () = out.closed() => break None,
            }
        };
        let Some((tag, delivery, acked)) = taken else { break };
        permit.send(delivery);
        tokio::spawn(settle(broker.clone(), number, tag, acked));
    }
    broker.lock().unsubscribe(number);
}

async fn settle(broker: MemoryBroker, number: SubscriptionId, tag: u64, acked: Acked) {
    if acked.await.is_ok() {
        broker.lock().acknowledge(number, tag);
    } else {
        tokio::time::sleep(super::amqp::REQUEUE_AFTER).await;
        broker.lock().requeue(number, tag);
    }
}
