//! How a pool is, from `zpool status` (zpool-status(8)). Pure.
//!
//! ```text
//!   pool: tank
//!  state: DEGRADED
//! status: One or more devices could not be used because the label is missing or
//!         invalid.  Sufficient replicas exist …
//! action: Replace the device using 'zpool replace'.
//!   scan: scrub repaired 0B in 00:00:01 with 0 errors on Sun Nov 22 03:30:01 2026
//! config: …
//! errors: No known data errors
//! ```
//!
//! The recording is of OpenZFS 2.1.11.

use crate::store::Pool;

/// What it says where no data is lost.
const NO_ERRORS: &str = "No known data errors";
/// Columns before a field's colon.
const FIELD_COLUMNS: usize = 8;

/// Reads the first pool of the text. A text without a state is none.
pub fn pool(text: &str) -> Option<Pool> {
    let mut fields: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        match field(line) {
            Some(("pool", _)) if !fields.is_empty() => break,
            Some((name, value)) => fields.push((name, value.to_owned())),
            None => {
                if let Some((_, value)) = fields.last_mut().filter(|(name, _)| *name != "config") {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            }
        }
    }
    let of = |wanted: &str| {
        let found = fields.iter().find(|(name, _)| *name == wanted)?;
        Some(found.1.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|value| !value.is_empty())
    };
    let (health, errors) = (of("state")?, of("errors").filter(|errors| errors != NO_ERRORS));
    // A pool that is well has a status too: that newer features could be enabled.
    let is_well = health == "ONLINE" && errors.is_none();
    let told = if is_well { [None, None, None] } else { [of("status"), of("action"), errors] };
    let note = told.into_iter().flatten().collect::<Vec<_>>().join(" ");
    Some(Pool {
        name: of("pool")?,
        health: Some(health),
        note: Some(note).filter(|note| !note.is_empty()),
        scan: of("scan"),
    })
}

/// `  scan: scrub …`: names stand right in their columns, what goes on begins with a tab.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let word = name.trim_start_matches(' ');
    let is_one = name.len() < FIELD_COLUMNS && !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    is_one.then_some((word, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: &str = "  pool: tank\n state: ONLINE\nconfig:\n\n\tNAME        STATE     READ WRITE CKSUM\n\ttank        ONLINE       \
                        0     0     0\n\t  vdb       ONLINE       0     0     0\n\nerrors: No known data errors\n";

    const ILL: &str = "  pool: silo\n state: DEGRADED\nstatus: One or more devices could not be used because the label is missing or\n\
                       \tinvalid.  Sufficient replicas exist for the pool to continue\n\tfunctioning in a degraded state.\n\
                       action: Replace the device using 'zpool replace'.\n   see: https://openzfs.github.io/openzfs-docs/msg/ZFS-8000-4J\n\
                       \x20 scan: scrub repaired 0B in 00:00:00 with 0 errors on Mon Nov 23 20:00:00 2026\nconfig:\n\n\
                       \tNAME                      STATE     READ WRITE CKSUM\n\tsilo                      DEGRADED     0     0     0\n\
                       \t  mirror-0                DEGRADED     0     0     0\n\t    /tmp/a                ONLINE       0     0     0\n\
                       \t    1234567890123456789   UNAVAIL      0     0     0  was /tmp/b\n\nerrors: No known data errors\n";

    #[test]
    fn a_pool_that_is_well_says_nothing_more() {
        let well = pool(WELL).unwrap();
        assert_eq!((well.name.as_str(), well.health.as_deref()), ("tank", Some("ONLINE")));
        assert_eq!((well.note, well.scan), (None, None));
        let features = "status: Some supported and requested features are not enabled on the pool.\n\tThe pool can still be used, but \
                        some features are unavailable.\naction: Enable all features using 'zpool upgrade'.\nconfig:";
        assert_eq!(pool(&WELL.replace("config:", features)).unwrap().note, None);
    }

    #[test]
    fn a_pool_that_is_ill_says_why_and_what_to_do() {
        let ill = pool(ILL).unwrap();
        assert_eq!((ill.name.as_str(), ill.health.as_deref()), ("silo", Some("DEGRADED")));
        let note = ill.note.unwrap();
        assert!(note.starts_with("One or more devices") && note.contains("missing or invalid. Sufficient"), "{note}");
        assert!(note.ends_with("'zpool replace'."), "{note}");
        assert!(ill.scan.unwrap().starts_with("scrub repaired 0B"));
    }

    #[test]
    fn errors_of_data_are_told_and_a_second_pool_is_not_mixed_in() {
        let lost = WELL.replace("No known data errors", "2 data errors, use '-v' for a list");
        assert!(pool(&lost).unwrap().note.unwrap().contains("2 data errors"));
        let two = format!("{WELL}\n{ILL}");
        assert_eq!(pool(&two).unwrap(), pool(WELL).unwrap());
        assert_eq!(pool("no pools available\n"), None);
    }
}
