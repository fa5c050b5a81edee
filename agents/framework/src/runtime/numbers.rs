//! What the framework itself says of an agent at `/metrics`: who it is, what is at work, what was answered.
//!
//! Rule: the same names for every agent, with its id as a label. Kinds and results come from enums: the labels are bounded.

use super::Context;
use crate::metrics::{self, Sample};
use arame_schema::jobs::report::{JobResult, Outcome};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Kinds of jobs that are told apart: whoever sends strange ones does not fill the memory.
const KINDS_MAX: usize = 64;

/// Outcomes by kind and result.
#[derive(Debug, Default)]
pub(super) struct Answered(Mutex<BTreeMap<(String, &'static str), u64>>);

impl Answered {
    pub fn count(&self, outcome: &Outcome) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (outcome.kind.clone(), word(&outcome.result));
        if counts.len() < KINDS_MAX || counts.contains_key(&key) {
            *counts.entry(key).or_default() += 1;
        }
    }
}

fn word(result: &JobResult) -> &'static str {
    match result {
        JobResult::Done => "done",
        JobResult::Failed { .. } => "failed",
        JobResult::Refused { .. } => "refused",
        JobResult::Unsupported { .. } => "unsupported",
        JobResult::Overtaken => "overtaken",
        JobResult::HeldEpoch { .. } => "held_epoch",
        JobResult::Progress { .. } => "progress",
    }
}

/// Shows them, and the agent's own, until it is dropped.
pub(super) fn show(listener: TcpListener, context: Arc<Context>) -> AbortOnDropHandle<()> {
    let serve = metrics::serve(listener, move || samples(&context));
    AbortOnDropHandle::new(tokio::spawn(serve))
}

fn samples(context: &Context) -> Vec<Sample> {
    let (id, counts) = (&context.id, &context.counts);
    let gauge = |name, help, value: f64| Sample::gauge(name, help, value).of("agent", id);
    let incarnation = counts.incarnation.load(Ordering::Relaxed);
    let mut samples = vec![
        gauge("arame_agent_info", "The program's version.", 1.0).of("version", env!("CARGO_PKG_VERSION")),
        gauge("arame_agent_incarnation", "What its welcome gave; 0 before the first.", incarnation as f64),
        gauge("arame_agent_linked", "Whether the broker is reached.", f64::from(context.bus.link().borrow().up)),
        gauge("arame_agent_lanes", "Things with a job.", counts.lanes.load(Ordering::Relaxed).into()),
        gauge("arame_agent_jobs_open", "Jobs at work and waiting.", counts.open.load(Ordering::Relaxed).into()),
        gauge(
            "arame_agent_calls_hung",
            "Jobs that did not return in time.",
            counts.hung.load(Ordering::Relaxed).into(),
        ),
        gauge("arame_agent_degraded", "Whether it wants nothing new.", f64::from(context.agent.degraded().is_some())),
    ];
    let answered = context.outbox.answered.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    samples.extend(answered.into_iter().map(|((kind, result), count)| {
        let help = "Jobs answered, by kind and result.";
        Sample::counter("arame_agent_outcomes_total", help, count).of("agent", id).of("kind", kind).of("result", result)
    }));
    samples.extend(context.agent.metrics().into_iter().map(|sample| sample.of("agent", id)));
    samples
}
