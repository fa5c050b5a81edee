//! The load: clients that each own some machines and disks and go on asking things of them, one after the other, now
//! and then changing their minds before the last wish came true.
//!
//! Rule: a client asks with one key until it is answered, then looks until its thing is as asked, has failed with a
//! reason, or its patience is over; so every accepted request gets its end from whoever asked. What a client asks is
//! decided by the seed and by what became of its things.

use super::center::{Ask, Center, PATIENCE};
use super::files::{NETWORK, REAL};
use super::ledger::{Disk, Ended, Entry, Ledger, Machine};
use crate::wishes::{DiskEnd, End};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Machines and disks of one client: bounds the worlds, and what a picture of a failure shows.
const MACHINES_MAX: usize = 4;
const DISKS_MAX: usize = 2;

/// Where machines are moved to and fro.
const HOSTS: [&str; 2] = ["hn-h1", "hn-h2"];

/// The host on libvirt, and how often a launch asks for it: placement, which spreads, would never choose one so small.
const REAL_HOST: &str = "hn-h4";
const WANTS_REAL: f64 = 0.3;

/// Between two looks at a thing that is on its way.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// A client rests this long at most between two orders.
const REST_MAX_MS: u64 = 1200;

/// How often a client changes its mind at once.
const CHANGES_MIND: f64 = 0.2;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Order {
    Launch,
    /// On the host on libvirt.
    LaunchReal,
    PowerOff(String),
    PowerOn(String),
    Reboot(String),
    /// To this host.
    Move(String, &'static str),
    Delete(String),
    MakeDisk,
    Attach(String, String),
    Detach(String),
    DeleteDisk(String),
}

impl Order {
    fn word(&self) -> &'static str {
        match self {
            Order::Launch => "launch",
            Order::LaunchReal => "launch on libvirt",
            Order::PowerOff(_) => "power off",
            Order::PowerOn(_) => "power on",
            Order::Reboot(_) => "reboot",
            Order::Move(..) => "move",
            Order::Delete(_) => "delete",
            Order::MakeDisk => "make a disk",
            Order::Attach(..) => "attach",
            Order::Detach(_) => "detach",
            Order::DeleteDisk(_) => "delete a disk",
        }
    }

    /// Refusals that a repeated or overtaken question honestly gets.
    fn may_be_refused_with(&self) -> &'static [&'static str] {
        match self {
            Order::Launch | Order::LaunchReal | Order::MakeDisk => &["out_of_host_capacity", "out_of_storage_capacity"],
            Order::PowerOff(_) | Order::PowerOn(_) | Order::Reboot(_) => {
                &["invalid_instance_state", "instance_migrating"]
            }
            // Where it is already; with a disk; to a host that is not heard; from the one on libvirt.
            Order::Move(..) => &[
                "invalid_instance_state",
                "invalid_parameter",
                "instance_migrating",
                "instance_has_volumes",
                "out_of_host_capacity",
                "host_cannot_move",
            ],
            Order::Delete(_) => &["invalid_instance_state", "unknown_resource"],
            Order::Attach(..) => {
                &["invalid_instance_state", "invalid_volume_state", "volume_attached", "instance_migrating"]
            }
            Order::Detach(_) => &["volume_not_attached"],
            Order::DeleteDisk(_) => &["unknown_resource", "volume_attached"],
        }
    }
}

/// What an accepted order waits for.
#[derive(Debug, Clone)]
struct Awaited {
    entry: Entry,
    path: String,
    state: &'static str,
    thing: String,
}

pub struct Client {
    center: Arc<Center>,
    ledger: Arc<Ledger>,
    rng: StdRng,
    number: u64,
    made: u32,
    machines: BTreeMap<String, End>,
    disks: BTreeMap<String, DiskEnd>,
}

impl Client {
    pub fn new(center: Arc<Center>, ledger: Arc<Ledger>, seed: u64, number: u64) -> Client {
        let rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
        Client { center, ledger, rng, number, made: 0, machines: BTreeMap::new(), disks: BTreeMap::new() }
    }

    /// Asks until told to stop; then waits for the last thing asked for.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let order = self.order();
            if self.is_not_for_libvirt(&order).await {
                continue;
            }
            if let Some(first) = self.send(&order).await {
                self.perhaps_change(&order, first).await;
            }
            let rest = self.rng.random_range(0..REST_MAX_MS);
            tokio::time::sleep(Duration::from_millis(rest)).await;
        }
    }

    /// The cell's storage is simulated: no real guest can have a volume of it. Nor is there a host like it to move to.
    async fn is_not_for_libvirt(&self, order: &Order) -> bool {
        let (Order::Attach(_, id) | Order::Move(id, _)) = order else { return false };
        if !self.center.agents().contains(&REAL) {
            return false;
        }
        // Without an answer nobody knows: something else then.
        let row = self.center.get(&format!("/instances/{id}")).await.unwrap_or_default();
        row["host_node"] == REAL_HOST || row["state"] != "running"
    }

    /// Waits for what was asked for, or asks for something else before it is there.
    async fn perhaps_change(&mut self, order: &Order, first: Awaited) {
        if self.rng.random_bool(CHANGES_MIND)
            && let Some(other) = self.other_mind(order, &first.thing)
        {
            let pause = self.rng.random_range(0..300);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let second = self.send(&other).await;
            // Also when it was refused: an earlier try, whose answer was lost, may have been taken.
            self.ledger.end(first.entry, Ended::Overtaken, Duration::ZERO);
            if let Some(second) = second {
                self.attend(second).await;
            }
            return;
        }
        self.attend(first).await;
    }

    /// Follows a thing to its end; what failed is deleted.
    async fn attend(&mut self, first: Awaited) {
        let mut next = Some(first);
        while let Some(awaited) = next.take() {
            if let Some(order) = self.follow(&awaited).await {
                next = self.send(&order).await;
            }
        }
    }

    /// Deletes everything this client has, machines first.
    pub async fn clear(mut self) {
        let machines: Vec<String> = self.machines.keys().cloned().collect();
        for id in machines {
            if let Some(awaited) = self.send(&Order::Delete(id)).await {
                self.attend(awaited).await;
            }
        }
        let disks: Vec<String> = self.disks.keys().cloned().collect();
        for id in disks {
            self.wait_until_free(&id).await;
            if let Some(awaited) = self.send(&Order::DeleteDisk(id)).await {
                self.attend(awaited).await;
            }
        }
    }

    /// A client of the same number that owns what the book says is left of it.
    pub fn successor(center: Arc<Center>, ledger: Arc<Ledger>, number: u64) -> Client {
        let mut client = Client::new(center, ledger.clone(), 0, number);
        let book = ledger.book();
        let own = |name: &str| name.starts_with(&format!("c{number}-"));
        let machines = book.machines.iter().filter(|(_, m)| own(&m.name) && m.end != End::Terminated);
        client.machines = machines.map(|(id, machine)| (id.clone(), machine.end)).collect();
        let disks = book.disks.iter().filter(|(_, d)| own(&d.name) && d.end != DiskEnd::Deleted);
        client.disks = disks.map(|(id, disk)| (id.clone(), disk.end.clone())).collect();
        drop(book);
        client
    }

    fn order(&mut self) -> Order {
        let of = |end: End, all: &BTreeMap<String, End>| -> Vec<String> {
            all.iter().filter(|(_, is)| **is == end).map(|(id, _)| id.clone()).collect()
        };
        let (running, halted) = (of(End::Running, &self.machines), of(End::Halted, &self.machines));
        let free: Vec<String> =
            self.disks.iter().filter(|(_, end)| **end == DiskEnd::Free).map(|(id, _)| id.clone()).collect();
        let attached: Vec<String> =
            self.disks.iter().filter(|(_, end)| matches!(end, DiskEnd::On(_))).map(|(id, _)| id.clone()).collect();
        let mut choices = Vec::new();
        if self.machines.len() < MACHINES_MAX {
            let real = self.center.agents().contains(&REAL) && self.rng.random_bool(WANTS_REAL);
            let launch = if real { Order::LaunchReal } else { Order::Launch };
            choices.extend([launch.clone(), launch.clone(), launch]);
        }
        if self.disks.len() < DISKS_MAX {
            choices.push(Order::MakeDisk);
        }
        if let Some(id) = running.choose(&mut self.rng) {
            choices.extend([Order::PowerOff(id.clone()), Order::Reboot(id.clone()), Order::Delete(id.clone())]);
            let to = *HOSTS.choose(&mut self.rng).unwrap_or(&HOSTS[0]);
            choices.extend([Order::Move(id.clone(), to), Order::Move(id.clone(), to)]);
            if let Some(disk) = free.choose(&mut self.rng) {
                choices.extend([Order::Attach(disk.clone(), id.clone()), Order::Attach(disk.clone(), id.clone())]);
            }
        }
        if let Some(id) = halted.choose(&mut self.rng) {
            choices.extend([Order::PowerOn(id.clone()), Order::PowerOn(id.clone()), Order::Delete(id.clone())]);
        }
        choices.extend(free.choose(&mut self.rng).map(|disk| Order::DeleteDisk(disk.clone())));
        choices.extend(attached.choose(&mut self.rng).map(|disk| Order::Detach(disk.clone())));
        choices.choose(&mut self.rng).cloned().unwrap_or(Order::Launch)
    }

    /// Something else for the same thing, at once.
    fn other_mind(&mut self, order: &Order, thing: &str) -> Option<Order> {
        match order {
            Order::Launch | Order::LaunchReal if self.rng.random_bool(0.5) => Some(Order::Delete(thing.to_owned())),
            Order::Launch | Order::LaunchReal => Some(Order::PowerOff(thing.to_owned())),
            Order::PowerOff(id) => Some(Order::PowerOn(id.clone())),
            Order::PowerOn(id) => Some(Order::Delete(id.clone())),
            Order::Attach(disk, _) => Some(Order::Detach(disk.clone())),
            Order::Move(id, _) if self.rng.random_bool(0.5) => Some(Order::Delete(id.clone())),
            Order::Move(id, to) => {
                Some(Order::Move(id.clone(), HOSTS.into_iter().find(|host| host != to).unwrap_or(HOSTS[0])))
            }
            Order::Reboot(_) | Order::Delete(_) | Order::MakeDisk | Order::Detach(_) | Order::DeleteDisk(_) => None,
        }
    }

    fn name(&mut self, prefix: char) -> String {
        self.made += 1;
        format!("c{}-{prefix}{}", self.number, self.made)
    }

    /// Sends an order until it is answered, and writes it into the book. `None`: refused, or nobody answered.
    async fn send(&mut self, order: &Order) -> Option<Awaited> {
        let key = Uuid::new_v4().to_string();
        let name = self.name(if *order == Order::MakeDisk { 'd' } else { 'm' });
        let (method, path, body) = request(order, &name);
        let ask = Ask { method, path: &path, body, key: Some(&key), limit: None };
        match self.center.insist(ask).await {
            Ok((answer, tries)) if answer.status == 200 => self.accept(order, &name, &answer.body, tries),
            Ok((answer, _)) => {
                self.ledger.refuse(answer.reason());
                if !order.may_be_refused_with().contains(&answer.reason()) {
                    let told = format!("{order:?} was refused: {} {}", answer.status, answer.body);
                    self.ledger.wrong(told);
                }
                self.refused(order).await;
                None
            }
            Err(error) => {
                self.ledger.book().unanswered.insert(name);
                self.ledger.wrong(format!("{order:?}: {error:#}"));
                None
            }
        }
    }

    /// A repeated question whose first answer was lost may find itself done: what became of the thing tells.
    async fn refused(&mut self, order: &Order) {
        match order {
            Order::Delete(id) => {
                self.machines.remove(id);
                self.ledger.wish(id, End::Terminated);
                self.free(id);
            }
            Order::DeleteDisk(id) if self.state_of(&format!("/volumes/{id}")).await == "deleted" => {
                self.disks.remove(id);
                self.ledger.wish_disk(id, DiskEnd::Deleted);
            }
            Order::Detach(id) => {
                self.disks.insert(id.clone(), DiskEnd::Free);
                self.ledger.wish_disk(id, DiskEnd::Free);
            }
            _ => {}
        }
    }

    fn free(&mut self, machine: &str) {
        for end in self.disks.values_mut().filter(|end| **end == DiskEnd::On(machine.to_owned())) {
            *end = DiskEnd::Free;
        }
    }

    fn accept(&mut self, order: &Order, name: &str, answer: &Value, tries: u32) -> Option<Awaited> {
        let made = answer["id"].as_str().unwrap_or_default().to_owned();
        let what = order.word();
        let machine = |id: &str, state| (id.to_owned(), format!("/instances/{id}"), state);
        let disk = |id: &str, state| (id.to_owned(), format!("/volumes/{id}"), state);
        let (thing, path, state) = match order {
            Order::Launch | Order::LaunchReal => {
                self.machines.insert(made.clone(), End::Running);
                let new = Machine { name: name.to_owned(), end: End::Running, ran: false, reboots: 0, failed: false };
                self.ledger.book().machines.insert(made.clone(), new);
                machine(&made, "running")
            }
            Order::MakeDisk => {
                self.disks.insert(made.clone(), DiskEnd::Free);
                let new = Disk { name: name.to_owned(), end: DiskEnd::Free, failed: false };
                self.ledger.book().disks.insert(made.clone(), new);
                disk(&made, "available")
            }
            Order::PowerOff(id) => {
                self.wish(id, End::Halted);
                machine(id, "halted")
            }
            Order::PowerOn(id) => {
                self.wish(id, End::Running);
                machine(id, "running")
            }
            Order::Reboot(id) => {
                if let Some(known) = self.ledger.book().machines.get_mut(id) {
                    known.reboots += u64::from(tries);
                }
                machine(id, "running")
            }
            Order::Move(id, _) => machine(id, "running"),
            Order::Delete(id) => {
                self.machines.remove(id);
                self.ledger.wish(id, End::Terminated);
                self.free(id);
                machine(id, "terminated")
            }
            Order::Attach(id, to) => {
                self.disks.insert(id.clone(), DiskEnd::On(to.clone()));
                self.ledger.wish_disk(id, DiskEnd::On(to.clone()));
                disk(id, "attached")
            }
            Order::Detach(id) => {
                self.disks.insert(id.clone(), DiskEnd::Free);
                self.ledger.wish_disk(id, DiskEnd::Free);
                disk(id, "available")
            }
            Order::DeleteDisk(id) => {
                self.disks.remove(id);
                self.ledger.wish_disk(id, DiskEnd::Deleted);
                disk(id, "deleted")
            }
        };
        Some(Awaited { entry: self.ledger.accept(what, &thing), path, state, thing })
    }

    fn wish(&mut self, machine: &str, end: End) {
        self.machines.insert(machine.to_owned(), end);
        self.ledger.wish(machine, end);
    }

    async fn state_of(&self, path: &str) -> String {
        match self.center.get(path).await {
            Ok(row) => row["state"].as_str().unwrap_or_default().to_owned(),
            Err(_) => String::new(),
        }
    }

    /// Looks until the thing is as asked, failed, or the client's patience is over. Answers what a client does about a
    /// thing that failed.
    async fn follow(&mut self, awaited: &Awaited) -> Option<Order> {
        let began = Instant::now();
        let mut state = String::new();
        while began.elapsed() < PATIENCE {
            if let Ok((answer, _)) = self.center.insist(Ask::get(&awaited.path)).await {
                let row = &answer.body;
                state = row["state"].as_str().unwrap_or_default().to_owned();
                let is_gone = answer.status == 404 && ["terminated", "deleted"].contains(&awaited.state);
                if state == awaited.state || is_gone {
                    self.reached(awaited, began.elapsed());
                    return None;
                }
                // A delete never gives up.
                if state == "failed" && !["terminated", "deleted"].contains(&awaited.state) {
                    let code = row["failure"]["code"].as_str().unwrap_or_default().to_owned();
                    return Some(self.gave_up(awaited, code, began.elapsed()));
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.ledger.end(awaited.entry, Ended::Stuck { state }, began.elapsed());
        None
    }

    fn reached(&self, awaited: &Awaited, took: Duration) {
        if awaited.state == "running"
            && let Some(machine) = self.ledger.book().machines.get_mut(&awaited.thing)
        {
            machine.ran = true;
        }
        self.ledger.end(awaited.entry, Ended::AsAsked, took);
    }

    /// It failed and said why: the client deletes what is left of it.
    fn gave_up(&mut self, awaited: &Awaited, code: String, took: Duration) -> Order {
        self.ledger.end(awaited.entry, Ended::Failed { code }, took);
        let mut book = self.ledger.book();
        if let Some(machine) = book.machines.get_mut(&awaited.thing) {
            machine.failed = true;
            return Order::Delete(awaited.thing.clone());
        }
        if let Some(disk) = book.disks.get_mut(&awaited.thing) {
            disk.failed = true;
        }
        Order::DeleteDisk(awaited.thing.clone())
    }

    /// A disk whose machine was deleted is detached by the product.
    async fn wait_until_free(&self, disk: &str) {
        let end = Instant::now() + PATIENCE;
        let path = format!("/volumes/{disk}");
        if matches!(self.disks.get(disk), Some(DiskEnd::On(_))) {
            return;
        }
        while Instant::now() < end && !["available", "failed"].contains(&self.state_of(&path).await.as_str()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn request(order: &Order, name: &str) -> (&'static str, String, Value) {
    match order {
        Order::Launch | Order::LaunchReal => {
            let vifs = json!({ "eth0": { "index": "0", "network": NETWORK } });
            let mut body = json!({ "image_id": "wmi-tiny", "instance_type": "tiny", "hostname": name, "vifs": vifs });
            if *order == Order::LaunchReal {
                body["host_node_id"] = REAL_HOST.into();
            }
            ("POST", "/instances".into(), body)
        }
        Order::PowerOff(id) => ("PUT", format!("/instances/{id}/poweroff"), json!({ "force": "true" })),
        Order::PowerOn(id) => ("PUT", format!("/instances/{id}/poweron"), Value::Null),
        Order::Reboot(id) => ("PUT", format!("/instances/{id}/reboot"), Value::Null),
        Order::Move(id, to) => ("PUT", format!("/instances/{id}/move"), json!({ "host_node_id": to })),
        Order::Delete(id) => ("DELETE", format!("/instances/{id}"), Value::Null),
        Order::MakeDisk => ("POST", "/volumes".into(), json!({ "volume_size": 64, "display_name": name })),
        Order::Attach(disk, machine) => ("PUT", format!("/volumes/{disk}/attach"), json!({ "instance_id": machine })),
        Order::Detach(disk) => ("PUT", format!("/volumes/{disk}/detach"), Value::Null),
        Order::DeleteDisk(disk) => ("DELETE", format!("/volumes/{disk}"), Value::Null),
    }
}
