//! Owns the connection: opens it, keeps publisher and consumers on it, throws it away when anything is doubtful.
//!
//! ```text
//! connect ─ok─► attend ──lost / late / too many closed channels──► back off ─► connect
//!    └──failed──► back off                └─ publisher or consumer ended: opened again, back-off each
//! ```
//!
//! Rule: a synchronous call runs in a task of its own that nobody drops; when it is late the whole connection goes,
//! never the call alone (a half-made declare makes the library's next one panic). Between calls the supervisor takes
//! orders and the news of what ended.

use super::callbacks::{Ended, Reason};
use super::{CLOSE_LIMIT, Role, Slot, consumer, topology};
use crate::bus::{Delivery, Distrust, Link, Source};
use crate::config::Broker;
use amqprs::connection::Connection;
use rand::Rng;
use std::collections::HashMap;
use std::future::Future;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use topology::{CallError, Found};

/// First and longest pause between attempts. Short, because work waits for the connection; a broker answers an
/// attempt every two seconds from each of a thousand agents without noticing.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// A data center that starts has agents up moments before dcmgr: so often they look for the exchanges this closely.
const STARTING: (u32, Duration) = (40, Duration::from_millis(250));

/// Longest a synchronous call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// How long a consumer whose call was late stands back: first and longest.
const LATE_PENALTY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A quorum queue that was declared moments before its broker was killed may come back without a leader, for ever
/// (rabbitmq-server issue 15725, seen with 3.10). A consume that was late this often in a row means that: the queue is
/// made anew. What was in it is rung again from the rows, or was never confirmed to its publisher.
const LATE_MAX: u32 = 2;

/// A channel the broker closed keeps its number in the library for the life of the connection, and the library panics
/// when all (2,047 by RabbitMQ's default) are used: long before that the connection is replaced.
const CLOSED_CHANNELS_MAX: u32 = 400;

/// Looks at the connection this often even when nothing is told.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

pub(super) enum Order {
    Subscribe { source: Source, prefetch: u16, out: mpsc::Sender<Delivery> },
    Close(oneshot::Sender<()>),
}

struct Subscription {
    source: Source,
    prefetch: u16,
    out: mpsc::Sender<Delivery>,
}

pub(super) struct Supervisor {
    broker: Broker,
    role: Role,
    orders: mpsc::UnboundedReceiver<Order>,
    slot: Slot,
    link: watch::Sender<Link>,
    subscriptions: HashMap<usize, Subscription>,
    next_number: usize,
    /// Consumers whose call was late, and how often in a row.
    late: HashMap<usize, u32>,
}

/// What has to be done on the connection, at once or after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Task {
    /// Agents: see that dcmgr has declared the exchanges.
    Exchanges,
    Publisher,
    Consumer(usize),
}

/// One connection's life.
struct Session {
    connection: Connection,
    reason: Reason,
    ended: mpsc::UnboundedSender<Ended>,
    news: mpsc::UnboundedReceiver<Ended>,
    over: CancellationToken,
    pumps: TaskTracker,
    due: Vec<(Instant, Task)>,
    attempts: HashMap<Task, u32>,
    closed_channels: u32,
    /// What is missing before the link counts as up.
    missing: Vec<Task>,
}

enum End {
    Closed(Option<oneshot::Sender<()>>),
    Lost(String),
}

pub(super) fn pause(attempt: u32) -> Duration {
    let ceiling = BACKOFF.1.min(BACKOFF.0 * 2u32.saturating_pow(attempt.min(8)));
    // Between half and whole, so that a thousand agents do not come back in step.
    ceiling.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// Runs a call to its end in its own task. `None`: late, and the connection must go.
async fn call<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    match tokio::time::timeout(CALL_LIMIT, tokio::spawn(work)).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(_)) | Err(_) => None,
    }
}

impl Supervisor {
    pub fn new(
        broker: Broker,
        role: Role,
        orders: mpsc::UnboundedReceiver<Order>,
        slot: Slot,
        link: watch::Sender<Link>,
    ) -> Self {
        Self { broker, role, orders, slot, link, subscriptions: HashMap::new(), next_number: 0, late: HashMap::new() }
    }

    pub async fn run(mut self) {
        let mut attempt = 0;
        let closed = loop {
            match self.connect().await {
                Ok(session) => {
                    attempt = 0;
                    match self.attend(session).await {
                        End::Closed(told) => break told,
                        End::Lost(why) => tracing::warn!(why, "the broker connection is lost; connecting again"),
                    }
                }
                Err(End::Closed(told)) => break told,
                Err(End::Lost(why)) if attempt == 0 => tracing::warn!(why, "no broker connection; trying on"),
                Err(End::Lost(why)) => tracing::debug!(why, attempt, "no broker connection yet"),
            }
            attempt += 1;
            if let Some(told) = self.rest(pause(attempt - 1)).await {
                break told;
            }
        };
        if let Some(told) = closed {
            let _ = told.send(());
        }
    }

    /// Takes orders while waiting. `Some`: close.
    async fn rest(&mut self, time: Duration) -> Option<Option<oneshot::Sender<()>>> {
        let end = Instant::now() + time;
        loop {
            tokio::select! {
                order = self.orders.recv() => if let Err(told) = self.take(order) { return Some(told) },
                () = tokio::time::sleep_until(end) => return None,
            }
        }
    }

    /// `Err`: close, and whom to tell.
    fn take(&mut self, order: Option<Order>) -> Result<Option<usize>, Option<oneshot::Sender<()>>> {
        match order {
            Some(Order::Subscribe { source, prefetch, out }) => {
                self.next_number += 1;
                self.subscriptions.insert(self.next_number, Subscription { source, prefetch, out });
                Ok(Some(self.next_number))
            }
            Some(Order::Close(told)) => Err(Some(told)),
            None => Err(None),
        }
    }

    async fn connect(&mut self) -> Result<Session, End> {
        let (ended, news) = mpsc::unbounded_channel();
        let mut opening = Box::pin(call(topology::open(self.broker.clone(), self.role.clone(), ended.clone())));
        let opened = loop {
            tokio::select! {
                opened = &mut opening => break opened,
                order = self.orders.recv() => if let Err(told) = self.take(order) { return Err(End::Closed(told)) },
            }
        };
        let (connection, reason) = match opened {
            Some(Ok(open)) => open,
            Some(Err(error)) => {
                self.doubt(error.distrust);
                return Err(End::Lost(error.to_string()));
            }
            None => return Err(End::Lost(format!("connecting took longer than {CALL_LIMIT:?}"))),
        };
        let mut missing = vec![Task::Publisher];
        if let Role::Agent(_) = self.role {
            missing.push(Task::Exchanges);
        }
        self.subscriptions.retain(|_, subscription| !subscription.out.is_closed());
        let now = Instant::now();
        let consumers = self.subscriptions.keys();
        let consumers = consumers.map(|number| (now + self.penalty(*number), Task::Consumer(*number)));
        let due = missing.iter().map(|task| (now, *task)).chain(consumers).collect();
        Ok(Session {
            connection,
            reason,
            ended,
            news,
            over: CancellationToken::new(),
            pumps: TaskTracker::new(),
            due,
            attempts: HashMap::new(),
            closed_channels: 0,
            missing,
        })
    }

    /// Tells why the broker is not believed, once for each change.
    fn doubt(&self, distrust: Option<Distrust>) {
        let changed = self.link.send_if_modified(|link| std::mem::replace(&mut link.distrust, distrust) != distrust);
        if let (true, Some(distrust)) = (changed, distrust) {
            tracing::warn!(host = self.broker.host, "{distrust}");
        }
    }

    /// How long a consumer has to stand back on a new connection. One quorum queue without a leader makes its consume
    /// late each time, and each time that costs the connection: the others shall have it to themselves meanwhile.
    fn penalty(&self, number: usize) -> Duration {
        match self.late.get(&number) {
            None | Some(0) => Duration::ZERO,
            Some(times) => LATE_PENALTY.1.min(LATE_PENALTY.0 * 2u32.saturating_pow(times.saturating_sub(1).min(8))),
        }
    }

    /// Late so often in a row that the queue will not come back by itself.
    fn found(&self, number: usize) -> Found {
        match self.late.get(&number) {
            Some(times) if *times >= LATE_MAX => {
                tracing::warn!(number, "a queue does not answer: it is deleted and made anew; jobs are rung again");
                Found::Anew
            }
            _ => Found::AsItIs,
        }
    }

    /// Keeps one connection until it is lost or closing is ordered.
    async fn attend(&mut self, mut session: Session) -> End {
        let end = loop {
            let step = match session.take_due() {
                Some(task) => self.perform(&mut session, task).await,
                None => self.wait(&mut session).await,
            };
            if let Err(end) = step {
                break end;
            }
        };
        session.over.cancel();
        self.link.send_modify(|link| link.up = false);
        let publisher = self.slot.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(publisher) = publisher {
            publisher.abandon();
        }
        if let End::Closed(_) = end {
            session.close().await;
        }
        end
    }

    async fn wait(&mut self, session: &mut Session) -> Result<(), End> {
        let next = session.due.iter().map(|(at, _)| *at).min();
        let until = next.unwrap_or_else(|| Instant::now() + LOOK_INTERVAL).min(Instant::now() + LOOK_INTERVAL);
        tokio::select! {
            order = self.orders.recv() => match self.take(order) {
                Ok(number) => session.due.extend(number.map(|number| (Instant::now(), Task::Consumer(number)))),
                Err(told) => return Err(End::Closed(told)),
            },
            Some(ended) = session.news.recv() => return self.learn(session, ended),
            () = tokio::time::sleep_until(until) => {}
        }
        session.check()
    }

    fn learn(&mut self, session: &mut Session, ended: Ended) -> Result<(), End> {
        match ended {
            Ended::Connection => return Err(session.lost()),
            Ended::Publisher => {
                self.slot.write().unwrap_or_else(PoisonError::into_inner).take();
                session.channel_closed()?;
                session.later(Task::Publisher);
            }
            Ended::Consumer { number, unwanted: true } => {
                self.subscriptions.remove(&number);
            }
            Ended::Consumer { number, unwanted: false } => {
                session.channel_closed()?;
                session.later(Task::Consumer(number));
            }
        }
        session.check()
    }

    async fn perform(&mut self, session: &mut Session, task: Task) -> Result<(), End> {
        let connection = session.connection.clone();
        let done = match task {
            Task::Exchanges => call(topology::exchanges_exist(connection)).await,
            Task::Publisher => {
                let opened = call(topology::publisher(connection, session.ended.clone())).await;
                opened.map(|opened| opened.map(|publisher| self.offer(publisher)))
            }
            Task::Consumer(number) => {
                let Some(wanted) = self.subscriptions.get(&number) else { return Ok(()) };
                let found = self.found(number);
                let opened = call(topology::consume(connection, wanted.source.clone(), wanted.prefetch, found)).await;
                opened.map(|opened| opened.map(|consuming| session.pump(number, consuming, wanted.out.clone())))
            }
        };
        match done {
            Some(Ok(())) => self.succeeded(session, task),
            Some(Err(error)) => session.failed(task, &error)?,
            None => {
                if let Task::Consumer(number) = task {
                    *self.late.entry(number).or_insert(0) += 1;
                }
                return Err(End::Lost(format!("{task:?} took longer than {CALL_LIMIT:?}")));
            }
        }
        session.check()
    }

    /// The publisher is used as soon as the link is up.
    fn offer(&self, publisher: std::sync::Arc<super::Publisher>) {
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = Some(publisher);
    }

    fn succeeded(&mut self, session: &mut Session, task: Task) {
        session.attempts.remove(&task);
        if let Task::Consumer(number) = task {
            self.late.remove(&number);
        }
        let before = session.missing.len();
        session.missing.retain(|missing| *missing != task);
        if before > 0 && session.missing.is_empty() {
            self.link.send_modify(|link| *link = Link { up: true, session: link.session + 1, distrust: None });
            tracing::info!(host = self.broker.host, port = self.broker.port, "connected to the broker");
        }
    }
}

impl Session {
    fn take_due(&mut self) -> Option<Task> {
        let now = Instant::now();
        let place = self.due.iter().position(|(at, _)| *at <= now)?;
        Some(self.due.remove(place).1)
    }

    fn later(&mut self, task: Task) {
        let attempts = self.attempts.entry(task).or_insert(0);
        let mut wait = pause(*attempts);
        if task == Task::Exchanges && *attempts < STARTING.0 {
            wait = wait.min(STARTING.1);
        }
        let at = Instant::now() + wait;
        *attempts += 1;
        self.due.push((at, task));
    }

    fn failed(&mut self, task: Task, error: &CallError) -> Result<(), End> {
        self.check()?;
        self.channel_closed()?;
        match self.attempts.get(&task) {
            None => tracing::warn!(%error, "the broker refused; trying on"),
            Some(attempts) => tracing::debug!(%error, attempts, "the broker refused again"),
        }
        self.later(task);
        Ok(())
    }

    fn channel_closed(&mut self) -> Result<(), End> {
        self.closed_channels += 1;
        match self.closed_channels > CLOSED_CHANNELS_MAX {
            true => Err(End::Lost("too many closed channels on one connection".into())),
            false => Ok(()),
        }
    }

    fn check(&self) -> Result<(), End> {
        if self.connection.is_open() { Ok(()) } else { Err(self.lost()) }
    }

    fn lost(&self) -> End {
        End::Lost(self.reason.get().unwrap_or_else(|| "the network connection ended".into()))
    }

    fn pump(&self, number: usize, consuming: topology::Consuming, out: mpsc::Sender<Delivery>) {
        self.pumps.spawn(consumer::pump(number, consuming, out, self.over.clone(), self.ended.clone()));
    }

    /// Good order if the broker answers in time; else the socket is dropped.
    async fn close(self) {
        let Session { connection, pumps, .. } = self;
        // Pumps first: they tell what was acknowledged.
        pumps.close();
        let _ = tokio::time::timeout(CLOSE_LIMIT, pumps.wait()).await;
        let closing = tokio::spawn(async move { connection.close().await });
        if !matches!(tokio::time::timeout(CLOSE_LIMIT, closing).await, Ok(Ok(Ok(())))) {
            tracing::debug!("the broker did not answer the goodbye");
        }
    }
}
