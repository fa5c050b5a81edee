//! When a schedule comes, and what is done when it is come to.
//!
//! ```text
//! next_run ──► nobody came for a while ──► one run, for the newest of the moments that passed
//!    │  due: ├── something of an earlier run is still being made, or the account is disabled ──► skipped, told
//!    │       └── else ──► made                                  (refused: told by whoever tried)
//!    └──► the next moment after now
//! ```
//!
//! Rules: moments are those at which a clock of the schedule's zone shows its time, and strictly grow. Where clocks are put
//! forward over a time of day, that day's run comes as long after the gap's beginning as its time lies in the gap (RFC 5545,
//! 3.3.5), where they are put back over it, at its first coming: each day has one. An hourly one comes whenever the clock
//! shows its minute: an hour that comes twice has two, one that is left out none. A run is for one moment, whoever comes.

use arame_schema::model::schedule::{Calendar, Every, Weekday};
use jiff::Timestamp;
use jiff::civil::{self, Date};
use jiff::tz::TimeZone;

/// A minute. No zone's clocks differ from UTC by less, today.
const MINUTE_MS: i64 = 60_000;

/// Minutes within which every clock shows each minute of the hour, with the longest jump there is (Antarctica/Troll: two
/// hours).
const MINUTES_LOOKED_AT: i64 = 4 * 60;

/// Days within which every weekday comes, with one that a zone left out when it crossed the date line.
const DAYS_LOOKED_AT: usize = 10;

/// More missed moments than this are told as this many.
pub const MISSED_MAX: u32 = 100;

/// The first moment after another; none at the end of time.
pub fn next(calendar: Calendar, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    match calendar.every {
        Every::Hour => {
            let first = floor(after) + MINUTE_MS;
            (0..MINUTES_LOOKED_AT).find_map(|n| at_minute(calendar, zone, first + n * MINUTE_MS))
        }
        Every::Day | Every::Week => {
            // A day before: its time may have been put off into this one.
            let mut date = zone.to_datetime(after).date().yesterday().ok()?;
            for _ in 0..DAYS_LOOKED_AT {
                if let Some(moment) = on(calendar, zone, date).filter(|moment| *moment > after) {
                    return Some(moment);
                }
                date = date.tomorrow().ok()?;
            }
            None
        }
    }
}

/// The newest moment that is not after another.
pub fn newest(calendar: Calendar, zone: &TimeZone, until: Timestamp) -> Option<Timestamp> {
    match calendar.every {
        Every::Hour => {
            let last = floor(until);
            (0..MINUTES_LOOKED_AT).find_map(|n| at_minute(calendar, zone, last - n * MINUTE_MS))
        }
        Every::Day | Every::Week => {
            let mut date = zone.to_datetime(until).date().tomorrow().ok()?;
            for _ in 0..DAYS_LOOKED_AT {
                if let Some(moment) = on(calendar, zone, date).filter(|moment| *moment <= until) {
                    return Some(moment);
                }
                date = date.yesterday().ok()?;
            }
            None
        }
    }
}

/// The beginning of the minute, in milliseconds since 1970.
fn floor(moment: Timestamp) -> i64 {
    moment.as_millisecond().div_euclid(MINUTE_MS) * MINUTE_MS
}

/// This moment, if the clock shows the schedule's minute.
fn at_minute(calendar: Calendar, zone: &TimeZone, millis: i64) -> Option<Timestamp> {
    let moment = Timestamp::from_millisecond(millis).ok()?;
    (i16::from(zone.to_datetime(moment).minute()) == i16::from(calendar.minute)).then_some(moment)
}

/// The moment of a date, if the schedule comes on it.
fn on(calendar: Calendar, zone: &TimeZone, date: Date) -> Option<Timestamp> {
    if calendar.every == Every::Week && date.weekday() != weekday(calendar.weekday) {
        return None;
    }
    let time = civil::Time::new(calendar.hour as i8, calendar.minute as i8, 0, 0).ok()?;
    // jiff's "compatible" is RFC 5545's: what is in a gap is put off by the gap's length, what comes twice comes first.
    zone.to_timestamp(date.to_datetime(time)).ok()
}

fn weekday(weekday: Weekday) -> civil::Weekday {
    match weekday {
        Weekday::Monday => civil::Weekday::Monday,
        Weekday::Tuesday => civil::Weekday::Tuesday,
        Weekday::Wednesday => civil::Weekday::Wednesday,
        Weekday::Thursday => civil::Weekday::Thursday,
        Weekday::Friday => civil::Weekday::Friday,
        Weekday::Saturday => civil::Weekday::Saturday,
        Weekday::Sunday => civil::Weekday::Sunday,
    }
}

/// A schedule as it stands when it is come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The moment it waits for; none of one that is switched off.
    pub next_run: Option<Timestamp>,
    /// What an earlier run makes is not whole yet.
    pub making: bool,
    pub account_enabled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Make,
    Skip(Skipped),
}

/// Why nothing is made at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    EarlierRun,
    AccountDisabled,
}

impl Skipped {
    /// As the catalogue of failures knows it.
    pub fn code(self) -> &'static str {
        match self {
            Skipped::EarlierRun => "schedule_earlier_run",
            Skipped::AccountDisabled => "schedule_account_disabled",
        }
    }
}

/// A moment that is come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub moment: Timestamp,
    /// Moments before it that nobody came to, at most [`MISSED_MAX`].
    pub missed: u32,
    pub act: Act,
    pub next_run: Option<Timestamp>,
}

/// What is to be done now, if anything is due.
pub fn step(calendar: Calendar, zone: &TimeZone, standing: Standing, now: Timestamp) -> Option<Step> {
    let first = standing.next_run.filter(|due| *due <= now)?;
    // Zone files may have changed since the moment was written down: it is not put before that.
    let moment = newest(calendar, zone, now).map_or(first, |newest| newest.max(first));
    let act = match standing {
        Standing { account_enabled: false, .. } => Act::Skip(Skipped::AccountDisabled),
        Standing { making: true, .. } => Act::Skip(Skipped::EarlierRun),
        Standing { .. } => Act::Make,
    };
    Some(Step { moment, missed: missed(calendar, zone, first, moment), act, next_run: next(calendar, zone, now) })
}

/// Moments from the first that was due to the one before `moment`.
fn missed(calendar: Calendar, zone: &TimeZone, first: Timestamp, moment: Timestamp) -> u32 {
    let mut at = first;
    let mut count = 0;
    while at < moment && count < MISSED_MAX {
        count += 1;
        match next(calendar, zone, at) {
            Some(following) => at = following,
            None => break,
        }
    }
    count
}

#[cfg(test)]
#[path = "schedule/tests.rs"]
mod tests;
