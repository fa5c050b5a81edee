//! The smallest agent in the process of its test, on the bus in memory and on a real broker: how to test one's own.
//! `tests/process.rs` runs it as a process of its own.

#[path = "../examples/ten_lines.rs"]
#[allow(dead_code)] // the example's own main
mod example;
mod support;

use arame_framework::crash::{self, Action};
use arame_framework::runtime;
use arame_framework::testkit::eventually;
use arame_schema::jobs::report::{BackendStatus, JobResult};
use arame_schema::model::Fact;
use example::TenLines;
use std::sync::{Arc, Mutex};
use support::dcmgr::{Dcmgr, observe};
use support::scripted::{common, no_broker};
use support::{Kit, LIMIT};
use tokio_util::sync::CancellationToken;

const AGENT: &str = "sta.s1";

/// Counts at each of the four points, instead of dying there.
fn watch_points() -> (Arc<Mutex<Vec<&'static str>>>, Vec<crash::Armed>) {
    let passed = Arc::new(Mutex::new(Vec::new()));
    let armed = crash::POINTS.map(|point| {
        let passed = passed.clone();
        let note = move |_: &str| passed.lock().unwrap().push(point);
        crash::arm(point, Some("sta.volume.observe"), 1, Action::Hook(Arc::new(note)))
    });
    (passed, armed.into())
}

/// What is armed is armed for the whole process.
static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What Prometheus sees.
async fn look(at: std::net::SocketAddr) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    told
}

async fn joins_works_reports_and_leaves(kit: Kit) {
    let _one = ONE.lock().await;
    let mut dcmgr = Dcmgr::new(&kit, AGENT).await;
    let dir = tempfile::tempdir().unwrap();
    let (bus, stop) = (kit.bus(AGENT).await, CancellationToken::new());
    let at = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut common = common(dir.path(), AGENT, no_broker());
    common.metrics.listen = Some(at);
    let running = tokio::spawn(runtime::run(common, bus, Arc::new(TenLines), stop.clone()));
    let hello = dcmgr.welcome().await;
    assert_eq!(hello.kinds, ["sta.volume.observe"]);
    // An agent that does not list says so, and nothing is concluded from its silence.
    let listing = dcmgr.inventory().await;
    assert!(matches!(listing.backends[0].status, BackendStatus::Unavailable { .. }), "{listing:?}");
    assert_eq!(dcmgr.heartbeat().await.degraded, None);

    let (passed, _armed) = watch_points();
    let job = dcmgr.order(&observe("x"), "vol-a", 7).await;
    let outcome = dcmgr.outcome().await;
    assert_eq!((outcome.job, outcome.result), (job, JobResult::Done));
    let fact = &outcome.facts[0];
    assert_eq!((fact.thing.as_str(), fact.value, fact.generation), ("vol-a", Fact::No, 7));
    let all = || *passed.lock().unwrap() == crash::POINTS;
    eventually("the job passed all four points, in order", LIMIT, all).await;

    let told = look(at).await;
    for line in [
        "arame_agent_linked{agent=\"sta.s1\"} 1",
        "arame_agent_jobs_open{agent=\"sta.s1\"} 0",
        "arame_agent_outcomes_total{agent=\"sta.s1\",kind=\"sta.volume.observe\",result=\"done\"} 1",
    ] {
        assert!(told.lines().any(|said| said == line), "{line} is not in\n{told}");
    }
    assert!(!told.contains("arame_agent_incarnation{agent=\"sta.s1\"} 0"), "{told}");

    stop.cancel();
    tokio::time::timeout(LIMIT, running).await.expect("it leaves").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_smallest_agent_works_on_the_bus_in_memory() {
    let Some(kit) = Kit::memory() else { return };
    joins_works_reports_and_leaves(kit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_smallest_agent_works_on_a_real_broker() {
    let Some(kit) = Kit::rabbit() else { return };
    joins_works_reports_and_leaves(kit).await;
}
