//! One lane per thing: at most one job of a thing at work, at most one waiting, the newest.
//!
//! ```text
//! offer ─► nothing there ──────────► at work ──ended──► next, or the lane ends
//!      ├─► same job id: dropped         │ deadline + 30 s: hung, counted; the lane waits for it
//!      ├─► older generation: refused    ▼
//!      └─► newer: at work is cancelled, waiting is replaced (answered overtaken)
//! ```
//!
//! Rule: this file decides and starts tasks; it never waits. Every job that entered is answered exactly once, but for
//! a hung one, which is answered when it is found hung and again if it ever ends.

use super::work::{self, Assignment, Event};
use super::{Context, Joined};
use crate::rehearsal;
use arame_schema::jobs::report::{JobResult, Retry};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Things with a job at a time: bounds memory and tasks against a flood.
const LANES_MAX: usize = 1_024;

struct Running {
    job: Uuid,
    generation: u64,
    cancel: CancellationToken,
    hung: bool,
}

struct Lane {
    running: Running,
    waiting: Option<Assignment>,
}

pub(super) struct Lanes {
    context: Arc<Context>,
    events: mpsc::UnboundedSender<Event>,
    by_thing: BTreeMap<String, Lane>,
}

impl Lanes {
    pub fn new(context: Arc<Context>, events: mpsc::UnboundedSender<Event>) -> Self {
        Self { context, events, by_thing: BTreeMap::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.by_thing.is_empty()
    }

    /// Takes a job into its thing's lane, or answers why not.
    pub fn offer(&mut self, assignment: Assignment, joined: &Joined) {
        let Some(lane) = self.by_thing.get_mut(&assignment.thing) else {
            if self.by_thing.len() >= LANES_MAX {
                let message = format!("{LANES_MAX} things have a job already");
                return self.context.answer(&assignment, failed("too_many_jobs", message));
            }
            return self.start(assignment, joined);
        };
        let newest = lane.waiting.as_ref().map_or(lane.running.generation, |waiting| waiting.generation);
        if lane.running.job == assignment.job || lane.waiting.as_ref().is_some_and(|w| w.job == assignment.job) {
            tracing::debug!(job = %assignment.job, "a duplicate is dropped");
        } else if assignment.generation < newest {
            self.context.answer(&assignment, JobResult::Refused { found_generation: newest });
        } else {
            lane.running.cancel.cancel();
            if let Some(replaced) = lane.waiting.replace(assignment) {
                self.context.answer(&replaced, JobResult::Overtaken);
            }
        }
        self.count();
    }

    /// Starts a job, unless what is known by now forbids it. The lane exists only while something runs.
    fn start(&mut self, assignment: Assignment, joined: &Joined) {
        if let Some(refusal) = self.context.gate(&assignment) {
            self.context.answer(&assignment, refusal);
            return self.count();
        }
        let cancel = CancellationToken::new();
        let running =
            Running { job: assignment.job, generation: assignment.generation, cancel: cancel.clone(), hung: false };
        self.by_thing.insert(assignment.thing.clone(), Lane { running, waiting: None });
        let standing = joined.standing.clone();
        rehearsal::spawn(work::run(self.context.clone(), assignment, standing, cancel, self.events.clone()));
        self.count();
    }

    /// The job at work ended and was answered: the next one's turn.
    pub fn ended(&mut self, thing: &str, joined: &Joined) {
        if let Some(waiting) = self.by_thing.remove(thing).and_then(|lane| lane.waiting) {
            self.start(waiting, joined);
        }
        self.count();
    }

    pub fn hung(&mut self, thing: &str) {
        if let Some(lane) = self.by_thing.get_mut(thing) {
            lane.running.hung = true;
        }
        self.count();
    }

    /// The earliest deadline of a job that waits.
    pub fn next_due(&self) -> Option<Instant> {
        self.by_thing.values().filter_map(|lane| lane.waiting.as_ref()).map(|waiting| waiting.deadline).min()
    }

    /// Answers those that wait and whose time is over before their turn came.
    pub fn expire(&mut self, now: Instant) {
        for lane in self.by_thing.values_mut() {
            if let Some(waiting) = lane.waiting.take_if(|waiting| waiting.deadline <= now) {
                let message = "the job's time was spent waiting for an earlier job of the same thing";
                self.context.answer(&waiting, failed("budget_spent", message));
            }
        }
        self.count();
    }

    /// Cancels what runs and sends back what waits.
    pub fn stop(&mut self) {
        for lane in self.by_thing.values_mut() {
            lane.running.cancel.cancel();
            if let Some(waiting) = lane.waiting.take() {
                self.context.answer(&waiting, failed("agent_leaving", "the agent stops"));
            }
        }
        self.count();
    }

    fn count(&self) {
        let lanes = self.by_thing.values();
        let open = lanes.clone().map(|lane| 1 + u32::from(lane.waiting.is_some())).sum();
        let hung = lanes.filter(|lane| lane.running.hung).count();
        self.context.counts.open.store(open, Ordering::SeqCst);
        let lanes = u32::try_from(self.by_thing.len()).unwrap_or(u32::MAX);
        self.context.counts.lanes.store(lanes, Ordering::SeqCst);
        self.context.counts.hung.store(u32::try_from(hung).unwrap_or(u32::MAX), Ordering::SeqCst);
    }
}

pub(super) fn failed(code: &str, message: impl Into<String>) -> JobResult {
    JobResult::Failed { code: code.to_owned(), message: message.into(), retry: Retry::Later }
}
