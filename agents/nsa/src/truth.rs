//! How old the truth is: since when nothing newer than what is served could have been heard.
//!
//! ```text
//!  started ──► welcomed ──► CONFIRMED_AFTER went by: current ──► the broker is lost: its age counts from here
//!     ▲                          │ every KEEP_INTERVAL the moment is written down
//!     └── its age counts from the moment that was written down last ◄────────┘ killed
//! ```
//!
//! Rule: an age is told, nothing is decided by it. Within a boot it counts by the kernel's uptime, so that no step of the wall
//! clock makes it older or younger; across boots there is only the wall clock, and it is never below zero.

use crate::agent::Inner;
use crate::limits::{AGE_TOLD_EVERY, KEEP_INTERVAL};
use crate::link::sentence;
use crate::store::write_whole;
use arame_framework::rehearsal;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

/// A moment as it can be told from another one in another life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Which boot of the machine it was in; nil where the kernel does not say.
    boot: Uuid,
    /// Of that boot, with the time asleep (proc_uptime(5)).
    uptime_seconds: u64,
    /// By the wall clock.
    unix_seconds: i64,
}

impl Moment {
    pub fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let boot = read("/proc/sys/kernel/random/boot_id").trim().parse().unwrap_or_default();
        let uptime = read("/proc/uptime");
        let uptime_seconds = uptime.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
        Self { boot, uptime_seconds, unix_seconds: OffsetDateTime::now_utc().unix_timestamp() }
    }

    /// How long before `now` it was.
    pub fn age(self, now: Self) -> Duration {
        let seconds = match self.boot == now.boot && !self.boot.is_nil() {
            true => now.uptime_seconds.saturating_sub(self.uptime_seconds),
            false => u64::try_from(now.unix_seconds.saturating_sub(self.unix_seconds)).unwrap_or(0),
        };
        Duration::from_secs(seconds)
    }
}

/// What is known of the manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// Not since this process began, or since the broker was lost. `None`: never.
    Lost(Option<Moment>),
    /// Welcomed; it has yet to say what is newer. With what was before.
    Welcomed(Option<Moment>),
    Current,
}

#[derive(Debug)]
pub struct Truth {
    path: PathBuf,
    hearing: Mutex<Hearing>,
}

impl Truth {
    /// As an earlier life left it.
    pub fn open(dir: &Path) -> Self {
        let path = dir.join("heard");
        let last = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path, hearing: Mutex::new(Hearing::Lost(last)) }
    }

    fn lock(&self) -> MutexGuard<'_, Hearing> {
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn welcomed(&self) {
        let mut hearing = self.lock();
        if let Hearing::Lost(last) = *hearing {
            *hearing = Hearing::Welcomed(last);
        }
    }

    /// Whatever was newer when the welcome came has been sent.
    pub fn settled(&self) {
        let mut hearing = self.lock();
        if let Hearing::Welcomed(last) = *hearing {
            if let Some(last) = last {
                let seconds = last.age(Moment::now()).as_secs();
                tracing::info!(seconds, "what is served is current again; it had not been confirmed for so long");
            }
            *hearing = Hearing::Current;
        }
    }

    /// The broker is gone.
    pub fn lost(&self) {
        let mut hearing = self.lock();
        match *hearing {
            Hearing::Current => {
                *hearing = Hearing::Lost(Some(Moment::now()));
                tracing::warn!("the manager is not heard any more: what is served is as of now");
            }
            Hearing::Welcomed(last) => *hearing = Hearing::Lost(last),
            Hearing::Lost(_) => {}
        }
    }

    /// Of a network that was confirmed in this process, or was not. `None`: current, or never known.
    pub fn age(&self, is_confirmed: bool) -> Option<Duration> {
        self.as_of(is_confirmed).map(|last| last.age(Moment::now()))
    }

    /// Whether the manager was ever heard, in this life or an earlier one.
    pub fn is_known(&self) -> bool {
        !matches!(*self.lock(), Hearing::Lost(None))
    }

    /// The moment itself.
    fn as_of(&self, is_confirmed: bool) -> Option<Moment> {
        match *self.lock() {
            Hearing::Current => None,
            Hearing::Welcomed(last) => last.filter(|_| !is_confirmed),
            Hearing::Lost(last) => last,
        }
    }

    /// Of the wall clock, for people: the same as long as it is the same.
    pub fn told(&self, is_confirmed: bool) -> Option<String> {
        let last = OffsetDateTime::from_unix_timestamp(self.as_of(is_confirmed)?.unix_seconds).ok()?;
        last.format(&time::format_description::well_known::Rfc3339).ok()
    }

    /// Writes down that it is current, if it is.
    async fn keep(&self) {
        if *self.lock() != Hearing::Current {
            return;
        }
        let path = self.path.clone();
        let written = rehearsal::blocking(move || write_whole(&path, &Moment::now())).await;
        if let Ok(Err(error)) = written {
            // The next start will say an older moment.
            tracing::debug!(error = sentence(&error), "when the manager was heard last cannot be written down");
        }
    }
}

/// Keeps the moment, and says now and then how old the truth is.
pub(crate) async fn run(inner: Weak<Inner>) {
    let mut ticks = tokio::time::interval(KEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Instant::now();
    loop {
        ticks.tick().await;
        let Some(inner): Option<Arc<Inner>> = inner.upgrade() else { return };
        inner.truth.keep().await;
        if let Some(age) = inner.truth.age(false).filter(|_| told.elapsed() >= AGE_TOLD_EVERY) {
            told = Instant::now();
            tracing::warn!(seconds = age.as_secs(), "what is served has not been confirmed for so long");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn moment(boot: u128, uptime_seconds: u64, unix_seconds: i64) -> Moment {
        Moment { boot: Uuid::from_u128(boot), uptime_seconds, unix_seconds }
    }

    #[test]
    fn a_step_of_the_wall_clock_makes_nothing_older_or_younger() {
        let last = moment(1, 1_000, 50 * DAY);
        for step in [-DAY, -300, 0, 300, DAY] {
            assert_eq!(last.age(moment(1, 1_060, 50 * DAY + 60 + step)), Duration::from_secs(60), "{step}");
        }
        // Another boot knows only the wall clock.
        assert_eq!(last.age(moment(2, 5, 50 * DAY + 600)), Duration::from_secs(600));
        assert_eq!(last.age(moment(2, 5, 49 * DAY)), Duration::ZERO);
    }

    #[test]
    fn this_machine_knows_its_boot_and_its_uptime() {
        let now = Moment::now();
        assert!(!now.boot.is_nil() && now.uptime_seconds > 0);
    }

    #[tokio::test]
    async fn the_truth_has_an_age_while_the_manager_is_not_heard_and_the_next_process_knows_it() {
        let dir = tempfile::tempdir().unwrap();
        let truth = Truth::open(dir.path());
        assert_eq!((truth.age(true), truth.told(false), truth.is_known()), (None, None, false));
        truth.welcomed();
        truth.settled();
        truth.keep().await;
        assert_eq!(truth.age(false), None, "the control: it is current");
        truth.lost();
        assert!(truth.age(true).is_some());
        truth.welcomed();
        assert_eq!(truth.age(true), None, "a network that this process was told of");
        assert!(truth.age(false).is_some());
        truth.settled();
        assert_eq!(truth.age(false), None);
        let again = Truth::open(dir.path());
        assert!(again.age(false).is_some_and(|age| age < Duration::from_secs(60)));
        let is_same = again.told(false) == again.told(false);
        assert!(is_same && again.told(false).is_some());
        // What was written down before is not made younger by a life that never heard.
        again.keep().await;
        assert_eq!(Truth::open(dir.path()).told(false), again.told(false));
    }
}
