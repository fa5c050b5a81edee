//! What goes wrong, drawn from the seed: at points of the programs, in the database, on the bus, in the drivers.
//!
//! Rule: all of it passes. A driver fails once where it fails, a process is started again, a link comes back: nothing
//! here makes success impossible, so nothing may fail for it. Each stroke is counted, and whether a job was open.

use super::center::{AGENTS, Center, DCMGR, Driver};
use super::machine::Machine;
use super::report::Struck;
use arame_dcmgr::db::lockstep;
use arame_framework::bus::memory::Faults;
use arame_framework::rehearsal;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One in so many passes of an agent's point ends the agent there.
const AGENT_POINT_ONE_IN: u32 = 20;

/// The same after a commit of dcmgr that queued jobs, before it rings them.
const COMMIT_POINT_ONE_IN: u32 = 60;

/// One in so many commits fails or is left in doubt.
const COMMIT_ONE_IN: u32 = 60;

/// One in so many beginnings and reads loses its connection.
const READ_ONE_IN: u32 = 300;

pub struct Trouble {
    machine: Arc<Machine>,
    on: AtomicBool,
    database_away: AtomicBool,
    rng: Mutex<StdRng>,
    struck: Mutex<BTreeMap<String, Struck>>,
}

/// What the bus does to messages meanwhile.
pub fn bus_faults() -> Faults {
    Faults {
        drop: 0.08,
        duplicate: 0.12,
        delay: 0.35,
        delay_max: Duration::from_millis(5000),
        reorder: 0.10,
        unconfirmed: 0.05,
    }
}

impl Trouble {
    pub fn new(machine: Arc<Machine>, seed: u64) -> Self {
        let rng = Mutex::new(StdRng::seed_from_u64(seed ^ 0x7472_6f75_626c_6500));
        Self {
            machine,
            on: AtomicBool::new(false),
            database_away: AtomicBool::new(false),
            rng,
            struck: Mutex::default(),
        }
    }

    fn rng(&self) -> MutexGuard<'_, StdRng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_on(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    pub fn struck(&self) -> BTreeMap<String, Struck> {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn one_in(&self, many: u32) -> bool {
        self.rng().random_ratio(1, many)
    }

    fn pick(&self, many: u32) -> u32 {
        self.rng().random_range(0..many)
    }

    fn count(&self, kind: &str) {
        let open = self.machine.number("SELECT COUNT(*) FROM jobs WHERE open = 1").unwrap_or(0);
        let mut struck = self.struck.lock().unwrap_or_else(PoisonError::into_inner);
        let struck = struck.entry(kind.to_owned()).or_default();
        struck.times += 1;
        struck.hits += u64::from(open > 0);
        rehearsal::note(|| format!("TROUBLE {kind}, {open} jobs open"));
    }

    /// What strikes the database at a moment.
    pub fn of_database(&self, moment: lockstep::Moment) -> Option<lockstep::Trouble> {
        use lockstep::{Moment, Trouble};
        if !self.is_on() {
            return None;
        }
        if self.database_away.load(Ordering::Relaxed) {
            return Some(Trouble::Lost);
        }
        let (kind, trouble) = match moment {
            Moment::Begin | Moment::Read if self.one_in(READ_ONE_IN) => ("database: connection lost", Trouble::Lost),
            Moment::Begin | Moment::Read => return None,
            Moment::Commit if self.one_in(COMMIT_ONE_IN) => match self.pick(3) {
                0 => ("database: commit lost", Trouble::Lost),
                1 => ("database: commit in doubt, done", Trouble::LostAfterCommit),
                _ => ("database: deadlock", Trouble::Deadlock),
            },
            Moment::Commit => return None,
        };
        self.count(kind);
        Some(trouble)
    }

    /// Whether the process that passes this point ends here.
    pub fn ends_at(&self, point: &str, kind: &str) -> bool {
        if !self.is_on() {
            return false;
        }
        let many = match (point, kind) {
            ("after_commit", "ring") => COMMIT_POINT_ONE_IN,
            ("after_commit", _) => COMMIT_POINT_ONE_IN * 6,
            _ => AGENT_POINT_ONE_IN,
        };
        let ends = self.one_in(many);
        if ends {
            self.count(&format!("crash: {point}"));
        }
        ends
    }

    fn pause(&self, millis: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng().random_range(millis))
    }

    /// How long a process that ended at a point stays dead.
    pub fn death(&self) -> Duration {
        self.pause(100..3_000)
    }

    /// One stroke from outside; it is over by itself.
    pub fn strike(self: &Arc<Self>, center: &Arc<Center>) {
        let agent = AGENTS.choose(&mut *self.rng()).copied().unwrap_or("hva.h1");
        match self.pick(100) {
            0..=24 => {
                self.count("agent killed");
                center.kill(agent, self.pause(100..4_000));
            }
            25..=29 => {
                self.count("agent away for long");
                center.kill(agent, self.pause(20_000..110_000));
            }
            30..=49 => {
                self.count("dcmgr killed");
                center.kill(DCMGR, self.pause(100..4_000));
            }
            50..=69 => self.cut(center, agent),
            70..=76 => self.lose_database(),
            77..=82 => self.stop_guest(center),
            _ => self.fail_once(center, agent),
        }
    }

    fn cut(self: &Arc<Self>, center: &Arc<Center>, agent: &str) {
        let who = if self.rng().random_bool(0.4) { DCMGR } else { agent }.to_owned();
        self.count(if who == DCMGR { "link of dcmgr cut" } else { "link of an agent cut" });
        center.broker.disconnect(&who);
        let (pause, broker) = (self.pause(100..5_000), center.broker.clone());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            broker.reconnect(&who);
        });
    }

    fn lose_database(self: &Arc<Self>) {
        self.count("database away");
        self.database_away.store(true, Ordering::Relaxed);
        let (pause, own) = (self.pause(200..3_000), self.clone());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            own.database_away.store(false, Ordering::Relaxed);
        });
    }

    /// A guest dies by itself, or its CPUs stand still as on a full disk: it is wished on, so it is started again, or resumed.
    fn stop_guest(&self, center: &Center) {
        let running = "SELECT a.id, i.id FROM instances i JOIN host_nodes h ON h.id = i.host_node_id \
                       JOIN agents a ON a.id = h.agent_id WHERE i.state IN ('running', 'migrating') ORDER BY i.id";
        let running = self.machine.rows(running).unwrap_or_default();
        let Some(guest) = running.choose(&mut *self.rng()).cloned() else { return };
        let (Some(Driver::Hva(sim)), Ok(instance)) = (center.driver(&guest[0]), guest[1].parse()) else { return };
        if self.rng().random_bool(0.4) {
            self.count("guest stands still");
            tokio::spawn(async move { sim.stall_guest(&instance).await });
        } else {
            self.count("guest dies");
            tokio::spawn(async move { sim.kill_guest(&instance).await });
        }
    }

    /// A driver's next step of some kind fails, or hangs until it fails, once.
    fn fail_once(&self, center: &Center, agent: &str) {
        let Some(driver) = center.driver(agent) else { return };
        let pick = self.rng().random_range(0..1000usize);
        self.count("driver fails once");
        match driver {
            Driver::Hva(sim) => {
                use arame_hva::driver::sim::{Action, FailsAs, Fault, Point};
                let verbs = [
                    "ensure_disk",
                    "ensure_defined",
                    "ensure_running",
                    "ensure_off",
                    "ensure_plugged",
                    "bury",
                    "ensure_waiting",
                    "pause_to_send",
                    "let_run",
                    "write_record",
                ];
                let point = if pick % 2 == 0 { Point::BeforeEffect } else { Point::AfterEffect };
                let action = if pick % 10 == 0 { Action::Hang } else { Action::Fail };
                let kind = Some(verbs[pick % verbs.len()].to_owned());
                sim.inject(Fault { kind, thing: None, point, action, times: 1, fails_as: FailsAs::Simulated });
            }
            Driver::Sta(sta) => {
                use arame_sta::faults::{Action, Fault};
                let verbs = ["create_volume", "delete_volume", "export", "unexport"];
                let step = if pick % 2 == 0 { "before" } else { "after" };
                let at = format!("{}:{step}", verbs[pick % verbs.len()]);
                sta.world().faults.arm(Fault { at, action: Action::Fail, times: 1 });
            }
            Driver::Nsa(sim) => {
                use arame_nsa::faults::{Effect, Fault, Point};
                let points = [Point::ApplyBefore, Point::ApplyWritten, Point::ApplyAfter];
                sim.faults().inject(Fault { at: points[pick % points.len()], effect: Effect::Fail, times: 1 });
            }
        }
    }

    /// Nothing goes wrong any more, and what is broken is whole.
    pub fn heal(&self, center: &Arc<Center>) {
        self.set_on(false);
        self.database_away.store(false, Ordering::Relaxed);
        center.broker.set_faults(0, Faults::default());
        center.start_all();
        for who in AGENTS.into_iter().chain([DCMGR]) {
            center.broker.reconnect(who);
        }
        rehearsal::note(|| "HEALED".to_owned());
    }
}
