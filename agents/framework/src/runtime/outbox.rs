//! Outcomes on their way to dcmgr: kept, in bounded number, until the broker has confirmed them.
//!
//! Rule: an outcome leaves this queue by a confirm, or by being the oldest of too many. Losing one is survivable (the
//! job's row is rung again, the next inventory tells the truth) and is logged. One outcome
//! of a thing is in flight at a time, so that a thing's answers arrive in their order; several things' at once. Progress is not kept: the next one says more.

use super::numbers::Answered;
use crate::bus::{Address, Bus, Durability, PublishError};
use crate::crash;
use crate::rehearsal;
use arame_schema::jobs::exchange;
use arame_schema::jobs::report::Outcome;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Outcomes kept while the broker is away: more than an agent can do jobs in a long outage of the control plane,
/// and a few megabytes at most.
const KEPT_MAX: usize = 1_000;

/// Confirms awaited at a time.
const IN_FLIGHT_MAX: usize = 32;

/// A broker that is up and still refuses this often will refuse for ever: the outcome's form is at fault.
const REFUSALS_MAX: u32 = 20;

/// Pauses after a failure: first and longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

struct Kept {
    outcome: Outcome,
    refusals: u32,
}

pub(super) struct Outbox {
    queue: Mutex<VecDeque<Kept>>,
    /// Outcomes neither confirmed nor given up.
    open: watch::Sender<usize>,
    news: tokio::sync::Notify,
    pub answered: Answered,
}

impl Outbox {
    /// Starts sending on `bus`; ends with the returned value's last clone.
    pub fn start(bus: Arc<dyn Bus>) -> Arc<Self> {
        let outbox = Arc::new(Self {
            queue: Mutex::default(),
            open: watch::channel(0).0,
            news: tokio::sync::Notify::new(),
            answered: Answered::default(),
        });
        rehearsal::spawn(send_all(Arc::downgrade(&outbox), bus));
        outbox
    }

    pub fn put(&self, outcome: Outcome) {
        self.answered.count(&outcome);
        let dropped = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.push_back(Kept { outcome, refusals: 0 });
            if queue.len() > KEPT_MAX { queue.pop_front() } else { None }
        };
        match dropped {
            Some(oldest) => tracing::error!(job = %oldest.outcome.job, "too many outcomes wait; the oldest is dropped"),
            None => self.open.send_modify(|open| *open += 1),
        }
        self.news.notify_one();
    }

    /// Waits until all are confirmed, at most until `end`.
    pub async fn flush(&self, end: Instant) {
        let mut open = self.open.subscribe();
        if tokio::time::timeout_at(end, open.wait_for(|open| *open == 0)).await.is_err() {
            tracing::warn!(open = *self.open.borrow(), "outcomes are left unsent");
        }
    }

    /// The oldest whose thing has nothing in flight.
    fn take(&self, in_flight: &HashSet<String>) -> Option<Kept> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let place = queue.iter().position(|kept| !in_flight.contains(&kept.outcome.thing))?;
        queue.remove(place)
    }

    /// Done with it, or back to the front. `false`: the broker did not take it.
    fn settle(&self, mut kept: Kept, answer: Result<(), PublishError>) -> bool {
        let Err(error) = answer else {
            self.close();
            crash::point_of("after_answer", &kept.outcome.kind);
            return true;
        };
        kept.refusals += u32::from(matches!(error, PublishError::Refused(_)));
        if kept.refusals > REFUSALS_MAX {
            tracing::error!(job = %kept.outcome.job, %error, "an outcome is refused for good and dropped");
            self.close();
            return false;
        }
        tracing::debug!(job = %kept.outcome.job, %error, "an outcome waits");
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_front(kept);
        false
    }

    fn close(&self) {
        self.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

async fn publish(bus: Arc<dyn Bus>, kept: Kept) -> (Kept, Result<(), PublishError>) {
    crash::point_of("before_answer", &kept.outcome.kind);
    let body = match serde_json::to_vec(&kept.outcome) {
        Ok(body) => body,
        Err(error) => return (kept, Err(PublishError::Refused(error.to_string()))),
    };
    let durability = Durability::Persistent { expires: None };
    let answer = bus.publish(&Address::Exchange(exchange::OUTCOME), durability, body).await;
    (kept, answer)
}

async fn send_all(outbox: std::sync::Weak<Outbox>, bus: Arc<dyn Bus>) {
    let mut link = bus.link();
    let mut in_flight = FuturesUnordered::new();
    let mut things = HashSet::new();
    let mut failures = 0u32;
    let mut not_before = Instant::now();
    loop {
        let Some(own) = outbox.upgrade() else { return };
        while Instant::now() >= not_before && in_flight.len() < IN_FLIGHT_MAX {
            let Some(kept) = own.take(&things) else { break };
            things.insert(kept.outcome.thing.clone());
            in_flight.push(publish(bus.clone(), kept));
        }
        tokio::select! {
            biased;
            Some((kept, answer)) = in_flight.next() => {
                things.remove(&kept.outcome.thing);
                match own.settle(kept, answer) {
                    true => failures = 0,
                    false => {
                        not_before = Instant::now() + PAUSE.1.min(PAUSE.0 * 2u32.saturating_pow(failures.min(8)));
                        failures += 1;
                    }
                }
            }
            () = own.news.notified() => {}
            // A new connection is worth an attempt at once.
            changed = link.changed() => match changed {
                Ok(()) => if link.borrow_and_update().up { not_before = Instant::now() },
                // The bus is gone: nothing will ever be sent, and waiting on its link would spin.
                Err(_) => return,
            },
            () = tokio::time::sleep_until(not_before), if Instant::now() < not_before => {}
            // Lets go of the outbox now and then, so that this task ends with its last owner.
            () = tokio::time::sleep(PAUSE.1) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Source;
    use crate::bus::memory::{Faults, MemoryBroker};
    use arame_schema::jobs::report::JobResult;
    use uuid::Uuid;

    fn outcome(number: usize) -> Outcome {
        Outcome {
            v: 1,
            job: Uuid::from_u128(number as u128),
            kind: "sta.volume.observe".into(),
            agent: "sta.s1".parse().unwrap(),
            incarnation: 1,
            thing: format!("vol-{number}"),
            result: JobResult::Done,
            facts: Vec::new(),
            waited_ms: 0,
            worked_ms: 0,
            traceparent: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_outage_costs_the_oldest_outcomes_only() {
        let broker = MemoryBroker::new();
        let dcmgr = broker.bus("dcmgr");
        let mut arrived = dcmgr.subscribe(Source::Exchange(exchange::OUTCOME), 10).await;
        let bus = broker.bus("sta.s1");
        broker.disconnect("sta.s1");
        let outbox = Outbox::start(bus);
        for number in 0..KEPT_MAX + 5 {
            outbox.put(outcome(number));
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        broker.reconnect("sta.s1");
        let mut jobs = std::collections::BTreeSet::new();
        while jobs.len() < KEPT_MAX {
            let delivery = arrived.recv().await.unwrap();
            jobs.insert(serde_json::from_slice::<Outcome>(&delivery.body).unwrap().job);
            delivery.ack();
        }
        assert_eq!(jobs.first(), Some(&Uuid::from_u128(5)), "the first five were dropped");
        outbox.flush(Instant::now() + Duration::from_secs(1)).await;
        assert_eq!(*outbox.open.borrow(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outcome_in_doubt_is_sent_again() {
        let broker = MemoryBroker::new();
        let dcmgr = broker.bus("dcmgr");
        let mut arrived = dcmgr.subscribe(Source::Exchange(exchange::OUTCOME), 10).await;
        broker.set_faults(1, Faults { unconfirmed: 1.0, ..Faults::default() });
        let outbox = Outbox::start(broker.bus("sta.s1"));
        outbox.put(outcome(1));
        for _ in 0..3 {
            arrived.recv().await.unwrap().ack();
        }
        broker.set_faults(1, Faults::default());
        outbox.flush(Instant::now() + Duration::from_secs(10)).await;
        assert_eq!(*outbox.open.borrow(), 0, "confirmed at last, and kept no longer");
    }
}
