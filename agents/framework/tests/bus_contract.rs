//! The contract of the bus, told to both implementations: RabbitMQ (a private server) and memory.

mod support;

use arame_framework::bus::{Address, Bus, Durability, PublishError, Source};
use arame_framework::testkit::{DCMGR, agent};
use arame_schema::jobs::exchange;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use support::{Kit, LIMIT, next, text, texts, up_again};

const FOREVER: Durability = Durability::Persistent { expires: None };

async fn send(bus: &Arc<dyn Bus>, to: &Address, body: &str) -> Result<(), PublishError> {
    bus.publish(to, FOREVER, body.as_bytes().to_vec()).await
}

fn job_queue(name: &str) -> (Address, Source) {
    (Address::Agent(agent(name)), Source::AgentJobs(agent(name)))
}

async fn a_message_is_confirmed_and_arrives_with_its_publisher(kit: Kit) {
    let (dcmgr, host) = (kit.bus(DCMGR).await, kit.bus("hva.h1").await);
    let (to, from) = job_queue("hva.h1");
    let mut jobs = host.subscribe(from, 10).await;
    let mut outcomes = dcmgr.subscribe(Source::Exchange(exchange::OUTCOME), 10).await;
    eventually_sent(&dcmgr, &to, "a job").await;
    send(&host, &Address::Exchange(exchange::OUTCOME), "an outcome").await.unwrap();
    let job = next(&mut jobs).await;
    assert_eq!((text(&job).as_str(), job.user.as_deref(), job.redelivered), ("a job", Some(DCMGR), false));
    let outcome = next(&mut outcomes).await;
    assert_eq!((text(&outcome).as_str(), outcome.user.as_deref()), ("an outcome", Some("hva.h1")));
}

/// The memory bus makes the queue at the subscription, RabbitMQ a little earlier: both soon.
async fn eventually_sent(bus: &Arc<dyn Bus>, to: &Address, body: &str) {
    let end = tokio::time::Instant::now() + LIMIT;
    while let Err(error) = send(bus, to, body).await {
        assert!(tokio::time::Instant::now() < end, "never sent: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_message_for_a_queue_nobody_declared_is_unroutable(kit: Kit) {
    let dcmgr = kit.bus(DCMGR).await;
    let (to, from) = job_queue("sta.s1");
    assert_eq!(send(&dcmgr, &to, "x").await, Err(PublishError::Unroutable("job.sta.s1".into())));
    let storage = kit.bus("sta.s1").await;
    let mut jobs = storage.subscribe(from, 1).await;
    eventually_sent(&dcmgr, &to, "y").await;
    assert_eq!(texts(&mut jobs, 1).await, ["y"]);
}

async fn a_job_queue_stays_when_its_agent_goes(kit: Kit) {
    let dcmgr = kit.bus(DCMGR).await;
    let (to, from) = job_queue("hva.h1");
    let host = kit.bus("hva.h1").await;
    drop(host.subscribe(from.clone(), 1).await);
    host.close().await;
    send(&dcmgr, &to, "waits").await.unwrap();
    let host = kit.bus("hva.h1").await;
    assert_eq!(texts(&mut host.subscribe(from, 1).await, 1).await, ["waits"]);
}

async fn what_was_not_acknowledged_comes_again_after_a_reconnect(kit: Kit) {
    let (dcmgr, host) = (kit.bus(DCMGR).await, kit.bus("hva.h1").await);
    let (to, from) = job_queue("hva.h1");
    let mut jobs = host.subscribe(from, 10).await;
    eventually_sent(&dcmgr, &to, "acknowledged").await;
    send(&dcmgr, &to, "not").await.unwrap();
    assert_eq!(texts(&mut jobs, 1).await, ["acknowledged"]);
    let held = next(&mut jobs).await;
    // The ack is sent by a task of the bus: without this the cut might come first.
    settled(&dcmgr, &host).await;
    kit.cut();
    up_again(&host, 1).await;
    let again = next(&mut jobs).await;
    assert_eq!((text(&again).as_str(), again.redelivered), ("not", true));
    // By the old connection: nothing happens.
    held.ack();
    again.ack();
    up_again(&dcmgr, 1).await;
    send(&dcmgr, &to, "after").await.unwrap();
    assert_eq!(texts(&mut jobs, 1).await, ["after"]);
}

/// Everything the host sent before, acks included, has reached the broker: a message of its own came back.
async fn settled(dcmgr: &Arc<dyn Bus>, host: &Arc<dyn Bus>) {
    let mut outcomes = dcmgr.subscribe(Source::Exchange(exchange::OUTCOME), 1).await;
    send(host, &Address::Exchange(exchange::OUTCOME), "mark").await.unwrap();
    assert_eq!(texts(&mut outcomes, 1).await, ["mark"]);
}

async fn no_more_than_the_prefetch_is_open_at_a_time(kit: Kit) {
    let (dcmgr, host) = (kit.bus(DCMGR).await, kit.bus("hva.h1").await);
    let (to, from) = job_queue("hva.h1");
    let mut jobs = host.subscribe(from, 2).await;
    eventually_sent(&dcmgr, &to, "1").await;
    for body in ["2", "3", "4"] {
        send(&dcmgr, &to, body).await.unwrap();
    }
    let (first, second) = (next(&mut jobs).await, next(&mut jobs).await);
    settled(&dcmgr, &host).await;
    assert!(jobs.try_recv().is_err(), "a third came with two open");
    first.ack();
    // The positive control: an ack makes room for exactly the next.
    assert_eq!(text(&next(&mut jobs).await), "3");
    drop(second);
}

async fn a_second_consumer_of_a_job_queue_waits_for_the_first(kit: Kit) {
    let dcmgr = kit.bus(DCMGR).await;
    let (to, from) = job_queue("hva.h1");
    let first = kit.bus("hva.h1").await;
    let mut first_jobs = first.subscribe(from.clone(), 10).await;
    eventually_sent(&dcmgr, &to, "1").await;
    assert_eq!(texts(&mut first_jobs, 1).await, ["1"]);
    let second = kit.bus("hva.h1").await;
    let mut second_jobs = second.subscribe(from, 10).await;
    send(&dcmgr, &to, "2").await.unwrap();
    assert_eq!(texts(&mut first_jobs, 1).await, ["2"]);
    assert!(second_jobs.try_recv().is_err());
    first.close().await;
    send(&dcmgr, &to, "3").await.unwrap();
    let mut taken = texts(&mut second_jobs, 1).await;
    if taken == ["2"] {
        // An acknowledgement that is on its way when its connection ends is lost, as with any broker: it comes once more.
        taken = texts(&mut second_jobs, 1).await;
    }
    assert_eq!(taken, ["3"]);
}

async fn shared_queues_share_and_fanouts_copy(kit: Kit) {
    let (one, two, host) = (kit.bus(DCMGR).await, kit.bus(DCMGR).await, kit.bus("hva.h1").await);
    let mut shared_one = one.subscribe(Source::Exchange(exchange::HEARTBEAT), 1).await;
    let mut shared_two = two.subscribe(Source::Exchange(exchange::HEARTBEAT), 1).await;
    let mut replies_one = one.subscribe(Source::Fanout(exchange::REPLY), 10).await;
    let mut replies_two = two.subscribe(Source::Fanout(exchange::REPLY), 10).await;
    for body in ["a", "b"] {
        send(&host, &Address::Exchange(exchange::HEARTBEAT), body).await.unwrap();
    }
    // With a prefetch of one, each must take one of the two for both to arrive unacknowledged.
    let (left, right) = (next(&mut shared_one).await, next(&mut shared_two).await);
    assert_eq!(BTreeSet::from([text(&left), text(&right)]), BTreeSet::from(["a".into(), "b".into()]));
    let reply = Address::Exchange(exchange::REPLY);
    let (mut seen_one, mut seen_two) = (false, false);
    // The two fanout queues come to be at their own times.
    let end = tokio::time::Instant::now() + LIMIT;
    while !(seen_one && seen_two) {
        assert!(tokio::time::Instant::now() < end, "one of two fanout queues got nothing");
        let _ = send(&host, &reply, "answer").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        seen_one |= replies_one.try_recv().is_ok();
        seen_two |= replies_two.try_recv().is_ok();
    }
}

async fn an_expired_message_is_not_delivered(kit: Kit) {
    let (dcmgr, host) = (kit.bus(DCMGR).await, kit.bus("hva.h1").await);
    let (to, from) = job_queue("hva.h1");
    drop(host.subscribe(from.clone(), 1).await);
    eventually_sent(&dcmgr, &to, "first").await;
    let brief = Duration::from_millis(50);
    dcmgr.publish(&to, Durability::Persistent { expires: Some(brief) }, b"late".to_vec()).await.unwrap();
    dcmgr.publish(&to, Durability::Transient { expires: LIMIT }, b"in time".to_vec()).await.unwrap();
    tokio::time::sleep(brief * 2).await;
    assert_eq!(texts(&mut host.subscribe(from, 10).await, 2).await, ["first", "in time"]);
}

async fn a_delivery_dropped_without_an_ack_comes_again(kit: Kit) {
    let (dcmgr, host) = (kit.bus(DCMGR).await, kit.bus("hva.h1").await);
    let (to, from) = job_queue("hva.h1");
    let mut jobs = host.subscribe(from, 1).await;
    eventually_sent(&dcmgr, &to, "again").await;
    drop(next(&mut jobs).await);
    let again = next(&mut jobs).await;
    assert_eq!((text(&again).as_str(), again.redelivered), ("again", true));
}

async fn a_closed_bus_publishes_nothing_and_ends_its_receivers(kit: Kit) {
    let (dcmgr, host) = (kit.bus(DCMGR).await, kit.bus("hva.h1").await);
    let (to, from) = job_queue("hva.h1");
    let mut jobs = host.subscribe(from, 1).await;
    eventually_sent(&dcmgr, &to, "1").await;
    assert_eq!(texts(&mut jobs, 1).await, ["1"]);
    host.close().await;
    assert!(tokio::time::timeout(LIMIT, jobs.recv()).await.expect("the receiver ends").is_none());
    let refused = send(&host, &Address::Exchange(exchange::OUTCOME), "x").await;
    assert_eq!(refused, Err(PublishError::Disconnected));
    assert!(!host.link().borrow().up);
}

async fn many_publishers_at_once_are_each_answered(kit: Kit) {
    let (dcmgr, host) = (kit.bus(DCMGR).await, kit.bus("hva.h1").await);
    let (to, from) = job_queue("hva.h1");
    let mut jobs = host.subscribe(from, 200).await;
    eventually_sent(&dcmgr, &to, "start").await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16 {
        let (dcmgr, to) = (dcmgr.clone(), to.clone());
        let nowhere = Address::Agent(agent("nsa.n1"));
        tasks.spawn(async move {
            for count in 0..50 {
                send(&dcmgr, &to, &format!("{task}.{count}")).await.unwrap();
                // Returned messages among confirmed ones: each publisher gets its own answer.
                assert!(matches!(send(&dcmgr, &nowhere, "x").await, Err(PublishError::Unroutable(_))));
            }
        });
    }
    let got: BTreeSet<String> = texts(&mut jobs, 801).await.into_iter().collect();
    tasks.join_all().await;
    assert_eq!(got.len(), 801);
}

macro_rules! contract {
    ($($story:ident),* $(,)?) => {
        mod on_memory {
            use super::support::Kit;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    if let Some(kit) = Kit::memory() {
                        super::$story(kit).await;
                    }
                }
            )*
        }

        mod on_rabbitmq {
            use super::support::Kit;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    if let Some(kit) = Kit::rabbit() {
                        super::$story(kit).await;
                    }
                }
            )*
        }
    };
}

contract!(
    a_message_is_confirmed_and_arrives_with_its_publisher,
    a_message_for_a_queue_nobody_declared_is_unroutable,
    a_job_queue_stays_when_its_agent_goes,
    what_was_not_acknowledged_comes_again_after_a_reconnect,
    no_more_than_the_prefetch_is_open_at_a_time,
    a_second_consumer_of_a_job_queue_waits_for_the_first,
    shared_queues_share_and_fanouts_copy,
    an_expired_message_is_not_delivered,
    a_delivery_dropped_without_an_ack_comes_again,
    a_closed_bus_publishes_nothing_and_ends_its_receivers,
    many_publishers_at_once_are_each_answered,
);
