//! The world model: what must be true of rows, simulated worlds and wishes, at every step and when all is quiet.
//!
//! Rule: this knows neither plan nor app. It reads the public state of rows, what is in the agents' worlds, and what
//! was asked for.

use super::center::AGENTS;
use super::machine::Machine;
use super::orders::{DiskEnd, End, QUOTA_OTHER, Wishes};
use super::worlds::{Worlds, entries, text, texts};
use anyhow::{bail, ensure};
use arame_schema::api::Language;
use arame_schema::api::catalogue::failure;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub struct Model {
    machine: Arc<Machine>,
    state: Mutex<State>,
}

struct State {
    worlds: Worlds,
    /// Highest generation seen of (agent, thing).
    generations: BTreeMap<(String, String), u64>,
    /// Machines found running at a quiet moment: their boot disks hold data.
    ran: BTreeSet<String>,
    /// A host whose guests run on without their disks, for all that is known: it is declared lost.
    forgiven: Option<String>,
    violation: Option<String>,
}

impl Model {
    pub fn new(machine: Arc<Machine>, folder: &Path) -> Self {
        let worlds = Worlds::new(folder);
        let state =
            State { worlds, generations: BTreeMap::new(), ran: BTreeSet::new(), forgiven: None, violation: None };
        Self { machine, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// What must be true of the worlds at any moment; called after every effect of an agent.
    pub fn look(&self) {
        let mut state = self.lock();
        if !state.worlds.look(&AGENTS) {
            return;
        }
        if let Err(error) = state.at_any_moment() {
            state.note(error);
        }
    }

    /// The same, and what rows and worlds say of each other at any moment; called now and then.
    pub fn look_at_rows(&self) {
        self.look();
        let mut state = self.lock();
        let addresses = self.machine.rows(ADDRESSES).and_then(|rows| state.addresses(&rows));
        let ended = self.machine.lines(ENDED).and_then(|ended| state.what_ended_is_gone(&ended));
        if let Err(error) = addresses.and(ended) {
            state.note(error);
        }
    }

    /// What a host that is dead or cut off goes on running counts for nothing from now on; that no disk is exported twice counts.
    pub fn forgive(&self, agent: Option<&str>) {
        self.lock().forgiven = agent.map(str::to_owned);
    }

    /// What is not as wished yet; empty when everything is.
    ///
    /// # Errors
    /// Something is there that nobody asked for.
    pub fn missing(&self, wishes: &Wishes, on_the_way: usize) -> anyhow::Result<String> {
        let mut text = String::new();
        if on_the_way > 0 {
            // What they made may not be known to them yet.
            return Ok(format!("{on_the_way} orders are on their way\n"));
        }
        for (table, wished) in [("instances", machine_ends(wishes)), ("volumes", disk_ends(wishes))] {
            let found = self.machine.rows(&format!("SELECT id, state FROM {table}"))?;
            let found: BTreeMap<&str, &str> = found.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
            for (id, state) in &found {
                ensure!(wished.contains_key(*id), "{id} is {state} and nobody asked for it");
            }
            for (id, wish) in wished {
                let state = found.get(id).copied().unwrap_or("absent");
                if state != wish {
                    writeln!(text, "{id} is {state}, wished {wish}")?;
                }
            }
        }
        let backups = "SELECT CONCAT(id, ' is ', state) FROM backup_objects WHERE state IN ('creating', 'deleting')";
        for line in self.machine.lines(backups)? {
            writeln!(text, "{line}")?;
        }
        let copies = "SELECT CONCAT('the copy for ', id, ' is not over') FROM images \
                      WHERE captured_from IS NOT NULL AND capture_over = 0";
        for line in self.machine.lines(copies)? {
            writeln!(text, "{line}")?;
        }
        for backup in wishes.backups.keys() {
            let found = self.machine.lines(&format!("SELECT state FROM backup_objects WHERE id = '{backup}'"))?;
            ensure!(
                found.first().is_some_and(|state| ["creating", "available", "failed"].contains(&state.as_str())),
                "{backup} is {found:?} and nobody asked for that"
            );
        }
        let open = self.machine.number("SELECT COUNT(*) FROM jobs WHERE open = 1")?;
        if open > 0 {
            writeln!(text, "{open} jobs are open")?;
        }
        Ok(text)
    }

    /// What must be true when nothing is under way.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn when_quiet(&self, wishes: &Wishes) -> anyhow::Result<()> {
        self.look_at_rows();
        let mut state = self.lock();
        if let Some(violation) = &state.violation {
            bail!("{violation}");
        }
        state.machines(wishes)?;
        state.disks(wishes, &self.machine)?;
        state.snapshots(&self.machine)?;
        state.backups(&self.machine)?;
        state.images(&self.machine)?;
        self.rows_agree()?;
        self.usage_adds_up()?;
        self.failures_explain_themselves()
    }

    fn none(&self, what: &str, statement: &str) -> anyhow::Result<()> {
        let found = self.machine.lines(statement)?;
        ensure!(found.is_empty(), "{what}: {}", found.join(", "));
        Ok(())
    }

    fn rows_agree(&self) -> anyhow::Result<()> {
        self.none(
            "a fact is unsettled and nothing is under way",
            "SELECT thing, agent_id, name FROM facts WHERE value = 'maybe'",
        )?;
        self.none(
            "an interface without its lease, or with another's",
            "SELECT v.id FROM network_vifs v LEFT JOIN ip_leases l ON l.vif_id = v.id AND l.network_id = v.network_id \
             AND l.ipv4 = v.ipv4 AND l.mac = v.mac AND l.released_at IS NULL WHERE v.deleted_at IS NULL AND l.vif_id IS NULL",
        )?;
        self.none(
            "a lease without its interface",
            "SELECT l.vif_id FROM ip_leases l LEFT JOIN network_vifs v ON v.id = l.vif_id AND v.deleted_at IS NULL \
             WHERE l.released_at IS NULL AND v.id IS NULL",
        )?;
        self.none("a machine between two hosts", "SELECT instance_id FROM instance_moves")?;
        self.none(
            "a MAC twice",
            "SELECT mac FROM network_vifs WHERE deleted_at IS NULL GROUP BY mac HAVING COUNT(*) > 1",
        )?;
        self.none(
            "a hostname twice",
            "SELECT hostname FROM instances WHERE terminated_at IS NULL GROUP BY account_id, hostname HAVING COUNT(*) > 1",
        )?;
        self.none("told as silent, and heard", "SELECT id FROM agents WHERE silent_since IS NOT NULL")?;
        self.none("an event without its number", "SELECT id FROM events WHERE number IS NULL")?;
        let numbered = "SELECT COUNT(*), MAX(number), (SELECT events_numbered FROM installation) FROM events";
        for line in self.machine.lines(numbered)? {
            let numbers: BTreeSet<&str> = line.split(' ').collect();
            ensure!(numbers.len() == 1, "the numbers of events have gaps: {line} (count, highest, given)");
        }
        let used = self
            .machine
            .number("SELECT COUNT(*) FROM instances WHERE account_id = 'a-other' AND terminated_at IS NULL")?;
        ensure!(used <= QUOTA_OTHER, "a-other has {used} machines, its quota is {QUOTA_OTHER}");
        Ok(())
    }

    /// Usage is counted without a gap or an overlap, ends with the thing, and goes on while it is there.
    fn usage_adds_up(&self) -> anyhow::Result<()> {
        let mut last: Option<(String, String)> = None;
        for row in self.machine.rows(USAGE)? {
            let (resource, begun, ended) = (&row[0], &row[1], &row[2]);
            ensure!(ended.is_empty() || begun <= ended, "usage of {resource} ends before it begins: {begun}, {ended}");
            if let Some((before, until)) = last.filter(|(before, _)| before == resource) {
                ensure!(until == *begun, "usage of {before} ends at {until} and goes on at {begun}");
            }
            last = Some((resource.clone(), ended.clone()));
        }
        self.none(
            "usage is counted of what is no more",
            "SELECT u.resource FROM usage_intervals u LEFT JOIN instances i ON i.id = u.resource AND i.terminated_at IS NULL \
             LEFT JOIN volumes v ON v.id = u.resource AND v.deleted_at IS NULL \
             LEFT JOIN network_vifs n ON n.id = u.resource AND n.deleted_at IS NULL \
             WHERE u.open = 1 AND i.id IS NULL AND v.id IS NULL AND n.id IS NULL",
        )?;
        self.none(
            "an address that is given out is not counted as held",
            "SELECT n.id FROM network_vifs n LEFT JOIN usage_intervals u ON u.resource = n.id AND u.open = 1 AND u.what = 'held' \
             AND u.account_id = n.account_id WHERE n.deleted_at IS NULL AND u.seq IS NULL",
        )?;
        self.none(
            "a machine that runs is not counted as it is",
            "SELECT i.id FROM instances i LEFT JOIN usage_intervals u ON u.resource = i.id AND u.open = 1 AND u.what = 'running' \
             AND u.cpu_cores = i.cpu_cores AND u.memory_mib = i.memory_mib AND u.disk_mib = i.disk_mib AND u.account_id = i.account_id \
             WHERE i.state = 'running' AND u.seq IS NULL",
        )?;
        self.none(
            "a disk that is there is not counted as it is",
            "SELECT v.id FROM volumes v LEFT JOIN usage_intervals u ON u.resource = v.id AND u.open = 1 AND u.what = 'kept' \
             AND u.disk_mib = v.size_bytes DIV 1048576 AND u.account_id = v.account_id \
             WHERE v.state IN ('available', 'attached') AND u.seq IS NULL",
        )
    }

    fn failures_explain_themselves(&self) -> anyhow::Result<()> {
        let statement = "SELECT id, IFNULL(failure_code, ''), IFNULL(failure_message, '') FROM instances WHERE state = 'failed' \
                         UNION SELECT id, IFNULL(failure_code, ''), IFNULL(failure_message, '') FROM volumes WHERE state = 'failed'";
        for row in self.machine.rows(statement)? {
            let (id, code, message) = (&row[0], &row[1], &row[2]);
            ensure!(!code.is_empty() && !message.is_empty(), "{id} failed without a reason");
            for language in [Language::Ja, Language::En] {
                let words = failure(code).words(language);
                let told = [words.sentence, words.cause, words.next_step];
                ensure!(told.iter().all(|text| !text.is_empty()), "{id} failed ({code}) without words: {told:?}");
            }
        }
        Ok(())
    }

    /// States of rows, counted.
    ///
    /// # Errors
    /// The database's.
    pub fn ends(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut ends = BTreeMap::new();
        for (table, what) in [("instances", "machine"), ("volumes", "disk")] {
            for state in self.machine.lines(&format!("SELECT state FROM {table}"))? {
                *ends.entry(format!("{what} {state}")).or_default() += 1;
            }
        }
        for code in
            self.machine.lines("SELECT code FROM events WHERE code IN ('moved', 'move_ended_back', 'move_given_up')")?
        {
            *ends.entry(format!("move: {code}")).or_default() += 1;
        }
        Ok(ends)
    }

    /// At the end everything was deleted: no world holds anything of it.
    ///
    /// # Errors
    /// What is left.
    pub fn nothing_is_left(&self) -> anyhow::Result<()> {
        let mut state = self.lock();
        state.worlds.look(&AGENTS);
        for (host, world) in state.worlds.hosts() {
            for kind in ["domains", "waiting", "records", "ports"] {
                ensure!(entries(&world[kind]).next().is_none(), "{host} still has {kind}: {}", world[kind]);
            }
            ensure!(texts(&world["disks"]).next().is_none(), "{host} still has disks: {}", world["disks"]);
            let ports = world["policy"]["ports"].as_array().map_or(0, Vec::len);
            ensure!(ports == 0, "{host} still knows {ports} ports");
        }
        for kind in ["volumes", "targets", "snapshots", "objects"] {
            let left = &state.worlds.storage()[kind];
            ensure!(entries(left).next().is_none(), "the storage node still has {kind}: {left}");
        }
        for (network, world) in &state.worlds.networks {
            let hosts = world["snapshot"]["hosts"].as_array().map_or(0, Vec::len);
            ensure!(hosts == 0, "{network} still serves {hosts} hosts");
        }
        drop(state);
        self.none("an attachment is open", "SELECT id FROM attachments WHERE open = 1")?;
        self.none("a disk is not deleted", "SELECT id FROM volumes WHERE deleted_at IS NULL")?;
        self.none("a machine is not terminated", "SELECT id FROM instances WHERE terminated_at IS NULL")
    }
}

/// Every interval, by resource and time.
const USAGE: &str = "SELECT resource, CAST(begun_at AS CHAR), IFNULL(CAST(ended_at AS CHAR), '') FROM usage_intervals \
    ORDER BY resource, seq";

/// Interfaces in use: network, address, MAC, id, host, hostname.
const ADDRESSES: &str = "SELECT v.network_id, INET_NTOA(v.ipv4), v.mac, v.id, IFNULL(i.host_node_id, ''), i.hostname \
    FROM network_vifs v JOIN instances i ON i.id = v.instance_id WHERE v.deleted_at IS NULL";

/// Ids of what is no more, by its row.
const ENDED: &str = "SELECT id FROM instances WHERE terminated_at IS NOT NULL UNION ALL SELECT id FROM volumes WHERE deleted_at IS NOT NULL \
    UNION ALL SELECT id FROM attachments WHERE closed_at IS NOT NULL";

fn machine_ends(wishes: &Wishes) -> BTreeMap<&str, &str> {
    wishes.machines.iter().map(|(id, machine)| (id.as_str(), machine.end.as_str())).collect()
}

fn disk_ends(wishes: &Wishes) -> BTreeMap<&str, &str> {
    wishes.disks.iter().map(|(id, disk)| (id.as_str(), disk.end.as_str())).collect()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or(0)
}

/// The attachment a target was made for: its name ends in `:<attachment>-<epoch>`.
fn attachment_of(target: &str) -> &str {
    let word = target.rsplit(':').next().unwrap_or(target);
    word.rsplit_once('-').map_or(word, |(attachment, _)| attachment)
}

impl State {
    fn note(&mut self, error: anyhow::Error) {
        let told = format!("{error:#}");
        arame_framework::rehearsal::note(|| format!("VIOLATION {told}"));
        self.violation.get_or_insert(told);
    }

    fn at_any_moment(&mut self) -> anyhow::Result<()> {
        self.nothing_goes_back()?;
        let mut on: BTreeMap<&str, &str> = BTreeMap::new();
        let mut live: BTreeMap<&str, &str> = BTreeMap::new();
        for (host, world) in self.worlds.hosts().filter(|(host, _)| Some(*host) != self.forgiven.as_deref()) {
            for (id, domain) in entries(&world["domains"]) {
                if text(domain, "power") == "on"
                    && let Some(other) = on.insert(id, host)
                {
                    bail!("{id} runs on {other} and on {host}");
                }
                for attachment in texts(&domain["live"]) {
                    if let Some(other) = live.insert(attachment, host) {
                        bail!("{attachment} is plugged on {other} and on {host}");
                    }
                }
            }
        }
        let targets = &self.worlds.storage()["targets"];
        let exported: BTreeSet<&str> = entries(targets).map(|(name, _)| attachment_of(name)).collect();
        for (attachment, host) in &live {
            ensure!(exported.contains(attachment), "{attachment} is plugged on {host} and not exported");
        }
        let mut paths = BTreeMap::new();
        for (name, target) in entries(targets) {
            if let Some(other) = paths.insert(text(target, "path"), name) {
                bail!("one disk is exported twice: {other}, {name}");
            }
        }
        Ok(())
    }

    /// No agent goes back to an older wish, not even by way of a deletion.
    fn nothing_goes_back(&mut self) -> anyhow::Result<()> {
        let mut seen: Vec<(String, String, u64)> = Vec::new();
        for (host, world) in self.worlds.hosts() {
            for (id, record) in entries(&world["records"]) {
                seen.push((host.to_owned(), id.clone(), number(record, "generation")));
            }
            for (id, domain) in entries(&world["domains"]) {
                seen.push((host.to_owned(), format!("{id} (domain)"), number(&domain["mark"], "generation")));
            }
            seen.push((host.to_owned(), "policy".to_owned(), number(&world["policy"], "version")));
        }
        for (key, volume) in entries(&self.worlds.storage()["volumes"]) {
            seen.push(("sta.s1".to_owned(), key.clone(), number(&volume["mark"], "generation")));
        }
        for (network, world) in &self.worlds.networks {
            seen.push(("nsa.n1".to_owned(), network.clone(), number(world, "version")));
        }
        for (agent, thing, generation) in seen {
            let highest = self.generations.entry((agent.clone(), thing.clone())).or_default();
            ensure!(generation >= *highest, "{agent} went back with {thing} from {highest} to {generation}");
            *highest = generation;
        }
        Ok(())
    }

    /// A row says that something is no more only when it surely is.
    fn what_ended_is_gone(&self, ended: &[String]) -> anyhow::Result<()> {
        let ended: BTreeSet<&str> = ended.iter().map(String::as_str).collect();
        // A disk that was fenced with proof ended though the lost host's guest has it still; when that host is heard it counts again.
        for (host, world) in self.worlds.hosts().filter(|(host, _)| Some(*host) != self.forgiven.as_deref()) {
            for (id, domain) in entries(&world["domains"]) {
                ensure!(!ended.contains(id.as_str()), "{id} has ended and is on {host}: {domain}");
                let mut plugs = ["live", "kept"].iter().flat_map(|place| texts(&domain[place]));
                let plug = plugs.find(|plug| ended.contains(plug));
                ensure!(plug.is_none(), "{plug:?} has ended and {id} has it on {host}: {domain}");
            }
            for id in texts(&world["disks"]) {
                ensure!(!ended.contains(id), "{id} has ended and its disk is on {host}");
            }
        }
        for (_, volume) in entries(&self.worlds.storage()["volumes"]) {
            ensure!(!ended.contains(text(&volume["mark"], "owner")), "a disk was deleted and is there: {volume}");
        }
        for (target, _) in entries(&self.worlds.storage()["targets"]) {
            ensure!(!ended.contains(attachment_of(target)), "an attachment has ended and is exported: {target}");
        }
        Ok(())
    }

    /// An address in use is known under one MAC only, wherever somebody answers for it.
    fn addresses(&self, rows: &[Vec<String>]) -> anyhow::Result<()> {
        let used: BTreeMap<(&str, &str), &str> =
            rows.iter().map(|row| ((row[0].as_str(), row[1].as_str()), row[2].as_str())).collect();
        let check = |who: &str, network: &str, entry: &Value| {
            let (address, mac) = (text(entry, "ipv4"), text(entry, "mac"));
            match used.get(&(network, address)) {
                Some(owner) if *owner != mac => {
                    bail!("{who} answers for {address} in {network} with {mac}, but it was given to {owner}")
                }
                Some(_) | None => Ok(()),
            }
        };
        for (network, world) in &self.worlds.networks {
            for entry in world["snapshot"]["hosts"].as_array().into_iter().flatten() {
                check("nsa.n1", network, entry)?;
            }
        }
        for (host, world) in self.worlds.hosts() {
            for entry in world["policy"]["ports"].as_array().into_iter().flatten() {
                check(host, text(entry, "network"), entry)?;
            }
        }
        Ok(())
    }

    fn machines(&mut self, wishes: &Wishes) -> anyhow::Result<()> {
        let mut found: BTreeMap<String, (String, bool)> = BTreeMap::new();
        for (host, world) in self.worlds.hosts() {
            let domains: BTreeSet<&str> = entries(&world["domains"]).map(|(id, _)| id.as_str()).collect();
            let records: BTreeSet<&str> = entries(&world["records"]).map(|(id, _)| id.as_str()).collect();
            let disks: BTreeSet<&str> = texts(&world["disks"]).collect();
            let ports: BTreeSet<&str> = entries(&world["ports"]).map(|(_, port)| text(port, "instance")).collect();
            ensure!(entries(&world["waiting"]).next().is_none(), "{host} still waits for {}", world["waiting"]);
            ensure!(
                domains == records && domains == disks && domains == ports,
                "{host}: domains {domains:?}, records {records:?}, disks {disks:?}, ports {ports:?}"
            );
            for (id, domain) in entries(&world["domains"]) {
                let is_on = text(domain, "power") == "on";
                if let Some((other, _)) = found.insert(id.clone(), (host.to_owned(), is_on)) {
                    bail!("{id} is on {other} and on {host}");
                }
            }
        }
        for (id, machine) in &wishes.machines {
            let there = found.remove(id);
            let power = there.as_ref().map(|(_, on)| *on);
            let is_right = match machine.end {
                End::Running => power == Some(true),
                // Switched off before it was ever made: there is nothing to keep.
                End::Halted if !self.ran.contains(id) => power != Some(true),
                End::Halted => power == Some(false),
                End::Failed | End::Terminated => power.is_none(),
            };
            ensure!(is_right, "{id}: wished {:?}, found {there:?}", machine.end);
            if power == Some(true) {
                self.ran.insert(id.clone());
            }
        }
        ensure!(found.is_empty(), "nobody asked for {found:?}");
        Ok(())
    }

    fn disks(&self, wishes: &Wishes, machine: &Machine) -> anyhow::Result<()> {
        let storage = self.worlds.storage();
        let owners: BTreeSet<&str> =
            entries(&storage["volumes"]).map(|(_, volume)| text(&volume["mark"], "owner")).collect();
        let alive = wishes.disks.iter().filter(|(_, disk)| disk.end != DiskEnd::Deleted);
        let wished: BTreeSet<&str> = alive.map(|(id, _)| id.as_str()).collect();
        ensure!(owners == wished, "disks: wished {wished:?}, found {owners:?}");
        let open = machine.rows("SELECT volume_id, id, instance_id FROM attachments WHERE open = 1")?;
        let open: BTreeMap<&str, (&str, &str)> =
            open.iter().map(|row| (row[0].as_str(), (row[1].as_str(), row[2].as_str()))).collect();
        let targets: BTreeSet<&str> = entries(&storage["targets"]).map(|(name, _)| attachment_of(name)).collect();
        let attached: BTreeSet<&str> = open.values().map(|(attachment, _)| *attachment).collect();
        ensure!(targets == attached, "attached {attached:?}, exported {targets:?}");
        for (id, disk) in &wishes.disks {
            match (&disk.end, open.get(id.as_str())) {
                (DiskEnd::On(wished), Some((attachment, instance))) => {
                    ensure!(wished == instance, "{id} is on {instance}, wished on {wished}");
                    self.plugged(wishes, wished, attachment)?;
                }
                (DiskEnd::Free | DiskEnd::Deleted, None) => {}
                (end, found) => bail!("{id}: wished {end:?}, found {found:?}"),
            }
        }
        self.no_other_plug(&attached)
    }

    /// The guest has the disk: in what runs, or in what would be started.
    fn plugged(&self, wishes: &Wishes, machine: &str, attachment: &str) -> anyhow::Result<()> {
        let domain = self.worlds.hosts().find_map(|(_, world)| world["domains"].get(machine));
        let Some(domain) = domain else {
            let end = wishes.machines.get(machine).map(|machine| machine.end);
            ensure!(end == Some(End::Halted), "{attachment} is attached to {machine}, which is nowhere");
            return Ok(());
        };
        let place = if text(domain, "power") == "on" { "live" } else { "kept" };
        ensure!(texts(&domain[place]).any(|found| found == attachment), "{machine} has no {attachment} in {domain}");
        Ok(())
    }

    fn no_other_plug(&self, attached: &BTreeSet<&str>) -> anyhow::Result<()> {
        for (host, world) in self.worlds.hosts() {
            for (id, domain) in entries(&world["domains"]) {
                for attachment in ["live", "kept"].iter().flat_map(|place| texts(&domain[place])) {
                    ensure!(attached.contains(attachment), "{id} on {host} has {attachment}, which is not attached");
                }
            }
        }
        Ok(())
    }

    /// DHCP, DNS and firewalls say what the rows say, in the rows' version.
    /// Every backup that is there is whole, in its row's words, and no snapshot is left of any.
    fn backups(&self, machine: &Machine) -> anyhow::Result<()> {
        let storage = self.worlds.storage();
        if let Some((name, _)) = entries(&storage["snapshots"]).next() {
            bail!("a snapshot is left without its backup: {name}");
        }
        let rows = machine.rows("SELECT id, checksum FROM backup_objects WHERE state = 'available'")?;
        let known: BTreeMap<&str, &str> = rows.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
        let mut found = BTreeSet::new();
        for (key, object) in entries(&storage["objects"]) {
            let id = key.rsplit('/').next().unwrap_or(key);
            let sha256 = hex::encode(Sha256::digest(text(object, "content")));
            ensure!(known.get(id) == Some(&sha256.as_str()), "{id} holds {sha256}, its row says {:?}", known.get(id));
            ensure!(text(object, "sha256") == sha256, "{id} is labelled {}", text(object, "sha256"));
            found.insert(id);
        }
        let missing: Vec<_> = known.keys().filter(|id| !found.contains(*id)).collect();
        ensure!(missing.is_empty(), "available and not there: {missing:?}");
        Ok(())
    }

    /// No copy of a disk is left at a host, and every image of a machine that is known to be stored is, as it was measured.
    fn images(&self, machine: &Machine) -> anyhow::Result<()> {
        for (host, world) in self.worlds.hosts() {
            if let Some((image, _)) = entries(&world["captures"]).next() {
                bail!("{host} has a copy for {image} left");
            }
        }
        let rows =
            "SELECT id, sha256 FROM images WHERE captured_from IS NOT NULL AND size_bytes > 0 AND deleted_at IS NULL";
        for row in machine.rows(rows)? {
            let stored = &self.worlds.storage()["images"][&row[0]];
            ensure!(text(stored, "sha256") == row[1], "{} is stored as {stored}, its row says {}", row[0], row[1]);
        }
        Ok(())
    }

    fn snapshots(&self, machine: &Machine) -> anyhow::Result<()> {
        let rows_now = machine.rows(ADDRESSES)?;
        for row in machine.rows("SELECT id, version FROM networks")? {
            let served = self.worlds.networks.get(&row[0]).unwrap_or(&Value::Null);
            ensure!(
                number(served, "version").to_string() == row[1],
                "{} is served at {}, not {}",
                row[0],
                served["version"],
                row[1]
            );
            let hosts = served["snapshot"]["hosts"].as_array().into_iter().flatten();
            let told: BTreeSet<[&str; 4]> =
                hosts.map(|host| ["vif", "mac", "ipv4", "hostname"].map(|key| text(host, key))).collect();
            let own = rows_now.iter().filter(|vif| vif[0] == row[0]);
            let wished: BTreeSet<[&str; 4]> =
                own.map(|vif| [&vif[3], &vif[2], &vif[1], &vif[5]].map(String::as_str)).collect();
            ensure!(told == wished, "{} serves {told:?}, the rows say {wished:?}", row[0]);
        }
        for row in machine.rows("SELECT id, agent_id, policy_version FROM host_nodes")? {
            let policy = self.worlds.of.get(&row[1]).map_or(&Value::Null, |world| &world["policy"]);
            ensure!(
                number(policy, "version").to_string() == row[2],
                "{} has policy {}, not {}",
                row[0],
                policy["version"],
                row[2]
            );
            let told: BTreeSet<&str> =
                policy["ports"].as_array().into_iter().flatten().map(|port| text(port, "vif")).collect();
            let wished: BTreeSet<&str> =
                rows_now.iter().filter(|vif| vif[4] == row[0]).map(|vif| vif[3].as_str()).collect();
            ensure!(told == wished, "{} knows the ports {told:?}, the rows say {wished:?}", row[0]);
        }
        Ok(())
    }
}
