//! The judge: from the evidence to what is lost, there twice, left behind, stuck, or failed without a reason. Pure.
//!
//! Rule: it asks the rows and the worlds, never a plan: what was accepted is there as wished, once, and nothing else is.
//! A judge that finds nothing must be able to find: every class has its sabotage ([`super::evidence::Sabotage`]), and
//! the tests below hold the two together.

use super::evidence::Evidence;
use super::ledger::{Disk, Ended, Machine};
use crate::wishes::{DiskEnd, End};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// States in which a row may rest.
const RESTING: [&str; 7] = ["running", "halted", "terminated", "failed", "available", "attached", "deleted"];

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Accepted and not there, or not as wished.
    pub lost: Vec<String>,
    /// There twice, or done twice.
    pub duplicated: Vec<String>,
    /// There, and nobody asked for it or it was deleted.
    pub orphans: Vec<String>,
    /// Open, waiting, between two states.
    pub stuck: Vec<String>,
    /// Failed without a reason, or against what was promised.
    pub unexplained: Vec<String>,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        self.classes().iter().all(|(_, found)| found.is_empty())
    }

    pub fn classes(&self) -> [(&'static str, &Vec<String>); 5] {
        [
            ("lost", &self.lost),
            ("duplicated", &self.duplicated),
            ("orphans", &self.orphans),
            ("stuck", &self.stuck),
            ("unexplained", &self.unexplained),
        ]
    }
}

/// A domain in a world.
#[derive(Debug)]
struct Seen {
    host: String,
    on: bool,
    plugs: usize,
    reboots: u64,
}

pub fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    rows(evidence, &mut verdict);
    machines(evidence, &mut verdict);
    disks(evidence, &mut verdict);
    names(evidence, &mut verdict);
    for request in &evidence.book.requests {
        let told = || format!("{} {}: {:?}", request.what, request.thing, request.ended);
        match &request.ended {
            // Late, when what was wished is there after all.
            Ended::Stuck { .. } if rests_as_wished(evidence, &request.thing) => {}
            Ended::Pending | Ended::Stuck { .. } => verdict.stuck.push(told()),
            Ended::Failed { code } if code.is_empty() => verdict.unexplained.push(told()),
            Ended::Failed { .. } | Ended::AsAsked | Ended::Overtaken => {}
        }
    }
    verdict.stuck.extend(evidence.open_jobs.iter().map(|job| format!("open job {job}")));
    verdict.orphans.extend(evidence.findings.iter().map(|finding| format!("audit: {finding}")));
    verdict.unexplained.extend(evidence.book.wrong.iter().cloned());
    verdict
}

/// Whether the thing is where its client's last wish wanted it.
fn rests_as_wished(evidence: &Evidence, thing: &str) -> bool {
    let row = evidence.machines.iter().chain(&evidence.disks).find(|row| row.id == thing);
    let machine = evidence.book.machines.get(thing).map(|machine| match machine.end {
        End::Running => "running",
        End::Halted => "halted",
        End::Terminated => "terminated",
    });
    let disk = evidence.book.disks.get(thing).map(|disk| match disk.end {
        DiskEnd::Free => "available",
        DiskEnd::On(_) => "attached",
        DiskEnd::Deleted => "deleted",
    });
    row.is_some_and(|row| machine.or(disk) == Some(row.state.as_str()))
}

/// Rows nobody asked for, rows of one name, rows that do not rest.
fn rows(evidence: &Evidence, verdict: &mut Verdict) {
    let known = |id: &str| evidence.book.machines.contains_key(id) || evidence.book.disks.contains_key(id);
    let mut named: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in evidence.machines.iter().chain(&evidence.disks) {
        named.entry(&row.name).or_default().push(&row.id);
        if !known(&row.id) && !evidence.book.unanswered.contains(&row.name) {
            verdict.orphans.push(format!("row {} ({}) is {} and nobody asked for it", row.id, row.name, row.state));
        }
        if row.state == "lost" {
            verdict.lost.push(format!("{} is lost", row.id));
        } else if !RESTING.contains(&row.state.as_str()) {
            verdict.stuck.push(format!("{} is {}", row.id, row.state));
        }
    }
    for (name, ids) in named.iter().filter(|(_, ids)| ids.len() > 1) {
        verdict.duplicated.push(format!("{name} was made {} times: {}", ids.len(), ids.join(", ")));
    }
}

fn domains(evidence: &Evidence) -> BTreeMap<String, Vec<Seen>> {
    let mut seen: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for (host, world) in evidence.worlds.iter().filter(|(agent, _)| agent.starts_with("hva.")) {
        for (id, domain) in world["domains"].as_object().into_iter().flatten() {
            seen.entry(id.clone()).or_default().push(Seen {
                host: host.clone(),
                on: domain["power"] == "on",
                plugs: domain["kept"].as_array().map_or(0, Vec::len),
                reboots: domain["reboots"].as_u64().unwrap_or(0),
            });
        }
    }
    seen
}

fn machines(evidence: &Evidence, verdict: &mut Verdict) {
    let seen = domains(evidence);
    let states: BTreeMap<&str, &str> =
        evidence.machines.iter().map(|row| (row.id.as_str(), row.state.as_str())).collect();
    for (id, machine) in &evidence.book.machines {
        let Some(state) = states.get(id.as_str()) else {
            verdict.lost.push(format!("{id} ({}) was accepted and has no row", machine.name));
            continue;
        };
        let found = seen.get(id).map(Vec::as_slice).unwrap_or_default();
        machine_as_wished(evidence, verdict, (id, machine, state), found);
        for domain in found.iter().filter(|domain| domain.reboots > machine.reboots) {
            let (did, asked) = (domain.reboots, machine.reboots);
            verdict.duplicated.push(format!("{id} was rebooted {did} times, asked for {asked} times"));
        }
    }
    let alive = |id: &str| states.get(id).is_some_and(|state| *state != "terminated");
    for (id, found) in &seen {
        if found.len() > 1 {
            let hosts: Vec<&str> = found.iter().map(|domain| domain.host.as_str()).collect();
            verdict.duplicated.push(format!("{id} is on {}", hosts.join(" and on ")));
        }
        if !alive(id) {
            verdict.orphans.push(format!("domain {id} on {} has no living row", found[0].host));
        }
    }
    for (host, world) in evidence.worlds.iter().filter(|(agent, _)| agent.starts_with("hva.")) {
        for (part, ids) in parts(world) {
            let left = ids.into_iter().filter(|id| !alive(id));
            verdict.orphans.extend(left.map(|id| format!("{part} of {id} on {host} has no living row")));
        }
    }
}

fn machine_as_wished(
    evidence: &Evidence,
    verdict: &mut Verdict,
    (id, machine, state): (&str, &Machine, &str),
    found: &[Seen],
) {
    if machine.failed && state == "failed" {
        return; // It said why; its request tells.
    }
    let (on, off) = (found.iter().any(|domain| domain.on), !found.is_empty());
    let right = match machine.end {
        End::Running => state == "running" && on,
        End::Halted => state == "halted" && !on && (off || !machine.ran),
        End::Terminated => state == "terminated",
    };
    if !right {
        verdict.lost.push(format!("{id}: wished {:?}, is {state}, seen {found:?}", machine.end));
    }
    let wished = evidence.book.disks.values().filter(|disk| disk.end == DiskEnd::On(id.to_owned()) && !disk.failed);
    let (wished, plugs) = (wished.count(), found.iter().map(|domain| domain.plugs).sum::<usize>());
    if machine.end == End::Running && plugs < wished {
        verdict.lost.push(format!("{id} has {plugs} of {wished} volumes plugged"));
    }
    if plugs > wished {
        verdict.orphans.push(format!("{id} has {plugs} volumes plugged, wished were {wished}"));
    }
}

/// What a host has of instances beside domains.
fn parts(world: &Value) -> [(&'static str, BTreeSet<String>); 3] {
    let ports = world["ports"].as_object().into_iter().flat_map(|ports| ports.values());
    let owners = ports.filter_map(|port| Some(port["instance"].as_str()?.to_owned()));
    let names = world["disks"].as_array().into_iter().flatten();
    [
        ("boot disk", names.filter_map(|name| Some(name.as_str()?.to_owned())).collect()),
        ("record", world["records"].as_object().into_iter().flat_map(|all| all.keys().cloned()).collect()),
        ("port", owners.collect()),
    ]
}

fn disks(evidence: &Evidence, verdict: &mut Verdict) {
    let states: BTreeMap<&str, &str> = evidence.disks.iter().map(|row| (row.id.as_str(), row.state.as_str())).collect();
    let (mut owners, mut targets) = (BTreeMap::<String, usize>::new(), 0);
    for (_, world) in evidence.worlds.iter().filter(|(agent, _)| agent.starts_with("sta.")) {
        for volume in world["volumes"].as_object().into_iter().flat_map(|all| all.values()) {
            *owners.entry(volume["mark"]["owner"].as_str().unwrap_or("?").to_owned()).or_default() += 1;
        }
        targets += world["targets"].as_object().map_or(0, |targets| targets.len());
    }
    for (id, disk) in &evidence.book.disks {
        match states.get(id.as_str()) {
            None => verdict.lost.push(format!("{id} ({}) was accepted and has no row", disk.name)),
            Some(state) => disk_as_wished(verdict, (id, disk, state), owners.contains_key(id)),
        }
    }
    for (id, count) in &owners {
        if *count > 1 {
            verdict.duplicated.push(format!("{id} is there {count} times"));
        }
        if states.get(id.as_str()).is_none_or(|state| *state == "deleted") {
            verdict.orphans.push(format!("volume {id} has no living row"));
        }
    }
    let attached = evidence.disks.iter().filter(|row| row.state == "attached").count();
    if targets > attached {
        verdict.orphans.push(format!("{targets} volumes are exported, {attached} are attached"));
    }
    if targets < attached {
        verdict.lost.push(format!("{targets} volumes are exported, {attached} are attached"));
    }
}

fn disk_as_wished(verdict: &mut Verdict, (id, disk, state): (&str, &Disk, &str), is_there: bool) {
    if disk.failed && state == "failed" {
        return;
    }
    let right = match &disk.end {
        DiskEnd::Free => state == "available" && is_there,
        DiskEnd::On(_) => state == "attached" && is_there,
        DiskEnd::Deleted => state == "deleted",
    };
    if !right {
        let there = if is_there { "there" } else { "not there" };
        verdict.lost.push(format!("{id}: wished {:?}, is {state} and {there}", disk.end));
    }
}

/// What each nsa answers for is what the rows have: no name of the dead, none of the living missing.
fn names(evidence: &Evidence, verdict: &mut Verdict) {
    let living = evidence.machines.iter().filter(|row| !["terminated", "failed"].contains(&row.state.as_str()));
    let living: BTreeSet<&str> = living.map(|row| row.id.as_str()).collect();
    let failed: BTreeSet<&str> =
        evidence.machines.iter().filter(|row| row.state == "failed").map(|row| row.id.as_str()).collect();
    for (nsa, served) in &evidence.served {
        let served: BTreeSet<&str> = served.iter().map(String::as_str).collect();
        let dead = served.iter().filter(|id| !living.contains(*id) && !failed.contains(*id));
        verdict.orphans.extend(dead.map(|id| format!("{nsa} answers for {id}, which is gone")));
        let missing = living.difference(&served);
        verdict.lost.extend(missing.map(|id| format!("{nsa} does not answer for {id}")));
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::Row;
    use super::super::evidence::{Sabotage, spoil};
    use super::super::ledger::{Book, Request};
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn row(id: &str, name: &str, state: &str) -> Row {
        Row { id: id.into(), name: name.into(), state: state.into() }
    }

    /// A running, a halted and a deleted machine, an attached and a deleted disk: all as wished.
    fn healthy() -> Evidence {
        let machine = |name: &str, end| Machine { name: name.into(), end, ran: true, reboots: 1, failed: false };
        let disk = |name: &str, end| Disk { name: name.into(), end, failed: false };
        let request = |what, thing: &str, ended| Request { what, thing: thing.into(), ended, took: Duration::ZERO };
        let book = Book {
            requests: vec![
                request("launch", "i-a", Ended::AsAsked),
                request("delete", "i-c", Ended::AsAsked),
                request("launch", "i-c", Ended::Failed { code: "disk_full".into() }),
            ],
            machines: [("i-a", End::Running), ("i-b", End::Halted), ("i-c", End::Terminated)]
                .map(|(id, end)| (id.to_owned(), machine(&format!("name-{id}"), end)))
                .into(),
            disks: [("vol-a", DiskEnd::On("i-a".into())), ("vol-b", DiskEnd::Deleted)]
                .map(|(id, end)| (id.to_owned(), disk(&format!("name-{id}"), end)))
                .into(),
            ..Book::default()
        };
        let domain = |power: &str, kept: &[&str]| json!({ "power": power, "kept": kept, "reboots": 1 });
        let worlds = [
            (
                "hva.h1",
                json!({ "domains": { "i-a": domain("on", &["att-a"]) }, "disks": ["i-a"], "records": { "i-a": {} },
                        "ports": { "vif-a": { "instance": "i-a" } } }),
            ),
            (
                "hva.h2",
                json!({ "domains": { "i-b": domain("off", &[]) }, "disks": ["i-b"], "records": { "i-b": {} },
                        "ports": { "vif-b": { "instance": "i-b" } } }),
            ),
            ("sta.s1", json!({ "volumes": { "v1": { "mark": { "owner": "vol-a" } } }, "targets": { "iqn": {} } })),
        ];
        Evidence {
            book,
            machines: vec![
                row("i-a", "name-i-a", "running"),
                row("i-b", "name-i-b", "halted"),
                row("i-c", "name-i-c", "terminated"),
            ],
            disks: vec![row("vol-a", "name-vol-a", "attached"), row("vol-b", "name-vol-b", "deleted")],
            worlds: worlds.map(|(agent, world)| (agent.to_owned(), world)).into(),
            served: [("nsa.n1".to_owned(), ["i-a".to_owned(), "i-b".to_owned()].into())].into(),
            findings: Vec::new(),
            open_jobs: Vec::new(),
        }
    }

    #[test]
    fn a_data_center_as_wished_is_found_clean() {
        assert_eq!(judge(&healthy()), Verdict::default());
    }

    #[test]
    fn every_sabotage_is_found_in_its_class() {
        for sabotage in Sabotage::ALL {
            let mut evidence = healthy();
            spoil(&mut evidence, sabotage);
            let verdict = judge(&evidence);
            let class = verdict.classes().into_iter().find(|(name, _)| *name == sabotage.class());
            assert!(class.is_some_and(|(_, found)| !found.is_empty()), "{sabotage:?} was not found: {verdict:?}");
        }
    }

    #[test]
    fn a_request_that_outlasted_its_clients_patience_is_stuck_only_while_its_thing_is() {
        let mut evidence = healthy();
        let ended = Ended::Stuck { state: "pending".into() };
        evidence.book.requests.push(Request { what: "launch", thing: "i-a".into(), ended, took: Duration::ZERO });
        assert_eq!(judge(&evidence), Verdict::default());
        evidence.machines[0].state = "pending".into();
        assert!(judge(&evidence).stuck.iter().any(|line| line.starts_with("launch i-a")), "the control");
    }

    #[test]
    fn what_is_wrong_in_a_world_alone_is_found() {
        type Change = fn(&mut Evidence);
        let changes: [(&str, Change); 9] = [
            ("lost", |e| e.worlds.get_mut("hva.h1").unwrap()["domains"]["i-a"]["power"] = json!("off")),
            ("lost", |e| e.worlds.get_mut("hva.h1").unwrap()["domains"]["i-a"]["kept"] = json!([])),
            ("lost", |e| drop(e.worlds.get_mut("sta.s1").unwrap()["volumes"].take())),
            ("lost", |e| e.served.get_mut("nsa.n1").unwrap().retain(|id| id != "i-b")),
            ("orphans", |e| e.served.get_mut("nsa.n1").unwrap().extend(["i-c".to_owned()])),
            ("orphans", |e| e.worlds.get_mut("hva.h2").unwrap()["ports"]["vif-x"] = json!({ "instance": "i-c" })),
            ("orphans", |e| e.worlds.get_mut("sta.s1").unwrap()["targets"]["iqn2"] = json!({})),
            ("duplicated", |e| e.worlds.get_mut("hva.h1").unwrap()["domains"]["i-a"]["reboots"] = json!(2)),
            ("stuck", |e| e.machines[0].state = "starting".into()),
        ];
        for (index, (class, change)) in changes.into_iter().enumerate() {
            let mut evidence = healthy();
            change(&mut evidence);
            let verdict = judge(&evidence);
            let found = verdict.classes().into_iter().any(|(name, found)| name == class && !found.is_empty());
            assert!(found, "change {index} ({class}) was not found: {verdict:?}");
        }
    }
}
