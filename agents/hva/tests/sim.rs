//! The simulator's own promises: its world outlives its process, faults come where they were asked for, it is cheap.
#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

#[path = "support/fixtures.rs"]
mod fixtures;

use arame_framework::agent::{Agent, Stopped};
use arame_hva::driver::sim::{Action, CRASH_STATUS, FailsAs, Fault, Point, Sim};
use arame_hva::{Hva, config};
use arame_schema::jobs::Job;
use arame_schema::jobs::hva::*;
use arame_schema::jobs::report::FactReport;
use arame_schema::model::{Fact, FactName};
use fixtures::*;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn hva_config() -> config::HvaConfig {
    let text = include_str!("../hva.example.toml").replace("driver = \"libvirt\"", "driver = \"sim\"");
    config::parse(Path::new("test"), &text).unwrap().hva
}

async fn host(sim: &config::SimConfig) -> (Arc<Hva>, Sim) {
    let sim = Sim::open(sim).unwrap();
    (Hva::with_sim(hva_config(), sim.clone()).await.unwrap(), sim)
}

fn kept_in(path: &Path) -> config::SimConfig {
    config::SimConfig { state_file: Some(path.to_owned()), ..Default::default() }
}

fn apply(spec: &InstanceSpec) -> Job {
    Job::ApplyInstance(Box::new(ApplyInstance { spec: spec.clone() }))
}

fn fault(kind: &str, point: Point, action: Action) -> Fault {
    Fault { kind: Some(kind.into()), thing: None, point, action, times: 1, fails_as: FailsAs::Simulated }
}

#[tokio::test]
async fn a_new_process_finds_the_old_ones_world() {
    let dir = tempfile::tempdir().unwrap();
    let config = kept_in(&dir.path().join("world.json"));
    let spec = spec("kept", 100, 5);
    let (hva, _) = host(&config).await;
    hva.handle(apply(&spec), work(&standing(), "i-kept", 3)).await.unwrap();
    drop(hva);
    let (hva, _) = host(&config).await;
    let observe = Job::ObserveInstance(ObserveInstance { instance: spec.instance.clone() });
    let facts = hva.handle(observe, work(&standing(), "i-kept", 0)).await.unwrap();
    assert_eq!(fact(&facts, "i-kept", FactName::Power), Some(Fact::Yes));
    let older = hva.handle(apply(&spec), work(&standing(), "i-kept", 2)).await;
    assert!(matches!(older, Err(Stopped::Refused { found_generation: 3, .. })), "{older:?}");
}

#[tokio::test]
async fn a_fault_happens_as_often_as_asked_and_says_what_is_there() {
    let (hva, sim) = host(&config::SimConfig::default()).await;
    let spec = spec("faulty", 100, 5);
    for (verb, domain) in [("ensure_disk", Fact::Yes), ("ensure_running", Fact::Yes)] {
        sim.inject(fault(verb, Point::BeforeEffect, Action::Fail));
        let failed = hva.handle(apply(&spec), work(&standing(), "i-faulty", 1)).await;
        let Err(Stopped::Failed { code, facts, .. }) = failed else { panic!("{failed:?}") };
        assert_eq!(code, "simulated");
        assert_eq!(fact(&facts, "i-faulty", FactName::Domain), Some(domain));
        assert_eq!(fact(&facts, "i-faulty", FactName::Power), Some(Fact::No));
    }
    hva.handle(apply(&spec), work(&standing(), "i-faulty", 1)).await.unwrap();
}

/// Every verb of a launch and of a delete, interrupted before and after its effect: the same job again ends in the
/// same place, and the delete leaves nothing.
#[tokio::test]
async fn interrupted_at_any_step_the_same_job_ends_in_the_same_place() {
    let launch = ["write_record", "ensure_disk", "ensure_ports", "ensure_defined", "ensure_running"];
    let delete = ["ensure_gone", "ensure_no_ports", "bury"];
    let mut histories = 0;
    for point in [Point::BeforeEffect, Point::AfterEffect] {
        for verb in launch.iter().chain(&delete) {
            let (hva, sim) = host(&config::SimConfig::default()).await;
            let mut spec = spec("steps", 100, 5);
            spec.volumes = vec![volume("one", "10.99.0.254:3260")];
            sim.inject(fault(verb, point, Action::Fail));
            let job = apply(&spec);
            let first = hva.handle(job.clone(), work(&standing(), "i-steps", 1)).await;
            assert_eq!(first.is_err(), launch.contains(verb), "{verb}: the fault hit");
            let facts = hva.handle(job, work(&standing(), "i-steps", 1)).await.unwrap();
            assert_eq!(fact(&facts, "i-steps", FactName::Power), Some(Fact::Yes), "{verb} {point:?}");
            assert_eq!(fact(&facts, "att-one", FactName::Plugged), Some(Fact::Yes), "{verb} {point:?}");
            let job = Job::DeleteInstance(DeleteInstance { instance: spec.instance.clone() });
            let first = hva.handle(job.clone(), work(&standing(), "i-steps", 2)).await;
            assert_eq!(first.is_err(), delete.contains(verb), "{verb}: the fault hit");
            hva.handle(job, work(&standing(), "i-steps", 2)).await.unwrap();
            assert!(sim.is_empty(), "{verb} {point:?}");
            histories += 1;
        }
    }
    println!("{histories} histories");
}

/// A guest that runs gets a disk, and the plugging fails: what is answered must not look done.
#[tokio::test]
async fn a_disk_that_could_not_be_plugged_is_neither_plugged_nor_of_the_new_generation() {
    let (hva, sim) = host(&config::SimConfig::default()).await;
    let mut spec = spec("half", 100, 5);
    let first = hva.handle(apply(&spec), work(&standing(), "i-half", 1)).await.unwrap();
    assert_eq!(generation(&first), 1, "the control: what went well carries its generation");
    spec.volumes = vec![volume("one", "10.99.0.254:3260")];
    sim.inject(fault("ensure_plugged", Point::BeforeEffect, Action::Fail));
    let failed = hva.handle(apply(&spec), work(&standing(), "i-half", 2)).await;
    let Err(Stopped::Failed { facts, .. }) = failed else { panic!("{failed:?}") };
    assert_eq!(fact(&facts, "att-one", FactName::Plugged), Some(Fact::Maybe));
    assert_eq!(generation(&facts), 1, "the wish of generation 2 is not met");
    let older = hva.handle(apply(&spec), work(&standing(), "i-half", 1)).await;
    assert!(matches!(older, Err(Stopped::Refused { found_generation: 2, .. })), "but nothing goes back: {older:?}");
    let again = hva.handle(apply(&spec), work(&standing(), "i-half", 2)).await.unwrap();
    assert_eq!((fact(&again, "att-one", FactName::Plugged), generation(&again)), (Some(Fact::Yes), 2));
}

fn generation(facts: &[FactReport]) -> u64 {
    facts.iter().find(|fact| fact.name == FactName::Domain).unwrap().generation
}

#[tokio::test(start_paused = true)]
async fn hung_calls_make_the_host_degraded_until_they_come_back() {
    let (hva, sim) = host(&config::SimConfig::default()).await;
    let mut running = Vec::new();
    for n in 0..3u8 {
        sim.inject(fault("ensure_running", Point::BeforeEffect, Action::Hang));
        let (hva, name) = (hva.clone(), format!("h{n}"));
        running.push(tokio::spawn(async move {
            let spec = spec(&name, 100, n);
            hva.handle(apply(&spec), work(&standing(), spec.instance.as_str(), 1)).await
        }));
    }
    while hva.degraded().is_none() {
        tokio::task::yield_now().await;
    }
    for job in running {
        assert!(matches!(job.await.unwrap(), Err(Stopped::Failed { .. })));
    }
    assert_eq!(hva.degraded(), None);
}

/// Not a test of its own: the process that `a_crash_…` ends.
#[test]
fn the_process_that_crashes() {
    let Some(file) = std::env::var_os("ARAME_HVA_SIM_CRASH") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = kept_in(Path::new(&file));
        let point = match std::env::var("ARAME_HVA_SIM_POINT").unwrap().as_str() {
            "before_effect" => Point::BeforeEffect,
            "after_effect" => Point::AfterEffect,
            _ => Point::BeforeAnswer,
        };
        config.faults = vec![fault("hva.instance.apply", point, Action::Crash)];
        let (hva, _) = host(&config).await;
        let spec = spec("crash", 100, 5);
        let facts = hva.handle(apply(&spec), work(&standing(), "i-crash", 1)).await.unwrap();
        assert_eq!(fact(&facts, "i-crash", FactName::Power), Some(Fact::Yes));
    });
}

#[test]
fn a_crash_at_a_named_point_happens_once_and_the_next_process_goes_on() {
    for point in ["before_effect", "after_effect", "before_answer"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("world.json");
        let run = || {
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            command.args(["the_process_that_crashes", "--exact"]).stdout(std::process::Stdio::null());
            command.env("ARAME_HVA_SIM_CRASH", &file).env("ARAME_HVA_SIM_POINT", point);
            command.status().unwrap().code()
        };
        assert_eq!(run(), Some(CRASH_STATUS), "{point}");
        let after = std::fs::read_to_string(&file).unwrap();
        assert_eq!(after.contains("i-crash"), point != "before_effect", "{point}");
        assert_eq!(run(), Some(0), "{point}");
    }
}

#[tokio::test]
async fn a_guest_that_dies_asks_for_an_inventory() {
    let (hva, sim) = host(&config::SimConfig::default()).await;
    let standing = standing();
    hva.joined(standing.clone()).await;
    let spec = spec("dies", 100, 5);
    hva.handle(apply(&spec), work(&standing, "i-dies", 1)).await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(50), standing.survey_wanted()).await;
    assert!(quiet.is_err(), "a job that is done asks for none");
    sim.kill_guest(&spec.instance).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), standing.survey_wanted()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_instances_at_once_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let (hva, sim) = host(&kept_in(&dir.path().join("world.json"))).await;
    let standing = standing();
    let began = Instant::now();
    let all = (0..200u8).map(|n| {
        let (hva, standing) = (hva.clone(), standing.clone());
        tokio::spawn(async move {
            let spec = spec(&format!("n{n}"), 100, n);
            let thing = spec.instance.to_string();
            hva.handle(apply(&spec), work(&standing, &thing, 1)).await.unwrap();
            let job = Job::DeleteInstance(DeleteInstance { instance: spec.instance });
            hva.handle(job, work(&standing, &thing, 2)).await.unwrap();
        })
    });
    for result in futures_util::future::join_all(all).await {
        result.unwrap();
    }
    println!("200 applied and deleted in {:?}", began.elapsed());
    assert!(sim.is_empty());
}

#[tokio::test]
async fn a_guest_that_holds_a_volume_keeps_it_until_it_is_taken_by_force() {
    let (hva, sim) = host(&config::SimConfig::default()).await;
    let standing = standing();
    let mut spec = spec("holds", 100, 5);
    let plug = volume("held", "127.0.0.1:3260");
    spec.volumes = vec![plug.clone()];
    hva.handle(apply(&spec), work(&standing, "i-holds", 1)).await.unwrap();
    sim.inject(Fault {
        kind: Some("ensure_unplugged".into()),
        thing: None,
        point: Point::BeforeEffect,
        action: Action::Fail,
        times: 2,
        fails_as: FailsAs::GuestHoldsVolume,
    });
    spec.volumes.clear();
    let held = hva.handle(apply(&spec), work(&standing, "i-holds", 2)).await.unwrap_err();
    assert!(matches!(&held, Stopped::Failed { code, .. } if code == "guest_holds_volume"), "{held:?}");
    assert_eq!(sim.starts(&spec.instance), 1, "nobody switched it off");
    spec.forced = vec![plug.attachment.clone()];
    let facts = hva.handle(apply(&spec), work(&standing, "i-holds", 3)).await.unwrap();
    assert_eq!(sim.starts(&spec.instance), 2, "it was switched off and started without the disk");
    assert_eq!(fact(&facts, plug.attachment.as_str(), FactName::Plugged), Some(Fact::No));
    assert_eq!(fact(&facts, "i-holds", FactName::Power), Some(Fact::Yes));
}
