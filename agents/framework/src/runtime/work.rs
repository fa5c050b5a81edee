//! One job from its start to its answer.
//!
//! Rule: whatever the handler does, return, fail, panic or hang, the job is answered and its lane is told. A tombstone
//! is on disk before the deletion is answered done.

use super::lanes::failed;
use super::{Context, survey};
use crate::agent::{Standing, Stopped, Work};
use crate::rehearsal::{self, Sabotage};
use arame_schema::jobs::report::{FactReport, JobResult, Outcome};
use arame_schema::jobs::{Envelope, Job, exchange};
use arame_schema::limits::{JOB_BUDGET_MAX, WIRE_VERSION};
use arame_schema::model::Fact;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

/// A handler still at work this long after its budget was spent hangs in a call that cannot be aborted.
const OVERRUN: Duration = Duration::from_secs(30);

/// Progress of one job is told no more often; a newer one says more than two older.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Work that is shorter tells none: its end says more, and each telling is a message and a write.
const PROGRESS_FIRST: Duration = Duration::from_millis(300);

/// Progress nobody took within this time is not worth delivering.
const PROGRESS_EXPIRES: Duration = Duration::from_secs(10);

/// Told to the runtime's loop.
#[derive(Debug)]
pub(super) enum Event {
    Ended { thing: String },
    Hung { thing: String },
    HelloFailed,
}

/// A job and what its answer needs.
#[derive(Debug)]
pub(super) struct Assignment {
    pub job: Uuid,
    pub kind: &'static str,
    pub thing: String,
    pub generation: u64,
    pub incarnation: u64,
    pub epoch: u64,
    pub what: Job,
    pub received: Instant,
    pub deadline: Instant,
    pub traceparent: Option<String>,
}

impl Assignment {
    pub fn new(envelope: Envelope, what: Job, received: Instant) -> Self {
        let budget = Duration::from_millis(envelope.budget_ms).min(JOB_BUDGET_MAX);
        Self {
            job: envelope.id,
            kind: what.kind(),
            thing: envelope.thing,
            generation: envelope.generation,
            incarnation: envelope.incarnation,
            epoch: envelope.epoch,
            what,
            received,
            deadline: received + budget,
            traceparent: envelope.traceparent,
        }
    }

    /// Ends the thing, or what of it is dropped when it is whole elsewhere: nothing older may make it again.
    pub fn is_delete(&self) -> bool {
        self.kind.ends_with(".delete") || self.kind.ends_with(".drop")
    }

    /// Looks and changes nothing: may be asked about a thing that was deleted.
    pub fn is_observe(&self) -> bool {
        self.kind.ends_with(".observe")
    }
}

/// What outlives the handler's own copy of the job.
struct Paper {
    job: Uuid,
    kind: &'static str,
    thing: String,
    generation: u64,
    is_delete: bool,
    outcome: Outcome,
    started: Instant,
}

impl Paper {
    fn of(context: &Context, assignment: &Assignment) -> Self {
        Self {
            job: assignment.job,
            kind: assignment.kind,
            thing: assignment.thing.clone(),
            generation: assignment.generation,
            is_delete: assignment.is_delete(),
            outcome: context.outcome(assignment, JobResult::Done),
            started: Instant::now(),
        }
    }

    fn work(
        &self,
        deadline: Instant,
        standing: Standing,
        cancel: CancellationToken,
        progress: mpsc::Sender<(u8, String)>,
    ) -> Work {
        let budget = deadline.saturating_duration_since(self.started);
        Work::new(self.job, self.thing.clone(), self.generation, standing, budget, cancel, progress).of_kind(self.kind)
    }

    fn answer(&self, result: JobResult, facts: Vec<FactReport>) -> Outcome {
        let worked_ms = millis(self.started.elapsed());
        Outcome { result, facts, worked_ms, ..self.outcome.clone() }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Context {
    /// The outcome of a job as far as it is known before it ran.
    pub(super) fn outcome(&self, assignment: &Assignment, result: JobResult) -> Outcome {
        Outcome {
            v: WIRE_VERSION,
            job: assignment.job,
            kind: assignment.kind.to_owned(),
            agent: self.id.clone(),
            incarnation: assignment.incarnation,
            thing: assignment.thing.clone(),
            result,
            facts: Vec::new(),
            waited_ms: millis(assignment.received.elapsed()),
            worked_ms: 0,
            traceparent: assignment.traceparent.clone(),
        }
    }

    /// Answers a job that never ran.
    pub(super) fn answer(&self, assignment: &Assignment, result: JobResult) {
        tracing::info!(job = %assignment.job, kind = assignment.kind, thing = assignment.thing, ?result, "not run");
        self.outbox.put(self.outcome(assignment, result));
    }

    /// What forbids a job to start now.
    pub(super) fn gate(&self, assignment: &Assignment) -> Option<JobResult> {
        let highest_epoch = self.keeps.epoch();
        if assignment.epoch < highest_epoch && assignment.what.is_destructive() {
            return Some(JobResult::HeldEpoch { highest_epoch });
        }
        if let Some(found_generation) = self.keeps.grave(&assignment.thing)
            && assignment.generation <= found_generation
            && !rehearsal::sabotaged(Sabotage::SkipGenerationCheck)
            && !assignment.is_delete()
            && !assignment.is_observe()
        {
            return Some(JobResult::Refused { found_generation });
        }
        if assignment.deadline <= Instant::now() {
            return Some(failed("budget_spent", "the job's time was spent before it began"));
        }
        None
    }
}

/// Runs the handler, answers, tells the lane.
pub(super) async fn run(
    context: Arc<Context>,
    assignment: Assignment,
    standing: Standing,
    cancel: CancellationToken,
    events: mpsc::UnboundedSender<Event>,
) {
    let paper = Paper::of(&context, &assignment);
    let overrun = assignment.deadline + OVERRUN;
    let (progress, told) = mpsc::channel(8);
    let work = paper.work(assignment.deadline, standing, cancel.clone(), progress);
    let progress = rehearsal::spawn(forward(context.clone(), paper.outcome.clone(), told));
    let span = tracing::info_span!("job", job = %paper.job, kind = paper.kind, thing = paper.thing);
    let agent = context.agent.clone();
    let handler = async move { agent.handle(assignment.what, work).await };
    // A task of its own: a panic in the handler is an answer, not the end of the runtime.
    let mut handler = rehearsal::spawn(handler.instrument(span));
    let ended = tokio::select! {
        biased;
        ended = &mut handler => ended,
        () = tokio::time::sleep_until(overrun) => {
            tracing::error!(job = %paper.job, kind = paper.kind, thing = paper.thing, "a handler hangs");
            cancel.cancel();
            let message = format!("the call did not return within {} s of its budget", OVERRUN.as_secs());
            context.outbox.put(paper.answer(failed("handler_hung", message), Vec::new()));
            let _ = events.send(Event::Hung { thing: paper.thing.clone() });
            handler.await
        }
    };
    progress.abort();
    let (result, facts) = conclude(&context, &paper, ended).await;
    tracing::info!(job = %paper.job, kind = paper.kind, thing = paper.thing, ?result, "ended");
    context.outbox.put(paper.answer(result, facts));
    let _ = events.send(Event::Ended { thing: paper.thing });
}

type Handled = Result<Result<Vec<FactReport>, Stopped>, JoinError>;

async fn conclude(context: &Arc<Context>, paper: &Paper, ended: Handled) -> (JobResult, Vec<FactReport>) {
    let (result, facts) = result_of(context, paper, ended).await;
    if result == JobResult::Done || !paper.is_delete || !shows_gone(&facts, &paper.thing) {
        return (result, facts);
    }
    // It failed and nothing is left: dcmgr will take that for the end, and a frozen older job could raise the dead.
    match bury(context, paper).await {
        Ok(()) => (result, facts),
        // Then nothing is told of what was seen, and the deletion is asked for again.
        Err(error) => (failed("state_dir_error", format!("{error:#}")), Vec::new()),
    }
}

fn shows_gone(facts: &[FactReport], thing: &str) -> bool {
    let mut own = facts.iter().filter(|fact| fact.thing == thing).peekable();
    own.peek().is_some() && own.all(|fact| fact.value == Fact::No)
}

async fn result_of(context: &Arc<Context>, paper: &Paper, ended: Handled) -> (JobResult, Vec<FactReport>) {
    match ended {
        Ok(Ok(facts)) if paper.is_delete => match bury(context, paper).await {
            Ok(()) => (JobResult::Done, facts),
            // The thing is gone, but a frozen older job could raise it: nothing of it is told, and the deletion is asked
            // for again.
            Err(error) => (failed("state_dir_error", format!("{error:#}")), Vec::new()),
        },
        Ok(Ok(facts)) => (JobResult::Done, facts),
        Ok(Err(Stopped::Failed { code, message, retry, facts })) => (JobResult::Failed { code, message, retry }, facts),
        Ok(Err(Stopped::Refused { found_generation, facts })) => (JobResult::Refused { found_generation }, facts),
        Ok(Err(Stopped::Overtaken { facts })) => (JobResult::Overtaken, facts),
        Err(error) => (failed("agent_panic", panic_text(error)), Vec::new()),
    }
}

async fn bury(context: &Arc<Context>, paper: &Paper) -> anyhow::Result<()> {
    let (context, thing, generation) = (context.clone(), paper.thing.clone(), paper.generation);
    rehearsal::blocking(move || context.keeps.bury(&thing, generation)).await?
}

fn panic_text(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "the agent's handler was aborted".into() };
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    format!("the agent's handler panicked: {}", text.unwrap_or_default())
}

/// Tells the latest progress, at most once in [`PROGRESS_INTERVAL`]; ends with the job.
async fn forward(context: Arc<Context>, outcome: Outcome, mut told: mpsc::Receiver<(u8, String)>) {
    tokio::time::sleep(PROGRESS_FIRST).await;
    while let Some(mut latest) = told.recv().await {
        while let Ok(newer) = told.try_recv() {
            latest = newer;
        }
        let (percent, note) = latest;
        let progress = Outcome { result: JobResult::Progress { percent, note }, ..outcome.clone() };
        survey::send(context.bus.as_ref(), exchange::OUTCOME, &progress, PROGRESS_EXPIRES).await;
        tokio::time::sleep(PROGRESS_INTERVAL).await;
    }
}
