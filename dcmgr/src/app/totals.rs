//! How many rows long lists have, remembered for a moment: the one thing of a page that grows with its table.
//!
//! Rule: a small number is counted each time, which costs little and is then exact. What is remembered is at most a second
//! old, and no decision rests on it. While a list is asked for again and again it is counted beside the requests, one of
//! which a second would wait for it otherwise.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a number is told again.
const REMEMBERED: Duration = Duration::from_secs(1);

/// From this age on it is counted anew for those who ask later.
const STALE: Duration = Duration::from_millis(400);

/// Fewer are counted anew.
const WORTH: u64 = 1_000;

/// Lists remembered at once; beyond it the memory begins anew.
const LISTS_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub struct Totals {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    at: Instant,
    total: u64,
    is_counted_anew: bool,
}

/// What a list had within the last second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub total: u64,
    /// Whoever is told so counts it anew. Nobody else is.
    pub is_due: bool,
}

impl Totals {
    fn held(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, list: &str) -> Option<Told> {
        let mut known = self.held();
        let known = known.get_mut(list)?;
        let age = known.at.elapsed();
        if age >= REMEMBERED {
            return None;
        }
        let is_due = age >= STALE && !known.is_counted_anew;
        known.is_counted_anew |= is_due;
        Some(Told { total: known.total, is_due })
    }

    pub fn keep(&self, list: String, total: u64) {
        if total < WORTH {
            return;
        }
        let mut known = self.held();
        if known.len() >= LISTS_MAX {
            known.clear();
        }
        known.insert(list, Known { at: Instant::now(), total, is_counted_anew: false });
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
        let told = |is_due| Some(Told { total: WORTH, is_due });
        assert_eq!((totals.get("small"), totals.get("large")), (None, told(false)));
        tokio::time::advance(STALE).await;
        assert_eq!([totals.get("large"), totals.get("large")], [told(true), told(false)], "one counts it anew");
        tokio::time::advance(REMEMBERED - STALE).await;
        assert_eq!(totals.get("large"), None, "nobody did");
        totals.keep("large".into(), WORTH);
        assert_eq!(totals.get("large"), told(false));
    }
}
