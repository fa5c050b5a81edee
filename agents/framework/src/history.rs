//! Readings of the last hour in bounded memory: one a minute, and the last two as they came.
//!
//! Rule: what is kept is bounded whatever is read how often, and what is older than an hour is not told. It knows ages, never a
//! wall clock.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Between two readings kept for the history.
const MINUTE: Duration = Duration::from_secs(60);
/// Readings kept for it: an hour has 61 ends of minutes.
const MINUTES: usize = 61;
/// How long a reading is told.
pub const KEPT: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Clone)]
struct Read<T> {
    at: Instant,
    what: T,
}

#[derive(Debug)]
pub struct History<T> {
    minutes: VecDeque<Read<T>>,
    /// The newest at the end.
    last: VecDeque<Read<T>>,
}

impl<T> Default for History<T> {
    fn default() -> Self {
        Self { minutes: VecDeque::new(), last: VecDeque::new() }
    }
}

impl<T: Clone> History<T> {
    pub fn take(&mut self, at: Instant, what: T) {
        let read = Read { at, what };
        let is_due = self.minutes.back().is_none_or(|last| at.duration_since(last.at) >= MINUTE);
        if is_due {
            self.minutes.push_back(read.clone());
        }
        while self.minutes.len() > MINUTES {
            self.minutes.pop_front();
        }
        self.last.push_back(read);
        while self.last.len() > 2 {
            self.last.pop_front();
        }
    }

    /// With their ages, oldest first.
    pub fn readings(&self, now: Instant) -> Vec<(Duration, &T)> {
        let first_of_last = self.last.front().map(|read| read.at);
        let earlier = self.minutes.iter().filter(|read| first_of_last.is_none_or(|first| read.at < first));
        let aged = earlier.chain(&self.last).map(|read| (now.duration_since(read.at), &read.what));
        aged.filter(|(age, _)| *age <= KEPT).collect()
    }

    /// The newest with its age.
    pub fn newest(&self, now: Instant) -> Option<(Duration, &T)> {
        self.last.back().map(|read| (now.duration_since(read.at), &read.what))
    }
}
