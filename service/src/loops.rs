//! Which loops of a program count as its work, and whether each of them still turns.
//!
//! Rule: the service manager hears of life when every loop has turned since it last did, and by no other way. A loop that
//! hangs makes the whole program silent, whatever the others do; one that ended in good order is not waited for.

use crate::notifier::Notifier;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

/// Turns within the time that the service manager waits: one that is late is no death.
const TURNS_IN_TIME: u32 = 4;

/// All the loops of one program.
#[derive(Debug, Clone)]
pub struct Loops {
    notifier: Notifier,
    /// Between two turns; `None`: nobody watches.
    every: Option<Duration>,
    round: Arc<Mutex<Round>>,
}

#[derive(Debug, Default)]
struct Round {
    /// By the loop's number, whether it turned since life was told.
    turned: BTreeMap<u64, bool>,
    next: u64,
}

/// One loop's own hand.
#[derive(Debug)]
pub struct Turns {
    loops: Loops,
    number: u64,
    timer: Option<Interval>,
}

impl Loops {
    /// As the environment says: `WATCHDOG_USEC` microseconds, meant for the process `WATCHDOG_PID`.
    pub fn of_the_environment(notifier: Notifier) -> Self {
        let word = |name| std::env::var(name).ok();
        let within = within(word("WATCHDOG_USEC").as_deref(), word("WATCHDOG_PID").as_deref(), std::process::id());
        Self::new(notifier, within)
    }

    /// `within`: how long the service manager waits for life.
    pub fn new(notifier: Notifier, within: Option<Duration>) -> Self {
        Self { notifier, every: within.map(|within| within / TURNS_IN_TIME), round: Arc::default() }
    }

    /// Nobody watches.
    pub fn unwatched() -> Self {
        Self::new(Notifier::default(), None)
    }

    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// One more loop, which counts until its [`Turns`] is dropped.
    pub fn one_more(&self) -> Turns {
        let mut round = self.round();
        let number = round.next;
        round.next += 1;
        round.turned.insert(number, false);
        Turns { loops: self.clone(), number, timer: None }
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    /// Waits until the next turn is due and notes it. For a branch of the loop's own `select!`; never ready where nobody
    /// watches. Cancelled, it notes nothing.
    pub async fn turn(&mut self) {
        let Some(every) = self.loops.every else { return std::future::pending().await };
        let timer = self.timer.get_or_insert_with(|| {
            let mut timer = tokio::time::interval(every);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            timer
        });
        timer.tick().await;
        self.turned();
    }

    /// Between two turns; `None`: nobody watches.
    pub fn every(&self) -> Option<Duration> {
        self.loops.every
    }

    /// The loop has turned.
    pub fn turned(&self) {
        let mut round = self.loops.round();
        round.turned.insert(self.number, true);
        if round.turned.values().all(|turned| *turned) {
            round.turned.values_mut().for_each(|turned| *turned = false);
            self.loops.notifier.alive();
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.loops.round().turned.remove(&self.number);
    }
}

fn within(microseconds: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    // A child that inherits the environment is not the one that is watched.
    if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    microseconds?.parse().ok().filter(|microseconds| *microseconds > 0).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    fn watched() -> (Loops, UnixDatagram, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        (Loops::new(Notifier::to(path.as_os_str()).unwrap(), Some(Duration::from_secs(40))), manager, folder)
    }

    fn lives(manager: &UnixDatagram) -> usize {
        let mut buffer = [0; 64];
        std::iter::from_fn(|| manager.recv(&mut buffer).ok()).count()
    }

    #[test]
    fn life_is_told_once_every_loop_has_turned_and_never_by_one_alone() {
        let (loops, manager, _folder) = watched();
        let (one, other) = (loops.one_more(), loops.one_more());
        for _ in 0..10 {
            one.turned();
        }
        assert_eq!(lives(&manager), 0, "the other hangs");
        other.turned();
        assert_eq!(lives(&manager), 1);
        other.turned();
        one.turned();
        assert_eq!(lives(&manager), 1);
        drop(other);
        one.turned();
        assert_eq!(lives(&manager), 1, "who ended is not waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_due_four_times_within_what_the_manager_waits_and_never_without_one() {
        let (loops, manager, _folder) = watched();
        let mut turns = loops.one_more();
        let begin = tokio::time::Instant::now();
        for _ in 0..9 {
            turns.turn().await;
        }
        assert_eq!((begin.elapsed(), lives(&manager)), (Duration::from_secs(80), 9));
        let mut nobody = Loops::unwatched().one_more();
        let never = tokio::time::timeout(Duration::from_secs(3600), nobody.turn()).await;
        assert!(never.is_err());
    }

    #[test]
    fn the_environment_is_believed_only_where_it_means_this_process() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(within(Some("1000000"), Some("7"), 7), second);
        assert_eq!(within(Some("1000000"), None, 7), second);
        for (microseconds, pid) in [(Some("1000000"), Some("8")), (Some("0"), None), (Some("soon"), None), (None, None)]
        {
            assert_eq!(within(microseconds, pid, 7), None, "{microseconds:?} {pid:?}");
        }
    }
}
