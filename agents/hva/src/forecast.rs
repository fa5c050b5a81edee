//! Measures for forecasts of moves: taken when somebody asks, kept for a moment, never twice at once.
//!
//! ```text
//! asked ─► known and young? ─► answered from memory, with its age
//!               │ no
//!               └► measured beside the question; who asks waits for it at most [`WAIT`], and is then told that it is measured
//! ```
//!
//! Rules: however often it is asked, a guest is looked at once in [`YOUNG`] and a link measured once in [`LINK_YOUNG`], one
//! link of a host at a time. A measure that fails is told to those who wait, and not kept. Nothing is measured unasked.

use crate::driver::DriverError;
use crate::driver::gauges::{Gauges, LinkTo};
use arame_framework::rehearsal;
use arame_schema::jobs::forecast::{ForecastAnswer, ForecastAsk, GuestLoad, LinkEnd, LinkRate, Measured, Unmeasured};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// A question is answered within two seconds (`ASK_TIMEOUT`), with its way there and back.
const WAIT: Duration = Duration::from_millis(1600);

/// A guest's load is told from memory for this long.
const YOUNG: Duration = Duration::from_secs(10);

/// A link's rate too: it changes less, and its measure takes from others.
const LINK_YOUNG: Duration = Duration::from_secs(30);

/// How many guests are looked at, at a time: each costs QEMU a thread for a second.
const GUESTS_AT_ONCE: usize = 4;

/// Ends open at a time: each is a listening port for a moment.
const ENDS_MAX: u32 = 4;

/// Guests and links remembered; the oldest go first.
const KEPT_MAX: usize = 512;

type Outcome<T> = Result<(Instant, T), (Unmeasured, String)>;

/// Measures of one kind by what they are of.
struct Kept<T>(Mutex<BTreeMap<String, watch::Receiver<Option<Outcome<T>>>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Copy + Send + Sync + 'static> Kept<T> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, watch::Receiver<Option<Outcome<T>>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The measure that is young or on its way.
    fn current(&self, name: &str, young: Duration) -> Option<watch::Receiver<Option<Outcome<T>>>> {
        let found = self.lock().get(name).cloned()?;
        let good = match &*found.borrow() {
            // Whoever measured it may have ended without a word.
            None => found.has_changed().is_ok(),
            Some(Ok((at, _))) => at.elapsed() < young,
            Some(Err(_)) => false,
        };
        good.then_some(found)
    }

    fn keep(&self, name: &str, measure: watch::Receiver<Option<Outcome<T>>>) {
        let mut kept = self.lock();
        kept.insert(name.to_owned(), measure);
        if kept.len() > KEPT_MAX {
            let age = |one: &watch::Receiver<Option<Outcome<T>>>| match &*one.borrow() {
                Some(Ok((at, _))) => Some(*at),
                None => Some(Instant::now()),
                Some(Err(_)) => None,
            };
            let oldest = kept.iter().min_by_key(|(_, one)| age(one)).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                kept.remove(&oldest);
            }
        }
    }
}

/// What is known of a measure within the time.
async fn told<T: Copy>(mut measure: watch::Receiver<Option<Outcome<T>>>, until: Instant) -> Measured<T> {
    let waited = tokio::time::timeout_at(until, measure.wait_for(Option::is_some)).await;
    let unknown = |why, message: &str| Measured::Unknown { why, message: message.to_owned() };
    match waited {
        Err(_) => unknown(Unmeasured::Measuring, "the measure goes on"),
        Ok(Err(_)) => unknown(Unmeasured::Failed, "the measure ended without a word"),
        Ok(Ok(outcome)) => match &*outcome {
            Some(Ok((at, value))) => Measured::Known { age_ms: at.elapsed().as_millis() as u64, value: *value },
            Some(Err((why, message))) => Measured::Unknown { why: *why, message: message.clone() },
            None => unknown(Unmeasured::Measuring, "the measure goes on"),
        },
    }
}

pub struct Forecasts {
    gauges: Arc<dyn Gauges>,
    loads: Kept<GuestLoad>,
    links: Kept<LinkRate>,
    looking: Arc<Semaphore>,
    linking: Arc<Semaphore>,
    ends: Mutex<Vec<Instant>>,
}

/// How long an end that was opened counts as open: longer than any driver leaves it so.
const END_LIFE: Duration = Duration::from_secs(4);

impl Forecasts {
    pub fn new(gauges: Arc<dyn Gauges>) -> Self {
        Self {
            gauges,
            loads: Kept::default(),
            links: Kept::default(),
            looking: Arc::new(Semaphore::new(GUESTS_AT_ONCE)),
            linking: Arc::new(Semaphore::new(1)),
            ends: Mutex::default(),
        }
    }

    /// The answer to `hva.link`.
    ///
    /// # Errors
    /// A sentence: too many are open, or it cannot be opened.
    pub async fn open_link(&self) -> Result<LinkEnd, String> {
        {
            let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
            ends.retain(|opened| opened.elapsed() < END_LIFE);
            if ends.len() >= ENDS_MAX as usize {
                return Err("too many links are measured to this host now".into());
            }
            ends.push(Instant::now());
        }
        self.gauges.open_link().await.map_err(|error| error.to_string())
    }

    /// The answer to `hva.forecast`.
    pub async fn answer(&self, ask: ForecastAsk) -> ForecastAnswer {
        let until = Instant::now() + WAIT;
        let load = self.load(&ask);
        let link = self.link(ask);
        let (load, link) = tokio::join!(told(load, until), async {
            match link {
                Some(link) => told(link, until).await,
                None => Measured::Unknown {
                    why: Unmeasured::NoLink,
                    message: "the other host opened no end, and nothing is remembered of the link".into(),
                },
            }
        });
        ForecastAnswer { load, link }
    }

    fn load(&self, ask: &ForecastAsk) -> watch::Receiver<Option<Outcome<GuestLoad>>> {
        let name = ask.instance.as_str();
        if let Some(found) = self.loads.current(name, YOUNG) {
            return found;
        }
        let (tell, measure) = watch::channel(None);
        let (gauges, places, instance) = (self.gauges.clone(), self.looking.clone(), ask.instance.clone());
        rehearsal::spawn(async move {
            let Ok(_place) = places.acquire_owned().await else { return };
            let outcome = match gauges.load(&instance).await {
                Ok(Some(load)) => Ok((Instant::now(), load)),
                Ok(None) => Err((Unmeasured::NotRunning, format!("{instance} does not run here"))),
                Err(error) => Err(failed("a guest's load", Unmeasured::Failed, &error)),
            };
            let _ = tell.send(Some(outcome));
        });
        self.loads.keep(name, measure.clone());
        measure
    }

    fn link(&self, ask: ForecastAsk) -> Option<watch::Receiver<Option<Outcome<LinkRate>>>> {
        let name = ask.to.to_string();
        if let Some(found) = self.links.current(&name, LINK_YOUNG) {
            return Some(found);
        }
        let to = LinkTo { host: ask.to, endpoints: ask.endpoints, end: ask.link? };
        let (tell, measure) = watch::channel(None);
        let (gauges, places) = (self.gauges.clone(), self.linking.clone());
        rehearsal::spawn(async move {
            let Ok(_place) = places.acquire_owned().await else { return };
            let outcome = match gauges.measure_link(&to).await {
                Ok(rate) => Ok((Instant::now(), rate)),
                Err(error) => Err(failed("a link", Unmeasured::LinkUnreachable, &error)),
            };
            let _ = tell.send(Some(outcome));
        });
        self.links.keep(&name, measure.clone());
        Some(measure)
    }
}

fn failed(what: &str, why: Unmeasured, error: &DriverError) -> (Unmeasured, String) {
    tracing::warn!(%error, "{what} cannot be measured");
    (why, error.to_string())
}
