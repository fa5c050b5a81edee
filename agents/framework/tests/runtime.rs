//! The runtime's promises, on the memory bus with a paused clock: lanes, supersession, incarnations, budgets, epochs,
//! tombstones, panics, drain, outages.

mod support;

use arame_framework::bus::memory::MemoryBroker;
use arame_framework::crash;
use arame_framework::runtime;
use arame_framework::testkit::{DCMGR, eventually};
use arame_schema::jobs::control;
use arame_schema::jobs::report::{Ask, JobResult, Retry, Unwelcome};
use arame_schema::model::Fact;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use support::dcmgr::{Dcmgr, create, delete, observe};
use support::scripted::{Scripted, common, no_broker};
use support::{Kit, LIMIT};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const AGENT: &str = "sta.s1";

struct Stage {
    dcmgr: Dcmgr,
    broker: MemoryBroker,
    agent: Arc<Scripted>,
    stop: CancellationToken,
    process: JoinHandle<anyhow::Result<()>>,
    dir: tempfile::TempDir,
}

fn process(
    broker: &MemoryBroker,
    dir: &Path,
    agent: &Arc<Scripted>,
    stop: &CancellationToken,
) -> JoinHandle<anyhow::Result<()>> {
    let common = common(dir, AGENT, no_broker());
    tokio::spawn(runtime::run(common, broker.bus(AGENT), agent.clone(), stop.clone()))
}

impl Stage {
    async fn new() -> Self {
        let broker = MemoryBroker::new();
        let dcmgr = Dcmgr::new(&Kit::Memory(broker.clone()), AGENT).await;
        let (dir, agent, stop) =
            (tempfile::tempdir().unwrap(), Arc::new(Scripted::default()), CancellationToken::new());
        let process = process(&broker, dir.path(), &agent, &stop);
        Self { dcmgr, broker, agent, stop, process, dir }
    }

    async fn joined() -> Self {
        let mut stage = Self::new().await;
        stage.dcmgr.welcome().await;
        eventually("joined", LIMIT, || stage.agent.seen("joined 1") == 1).await;
        stage
    }

    async fn started(&self, key: &str) {
        eventually(key, LIMIT, || self.agent.seen(&format!("started {key}")) > 0).await;
    }

    async fn ended(self) -> anyhow::Result<()> {
        tokio::time::timeout(LIMIT, self.process).await.expect("the process ends").expect("no panic")
    }

    /// The process goes (in good order) and a new one comes on the same state directory.
    async fn restarted(mut self) -> Self {
        self.stop.cancel();
        self.process.await.unwrap().unwrap();
        self.stop = CancellationToken::new();
        self.agent = Arc::new(Scripted::default());
        self.process = process(&self.broker, self.dir.path(), &self.agent, &self.stop);
        self.dcmgr.welcome().await;
        let line = format!("joined {}", self.dcmgr.incarnation);
        eventually("joined again", LIMIT, || self.agent.seen(&line) == 1).await;
        self
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_joins_reports_and_leaves() {
    let mut stage = Stage::new().await;
    let hello = stage.dcmgr.welcome().await;
    assert_eq!((hello.agent.as_str(), hello.key.expose(), hello.highest_epoch), (AGENT, "a key", 0));
    assert_eq!(hello.kinds, ["sta.volume.create", "sta.volume.delete", "sta.volume.observe"]);
    let (beat, inventory) = (stage.dcmgr.heartbeat().await, stage.dcmgr.inventory().await);
    assert_eq!((beat.incarnation, beat.degraded, beat.open_jobs), (1, None, 0));
    assert_eq!((inventory.began.incarnation, inventory.asked, inventory.backends.len()), (1, None, 1));
    let job = stage.dcmgr.order(&create("ok"), "vol-a", 3).await;
    let outcome = stage.dcmgr.outcome().await;
    assert_eq!((outcome.job, &outcome.result, outcome.incarnation), (job, &JobResult::Done, 1));
    assert!(outcome.traceparent.is_some());
    let fact = &outcome.facts[0];
    assert_eq!((fact.thing.as_str(), fact.value, fact.generation), ("vol-a", Fact::Yes, 3));
    assert!(fact.observed > inventory.began);
    stage.stop.cancel();
    let agent = stage.agent.clone();
    stage.ended().await.unwrap();
    assert_eq!(agent.seen("leaving"), 1);
}

#[tokio::test(start_paused = true)]
async fn hello_is_repeated_until_the_welcome() {
    let mut stage = Stage::new().await;
    let (first, second) = (stage.dcmgr.hello().await, stage.dcmgr.hello().await);
    assert_eq!(first.nonce, second.nonce);
    stage.dcmgr.incarnation = 1;
    stage.dcmgr.welcome_nonce(first.nonce).await;
    // The positive control: it was welcomed, so heartbeats come; then no hello for many intervals.
    stage.dcmgr.heartbeat().await;
    let hello = tokio::time::timeout(Duration::from_secs(20), stage.dcmgr.hello()).await;
    assert!(hello.is_err(), "a hello came after the welcome");
}

#[tokio::test(start_paused = true)]
async fn an_unwelcome_agent_exits_with_the_sentence() {
    let mut stage = Stage::new().await;
    let hello = stage.dcmgr.hello().await;
    let other = Unwelcome { nonce: Uuid::new_v4(), reason: "not for this process".into() };
    stage.dcmgr.control(control::UNWELCOME, Uuid::now_v7(), &other).await;
    let ours = Unwelcome { nonce: hello.nonce, reason: "the key is unknown".into() };
    stage.dcmgr.control(control::UNWELCOME, Uuid::now_v7(), &ours).await;
    let error = stage.ended().await.unwrap_err().to_string();
    assert!(error.contains("the key is unknown"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_older_process_ends_when_another_joins_under_its_id() {
    let mut stage = Stage::joined().await;
    stage.dcmgr.incarnation = 0;
    stage.dcmgr.welcome_nonce(Uuid::new_v4()).await;
    stage.dcmgr.incarnation = 1;
    stage.dcmgr.order(&create("ok"), "vol-a", 1).await;
    // The control: a stale welcome of a process before us did nothing.
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Done);
    stage.dcmgr.incarnation = 2;
    stage.dcmgr.welcome_nonce(Uuid::new_v4()).await;
    let error = stage.ended().await.unwrap_err().to_string();
    assert!(error.contains("another process joined"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn things_do_not_wait_for_each_other_and_one_thing_does() {
    let mut stage = Stage::joined().await;
    let slow = stage.dcmgr.order(&create("gate"), "vol-a", 1).await;
    stage.started("gate").await;
    let other = stage.dcmgr.order(&create("ok"), "vol-b", 1).await;
    assert_eq!(stage.dcmgr.outcome().await.job, other);
    let same = stage.dcmgr.order(&observe("second"), "vol-a", 1).await;
    let marker = stage.dcmgr.order(&create("marker"), "vol-c", 1).await;
    assert_eq!(stage.dcmgr.outcome().await.job, marker);
    assert_eq!(stage.agent.seen("started second"), 0, "two jobs of one thing ran at a time");
    stage.agent.gate.add_permits(1);
    assert_eq!(stage.dcmgr.outcome().await.job, slow);
    assert_eq!(stage.dcmgr.outcome().await.job, same);
}

#[tokio::test(start_paused = true)]
async fn a_newer_job_cancels_the_running_and_replaces_the_waiting() {
    let mut stage = Stage::joined().await;
    let running = stage.dcmgr.order(&create("gate"), "vol-a", 1).await;
    stage.started("gate").await;
    let waiting = stage.dcmgr.order(&create("never"), "vol-a", 2).await;
    let newest = stage.dcmgr.order(&create("newest"), "vol-a", 3).await;
    let replaced = stage.dcmgr.outcome().await;
    assert_eq!((replaced.job, replaced.result), (waiting, JobResult::Overtaken));
    stage.agent.gate.add_permits(1);
    assert_eq!(stage.dcmgr.outcome().await.job, running);
    assert_eq!(stage.dcmgr.outcome().await.job, newest);
    assert_eq!(stage.agent.seen("started never"), 0);
    let cancelled = stage.dcmgr.order(&create("wait"), "vol-b", 1).await;
    stage.started("wait").await;
    stage.dcmgr.order(&create("ok"), "vol-b", 2).await;
    let overtaken = stage.dcmgr.outcome().await;
    assert_eq!((overtaken.job, overtaken.result), (cancelled, JobResult::Overtaken));
}

#[tokio::test(start_paused = true)]
async fn an_older_job_does_not_disturb_the_newer_at_work() {
    let mut stage = Stage::joined().await;
    let newer = stage.dcmgr.order(&create("gate"), "vol-a", 5).await;
    stage.started("gate").await;
    let older = stage.dcmgr.order(&create("older"), "vol-a", 4).await;
    let refused = stage.dcmgr.outcome().await;
    assert_eq!((refused.job, refused.result), (older, JobResult::Refused { found_generation: 5 }));
    stage.agent.gate.add_permits(1);
    let done = stage.dcmgr.outcome().await;
    assert_eq!((done.job, done.result, stage.agent.seen("started older")), (newer, JobResult::Done, 0));
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_of_a_job_at_work_changes_nothing() {
    let mut stage = Stage::joined().await;
    let envelope = stage.dcmgr.job(&create("gate"), "vol-a", 1);
    for _ in 0..3 {
        stage.dcmgr.send(&envelope).await.unwrap();
    }
    stage.started("gate").await;
    stage.dcmgr.order(&create("marker"), "vol-b", 1).await;
    stage.dcmgr.outcome().await;
    stage.agent.gate.add_permits(1);
    assert_eq!(stage.dcmgr.outcome().await.job, envelope.id);
    assert_eq!(stage.agent.seen("started gate"), 1);
    // Once it has ended, the same message is work again: handlers are idempotent.
    stage.agent.gate.add_permits(1);
    stage.dcmgr.send(&envelope).await.unwrap();
    assert_eq!(stage.dcmgr.outcome().await.job, envelope.id);
}

#[tokio::test(start_paused = true)]
async fn messages_for_others_are_void() {
    let mut stage = Stage::joined().await;
    let mut other_agent = stage.dcmgr.job(&create("other agent"), "vol-a", 1);
    other_agent.agent = "sta.s2".parse().unwrap();
    let mut old_incarnation = stage.dcmgr.job(&create("old incarnation"), "vol-a", 1);
    old_incarnation.incarnation = 0;
    stage.dcmgr.send(&other_agent).await.unwrap();
    stage.dcmgr.send(&old_incarnation).await.unwrap();
    let ours = stage.dcmgr.order(&create("ours"), "vol-a", 1).await;
    assert_eq!(stage.dcmgr.outcome().await.job, ours);
    let log = stage.agent.log.lock().unwrap().clone();
    assert_eq!(log, ["joined 1", "started ours", "ended ours"]);
    assert_eq!(stage.broker.depth("job.sta.s1"), Some(0), "a void message is acknowledged");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_overtakes_its_welcome_is_done_after_it() {
    let mut stage = Stage::new().await;
    let hello = stage.dcmgr.hello().await;
    stage.dcmgr.incarnation = 4;
    let early = stage.dcmgr.order(&create("early"), "vol-a", 1).await;
    stage.dcmgr.incarnation = 3;
    stage.dcmgr.order(&create("stale"), "vol-a", 1).await;
    stage.dcmgr.incarnation = 4;
    stage.dcmgr.welcome_nonce(hello.nonce).await;
    assert_eq!(stage.dcmgr.outcome().await.job, early);
    assert_eq!(stage.agent.seen("started stale"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_understood_is_answered_unsupported() {
    let mut stage = Stage::joined().await;
    let cases = [
        stage.dcmgr.envelope("sta.volume.paint", "vol-a", 1, json!({ "colour": "red" })),
        stage.dcmgr.envelope("sta.volume.create", "vol-a", 1, json!({ "nothing": "fits" })),
        stage.dcmgr.envelope("nsa.network.delete", "nw-a", 1, json!({ "network": "nw-a" })),
        {
            let mut newer = stage.dcmgr.job(&create("ok"), "vol-a", 1);
            newer.v = 999;
            newer
        },
    ];
    for envelope in &cases {
        stage.dcmgr.send(envelope).await.unwrap();
        let outcome = stage.dcmgr.outcome().await;
        assert_eq!(outcome.job, envelope.id);
        assert!(matches!(outcome.result, JobResult::Unsupported { .. }), "{:?}", outcome.result);
    }
    let id = Uuid::now_v7();
    let torn = json!({ "id": id, "agent": AGENT, "kind": "sta.volume.create", "v": "not a number" });
    stage.dcmgr.send_raw(torn.to_string().into_bytes()).await.unwrap();
    assert_eq!(stage.dcmgr.outcome().await.job, id);
    stage.dcmgr.send_raw(b"\xff no json".to_vec()).await.unwrap();
    stage.dcmgr.order(&create("still alive"), "vol-a", 1).await;
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Done);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_answer() {
    let mut stage = Stage::joined().await;
    stage.dcmgr.order(&create("panic"), "vol-a", 1).await;
    let outcome = stage.dcmgr.outcome().await;
    let JobResult::Failed { code, message, retry } = outcome.result else { panic!("{:?}", outcome.result) };
    assert_eq!((code.as_str(), retry), ("agent_panic", Retry::Later));
    assert!(message.contains("as the test asked"), "{message}");
    stage.dcmgr.order(&create("ok"), "vol-a", 1).await;
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Done);
}

#[tokio::test(start_paused = true)]
async fn failures_and_refusals_of_the_agent_are_passed_on() {
    let mut stage = Stage::joined().await;
    stage.dcmgr.order(&create("fail"), "vol-a", 1).await;
    let failed = JobResult::Failed { code: "disk_full".into(), message: "no room".into(), retry: Retry::Elsewhere };
    assert_eq!(stage.dcmgr.outcome().await.result, failed);
    stage.dcmgr.order(&create("refuse"), "vol-a", 1).await;
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Refused { found_generation: 99 });
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_time_is_spent_in_the_lane_is_answered_and_not_run() {
    let mut stage = Stage::joined().await;
    stage.dcmgr.order(&create("gate"), "vol-a", 1).await;
    stage.started("gate").await;
    let mut brief = stage.dcmgr.job(&create("brief"), "vol-a", 1);
    brief.budget_ms = 2_000;
    stage.dcmgr.send(&brief).await.unwrap();
    let outcome = stage.dcmgr.outcome().await;
    assert_eq!(outcome.job, brief.id);
    assert!(matches!(&outcome.result, JobResult::Failed { code, .. } if code == "budget_spent"));
    assert!((2_000..2_500).contains(&outcome.waited_ms), "{}", outcome.waited_ms);
    assert_eq!(stage.agent.seen("started brief"), 0);
}

#[tokio::test(start_paused = true)]
async fn hung_handlers_are_counted_and_the_rest_goes_on() {
    let mut stage = Stage::joined().await;
    for thing in ["vol-a", "vol-b", "vol-c", "vol-d"] {
        let mut hang = stage.dcmgr.job(&create("hang"), thing, 1);
        hang.budget_ms = 1_000;
        stage.dcmgr.send(&hang).await.unwrap();
    }
    // Past the budget and the half minute after which a call counts as hung.
    tokio::time::sleep(Duration::from_secs(40)).await;
    for _ in 0..4 {
        let outcome = stage.dcmgr.outcome().await;
        assert!(matches!(&outcome.result, JobResult::Failed { code, .. } if code == "handler_hung"));
    }
    let mut beat = stage.dcmgr.heartbeat().await;
    while beat.hung_calls < 4 {
        beat = stage.dcmgr.heartbeat().await;
    }
    assert!(beat.degraded.is_some());
    stage.dcmgr.order(&create("ok"), "vol-e", 1).await;
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Done);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_job_does_not_raise_the_dead_even_after_a_restart() {
    let mut stage = Stage::joined().await;
    stage.dcmgr.order(&delete("bury"), "vol-a", 7).await;
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Done);
    for round in 0..2 {
        stage.dcmgr.order(&create("dead"), "vol-a", 7).await;
        assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Refused { found_generation: 7 }, "round {round}");
        // Looking and deleting again are allowed.
        stage.dcmgr.order(&observe("look"), "vol-a", 7).await;
        assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Done);
        stage.dcmgr.order(&delete("again"), "vol-a", 7).await;
        assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Done);
        if round == 0 {
            stage = stage.restarted().await;
        }
    }
    assert_eq!(stage.agent.seen("started dead"), 0);
    // The positive control: a newer wish passes.
    stage.dcmgr.order(&create("new life"), "vol-a", 8).await;
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Done);
}

#[tokio::test(start_paused = true)]
async fn a_failed_deletion_leaves_no_tombstone() {
    let mut stage = Stage::joined().await;
    stage.dcmgr.order(&delete("fail"), "vol-a", 7).await;
    stage.dcmgr.outcome().await;
    stage.dcmgr.order(&create("ok"), "vol-a", 7).await;
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Done);
}

/// What an agent sees gone counts for dcmgr, however the job ended (simulation, seed 1828).
#[tokio::test(start_paused = true)]
async fn a_deletion_that_failed_and_left_nothing_leaves_a_tombstone() {
    let mut stage = Stage::joined().await;
    stage.dcmgr.order(&delete("fail and be gone"), "vol-a", 7).await;
    assert!(matches!(stage.dcmgr.outcome().await.result, JobResult::Failed { .. }));
    stage.dcmgr.order(&create("dead"), "vol-a", 6).await;
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Refused { found_generation: 7 });
    stage.dcmgr.order(&create("new life"), "vol-a", 8).await;
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Done);
}

#[tokio::test(start_paused = true)]
async fn an_older_database_cannot_destroy_until_the_operator_confirms() {
    let mut stage = Stage::joined().await;
    stage.dcmgr.epoch = 5;
    stage.dcmgr.order(&create("ok"), "vol-a", 1).await;
    stage.dcmgr.outcome().await;
    stage = stage.restarted().await;
    stage.dcmgr.epoch = 4;
    stage.dcmgr.order(&delete("held"), "vol-a", 2).await;
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::HeldEpoch { highest_epoch: 5 });
    stage.dcmgr.order(&create("harmless"), "vol-b", 1).await;
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Done);
    stage.dcmgr.control(control::CONFIRM_EPOCH, Uuid::now_v7(), &Value::Null).await;
    stage.dcmgr.order(&delete("confirmed"), "vol-a", 2).await;
    assert_eq!(stage.dcmgr.outcome().await.result, JobResult::Done);
    assert_eq!((stage.agent.seen("started held"), stage.agent.seen("started confirmed")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn outcomes_wait_out_an_outage_and_jobs_go_on() {
    let mut stage = Stage::joined().await;
    let job = stage.dcmgr.order(&create("gate"), "vol-a", 1).await;
    stage.started("gate").await;
    stage.broker.disconnect(AGENT);
    stage.agent.gate.add_permits(1);
    eventually("the job ends without a broker", LIMIT, || stage.agent.seen("ended gate") == 1).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(stage.dcmgr.no_outcome());
    stage.broker.reconnect(AGENT);
    let outcome = stage.dcmgr.outcome().await;
    assert_eq!((outcome.job, outcome.result, outcome.incarnation), (job, JobResult::Done, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_says_hello_and_the_work_goes_on_under_the_new_incarnation() {
    let mut stage = Stage::joined().await;
    let job = stage.dcmgr.order(&create("gate"), "vol-a", 1).await;
    stage.started("gate").await;
    stage.broker.disconnect(AGENT);
    stage.broker.reconnect(AGENT);
    stage.dcmgr.welcome().await;
    eventually("joined again", LIMIT, || stage.agent.seen("joined 2") == 1).await;
    stage.agent.gate.add_permits(1);
    let outcome = stage.dcmgr.outcome().await;
    assert_eq!((outcome.job, outcome.incarnation), (job, 1), "the answer names the incarnation the job came with");
    assert_eq!(outcome.facts[0].observed.incarnation, 2, "a look after the new welcome is of the new incarnation");
    let new = stage.dcmgr.order(&create("new"), "vol-a", 1).await;
    assert_eq!(stage.dcmgr.outcome().await.job, new);
}

#[tokio::test(start_paused = true)]
async fn an_inventory_is_sent_when_asked_and_when_something_changed() {
    let mut stage = Stage::joined().await;
    stage.dcmgr.inventory().await;
    let question = Uuid::now_v7();
    stage.dcmgr.control(control::INVENTORY, question, &Value::Null).await;
    let asked = stage.dcmgr.inventory().await;
    assert_eq!(asked.asked, Some(question));
    let before = tokio::time::Instant::now();
    stage.agent.standing.lock().unwrap().as_ref().unwrap().survey_now();
    let surveyed = stage.dcmgr.inventory().await;
    assert!(surveyed.began > asked.began);
    assert!(before.elapsed() < Duration::from_secs(20), "it waited for the interval");
}

#[tokio::test(start_paused = true)]
async fn questions_are_answered_within_two_seconds() {
    let mut stage = Stage::joined().await;
    let ask = |question: &str| Ask { question: question.into(), arguments: Value::Null };
    let id = Uuid::now_v7();
    stage.dcmgr.control(control::ASK, id, &ask("known")).await;
    let reply = stage.dcmgr.reply().await;
    assert_eq!((reply.asked, reply.answer), (id, Ok(json!({ "answer": 42 }))));
    let before = tokio::time::Instant::now();
    stage.dcmgr.control(control::ASK, id, &ask("slow")).await;
    assert!(stage.dcmgr.reply().await.answer.is_err());
    assert!(before.elapsed() < Duration::from_millis(2_500));
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_at_most_once_a_second() {
    let mut stage = Stage::joined().await;
    stage.dcmgr.order(&create("progress"), "vol-a", 1).await;
    let (mut told, mut outcome) = (0, stage.dcmgr.any_outcome().await);
    while let JobResult::Progress { .. } = outcome.result {
        told += 1;
        outcome = stage.dcmgr.any_outcome().await;
    }
    assert_eq!(outcome.result, JobResult::Done);
    assert!((3..=7).contains(&told), "5 s of work told its progress {told} times");
}

#[tokio::test(start_paused = true)]
async fn a_stopping_agent_cancels_answers_and_leaves() {
    let mut stage = Stage::joined().await;
    let running = stage.dcmgr.order(&create("wait"), "vol-a", 1).await;
    stage.started("wait").await;
    stage.stop.cancel();
    let outcome = stage.dcmgr.outcome().await;
    assert_eq!((outcome.job, outcome.result), (running, JobResult::Overtaken));
    let agent = stage.agent.clone();
    stage.ended().await.unwrap();
    assert_eq!(agent.seen("leaving"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_agent_does_not_wait_for_ever() {
    let stage = Stage::joined().await;
    stage.dcmgr.order(&create("hang"), "vol-a", 1).await;
    stage.started("hang").await;
    let before = tokio::time::Instant::now();
    stage.stop.cancel();
    stage.ended().await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(25));
}

#[tokio::test(start_paused = true)]
async fn crash_points_stand_around_effect_and_answer() {
    let mut stage = Stage::joined().await;
    let passed = Arc::new(AtomicU32::new(0));
    let arms: Vec<_> = ["before_effect", "before_answer", "after_answer"]
        .into_iter()
        .map(|point| {
            let passed = passed.clone();
            let hook = crash::Action::Hook(Arc::new(move |kind: &str| {
                assert_eq!(kind, "sta.volume.observe");
                passed.fetch_add(1, Ordering::SeqCst);
            }));
            crash::arm(point, Some("sta.volume.observe"), 1, hook)
        })
        .collect();
    stage.dcmgr.order(&observe("ok"), "vol-a", 1).await;
    stage.dcmgr.outcome().await;
    eventually("all three passed", LIMIT, || passed.load(Ordering::SeqCst) == 3).await;
    drop(arms);
}

#[tokio::test(start_paused = true)]
async fn every_job_is_answered_on_a_bad_bus() {
    use arame_framework::bus::memory::Faults;
    let mut stage = Stage::joined().await;
    let faults =
        Faults { duplicate: 0.2, delay: 0.3, delay_max: Duration::from_secs(3), reorder: 0.3, ..Faults::default() };
    stage.broker.set_faults(7, faults);
    let mut wanted = std::collections::BTreeSet::new();
    for number in 0..50 {
        let thing = format!("vol-{number}");
        wanted.insert(stage.dcmgr.order(&create("ok"), &thing, 1).await);
        if number % 10 == 9 {
            stage.broker.disconnect(AGENT);
            stage.broker.reconnect(AGENT);
            stage.broker.disconnect(DCMGR);
            stage.broker.reconnect(DCMGR);
        }
    }
    while !wanted.is_empty() {
        wanted.remove(&stage.dcmgr.outcome().await.job);
    }
    let stats = stage.broker.stats();
    println!("{stats:?}");
    assert!(stats.duplicated > 0 && stats.delayed > 0 && stats.reordered > 0 && stats.disconnects == 10);
}
