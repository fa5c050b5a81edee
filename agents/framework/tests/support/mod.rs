//! Either bus behind one face, so that the same story is told to both; both ends of the wire by hand.

#![allow(dead_code)]

pub mod dcmgr;
pub mod manager;
pub mod scripted;

use arame_framework::bus::amqp::{AmqpBus, Role};
use arame_framework::bus::memory::MemoryBroker;
use arame_framework::bus::{Bus, Delivery};
use arame_framework::testkit::{self, DCMGR, Rabbit, Realm};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Generous: it bounds a hang, it measures nothing.
pub const LIMIT: Duration = Duration::from_secs(30);

pub enum Kit {
    Memory(MemoryBroker),
    Rabbit(Realm),
}

impl Kit {
    pub fn memory() -> Option<Kit> {
        Some(Kit::Memory(MemoryBroker::new()))
    }

    /// `None`: skipped, said so.
    pub fn rabbit() -> Option<Kit> {
        if testkit::lacks_rabbitmq() {
            return None;
        }
        Some(Kit::Rabbit(Rabbit::shared().expect("RabbitMQ starts").realm().expect("a virtual host")))
    }

    /// A connection that is up.
    pub async fn bus(&self, user: &str) -> Arc<dyn Bus> {
        let bus = self.bus_soon(user).await;
        up(&bus).await;
        bus
    }

    pub async fn bus_soon(&self, user: &str) -> Arc<dyn Bus> {
        match self {
            Kit::Memory(broker) => broker.bus(user),
            Kit::Rabbit(realm) => rabbit_bus(realm, user).await,
        }
    }

    /// Cuts every connection once and lets them come back.
    pub fn cut(&self) {
        match self {
            Kit::Memory(broker) => {
                for user in testkit::AGENTS.into_iter().chain([DCMGR]) {
                    broker.disconnect(user);
                }
                for user in testkit::AGENTS.into_iter().chain([DCMGR]) {
                    broker.reconnect(user);
                }
            }
            Kit::Rabbit(realm) => {
                realm.server().ctl(&["close_all_connections", "--vhost", realm.vhost(), "a test cuts it"]).unwrap();
            }
        }
    }
}

pub async fn rabbit_bus(realm: &Realm, user: &str) -> Arc<dyn Bus> {
    let role = if user == DCMGR { Role::Dcmgr } else { Role::Agent(testkit::agent(user)) };
    AmqpBus::connect(&realm.broker(user), role).await.expect("the kit's password is readable")
}

pub async fn up(bus: &Arc<dyn Bus>) {
    up_again(bus, 0).await;
}

/// Waits for a connection later than `session`.
pub async fn up_again(bus: &Arc<dyn Bus>, session: u64) {
    let mut link = bus.link();
    let risen = link.wait_for(|link| link.up && link.session > session);
    tokio::time::timeout(LIMIT, risen).await.expect("the link comes up").expect("the bus lives");
}

pub async fn next(from: &mut mpsc::Receiver<Delivery>) -> Delivery {
    tokio::time::timeout(LIMIT, from.recv()).await.expect("a delivery comes").expect("the bus lives")
}

/// The texts of the next `count` deliveries, acknowledged.
pub async fn texts(from: &mut mpsc::Receiver<Delivery>, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let delivery = next(from).await;
        texts.push(text(&delivery));
        delivery.ack();
    }
    texts
}

pub fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.body).into_owned()
}
