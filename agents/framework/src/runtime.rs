//! Runs an agent: hello, lanes, outcomes, heartbeats, inventories, drain.
//!
//! ```text
//! link up ─► hello (every 2 s) ─► welcome ─► joined ─► heartbeats, inventories, jobs in lanes
//!    ▲            │                  │ again after each reconnect: a new incarnation, jobs at work go on
//!    │            └─ unwelcome: exit └─ another process's welcome, higher than ours: exit
//!    └── link down: lanes go on, outcomes wait
//! ```
//!
//! Rule: one loop owns every decision (who we are, which message counts, which job runs next); it never waits for the
//! broker or a backend. A message is acknowledged once what it asks for is in its lane, or answered, or void. Nothing
//! here knows what a job does.

mod hello;
mod inbox;
mod keeps;
mod lanes;
mod numbers;
mod outbox;
mod post;
mod starting;
mod streams;
mod survey;
mod work;

pub use post::Post;

use crate::agent::{Agent, Standing};
use crate::bus::amqp::{AmqpBus, Role};
use crate::bus::{Address, Bus, Delivery, Durability, Link, Source};
use crate::config::Common;
use crate::metrics;
use crate::rehearsal;
use crate::stream::{self, Road};
use anyhow::Context as _;
use arame_schema::jobs::exchange;
use arame_schema::limits::AGENT_STREAMS_MAX;
use arame_schema::model::AgentId;
use arame_service::{Loops, Notifier};
use hello::{HELLO_INTERVAL, Identity, Schedule};
use keeps::Keeps;
use lanes::Lanes;
use outbox::Outbox;
use starting::Starting;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;
use work::Event;

/// Messages taken from the job queue and not yet in their lanes.
const PREFETCH: u16 = 200;

/// Longest a stopping agent waits for its lanes, and again for its own farewell.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Questions answered at a time; more are told to come later.
const QUESTIONS_MAX: usize = 16;

/// Agents of one process that are about to join at a time: a busy broker makes few durable queues a second, and whoever
/// waits too long for its own gives the connection up and makes it busier.
const STARTING_MAX: usize = 4;

/// Longest the next agent waits for one that does not join.
const STARTING_LIMIT: Duration = Duration::from_secs(5);

/// Pause between two sweeps of the tombstones.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// What every part of the runtime needs.
struct Context {
    id: AgentId,
    bus: Arc<dyn Bus>,
    agent: Arc<dyn Agent>,
    keeps: Keeps,
    outbox: Arc<Outbox>,
    counts: Counts,
    listing: ListingState,
    questions: Arc<Semaphore>,
    streams: Streams,
}

/// What streams need beside the questions that ask for them.
struct Streams {
    road: Arc<dyn Road>,
    places: Arc<Semaphore>,
    /// Fires when the agent leaves.
    over: CancellationToken,
}

#[derive(Default)]
struct Counts {
    open: AtomicU32,
    hung: AtomicU32,
    lanes: AtomicU32,
    /// 0 before the first welcome.
    incarnation: AtomicU64,
}

#[derive(Default)]
struct ListingState {
    /// One listing at a time, whichever standing asked.
    one: tokio::sync::Mutex<()>,
    since: Mutex<Option<Instant>>,
}

/// After a welcome.
struct Joined {
    standing: Standing,
    asks: mpsc::Sender<Uuid>,
    /// Ends this standing's heartbeats and inventories.
    _over: DropGuard,
}

struct Runtime {
    context: Arc<Context>,
    identity: Identity,
    /// As told in the last hello.
    kinds: Vec<&'static str>,
    joined: Option<Joined>,
    /// The connection greeted last.
    session: u64,
    schedule: Schedule,
    lanes: Lanes,
    /// Jobs of an incarnation that may be ours once the welcome comes.
    held: VecDeque<(Delivery, Instant)>,
    events: mpsc::UnboundedSender<Event>,
    post: Post,
}

/// Runs until `stop` is cancelled (drains, leaves) or dcmgr refuses the hello.
///
/// # Errors
/// The sentence of the refusal, or an unreadable key or state directory.
pub async fn run(
    common: Common,
    bus: Arc<dyn Bus>,
    agent: Arc<dyn Agent>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    run_at_post(common, bus, agent, stop, Post::of_nobody()).await
}

/// The same, telling the service manager.
///
/// # Errors
/// As [`run`].
pub async fn run_at_post(
    common: Common,
    bus: Arc<dyn Bus>,
    agent: Arc<dyn Agent>,
    stop: CancellationToken,
    post: Post,
) -> anyhow::Result<()> {
    let keeps = Keeps::open(&common.state_dir)?;
    let identity = Identity::read(&common)?;
    let road = match bus.road() {
        Some(road) => road,
        None => Arc::new(stream::road::Configured::new(&common.streams)?),
    };
    let context = Arc::new(Context {
        id: common.agent.clone(),
        outbox: Outbox::start(bus.clone()),
        bus,
        agent,
        keeps,
        counts: Counts::default(),
        listing: ListingState::default(),
        questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        streams: Streams { road, places: Arc::new(Semaphore::new(AGENT_STREAMS_MAX)), over: CancellationToken::new() },
    });
    let _numbers = match common.metrics.listen {
        Some(listen) => Some(numbers::show(metrics::bind(listen).await?, context.clone())),
        None => None,
    };
    let (events, news) = mpsc::unbounded_channel();
    let runtime = Runtime {
        lanes: Lanes::new(context.clone(), events.clone()),
        context,
        identity,
        kinds: Vec::new(),
        joined: None,
        session: 0,
        schedule: Schedule::default(),
        held: VecDeque::new(),
        events,
        post,
    };
    runtime.run(news, stop).await
}

/// What `main` of every agent calls: connects to the broker of `common`, runs, ends on SIGTERM or SIGINT. A service manager
/// that the environment names is told of it all.
///
/// # Errors
/// As [`run`].
pub async fn main(common: Common, agent: Arc<dyn Agent>) -> anyhow::Result<()> {
    main_of_all(vec![(common, agent)]).await
}

/// Several agents in one process, each with a connection of its own: a crowd of simulated hosts. Ends with the first of
/// them that fails; the others are stopped in good order.
///
/// # Errors
/// As [`run`].
pub async fn main_of_all(agents: Vec<(Common, Arc<dyn Agent>)>) -> anyhow::Result<()> {
    for (common, _) in &agents {
        common.check_files()?;
    }
    let loops = Loops::of_the_environment(Notifier::of_the_environment());
    let stop = CancellationToken::new();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let (stopping, notifier) = (stop.clone(), loops.notifier().clone());
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        notifier.stopping();
        stopping.cancel();
    });
    let (mut running, starting) = (JoinSet::new(), Arc::new(Semaphore::new(STARTING_MAX)));
    let posts = Post::each_of(agents.len(), &loops);
    for ((common, agent), post) in agents.into_iter().zip(posts) {
        if stop.is_cancelled() {
            break;
        }
        let turn = tokio::time::timeout(STARTING_LIMIT, starting.clone().acquire_owned()).await;
        let agent = Arc::new(Starting { agent, turn: Mutex::new(turn.ok().and_then(Result::ok)) });
        let bus = AmqpBus::connect(&common.broker, Role::Agent(common.agent.clone())).await?;
        running.spawn(run_at_post(common, bus, agent, stop.clone(), post));
    }
    let mut ended = Ok(());
    while let Some(one) = running.join_next().await {
        stop.cancel();
        ended = ended.and(one.unwrap_or_else(|error| Err(error.into())));
    }
    ended
}

/// The tokio runtime of an agent's process: two workers, because an agent waits more than it computes and a host runs
/// other things.
///
/// # Errors
/// When threads cannot be made.
pub fn two_workers() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

impl Runtime {
    async fn run(mut self, mut news: mpsc::UnboundedReceiver<Event>, stop: CancellationToken) -> anyhow::Result<()> {
        let mut jobs = self.context.bus.subscribe(Source::AgentJobs(self.context.id.clone()), PREFETCH).await;
        let mut link = self.context.bus.link();
        link.mark_changed();
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        self.post.began(&self.context.id);
        let ended = loop {
            let hello = self.schedule.due.unwrap_or_else(Instant::now);
            let expiry = self.lanes.next_due();
            let flow = tokio::select! {
                // In this order: nothing that ends or is due waits behind a flood of jobs.
                biased;
                () = stop.cancelled() => break Ok(()),
                Some(event) = news.recv() => self.learn(event),
                changed = link.changed() => match changed {
                    Ok(()) => self.follow(*link.borrow_and_update()),
                    Err(_) => ControlFlow::Break(anyhow::anyhow!("the bus is gone")),
                },
                () = tokio::time::sleep_until(hello), if self.schedule.is_awaiting() => self.say_hello(),
                () = tokio::time::sleep_until(expiry.unwrap_or_else(Instant::now)), if expiry.is_some() => {
                    self.lanes.expire(Instant::now());
                    ControlFlow::Continue(())
                }
                _ = sweep.tick() => self.sweep(),
                () = self.post.turns.turn() => ControlFlow::Continue(()),
                delivery = jobs.recv() => match delivery {
                    Some(delivery) => self.receive(delivery, Instant::now()).await,
                    None => ControlFlow::Break(anyhow::anyhow!("the bus is gone")),
                },
            };
            if let ControlFlow::Break(error) = flow {
                break Err(error);
            }
        };
        // No new jobs: what is in the queue stays there for the next process.
        drop(jobs);
        self.drain(news).await;
        ended
    }

    /// Each new connection is greeted: dcmgr may have forgotten us, or we may have been replaced meanwhile.
    fn follow(&mut self, link: Link) -> ControlFlow<anyhow::Error> {
        self.context.agent.linked(link.up);
        if link.up && link.session != self.session {
            self.session = link.session;
            self.schedule.begin();
        }
        let reached =
            if link.up { "the broker is reached, dcmgr has not answered yet" } else { "the broker is not reached" };
        self.post.tell(&format!("{} serves what it knows; {reached}", self.context.id));
        ControlFlow::Continue(())
    }

    fn learn(&mut self, event: Event) -> ControlFlow<anyhow::Error> {
        match (event, &self.joined) {
            (Event::Ended { thing }, Some(joined)) => self.lanes.ended(&thing, joined),
            (Event::Hung { thing }, _) => self.lanes.hung(&thing),
            (Event::HelloFailed, _) => self.schedule.failed(),
            // Nothing ran before the first welcome.
            (Event::Ended { .. }, None) => {}
        }
        ControlFlow::Continue(())
    }

    fn say_hello(&mut self) -> ControlFlow<anyhow::Error> {
        self.schedule.sent();
        let profile = self.context.agent.profile();
        self.kinds.clone_from(&profile.kinds);
        let last_incarnation = self.joined.as_ref().map_or(0, |joined| joined.standing.incarnation);
        let hello = self.identity.hello(&self.context, profile, last_incarnation);
        let (bus, events) = (self.context.bus.clone(), self.events.clone());
        rehearsal::spawn(async move {
            let sent = match serde_json::to_vec(&hello) {
                // Worthless once the next one is sent.
                Ok(body) => {
                    let durability = Durability::Persistent { expires: Some(HELLO_INTERVAL * 2) };
                    bus.publish(&Address::Exchange(exchange::HELLO), durability, body).await.map_err(|e| e.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = sent {
                tracing::debug!(error, "the hello was not sent");
                let _ = events.send(Event::HelloFailed);
            }
        });
        ControlFlow::Continue(())
    }

    fn sweep(&self) -> ControlFlow<anyhow::Error> {
        let context = self.context.clone();
        rehearsal::spawn(rehearsal::blocking(move || {
            if let Err(error) = context.keeps.sweep(SystemTime::now()) {
                tracing::error!(error = format!("{error:#}"), "tombstones cannot be swept");
            }
        }));
        ControlFlow::Continue(())
    }

    /// Cancels the lanes, waits for them and for their outcomes, lets the agent say goodbye, closes the bus.
    async fn drain(mut self, mut news: mpsc::UnboundedReceiver<Event>) {
        let end = Instant::now() + DRAIN_LIMIT;
        self.held.clear();
        self.context.streams.over.cancel();
        self.lanes.stop();
        while !self.lanes.is_empty() {
            match tokio::time::timeout_at(end, news.recv()).await {
                Ok(Some(event)) => drop(self.learn(event)),
                Ok(None) | Err(_) => {
                    tracing::warn!("jobs are still at work; the agent leaves without them");
                    break;
                }
            }
        }
        self.joined = None;
        self.context.outbox.flush(end).await;
        if tokio::time::timeout(DRAIN_LIMIT, self.context.agent.leaving()).await.is_err() {
            tracing::warn!("the agent's own farewell took too long");
        }
        self.context.bus.close().await;
    }

    /// Keeps the highest epoch on disk before anything of it runs.
    async fn meet_epoch(&self, epoch: u64) -> anyhow::Result<()> {
        if epoch > self.context.keeps.epoch() {
            self.set_epoch(epoch).await?;
        }
        Ok(())
    }

    async fn set_epoch(&self, epoch: u64) -> anyhow::Result<()> {
        let context = self.context.clone();
        let set = rehearsal::blocking(move || context.keeps.set_epoch(epoch)).await?;
        set.context("the database epoch cannot be kept")
    }
}
