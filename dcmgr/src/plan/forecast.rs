//! How long a move of a running guest takes, from what was measured: precopy, as QEMU does it.
//!
//! ```text
//! set up │ disk │ memory │ what changed meanwhile │ what changed meanwhile │ … │ the guest stands still for the rest │ let run
//!                 v0 = M   v1 = D · v0/L            v2 = D · v1/L              vk ≤ L · pause
//! ```
//!
//! `L` is what the link carries without what the guest writes to its disk, which goes over it too; `D` is how fast its memory
//! changes. A round takes `v/L`. While `D < L` each round is smaller than the last; else it never ends.
//!
//! Rules: pure, and monotone: more to carry, faster change, a slower link and a shorter pause never make it sooner. The
//! uncertainty is that of the measures, and of the model where it is not of the measures. Bytes, seconds, bytes a second.

use arame_schema::jobs::forecast::{GuestLoad, LinkRate};
use arame_schema::limits::JOB_BUDGET_MAX;

/// Until the other host's hypervisor has started its half and both agree; by how much that may be wrong. An estimate, of whole
/// moves of small guests that took some two seconds (libvirt 9, QEMU 7.2, emulated).
const SET_UP_SECONDS: f64 = 1.5;
const SET_UP_ERROR_SECONDS: f64 = 1.0;

/// After the last byte: it is written down that the guest was given away, and the other host lets it run.
const HAND_OVER_SECONDS: f64 = 0.3;

/// QEMU sends from one thread, which looks at each page first: more it does not send, whatever the link carries.
const SENDER_BYTES_PER_SECOND: f64 = (1 << 30) as f64;

/// Of the time on the link: headers, what else uses the link, a host that is busy.
const MODEL_ERROR: f64 = 0.25;

/// Of what the host has given for a guest's memory, what may be zeros after all, which are not sent.
const ZEROS: f64 = 0.5;

/// A guest that needs more rounds changes as fast as the link carries.
const ROUNDS_MAX: u32 = 10_000;

/// What becomes of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    Ends {
        seconds: u64,
        /// None: `seconds` is the least; by the worst that was measured it would not end.
        plus_minus: Option<u64>,
        pause_ms: u64,
    },
    Never(Never),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Never {
    /// Its memory changes as fast as the link carries, or faster.
    Memory,
    /// Its disk is written to as fast.
    Disk,
    /// It would end, but a job is given up before.
    TooLong { seconds: u64 },
}

/// One of the cases that the measures allow.
#[derive(Debug, Clone, Copy)]
struct Case {
    memory: f64,
    disk: f64,
    dirty: f64,
    written: f64,
    link: f64,
    pause: f64,
}

/// Seconds on the link, and how many of them the guest stands still.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Course {
    seconds: f64,
    pause: f64,
}

impl Case {
    fn course(&self) -> Result<Course, Never> {
        let link = self.link.min(SENDER_BYTES_PER_SECOND) - self.written;
        // The link may carry nothing at all.
        if link < 1.0 {
            return Err(Never::Disk);
        }
        if self.dirty >= link {
            return Err(Never::Memory);
        }
        let mut course = Course { seconds: self.disk / link, pause: 0.0 };
        let mut left = self.memory;
        for _ in 0..ROUNDS_MAX {
            let takes = left / link;
            course.seconds += takes;
            if takes <= self.pause {
                course.pause = takes;
                return Ok(course);
            }
            left = self.dirty * takes;
        }
        Err(Never::Memory)
    }

    /// Whether what changes in a second could be sent within the pause. If not, it depends on whether the same pages change
    /// again and again, which a measure of a second does not tell.
    fn fits_in_pause(&self) -> bool {
        self.dirty <= (self.link.min(SENDER_BYTES_PER_SECOND) - self.written).max(0.0) * self.pause
    }
}

/// What the measures say.
pub fn outlook(load: &GuestLoad, link: &LinkRate) -> Outlook {
    let limited = |rate: u64| load.limit_bytes_per_second.map_or(rate, |limit| rate.min(limit)) as f64;
    let middle = Case {
        memory: load.memory_bytes as f64,
        disk: load.disk_bytes as f64,
        dirty: load.dirty_bytes_per_second as f64,
        written: load.written_bytes_per_second as f64,
        link: limited(link.bytes_per_second),
        pause: load.pause_limit_ms as f64 / 1000.0,
    };
    let error = load.dirty_error_bytes_per_second as f64;
    let best = Case {
        memory: middle.memory * ZEROS,
        dirty: (middle.dirty - error).max(0.0),
        link: limited(link.fastest_bytes_per_second).max(middle.link),
        ..middle
    };
    let worst =
        Case { dirty: middle.dirty + error, link: limited(link.slowest_bytes_per_second).min(middle.link), ..middle };
    let course = match middle.course() {
        Ok(course) => course,
        Err(never) => return Outlook::Never(never),
    };
    let seconds = SET_UP_SECONDS + course.seconds + HAND_OVER_SECONDS;
    if seconds > JOB_BUDGET_MAX.as_secs_f64() {
        return Outlook::Never(Never::TooLong { seconds: seconds.ceil() as u64 });
    }
    let sooner = best.course().map_or(0.0, |best| (course.seconds - best.seconds).max(0.0));
    let later = worst.course().ok().map(|worst| (worst.seconds - course.seconds).max(0.0));
    let later = later.filter(|_| worst.fits_in_pause());
    let around = |span: f64| (span + course.seconds * MODEL_ERROR + SET_UP_ERROR_SECONDS).ceil() as u64;
    Outlook::Ends {
        seconds: seconds.ceil() as u64,
        plus_minus: later.map(|later| around(later.max(sooner))),
        pause_ms: ((course.pause + HAND_OVER_SECONDS) * 1000.0).round() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MB: u64 = 1_000_000;

    fn link(rate: u64) -> LinkRate {
        LinkRate {
            bytes_per_second: rate,
            slowest_bytes_per_second: rate,
            fastest_bytes_per_second: rate,
            carried_bytes: 1,
        }
    }

    fn load(memory: u64, disk: u64, dirty: u64) -> GuestLoad {
        GuestLoad {
            memory_bytes: memory,
            disk_bytes: disk,
            dirty_bytes_per_second: dirty,
            pause_limit_ms: 300,
            ..GuestLoad::default()
        }
    }

    fn ends(seconds: u64, plus_minus: Option<u64>, pause_ms: u64) -> Outlook {
        Outlook::Ends { seconds, plus_minus, pause_ms }
    }

    /// Each by hand; 1.5 s to set up and 0.3 s to hand over are in all of them, and 1 s of the set-up's error.
    #[test]
    fn known_cases_are_as_by_hand() {
        let never = Outlook::Never;
        let table = [
            ("nothing to carry", load(0, 0, 0), 100 * MB, ends(2, Some(1), 300)),
            // 1000/100 = 10 s; half of it zeros: 5; a quarter of 10: 2.5; 1.
            ("1 GB that does not change", load(1000 * MB, 0, 0), 100 * MB, ends(12, Some(9), 300)),
            // 2000/100 = 20 s more; a quarter of 30: 7.5.
            ("and 2 GB of disk", load(1000 * MB, 2000 * MB, 0), 100 * MB, ends(32, Some(14), 300)),
            // 10 + 1 + 0.1, the last within the pause; half: 5.55, a quarter: 2.775.
            ("10 MB a second change", load(1000 * MB, 0, 10 * MB), 100 * MB, ends(13, Some(10), 400)),
            // 10 + 5 + 2.5 + 1.25 + 0.625 + 0.3125 + 0.15625 = 19.84 s; 50 MB do not go within 0.3 s.
            ("50 MB a second change", load(1000 * MB, 0, 50 * MB), 100 * MB, ends(22, None, 456)),
            ("as fast as the link", load(1000 * MB, 0, 100 * MB), 100 * MB, never(Never::Memory)),
            ("faster", load(1000 * MB, 0, 900 * MB), 110 * MB, never(Never::Memory)),
            ("no link at all", load(1000 * MB, 0, 0), 0, never(Never::Disk)),
            // 100 000/100 = 1000 s, and 1.8.
            ("100 GB", load(100_000 * MB, 0, 0), 100 * MB, never(Never::TooLong { seconds: 1002 })),
        ];
        for (name, load, rate, expected) in table {
            assert_eq!(outlook(&load, &link(rate)), expected, "{name}");
        }
        let writes = |written| GuestLoad { written_bytes_per_second: written, ..load(1000 * MB, 0, 0) };
        assert_eq!(outlook(&writes(100 * MB), &link(100 * MB)), Outlook::Never(Never::Disk));
        assert_eq!(outlook(&writes(50 * MB), &link(100 * MB)), ends(22, Some(16), 300), "half the link is left: 20 s");
        let limited = GuestLoad { limit_bytes_per_second: Some(50 * MB), ..load(1000 * MB, 0, 0) };
        assert_eq!(outlook(&limited, &link(100 * MB)), ends(22, Some(16), 300), "libvirt holds it to half");
    }

    #[test]
    fn what_was_measured_less_surely_is_told_less_surely() {
        let steady = load(1000 * MB, 0, 20 * MB);
        let unsure = GuestLoad { dirty_error_bytes_per_second: 5 * MB, ..steady };
        let width = |load: &GuestLoad, link: &LinkRate| match outlook(load, link) {
            Outlook::Ends { plus_minus: Some(plus_minus), .. } => plus_minus,
            other => panic!("{other:?}"),
        };
        let jumpy =
            LinkRate { slowest_bytes_per_second: 85 * MB, fastest_bytes_per_second: 300 * MB, ..link(100 * MB) };
        assert!(width(&unsure, &link(100 * MB)) >= width(&steady, &link(100 * MB)));
        assert!(width(&steady, &jumpy) > width(&steady, &link(100 * MB)));
        let unsurest = GuestLoad { dirty_error_bytes_per_second: 90 * MB, ..steady };
        let told = outlook(&unsurest, &link(100 * MB));
        assert!(matches!(told, Outlook::Ends { plus_minus: None, .. }), "at its worst it would not end: {told:?}");
    }

    fn loads() -> impl Strategy<Value = GuestLoad> {
        let bytes = || prop_oneof![Just(0), 1..1u64 << 40, Just(u64::MAX)];
        let rate = || prop_oneof![Just(0), 1..1u64 << 33, Just(u64::MAX)];
        (bytes(), bytes(), rate(), rate(), rate(), prop_oneof![Just(0), 1..10_000u64, Just(u64::MAX)]).prop_map(
            |(memory_bytes, disk_bytes, dirty, error, written, pause_limit_ms)| GuestLoad {
                memory_bytes,
                disk_bytes,
                dirty_bytes_per_second: dirty,
                dirty_error_bytes_per_second: error,
                written_bytes_per_second: written,
                pause_limit_ms,
                limit_bytes_per_second: None,
            },
        )
    }

    fn links() -> impl Strategy<Value = LinkRate> {
        prop_oneof![Just(0), 1..1u64 << 34, Just(u64::MAX)].prop_map(link)
    }

    /// Later than everything: never.
    fn when(outlook: Outlook) -> u64 {
        match outlook {
            Outlook::Ends { seconds, .. } | Outlook::Never(Never::TooLong { seconds }) => seconds,
            Outlook::Never(Never::Memory | Never::Disk) => u64::MAX,
        }
    }

    proptest! {
        #[test]
        fn more_of_anything_is_never_sooner(
            load in loads(), link in links(), more in prop_oneof![1..1u64 << 34, Just(u64::MAX)]
        ) {
            let now = when(outlook(&load, &link));
            let mut worse = [load; 4];
            worse[0].memory_bytes = load.memory_bytes.saturating_add(more);
            worse[1].disk_bytes = load.disk_bytes.saturating_add(more);
            worse[2].dirty_bytes_per_second = load.dirty_bytes_per_second.saturating_add(more);
            worse[3].written_bytes_per_second = load.written_bytes_per_second.saturating_add(more);
            for load in worse {
                prop_assert!(when(outlook(&load, &link)) >= now, "{load:?} {link:?}");
            }
            let patient = GuestLoad { pause_limit_ms: load.pause_limit_ms.saturating_add(more), ..load };
            prop_assert!(when(outlook(&patient, &link)) <= now, "a longer pause");
            let faster = self::link(link.bytes_per_second.saturating_add(more));
            prop_assert!(when(outlook(&load, &faster)) <= now, "a faster link");
        }

        #[test]
        fn what_ends_does_so_before_its_job_is_given_up_and_pauses_no_longer_than_it_may(
            load in loads(), link in links()
        ) {
            if let Outlook::Ends { seconds, pause_ms, .. } = outlook(&load, &link) {
                prop_assert!(seconds <= JOB_BUDGET_MAX.as_secs());
                prop_assert!(pause_ms <= load.pause_limit_ms.saturating_add(300), "{pause_ms}");
                let rate = link.bytes_per_second.min(1 << 30);
                prop_assert!(load.dirty_bytes_per_second.saturating_add(load.written_bytes_per_second) < rate);
            }
        }
    }
}
