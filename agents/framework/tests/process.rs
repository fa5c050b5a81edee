//! The smallest agent as a real process on a real broker: joins, works, stops, dies on request, costs little.

mod support;

use arame_framework::config::Broker;
use arame_framework::testkit::{AGENTS, agent};
use arame_schema::jobs::report::{JobResult, Unwelcome};
use arame_schema::jobs::{Job, control};
use arame_schema::model::Fact;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use support::dcmgr::{Dcmgr, observe};
use support::{Kit, LIMIT};
use tokio::process::{Child, Command};
use uuid::Uuid;

const AGENT: &str = "sta.s1";

/// Promise of the framework's share of an idle agent's memory; a debug build stays below it too.
const IDLE_KIB_MAX: u64 = 15 * 1024;

/// Built beside the tests by the same command.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().join("examples/ten_lines")
}

fn write_config(dir: &Path, broker: &Broker) -> PathBuf {
    std::fs::write(dir.join("key"), "a key\n").unwrap();
    let text = format!(
        "agent = {AGENT:?}\nkey_file = {:?}\nstate_dir = {:?}\n[broker]\nhost = {:?}\nport = {}\nvhost = {:?}\n\
         user = {:?}\npassword_file = {:?}\n",
        dir.join("key"),
        dir.join("state"),
        broker.host,
        broker.port,
        broker.vhost,
        broker.user,
        broker.password_file,
    );
    let path = dir.join("agent.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn start(config: &Path, crash: Option<&str>) -> Child {
    let mut command = Command::new(program());
    command.arg(config).stderr(Stdio::piped()).kill_on_drop(true);
    if let Some(crash) = crash {
        command.env("ARAME_CRASH", crash);
    }
    command.spawn().expect("the example was built")
}

async fn exit_code(child: &mut Child) -> Option<i32> {
    tokio::time::timeout(LIMIT, child.wait()).await.expect("it ends").unwrap().code()
}

fn terminate(child: &Child) {
    let pid = child.id().expect("it runs").to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
}

/// A field of `/proc/<pid>/status`, in KiB.
fn status_kib(child: &Child, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", child.id().unwrap())).unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_joins_works_crashes_where_told_and_stops_when_asked() {
    let Some(kit) = Kit::rabbit() else { return };
    let Kit::Rabbit(realm) = &kit else { return };
    assert!(AGENTS.contains(&agent(AGENT).as_str()));
    let mut dcmgr = Dcmgr::new(&kit, AGENT).await;
    let dir = tempfile::tempdir().unwrap();
    let config = write_config(dir.path(), &realm.broker(AGENT));

    let mut doomed = start(&config, Some("before_answer:sta.volume.observe"));
    dcmgr.welcome().await;
    dcmgr.order(&observe("x"), "vol-a", 1).await;
    assert_eq!(exit_code(&mut doomed).await, Some(137));
    assert!(dcmgr.no_outcome(), "it died before its answer");

    let mut child = start(&config, None);
    dcmgr.welcome().await;
    let job: Job = observe("x");
    let id = dcmgr.order(&job, "vol-a", 1).await;
    let outcome = dcmgr.outcome().await;
    assert_eq!((outcome.job, outcome.result, outcome.facts[0].value), (id, JobResult::Done, Fact::No));
    let (resident, own) = (status_kib(&child, "VmRSS"), status_kib(&child, "RssAnon"));
    println!("an idle agent: {resident} KiB resident, {own} KiB its own");
    assert!(resident <= IDLE_KIB_MAX, "{resident} KiB");
    terminate(&child);
    assert_eq!(exit_code(&mut child).await, Some(0));

    let mut unknown = start(&config, None);
    let hello = dcmgr.hello().await;
    let refusal = Unwelcome { nonce: hello.nonce, reason: "the key is unknown".into() };
    dcmgr.control(control::UNWELCOME, Uuid::now_v7(), &refusal).await;
    let mut told = unknown.stderr.take().unwrap();
    assert_eq!(exit_code(&mut unknown).await, Some(1));
    let mut text = String::new();
    let reading = tokio::io::AsyncReadExt::read_to_string(&mut told, &mut text);
    tokio::time::timeout(Duration::from_secs(5), reading).await.unwrap().unwrap();
    assert!(text.contains("Error: dcmgr refused sta.s1: the key is unknown"), "{text}");
}
