//! The relay: rings jobs, that is, makes their messages and publishes them. The row is the truth, the message a bell:
//! a ring that fails is repeated by the timer, a ring too many is dropped by the agent's lane.

use crate::app::render::Rendered;
use crate::app::{App, outcome, render};
use crate::db;
use crate::db::jobs::JobRow;
use arame_framework::bus::{Address, Bus, Durability, PublishError};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Messages in the making at a time: enough to keep the database busy, few enough to leave it connections.
const RINGING_MAX: usize = 12;

/// How often rows that are due are looked for. Jobs just queued do not wait for it: they are handed over in memory.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A job not answered after this is rung again; doubled with each ring.
const RING_AGAIN: Duration = Duration::from_secs(10);

/// Jobs rung in one turn of the timer.
const TURN_MAX: u32 = 200;

/// Rings jobs as they are committed.
pub async fn ring(app: App, bus: Arc<dyn Bus>, rung: mpsc::Receiver<Uuid>, stop: CancellationToken) {
    let jobs = ReceiverStream::new(rung).take_until(stop.cancelled_owned());
    jobs.for_each_concurrent(RINGING_MAX, |id| {
        let (app, bus) = (app.clone(), bus.clone());
        async move {
            match find(&app, id).await {
                Ok(Some(job)) => ring_one(&app, bus.as_ref(), &job).await,
                Ok(None) => {}
                Err(error) => tracing::warn!(job = %id, %error, "a job could not be read: the timer will"),
            }
        }
    })
    .await;
}

async fn find(app: &App, id: Uuid) -> Result<Option<JobRow>, db::DbError> {
    let found = crate::transact!(app.db(), "find job", None, db::DbError, |tx| { db::jobs::find(tx, id).await })?;
    Ok(found.filter(|job| job.open))
}

/// Rings what is due and was not rung, or was rung long ago.
pub async fn ring_again(app: App, bus: Arc<dyn Bus>, stop: CancellationToken) {
    let mut timer = tokio::time::interval(LOOK_EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // While the database was away a claimed job may not have been readable when its turn came, or not known to be
    // committed: whatever is open is rung anew.
    let mut blind = false;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        if blind {
            blind = db::jobs::ring_everything(app.db()).await.is_err();
        }
        if blind || !bus.link().borrow().up {
            continue;
        }
        let again_ms = u64::try_from(RING_AGAIN.as_millis()).unwrap_or(u64::MAX);
        let due = crate::transact!(app.db(), "claim", None, db::DbError, |tx| {
            db::jobs::claim_due(tx, again_ms, TURN_MAX).await
        });
        match due {
            Ok(due) => {
                let rings = due.into_iter().map(|job| {
                    let (app, bus) = (app.clone(), bus.clone());
                    async move { ring_one(&app, bus.as_ref(), &job).await }
                });
                futures_util::stream::iter(rings).buffer_unordered(RINGING_MAX).collect::<Vec<()>>().await;
            }
            Err(error) => {
                tracing::warn!(%error, "due jobs could not be read");
                blind = true;
            }
        }
    }
}

/// The broker is there, for the first time or again: whatever was on its way may be lost with its queues, and what a
/// process claimed that died before it published waits for nobody.
pub async fn follow_link(app: App, bus: Arc<dyn Bus>, stop: CancellationToken) {
    let mut link = bus.link();
    loop {
        let now = *link.borrow_and_update();
        app.set_broker_up(now.up);
        if now.up
            && let Err(error) = db::jobs::ring_everything(app.db()).await
        {
            tracing::warn!(%error, "open jobs could not be rung anew: the timer will");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = link.changed() => if changed.is_err() { return },
        }
    }
}

async fn ring_one(app: &App, bus: &dyn Bus, job: &JobRow) {
    if job.budget_ms <= 0 {
        return; // The sweep closes it.
    }
    let settled = match render::render(app, job).await {
        Ok(Rendered::Message(envelope)) => {
            let expires = Some(Duration::from_millis(envelope.budget_ms));
            let body = serde_json::to_vec(&envelope).unwrap_or_default();
            let address = Address::Agent(envelope.agent.clone());
            metrics::counter!("arame_rings_total").increment(1);
            match bus.publish(&address, Durability::Persistent { expires }, body).await {
                Ok(()) => return,
                // No queue: the agent was never there since the broker lost its memory. Its hello rings the job.
                Err(PublishError::Unroutable(_)) => return,
                Err(error) => {
                    if matches!(error, PublishError::Unconfirmed(_)) {
                        metrics::counter!("arame_rings_unconfirmed_total").increment(1);
                    }
                    tracing::debug!(job = %job.id, %error, "a ring failed: it will be repeated");
                    db::jobs::unclaim(app.db(), job.id).await.map_err(Into::into)
                }
            }
        }
        Ok(Rendered::Held) => db::recovery::hold(app.db(), job.id).await.map_err(Into::into),
        Ok(Rendered::Obsolete) => outcome::obsolete(app, job.id).await,
        Err(error) => Err(error),
    };
    if let Err(error) = settled {
        tracing::warn!(job = %job.id, %error, "a job could not be rung: the timer will");
    }
}
