//! The contract of a hypervisor host, kept alike by the simulator and by the real drivers.
#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

#[path = "support/captures.rs"]
mod captures;
#[path = "support/fixtures.rs"]
mod fixtures;
#[path = "support/lab.rs"]
mod lab;

use arame_framework::agent::{Agent, Standing};
use arame_hva::driver::sim::Sim;
use arame_hva::{Hva, config};
use arame_schema::jobs::Job;
use arame_schema::jobs::figures::{FIGURES, FiguresAnswer};
use arame_schema::jobs::hva::*;
use arame_schema::jobs::report::Ask;
use arame_schema::model::instance::Shutdown;
use arame_schema::model::restart::EndedBy;
use arame_schema::model::{Fact, FactName};
use captures::a_machines_disk_is_copied_once_whether_it_runs_or_not_and_its_copy_goes;
use fixtures::*;
use lab::{Answer, Host, Lab};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A host under test.
trait Subject {
    fn job_for(&self, installation: Uuid, job: &Job, thing: &str, generation: u64) -> Answer;
    fn things(&self) -> Vec<Value>;
    fn prepared(&self, spec: InstanceSpec) -> InstanceSpec;
    fn lose_disk(&self, instance: &str);
    fn visit(&self, instance: &str, kind: &str, typed: &str, until: &str) -> Result<String, String>;
    fn screenshot(&self, instance: &str) -> Result<Value, String>;
    /// What is told of the guest's figures, a moment later.
    fn figures(&self, instance: &str) -> FiguresAnswer;
    /// Ends the guest as a crash does.
    fn kill_guest(&self, instance: &str);
    /// What a guest says on its serial port when it is up.
    fn greeting(&self) -> &'static str;
    /// Whether what was said on the serial port is in its log; the simulator's log is a fixed text.
    fn logged(&self, instance: &str, said: &str) -> bool;

    /// Whether the guest itself has an interface of this address; the simulator's guest is what its facts say.
    fn sees(&self, instance: &str, nic: &Nic) -> bool;

    fn job(&self, job: &Job, thing: &str, generation: u64) -> Answer {
        self.job_for(INSTALLATION, job, thing, generation)
    }

    fn apply(&self, spec: &InstanceSpec, generation: u64) -> Answer {
        let job = Job::ApplyInstance(Box::new(ApplyInstance { spec: spec.clone() }));
        self.job(&job, spec.instance.as_str(), generation)
    }

    fn delete(&self, spec: &InstanceSpec, generation: u64) -> Answer {
        let job = Job::DeleteInstance(DeleteInstance { instance: spec.instance.clone() });
        self.job(&job, spec.instance.as_str(), generation)
    }

    fn observe(&self, spec: &InstanceSpec) -> Answer {
        let job = Job::ObserveInstance(ObserveInstance { instance: spec.instance.clone() });
        self.job(&job, spec.instance.as_str(), 0).done()
    }

    /// Kinds of the listed things that carry this owner.
    fn kinds_of(&self, owner: &str) -> Vec<String> {
        let things = self.things();
        let owned = things.iter().filter(|thing| thing["owner"] == owner);
        let mut kinds: Vec<String> = owned.map(|thing| thing["kind"].as_str().unwrap().to_owned()).collect();
        kinds.sort();
        kinds
    }
}

/// Between two looks at what has to come true.
const LOOK: Duration = Duration::from_millis(100);

/// The QEMU whose arguments name this.
fn pid_of(named: &str) -> Option<nix::unistd::Pid> {
    let is_it = |pid: &i32| {
        let text = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.contains("qemu-system") && text.contains(named)
    };
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.into_iter().find(is_it).map(nix::unistd::Pid::from_raw)
}

struct SimSubject {
    runtime: tokio::runtime::Runtime,
    hva: Arc<Hva>,
    sim: Sim,
    standing: Standing,
}

fn sim_config() -> config::HvaConfig {
    let text = include_str!("../hva.example.toml").replace("driver = \"libvirt\"", "driver = \"sim\"");
    let text = text.replace("[hva]\n", "[hva]\nfigures_every_seconds = 1\n");
    config::parse(std::path::Path::new("test"), &text).unwrap().hva
}

impl SimSubject {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sim = Sim::open(&config::SimConfig::default()).unwrap();
        let hva = runtime.block_on(Hva::with_sim(sim_config(), sim.clone())).unwrap();
        Self { runtime, hva, sim, standing: standing() }
    }
}

impl Subject for SimSubject {
    fn job_for(&self, installation: Uuid, job: &Job, thing: &str, generation: u64) -> Answer {
        let mut standing = self.standing.clone();
        standing.installation = installation;
        let began = Instant::now();
        let result = self.runtime.block_on(self.hva.handle(job.clone(), work(&standing, thing, generation)));
        Answer::of(result, began.elapsed())
    }

    fn things(&self) -> Vec<Value> {
        let listing = self.runtime.block_on(self.hva.list(self.standing.observe()));
        listing.things.iter().map(|thing| serde_json::to_value(thing).unwrap()).collect()
    }

    fn prepared(&self, spec: InstanceSpec) -> InstanceSpec {
        spec
    }

    fn lose_disk(&self, instance: &str) {
        self.runtime.block_on(self.sim.lose_disk(&instance.parse().unwrap())).unwrap();
    }

    fn visit(&self, instance: &str, kind: &str, typed: &str, until: &str) -> Result<String, String> {
        let wish = json!({ "instance": instance, "kind": kind, "typed": typed, "until": until });
        self.runtime.block_on(lab::visit(&self.hva, &wish))
    }

    fn screenshot(&self, instance: &str) -> Result<Value, String> {
        let arguments = json!({ "instance": instance });
        self.runtime.block_on(self.hva.ask(Ask { question: "hva.screenshot".into(), arguments }))
    }

    fn figures(&self, instance: &str) -> FiguresAnswer {
        let arguments = json!({ "instance": instance });
        let answer = self.runtime.block_on(async {
            tokio::time::sleep(LOOK).await;
            self.hva.ask(Ask { question: FIGURES.into(), arguments }).await
        });
        serde_json::from_value(answer.unwrap()).unwrap()
    }

    fn kill_guest(&self, instance: &str) {
        self.runtime.block_on(self.sim.kill_guest(&instance.parse().unwrap())).unwrap();
    }

    fn greeting(&self) -> &'static str {
        "simulated guest"
    }

    fn logged(&self, _: &str, _: &str) -> bool {
        true
    }

    fn sees(&self, instance: &str, nic: &Nic) -> bool {
        let job = Job::ObserveInstance(ObserveInstance { instance: instance.parse().unwrap() });
        let answer = self.job(&job, instance, 0).done();
        fact(&answer.facts, nic.vif.as_str(), FactName::Plugged) == Some(Fact::Yes)
    }
}

struct RealSubject {
    lab: Lab,
    agent: Host,
}

impl Subject for RealSubject {
    fn job_for(&self, installation: Uuid, job: &Job, thing: &str, generation: u64) -> Answer {
        self.agent.job_for(installation, job, thing, generation)
    }

    fn things(&self) -> Vec<Value> {
        self.agent.list()["things"].as_array().unwrap().clone()
    }

    fn prepared(&self, spec: InstanceSpec) -> InstanceSpec {
        self.lab.with_image(spec)
    }

    fn lose_disk(&self, instance: &str) {
        std::fs::remove_file(self.agent.data.join("instances").join(instance).join("disk.qcow2")).unwrap();
    }

    fn visit(&self, instance: &str, kind: &str, typed: &str, until: &str) -> Result<String, String> {
        self.agent.visit(instance, kind, typed, until)
    }

    fn screenshot(&self, instance: &str) -> Result<Value, String> {
        self.agent.screenshot(instance)
    }

    fn figures(&self, instance: &str) -> FiguresAnswer {
        std::thread::sleep(LOOK);
        self.agent.figures(instance)
    }

    fn kill_guest(&self, instance: &str) {
        // By the path of its own disk: nobody else's has it.
        let disk = self.agent.data.join("instances").join(instance);
        let pid = pid_of(disk.to_str().unwrap()).expect("its QEMU runs");
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }

    fn greeting(&self) -> &'static str {
        "GUEST-UP"
    }

    fn logged(&self, instance: &str, said: &str) -> bool {
        self.agent.console(instance).contains(said)
    }

    fn sees(&self, instance: &str, nic: &Nic) -> bool {
        let typed = "cat /sys/class/net/*/address; echo LISTED-$((40+2))\n";
        let said = self.agent.visit(instance, "serial", typed, "LISTED-42").unwrap();
        said.contains(&nic.mac.to_string())
    }
}

fn a_duplicate_job_changes_nothing(host: &dyn Subject) {
    let spec = host.prepared(spec("twice", 100, 11));
    let first = host.apply(&spec, 1).done();
    let kinds = host.kinds_of("i-twice");
    let second = host.apply(&spec, 1).done();
    let said = |answer: &Answer| -> Vec<(String, FactName, Fact, u64)> {
        answer.facts.iter().map(|f| (f.thing.clone(), f.name, f.value, f.generation)).collect()
    };
    assert_eq!(said(&first), said(&second));
    assert_eq!(kinds, host.kinds_of("i-twice"));
    assert_eq!(kinds, ["domain", "overlay", "port"]);
    host.delete(&spec, 2).done();
    host.delete(&spec, 2).done();
    assert!(host.kinds_of("i-twice").is_empty());
}

fn an_older_job_is_refused_and_names_what_it_found(host: &dyn Subject) {
    let mut spec = host.prepared(spec("older", 100, 12));
    host.apply(&spec, 5).done();
    spec.power = off();
    let refused = host.apply(&spec, 4);
    assert_eq!((refused.result.as_str(), refused.found_generation), ("refused", 5));
    assert_eq!(fact(&refused.facts, "i-older", FactName::Power), Some(Fact::Yes));
    let refused = host.delete(&spec, 4);
    assert_eq!((refused.result.as_str(), refused.found_generation), ("refused", 5));
    // The positive control: the same wish, newer, is done.
    let done = host.apply(&spec, 6).done();
    assert_eq!(fact(&done.facts, "i-older", FactName::Power), Some(Fact::No));
    host.delete(&spec, 7).done();
}

fn a_job_frozen_on_its_way_cannot_raise_the_dead(host: &dyn Subject) {
    let spec = host.prepared(spec("dead", 100, 13));
    host.apply(&spec, 1).done();
    host.delete(&spec, 2).done();
    let refused = host.apply(&spec, 1);
    assert_eq!((refused.result.as_str(), refused.found_generation), ("refused", 2));
    assert!(host.kinds_of("i-dead").is_empty());
    host.apply(&spec, 3).done();
    assert!(!host.kinds_of("i-dead").is_empty(), "a newer wish is not held back");
    host.delete(&spec, 4).done();
}

fn deleting_what_was_never_there_is_done(host: &dyn Subject) {
    let spec = spec("never", 100, 14);
    let answer = host.delete(&spec, 1).done();
    assert_eq!(fact(&answer.facts, "i-never", FactName::Domain), Some(Fact::No));
    assert_eq!(fact(&answer.facts, "i-never", FactName::Power), Some(Fact::No));
}

fn power_off_keeps_the_disk_and_power_on_starts_it_again(host: &dyn Subject) {
    let mut spec = host.prepared(spec("power", 100, 15));
    host.apply(&spec, 1).done();
    spec.power = off();
    let answer = host.apply(&spec, 2).done();
    assert_eq!(fact(&answer.facts, "i-power", FactName::Domain), Some(Fact::Yes));
    assert_eq!(fact(&answer.facts, "i-power", FactName::Power), Some(Fact::No));
    assert_eq!(host.kinds_of("i-power"), ["domain", "overlay", "port"]);
    spec.power = Power::On;
    let answer = host.apply(&spec, 3).done();
    assert_eq!(fact(&answer.facts, "i-power", FactName::Power), Some(Fact::Yes));
    let power = answer.facts.iter().find(|fact| fact.name == FactName::Power).unwrap();
    assert_eq!(power.generation, 3);
    host.delete(&spec, 4).done();
}

fn a_soft_power_off_becomes_a_hard_one_after_its_grace(host: &dyn Subject) {
    let mut spec = host.prepared(spec("soft", 100, 21));
    host.apply(&spec, 1).done();
    spec.power = Power::Off { method: Shutdown::Soft, grace_ms: 300 };
    let answer = host.apply(&spec, 2).done();
    assert_eq!(fact(&answer.facts, "i-soft", FactName::Power), Some(Fact::No));
    host.delete(&spec, 3).done();
}

fn a_boot_disk_that_was_lost_is_never_made_again(host: &dyn Subject) {
    let mut spec = host.prepared(spec("lost", 100, 16));
    spec.power = off();
    host.apply(&spec, 1).done();
    host.lose_disk("i-lost");
    spec.power = Power::On;
    let failed = host.apply(&spec, 2);
    assert_eq!((failed.result.as_str(), failed.code.as_str()), ("failed", "data_lost"));
    host.delete(&spec, 3).done();
}

fn exactly_the_wished_volumes_are_plugged(host: &dyn Subject) {
    let mut spec = host.prepared(spec("vols", 100, 17));
    spec.power = off();
    spec.volumes = vec![volume("one", "10.99.0.254:3260"), volume("two", "10.99.0.254:3260")];
    let answer = host.apply(&spec, 1).done();
    for attachment in ["att-one", "att-two"] {
        assert_eq!(fact(&answer.facts, attachment, FactName::Plugged), Some(Fact::Yes));
    }
    spec.volumes.remove(0);
    let answer = host.apply(&spec, 2).done();
    assert_eq!(fact(&answer.facts, "att-one", FactName::Plugged), Some(Fact::No));
    assert_eq!(fact(&answer.facts, "att-two", FactName::Plugged), Some(Fact::Yes));
    assert_eq!(host.kinds_of("i-vols"), ["domain", "overlay", "port", "secret"]);
    let answer = host.delete(&spec, 3).done();
    assert_eq!(fact(&answer.facts, "att-two", FactName::Plugged), Some(Fact::No));
    assert!(host.kinds_of("i-vols").is_empty());
}

/// A second interface of the spec.
fn second(spec: &InstanceSpec) -> Nic {
    let first = &spec.nics[0];
    let last = first.ipv4.octets()[3] + 100;
    let vif = format!("{}-b", first.vif).parse().unwrap();
    let ipv4 = std::net::Ipv4Addr::new(10, 0, 0, last);
    Nic { vif, index: 1, mac: mac(last), ipv4, ..first.clone() }
}

fn exactly_the_wished_interfaces_are_there(host: &dyn Subject) {
    let mut spec = host.prepared(spec("nics", 100, 23));
    spec.power = off();
    let (first, more) = (spec.nics[0].clone(), second(&spec));
    spec.nics.push(more.clone());
    let answer = host.apply(&spec, 1).done();
    for vif in [&first.vif, &more.vif] {
        assert_eq!(fact(&answer.facts, vif.as_str(), FactName::Plugged), Some(Fact::Yes));
    }
    assert_eq!(host.kinds_of("i-nics"), ["domain", "overlay", "port", "port"]);
    spec.nics.pop();
    let answer = host.apply(&spec, 2).done();
    assert_eq!(fact(&answer.facts, more.vif.as_str(), FactName::Plugged), Some(Fact::No));
    assert_eq!(fact(&answer.facts, first.vif.as_str(), FactName::Plugged), Some(Fact::Yes));
    assert_eq!(host.kinds_of("i-nics"), ["domain", "overlay", "port"]);
    let answer = host.delete(&spec, 3).done();
    assert_eq!(fact(&answer.facts, first.vif.as_str(), FactName::Plugged), Some(Fact::No));
    assert!(host.kinds_of("i-nics").is_empty());
}

/// Live, kept over a power cycle, and live again; a job that comes twice changes nothing, and none goes back.
fn a_running_guest_gets_and_loses_an_interface(host: &dyn Subject) {
    let mut spec = host.prepared(spec("hot", 100, 24));
    let more = second(&spec);
    let plugged = |answer: &Answer| fact(&answer.facts, more.vif.as_str(), FactName::Plugged);
    host.apply(&spec, 1).done();
    host.visit("i-hot", "serial", "", host.greeting()).unwrap();
    spec.nics.push(more.clone());
    assert_eq!(plugged(&host.apply(&spec, 2).done()), Some(Fact::Yes));
    assert_eq!(plugged(&host.apply(&spec, 2).done()), Some(Fact::Yes));
    assert!(host.sees("i-hot", &more), "the guest does not see its new interface");
    assert_eq!(host.kinds_of("i-hot"), ["domain", "overlay", "port", "port"]);
    let without = InstanceSpec { nics: vec![spec.nics[0].clone()], ..spec.clone() };
    let refused = host.apply(&without, 1);
    assert_eq!((refused.result.as_str(), refused.found_generation), ("refused", 2));
    spec.power = off();
    assert_eq!(plugged(&host.apply(&spec, 3).done()), Some(Fact::Yes));
    spec.power = Power::On;
    assert_eq!(plugged(&host.apply(&spec, 4).done()), Some(Fact::Yes));
    host.visit("i-hot", "serial", "", host.greeting()).unwrap();
    assert!(host.sees("i-hot", &more), "it is gone after a power cycle");
    assert_eq!(plugged(&host.apply(&without, 5).done()), Some(Fact::No));
    assert!(!host.sees("i-hot", &more), "the guest still sees what was taken");
    assert_eq!(host.kinds_of("i-hot"), ["domain", "overlay", "port"]);
    assert_eq!(plugged(&host.observe(&spec)), None, "what was seen gone is not told for ever");
    host.delete(&spec, 6).done();
}

fn a_reboot_happens_once_for_its_operation(host: &dyn Subject) {
    let spec = host.prepared(spec("reboot", 100, 18));
    host.apply(&spec, 1).done();
    let operation = Uuid::now_v7();
    let job = Job::RebootInstance(RebootInstance { instance: spec.instance.clone(), operation });
    host.job(&job, "i-reboot", 1).done();
    host.job(&job, "i-reboot", 1).done();
    // A newer wish keeps the operation on the domain.
    host.apply(&spec, 2).done();
    host.job(&job, "i-reboot", 2).done();
    let answer = host.observe(&spec);
    assert_eq!(fact(&answer.facts, "i-reboot", FactName::Power), Some(Fact::Yes));
    host.delete(&spec, 3).done();
}

fn a_policy_never_goes_back(host: &dyn Subject) {
    let job = |ports| Job::ApplyPolicy(ApplyPolicy { host: "hn-h1".parse().unwrap(), ports, infrastructure: vec![] });
    let answer = host.job(&job(vec![port(&spec("x", 100, 9), &[])]), "hn-h1", 7).done();
    assert_eq!(fact(&answer.facts, "hn-h1", FactName::Applied), Some(Fact::Yes));
    let refused = host.job(&job(vec![]), "hn-h1", 6);
    assert_eq!((refused.result.as_str(), refused.found_generation), ("refused", 7));
    let things = host.things();
    let listed = things.iter().find(|thing| thing["kind"] == "policy").unwrap();
    assert_eq!(listed["generation"], json!(7));
}

fn another_installations_instance_is_never_touched(host: &dyn Subject) {
    let spec = host.prepared(spec("theirs", 100, 19));
    let theirs = Uuid::from_u128(0xbad);
    let job = Job::ApplyInstance(Box::new(ApplyInstance { spec: spec.clone() }));
    host.job_for(theirs, &job, "i-theirs", 1).done();
    for refused in [host.apply(&spec, 2), host.delete(&spec, 2)] {
        assert_eq!((refused.result.as_str(), refused.code.as_str()), ("failed", "foreign_thing"));
    }
    assert_eq!(host.kinds_of("i-theirs"), ["domain", "overlay", "port"], "it is shown");
    let job = Job::DeleteInstance(DeleteInstance { instance: spec.instance.clone() });
    host.job_for(theirs, &job, "i-theirs", 2).done();
}

fn observing_changes_nothing(host: &dyn Subject) {
    let spec = spec("nothing", 100, 20);
    let answer = host.observe(&spec);
    assert_eq!(fact(&answer.facts, "i-nothing", FactName::Domain), Some(Fact::No));
    assert!(host.kinds_of("i-nothing").is_empty());
}

/// On, off, and on again: the serial port takes what is typed and is logged all the while, the screen is there.
fn a_console_is_there_while_the_guest_runs_and_only_then(host: &dyn Subject) {
    let mut spec = host.prepared(spec("shown", 100, 22));
    let off_is_said = |host: &dyn Subject| {
        for kind in ["serial", "vnc"] {
            assert_eq!(host.visit("i-shown", kind, "", "x"), Err("guest_off".to_owned()));
        }
        assert_eq!(host.screenshot("i-shown"), Err("guest_off".to_owned()));
    };
    off_is_said(host);
    for round in 0..2u64 {
        spec.power = Power::On;
        host.apply(&spec, 1 + round * 2).done();
        let seen = host.visit("i-shown", "serial", "", host.greeting()).unwrap();
        assert!(seen.contains(host.greeting()), "{seen}");
        let said = format!("\nanswer-{round}");
        // A viewer that left makes room for the next.
        let seen = host.visit("i-shown", "serial", &format!("echo answer-{round}\n"), &said).unwrap();
        assert!(seen.contains(&said), "{seen}");
        // QEMU writes the log after it gave a viewer the same bytes.
        let deadline = Instant::now() + Duration::from_secs(5);
        while !host.logged("i-shown", &said) {
            assert!(Instant::now() < deadline, "what a viewer saw is not in the log");
        }
        assert_eq!(host.visit("i-shown", "vnc", "", "RFB 003.008"), Ok("RFB 003.008\n".to_owned()));
        let picture = host.screenshot("i-shown").unwrap();
        assert!(picture.as_str().unwrap().starts_with("iVBORw0KGgo"), "no PNG: {picture}");
        spec.power = off();
        host.apply(&spec, 2 + round * 2).done();
        off_is_said(host);
    }
    host.delete(&spec, 9).done();
}

/// Readings come by themselves; a counter never goes down, every device of the guest is in it, and a guest that is off is
/// read no more.
fn figures_grow_while_the_guest_runs_and_say_how_old_they_are(host: &dyn Subject) {
    let mut spec = host.prepared(spec("counted", 100, 25));
    assert!(host.figures("i-counted").readings.is_empty(), "nothing was read of what is not there");
    host.apply(&spec, 1).done();
    let until = |enough: &dyn Fn(&FiguresAnswer) -> bool| {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = host.figures("i-counted");
            if enough(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{answer:?}");
        }
    };
    let answer = until(&|answer| {
        let [.., older, newer] = &answer.readings[..] else { return false };
        newer.totals.cpu_ns > older.totals.cpu_ns && newer.totals.disks.contains_key("vda")
    });
    assert_eq!(answer.every_ms, 1000);
    let newest = answer.readings.last().unwrap();
    assert!(newest.age_ms < 5_000, "{newest:?}");
    let totals = &newest.totals;
    assert_eq!((totals.vcpus, totals.memory.kib), (spec.vcpus, spec.memory_mib * 1024));
    assert!(totals.memory.resident_kib.is_some_and(|resident| resident > 0), "{totals:?}");
    assert_eq!(totals.vifs.keys().collect::<Vec<_>>(), [&spec.nics[0].vif]);
    spec.power = off();
    host.apply(&spec, 2).done();
    let answer = until(&|answer| answer.readings.last().is_some_and(|newest| newest.age_ms > 3_000));
    assert!(!answer.readings.is_empty(), "what it used before is still told: {answer:?}");
    host.delete(&spec, 3).done();
}

/// Killed, switched off, started again: only the first is a death.
fn how_a_guest_ended_is_told_until_it_runs_again(host: &dyn Subject) {
    let mut spec = host.prepared(spec("killed", 100, 26));
    let ended = |answer: &Answer| {
        let power = answer.facts.iter().find(|fact| fact.name == FactName::Power).unwrap();
        let by = power.detail.as_ref().and_then(|detail| detail[EndedBy::KEY].as_str().and_then(EndedBy::parse));
        (power.value, by)
    };
    assert_eq!(ended(&host.apply(&spec, 1).done()), (Fact::Yes, None));
    host.kill_guest("i-killed");
    let deadline = Instant::now() + Duration::from_secs(5);
    while ended(&host.observe(&spec)) != (Fact::No, Some(EndedBy::Death)) {
        assert!(Instant::now() < deadline, "{:?}", ended(&host.observe(&spec)));
    }
    assert_eq!(ended(&host.apply(&spec, 2).done()), (Fact::Yes, None));
    spec.power = off();
    assert_eq!(ended(&host.apply(&spec, 3).done()), (Fact::No, None), "our own hard power off is no death");
    host.delete(&spec, 4).done();
}

type Clause = fn(&dyn Subject);

macro_rules! contract {
    ($($clause:ident),* $(,)?) => {
        const CLAUSES: &[(&str, Clause)] = &[$((stringify!($clause), $clause)),*];

        mod simulated {
            $(#[test] fn $clause() { super::$clause(&super::SimSubject::new()); })*
        }
    };
}

contract![
    a_duplicate_job_changes_nothing,
    an_older_job_is_refused_and_names_what_it_found,
    a_job_frozen_on_its_way_cannot_raise_the_dead,
    deleting_what_was_never_there_is_done,
    power_off_keeps_the_disk_and_power_on_starts_it_again,
    a_soft_power_off_becomes_a_hard_one_after_its_grace,
    a_boot_disk_that_was_lost_is_never_made_again,
    exactly_the_wished_volumes_are_plugged,
    exactly_the_wished_interfaces_are_there,
    a_running_guest_gets_and_loses_an_interface,
    a_reboot_happens_once_for_its_operation,
    a_policy_never_goes_back,
    another_installations_instance_is_never_touched,
    observing_changes_nothing,
    a_console_is_there_while_the_guest_runs_and_only_then,
    a_machines_disk_is_copied_once_whether_it_runs_or_not_and_its_copy_goes,
    figures_grow_while_the_guest_runs_and_say_how_old_they_are,
    how_a_guest_ended_is_told_until_it_runs_again,
];

/// Not a test of its own: what `Lab::agent` starts inside a host.
#[test]
fn the_agent_inside_a_host() {
    lab::child();
}

#[test]
fn the_real_drivers_keep_the_contract() {
    if !lab::able() {
        return;
    }
    let lab = Lab::up(1);
    let agent = lab.agent("h1");
    let host = RealSubject { lab, agent };
    for (name, clause) in CLAUSES {
        let began = Instant::now();
        clause(&host);
        println!("{name}: {:?}", began.elapsed());
    }
    let left: Vec<Value> = host.things().into_iter().filter(|thing| thing["kind"] != "policy").collect();
    assert!(left.is_empty(), "{left:?}");
}
