//! Processes that are killed: in the middle of writing, and at every named point of both jobs.
//!
//! The child is this test binary itself, asked for the ignored test [`child`] with its part in the environment.

use crate::kit::{Desk, fact, id, sim_config, snapshot};
use arame_framework::agent::Agent;
use arame_nsa::agent::NsaAgent;
use arame_nsa::faults::{Effect, Fault, Point};
use arame_nsa::store::Store;
use arame_schema::jobs::nsa::NetworkSnapshot;
use arame_schema::model::Fact;
use rand::Rng;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const DIR: &str = "NSA_TEST_DIR";
const PART: &str = "NSA_TEST_PART";

fn spawn(part: &str, dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crashes::child", "--ignored", "--nocapture"]);
    command.env(DIR, dir).env(PART, part).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test]
#[ignore = "only ever run as the child of the others"]
async fn child() {
    let Ok(part) = std::env::var(PART) else { return };
    let dir = std::env::var(DIR).unwrap();
    let mut config = sim_config(Path::new(&dir));
    if let Some(text) = part.strip_prefix("crash ") {
        let at: Point = serde_json::from_str(text).unwrap();
        config.sim.faults = vec![Fault { at, effect: Effect::Crash, times: 1 }];
    }
    let agent = NsaAgent::start(&config).unwrap();
    let desk = Desk::join(&agent, 1).await;
    if part == "churn" {
        let mut version = agent.version(&id("nw-one")).unwrap_or(0);
        loop {
            version += 1;
            assert_eq!(fact(&desk.apply(&agent, &whole(version), version).await), (Fact::Yes, version));
            println!("applied={version}");
        }
    }
    let deletes = part.contains("delete");
    if deletes {
        desk.delete(&agent, "nw-one", 6).await.unwrap();
    } else {
        desk.apply(&agent, &snapshot("nw-one", 101), 5).await.unwrap();
    }
}

/// Big enough that a write takes a while; every part of it tells its version.
fn whole(version: u64) -> NetworkSnapshot {
    let mut whole = snapshot("nw-one", 101);
    whole.subnet = "10.0.0.0/16".parse().unwrap();
    whole.domain = format!("v{version}.example");
    let host = whole.hosts[0].clone();
    whole.hosts = (0..2000u32)
        .map(|n| {
            let mut host = host.clone();
            (host.ipv4, host.hostname) = ((0x0a00_0100 + n).into(), format!("h{n}-{version}"));
            host.vif = format!("vif-{n}").parse().unwrap();
            host.mac.0[2..].copy_from_slice(&n.to_be_bytes());
            host
        })
        .collect();
    whole
}

#[test]
fn a_process_killed_while_it_writes_leaves_the_old_snapshot_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = rand::rng();
    let (mut killed_midway, mut rounds) = (0, 0);
    // On a busy machine most kills meet something else than the write.
    while rounds < 25 || (killed_midway == 0 && rounds < 150) {
        let mut child = spawn("churn", dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = (&mut lines).map_while(Result::ok).filter_map(|line| {
            let version: u64 = line.split_once("applied=")?.1.parse().ok()?;
            Some(version)
        });
        let mut last = acknowledged.take(rng.random_range(1..4)).last().expect("the child applies");
        std::thread::sleep(Duration::from_micros(rng.random_range(0..90_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let late = lines.map_while(Result::ok).filter_map(|line| line.split_once("applied=")?.1.parse().ok());
        last = late.last().unwrap_or(last);
        let halves = std::fs::read_dir(dir.path().join("data")).unwrap().flatten();
        killed_midway += u32::from(halves.into_iter().any(|e| e.path().extension().is_some_and(|e| e == "tmp")));
        let loaded = Store::open(&dir.path().join("data")).unwrap().load().unwrap();
        let [found] = loaded.as_slice() else { panic!("one network was expected, not {}", loaded.len()) };
        let version = found.served.version;
        assert!(version == last || version == last + 1, "{last} was acknowledged and {version} found");
        assert_eq!(found.served.to_snapshot(), whole(version));
        rounds += 1;
    }
    println!("{rounds} kills, {killed_midway} of them with a file half written");
    assert!(killed_midway > 0, "no kill met a write: the test said nothing");
}

#[tokio::test]
async fn killed_at_any_point_and_run_again_an_apply_ends_the_same() {
    for point in [Point::ApplyBefore, Point::ApplyWritten, Point::LinkBefore, Point::LinkAfter, Point::ApplyAfter] {
        let dir = tempfile::tempdir().unwrap();
        let code = spawn(&format!("crash {}", serde_json::to_string(&point).unwrap()), dir.path()).wait().unwrap();
        assert_eq!(code.code(), Some(70), "the control: the process died at {point:?}");
        let agent = NsaAgent::start(&sim_config(dir.path())).unwrap();
        let desk = Desk::join(&agent, 2).await;
        assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 5).await), (Fact::Yes, 5), "{point:?}");
        let listing = agent.list(desk.standing.observe()).await;
        let kinds: Vec<_> = listing.things.iter().map(|thing| thing.kind.as_str()).collect();
        assert_eq!(kinds, ["network", "port"], "{point:?}");
    }
}

#[tokio::test]
async fn killed_at_any_point_and_run_again_a_delete_ends_the_same() {
    for point in [Point::DeleteBefore, Point::DeleteStopped, Point::DeleteAfter] {
        let dir = tempfile::tempdir().unwrap();
        let agent = NsaAgent::start(&sim_config(dir.path())).unwrap();
        let desk = Desk::join(&agent, 1).await;
        assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 5).await), (Fact::Yes, 5));
        drop(agent);
        let code = spawn(&format!("crash {}", serde_json::to_string(&point).unwrap()), dir.path()).wait().unwrap();
        assert_eq!(code.code(), Some(70), "the control: the process died at {point:?}");
        let agent = NsaAgent::start(&sim_config(dir.path())).unwrap();
        let desk = Desk::join(&agent, 3).await;
        assert_eq!(fact(&desk.delete(&agent, "nw-one", 6).await).0, Fact::No, "{point:?}");
        assert_eq!(agent.list(desk.standing.observe()).await.things, [], "{point:?}");
        drop(agent);
        let agent = NsaAgent::start(&sim_config(dir.path())).unwrap();
        assert_eq!(agent.version(&id("nw-one")), None, "{point:?}: it does not come back");
    }
}
