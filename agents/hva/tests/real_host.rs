//! The real drivers on real (namespaced) hosts: libvirt, QEMU, Open vSwitch, tgt, and guests that boot.

#[path = "support/fixtures.rs"]
mod fixtures;
#[path = "support/lab.rs"]
mod lab;

use arame_schema::jobs::Job;
use arame_schema::jobs::hva::*;
use arame_schema::model::{Fact, FactName};
use fixtures::*;
use lab::{Console, Host, Lab};
use std::time::Duration;

/// Not a test of its own: what `Lab::agent` starts inside a host.
#[test]
fn the_agent_inside_a_host() {
    lab::child();
}

fn apply(spec: &InstanceSpec) -> Job {
    Job::ApplyInstance(Box::new(ApplyInstance { spec: spec.clone() }))
}

fn policy(agent: &Host, host: &str, version: u64, ports: Vec<PortPolicy>) {
    let host = format!("hn-{host}");
    let job = ApplyPolicy { host: host.parse().unwrap(), ports, infrastructure: vec!["10.99.0.0/24".parse().unwrap()] };
    agent.job(&Job::ApplyPolicy(job), &host, version).done();
}

#[test]
fn a_guest_boots_reads_its_metadata_and_leaves_nothing() {
    if !lab::able() {
        return;
    }
    let lab = Lab::up(1);
    let agent = lab.agent("h1");
    let web = lab.with_image(spec("web1", 100, 5));
    policy(&agent, "h1", 1, vec![port(&web, &[80])]);
    let answer = agent.job(&apply(&web), "i-web1", 1).done();
    println!("apply took {} ms", answer.worked_ms);
    assert_eq!(fact(&answer.facts, "i-web1", FactName::Power), Some(Fact::Yes));
    let guest = Console::booted(&lab, "h1", &agent, "i-web1");
    let (found, text) = guest.shell("wget -qO- http://169.254.169.254/latest/meta-data/instance-id");
    assert!(found && text.contains("i-web1"), "{text}");
    let delete = Job::DeleteInstance(DeleteInstance { instance: web.instance.clone() });
    let answer = agent.job(&delete, "i-web1", 2).done();
    assert_eq!(fact(&answer.facts, "i-web1", FactName::Domain), Some(Fact::No));
    let things = agent.list()["things"].as_array().unwrap().clone();
    assert!(things.iter().all(|thing| thing["kind"] == "policy"), "{things:?}");
    let _ = Duration::ZERO;
}
