//! The runtime on either bus: an agent's life with reconnects, and two processes under one id.

mod support;

use arame_framework::runtime;
use arame_framework::testkit::eventually;
use arame_schema::jobs::report::JobResult;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::dcmgr::{Dcmgr, create};
use support::scripted::{Scripted, common, no_broker};
use support::{Kit, LIMIT};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const AGENT: &str = "sta.s1";

struct Process {
    agent: Arc<Scripted>,
    stop: CancellationToken,
    end: JoinHandle<anyhow::Result<()>>,
}

async fn start(kit: &Kit, dir: &Path) -> Process {
    let (agent, stop) = (Arc::new(Scripted::default()), CancellationToken::new());
    let bus = kit.bus_soon(AGENT).await;
    let end = tokio::spawn(runtime::run(common(dir, AGENT, no_broker()), bus, agent.clone(), stop.clone()));
    Process { agent, stop, end }
}

/// Welcomes every hello under a new incarnation until the process has joined under the last one given.
async fn welcome_until_joined(dcmgr: &mut Dcmgr, process: &Process) {
    let end = tokio::time::Instant::now() + LIMIT;
    loop {
        dcmgr.welcome().await;
        let line = format!("joined {}", dcmgr.incarnation);
        let joined = eventually(&line, LIMIT, || process.agent.seen(&line) == 1);
        if tokio::time::timeout(Duration::from_secs(3), joined).await.is_ok() {
            return;
        }
        assert!(tokio::time::Instant::now() < end, "never joined");
    }
}

async fn an_agent_outlives_the_connection(kit: Kit) {
    let mut dcmgr = Dcmgr::new(&kit, AGENT).await;
    let dir = tempfile::tempdir().unwrap();
    let process = start(&kit, dir.path()).await;
    welcome_until_joined(&mut dcmgr, &process).await;
    for round in 0..3 {
        let gate = dcmgr.order(&create("gate"), "vol-a", round).await;
        let started = round as usize + 1;
        eventually("at work", LIMIT, || process.agent.seen("started gate") == started).await;
        kit.cut();
        process.agent.gate.add_permits(1);
        let before = dcmgr.incarnation;
        welcome_until_joined(&mut dcmgr, &process).await;
        let outcome = dcmgr.outcome().await;
        assert_eq!((outcome.job, outcome.result, outcome.incarnation), (gate, JobResult::Done, before));
        support::up(&dcmgr.bus).await;
        let next = dcmgr.order(&create("ok"), "vol-a", round).await;
        assert_eq!(dcmgr.outcome().await.job, next);
    }
    process.stop.cancel();
    tokio::time::timeout(LIMIT, process.end).await.expect("it stops").unwrap().unwrap();
}

async fn of_two_processes_with_one_id_the_older_goes(kit: Kit) {
    let mut dcmgr = Dcmgr::new(&kit, AGENT).await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let older = start(&kit, one.path()).await;
    welcome_until_joined(&mut dcmgr, &older).await;
    let newer = start(&kit, two.path()).await;
    // The older still holds the queue: it reads the welcome that is not its own, and goes.
    welcome_until_joined(&mut dcmgr, &newer).await;
    let error = tokio::time::timeout(LIMIT, older.end).await.expect("it ends").unwrap().unwrap_err().to_string();
    assert!(error.contains("another process joined"), "{error}");
    let job = dcmgr.order(&create("ok"), "vol-a", 1).await;
    assert_eq!(dcmgr.outcome().await.job, job);
    assert_eq!(newer.agent.seen("started ok"), 1);
    newer.stop.cancel();
    newer.end.await.unwrap().unwrap();
}

macro_rules! on_both {
    ($($story:ident),* $(,)?) => {
        mod on_memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    if let Some(kit) = super::Kit::memory() {
                        super::$story(kit).await;
                    }
                }
            )*
        }

        mod on_rabbitmq {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $story() {
                    if let Some(kit) = super::Kit::rabbit() {
                        super::$story(kit).await;
                    }
                }
            )*
        }
    };
}

on_both!(an_agent_outlives_the_connection, of_two_processes_with_one_id_the_older_goes);
