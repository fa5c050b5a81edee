//! What a broker does to its clients on a bad day, on a real one: SIGKILL and restart, a freeze, queues deleted or of
//! another form, a dcmgr that comes later, more closed channels than a connection may have.
//!
//! Each test has a server of its own where it harms the server, so these are the slow ones.

mod support;

use amqprs::channel::{QueueDeclareArguments, QueueDeleteArguments};
use amqprs::connection::{Connection, OpenConnectionArguments};
use arame_framework::bus::amqp::{AmqpBus, PUBLISH_LIMIT, Role};
use arame_framework::bus::{Address, Bus, Durability, PublishError, Source};
use arame_framework::testkit::{self, DCMGR, Rabbit, Realm, agent, eventually};
use arame_schema::jobs::exchange;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Kit, LIMIT, next, rabbit_bus, text, texts, up, up_again};

const FOREVER: Durability = Durability::Persistent { expires: None };

/// A node takes seconds to come back on two busy cores.
const RESTART_LIMIT: Duration = Duration::from_secs(120);

fn to(name: &str) -> Address {
    Address::Agent(agent(name))
}

async fn send(bus: &Arc<dyn Bus>, to: &Address, body: &str) -> Result<(), PublishError> {
    bus.publish(to, FOREVER, body.as_bytes().to_vec()).await
}

async fn connected(bus: &Arc<dyn Bus>, session: u64) {
    tokio::time::timeout(RESTART_LIMIT, async {
        let mut link = bus.link();
        link.wait_for(|link| link.up && link.session > session).await.unwrap();
    })
    .await
    .expect("the link comes back");
}

async fn down(bus: &Arc<dyn Bus>) {
    let mut link = bus.link();
    tokio::time::timeout(LIMIT, link.wait_for(|link| !link.up)).await.expect("the loss is seen").unwrap();
}

fn shared_realm() -> Option<Realm> {
    match Kit::rabbit()? {
        Kit::Rabbit(realm) => Some(realm),
        Kit::Memory(_) => None,
    }
}

/// A hand of our own on the broker, as dcmgr.
async fn hand(realm: &Realm) -> Connection {
    let broker = realm.broker(DCMGR);
    let password = std::fs::read_to_string(&broker.password_file).unwrap();
    let arguments = OpenConnectionArguments::new(&broker.host, broker.port, &broker.user, password.trim())
        .virtual_host(&broker.vhost)
        .finish();
    Connection::open(&arguments).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_no_confirmed_message_and_a_frozen_one_is_noticed() {
    if testkit::lacks_rabbitmq() {
        return;
    }
    let server = Rabbit::private().unwrap();
    let realm = server.realm().unwrap();
    let (dcmgr, host) = (rabbit_bus(&realm, DCMGR).await, rabbit_bus(&realm, "hva.h1").await);
    up(&dcmgr).await;
    up(&host).await;
    let mut jobs = host.subscribe(Source::AgentJobs(agent("hva.h1")), 10).await;
    let mut fanout = dcmgr.subscribe(Source::Fanout(exchange::REPLY), 10).await;
    for body in ["acknowledged", "unacknowledged", "waiting"] {
        send(&dcmgr, &to("hva.h1"), body).await.unwrap();
    }
    assert_eq!(texts(&mut jobs, 1).await, ["acknowledged"]);
    let held = next(&mut jobs).await;
    // A mark of our own, so that the ack has been taken by the broker before it dies.
    let mut outcomes = dcmgr.subscribe(Source::Exchange(exchange::OUTCOME), 1).await;
    send(&host, &Address::Exchange(exchange::OUTCOME), "mark").await.unwrap();
    assert_eq!(texts(&mut outcomes, 1).await, ["mark"]);

    // RabbitMQ 3.10 writes the register of its quorum queues every half second; one declared just before a SIGKILL
    // comes back without a leader (until `ra:trigger_election`). That is its own affair; here messages are looked at.
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.kill().unwrap();
    down(&dcmgr).await;
    down(&host).await;
    assert_eq!(send(&dcmgr, &to("hva.h1"), "lost").await, Err(PublishError::Disconnected));
    let restarting = server.clone();
    tokio::task::spawn_blocking(move || restarting.restart()).await.unwrap().unwrap();
    connected(&dcmgr, 1).await;
    connected(&host, 1).await;
    held.ack();
    send(&dcmgr, &to("hva.h1"), "after").await.unwrap();
    // What the old connection had already handed over comes twice; "acknowledged" never again.
    let mut again = Vec::new();
    while !again.contains(&"after".to_owned()) {
        let delivery = next(&mut jobs).await;
        again.push(text(&delivery));
        delivery.ack();
    }
    for body in ["unacknowledged", "waiting"] {
        assert!(again.contains(&body.to_owned()), "{body} is lost: {again:?}");
    }
    assert!(!again.contains(&"acknowledged".to_owned()) && !again.contains(&"lost".to_owned()), "{again:?}");
    // The other subscriptions came back by themselves as well.
    let end = Instant::now() + LIMIT;
    while send(&host, &Address::Exchange(exchange::REPLY), "reply").await.is_err() {
        assert!(Instant::now() < end, "the fanout queue is back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(texts(&mut fanout, 1).await, ["reply"]);

    server.freeze().unwrap();
    let begun = Instant::now();
    let frozen = send(&dcmgr, &to("hva.h1"), "frozen").await;
    assert_eq!(frozen, Err(PublishError::Unconfirmed(PUBLISH_LIMIT)));
    assert!(begun.elapsed() < PUBLISH_LIMIT + Duration::from_secs(2));
    // Two missed heartbeats of ten seconds. Both ends: a connection that had not noticed yet would outlive the thaw.
    down(&dcmgr).await;
    down(&host).await;
    println!("the frozen broker was given up after {:?}", begun.elapsed());
    server.thaw().unwrap();
    connected(&dcmgr, 2).await;
    connected(&host, 2).await;
    send(&dcmgr, &to("hva.h1"), "thawed").await.unwrap();
    let mut last = String::new();
    while last != "thawed" {
        let delivery = next(&mut jobs).await;
        last = text(&delivery);
        delivery.ack();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_declared_and_consumed_again() {
    let Some(realm) = shared_realm() else { return };
    let (dcmgr, host) = (rabbit_bus(&realm, DCMGR).await, rabbit_bus(&realm, "hva.h1").await);
    up(&dcmgr).await;
    up(&host).await;
    let mut jobs = host.subscribe(Source::AgentJobs(agent("hva.h1")), 10).await;
    send(&dcmgr, &to("hva.h1"), "before").await.unwrap();
    assert_eq!(texts(&mut jobs, 1).await, ["before"]);
    let hand = hand(&realm).await;
    let channel = hand.open_channel(None).await.unwrap();
    channel.queue_delete(QueueDeleteArguments::new("job.hva.h1")).await.unwrap();
    let end = Instant::now() + LIMIT;
    while send(&dcmgr, &to("hva.h1"), "after").await.is_err() {
        assert!(Instant::now() < end, "the queue is declared again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(texts(&mut jobs, 1).await, ["after"]);
    assert_eq!(host.link().borrow().session, 1, "one channel's trouble is not the connection's");
    drop(channel);
    let _ = hand.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_another_form_harms_nothing_else_and_is_taken_once_it_is_gone() {
    let Some(realm) = shared_realm() else { return };
    let dcmgr = rabbit_bus(&realm, DCMGR).await;
    up(&dcmgr).await;
    let hand = hand(&realm).await;
    let channel = hand.open_channel(None).await.unwrap();
    // A classic queue where a quorum queue is declared: 406 PRECONDITION_FAILED.
    channel.queue_declare(QueueDeclareArguments::durable_client_named("job.hva.h2")).await.unwrap();
    let mut blocked = dcmgr.subscribe(Source::AgentJobs(agent("hva.h2")), 10).await;
    let mut outcomes = dcmgr.subscribe(Source::Exchange(exchange::OUTCOME), 10).await;
    for number in 0..20 {
        send(&dcmgr, &Address::Exchange(exchange::OUTCOME), &number.to_string()).await.unwrap();
    }
    assert_eq!(texts(&mut outcomes, 20).await.len(), 20);
    assert_eq!(dcmgr.link().borrow().session, 1, "a 406 costs its own channel only");
    channel.queue_delete(QueueDeleteArguments::new("job.hva.h2")).await.unwrap();
    let end = Instant::now() + LIMIT;
    while send(&dcmgr, &to("hva.h2"), "now").await.is_err() {
        assert!(Instant::now() < end, "the queue is declared");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(texts(&mut blocked, 1).await, ["now"]);
    drop(channel);
    let _ = hand.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_waits_for_the_exchanges_dcmgr_declares() {
    let Some(realm) = shared_realm() else { return };
    let host = rabbit_bus(&realm, "hva.h1").await;
    let mut jobs = host.subscribe(Source::AgentJobs(agent("hva.h1")), 10).await;
    let refused = send(&host, &Address::Exchange(exchange::HELLO), "too early").await;
    assert_eq!(refused, Err(PublishError::Disconnected));
    assert!(tokio::time::timeout(Duration::from_millis(800), up(&host)).await.is_err(), "up without exchanges");
    let dcmgr = rabbit_bus(&realm, DCMGR).await;
    up(&host).await;
    let mut hellos = dcmgr.subscribe(Source::Exchange(exchange::HELLO), 10).await;
    send(&host, &Address::Exchange(exchange::HELLO), "hello").await.unwrap();
    assert_eq!(texts(&mut hellos, 1).await, ["hello"]);
    send(&dcmgr, &to("hva.h1"), "job").await.unwrap();
    assert_eq!(texts(&mut jobs, 1).await, ["job"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_may_not_touch_what_is_not_its_own() {
    let Some(realm) = shared_realm() else { return };
    let (dcmgr, host) = (rabbit_bus(&realm, DCMGR).await, rabbit_bus(&realm, "hva.h1").await);
    let storage = rabbit_bus(&realm, "sta.s1").await;
    for bus in [&dcmgr, &host, &storage] {
        up(bus).await;
    }
    // To another's queue by the default exchange: refused, and the publisher is back at once.
    let refused = send(&host, &to("sta.s1"), "forged").await;
    assert!(matches!(&refused, Err(PublishError::Refused(why)) if why.contains("403")), "{refused:?}");
    let mut foreign = host.subscribe(Source::AgentJobs(agent("sta.s1")), 10).await;
    let mut own = storage.subscribe(Source::AgentJobs(agent("sta.s1")), 10).await;
    send(&dcmgr, &to("sta.s1"), "a secret").await.unwrap();
    assert_eq!(texts(&mut own, 1).await, ["a secret"]);
    assert!(foreign.try_recv().is_err());
    let end = Instant::now() + LIMIT;
    while send(&host, &Address::Exchange(exchange::OUTCOME), "allowed").await.is_err() {
        assert!(Instant::now() < end, "the publisher is back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut outcomes = dcmgr.subscribe(Source::Exchange(exchange::OUTCOME), 10).await;
    assert_eq!(texts(&mut outcomes, 1).await, ["allowed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_subscriptions_come_back_after_a_cut() {
    let Some(realm) = shared_realm() else { return };
    let dcmgr = rabbit_bus(&realm, DCMGR).await;
    up(&dcmgr).await;
    let mut replies = Vec::new();
    for _ in 0..8 {
        replies.push(dcmgr.subscribe(Source::Fanout(exchange::REPLY), 10).await);
    }
    for round in 1..=3u64 {
        realm.server().ctl(&["close_all_connections", "--vhost", realm.vhost(), "a test cuts it"]).unwrap();
        up_again(&dcmgr, round).await;
    }
    let mut heard = [false; 8];
    let end = Instant::now() + LIMIT;
    while heard != [true; 8] {
        assert!(Instant::now() < end, "heard {heard:?}");
        let _ = send(&dcmgr, &Address::Exchange(exchange::REPLY), "x").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        for (number, from) in replies.iter_mut().enumerate() {
            while let Ok(delivery) = from.try_recv() {
                heard[number] = true;
                delivery.ack();
            }
        }
    }
    eventually("the link is up", LIMIT, || dcmgr.link().borrow().up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_put_right_is_taken_without_a_restart() {
    let Some(realm) = shared_realm() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut broker = realm.broker(DCMGR);
    let right = std::fs::read_to_string(&broker.password_file).unwrap();
    broker.password_file = dir.path().join("password");
    std::fs::write(&broker.password_file, "wrong").unwrap();
    let bus: Arc<dyn Bus> = AmqpBus::connect(&broker, Role::Dcmgr).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(3), up(&bus)).await.is_err(), "up with a wrong password");
    std::fs::write(&broker.password_file, right).unwrap();
    up(&bus).await;
}
