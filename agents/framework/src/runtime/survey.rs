//! Heartbeats and inventories of one standing.
//!
//! Rule: an inventory's `began` is taken before the first look, and one listing runs at a time in the whole process;
//! a listing that hangs is reported by the heartbeat, not doubled. Both messages are transient: the latest wins, a
//! lost one is replaced by the next.

use super::Context;
use crate::agent::{Listing, Standing};
use crate::bus::{Address, Bus, Durability};
use crate::rehearsal;
use arame_schema::jobs::exchange;
use arame_schema::jobs::report::{Heartbeat, Inventory, Welcome};
use arame_schema::limits::WIRE_VERSION;
use arame_schema::model::Observation;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Questions for an inventory that wait at a time; all of them are answered by the next listing.
pub(super) const ASKED_MAX: usize = 16;

/// A listing that takes longer makes the agent degraded: its backend hangs.
const LISTING_LIMIT: Duration = Duration::from_secs(60);

/// Hung handlers from which an agent wants no new placements.
pub(super) const HUNG_MAX: u32 = 4;

/// Intervals below this are a mistake of whoever sent the welcome, and would keep the machine busy.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

fn interval(ms: u64) -> Duration {
    Duration::from_millis(ms).max(INTERVAL_MIN)
}

/// Starts both for one standing, until `over`.
pub(super) fn start(
    context: Arc<Context>,
    standing: Standing,
    welcome: &Welcome,
    over: CancellationToken,
) -> mpsc::Sender<Uuid> {
    let (ask, asks) = mpsc::channel(ASKED_MAX);
    let beat = interval(welcome.heartbeat_ms);
    rehearsal::spawn(beat_on(context.clone(), standing.incarnation, beat, over.clone()));
    rehearsal::spawn(survey(context, standing, interval(welcome.inventory_ms), asks, over));
    ask
}

async fn beat_on(context: Arc<Context>, incarnation: u64, every: Duration, over: CancellationToken) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = over.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let beat = Heartbeat {
            v: WIRE_VERSION,
            agent: context.id.clone(),
            incarnation,
            degraded: degraded(&context),
            open_jobs: context.counts.open.load(Ordering::SeqCst),
            hung_calls: context.counts.hung.load(Ordering::SeqCst),
        };
        send(context.bus.as_ref(), exchange::HEARTBEAT, &beat, every * 2).await;
    }
}

fn degraded(context: &Context) -> Option<String> {
    let hung = context.counts.hung.load(Ordering::SeqCst);
    if hung >= HUNG_MAX {
        return Some(format!("{hung} calls to the backend hang"));
    }
    let since = *context.listing.since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if since.is_some_and(|since| since.elapsed() > LISTING_LIMIT) {
        return Some("listing what exists hangs".into());
    }
    context.agent.degraded()
}

async fn survey(
    context: Arc<Context>,
    standing: Standing,
    every: Duration,
    mut asks: mpsc::Receiver<Uuid>,
    over: CancellationToken,
) {
    let mut next = Instant::now();
    loop {
        let mut asked = Vec::new();
        tokio::select! {
            biased;
            () = over.cancelled() => return,
            () = tokio::time::sleep_until(next) => {}
            () = standing.survey_wanted() => {}
            Some(id) = asks.recv() => asked.push(id),
        }
        while let Ok(id) = asks.try_recv() {
            asked.push(id);
        }
        let Some((began, listing)) = list(&context, &standing).await else {
            next = Instant::now() + every;
            continue;
        };
        tell(&context, began, listing, asked, every).await;
        next = Instant::now() + every;
    }
}

/// `None`: the agent's listing panicked; the panic is on the log.
async fn list(context: &Arc<Context>, standing: &Standing) -> Option<(Observation, Listing)> {
    let (context, standing) = (context.clone(), standing.clone());
    // A task of its own: a panic ends the listing, not the survey.
    let listing = rehearsal::spawn(async move {
        let _one = context.listing.one.lock().await;
        let since = &context.listing.since;
        *since.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
        let began = standing.observe();
        let listing = context.agent.list(began).await;
        *since.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        (began, listing)
    });
    listing.await.inspect_err(|error| tracing::error!(%error, "the inventory failed")).ok()
}

async fn tell(context: &Context, began: Observation, listing: Listing, asked: Vec<Uuid>, every: Duration) {
    let mut inventory = Inventory {
        v: WIRE_VERSION,
        agent: context.id.clone(),
        asked: None,
        began,
        backends: listing.backends,
        things: listing.things,
        kept_mib: listing.kept_mib,
    };
    if asked.is_empty() {
        send(context.bus.as_ref(), exchange::INVENTORY, &inventory, every * 2).await;
    }
    for id in asked {
        inventory.asked = Some(id);
        send(context.bus.as_ref(), exchange::INVENTORY, &inventory, every * 2).await;
    }
}

/// Transient; a failure is told on the debug log and made good by the next message.
pub(super) async fn send(bus: &dyn Bus, to: &'static str, message: &impl Serialize, expires: Duration) {
    let body = match serde_json::to_vec(message) {
        Ok(body) => body,
        Err(error) => return tracing::error!(%error, to, "a message cannot be written"),
    };
    if let Err(error) = bus.publish(&Address::Exchange(to), Durability::Transient { expires }, body).await {
        tracing::debug!(%error, to, "a transient message is lost");
    }
}
