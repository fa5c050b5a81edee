//! How many rows long lists have, remembered for a moment: the one thing of a page that grows with its table.
//!
//! Rule: a small number is counted each time, which costs little and is then exact. What is remembered is at most a second
//! old, and no decision rests on it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a number is told again.
const REMEMBERED: Duration = Duration::from_secs(1);

/// Fewer are counted anew.
const WORTH: u64 = 1_000;

/// Lists remembered at once; beyond it the memory begins anew.
const LISTS_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub struct Totals {
    known: Mutex<HashMap<String, (Instant, u64)>>,
}

impl Totals {
    fn held(&self) -> MutexGuard<'_, HashMap<String, (Instant, u64)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a list had within the last second.
    pub fn get(&self, list: &str) -> Option<u64> {
        let known = self.held();
        let (at, total) = known.get(list)?;
        (at.elapsed() < REMEMBERED).then_some(*total)
    }

    pub fn keep(&self, list: String, total: u64) {
        if total < WORTH {
            return;
        }
        let mut known = self.held();
        if known.len() >= LISTS_MAX {
            known.clear();
        }
        known.insert(list, (Instant::now(), total));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_large_number_is_told_for_a_second_and_a_small_one_is_counted() {
        let totals = Totals::default();
        totals.keep("small".into(), WORTH - 1);
        totals.keep("large".into(), WORTH);
        assert_eq!((totals.get("small"), totals.get("large")), (None, Some(WORTH)));
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(totals.get("large"), None);
    }
}
