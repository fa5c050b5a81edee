//! What clients asked of a data center of processes, and whether the world has become it.
//!
//! Rule: this knows no plan, no job and no fact of the product. It remembers the orders that were answered, and
//! compares them with the API's states and with the simulated worlds in their files: everything wished for is there
//! once, and nothing else is there.

use crate::processes::{Answer, PATIENCE, Processes};
use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Between two tries of a client that was refused because nobody is heard.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// What a client may ask for. Things are named by their ids, but for what is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Launch { name: String },
    PowerOff { machine: String },
    PowerOn { machine: String },
    Delete { machine: String },
    MakeDisk { name: String },
    Attach { disk: String, machine: String },
    Detach { disk: String },
    DeleteDisk { disk: String },
}

/// How a machine shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Running,
    Halted,
    Terminated,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            End::Running => "running",
            End::Halted => "halted",
            End::Terminated => "terminated",
        }
    }
}

/// How a disk shall end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskEnd {
    Free,
    On(String),
    Deleted,
}

impl DiskEnd {
    fn as_str(&self) -> &'static str {
        match self {
            DiskEnd::Free => "available",
            DiskEnd::On(_) => "attached",
            DiskEnd::Deleted => "deleted",
        }
    }
}

/// States by id.
pub type States = BTreeMap<String, String>;

/// Everything asked for so far.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    pub machines: BTreeMap<String, End>,
    pub disks: BTreeMap<String, DiskEnd>,
    /// Machines that were found running: their boot disks hold data.
    ran: BTreeSet<String>,
}

/// Sends an order as a patient client: with one key, until it is answered. Gives the id of what was made.
///
/// # Errors
/// It was refused, or nobody answered in time.
pub async fn send(center: &Processes, order: &Order) -> anyhow::Result<Option<String>> {
    let begin = Instant::now();
    loop {
        let answer = ask_once(center, order).await?;
        if !is_nobody_heard(&answer) || begin.elapsed() > PATIENCE {
            return read(order, &answer);
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// While no host has been heard for 15 s, as after a broker that took long to come back, a launch is refused with the word
/// to bring one online, and a volume for want of a node: a client that waits for them is meant here.
fn is_nobody_heard(answer: &Answer) -> bool {
    let offline = answer.body["detail"]["smallest_change"]["code"] == "bring_online";
    answer.status != 200 && (offline || answer.reason() == "out_of_storage_capacity")
}

async fn ask_once(center: &Processes, order: &Order) -> anyhow::Result<Answer> {
    let key = Uuid::new_v4().to_string();
    let ask = async |method: &str, path: &str, body: Value| center.insist(method, path, &body, Some(&key)).await;
    Ok(match order {
        Order::Launch { name } => {
            let vifs = json!({ "eth0": { "index": "0", "network": "nw-demo1" } });
            let body = json!({ "image_id": "wmi-tiny", "instance_type": "tiny", "hostname": name, "vifs": vifs });
            ask("POST", "/instances", body).await?
        }
        Order::PowerOff { machine } => {
            ask("PUT", &format!("/instances/{machine}/poweroff"), json!({ "force": "true" })).await?
        }
        Order::PowerOn { machine } => ask("PUT", &format!("/instances/{machine}/poweron"), Value::Null).await?,
        Order::Delete { machine } => ask("DELETE", &format!("/instances/{machine}"), Value::Null).await?,
        Order::MakeDisk { name } => ask("POST", "/volumes", json!({ "volume_size": 64, "display_name": name })).await?,
        Order::Attach { disk, machine } => {
            ask("PUT", &format!("/volumes/{disk}/attach"), json!({ "instance_id": machine })).await?
        }
        Order::Detach { disk } => ask("PUT", &format!("/volumes/{disk}/detach"), Value::Null).await?,
        Order::DeleteDisk { disk } => ask("DELETE", &format!("/volumes/{disk}"), Value::Null).await?,
    })
}

/// An order whose answer was lost is sent again, and may find itself done.
fn is_done_already(order: &Order, answer: &Answer) -> bool {
    let reasons: &[&str] = match order {
        Order::Launch { .. } | Order::MakeDisk { .. } | Order::Attach { .. } => &[],
        Order::PowerOff { .. } | Order::PowerOn { .. } => &["invalid_instance_state"],
        Order::Delete { .. } => &["invalid_instance_state", "unknown_resource"],
        Order::Detach { .. } => &["volume_not_attached"],
        Order::DeleteDisk { .. } => &["unknown_resource"],
    };
    reasons.contains(&answer.reason())
}

fn read(order: &Order, answer: &Answer) -> anyhow::Result<Option<String>> {
    if answer.status != 200 {
        ensure!(is_done_already(order, answer), "{order:?} was refused: {} {}", answer.status, answer.body);
        return Ok(None);
    }
    match order {
        Order::Launch { .. } | Order::MakeDisk { .. } => {
            Ok(Some(answer.body["id"].as_str().context("what was made has an id")?.to_owned()))
        }
        _ => Ok(None),
    }
}

impl Wishes {
    /// Remembers an answered order; `made` is the id of what it made.
    pub fn note(&mut self, order: &Order, made: Option<String>) {
        match (order, made) {
            (Order::Launch { .. }, Some(id)) => drop(self.machines.insert(id, End::Running)),
            (Order::MakeDisk { .. }, Some(id)) => drop(self.disks.insert(id, DiskEnd::Free)),
            (Order::Launch { .. } | Order::MakeDisk { .. }, None) => {}
            (Order::PowerOff { machine }, _) => drop(self.machines.insert(machine.clone(), End::Halted)),
            (Order::PowerOn { machine }, _) => drop(self.machines.insert(machine.clone(), End::Running)),
            (Order::Delete { machine }, _) => {
                self.machines.insert(machine.clone(), End::Terminated);
                for end in self.disks.values_mut().filter(|end| **end == DiskEnd::On(machine.clone())) {
                    *end = DiskEnd::Free;
                }
            }
            (Order::Attach { disk, machine }, _) => {
                drop(self.disks.insert(disk.clone(), DiskEnd::On(machine.clone())));
            }
            (Order::Detach { disk }, _) => drop(self.disks.insert(disk.clone(), DiskEnd::Free)),
            (Order::DeleteDisk { disk }, _) => drop(self.disks.insert(disk.clone(), DiskEnd::Deleted)),
        }
    }

    pub fn machines_that_end(&self, end: End) -> Vec<String> {
        self.machines.iter().filter(|(_, wish)| **wish == end).map(|(id, _)| id.clone()).collect()
    }

    /// What is not as wished yet, by the API; empty when everything is.
    ///
    /// # Errors
    /// Something failed or is there that nobody asked for: it will never be as wished.
    pub async fn missing(&self, center: &Processes) -> anyhow::Result<String> {
        let mut states = Vec::new();
        for path in ["/instances?limit=1000", "/volumes?limit=1000"] {
            let page = center.get(path).await?;
            let rows = page[0]["results"].as_array().context("a list has results")?;
            let state = |row: &Value| Some((row["id"].as_str()?.to_owned(), row["state"].as_str()?.to_owned()));
            states.push(rows.iter().filter_map(state).collect());
        }
        let (disks, machines): (States, States) = (states.pop().unwrap_or_default(), states.pop().unwrap_or_default());
        let mut text = self.differences(&machines, &disks)?;
        let open = center.number("SELECT COUNT(*) FROM jobs WHERE open = 1").await.unwrap_or(u64::MAX);
        if open > 0 {
            writeln!(text, "{open} jobs are open")?;
        }
        Ok(text)
    }

    /// What is not as wished yet, given the states of everything there is.
    ///
    /// # Errors
    /// Something failed or is there that nobody asked for: it will never be as wished.
    pub fn differences(&self, machines: &States, disks: &States) -> anyhow::Result<String> {
        let mut text = String::new();
        for (states, wished) in [(machines, self.states()), (disks, self.disk_states())] {
            for (id, state) in states {
                ensure!(wished.contains_key(id.as_str()), "{id} is {state} and nobody asked for it");
                ensure!(state != "failed" && state != "lost", "{id} is {state}");
            }
            for (id, wish) in wished {
                let gone = wish == "terminated" || wish == "deleted";
                let state = states.get(id).map_or("absent", String::as_str);
                if state != wish && !(gone && state == "absent") {
                    writeln!(text, "{id} is {state}, wished {wish}")?;
                }
            }
        }
        Ok(text)
    }

    fn states(&self) -> BTreeMap<&str, &'static str> {
        self.machines.iter().map(|(id, end)| (id.as_str(), end.as_str())).collect()
    }

    fn disk_states(&self) -> BTreeMap<&str, &'static str> {
        self.disks.iter().map(|(id, end)| (id.as_str(), end.as_str())).collect()
    }

    /// Compares with the simulated worlds: each thing is there once, powered as wished, and nothing else is.
    ///
    /// # Errors
    /// What is there twice, not there, or should not be there.
    pub fn compare(&mut self, worlds: &BTreeMap<String, Value>) -> anyhow::Result<()> {
        let mut seen: BTreeMap<String, (String, bool)> = BTreeMap::new();
        for (host, world) in worlds.iter().filter(|(agent, _)| agent.starts_with("hva.")) {
            let domains = keys(&world["domains"]);
            ensure!(domains == names(&world["disks"]), "{host}: domains and boot disks differ: {world}");
            ensure!(domains == keys(&world["records"]), "{host}: domains and records differ: {world}");
            ensure!(domains == ports(world), "{host}: domains and ports differ: {world}");
            for id in domains {
                let on = world["domains"][&id]["power"] == "on";
                if let Some((other, _)) = seen.insert(id.clone(), (host.clone(), on)) {
                    bail!("{id} is on {host} and on {other}");
                }
            }
        }
        for (id, end) in &self.machines {
            let found = seen.remove(id);
            let power = found.as_ref().map(|(_, on)| *on);
            let is_right = match end {
                End::Running => power == Some(true),
                // Switched off before it was ever made: there is nothing to keep.
                End::Halted if !self.ran.contains(id) => power != Some(true),
                End::Halted => power == Some(false),
                End::Terminated => power.is_none(),
            };
            ensure!(is_right, "{id}: wished {end:?}, found {found:?}");
            if power == Some(true) {
                self.ran.insert(id.clone());
            }
        }
        ensure!(seen.is_empty(), "nobody asked for {seen:?}");
        worlds.iter().filter(|(agent, _)| agent.starts_with("sta.")).try_for_each(|(_, world)| self.storage(world))
    }

    /// All volumes are on the one storage node.
    fn storage(&self, world: &Value) -> anyhow::Result<()> {
        let volumes = world["volumes"].as_object().cloned().unwrap_or_default();
        let mut owners: Vec<String> =
            volumes.values().filter_map(|volume| Some(volume["mark"]["owner"].as_str()?.to_owned())).collect();
        owners.sort();
        let alive = self.disks.iter().filter(|(_, end)| **end != DiskEnd::Deleted);
        let wished: Vec<String> = alive.map(|(id, _)| id.clone()).collect();
        ensure!(owners == wished, "volumes: wished {wished:?}, found {owners:?}");
        let plugged = self.disks.values().filter(|end| matches!(end, DiskEnd::On(_))).count();
        let targets = keys(&world["targets"]);
        ensure!(targets.len() == plugged, "{plugged} volumes are attached, exported are {targets:?}");
        Ok(())
    }
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

/// Instances that have a port.
fn ports(world: &Value) -> BTreeSet<String> {
    let ports = world["ports"].as_object().into_iter().flat_map(|ports| ports.values());
    ports.filter_map(|port| Some(port["instance"].as_str()?.to_owned())).collect()
}

/// Everything a person needs to begin with when a story did not end: states, jobs, facts, the ends of the logs.
pub async fn picture(center: &Processes) -> String {
    let mut text = String::new();
    let statements = [
        "SELECT CONCAT_WS(' ', 'instance', id, state, desired, generation, IFNULL(host_node_id, '-'), IFNULL(failure_code, '-')) FROM instances WHERE terminated_at IS NULL",
        "SELECT CONCAT_WS(' ', 'job', kind, thing, agent_id, generation, state, attempt, rings, created_at, IFNULL(rung_at, '-'), IFNULL(finished_at, '-'), IFNULL(error_message, '')) FROM jobs ORDER BY seq DESC LIMIT 60",
        "SELECT CONCAT_WS(' ', 'fact', thing, agent_id, name, value, generation) FROM facts LIMIT 100",
        "SELECT CONCAT_WS(' ', 'agent', id, incarnation, heard_at, UTC_TIMESTAMP(3)) FROM agents",
    ];
    for statement in statements {
        match center.rows(statement).await {
            Ok(rows) => {
                for line in rows.into_iter().filter_map(|mut row| row.take::<String, _>(0)) {
                    text.push_str(&line);
                    text.push('\n');
                }
            }
            Err(error) => text.push_str(&format!("{statement}: {error:#}\n")),
        }
    }
    for (name, child) in center.children().unwrap_or_default() {
        let _ = writeln!(text, "== {name} alive={} restarts={}", child.is_alive(), child.restarts);
        text.push_str(&center.log_tail(&name, 15));
        text.push('\n');
    }
    text
}
