//! What follows a guest's death: the pause before it is started again, or that it is not.
//!
//! ```text
//! always      die ► 0 s ► run ► die ► 5 s ► run ► die ► 10 s ► … ► 60 s ► … (a calm time begins anew)
//! on-failure  the same, and the sixth death in a row ends it: failed, with the reason
//! never       die ► halted
//! ```
//!
//! Rule: pure. How often it died in a row is counted by whoever keeps rows, and begins anew after [`CALM_SECONDS`] without
//! a death or with somebody's wish to switch it on.

use arame_schema::model::restart::RestartPolicy;

/// A guest that lived so long has not died in a row. Longer than the longest pause, else a guest that dies at once would
/// seem calm.
pub const CALM_SECONDS: u32 = 600;

/// The pause after the second death in a row; doubled with each. After the first there is none: most die once.
const PAUSE_SECOND_MS: u64 = 5_000;

/// Within what a job may be put off.
const PAUSE_MAX_MS: u64 = 60_000;

/// Deaths in a row after which `on-failure` tries no more.
pub const DEATHS_MAX: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Start {
        pause_ms: u64,
    },
    /// It is wished off from now on.
    Halt,
    /// It is still wished on, and failed.
    GiveUp,
}

/// `in_a_row` counts this death too.
pub fn after_death(policy: RestartPolicy, in_a_row: u32) -> After {
    match policy {
        RestartPolicy::Never => After::Halt,
        RestartPolicy::OnFailure if in_a_row > DEATHS_MAX => After::GiveUp,
        RestartPolicy::OnFailure | RestartPolicy::Always => After::Start { pause_ms: pause_ms(in_a_row) },
    }
}

fn pause_ms(in_a_row: u32) -> u64 {
    match in_a_row {
        0 | 1 => 0,
        more => (PAUSE_SECOND_MS << (more - 2).min(10)).min(PAUSE_MAX_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deaths of a guest that dies at once whenever it is started, within an hour: when it was started, in milliseconds.
    /// `count` is how deaths are counted.
    fn starts_within_an_hour(policy: RestartPolicy, count: fn(u32) -> u32) -> (Vec<u64>, After) {
        const HOUR_MS: u64 = 3_600_000;
        let (mut now, mut deaths, mut starts) = (0, 0, Vec::new());
        loop {
            deaths = count(deaths);
            let after = after_death(policy, deaths);
            let After::Start { pause_ms } = after else { return (starts, after) };
            // A start takes a moment.
            now += pause_ms + 100;
            if now > HOUR_MS || starts.len() > 10_000 {
                return (starts, after);
            }
            starts.push(now);
        }
    }

    #[test]
    fn a_guest_that_dies_at_once_is_never_started_in_a_hot_loop() {
        let (starts, _) = starts_within_an_hour(RestartPolicy::Always, |deaths| deaths + 1);
        let pauses: Vec<u64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses.is_sorted(), "ever longer: {pauses:?}");
        assert!((55..70).contains(&starts.len()), "{} starts within an hour", starts.len());
        assert_eq!(starts[0], 100, "the first at once");
        let (forgotten, _) = starts_within_an_hour(RestartPolicy::Always, |_| 1);
        assert!(forgotten.len() > 1_000, "the sabotage: deaths that are not counted make a hot loop");
    }

    #[test]
    fn on_failure_gives_up_and_never_does_nothing() {
        let (starts, after) = starts_within_an_hour(RestartPolicy::OnFailure, |deaths| deaths + 1);
        assert_eq!((starts.len(), after), (DEATHS_MAX as usize, After::GiveUp));
        let (starts, after) = starts_within_an_hour(RestartPolicy::Never, |deaths| deaths + 1);
        assert_eq!((starts.len(), after), (0, After::Halt));
    }

    #[test]
    fn a_guest_that_rests_does_not_seem_calm_by_that() {
        assert!(PAUSE_MAX_MS < u64::from(CALM_SECONDS) * 1000);
        let longest = (1..100).filter_map(|deaths| match after_death(RestartPolicy::Always, deaths) {
            After::Start { pause_ms } => Some(pause_ms),
            After::Halt | After::GiveUp => None,
        });
        assert_eq!(longest.max(), Some(PAUSE_MAX_MS));
    }
}
