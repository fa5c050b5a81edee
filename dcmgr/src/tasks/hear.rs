//! Hears what agents send: hellos, outcomes, inventories, heartbeats, replies; and what the broker put aside.
//!
//! Rule: a message is acknowledged after what follows from it is committed. The broker-validated user must be the
//! agent the message speaks for; anything else is logged and dropped (DESIGN, Permissions).

use crate::app::welcome::{Again, Answer};
use crate::app::{App, AppError, inventory, outcome, welcome};
use crate::db;
use crate::db::audit::DeadMessage;
use arame_framework::bus::{Address, Bus, Death, Delivery, Durability, PublishError, Source};
use arame_framework::rehearsal;
use arame_schema::jobs::report::{Heartbeat, Hello, Inventory, Outcome, Reply, Unwelcome};
use arame_schema::jobs::{DEAD_QUEUE, Envelope, control, exchange};
use arame_schema::limits::WIRE_VERSION;
use arame_schema::model::AgentId;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const HELLOS_AT_ONCE: usize = 4;

/// Outcomes settled at a time. They queue on rows of the same network and host; more would only wait there.
const OUTCOMES_AT_ONCE: usize = 8;

/// Inventories taken in at a time: each waits for its commit.
const INVENTORIES_AT_ONCE: usize = 4;

/// Heartbeats that come within this time are written together: of a thousand agents two hundred come each second, and
/// each write of its own would cost a commit.
const BEATS_GATHERED: Duration = Duration::from_millis(200);

/// Heartbeats written together at most.
const BEATS_AT_ONCE: u16 = 500;

/// A welcome is worth nothing after the agent has asked again several times.
const WELCOME_EXPIRES: Duration = Duration::from_secs(30);

/// A message that cannot be taken in is tried again in place, then left to come again; the broker puts it aside after
/// [`DELIVERY_LIMIT`](arame_schema::limits::DELIVERY_LIMIT) such deliveries. While the database is away it is kept and not
/// counted: an outage of a minute would use up every delivery, and what the agents did meanwhile were known only when
/// their jobs are rung again.
const TRIES: u32 = 20;
const TRY_PAUSE: Duration = Duration::from_millis(500);

/// Starts every consumer.
pub async fn start(app: &App, bus: Arc<dyn Bus>, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    let sent = Source::Exchange;
    hear(app, &bus, stop, tasks, sent(exchange::HELLO), HELLOS_AT_ONCE, hello).await;
    hear(app, &bus, stop, tasks, sent(exchange::OUTCOME), OUTCOMES_AT_ONCE, outcome_came).await;
    hear(app, &bus, stop, tasks, sent(exchange::INVENTORY), INVENTORIES_AT_ONCE, inventory_came).await;
    hear(app, &bus, stop, tasks, Source::Dead, 1, dead_came).await;
    let beats = bus.subscribe(Source::Exchange(exchange::HEARTBEAT), BEATS_AT_ONCE).await;
    tasks.spawn(heartbeats(app.clone(), bus.clone(), beats, stop.clone()));
    let replies = bus.subscribe(Source::Fanout(exchange::REPLY), 100).await;
    let app = app.clone();
    tasks.spawn(ReceiverStream::new(replies).take_until(stop.clone().cancelled_owned()).for_each(move |delivery| {
        if let Some(reply) = read::<Reply>(&delivery, |reply| &reply.agent) {
            app.questions().answer(reply);
        }
        delivery.ack();
        std::future::ready(())
    }));
}

async fn hear<F, R>(
    app: &App,
    bus: &Arc<dyn Bus>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
    source: Source,
    at_once: usize,
    handle: F,
) where
    F: Fn(App, Arc<dyn Bus>, Arc<Delivery>) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = Result<(), AppError>> + Send,
{
    let prefetch = u16::try_from(at_once * 4).unwrap_or(u16::MAX);
    let from = match &source {
        Source::Exchange(name) => name,
        _ => DEAD_QUEUE,
    };
    let deliveries = bus.subscribe(source, prefetch).await;
    let (app, bus) = (app.clone(), bus.clone());
    let stopped = stop.clone();
    tasks.spawn(async move {
        ReceiverStream::new(deliveries)
            .take_until(stopped.clone().cancelled_owned())
            .for_each_concurrent(at_once, |delivery| {
                let (app, bus, stopped) = (app.clone(), bus.clone(), stopped.clone());
                async move {
                    let delivery = Arc::new(delivery);
                    if take_in(&stopped, from, || handle(app.clone(), bus.clone(), delivery.clone())).await
                        && let Some(delivery) = Arc::into_inner(delivery)
                    {
                        delivery.ack();
                    }
                }
            })
            .await;
    });
}

/// Whether the message was taken in, perhaps at a later try.
async fn take_in<R>(stopped: &CancellationToken, from: &'static str, handle: impl Fn() -> R) -> bool
where
    R: Future<Output = Result<(), AppError>> + Send,
{
    let mut refused = 0;
    while refused < TRIES && !stopped.is_cancelled() {
        match handle().await {
            Ok(()) => return true,
            Err(error) if error.is_database_away() => tracing::debug!(%error, from, "a message waits for the database"),
            Err(error) => {
                refused += 1;
                tracing::warn!(%error, from, "a message could not be taken in yet");
            }
        }
        tokio::time::sleep(TRY_PAUSE).await;
    }
    false
}

/// Reads a message and checks that its publisher is the agent it speaks for.
fn read<T: DeserializeOwned>(delivery: &Delivery, agent: impl Fn(&T) -> &AgentId) -> Option<T> {
    match serde_json::from_slice::<T>(&delivery.body) {
        Ok(message) if delivery.user.as_deref() == Some(agent(&message).as_str()) => Some(message),
        Ok(message) => {
            let claimed = agent(&message).to_string();
            tracing::error!(user = ?delivery.user, claimed, "a message in another agent's name is dropped");
            None
        }
        Err(error) => {
            tracing::error!(user = ?delivery.user, %error, "a message that cannot be read is dropped");
            None
        }
    }
}

async fn hello(app: App, bus: Arc<dyn Bus>, delivery: Arc<Delivery>) -> Result<(), AppError> {
    let Some(hello) = read::<Hello>(&delivery, |hello| &hello.agent) else { return Ok(()) };
    let user = delivery.user.clone().unwrap_or_default();
    let (kind, body, welcomed) = match welcome::greet(&app, &hello, &user).await? {
        Answer::Silence => return Ok(()),
        Answer::Welcome(welcome) => (control::WELCOME, serde_json::to_value(welcome), true),
        Answer::Unwelcome { nonce, reason } => {
            (control::UNWELCOME, serde_json::to_value(Unwelcome { nonce, reason }), false)
        }
    };
    if let Err(error) = send(bus.as_ref(), &hello.agent, kind, body.unwrap_or_default()).await {
        tracing::warn!(agent = %hello.agent, %error, "a hello could not be answered: it comes again");
        return Ok(());
    }
    if welcomed {
        tracing::info!(agent = %hello.agent, "agent joined");
        welcome::catch_up(&app, hello.agent.as_str()).await?;
    }
    Ok(())
}

/// A message that is not a job.
pub fn control_message(agent: &AgentId, kind: &str, id: Uuid, body: serde_json::Value) -> Envelope {
    Envelope {
        v: WIRE_VERSION,
        id,
        kind: kind.to_owned(),
        agent: agent.clone(),
        incarnation: 0,
        epoch: 0,
        thing: String::new(),
        generation: 0,
        budget_ms: 0,
        body,
        traceparent: None,
    }
}

async fn outcome_came(app: App, _bus: Arc<dyn Bus>, delivery: Arc<Delivery>) -> Result<(), AppError> {
    match read::<Outcome>(&delivery, |outcome| &outcome.agent) {
        Some(message) => {
            metrics::counter!("arame_outcomes_total", "kind" => message.kind.clone()).increment(1);
            outcome::settle(&app, &message).await
        }
        None => Ok(()),
    }
}

async fn inventory_came(app: App, _bus: Arc<dyn Bus>, delivery: Arc<Delivery>) -> Result<(), AppError> {
    match read::<Inventory>(&delivery, |inventory| &inventory.agent) {
        Some(message) => inventory::settle(&app, &message).await,
        None => Ok(()),
    }
}

/// Noted for the audit. What merely expired is no news: its agent was away and is told anew.
async fn dead_came(app: App, _bus: Arc<dyn Bus>, delivery: Arc<Delivery>) -> Result<(), AppError> {
    let Some(death) = delivery.death.as_ref().filter(|death| death.reason == Death::DELIVERED_TOO_OFTEN) else {
        return Ok(());
    };
    let message: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap_or_default();
    let text = |name: &str| message[name].as_str().map(str::to_owned);
    let dead = DeadMessage {
        id: text("job").or_else(|| text("id")).and_then(|id| id.parse().ok()).unwrap_or_else(rehearsal::uuid_v7),
        queue: death.queue.clone(),
        agent: text("agent").or_else(|| delivery.user.clone()).unwrap_or_default(),
        kind: text("kind").unwrap_or_default(),
        thing: text("thing").unwrap_or_default(),
    };
    tracing::error!(?dead, "a message was delivered too often and put aside");
    Ok(db::audit::note_dead(app.db(), &dead).await?)
}

/// The answer to a hello, on the agent's own queue.
async fn send(bus: &dyn Bus, agent: &AgentId, kind: &str, body: serde_json::Value) -> Result<(), PublishError> {
    let envelope = control_message(agent, kind, rehearsal::uuid_v7(), body);
    let durability = Durability::Persistent { expires: Some(WELCOME_EXPIRES) };
    let body = serde_json::to_vec(&envelope).unwrap_or_default();
    bus.publish(&Address::Agent(agent.clone()), durability, body).await
}

async fn heartbeats(app: App, bus: Arc<dyn Bus>, mut beats: mpsc::Receiver<Delivery>, stop: CancellationToken) {
    loop {
        let mut gathered = Vec::new();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            first = beats.recv() => match first {
                Some(first) => gathered.push(first),
                None => return,
            },
        }
        tokio::time::sleep(BEATS_GATHERED).await;
        while gathered.len() < usize::from(BEATS_AT_ONCE)
            && let Ok(beat) = beats.try_recv()
        {
            gathered.push(beat);
        }
        let told: Vec<Heartbeat> =
            gathered.iter().filter_map(|delivery| read::<Heartbeat>(delivery, |beat| &beat.agent)).collect();
        if let Err(error) = take_beats(&app, &bus, &told).await {
            // Not repeated: the next ones say the same, and later.
            tracing::warn!(%error, "heartbeats could not be noted");
        }
        gathered.into_iter().for_each(Delivery::ack);
    }
}

async fn take_beats(app: &App, bus: &Arc<dyn Bus>, beats: &[Heartbeat]) -> Result<(), AppError> {
    let well: Vec<(&str, u64)> = beats
        .iter()
        .filter(|beat| beat.degraded.is_none())
        .map(|beat| (beat.agent.as_str(), beat.incarnation))
        .collect();
    let heard = db::agents::heard_well(app.db(), &well).await?;
    for beat in beats {
        if !heard.contains(&(beat.agent.to_string(), beat.incarnation)) {
            heartbeat(app, bus.as_ref(), beat).await?;
        }
    }
    Ok(())
}

/// One by itself: of a degraded agent, or of another incarnation than its row's.
async fn heartbeat(app: &App, bus: &dyn Bus, beat: &Heartbeat) -> Result<(), AppError> {
    let degraded = beat.degraded.as_deref();
    if db::agents::heard(app.db(), beat.agent.as_str(), beat.incarnation, degraded).await? {
        return Ok(());
    }
    let (kind, body) = match welcome::again(app, beat.agent.as_str(), beat.incarnation).await? {
        None => return Ok(()),
        Some(Again::Welcome(welcome)) => (control::WELCOME, serde_json::to_value(welcome).unwrap_or_default()),
        Some(Again::Hello) => (control::HELLO_AGAIN, serde_json::Value::Null),
    };
    if let Err(error) = send(bus, &beat.agent, kind, body).await {
        tracing::debug!(agent = %beat.agent, %error, "an agent could not be answered: its next heartbeat asks again");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::DbError;
    use std::sync::atomic::{AtomicU32, Ordering};

    const MINUTE_OF_TRIES: u32 = 120;

    fn away() -> AppError {
        DbError::PoolExhausted(Duration::ZERO).into()
    }

    fn refused() -> AppError {
        DbError::Column { table: "jobs", column: "kind".into(), reason: "nobody knows it".into() }.into()
    }

    async fn tried(until: u32, error: fn() -> AppError) -> (bool, u32) {
        let (tries, running) = (AtomicU32::new(0), CancellationToken::new());
        let try_once = || {
            let n = tries.fetch_add(1, Ordering::Relaxed) + 1;
            std::future::ready(if n >= until { Ok(()) } else { Err(error()) })
        };
        let taken = take_in(&running, "arame.outcome", try_once).await;
        (taken, tries.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_kept_while_the_database_is_away_and_given_back_when_it_cannot_be_understood() {
        assert_eq!(tried(MINUTE_OF_TRIES, away).await, (true, MINUTE_OF_TRIES));
        assert_eq!(tried(MINUTE_OF_TRIES, refused).await, (false, TRIES));
        assert_eq!(tried(TRIES, refused).await, (true, TRIES));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dcmgr_that_stops_gives_back_what_waits_for_the_database() {
        let stopped = CancellationToken::new();
        let waiting = tokio::spawn({
            let stopped = stopped.clone();
            async move { take_in(&stopped, "arame.outcome", || std::future::ready(Err(away()))).await }
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!waiting.is_finished(), "it waits");
        stopped.cancel();
        assert!(!waiting.await.unwrap());
    }
}
