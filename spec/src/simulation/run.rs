//! One seed: a data center comes up, is asked for things while things go wrong, heals, becomes quiet, is emptied.
//!
//! Rule: one thread, virtual time, and nothing drawn but from the seed: the same seed gives the same trace, line for
//! line. The hash covers the trace and every row at the end.

use super::center::Center;
use super::clients::{Clients, caller};
use super::machine::Machine;
use super::model::Model;
use super::orders::{ACCOUNTS, DiskEnd, End, Order};
use super::report::Report;
use super::trouble::{Trouble, bus_faults};
use anyhow::{bail, ensure};
use arame_dcmgr::app;
use arame_dcmgr::db::lockstep;
use arame_framework::rehearsal::{Note, Sabotage, Stage};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Turns of one run: orders, a pause, perhaps trouble. One run in [`SLOW_ONE_IN`] is slow: its pauses are long enough for
/// addresses to cool and to be given out again while somebody is away.
const TURNS: u32 = 14;
const SLOW_ONE_IN: u32 = 6;
const PAUSE_MS: std::ops::Range<u64> = 50..2_500;
const SLOW_PAUSE_MS: std::ops::Range<u64> = 2_000..30_000;

/// Between two looks of the world model while things go wrong, beside those after each effect.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Virtual time until everything must be up.
const COME_UP: Duration = Duration::from_secs(60);

/// Virtual time after the last trouble until everything must be as wished. A lost message costs ten seconds, the next
/// ones of the same job twice as much each; a job that was lost with its agent's answer is found by the inventory.
const SETTLE: Duration = Duration::from_secs(600);

/// Quiet must last past the next inventory of every agent.
pub(super) const STAYS_QUIET: Duration = Duration::from_secs(25);
/// As long a moment as one look more: an event has its number some milliseconds after the commit that made it.
const SEEN_AGAIN: Duration = Duration::from_secs(1);

/// A released address is free again after this, with the sweep that finds it.
const COOLS: Duration = Duration::from_secs(200);

/// Runs a seed. What the world model does not accept is in the report.
///
/// # Errors
/// The machine's: no thread, no database.
pub fn run(machine: &Arc<Machine>, seed: u64, sabotage: Option<Sabotage>) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(rehearse(machine.clone(), seed, sabotage, false))
}

/// The same, and a host dies for long and is declared lost ([`super::loss`]).
///
/// # Errors
/// As [`run`].
pub fn run_losing(machine: &Arc<Machine>, seed: u64) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(rehearse(machine.clone(), seed, None, true))
}

async fn rehearse(machine: Arc<Machine>, seed: u64, sabotage: Option<Sabotage>, loses: bool) -> anyhow::Result<Report> {
    let trouble = Arc::new(Trouble::new(machine.clone(), seed));
    let watch = Arc::new(std::sync::OnceLock::<(Arc<Center>, Arc<Model>)>::new());
    let (watched, striking) = (watch.clone(), trouble.clone());
    let stage = Stage::begin(seed, sabotage, move |point, kind| {
        watched.get().is_some_and(|(center, model)| passes(center, model, &striking, point, kind))
    });
    let striking = trouble.clone();
    let _lockstep = lockstep::begin(machine.connections(), move |moment| striking.of_database(moment));
    let center = Center::prepare(machine.clone()).await?;
    let model = Arc::new(Model::new(machine, center.folder()));
    let _ = watch.set((center.clone(), model.clone()));
    let clients = Arc::new(Clients::new(center.clone(), seed));
    let rng = StdRng::seed_from_u64(seed ^ 0x7475_726e_7300_0000);
    let report = Report { seed, ..Report::default() };
    let mut run = Run { center, clients, model, trouble, rng, report, loses };
    let ended = run.all().await;
    run.finish(&stage, ended)
}

/// A process passes a point: the model looks, and the process may end.
fn passes(center: &Arc<Center>, model: &Model, trouble: &Trouble, point: &str, kind: &str) -> bool {
    if point != "after_commit" {
        arame_framework::rehearsal::note(|| format!("point {point} {kind}"));
        model.look();
    }
    if !trouble.ends_at(point, kind) {
        return false;
    }
    let process = arame_framework::rehearsal::Process::current();
    let name = process.as_ref().map_or(super::center::DCMGR, |process| process.name());
    center.kill(name, trouble.death());
    true
}

pub(super) struct Run {
    pub(super) center: Arc<Center>,
    pub(super) clients: Arc<Clients>,
    pub(super) model: Arc<Model>,
    pub(super) trouble: Arc<Trouble>,
    pub(super) rng: StdRng,
    report: Report,
    /// A host is declared lost before everything is deleted.
    loses: bool,
}

impl Run {
    async fn all(&mut self) -> anyhow::Result<()> {
        self.center.start()?;
        self.come_up().await?;
        self.center.broker.set_faults(self.rng.random(), bus_faults());
        self.trouble.set_on(true);
        let pauses = if self.rng.random_ratio(1, SLOW_ONE_IN) { SLOW_PAUSE_MS } else { PAUSE_MS };
        for _ in 0..TURNS {
            self.turn(pauses.clone()).await?;
        }
        self.trouble.heal(&self.center);
        let healed = Instant::now();
        self.settle(STAYS_QUIET).await?;
        self.report.settled_in = healed.elapsed().saturating_sub(STAYS_QUIET);
        self.look_closely().await?;
        self.report.ends = self.model.ends()?;
        if self.loses {
            self.lose_a_host().await?;
            self.report.ends.extend(self.losses()?);
        }
        self.empty().await
    }

    async fn come_up(&self) -> anyhow::Result<()> {
        let end = Instant::now() + COME_UP;
        let heard = "SELECT COUNT(*) FROM agents WHERE incarnation > 0";
        let image = "SELECT COUNT(*) FROM facts WHERE thing = 'wmi-tiny' AND value = 'yes'";
        while self.center.machine.number(heard)? < 4 || self.center.machine.number(image)? < 1 {
            self.check()?;
            ensure!(Instant::now() < end, "not every agent is heard, or the image is not there, within {COME_UP:?}");
            sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }

    /// What ends a run at once.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.model.look_at_rows();
        let told = self.model.violation().or_else(|| self.center.ended_badly()).or_else(|| self.clients.stuck());
        ensure!(told.is_none(), "{}", told.unwrap_or_default());
        Ok(())
    }

    async fn turn(&mut self, pauses: std::ops::Range<u64>) -> anyhow::Result<()> {
        for _ in 0..self.rng.random_range(0..=4) {
            let account = ACCOUNTS[usize::from(self.rng.random_ratio(1, 4))];
            if let Some(order) = self.clients.draw(account) {
                self.clients.send(account, order);
            }
        }
        let pause = self.rng.random_range(pauses);
        self.wait(pause).await?;
        if self.rng.random_bool(0.6) {
            self.wait_for_a_job().await?;
            self.trouble.strike(&self.center);
        }
        Ok(())
    }

    pub(super) async fn wait(&self, millis: u64) -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_millis(millis);
        while Instant::now() < end {
            sleep(LOOK_EVERY.min(end - Instant::now())).await;
            self.check()?;
        }
        Ok(())
    }

    /// Trouble that finds nothing under way proves little: it waits a moment for something.
    async fn wait_for_a_job(&self) -> anyhow::Result<()> {
        for _ in 0..40 {
            if self.center.machine.number("SELECT COUNT(*) FROM jobs WHERE open = 1")? > 0 {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn is_quiet(&self) -> bool {
        let queues = super::center::AGENTS.map(|agent| format!("job.{agent}"));
        let waiting = queues.iter().filter_map(|queue| self.center.broker.depth(queue)).sum::<usize>();
        let outcomes = self.center.broker.depth("dcmgr.outcome").unwrap_or(0);
        waiting + outcomes + self.clients.on_the_way() == 0
    }

    /// Waits until everything is as wished, and stays so.
    pub(super) async fn settle(&self, stays: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + SETTLE;
        let mut quiet_since = None;
        loop {
            self.check()?;
            let missing = self.model.missing(&self.clients.wishes(), self.clients.on_the_way())?;
            let now = Instant::now();
            if missing.is_empty() && self.is_quiet() {
                if now - *quiet_since.get_or_insert(now) >= stays {
                    return self.model.when_quiet(&self.clients.wishes());
                }
            } else {
                quiet_since = None;
            }
            ensure!(now < end, "not as wished {SETTLE:?} after the last trouble:\n{missing}{}", self.picture()?);
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// A fresh audit finds nothing but what was bound to fail.
    async fn look_closely(&mut self) -> anyhow::Result<()> {
        let wishes = self.clients.wishes();
        let Some((app, process)) = self.center.serving() else { bail!("nobody serves although nothing is wrong") };
        let asked = async move { app::audit::findings(&app, &caller("a-demo", "audit"), true).await };
        let findings = process.spawn(asked).await?.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        // A copy of what was deleted before it was there can only fail, and says so.
        let sourceless = "SELECT id FROM backup_objects WHERE failure_code = 'copy_source_gone'";
        let sourceless = self.center.machine.lines(sourceless)?;
        let expected = |thing: &str| {
            let failed = wishes.machines.get(thing).is_some_and(|machine| machine.end == End::Failed);
            failed || sourceless.iter().any(|id| id == thing)
        };
        let found: Vec<_> = findings.iter().filter(|finding| !expected(&finding.thing)).collect();
        ensure!(found.is_empty(), "the audit finds {found:#?}");
        let failed =
            "SELECT id FROM instances WHERE state = 'failed' UNION SELECT id FROM volumes WHERE state = 'failed'";
        let failed = self.center.machine.lines(failed)?;
        self.report.failed = failed.iter().filter(|id| !expected(id)).count() as u64;
        Ok(())
    }

    /// Everything is deleted, machines first; then nothing is left, and in the end no address is taken.
    async fn empty(&self) -> anyhow::Result<()> {
        let wishes = self.clients.wishes();
        for (id, machine) in wishes.machines.iter().filter(|(_, machine)| machine.end != End::Terminated) {
            self.clients.send(machine.account, Order::Delete { machine: id.clone() });
        }
        self.settle(SEEN_AGAIN).await?;
        for (id, disk) in wishes.disks.iter().filter(|(_, disk)| disk.end != DiskEnd::Deleted) {
            self.clients.send(disk.account, Order::DeleteDisk { disk: id.clone() });
        }
        for (image, account) in &wishes.images {
            self.clients.send(account, Order::DeleteImage { image: image.clone() });
        }
        for (backup, account) in &wishes.backups {
            self.clients.send(account, Order::DeleteBackup { backup: backup.clone() });
        }
        self.settle(SEEN_AGAIN).await?;
        self.model.nothing_is_left()?;
        let end = Instant::now() + COOLS;
        while self.center.machine.number("SELECT COUNT(*) FROM ip_leases")? > 0 {
            ensure!(Instant::now() < end, "addresses are still taken {COOLS:?} after everything was deleted");
            sleep(Duration::from_secs(2)).await;
        }
        Ok(())
    }

    /// Everything a person needs to begin with.
    fn picture(&self) -> anyhow::Result<String> {
        let statements = [
            "SELECT 'job', kind, thing, agent_id, generation, state, attempt, rings, created_at, IFNULL(rung_at, '-'), IFNULL(error_message, '') FROM jobs WHERE open = 1 OR state <> 'done' ORDER BY seq DESC LIMIT 25",
            "SELECT 'machine', id, state, desired, generation, IFNULL(host_node_id, '-'), IFNULL(failure_code, '-') FROM instances WHERE terminated_at IS NULL",
            "SELECT 'disk', id, state, wanted, generation, IFNULL(failure_code, '-') FROM volumes WHERE deleted_at IS NULL",
            "SELECT 'attachment', id, volume_id, instance_id, wanted, generation FROM attachments WHERE open = 1",
            "SELECT 'fact', thing, agent_id, name, value, generation, incarnation, observed FROM facts",
            "SELECT 'agent', id, incarnation, heard_at FROM agents",
        ];
        let mut text = String::new();
        for statement in statements {
            text.push_str(&self.center.machine.lines(statement)?.join("\n"));
            text.push('\n');
        }
        Ok(text)
    }

    fn finish(mut self, stage: &Stage, ended: anyhow::Result<()>) -> anyhow::Result<Report> {
        let ended = ended.and_then(|()| self.check());
        self.report.violation = ended.err().map(|error| format!("{error:#}"));
        self.report.virtual_time = Stage::elapsed();
        self.report.asked = self.clients.asked();
        self.report.struck = self.trouble.struck();
        self.report.bus = self.center.broker.stats();
        self.report.restarts = self.center.restarts();
        self.report.displaced = self.center.displaced();
        let folder = self.center.folder().display().to_string();
        let own = |line: &str| line.replace(&folder, "FOLDER");
        self.report.trace =
            stage.take_notes().into_iter().map(|note| Note { at: note.at, line: own(&note.line) }).collect();
        let mut hash = Sha256::new();
        for note in &self.report.trace {
            hash.update(format!("{:?} {}\n", note.at, note.line));
        }
        for line in self.center.machine.dump()? {
            hash.update(own(&line));
        }
        self.report.hash = hex::encode(&hash.finalize()[..8]);
        Ok(self.report)
    }
}
