//! The relay: rings jobs, that is, makes their messages and publishes them. The row is the truth, the message a bell:
//! a ring that fails is repeated by the timer, a ring too many is dropped by the agent's lane.

use crate::app::render::Rendered;
use crate::app::{App, Ring, outcome, render};
use crate::db;
use crate::db::jobs::JobRow;
use arame_framework::bus::{Address, Bus, Durability, PublishError};
use arame_service::Turns;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
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

/// After a snapshot was rung it rests for so many times as long as that took, at most [`REST_MAX`]: what is wished
/// meanwhile goes with the next one. A snapshot grows with its network; without rest, making it again and again would
/// leave nothing for the launches that need it.
const REST_TIMES: u32 = 4;
const REST_MAX: Duration = Duration::from_millis(200);

/// Snapshots whose rest is remembered; those that are over are forgotten when there are more.
const RESTS_KEPT: usize = 1_000;

/// Until when each snapshot rests.
#[derive(Default)]
struct Rests(HashMap<(String, String), Instant>);

impl Rests {
    fn until(&self, ring: &Ring) -> Option<Instant> {
        let until = ring.snapshot.as_ref().and_then(|snapshot| self.0.get(snapshot))?;
        Some(*until).filter(|until| *until > Instant::now())
    }

    fn took(&mut self, ring: Ring, time: Duration) {
        let Some(snapshot) = ring.snapshot else { return };
        let now = Instant::now();
        if self.0.len() >= RESTS_KEPT {
            self.0.retain(|_, until| *until > now);
        }
        self.0.insert(snapshot, now + (time * REST_TIMES).min(REST_MAX));
    }
}

/// Rings jobs as they are committed.
pub async fn ring(
    app: App,
    bus: Arc<dyn Bus>,
    mut rung: mpsc::Receiver<Ring>,
    stop: CancellationToken,
    mut turns: Turns,
) {
    let mut rests = Rests::default();
    let (mut at_work, mut resting) = (FuturesUnordered::new(), FuturesUnordered::new());
    loop {
        let has_room = at_work.len() < RINGING_MAX;
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = turns.turn() => {}
            Some((ring, took)) = at_work.next() => rests.took(ring, took),
            Some(ring) = resting.next(), if has_room => at_work.push(ring_now(&app, &bus, ring)),
            ring = rung.recv(), if has_room => match ring {
                None => break,
                Some(ring) => match rests.until(&ring) {
                    None => at_work.push(ring_now(&app, &bus, ring)),
                    Some(until) => resting.push(async move {
                        tokio::time::sleep_until(until).await;
                        ring
                    }),
                },
            },
        }
    }
    drop(turns);
    while at_work.next().await.is_some() {}
}

async fn ring_now(app: &App, bus: &Arc<dyn Bus>, ring: Ring) -> (Ring, Duration) {
    let begin = Instant::now();
    match find(app, ring.job).await {
        Ok(Some(job)) => ring_one(app, bus.as_ref(), &job).await,
        Ok(None) => {}
        Err(error) => tracing::warn!(job = %ring.job, %error, "a job could not be read: the timer will"),
    }
    (ring, begin.elapsed())
}

async fn find(app: &App, id: Uuid) -> Result<Option<JobRow>, db::DbError> {
    Ok(db::jobs::get_row(app.db(), id).await?.filter(|job| job.open))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(snapshot: Option<&str>) -> Ring {
        Ring { job: Uuid::nil(), snapshot: snapshot.map(|thing| (thing.to_owned(), "nsa.n1".to_owned())) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_rests_in_proportion_to_what_it_took_and_nothing_else_does() {
        let mut rests = Rests::default();
        rests.took(ring(Some("nw-a")), Duration::from_millis(10));
        rests.took(ring(Some("nw-long")), Duration::from_secs(5));
        rests.took(ring(None), Duration::from_secs(5));
        assert_eq!(rests.until(&ring(Some("nw-a"))), Some(Instant::now() + Duration::from_millis(40)));
        assert_eq!(rests.until(&ring(Some("nw-long"))), Some(Instant::now() + REST_MAX));
        assert_eq!((rests.until(&ring(Some("nw-other"))), rests.until(&ring(None))), (None, None));
        tokio::time::advance(Duration::from_millis(41)).await;
        assert_eq!(rests.until(&ring(Some("nw-a"))), None);
        for n in 0..2 * RESTS_KEPT {
            rests.took(ring(Some(&format!("nw-{n}"))), Duration::ZERO);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(rests.0.len() <= RESTS_KEPT, "what is over is forgotten");
    }
}
