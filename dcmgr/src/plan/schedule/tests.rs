//! Moments of schedules, with clocks that jump; and what is done when one is come to.

use super::*;
use proptest::prelude::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn calendar(every: Every, hour: u8, minute: u8) -> Calendar {
    Calendar { every, minute, hour, weekday: Weekday::Sunday }
}

/// The next so many moments, as the zone's clock and its offset show them.
fn shown(calendar: Calendar, zone: &TimeZone, after: &str, count: usize) -> Vec<String> {
    let mut moment = at(after);
    let mut shown = Vec::new();
    for _ in 0..count {
        moment = next(calendar, zone, moment).unwrap();
        shown.push(moment.to_zoned(zone.clone()).strftime("%m-%d %H:%M %:z").to_string());
    }
    shown
}

#[test]
fn a_day_has_one_run_also_where_its_time_is_left_out_or_comes_twice() {
    let berlin = zone("Europe/Berlin");
    // Clocks go from 02:00 to 03:00 on 29 March 2026, from 03:00 back to 02:00 on 25 October.
    let half_past_two = calendar(Every::Day, 2, 30);
    assert_eq!(
        shown(half_past_two, &berlin, "2026-03-27T12:00:00Z", 4),
        ["03-28 02:30 +01:00", "03-29 03:30 +02:00", "03-30 02:30 +02:00", "03-31 02:30 +02:00"]
    );
    assert_eq!(
        shown(half_past_two, &berlin, "2026-10-23T12:00:00Z", 4),
        ["10-24 02:30 +02:00", "10-25 02:30 +02:00", "10-26 02:30 +01:00", "10-27 02:30 +01:00"]
    );
    let between = at("2026-10-25T01:10:00Z");
    assert_eq!(next(half_past_two, &berlin, between), Some(at("2026-10-26T01:30:00Z")), "its day had its run");
    assert_eq!(newest(half_past_two, &berlin, between), Some(at("2026-10-25T00:30:00Z")));
}

#[test]
fn an_hourly_one_comes_whenever_the_clock_shows_its_minute() {
    let berlin = zone("Europe/Berlin");
    let quarter = calendar(Every::Hour, 0, 15);
    assert_eq!(
        shown(quarter, &berlin, "2026-03-28T23:30:00Z", 3),
        ["03-29 01:15 +01:00", "03-29 03:15 +02:00", "03-29 04:15 +02:00"]
    );
    assert_eq!(
        shown(quarter, &berlin, "2026-10-24T23:30:00Z", 4),
        ["10-25 02:15 +02:00", "10-25 02:15 +01:00", "10-25 03:15 +01:00", "10-25 04:15 +01:00"]
    );
    // Half an hour forward at 02:00 on 4 October 2026, at an offset of half an hour.
    assert_eq!(
        shown(quarter, &zone("Australia/Lord_Howe"), "2026-10-03T14:30:00Z", 3),
        ["10-04 01:15 +10:30", "10-04 03:15 +11:00", "10-04 04:15 +11:00"]
    );
    assert_eq!(
        shown(quarter, &zone("Asia/Kathmandu"), "2026-01-01T00:00:00Z", 2),
        ["01-01 06:15 +05:45", "01-01 07:15 +05:45"]
    );
}

#[test]
fn a_midnight_that_is_left_out_is_put_off_within_its_day() {
    // Clocks in Cairo go from 00:00 to 01:00 on the last Friday of April.
    let midnight = calendar(Every::Day, 0, 0);
    assert_eq!(
        shown(midnight, &zone("Africa/Cairo"), "2026-04-22T22:30:00Z", 2),
        ["04-24 01:00 +03:00", "04-25 00:00 +03:00"]
    );
}

#[test]
fn a_week_comes_on_its_weekday() {
    let sunday = calendar(Every::Week, 4, 5);
    assert_eq!(
        shown(sunday, &zone("Asia/Tokyo"), "2026-11-23T00:00:00Z", 3),
        ["11-29 04:05 +09:00", "12-06 04:05 +09:00", "12-13 04:05 +09:00"]
    );
    // Samoa left out Friday, 30 December 2011: its Friday is put off by a day.
    let friday = Calendar { weekday: Weekday::Friday, ..sunday };
    assert_eq!(
        shown(friday, &zone("Pacific/Apia"), "2011-12-24T00:00:00Z", 2),
        ["12-31 04:05 +14:00", "01-06 04:05 +14:00"]
    );
}

fn standing(next_run: &str) -> Standing {
    Standing { next_run: Some(at(next_run)), making: false, account_enabled: true }
}

#[test]
fn runs_that_were_missed_are_one_run_at_once() {
    let (three, utc) = (calendar(Every::Day, 3, 0), TimeZone::UTC);
    let due = |standing, now: &str| step(three, &utc, standing, at(now));
    assert_eq!(due(standing("2026-01-02T03:00:00Z"), "2026-01-02T02:59:59Z"), None, "not yet");
    let on_time = due(standing("2026-01-02T03:00:00Z"), "2026-01-02T03:00:00Z").unwrap();
    assert_eq!((on_time.moment, on_time.missed, on_time.act), (at("2026-01-02T03:00:00Z"), 0, Act::Make));
    assert_eq!(on_time.next_run, Some(at("2026-01-03T03:00:00Z")));
    let late = due(standing("2026-01-02T03:00:00Z"), "2026-01-06T12:00:00Z").unwrap();
    assert_eq!((late.moment, late.missed, late.act), (at("2026-01-06T03:00:00Z"), 4, Act::Make));
    assert_eq!(late.next_run, Some(at("2026-01-07T03:00:00Z")));
    let after_years = due(standing("2026-01-02T03:00:00Z"), "2030-01-06T12:00:00Z").unwrap();
    assert_eq!((after_years.moment, after_years.missed), (at("2030-01-06T03:00:00Z"), MISSED_MAX));
    let off = Standing { next_run: None, ..standing("2026-01-02T03:00:00Z") };
    assert_eq!(due(off, "2026-01-06T12:00:00Z"), None, "one that is switched off");
}

#[test]
fn a_run_is_skipped_with_its_reason_and_the_next_one_is_written_down() {
    let (three, utc) = (calendar(Every::Day, 3, 0), TimeZone::UTC);
    let now = at("2026-01-02T03:00:01Z");
    for (making, account_enabled, act) in [
        (false, true, Act::Make),
        (true, true, Act::Skip(Skipped::EarlierRun)),
        (false, false, Act::Skip(Skipped::AccountDisabled)),
        (true, false, Act::Skip(Skipped::AccountDisabled)),
    ] {
        let standing = Standing { making, account_enabled, ..standing("2026-01-02T03:00:00Z") };
        let step = step(three, &utc, standing, now).unwrap();
        assert_eq!((step.act, step.next_run), (act, Some(at("2026-01-03T03:00:00Z"))));
    }
}

const ZONES: [&str; 10] = [
    "UTC",
    "Asia/Tokyo",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Africa/Cairo",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Pacific/Apia",
];

proptest! {
    #[test]
    fn moments_grow_none_is_left_out_and_the_newest_is_found_from_both_sides(
        zone_at in 0..ZONES.len(),
        every in prop::sample::select(Every::ALL),
        weekday in prop::sample::select(Weekday::ALL),
        (hour, minute) in (0u8..24, 0u8..60),
        // From 2010 to 2040, with Samoa's crossing.
        after in 1_262_304_000i64..2_208_988_800,
    ) {
        let zone = zone(ZONES[zone_at]);
        let calendar = Calendar { every, minute, hour, weekday };
        let after = Timestamp::from_second(after).unwrap();
        let first = next(calendar, &zone, after).unwrap();
        prop_assert!(first > after);
        prop_assert_eq!(newest(calendar, &zone, first), Some(first), "it is its own newest");
        let before = newest(calendar, &zone, after).unwrap();
        prop_assert!(before <= after);
        prop_assert_eq!(next(calendar, &zone, before), Some(first), "nothing lies between");
        let shown = zone.to_datetime(first);
        let hours = (first.as_second() - before.as_second()) / 3600;
        match every {
            Every::Hour => {
                prop_assert_eq!(i16::from(shown.minute()), i16::from(minute));
                prop_assert!(hours <= 3, "{hours} hours without a run");
            }
            Every::Day => prop_assert!((18..=49).contains(&hours), "{hours} hours between two days"),
            Every::Week => prop_assert!((7 * 24 - 26..=7 * 24 + 26).contains(&hours), "{hours} hours between two weeks"),
        }
    }

    #[test]
    fn whoever_comes_and_however_late_a_moment_is_met_once(
        zone_at in 0..ZONES.len(),
        every in prop::sample::select(Every::ALL),
        (hour, minute) in (0u8..24, 0u8..60),
        from in 1_700_000_000i64..2_000_000_000,
        pauses in prop::collection::vec(1i64..400_000, 1..40),
    ) {
        let zone = zone(ZONES[zone_at]);
        let calendar = Calendar { every, minute, hour, weekday: Weekday::Monday };
        let mut now = Timestamp::from_second(from).unwrap();
        let mut next_run = next(calendar, &zone, now);
        let mut last = None;
        for pause in pauses {
            now = Timestamp::from_second(now.as_second() + pause).unwrap();
            let standing = Standing { next_run, making: false, account_enabled: true };
            let Some(step) = step(calendar, &zone, standing, now) else {
                prop_assert!(next_run.unwrap() > now);
                continue;
            };
            prop_assert!(step.moment <= now && last.is_none_or(|last| last < step.moment));
            prop_assert!(step.next_run.unwrap() > now, "one run, not many");
            (last, next_run) = (Some(step.moment), step.next_run);
        }
    }
}
