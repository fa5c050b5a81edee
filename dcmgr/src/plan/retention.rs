//! Which of what a schedule made stays, and which goes: grandfather, father, son.
//!
//! ```text
//! whole, newest first ──► last N ──► hourly ──► daily ──► weekly ──► monthly ──► goes (later, while it is needed)
//!                           │          │ the newest of each hour in which nothing is kept yet, for N hours; and so on
//!                           └──────────┴──► stays
//! ```
//!
//! Rules, in the order of Proxmox's `prune`: each count covers times of its own, the next one only older times. The first one
//! begins with the newest, whatever it is: so nothing goes before a newer one is whole, and the last good one never. What
//! somebody marked stays and is not counted. What is lost is left for a person to see. Of failed ones the last stays until
//! there is a newer whole one. Without any count everything stays.
//!
//! Times are those of the zone's clock; an hour that comes twice is two hours.

use arame_schema::model::schedule::Keep;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;

/// How something that a schedule made stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    Making,
    Whole {
        /// Somebody marked it to be kept.
        marked: bool,
        /// Something is being made from it, or goes back to it.
        needed: bool,
    },
    Failed,
    Lost,
    /// It is being deleted.
    Going,
}

/// Something a schedule made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Of two of one moment the higher one is the newer.
    pub order: u64,
    pub made_at: Timestamp,
    pub standing: Standing,
}

/// Why something stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Because {
    Last,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    /// Nothing says how many are kept.
    All,
    Marked,
    Making,
    Lost,
    /// The last that failed.
    Failure,
}

impl Because {
    pub fn as_str(self) -> &'static str {
        match self {
            Because::Last => "last",
            Because::Hourly => "hourly",
            Because::Daily => "daily",
            Because::Weekly => "weekly",
            Because::Monthly => "monthly",
            Because::All => "all",
            Because::Marked => "marked",
            Because::Making => "making",
            Because::Lost => "lost",
            Because::Failure => "failure",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Stays(Because),
    Goes,
    /// It would go and is needed still.
    GoesLater,
    /// It goes already.
    Going,
}

/// A span of time of the zone's clock, which has one kept thing: numbers that say which one.
type Span = (i64, i64, i64);

/// How many spans have one, why it stays, and which span a moment is of.
type Rule = (u32, Because, fn(&TimeZone, Timestamp) -> Span);

/// The verdict of each, in the order given.
pub fn judge(items: &[Item], keep: Keep, zone: &TimeZone) -> Vec<Verdict> {
    let mut newest_first: Vec<usize> = (0..items.len()).collect();
    newest_first.sort_by_key(|n| std::cmp::Reverse((items[*n].made_at, items[*n].order)));
    let counted = |n: &&usize| matches!(items[**n].standing, Standing::Whole { marked: false, .. });
    let counted: Vec<usize> = newest_first.iter().filter(counted).copied().collect();
    let kept = counts(items, &counted, keep, zone);
    let newest_whole = newest_first.iter().position(|n| matches!(items[*n].standing, Standing::Whole { .. }));
    let newest_failed = newest_first.iter().position(|n| items[*n].standing == Standing::Failed);
    let last_failed = newest_failed.filter(|failed| newest_whole.is_none_or(|whole| *failed < whole));
    let last_failed = last_failed.map(|place| newest_first[place]);
    let verdict = |n: usize| match items[n].standing {
        Standing::Making => Verdict::Stays(Because::Making),
        Standing::Lost => Verdict::Stays(Because::Lost),
        Standing::Going => Verdict::Going,
        Standing::Failed if last_failed == Some(n) => Verdict::Stays(Because::Failure),
        Standing::Failed => Verdict::Goes,
        Standing::Whole { marked: true, .. } => Verdict::Stays(Because::Marked),
        Standing::Whole { marked: false, needed } => match (kept[n], needed) {
            (Some(because), _) => Verdict::Stays(because),
            (None, true) => Verdict::GoesLater,
            (None, false) => Verdict::Goes,
        },
    };
    (0..items.len()).map(verdict).collect()
}

/// Why each of the counted ones (newest first) stays, if it does.
fn counts(items: &[Item], counted: &[usize], keep: Keep, zone: &TimeZone) -> Vec<Option<Because>> {
    let mut kept = vec![None; items.len()];
    if keep.is_all() {
        counted.iter().for_each(|n| kept[*n] = Some(Because::All));
        return kept;
    }
    for n in counted.iter().take(keep.last as usize) {
        kept[*n] = Some(Because::Last);
    }
    let rules: [Rule; 4] = [
        (keep.hourly, Because::Hourly, hour),
        (keep.daily, Because::Daily, day),
        (keep.weekly, Because::Weekly, week),
        (keep.monthly, Because::Monthly, month),
    ];
    for (count, because, span) in rules {
        cover(items, counted, (count, because), &mut kept, |moment| span(zone, moment));
    }
    kept
}

/// Keeps the newest of each of so many spans in which nothing is kept yet.
fn cover(
    items: &[Item],
    counted: &[usize],
    (count, because): (u32, Because),
    kept: &mut [Option<Because>],
    span: impl Fn(Timestamp) -> Span,
) {
    let covered: BTreeSet<Span> =
        counted.iter().filter(|n| kept[**n].is_some()).map(|n| span(items[*n].made_at)).collect();
    let mut used = BTreeSet::new();
    for n in counted {
        if used.len() >= count as usize {
            return;
        }
        let of = span(items[*n].made_at);
        if kept[*n].is_none() && !covered.contains(&of) && used.insert(of) {
            kept[*n] = Some(because);
        }
    }
}

fn hour(zone: &TimeZone, moment: Timestamp) -> Span {
    let at = zone.to_datetime(moment);
    let offset = zone.to_offset(moment).seconds();
    let (year, month, day) = (i64::from(at.year()), i64::from(at.month()), i64::from(at.day()));
    (year * 10_000 + month * 100 + day, i64::from(at.hour()), i64::from(offset))
}

fn day(zone: &TimeZone, moment: Timestamp) -> Span {
    let at = zone.to_datetime(moment);
    (i64::from(at.year()), i64::from(at.month()), i64::from(at.day()))
}

/// ISO 8601's week, which begins on a Monday.
fn week(zone: &TimeZone, moment: Timestamp) -> Span {
    let at = zone.to_datetime(moment).date().iso_week_date();
    (i64::from(at.year()), i64::from(at.week()), 0)
}

fn month(zone: &TimeZone, moment: Timestamp) -> Span {
    let at = zone.to_datetime(moment);
    (i64::from(at.year()), i64::from(at.month()), 0)
}

#[cfg(test)]
#[path = "retention/tests.rs"]
mod tests;
