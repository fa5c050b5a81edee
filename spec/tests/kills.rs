//! Real processes, killed at random moments of launches, deletes, power changes and attachments: whatever dies,
//! everything ends where it should, nothing is there twice, the audit is empty.
//!
//! Each round sends several orders at once, as patient clients would (one key an order, repeated until answered), and
//! kills one or two of dcmgr, an agent, RabbitMQ and MariaDB with SIGKILL. The supervisor starts them again. `ARAME_SEED` repeats a
//! story's orders and moments, `ARAME_KILL_ROUNDS` makes it longer. A moment of a real process cannot be repeated
//! exactly; a seed that found something finds it again within a few runs.

use anyhow::{Context, bail, ensure};
use arame_spec::processes::{Backends, PATIENCE, Processes};
use arame_spec::wishes::{self, DiskEnd, End, Order, Wishes};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Rounds of one run: about ten seconds each on a busy machine of two cores.
const ROUNDS: u64 = 16;

/// A round's first kill comes within this time of its orders: what a launch takes in an unoptimised build.
const MOMENT_MAX_MS: u64 = 250;

/// A second kill, if there is one, comes within this time of the first.
const SECOND_MAX_MS: u64 = 600;

/// Machines kept at most: bounds what a picture of a failure shows.
const MACHINES_MAX: usize = 12;

const VICTIMS: [&str; 9] = ["dcmgr", "hva.h1", "sta.s1", "dcmgr", "nsa.n1", "mariadb", "hva.h2", "rabbitmq", "hva.h1"];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

struct Story {
    center: Arc<Processes>,
    rng: StdRng,
    wishes: Wishes,
    victims: VecDeque<&'static str>,
    made: u32,
    kills: u32,
    hits: u32,
}

impl Story {
    fn name(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}{}", self.made)
    }

    fn victim(&mut self) -> &'static str {
        if self.victims.is_empty() {
            let mut all = VICTIMS;
            all.shuffle(&mut self.rng);
            self.victims.extend(all);
        }
        self.victims.pop_front().unwrap_or("dcmgr")
    }

    /// Several orders that do not speak of the same thing.
    fn orders(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        let mut running = self.wishes.machines_that_end(End::Running);
        running.shuffle(&mut self.rng);
        let deletes = if running.len() >= MACHINES_MAX { 6 } else { self.rng.random_range(0..=2) };
        for _ in 0..deletes.min(running.len()) {
            orders.extend(running.pop().map(|machine| Order::Delete { machine }));
        }
        if self.rng.random_bool(0.4) {
            orders.extend(running.pop().map(|machine| Order::PowerOff { machine }));
        }
        let halted = self.wishes.machines_that_end(End::Halted);
        orders.extend(halted.choose(&mut self.rng).map(|machine| match self.rng.random_bool(0.7) {
            true => Order::PowerOn { machine: machine.clone() },
            false => Order::Delete { machine: machine.clone() },
        }));
        for _ in 0..self.rng.random_range(1..=4) {
            let name = self.name("m");
            orders.push(Order::Launch { name });
        }
        let gone: Vec<String> = orders.iter().filter_map(deleted).collect();
        orders.extend(self.disk_order(running.first(), &gone));
        orders
    }

    fn disk_order(&mut self, machine: Option<&String>, leaving: &[String]) -> Option<Order> {
        let mut disks: Vec<(String, DiskEnd)> =
            self.wishes.disks.iter().map(|(id, end)| (id.clone(), end.clone())).collect();
        disks.retain(|(_, end)| *end != DiskEnd::Deleted);
        disks.shuffle(&mut self.rng);
        let Some((disk, end)) = disks.pop().filter(|_| disks.len() >= 2) else {
            let name = self.name("d");
            return Some(Order::MakeDisk { name });
        };
        match end {
            DiskEnd::On(machine) if leaving.contains(&machine) => None,
            DiskEnd::On(_) => Some(Order::Detach { disk }),
            DiskEnd::Free if self.rng.random_bool(0.2) => Some(Order::DeleteDisk { disk }),
            DiskEnd::Free => machine.map(|machine| Order::Attach { disk, machine: machine.clone() }),
            DiskEnd::Deleted => None,
        }
    }

    /// One round: orders, kills, and the end that must be reached.
    async fn round(&mut self, round: u64) -> anyhow::Result<()> {
        let began = Instant::now();
        let orders = self.orders();
        let mut sent = JoinSet::new();
        for order in orders.clone() {
            let center = self.center.clone();
            sent.spawn(async move {
                let made = wishes::send(&center, &order).await;
                (order, made)
            });
        }
        let mut moments = Vec::new();
        // The waits are the random moments of the faults, not a synchronisation.
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..=MOMENT_MAX_MS))).await;
        self.kill(&mut moments)?;
        if self.rng.random_bool(0.3) {
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..=SECOND_MAX_MS))).await;
            self.kill(&mut moments)?;
        }
        while let Some(joined) = sent.join_next().await {
            let (order, made) = joined?;
            self.wishes.note(&order, made?);
        }
        self.settle().await?;
        let mut told = Vec::new();
        for (victim, moment) in moments {
            let open = self.center.open_at(moment).await?;
            self.kills += 1;
            self.hits += u32::from(open > 0);
            told.push(format!("{victim} ({open} jobs open)"));
        }
        println!(
            "round {round:2}: {} orders, killed {}, whole again after {:.1} s",
            orders.len(),
            told.join(" and "),
            began.elapsed().as_secs_f32()
        );
        Ok(())
    }

    fn kill(&mut self, moments: &mut Vec<(&'static str, SystemTime)>) -> anyhow::Result<()> {
        let victim = self.victim();
        if let Some(moment) = self.center.kill(victim)? {
            moments.push((victim, moment));
        }
        Ok(())
    }

    /// Everything as wished, by the API, by the worlds, by the audit.
    async fn settle(&mut self) -> anyhow::Result<()> {
        self.center.all_alive().await?;
        let end = Instant::now() + PATIENCE;
        loop {
            let missing = self.wishes.missing(&self.center).await?;
            if missing.is_empty() {
                break;
            }
            ensure!(Instant::now() < end, "not as wished within {PATIENCE:?}:\n{missing}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.wishes.compare(&self.center.worlds()?)?;
        self.audit().await
    }

    /// An agent that comes back right now may be missing from the first answer; a thing may not be in any.
    async fn audit(&self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.center.get("/audit?fresh=true").await?;
            let findings = audit_results(&found)?;
            if findings.is_empty() {
                return Ok(());
            }
            let passing = |kind: &serde_json::Value| kind == "agent_silent" || kind == "listing_incomplete";
            let passes = findings.iter().all(|finding| passing(&finding["kind"]));
            ensure!(passes && Instant::now() < end, "the audit finds {found:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Deletes everything: nothing may be left anywhere.
    async fn end(&mut self) -> anyhow::Result<()> {
        let machines = self.wishes.machines.iter().filter(|(_, end)| **end != End::Terminated);
        let mut orders: Vec<Order> = machines.map(|(id, _)| Order::Delete { machine: id.clone() }).collect();
        let disks = self.wishes.disks.iter().filter(|(_, end)| **end != DiskEnd::Deleted);
        let later: Vec<Order> = disks.map(|(id, _)| Order::DeleteDisk { disk: id.clone() }).collect();
        for batch in [std::mem::take(&mut orders), later] {
            for order in batch {
                let made = wishes::send(&self.center, &order).await?;
                self.wishes.note(&order, made);
            }
            self.settle().await?;
        }
        Ok(())
    }
}

fn deleted(order: &Order) -> Option<String> {
    match order {
        Order::Delete { machine } => Some(machine.clone()),
        _ => None,
    }
}

fn audit_results(found: &serde_json::Value) -> anyhow::Result<&Vec<serde_json::Value>> {
    found.as_array().context("findings are a list")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_process_dies_everything_ends_where_it_should() -> anyhow::Result<()> {
    if arame_framework::testkit::lacks_rabbitmq() {
        return Ok(());
    }
    if !arame_spec::database::is_installed() {
        arame_framework::testkit::skip("mariadb");
        return Ok(());
    }
    let seed = number("ARAME_SEED").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    let rounds = number("ARAME_KILL_ROUNDS").unwrap_or(ROUNDS);
    println!("seed {seed}, {rounds} rounds: repeat with ARAME_SEED={seed}");
    let mut center = Processes::up(Backends::Simulated, 2).await?;
    let rng = StdRng::seed_from_u64(seed);
    let (wishes, victims) = (Wishes::default(), VecDeque::new());
    let shared = Arc::new(center);
    let mut story = Story { center: shared.clone(), rng, wishes, victims, made: 0, kills: 0, hits: 0 };
    let mut told = Ok(());
    for round in 1..=rounds {
        told = story.round(round).await.with_context(|| format!("round {round} of seed {seed}"));
        if told.is_err() {
            break;
        }
    }
    if told.is_ok() {
        told = story.end().await;
    }
    println!("{} faults, {} of them while a job was open", story.kills, story.hits);
    let (kills, hits) = (story.kills, story.hits);
    drop(story);
    if let Err(error) = told {
        let picture = wishes::picture(&shared).await;
        bail!("{error:#}\n{picture}");
    }
    center = Arc::into_inner(shared).context("nobody uses the data center any more")?;
    center.down().await?;
    ensure!(hits * 2 >= kills, "only {hits} of {kills} faults hit an open job: the moments are too late");
    Ok(())
}
