//! The words of `zfs` and `zpool`: argument vectors out, tables and complaints in. Pure.
//!
//! Recordings are of OpenZFS 2.1.11. Rule: a table that is not understood is an error with its line, never a shorter
//! list.

use crate::mark::Mark;
use crate::store::{Room, StoreError, Volume};
use std::path::Path;
use uuid::Uuid;

/// A zvol's size is a multiple of its block size (16 KiB, at most 128 KiB): whole MiB always are.
const SIZE_STEP: u64 = 1 << 20;
const COLUMNS: &str = "name,volsize,arame:installation,arame:owner,arame:generation";

pub fn rounded(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(SIZE_STEP) * SIZE_STEP
}

fn vector(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn properties(mark: &Mark) -> [String; 3] {
    [
        format!("arame:installation={}", mark.installation),
        format!("arame:owner={}", mark.owner),
        format!("arame:generation={}", mark.generation),
    ]
}

/// Sparse: no reservation.
pub fn create(name: &str, size_bytes: u64, mark: &Mark) -> Vec<String> {
    let [installation, owner, generation] = properties(mark);
    let size = rounded(size_bytes).to_string();
    vector(&["create", "-s", "-V", &size, "-o", &installation, "-o", &owner, "-o", &generation, name])
}

pub fn clone(snapshot: &str, name: &str, mark: &Mark) -> Vec<String> {
    let [installation, owner, generation] = properties(mark);
    vector(&["clone", "-o", &installation, "-o", &owner, "-o", &generation, snapshot, name])
}

pub fn set_size(name: &str, size_bytes: u64) -> Vec<String> {
    vector(&["set", &format!("volsize={}", rounded(size_bytes)), name])
}

pub fn set_mark(name: &str, mark: &Mark) -> Vec<String> {
    let [installation, owner, generation] = properties(mark);
    vector(&["set", &installation, &owner, &generation, name])
}

pub fn destroy(name: &str) -> Vec<String> {
    vector(&["destroy", name])
}

pub fn destroy_with_snapshots(name: &str) -> Vec<String> {
    vector(&["destroy", "-r", name])
}

pub fn list_one(name: &str) -> Vec<String> {
    vector(&["list", "-Hp", "-t", "volume,snapshot", "-o", COLUMNS, name])
}

pub fn list_below(pool: &str) -> Vec<String> {
    vector(&["list", "-Hp", "-t", "volume", "-d", "1", "-o", COLUMNS, pool])
}

/// Rows whose name begins with `prefix`, which is cut off. `-` is a property without value: no mark.
pub fn volumes(text: &str, prefix: &str) -> Result<Vec<Volume>, StoreError> {
    let rows = text.lines().filter(|line| line.starts_with(prefix));
    rows.map(|line| row(line, prefix).ok_or_else(|| unreadable("zfs", line))).collect()
}

fn row(line: &str, prefix: &str) -> Option<Volume> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[name, size, installation, owner, generation] = fields.as_slice() else { return None };
    let mark = match (Uuid::parse_str(installation), owner, generation.parse()) {
        (Ok(installation), owner, Ok(generation)) if owner != "-" => {
            Some(Mark { installation, owner: owner.to_owned(), generation })
        }
        _ => None,
    };
    Some(Volume {
        key: name.strip_prefix(prefix)?.to_owned(),
        path: Path::new("/dev/zvol").join(name),
        size_bytes: size.parse().ok()?,
        mark,
    })
}

/// `zpool list -Hp <pool>`: name, size, alloc, free, …, health.
pub fn pool(text: &str) -> Result<Room, StoreError> {
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<&str> = line.split('\t').collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    let (Some(total_bytes), Some(free_bytes), Some(health)) = (number(1), number(3), fields.get(9)) else {
        return Err(unreadable("zpool", line));
    };
    match *health {
        "ONLINE" | "DEGRADED" => Ok(Room { total_bytes, free_bytes }),
        other => Err(StoreError::Unavailable { reason: format!("the pool is {other}") }),
    }
}

fn unreadable(program: &'static str, line: &str) -> StoreError {
    StoreError::Unreadable { program, line: line.chars().take(200).collect() }
}

/// What a complaint on standard error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Missing,
    Exists,
    NoPool,
    Full,
    Busy,
    Other,
}

pub fn trouble(stderr: &str) -> Trouble {
    let says = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
    if says(&[
        "no such pool",
        "libzfs library",
        "/dev/zfs",
        "modules are not loaded",
        "pool is unavailable",
        "I/O is currently suspended",
    ]) {
        Trouble::NoPool
    } else if says(&["dataset does not exist", "could not find any snapshots", "snapshot does not exist"]) {
        Trouble::Missing
    } else if says(&["already exists"]) {
        Trouble::Exists
    } else if says(&["out of space", "quota exceeded"]) {
        Trouble::Full
    } else if says(&["dataset is busy", "has children", "has dependent clones", "dataset already in use"]) {
        Trouble::Busy
    } else {
        Trouble::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        Mark { installation: Uuid::from_u128(7), owner: "vol-a".into(), generation: 3 }
    }

    #[test]
    fn a_volume_is_created_with_its_mark_in_one_command() {
        let words = create("tank/vol-k1", 1_000_000, &mark()).join(" ");
        assert_eq!(
            words,
            "create -s -V 1048576 -o arame:installation=00000000-0000-0000-0000-000000000007 \
             -o arame:owner=vol-a -o arame:generation=3 tank/vol-k1"
        );
    }

    #[test]
    fn the_recorded_pool_is_read_and_a_faulted_one_is_unavailable() {
        let recorded = "tank\t2013265920\t462848\t2012803072\t-\t-\t0\t0\t1.00\tONLINE\t-\n";
        assert_eq!(pool(recorded).unwrap(), Room { total_bytes: 2_013_265_920, free_bytes: 2_012_803_072 });
        let faulted = pool(&recorded.replace("ONLINE", "FAULTED"));
        assert!(matches!(faulted, Err(StoreError::Unavailable { .. })));
        assert!(matches!(pool("tank\t504M"), Err(StoreError::Unreadable { .. })));
    }

    #[test]
    fn volumes_are_read_with_and_without_mark_and_others_are_left_out() {
        let text = "tank\t-\t-\t-\t-\n\
            tank/base\t209715200\t-\t-\t-\n\
            tank/vol-k1\t209715200\t00000000-0000-0000-0000-000000000007\tvol-a\t3\n\
            tank/vol-k2\t209715200\t-\t-\t-\n";
        let found = volumes(text, "tank/vol-").unwrap();
        assert_eq!(found.iter().map(|v| v.key.as_str()).collect::<Vec<_>>(), ["k1", "k2"]);
        assert_eq!((found[0].mark.clone(), found[1].mark.clone()), (Some(mark()), None));
        assert_eq!(found[0].path, Path::new("/dev/zvol/tank/vol-k1"));
        assert!(volumes("tank/vol-k1\t200M\t-\t-\t-\n", "tank/vol-").is_err());
    }

    #[test]
    fn complaints_are_told_apart() {
        let cases = [
            ("cannot open 'tank/x': dataset does not exist", Trouble::Missing),
            ("cannot open 'tank': no such pool", Trouble::NoPool),
            ("cannot create 'tank/x': dataset already exists", Trouble::Exists),
            ("cannot create 'tank/x': out of space", Trouble::Full),
            ("cannot destroy 'tank/x': dataset is busy", Trouble::Busy),
            ("cannot destroy 'tank/x': volume has children\nuse '-r' to destroy", Trouble::Busy),
            ("cannot destroy 'tank/base@gold': snapshot has dependent clones", Trouble::Busy),
            ("/dev/zfs and /proc/self/mounts are required.", Trouble::NoPool),
            ("permission denied", Trouble::Other),
        ];
        for (stderr, wanted) in cases {
            assert_eq!(trouble(stderr), wanted, "{stderr}");
        }
    }
}
