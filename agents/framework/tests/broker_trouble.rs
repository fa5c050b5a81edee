//! What a broker does to its clients on a bad day, on a real one, and the traps of the AMQP library that must not be met.
//!
//! Each test has a server of its own where it harms the server, so these are the slow ones.
//!
//! | trap (amqprs 2.1.5, RabbitMQ 3.10) | what we do | test |
//! |---|---|---|
//! | SIGKILL and restart: a publish returns ok and is never confirmed | every waiter is answered; consumers come back | [`a_killed_broker_loses_no_confirmed_message_and_a_frozen_one_is_noticed`] |
//! | freeze: noticed by missed heartbeats only | heartbeats of 10 s, `PUBLISH_LIMIT` | the same |
//! | memory alarm: publishes wait, `blocked` never comes | `Unconfirmed`, told once on the log, `is_stalled`, a counter of dcmgr | [`under_a_memory_alarm_publishes_fail_in_time_and_nothing_confirmed_is_lost`] |
//! | queue deleted under a consumer: its receiver ends | declared and consumed again | [`a_deleted_queue_is_declared_and_consumed_again`] |
//! | declare with other arguments (406): the channel is closed, the call does not say why | a channel each; the reason from the callback | [`a_queue_of_another_form_harms_nothing_else_and_is_taken_once_it_is_gone`] |
//! | publish on a channel the broker closed: ok, then 504 for the whole connection | the door | [`nothing_is_sent_on_a_channel_that_the_broker_closed`] |
//! | a declare that is cancelled makes the next one panic; two at once also | the supervisor makes them, one after the other, and drops none | [`subscriptions_given_up_half_way_harm_nothing`] |
//! | a connection has so many channels | replaced before they are used up | [`many_subscriptions_come_back_after_a_cut`], `CLOSED_CHANNELS_MAX` |
//! | names longer than 255 bytes panic | refused | [`names_longer_than_amqp_allows_are_refused`] |
//! | a confirm of many (`multiple`), a return without a number | counted by us | `bus::amqp::publisher`'s own tests, `bus_contract` |
//! | prefetch not set: an unbounded queue in memory | always set | `bus_contract` |
//! | delivered too often: put aside with nested headers | read from `Source::Dead` | [`what_nobody_takes_in_is_put_aside_with_its_reason_and_what_expires_with_another`] |
//! | wrong password: only a reset connection | said as a guess; read anew at each attempt | [`a_password_put_right_is_taken_without_a_restart`] |
//! | close while a channel is closing: an error | told on the debug log | every test that closes |

mod support;

use amqprs::channel::{QueueDeclareArguments, QueueDeleteArguments};
use amqprs::connection::{Connection, OpenConnectionArguments};
use arame_framework::bus::amqp::{AmqpBus, PUBLISH_LIMIT, Role};
use arame_framework::bus::{Address, Bus, Death, Durability, PublishError, Source};
use arame_framework::testkit::{self, DCMGR, Rabbit, Realm, agent, eventually};
use arame_schema::jobs::exchange;
use arame_schema::limits::DELIVERY_LIMIT;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_memory_alarm_publishes_fail_in_time_and_nothing_confirmed_is_lost() {
    if testkit::lacks_rabbitmq() {
        return;
    }
    let server = Rabbit::private().unwrap();
    let realm = server.realm().unwrap();
    let dcmgr = AmqpBus::connect(&realm.broker(DCMGR), Role::Dcmgr).await.unwrap();
    let host = rabbit_bus(&realm, "hva.h1").await;
    let watched: Arc<dyn Bus> = dcmgr.clone();
    up(&watched).await;
    up(&host).await;
    let mut jobs = host.subscribe(Source::AgentJobs(agent("hva.h1")), 10).await;
    send(&watched, &to("hva.h1"), "before").await.unwrap();
    assert_eq!(texts(&mut jobs, 1).await, ["before"]);
    assert!(!dcmgr.is_stalled());

    server.ctl(&["set_vm_memory_high_watermark", "0"]).unwrap();
    let begun = Instant::now();
    let mut confirmed = Vec::new();
    for turn in 0.. {
        assert!(begun.elapsed() < LIMIT * 2, "the alarm stops nobody");
        let body = format!("alarm {turn}");
        match send(&watched, &to("hva.h1"), &body).await {
            Ok(()) => confirmed.push(body),
            Err(error) => {
                assert_eq!(error, PublishError::Unconfirmed(PUBLISH_LIMIT));
                break;
            }
        }
    }
    // A crowd does not wait longer than one.
    let crowd = (0..50).map(|number| {
        let bus = watched.clone();
        tokio::spawn(async move { send(&bus, &to("hva.h1"), &format!("crowd {number}")).await })
    });
    let begun = Instant::now();
    for answer in futures_util::future::join_all(crowd).await {
        assert_eq!(answer.unwrap(), Err(PublishError::Unconfirmed(PUBLISH_LIMIT)));
    }
    assert!(begun.elapsed() < PUBLISH_LIMIT + Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(dcmgr.is_stalled());

    server.ctl(&["set_vm_memory_high_watermark", "0.6"]).unwrap();
    let end = Instant::now() + RESTART_LIMIT;
    while let Err(error) = send(&watched, &to("hva.h1"), "after").await {
        assert!(Instant::now() < end, "nothing is confirmed after the alarm: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!dcmgr.is_stalled());
    let mut heard = Vec::new();
    while !heard.contains(&"after".to_owned()) {
        heard.extend(texts(&mut jobs, 1).await);
    }
    for body in &confirmed {
        assert!(heard.contains(body), "{body} was confirmed and is lost");
    }
    let sessions = (watched.link().borrow().session, host.link().borrow().session);
    println!("{} confirmed meanwhile, {} heard in all, sessions {sessions:?}", confirmed.len(), heard.len());
}

/// How many queues the virtual host has.
fn queues(realm: &Realm) -> usize {
    let listed = realm.server().ctl(&["list_queues", "--silent", "--vhost", realm.vhost(), "name"]).unwrap();
    listed.lines().filter(|line| !line.trim().is_empty()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscriptions_given_up_half_way_harm_nothing() {
    let Some(realm) = shared_realm() else { return };
    let dcmgr = rabbit_bus(&realm, DCMGR).await;
    up(&dcmgr).await;
    let before = queues(&realm);
    // Given up at every stage: never polled, polled once, dropped before, while and after its queue is declared.
    let crowd = (0..100u64).map(|number| {
        let bus = dcmgr.clone();
        tokio::spawn(async move {
            let source =
                if number % 2 == 0 { Source::Fanout(exchange::REPLY) } else { Source::Exchange(exchange::OUTCOME) };
            let given_up = async {
                let _deliveries = bus.subscribe(source, 10).await;
                tokio::time::sleep(Duration::from_millis(number)).await;
                std::future::pending::<()>().await
            };
            let _ = tokio::time::timeout(Duration::from_millis(number * 2), given_up).await;
        })
    });
    let crowd: Vec<_> = crowd.collect();
    for (number, one) in crowd.into_iter().enumerate() {
        if number % 7 == 0 {
            one.abort();
        }
        let _ = one.await;
    }
    let mut replies = dcmgr.subscribe(Source::Fanout(exchange::REPLY), 10).await;
    let mut outcomes = dcmgr.subscribe(Source::Exchange(exchange::OUTCOME), 10).await;
    send(&dcmgr, &Address::Exchange(exchange::OUTCOME), "outcome").await.unwrap();
    assert_eq!(texts(&mut outcomes, 1).await, ["outcome"]);
    let end = Instant::now() + LIMIT;
    while send(&dcmgr, &Address::Exchange(exchange::REPLY), "reply").await.is_err() {
        assert!(Instant::now() < end, "the last subscription is served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(texts(&mut replies, 1).await, ["reply"]);
    assert_eq!(dcmgr.link().borrow().session, 1, "it cost the connection");
    eventually("only the last one's queue is left", LIMIT, || queues(&realm) == before + 1).await;

    // The positive control: the library itself, without a supervisor between.
    let hand = hand(&realm).await;
    let mut harmed = false;
    for step in 0..50 {
        let channel = hand.open_channel(None).await.unwrap();
        let declare = || channel.queue_declare(QueueDeclareArguments::exclusive_server_named());
        let given_up = tokio::time::timeout(Duration::from_micros(step * 100), declare()).await;
        harmed = given_up.is_err() && !matches!(tokio::time::timeout(LIMIT, declare()).await, Ok(Ok(_)));
        if harmed {
            break;
        }
    }
    assert!(harmed, "a declare given up half-way harms nothing any more: the supervisor may be simpler");
    let _ = hand.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_sent_on_a_channel_that_the_broker_closed() {
    let Some(realm) = shared_realm() else { return };
    let (dcmgr, host) = (rabbit_bus(&realm, DCMGR).await, rabbit_bus(&realm, "hva.h1").await);
    up(&dcmgr).await;
    up(&host).await;
    let mut outcomes = dcmgr.subscribe(Source::Exchange(exchange::OUTCOME), 100).await;
    // What an agent may not do costs its channel, in the middle of what it may do.
    let crowd = (0..200).map(|number| {
        let bus = host.clone();
        tokio::spawn(async move {
            if number % 20 == 7 {
                return (number, send(&bus, &to("sta.s1"), "forged").await);
            }
            let (end, mut answer) = (Instant::now() + LIMIT, Err(PublishError::Disconnected));
            while answer.is_err() && Instant::now() < end {
                answer = send(&bus, &Address::Exchange(exchange::OUTCOME), &number.to_string()).await;
                if answer.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            (number, answer)
        })
    });
    let mut allowed = Vec::new();
    for answer in futures_util::future::join_all(crowd).await {
        match answer.unwrap() {
            (number, Ok(())) if number % 20 != 7 => allowed.push(number.to_string()),
            (number, Err(_)) if number % 20 == 7 => {}
            (number, other) => panic!("{number}: {other:?}"),
        }
    }
    let mut heard = std::collections::BTreeSet::new();
    while !allowed.iter().all(|number| heard.contains(number)) {
        heard.extend(texts(&mut outcomes, 1).await);
    }
    assert_eq!(host.link().borrow().session, 1, "a closed channel cost the connection");

    // The positive control: the library itself sends on, and the broker ends the whole connection.
    let hand = hand(&realm).await;
    let (doomed, bystander) = (hand.open_channel(None).await.unwrap(), hand.open_channel(None).await.unwrap());
    let properties = amqprs::BasicProperties::default;
    let nowhere = amqprs::channel::BasicPublishArguments::new("no.such.exchange", "");
    doomed.basic_publish(properties(), b"x".to_vec(), nowhere.clone()).await.unwrap();
    let end = Instant::now() + LIMIT;
    while hand.is_open() {
        assert!(Instant::now() < end, "the broker forgives a closed channel: the door may go");
        let _ = doomed.basic_publish(properties(), b"x".to_vec(), nowhere.clone()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!bystander.is_open());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_longer_than_amqp_allows_are_refused() {
    let Some(realm) = shared_realm() else { return };
    let dcmgr = rabbit_bus(&realm, DCMGR).await;
    up(&dcmgr).await;
    let long: &'static str = Box::leak("x".repeat(256).into_boxed_str());
    let refused = send(&dcmgr, &Address::Exchange(long), "lost").await;
    assert!(matches!(&refused, Err(PublishError::Refused(why)) if why.contains("longer")), "{refused:?}");
    for source in [Source::Exchange(long), Source::Fanout(long)] {
        let mut nothing = dcmgr.subscribe(source, 1).await;
        let ended = tokio::time::timeout(LIMIT, nothing.recv()).await.expect("it ends at once");
        assert!(ended.is_none());
    }
    for (user, vhost) in [("x".repeat(256), "/".to_owned()), (DCMGR.to_owned(), "x".repeat(256))] {
        let broker = arame_framework::config::Broker { user, vhost, ..realm.broker(DCMGR) };
        assert!(AmqpBus::connect(&broker, Role::Dcmgr).await.is_err());
    }
    // The positive control: a name as long as AMQP allows is merely unknown.
    let unknown: &'static str = Box::leak("x".repeat(255).into_boxed_str());
    let refused = send(&dcmgr, &Address::Exchange(unknown), "lost").await;
    assert!(matches!(&refused, Err(PublishError::Refused(why)) if why.contains("404")), "{refused:?}");
    let mut outcomes = dcmgr.subscribe(Source::Exchange(exchange::OUTCOME), 10).await;
    let end = Instant::now() + LIMIT;
    while send(&dcmgr, &Address::Exchange(exchange::OUTCOME), "fine").await.is_err() {
        assert!(Instant::now() < end, "the publisher is back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(texts(&mut outcomes, 1).await, ["fine"]);
    assert_eq!(dcmgr.link().borrow().session, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_takes_in_is_put_aside_with_its_reason_and_what_expires_with_another() {
    let Some(realm) = shared_realm() else { return };
    let policy =
        format!(r#"{{"delivery-limit":{DELIVERY_LIMIT},"dead-letter-exchange":"","dead-letter-routing-key":"dead"}}"#);
    let set = ["set_policy", "--vhost", realm.vhost(), "--apply-to", "queues", "jobs", "^job\\.", &policy];
    realm.server().ctl(&set).unwrap();
    let (dcmgr, host) = (rabbit_bus(&realm, DCMGR).await, rabbit_bus(&realm, "hva.h1").await);
    up(&dcmgr).await;
    up(&host).await;
    let mut dead = dcmgr.subscribe(Source::Dead, 10).await;
    let expires = Durability::Persistent { expires: Some(Duration::from_millis(1)) };
    let mut jobs = host.subscribe(Source::AgentJobs(testkit::agent("hva.h1")), 1).await;
    send(&dcmgr, &to("hva.h1"), "poison").await.unwrap();
    let mut deliveries = 0;
    let buried = loop {
        tokio::select! {
            delivery = jobs.recv() => {
                // Dropped unacknowledged, as by a handler that cannot understand it. What follows waits behind it.
                assert_eq!(delivery.as_ref().map(text).as_deref(), Some("poison"));
                deliveries += 1;
                if deliveries == 1 {
                    dcmgr.publish(&to("hva.h1"), expires, b"late".to_vec()).await.unwrap();
                }
            }
            buried = next(&mut dead) => {
                let (what, death) = (text(&buried), buried.death.clone().expect("it says why"));
                assert_eq!((death.queue.as_str(), buried.user.as_deref()), ("job.hva.h1", Some(DCMGR)));
                buried.ack();
                match what.as_str() {
                    "late" => assert_eq!(death.reason, "expired"),
                    _ => break (what, death.reason),
                }
            }
        }
    };
    assert_eq!(buried, ("poison".to_owned(), Death::DELIVERED_TOO_OFTEN.to_owned()));
    assert_eq!(deliveries, DELIVERY_LIMIT + 1);
}
