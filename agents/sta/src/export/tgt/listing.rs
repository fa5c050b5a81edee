//! Reads tgt's listings, which are text for people.
//!
//! Rule: what is not understood is an error with its line, never a shorter list. Recordings are of tgt 1.0.85.

use std::path::PathBuf;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    pub tid: i32,
    pub iqn: String,
    pub sessions: Vec<Session>,
    /// Of LUN 1.
    pub path: Option<PathBuf>,
    pub accounts: Vec<String>,
    pub initiators: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    pub id: u64,
    pub initiator: String,
    pub connections: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    System,
    Sessions,
    Units,
    Accounts,
    Allowed,
}

/// `--mode target --op show`. `Err` is the line that is not understood.
pub fn targets(text: &str) -> Result<Vec<Listed>, String> {
    let mut targets: Vec<Listed> = Vec::new();
    let mut part = Part::System;
    let mut unit = 0u64;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let not_understood = || line.to_owned();
        if let Some(head) = line.strip_prefix("Target ") {
            let (tid, iqn) = head.split_once(": ").ok_or_else(not_understood)?;
            let tid = tid.parse().map_err(|_| not_understood())?;
            targets.push(Listed { tid, iqn: iqn.trim().to_owned(), ..Listed::default() });
            part = Part::System;
            continue;
        }
        let target = targets.last_mut().ok_or_else(not_understood)?;
        let words = line.trim();
        if let Some(next) = part_named(words) {
            part = next;
            continue;
        }
        match part {
            Part::System => {}
            Part::Sessions => session_line(target, words).ok_or_else(not_understood)?,
            Part::Units => unit_line(target, &mut unit, words).ok_or_else(not_understood)?,
            Part::Accounts => target.accounts.push(account(words)),
            Part::Allowed => target.initiators.push(words.to_owned()),
        }
    }
    Ok(targets)
}

fn part_named(words: &str) -> Option<Part> {
    Some(match words {
        "System information:" => Part::System,
        "I_T nexus information:" => Part::Sessions,
        "LUN information:" => Part::Units,
        "Account information:" => Part::Accounts,
        "ACL information:" => Part::Allowed,
        _ => return None,
    })
}

/// `None`: not understood. `IP Address:` and what newer versions may add are skipped.
fn session_line(target: &mut Listed, words: &str) -> Option<()> {
    let (name, value) = words.split_once(':')?;
    let value = value.trim();
    match name {
        "I_T nexus" => target.sessions.push(Session { id: value.parse().ok()?, ..Session::default() }),
        "Initiator" => {
            // `iqn.… alias: none`
            target.sessions.last_mut()?.initiator = value.split_whitespace().next()?.to_owned();
        }
        "Connection" => target.sessions.last_mut()?.connections.push(value.parse().ok()?),
        _ => {}
    }
    Some(())
}

fn unit_line(target: &mut Listed, unit: &mut u64, words: &str) -> Option<()> {
    let (name, value) = words.split_once(':')?;
    let value = value.trim();
    match name {
        "LUN" => *unit = value.parse().ok()?,
        "Backing store path" if *unit == 1 && value != "None" => target.path = Some(PathBuf::from(value)),
        _ => {}
    }
    Some(())
}

/// An outgoing account is listed as `name (outgoing)`.
fn account(words: &str) -> String {
    words.split_whitespace().next().unwrap_or_default().to_owned()
}

/// `--mode account --op show`.
pub fn accounts(text: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with(' ')).map(account).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Recorded from tgtd 1.0.85: a target with a session, and one that is half-made.
    const RECORDED: &str = include_str!("recorded.txt");

    #[test]
    fn the_recorded_listing_is_read() {
        let found = targets(RECORDED).unwrap();
        let whole = Listed {
            tid: 1,
            iqn: "iqn.2026-11.jp.arame:att-1-3".into(),
            sessions: vec![Session { id: 1, initiator: "iqn.2026-11.jp.arame:h1".into(), connections: vec![0] }],
            path: Some("/srv/arame/volumes/k1".into()),
            accounts: vec!["u1".into()],
            initiators: vec!["iqn.2026-11.jp.arame:h1".into()],
        };
        let half = Listed { tid: 2, iqn: "iqn.2026-11.jp.arame:att-2-1".into(), ..Listed::default() };
        assert_eq!(found, [whole, half]);
        assert_eq!(targets("").unwrap(), []);
    }

    #[test]
    fn a_line_that_is_not_understood_is_an_error_and_not_a_shorter_list() {
        for (from, to) in [
            ("Target 2: iqn", "Target two: iqn"),
            ("I_T nexus: 1", "I_T nexus: one"),
            ("LUN: 1", "LUN: x"),
            ("Connection: 0", "Connection: none"),
        ] {
            assert!(targets(&RECORDED.replace(from, to)).is_err(), "{to}");
        }
        assert!(targets("    Account information:\n").is_err());
    }

    #[test]
    fn accounts_are_read() {
        assert_eq!(accounts("Account list:\n    u2\n    u1\n"), ["u2", "u1"]);
        assert_eq!(accounts("Account list:\n"), [] as [&str; 0]);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}", cut in 0..RECORDED.len()) {
            let _ = targets(&text);
            let _ = targets(&RECORDED[..cut]);
            let _ = targets(&RECORDED.replace("Target", &text));
        }
    }
}
