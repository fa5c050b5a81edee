//! Examples of what stays, as a table, and what holds for any history.

use super::*;
use jiff::civil::datetime;
use proptest::prelude::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

const WHOLE: Standing = Standing::Whole { marked: false, needed: false };

fn item(order: u64, made_at: Timestamp, standing: Standing) -> Item {
    Item { order, made_at, standing }
}

/// Whole ones at these moments of a zone's clock.
fn made(zone: &TimeZone, times: &[&str]) -> Vec<Item> {
    let moment = |text: &&str| zone.to_timestamp(text.parse::<jiff::civil::DateTime>().unwrap()).unwrap();
    times.iter().enumerate().map(|(n, text)| item(n as u64, moment(text), WHOLE)).collect()
}

fn keep(last: u32, hourly: u32, daily: u32, weekly: u32, monthly: u32) -> Keep {
    Keep { last, hourly, daily, weekly, monthly }
}

/// What stays, with why, as a person would write it down.
fn stays(items: &[Item], keep: Keep, zone: &TimeZone) -> Vec<String> {
    let verdicts = judge(items, keep, zone);
    let line = |(item, verdict): (&Item, &Verdict)| match verdict {
        Verdict::Stays(because) => {
            let at = item.made_at.to_zoned(zone.clone()).strftime("%m-%d %H:%M").to_string();
            Some(format!("{at} {}", because.as_str()))
        }
        Verdict::Goes | Verdict::GoesLater | Verdict::Going => None,
    };
    items.iter().zip(&verdicts).filter_map(line).collect()
}

#[test]
fn examples() {
    let utc = TimeZone::UTC;
    let times = [
        "2026-01-01T03:00",
        "2026-01-15T03:00",
        "2026-01-31T03:00",
        "2026-02-01T03:00",
        "2026-02-22T03:00",
        "2026-02-23T03:00",
        "2026-02-28T03:00",
        "2026-03-01T03:00",
        "2026-03-02T03:00",
        "2026-03-02T04:00",
        "2026-03-02T04:30",
    ];
    let items = made(&utc, &times);
    let cases: [(Keep, &[&str]); 7] = [
        (keep(1, 0, 0, 0, 0), &["03-02 04:30 last"]),
        (keep(2, 0, 0, 0, 0), &["03-02 04:00 last", "03-02 04:30 last"]),
        (keep(0, 2, 0, 0, 0), &["03-02 03:00 hourly", "03-02 04:30 hourly"]),
        (keep(0, 0, 3, 0, 0), &["02-28 03:00 daily", "03-01 03:00 daily", "03-02 04:30 daily"]),
        // A week begins on Monday: 23 February and 1 March are of one, 22 February is of the one before.
        (keep(0, 0, 0, 3, 0), &["02-22 03:00 weekly", "03-01 03:00 weekly", "03-02 04:30 weekly"]),
        (keep(0, 0, 0, 0, 9), &["01-31 03:00 monthly", "02-28 03:00 monthly", "03-02 04:30 monthly"]),
        // Each count covers what those before it did not: the days begin before the last ones, the months before the weeks.
        (
            keep(1, 1, 2, 1, 1),
            &[
                "01-31 03:00 monthly",
                "02-22 03:00 weekly",
                "02-28 03:00 daily",
                "03-01 03:00 daily",
                "03-02 03:00 hourly",
                "03-02 04:30 last",
            ],
        ),
    ];
    for (keep, wanted) in cases {
        assert_eq!(stays(&items, keep, &utc), wanted, "{keep:?}");
    }
    assert_eq!(stays(&items, Keep::default(), &utc).len(), times.len(), "nothing says how many");
}

#[test]
fn an_hour_that_comes_twice_is_two_and_days_are_those_of_the_zone() {
    let berlin = zone("Europe/Berlin");
    let twice: Vec<Item> = ["2026-10-25T00:15:00Z", "2026-10-25T01:15:00Z", "2026-10-25T02:15:00Z"]
        .iter()
        .enumerate()
        .map(|(n, text)| item(n as u64, text.parse().unwrap(), WHOLE))
        .collect();
    assert_eq!(stays(&twice, keep(0, 9, 0, 0, 0), &berlin).len(), 3);
    // Half past midnight in Tokyo is the day before in UTC.
    let items = made(&zone("Asia/Tokyo"), &["2026-01-01T23:00", "2026-01-02T00:30"]);
    assert_eq!(stays(&items, keep(0, 0, 9, 0, 0), &zone("Asia/Tokyo")).len(), 2);
    assert_eq!(stays(&items, keep(0, 0, 9, 0, 0), &TimeZone::UTC).len(), 1);
}

#[test]
fn a_year_of_days_becomes_days_weeks_and_months() {
    let utc = TimeZone::UTC;
    let first = utc.to_timestamp(datetime(2025, 1, 1, 3, 0, 0, 0)).unwrap().as_second();
    let day = |n: i64| item(n as u64, Timestamp::from_second(first + n * 86_400).unwrap(), WHOLE);
    let items: Vec<Item> = (0..365).map(day).collect();
    let stays = stays(&items, keep(3, 0, 7, 4, 12), &utc);
    let of = |word: &str| stays.iter().filter(|line| line.ends_with(word)).count();
    // The months that the year has beside those that last, days and weeks cover.
    assert_eq!((of("last"), of("daily"), of("weekly"), of("monthly")), (3, 7, 4, 10), "{stays:#?}");
}

#[test]
fn what_is_needed_goes_later_and_what_is_marked_is_not_counted() {
    let utc = TimeZone::UTC;
    let mut items = made(&utc, &["2026-01-01T03:00", "2026-01-02T03:00", "2026-01-03T03:00", "2026-01-04T03:00"]);
    items[0].standing = Standing::Whole { marked: false, needed: true };
    items[2].standing = Standing::Whole { marked: true, needed: false };
    let verdicts = judge(&items, keep(1, 0, 0, 0, 0), &utc);
    let wanted = [Verdict::GoesLater, Verdict::Goes, Verdict::Stays(Because::Marked), Verdict::Stays(Because::Last)];
    assert_eq!(verdicts, wanted);
}

#[test]
fn the_last_failure_stays_until_a_newer_one_is_whole() {
    let utc = TimeZone::UTC;
    let mut items = made(&utc, &["2026-01-01T03:00", "2026-01-02T03:00", "2026-01-03T03:00", "2026-01-04T03:00"]);
    for n in [0, 2, 3] {
        items[n].standing = Standing::Failed;
    }
    let goes = Verdict::Goes;
    let whole = Verdict::Stays(Because::Last);
    let keep = keep(1, 0, 0, 0, 0);
    assert_eq!(judge(&items, keep, &utc), [goes, whole, goes, Verdict::Stays(Because::Failure)]);
    items.extend(made(&utc, &["2026-01-05T03:00"]));
    assert_eq!(judge(&items, keep, &utc), [goes, goes, goes, goes, whole]);
}

const STANDINGS: [Standing; 9] = [
    WHOLE,
    WHOLE,
    WHOLE,
    Standing::Whole { marked: true, needed: false },
    Standing::Whole { marked: false, needed: true },
    Standing::Making,
    Standing::Failed,
    Standing::Lost,
    Standing::Going,
];

proptest! {
    #[test]
    fn the_newest_whole_one_stays_and_nothing_goes_that_may_not(
        history in prop::collection::vec((1_700_000_000i64..1_760_000_000, 0..STANDINGS.len()), 1..60),
        counts in prop::array::uniform5(0u32..6),
        zone_at in prop::sample::select(vec!["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Tokyo"]),
        turn in any::<prop::sample::Index>(),
    ) {
        let zone = zone(zone_at);
        let keep = keep(counts[0], counts[1], counts[2], counts[3], counts[4]);
        let items: Vec<Item> = history
            .iter()
            .enumerate()
            .map(|(n, (at, of))| item(n as u64, Timestamp::from_second(*at).unwrap(), STANDINGS[*of]))
            .collect();
        let verdicts = judge(&items, keep, &zone);
        let whole = |item: &Item| matches!(item.standing, Standing::Whole { marked: false, .. });
        let newest = (0..items.len()).filter(|n| whole(&items[*n])).max_by_key(|n| (items[*n].made_at, items[*n].order));
        if let Some(newest) = newest {
            prop_assert!(matches!(verdicts[newest], Verdict::Stays(_)), "the last good one goes");
        }
        let mut stay = 0;
        for (item, verdict) in items.iter().zip(&verdicts) {
            let older = newest.is_some_and(|n| (item.made_at, item.order) < (items[n].made_at, items[n].order));
            match (item.standing, verdict) {
                (Standing::Whole { marked: false, needed: true }, Verdict::Goes) => prop_assert!(false, "it is needed"),
                (Standing::Whole { marked: false, .. }, Verdict::Goes | Verdict::GoesLater) => {
                    prop_assert!(older, "nothing newer is whole");
                    prop_assert!(!keep.is_all());
                }
                (Standing::Whole { marked: false, .. }, verdict) => {
                    prop_assert!(matches!(verdict, Verdict::Stays(_)));
                    stay += 1;
                }
                (Standing::Whole { marked: true, .. }, verdict) => prop_assert_eq!(*verdict, Verdict::Stays(Because::Marked)),
                (Standing::Making | Standing::Lost, verdict) => prop_assert!(matches!(verdict, Verdict::Stays(_))),
                (Standing::Going, verdict) => prop_assert_eq!(*verdict, Verdict::Going),
                (Standing::Failed, verdict) => {
                    prop_assert!(matches!(verdict, Verdict::Goes | Verdict::Stays(Because::Failure)));
                }
            }
        }
        if !keep.is_all() {
            prop_assert!(stay <= counts.iter().sum::<u32>(), "{stay} stay of {counts:?}");
        }

        // The order in which they are listed does not matter.
        let turn = turn.index(items.len());
        let mut turned = items.clone();
        turned.rotate_left(turn);
        let mut again = judge(&turned, keep, &zone);
        again.rotate_right(turn);
        prop_assert_eq!(&again, &verdicts);

        // What goes is gone: then nothing else goes.
        let left: Vec<Item> =
            items.iter().zip(&verdicts).filter(|(_, verdict)| **verdict != Verdict::Goes).map(|(item, _)| *item).collect();
        for verdict in judge(&left, keep, &zone) {
            prop_assert!(verdict != Verdict::Goes, "pruned twice, more goes");
        }
    }
}
