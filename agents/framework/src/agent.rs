//! What an agent is to the framework: a few verbs. The framework calls them with one lane per thing.
//!
//! ```text
//! hello ──► welcome ──► inventory ──► jobs (lanes) ──► drain ──► leave
//!   ▲                                   │
//!   └────────── reconnect ◄─────────────┘ lanes go on while the broker is away; outcomes wait, bounded
//! ```
//!
//! Rules every agent may rely on: at most one job of a thing runs at a time; a newer job for it cancels
//! [`Work::cancelled`] of the older and runs after it; a job seen before is run again (handlers are idempotent);
//! jobs of another incarnation are dropped; destructive jobs from an older database epoch are held.

use crate::metrics::Sample;
use crate::stream::BoxedWire;
use arame_schema::jobs::Job;
use arame_schema::jobs::report::{Ask, Backend, BackendStatus, Capacity, FactReport, InventoryThing, Retry};
use arame_schema::model::{Fact, FactName, Observation};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What the agent tells in its hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Subset of [`Job::KINDS`].
    pub kinds: Vec<&'static str>,
    pub capacity: Capacity,
    pub endpoints: BTreeMap<String, String>,
}

/// The agent's place in the installation, after the welcome.
#[derive(Debug, Clone)]
pub struct Standing {
    pub installation: Uuid,
    pub incarnation: u64,
    /// Shared by all clones and by later standings of the same process: see [`Standing::renewed`].
    last: Arc<Mutex<Observation>>,
    survey: Arc<Notify>,
}

impl Standing {
    pub fn new(installation: Uuid, incarnation: u64) -> Self {
        let last = Arc::new(Mutex::new(Observation { incarnation, seq: 0 }));
        Self { installation, incarnation, last, survey: Arc::new(Notify::new()) }
    }

    /// The same process under the incarnation of a later welcome. Jobs still at work keep their old standing, but
    /// what they observe from now on is numbered in the new incarnation: a look that begins after the new welcome is
    /// newer than one that began before, whichever job takes it.
    pub fn renewed(&self, incarnation: u64) -> Self {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if incarnation > last.incarnation {
            *last = Observation { incarnation, seq: 0 };
        }
        Self { incarnation, ..self.clone() }
    }

    /// The order of an observation. Call it *before* looking: a look that began earlier never outranks one that
    /// began later.
    pub fn observe(&self) -> Observation {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.seq += 1;
        *last
    }

    /// Something changed by itself (a guest died): send an inventory now instead of at the next interval.
    pub fn survey_now(&self) {
        self.survey.notify_one();
    }

    /// Resolves when [`Standing::survey_now`] was called; the runtime's inventory loop waits on it.
    pub async fn survey_wanted(&self) {
        self.survey.notified().await;
    }
}

/// One job at work.
#[derive(Debug, Clone)]
pub struct Work {
    pub job: Uuid,
    pub thing: String,
    pub generation: u64,
    pub standing: Standing,
    kind: &'static str,
    deadline: Instant,
    cancelled: CancellationToken,
    progress: mpsc::Sender<(u8, String)>,
}

impl Work {
    pub fn new(
        job: Uuid,
        thing: String,
        generation: u64,
        standing: Standing,
        budget: Duration,
        cancelled: CancellationToken,
        progress: mpsc::Sender<(u8, String)>,
    ) -> Self {
        Self { job, thing, generation, standing, kind: "", deadline: Instant::now() + budget, cancelled, progress }
    }

    /// The kind of the job, which crash points may be armed for.
    pub fn of_kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// A job at work without a broker: incarnation 1 of a fresh installation, a minute of budget. Cancel it by
    /// `work.cancelled().cancel()`; progress goes nowhere.
    pub fn for_tests(thing: &str, generation: u64) -> Self {
        Self::for_tests_in(&Standing::new(Uuid::new_v4(), 1), thing, generation)
    }

    /// As [`Work::for_tests`], in a standing of the caller: several jobs of one agent share its observations' order.
    pub fn for_tests_in(standing: &Standing, thing: &str, generation: u64) -> Self {
        Self::for_tests_within(standing, thing, generation, Duration::from_secs(60))
    }

    /// As [`Work::for_tests_in`], with a budget of the caller (zero: spent before it began).
    pub fn for_tests_within(standing: &Standing, thing: &str, generation: u64, budget: Duration) -> Self {
        let (progress, _) = mpsc::channel(1);
        let cancelled = CancellationToken::new();
        Self::new(Uuid::now_v7(), thing.to_owned(), generation, standing.clone(), budget, cancelled, progress)
    }

    /// Passes a named crash point ([`crate::crash::POINTS`]): nothing happens unless it was armed. Agents pass
    /// `before_effect` and `after_effect` around each change of the world.
    pub fn crash_point(&self, name: &str) {
        crate::crash::point_of(name, self.kind);
    }

    /// One change of the world: begun only while the job is wanted and has time, between its two crash points. What an
    /// agent changes by this can be killed before and after it by any test.
    ///
    /// # Errors
    /// As [`Work::check`], or the change's.
    pub async fn effect<T, E>(&self, change: impl Future<Output = Result<T, E>> + Send) -> Result<T, Stopped>
    where
        Stopped: From<E>,
    {
        self.check()?;
        self.crash_point("before_effect");
        let done = change.await?;
        self.crash_point("after_effect");
        Ok(done)
    }

    /// Time left by the monotonic clock; zero when the budget is spent. Check it before each effect.
    pub fn budget_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Fires when a newer job for the same thing arrived, or the agent stops. Abort what can be aborted (download,
    /// copy); finish what cannot.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Tells how far the work is. Never blocks; what does not fit is dropped.
    pub fn progress(&self, percent: u8, note: impl Into<String>) {
        let _ = self.progress.try_send((percent.min(100), note.into()));
    }

    /// `Err(Stopped::Overtaken)` when cancelled, `Err(Stopped::Failed)` when the budget is spent.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.cancelled.is_cancelled() {
            return Err(Stopped::Overtaken { facts: Vec::new() });
        }
        if self.budget_left().is_zero() {
            return Err(Stopped::failed("budget_spent", "the job's time was spent before its next step", Retry::Later));
        }
        Ok(())
    }

    /// A fact about this job's own thing, observed now at this job's generation.
    pub fn fact(&self, name: FactName, value: Fact, observed: Observation) -> FactReport {
        FactReport { thing: self.thing.clone(), name, value, generation: self.generation, observed, detail: None }
    }
}

/// A job that did not end in `done`.
#[derive(Debug, Clone, PartialEq)]
pub enum Stopped {
    Failed {
        code: String,
        message: String,
        retry: Retry,
        facts: Vec<FactReport>,
    },
    /// The thing carries a newer generation than the job.
    Refused {
        found_generation: u64,
        facts: Vec<FactReport>,
    },
    /// A newer job takes over.
    Overtaken {
        facts: Vec<FactReport>,
    },
}

impl Stopped {
    pub fn failed(code: &str, message: impl Into<String>, retry: Retry) -> Self {
        Stopped::Failed { code: code.to_owned(), message: message.into(), retry, facts: Vec::new() }
    }

    /// The same with what was seen after the failure.
    pub fn with_facts(mut self, seen: Vec<FactReport>) -> Self {
        match &mut self {
            Stopped::Failed { facts, .. } | Stopped::Refused { facts, .. } | Stopped::Overtaken { facts } => {
                *facts = seen
            }
        }
        self
    }
}

/// What an inventory holds; the framework adds who and when.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    pub backends: Vec<Backend>,
    pub things: Vec<InventoryThing>,
    /// Of a storage node: [`arame_schema::jobs::report::Inventory::kept_mib`].
    pub kept_mib: Option<u64>,
}

#[async_trait]
pub trait Agent: Send + Sync + 'static {
    /// What goes into the hello. Called at each (re)connection.
    fn profile(&self) -> Profile;

    /// Called after each welcome, before any job that came under it. After a mere reconnect of the same process jobs
    /// of the old standing may still be at work: what they observe is numbered in the new one.
    async fn joined(&self, _standing: Standing) {}

    /// The broker is reached, or is lost: until the next welcome nothing new is heard. Called at each change; it does not
    /// wait.
    fn linked(&self, _is_up: bool) {}

    /// Does one job and answers what was seen. Idempotent.
    async fn handle(&self, job: Job, work: Work) -> Result<Vec<FactReport>, Stopped>;

    /// Everything of ours that exists. `began` was taken before the call; facts listed carry it. An agent that does not
    /// list says so: nothing is concluded from what it does not name.
    async fn list(&self, _began: Observation) -> Listing {
        let status = BackendStatus::Unavailable { reason: "this agent does not list what it has".into() };
        Listing { backends: vec![Backend { name: "everything".into(), status }], ..Listing::default() }
    }

    /// Answers a read-only question; `Err` is a sentence.
    async fn ask(&self, ask: Ask) -> Result<Value, String> {
        Err(format!("this agent does not understand the question `{}`", ask.question))
    }

    /// Opens the agent's own end of a stream; the framework brings it to the dcmgr that asks ([`crate::stream`]). `Err` is
    /// a sentence, or one of the words that dcmgr knows.
    async fn open(&self, ask: &Ask) -> Result<BoxedWire, String> {
        Err(format!("this agent opens no stream `{}`", ask.question))
    }

    /// Its own numbers for `/metrics`, beside the framework's. Called at each look: it reads and does not wait.
    fn metrics(&self) -> Vec<Sample> {
        Vec::new()
    }

    /// Why the agent wants no new placements, if so.
    fn degraded(&self) -> Option<String> {
        None
    }

    /// The process ends: lanes are drained. What guests need stays (DESIGN 3.13).
    async fn leaving(&self) {}
}
