//! The contract of a guest that goes from one host to another, kept alike by the simulator and by libvirt.
//!
//! What must stay true: it runs on one host at most, whatever is repeated, interrupted or comes late; what was given away
//! is never let run again where it was given away.
#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

#[path = "support/fixtures.rs"]
mod fixtures;
#[path = "support/forecasts.rs"]
mod forecasts;
#[path = "support/lab.rs"]
mod lab;

use arame_framework::agent::{Agent, Standing};
use arame_hva::driver::sim::{Action, FailsAs, Fault, Point, Sim};
use arame_hva::{Hva, config};
use arame_schema::jobs::Job;
use arame_schema::jobs::forecast::{Measured, Unmeasured};
use arame_schema::jobs::hva::*;
use arame_schema::jobs::report::{Ask, FactReport};
use arame_schema::model::{Fact, FactName, HostNodeId};
use fixtures::*;
use forecasts::*;
use lab::{Answer, Console, Host, Lab};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

const HOSTS: [&str; 2] = ["h1", "h2"];

fn node(host: usize) -> HostNodeId {
    format!("hn-{}", HOSTS[host]).parse().unwrap()
}

/// Two hosts under test.
trait Pair {
    fn job(&self, host: usize, job: &Job, thing: &str, generation: u64) -> Answer;
    fn prepared(&self, spec: InstanceSpec) -> InstanceSpec;
    /// What a host's hello says of where it takes guests.
    fn endpoints(&self, host: usize) -> BTreeMap<String, String>;
    /// Its CPUs stand still, by nobody's wish: a full disk, or a hand.
    fn stall(&self, host: usize, spec: &InstanceSpec);
    fn question(&self, host: usize, question: &str, arguments: Value) -> Result<Value, String>;
    /// Whether a move takes the time that its figures say; a simulated one takes none.
    fn takes_time(&self) -> bool;
    /// From now on the link from this host to others carries less than half a MiB in a second.
    fn narrow_link(&self, host: usize);
    /// The guest changes more of its memory than that, without end.
    fn keep_busy(&self, host: usize, spec: &InstanceSpec);

    fn apply(&self, host: usize, spec: &InstanceSpec, generation: u64) -> Answer {
        let job = Job::ApplyInstance(Box::new(ApplyInstance { spec: spec.clone() }));
        self.job(host, &job, spec.instance.as_str(), generation)
    }

    fn receive(&self, host: usize, spec: &InstanceSpec, generation: u64) -> Answer {
        let job = ReceiveInstance { spec: spec.clone(), from: node(1 - host) };
        self.job(host, &Job::ReceiveInstance(Box::new(job)), spec.instance.as_str(), generation)
    }

    fn send(&self, host: usize, spec: &InstanceSpec, generation: u64) -> Answer {
        let (to, endpoints) = (node(1 - host), self.endpoints(1 - host));
        let job = SendInstance { instance: spec.instance.clone(), to, endpoints };
        self.job(host, &Job::SendInstance(job), spec.instance.as_str(), generation)
    }

    fn keep(&self, host: usize, spec: &InstanceSpec, generation: u64) -> Answer {
        let job = Job::KeepInstance(KeepInstance { instance: spec.instance.clone() });
        self.job(host, &job, spec.instance.as_str(), generation)
    }

    fn resume(&self, host: usize, spec: &InstanceSpec, generation: u64) -> Answer {
        let job = Job::ResumeInstance(ResumeInstance { instance: spec.instance.clone() });
        self.job(host, &job, spec.instance.as_str(), generation)
    }

    fn delete(&self, host: usize, spec: &InstanceSpec, generation: u64) -> Answer {
        let job = Job::DeleteInstance(DeleteInstance { instance: spec.instance.clone() });
        self.job(host, &job, spec.instance.as_str(), generation)
    }

    fn look(&self, host: usize, spec: &InstanceSpec) -> Seen {
        let job = Job::ObserveInstance(ObserveInstance { instance: spec.instance.clone() });
        seen(&self.job(host, &job, spec.instance.as_str(), 0).done().facts, spec)
    }

    /// What both hosts hold of it.
    fn places(&self, spec: &InstanceSpec) -> [Seen; 2] {
        [self.look(0, spec), self.look(1, spec)]
    }

    /// Nothing of it is left.
    fn clear(&self, spec: &InstanceSpec, generation: u64) {
        for host in [0, 1] {
            self.delete(host, spec, generation).done();
        }
        assert_eq!(self.places(spec), [Seen::Absent, Seen::Absent]);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Absent,
    Off,
    Running,
    Between(Between),
}

const WAITING: Seen = Seen::Between(Between::Waiting);
const HANDED: Seen = Seen::Between(Between::Handed);
const PAUSED: Seen = Seen::Between(Between::Paused);

fn seen(facts: &[FactReport], spec: &InstanceSpec) -> Seen {
    let thing = spec.instance.as_str();
    let domain = facts.iter().find(|fact| fact.thing == thing && fact.name == FactName::Domain).unwrap();
    let form = domain.detail.as_ref().and_then(|detail| Between::parse(detail[Between::KEY].as_str()?));
    match (domain.value, form, fact(facts, thing, FactName::Power).unwrap()) {
        (Fact::No, _, _) => Seen::Absent,
        (_, Some(form), _) => Seen::Between(form),
        (_, None, Fact::Yes) => Seen::Running,
        (_, None, _) => Seen::Off,
    }
}

struct SimPair {
    runtime: tokio::runtime::Runtime,
    hosts: [(Arc<Hva>, Sim, Standing); 2],
    _trunk: tempfile::TempDir,
}

impl SimPair {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let trunk = tempfile::tempdir().unwrap();
        let text = include_str!("../hva.example.toml").replace("driver = \"libvirt\"", "driver = \"sim\"");
        let hosts = [0, 1].map(|host| {
            let mut config = config::parse(std::path::Path::new("test"), &text).unwrap().hva;
            config.host = node(host);
            let sim = config::SimConfig { trunk: Some(trunk.path().to_owned()), ..Default::default() };
            let sim = Sim::open_as(&sim, config.host.as_str()).unwrap();
            (runtime.block_on(Hva::with_sim(config, sim.clone())).unwrap(), sim, standing())
        });
        Self { runtime, hosts, _trunk: trunk }
    }
}

impl Pair for SimPair {
    fn job(&self, host: usize, job: &Job, thing: &str, generation: u64) -> Answer {
        let (hva, _, standing) = &self.hosts[host];
        let began = Instant::now();
        let result = self.runtime.block_on(hva.handle(job.clone(), work(standing, thing, generation)));
        Answer::of(result, began.elapsed())
    }

    fn prepared(&self, spec: InstanceSpec) -> InstanceSpec {
        spec
    }

    fn endpoints(&self, _: usize) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn stall(&self, host: usize, spec: &InstanceSpec) {
        self.runtime.block_on(self.hosts[host].1.stall_guest(&spec.instance)).unwrap();
    }

    fn question(&self, host: usize, question: &str, arguments: Value) -> Result<Value, String> {
        let ask = Ask { question: question.to_owned(), arguments };
        self.runtime.block_on(self.hosts[host].0.ask(ask))
    }

    fn takes_time(&self) -> bool {
        false
    }

    fn narrow_link(&self, host: usize) {
        self.hosts[host].1.narrow_link(400_000);
    }

    // A simulated guest always does.
    fn keep_busy(&self, _: usize, _: &InstanceSpec) {}
}

struct RealPair {
    lab: Lab,
    hosts: [Host; 2],
}

impl Pair for RealPair {
    fn job(&self, host: usize, job: &Job, thing: &str, generation: u64) -> Answer {
        self.hosts[host].job(job, thing, generation)
    }

    fn prepared(&self, spec: InstanceSpec) -> InstanceSpec {
        self.lab.with_image(spec)
    }

    fn endpoints(&self, host: usize) -> BTreeMap<String, String> {
        BTreeMap::from([("libvirt".to_owned(), lab::migration_uri(HOSTS[host]))])
    }

    fn stall(&self, host: usize, spec: &InstanceSpec) {
        let suspend = ["virsh", "-c", "qemu:///system", "suspend", spec.instance.as_str()];
        assert!(self.lab.inside(HOSTS[host], &suspend).0);
    }

    fn question(&self, host: usize, question: &str, arguments: Value) -> Result<Value, String> {
        self.hosts[host].question(question, arguments)
    }

    fn takes_time(&self) -> bool {
        true
    }

    fn narrow_link(&self, host: usize) {
        let line = "qdisc replace dev up0 root tbf rate 3200kbit burst 16k latency 50ms";
        let argv: Vec<&str> = std::iter::once("tc").chain(line.split(' ')).collect();
        let (done, said) = self.lab.inside(HOSTS[host], &argv);
        assert!(done, "{said}");
    }

    fn keep_busy(&self, host: usize, spec: &InstanceSpec) {
        let console = Console::booted(&self.lab, HOSTS[host], &self.hosts[host], spec.instance.as_str());
        // Copied from one to the other each page changes; made anew each time it would take the emulated guest too long.
        assert!(console.shell("for one in a b; do head -c 8000000 /dev/urandom > /$one; done").0);
        assert!(console.shell("(while :; do cat /a > /busy; cat /b > /busy; echo again; done) & :").0);
        console.until("again", std::time::Duration::from_secs(60));
    }
}

fn a_guest_is_sent_and_runs_on_the_other_host_alone(pair: &dyn Pair) {
    let mut spec = pair.prepared(spec("moves", 100, 31));
    pair.apply(0, &spec, 1).done();
    spec.boot.used = true;
    assert_eq!(seen(&pair.receive(1, &spec, 2).done().facts, &spec), WAITING);
    assert_eq!(pair.places(&spec), [Seen::Running, WAITING]);
    assert_eq!(seen(&pair.send(0, &spec, 2).done().facts, &spec), HANDED);
    assert_eq!(pair.places(&spec), [HANDED, Seen::Running]);
    pair.delete(0, &spec, 2).done();
    assert_eq!(pair.places(&spec), [Seen::Absent, Seen::Running]);
    // Where it is now it is an instance like any other.
    spec.power = off();
    pair.apply(1, &spec, 3).done();
    assert_eq!(pair.look(1, &spec), Seen::Off);
    pair.clear(&spec, 4);
}

fn what_was_given_away_is_not_let_run_again(pair: &dyn Pair) {
    let spec = pair.prepared(spec("given", 100, 32));
    pair.apply(0, &spec, 1).done();
    pair.receive(1, &spec, 2).done();
    pair.send(0, &spec, 2).done();
    pair.resume(0, &spec, 3).done();
    pair.keep(0, &spec, 3).done();
    let applied = pair.apply(0, &spec, 3);
    assert_eq!((applied.result.as_str(), applied.code.as_str()), ("failed", "between_hosts"));
    assert_eq!(pair.places(&spec), [HANDED, Seen::Running]);
    pair.clear(&spec, 4);
}

fn a_guest_is_sent_only_to_what_waits_under_its_generation(pair: &dyn Pair) {
    let spec = pair.prepared(spec("agreed", 100, 33));
    pair.apply(0, &spec, 1).done();
    let nobody = pair.send(0, &spec, 2);
    assert_eq!((nobody.result.as_str(), nobody.code.as_str()), ("failed", "not_waited_for"));
    pair.receive(1, &spec, 3).done();
    let other = pair.send(0, &spec, 2);
    assert_eq!((other.result.as_str(), other.code.as_str()), ("failed", "not_waited_for"));
    assert_eq!(pair.places(&spec), [Seen::Running, WAITING]);
    pair.send(0, &spec, 3).done();
    assert_eq!(pair.places(&spec), [HANDED, Seen::Running], "the control");
    pair.clear(&spec, 4);
}

fn a_guest_that_is_kept_refuses_an_older_send(pair: &dyn Pair) {
    let spec = pair.prepared(spec("kept", 100, 34));
    pair.apply(0, &spec, 1).done();
    pair.receive(1, &spec, 2).done();
    pair.keep(0, &spec, 3).done();
    let late = pair.send(0, &spec, 2);
    assert_eq!((late.result.as_str(), late.found_generation), ("refused", 3));
    pair.delete(1, &spec, 3).done();
    let raised = pair.receive(1, &spec, 3);
    assert_eq!((raised.result.as_str(), raised.found_generation), ("refused", 3), "what was removed stays so");
    assert_eq!(pair.places(&spec), [Seen::Running, Seen::Absent]);
    pair.clear(&spec, 4);
}

fn repeated_jobs_change_nothing(pair: &dyn Pair) {
    let spec = pair.prepared(spec("again", 100, 35));
    pair.apply(0, &spec, 1).done();
    let here = pair.receive(0, &spec, 2);
    assert_eq!((here.result.as_str(), here.code.as_str()), ("failed", "guest_is_here"));
    for _ in 0..2 {
        pair.receive(1, &spec, 2).done();
    }
    pair.send(0, &spec, 2).done();
    let sent = pair.send(0, &spec, 2);
    let received = pair.receive(1, &spec, 2);
    println!("sent again: {}, received again: {}", sent.result, received.code);
    assert_eq!(received.code, "guest_is_here");
    assert_eq!(pair.places(&spec), [HANDED, Seen::Running]);
    pair.clear(&spec, 4);
}

fn a_guest_goes_and_comes_back(pair: &dyn Pair) {
    let spec = pair.prepared(spec("back", 100, 36));
    pair.apply(0, &spec, 1).done();
    pair.receive(1, &spec, 2).done();
    pair.send(0, &spec, 2).done();
    pair.receive(0, &spec, 3).done();
    assert_eq!(pair.places(&spec), [WAITING, Seen::Running]);
    pair.send(1, &spec, 3).done();
    assert_eq!(pair.places(&spec), [Seen::Running, HANDED]);
    pair.delete(1, &spec, 3).done();
    assert_eq!(pair.places(&spec), [Seen::Running, Seen::Absent]);
    pair.clear(&spec, 4);
}

/// Taken for one that waits it would be removed, and it is the only one there is.
fn a_guest_that_came_is_whole_also_where_it_stands_still(pair: &dyn Pair) {
    let spec = pair.prepared(spec("stalls", 100, 39));
    pair.apply(0, &spec, 1).done();
    pair.receive(1, &spec, 2).done();
    assert_eq!(pair.look(1, &spec), WAITING, "the control");
    pair.send(0, &spec, 2).done();
    pair.stall(1, &spec);
    assert_eq!(pair.places(&spec), [HANDED, PAUSED]);
    assert_eq!(pair.receive(1, &spec, 3).code, "guest_is_here");
    pair.resume(1, &spec, 3).done();
    assert_eq!(pair.places(&spec), [HANDED, Seen::Running]);
    // It goes on as it is, and runs where it comes to.
    pair.stall(1, &spec);
    pair.receive(0, &spec, 4).done();
    assert_eq!(pair.places(&spec), [WAITING, PAUSED]);
    pair.send(1, &spec, 4).done();
    assert_eq!(pair.places(&spec), [Seen::Running, HANDED]);
    pair.clear(&spec, 5);
}

type Clause = fn(&dyn Pair);

macro_rules! contract {
    ($($clause:ident),* $(,)?) => {
        const CLAUSES: &[(&str, Clause)] = &[$((stringify!($clause), $clause)),*];

        mod simulated {
            $(#[test] fn $clause() { super::$clause(&super::SimPair::new()); })*
        }
    };
}

contract![
    a_guest_is_sent_and_runs_on_the_other_host_alone,
    what_was_given_away_is_not_let_run_again,
    a_guest_is_sent_only_to_what_waits_under_its_generation,
    a_guest_that_is_kept_refuses_an_older_send,
    repeated_jobs_change_nothing,
    a_guest_goes_and_comes_back,
    a_guest_that_came_is_whole_also_where_it_stands_still,
    a_move_is_forecast_from_what_was_measured,
    what_cannot_be_measured_says_why,
    a_guest_that_changes_faster_than_the_link_carries_is_seen,
];

/// A guest that came from another host and whose sending on fails when it is paused already is told as whole: taken for one
/// that waits it would be removed, and it is the only one there is (simulation, seed 314).
#[test]
fn a_guest_that_came_and_could_not_be_sent_on_is_whole() {
    let pair = SimPair::new();
    let spec = spec("onward", 100, 38);
    pair.apply(0, &spec, 1).done();
    pair.receive(1, &spec, 2).done();
    pair.send(0, &spec, 2).done();
    pair.receive(0, &spec, 3).done();
    assert_eq!(pair.places(&spec), [WAITING, Seen::Running], "the control");
    let fault = Fault {
        kind: Some("pause_to_send".into()),
        thing: None,
        point: Point::AfterEffect,
        action: Action::Fail,
        times: 1,
        fails_as: FailsAs::Simulated,
    };
    pair.hosts[1].1.inject(fault);
    assert_eq!(pair.send(1, &spec, 3).result, "failed");
    assert_eq!(pair.places(&spec), [WAITING, PAUSED]);
    pair.send(1, &spec, 3).done();
    assert_eq!(pair.places(&spec), [Seen::Running, HANDED]);
    pair.clear(&spec, 4);
}

/// Sabotage: a measure is believed for no time, or a failed one is believed.
#[test]
fn who_asks_again_is_answered_from_memory_and_a_failed_measure_is_not_kept() {
    let pair = SimPair::new();
    let (known, other) = (spec("known", 100, 43), spec("other", 100, 44));
    for one in [&known, &other] {
        pair.apply(0, one, 1).done();
    }
    let first = measured(&pair, &known, "hn-h2");
    let fails = Fault {
        kind: Some("measure_load".into()),
        thing: None,
        point: Point::BeforeEffect,
        action: Action::Fail,
        times: 1,
        fails_as: FailsAs::Simulated,
    };
    pair.hosts[0].1.inject(fails);
    assert_eq!(measured(&pair, &known, "hn-h2"), first, "it was measured again");
    let failed = ask(&pair, &other, "hn-h2", None).load;
    assert!(matches!(failed, Measured::Unknown { why: Unmeasured::Failed, .. }), "{failed:?}");
    let again = ask(&pair, &other, "hn-h2", None).load;
    assert!(matches!(again, Measured::Known { .. }), "{again:?}");
    for one in [&known, &other] {
        pair.clear(one, 2);
    }
}

/// Every step of a move, failing before and after its effect: the guest runs on one host at most at any time, and the same
/// jobs again bring it to the other.
#[test]
fn interrupted_at_any_step_a_move_ends_in_the_same_place() {
    let of_receiver = ["write_record", "discard_disk", "ensure_disk", "ensure_ports", "ensure_waiting"];
    let of_sender = ["write_record", "pause_to_send", "let_run"];
    let steps = of_receiver.map(|verb| (1, verb)).into_iter().chain(of_sender.map(|verb| (0, verb)));
    let mut histories = 0;
    for (host, verb) in steps {
        for point in [Point::BeforeEffect, Point::AfterEffect] {
            let pair = SimPair::new();
            let spec = spec("steps", 100, 37);
            pair.apply(0, &spec, 1).done();
            let fault = Fault {
                kind: Some(verb.into()),
                thing: None,
                point,
                action: Action::Fail,
                times: 1,
                fails_as: FailsAs::Simulated,
            };
            pair.hosts[host].1.inject(fault);
            let mut failed = 0;
            for _ in 0..3 {
                failed +=
                    u32::from(pair.receive(1, &spec, 2).result == "failed" && pair.look(1, &spec) != Seen::Running);
                failed += u32::from(pair.send(0, &spec, 2).result == "failed" && pair.look(0, &spec) != HANDED);
                let running = pair.places(&spec).iter().filter(|seen| **seen == Seen::Running).count();
                assert!(running <= 1, "{verb} {point:?}");
            }
            assert_eq!(pair.places(&spec), [HANDED, Seen::Running], "{verb} {point:?}, {failed} failed");
            pair.clear(&spec, 4);
            histories += 1;
        }
    }
    println!("{histories} histories");
    assert!(histories >= 16);
}

/// Not a test of its own: what `Lab::agent` starts inside a host.
#[test]
fn the_agent_inside_a_host() {
    lab::child();
}

#[test]
fn real_hosts_keep_the_contract() {
    if !lab::able() {
        return;
    }
    let lab = Lab::up(2);
    let hosts = HOSTS.map(|host| lab.agent(host));
    let pair = RealPair { lab, hosts };
    for (name, clause) in CLAUSES {
        let began = Instant::now();
        clause(&pair);
        println!("{name}: {:?}", began.elapsed());
    }
}
