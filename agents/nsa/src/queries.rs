//! The questions of a network, where somebody wants to see them: the last ones in memory, and lines in the log.
//!
//! Rule: off it costs one look at a flag; on it is bounded in memory and in lines a second, whatever a guest asks.

use crate::limits::{QUERIES_KEPT, QUERY_LINES_PER_SECOND};
use arame_schema::jobs::nsa::why::WhyQuery;
use hickory_proto::rr::RecordType;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[derive(Debug, Clone)]
struct Query {
    at: OffsetDateTime,
    from: IpAddr,
    name: String,
    kind: RecordType,
    answer: &'static str,
}

#[derive(Debug)]
struct Kept {
    ring: VecDeque<Query>,
    /// Lines of this second, and when it began.
    lines: u32,
    since: Instant,
    /// Not in the log.
    omitted: u64,
}

#[derive(Debug)]
pub struct Queries {
    on: AtomicBool,
    kept: Mutex<Kept>,
}

impl Default for Queries {
    fn default() -> Self {
        let kept = Kept { ring: VecDeque::new(), lines: 0, since: Instant::now(), omitted: 0 };
        Self { on: AtomicBool::new(false), kept: Mutex::new(kept) }
    }
}

impl Queries {
    /// What was kept is forgotten when it is turned off.
    pub fn set(&self, on: bool) {
        if self.on.swap(on, Ordering::Relaxed) && !on {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).ring = VecDeque::new();
        }
    }

    pub fn are_wanted(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    pub fn note(&self, network: &str, from: SocketAddr, name: String, kind: RecordType, answer: &'static str) {
        if !self.are_wanted() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.since.elapsed() >= Duration::from_secs(1) {
            if kept.omitted > 0 {
                tracing::info!(network, omitted = kept.omitted, "more questions than lines a second");
            }
            (kept.lines, kept.omitted, kept.since) = (0, 0, Instant::now());
        }
        match kept.lines < QUERY_LINES_PER_SECOND {
            true => {
                kept.lines += 1;
                tracing::info!(network, from = %from.ip(), name, %kind, answer, "question");
            }
            false => kept.omitted += 1,
        }
        if kept.ring.len() == QUERIES_KEPT {
            kept.ring.pop_front();
        }
        kept.ring.push_back(Query { at: OffsetDateTime::now_utc(), from: from.ip(), name, kind, answer });
    }

    /// Of one address, or for one name; oldest first, the last `most` of them.
    pub fn of(&self, from: Option<IpAddr>, name: Option<&str>, most: usize) -> Vec<WhyQuery> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_named = |query: &Query| {
            name.is_some_and(|name| query.name.trim_end_matches('.').eq_ignore_ascii_case(name.trim_end_matches('.')))
        };
        let of = kept.ring.iter().rev().filter(|query| Some(query.from) == from || is_named(query)).take(most);
        let mut found: Vec<WhyQuery> = of
            .map(|query| WhyQuery {
                at: query.at.format(&Rfc3339).unwrap_or_default(),
                from: query.from.to_string(),
                name: query.name.clone(),
                kind: query.kind.to_string(),
                answer: query.answer.to_owned(),
            })
            .collect();
        found.reverse();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_kept_only_while_they_are_wanted_and_never_too_many() {
        let queries = Queries::default();
        let from: SocketAddr = "10.0.0.10:5000".parse().unwrap();
        let ask = |n: usize| queries.note("nw-a", from, format!("n{n}.demo."), RecordType::A, "answered");
        ask(0);
        assert!(queries.of(Some(from.ip()), None, 9).is_empty());
        queries.set(true);
        (0..2_000).for_each(ask);
        let told = queries.of(Some(from.ip()), None, 9);
        assert_eq!((told.len(), told[8].name.as_str()), (9, "n1999.demo."), "the control");
        assert_eq!(queries.of(None, Some("N1999.demo"), 9).len(), 1);
        assert_eq!(queries.of(Some(from.ip()), None, 9_999).len(), QUERIES_KEPT);
        queries.set(false);
        assert!(queries.of(Some(from.ip()), None, 9).is_empty());
    }
}
