//! The words of `zfs` and `zpool`: argument vectors out, tables and complaints in. Pure.
//!
//! Recordings are of OpenZFS 2.1.11. Rule: a table that is not understood is an error with its line, never a shorter
//! list.

pub mod replicas;

use crate::mark::Mark;
use crate::store::{Room, Snapshot, StoreError, Volume};
use std::path::Path;
use uuid::Uuid;

/// A zvol's size is a multiple of its block size (16 KiB, at most 128 KiB): whole MiB always are.
const SIZE_STEP: u64 = 1 << 20;
const COLUMNS: &str = "name,volsize,arame:installation,arame:owner,arame:generation,arame:rollback,defer_destroy";
/// Begin of the names of our snapshots, after the `@`.
pub const SNAPSHOT: &str = "snap-";

/// Begin of the ids of backups: their snapshots are owned by them.
const BACKUP: &str = "bo-";

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

/// A rollback takes the size back with the bytes, but no property of ours: the size it has to have is noted before.
pub fn note_size(name: &str, size_bytes: u64) -> Vec<String> {
    vector(&["set", &format!("arame:size={}", rounded(size_bytes)), name])
}

/// The size and the noted one, a line each.
pub fn sizes(name: &str) -> Vec<String> {
    vector(&["get", "-Hp", "-o", "value", "volsize,arame:size", name])
}

/// The larger of the two; a volume only grows.
pub fn larger(text: &str) -> Result<u64, StoreError> {
    text.lines().filter_map(|line| line.trim().parse().ok()).max().ok_or_else(|| unreadable("zfs", text))
}

pub fn set_mark(name: &str, mark: &Mark) -> Vec<String> {
    let [installation, owner, generation] = properties(mark);
    vector(&["set", &installation, &owner, &generation, name])
}

/// The mark and the operation in one command: ZFS sets them in one transaction.
pub fn set_rolled_back(name: &str, mark: &Mark, operation: Uuid) -> Vec<String> {
    let [installation, owner, generation] = properties(mark);
    vector(&["set", &installation, &owner, &generation, &format!("arame:rollback={operation}"), name])
}

pub fn snapshot(name: &str, mark: &Mark) -> Vec<String> {
    let [installation, owner, generation] = properties(mark);
    vector(&["snapshot", "-o", &installation, "-o", &owner, "-o", &generation, name])
}

/// Devices of the volume's snapshots appear.
pub fn show_snapshots(volume: &str) -> Vec<String> {
    vector(&["set", "snapdev=visible", volume])
}

pub fn rename(from: &str, to: &str) -> Vec<String> {
    vector(&["rename", from, to])
}

/// Without `-r`: refused where it would destroy newer snapshots.
pub fn rollback(snapshot: &str) -> Vec<String> {
    vector(&["rollback", snapshot])
}

pub fn list_snapshots_below(pool: &str) -> Vec<String> {
    vector(&["list", "-Hp", "-t", "snapshot", "-d", "2", "-o", COLUMNS, pool])
}

/// What each volume has written since its last snapshot, and what the pool can give.
pub fn list_written(pool: &str) -> Vec<String> {
    vector(&["list", "-Hp", "-t", "filesystem,volume", "-d", "1", "-o", "name,volsize,written,available", pool])
}

/// What can be promised: what is available without what volumes may yet write (`written` since the last snapshot is theirs alone;
/// all else, a snapshot keeps beside what is written over it; zfsprops(7)).
///
/// # Errors
/// The table cannot be read.
pub fn left(text: &str, pool: &str) -> Result<u64, StoreError> {
    let (mut available, mut unwritten) = (None, 0u64);
    let volumes = format!("{pool}/vol-");
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[name, size, written, free] = fields.as_slice() else { return Err(unreadable("zfs", line)) };
        if name == pool {
            available = Some(free.parse::<u64>().map_err(|_| unreadable("zfs", line))?);
        } else if name.starts_with(&volumes) {
            let (Ok(size), Ok(written)) = (size.parse::<u64>(), written.parse::<u64>()) else {
                return Err(unreadable("zfs", line));
            };
            unwritten = unwritten.saturating_add(size.saturating_sub(written));
        }
    }
    let available = available.ok_or_else(|| unreadable("zfs", text))?;
    Ok(available.saturating_sub(unwritten))
}

pub fn destroy(name: &str) -> Vec<String> {
    vector(&["destroy", name])
}

/// A snapshot with clones goes with the last of them; until then it has `defer_destroy=on` (zfs-destroy(8)).
pub fn destroy_deferred(snapshot: &str) -> Vec<String> {
    vector(&["destroy", "-d", snapshot])
}

/// A clone takes over the snapshots up to the one it is of, and what it was cloned from becomes a clone of it.
pub fn promote(clone: &str) -> Vec<String> {
    vector(&["promote", clone])
}

/// Snapshots of a volume, the oldest first, with what was cloned from each.
pub fn list_clones(volume: &str) -> Vec<String> {
    vector(&["list", "-Hp", "-t", "snapshot", "-d", "1", "-o", "name,defer_destroy,clones", "-s", "createtxg", volume])
}

/// Who takes over a volume's snapshots before it is destroyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heir {
    /// There is nothing to take over.
    Nobody,
    Clone(String),
    /// Why the volume has to stay: a snapshot that nobody deleted is not carried off under another volume's name, and a clone
    /// that is no volume of ours is not touched.
    Held(String),
}

/// One of the newest clones, because all older snapshots come with it. Names of our volumes and replicas begin with one of the
/// `prefixes`; a volume comes before a replica, which may be deleted sooner.
///
/// # Errors
/// The table cannot be read.
pub fn heir(text: &str, prefixes: &[String]) -> Result<Heir, StoreError> {
    let mut newest = None;
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[name, deferred, clones] = fields.as_slice() else { return Err(unreadable("zfs", line)) };
        if deferred != "on" {
            return Ok(Heir::Held(format!("it has the snapshot {name}")));
        }
        newest = Some((name, clones));
    }
    let Some((name, clones)) = newest else { return Ok(Heir::Nobody) };
    let begins_with = |prefix: &String| clones.split(',').find(|clone| clone.starts_with(prefix.as_str()));
    let ours = prefixes.iter().find_map(begins_with);
    let held = || Heir::Held(format!("{name} is held by {clones}"));
    Ok(ours.map_or_else(held, |clone| Heir::Clone(clone.to_owned())))
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

/// One line of a table of [`COLUMNS`].
struct Row<'a> {
    name: &'a str,
    size_bytes: u64,
    mark: Option<Mark>,
    rollback: Option<Uuid>,
    /// A snapshot that was deleted, and that clones keep in the pool.
    deferred: bool,
}

fn parse(line: &str) -> Option<Row<'_>> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[name, size, installation, owner, generation, rollback, deferred] = fields.as_slice() else { return None };
    let mark = match (Uuid::parse_str(installation), owner, generation.parse()) {
        (Ok(installation), owner, Ok(generation)) if owner != "-" => {
            Some(Mark { installation, owner: owner.to_owned(), generation })
        }
        _ => None,
    };
    let rollback = Uuid::parse_str(rollback).ok();
    Some(Row { name, size_bytes: size.parse().ok()?, mark, rollback, deferred: deferred == "on" })
}

fn row(line: &str, prefix: &str) -> Option<Volume> {
    let Row { name, size_bytes, mark, rollback, .. } = parse(line)?;
    let (key, path) = (name.strip_prefix(prefix)?.to_owned(), Path::new("/dev/zvol").join(name));
    Some(Volume { key, path, size_bytes, mark, rollback })
}

/// Snapshots of our names that nobody deleted, of volumes whose names begin with `prefix`.
pub fn snapshots(text: &str, prefix: &str) -> Result<Vec<Snapshot>, StoreError> {
    let mut found = Vec::new();
    for line in text.lines().filter(|line| line.starts_with(prefix)) {
        let Row { name, size_bytes, mark, deferred, .. } = parse(line).ok_or_else(|| unreadable("zfs", line))?;
        if deferred {
            continue;
        }
        let Some((volume_key, named)) = name[prefix.len()..].split_once('@') else { continue };
        let Some(key) = named.strip_prefix(SNAPSHOT) else { continue };
        // A snapshot shows its volume's properties where it has none of its own: that is not a mark of it.
        let mark = mark.filter(|mark| [SNAPSHOT, BACKUP].iter().any(|begin| mark.owner.starts_with(begin)));
        found.push(Snapshot { volume_key: volume_key.to_owned(), key: key.to_owned(), size_bytes, mark });
    }
    Ok(found)
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
    /// A rollback would destroy newer snapshots.
    Newer,
    /// A stream that is not what was sent.
    BadStream,
    /// A stream that broke off; what came is kept.
    ShortStream,
    /// A stream that cannot be gone on with, or whose base is not here.
    NoWay,
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
    } else if says(&["checksum mismatch", "invalid backup stream", "bad magic"]) {
        // `checksum mismatch or incomplete stream`: that it broke off is known from where it comes from.
        Trouble::BadStream
    } else if says(&["incomplete stream", "Partially received snapshot is saved", "invalid stream"]) {
        Trouble::ShortStream
    } else if says(&[
        "does not match incremental source",
        "no longer exists",
        "local origin for clone",
        "cannot resume send",
        "resume token is corrupt",
        "kernel modules must be upgraded to resume",
        "destination contains partially-complete state",
    ]) {
        Trouble::NoWay
    } else if says(&["more recent snapshots or bookmarks exist"]) {
        Trouble::Newer
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
    fn what_volumes_may_yet_write_is_promised_already_and_what_snapshots_keep_is_not_available() {
        let text =
            "tank\t-\t98304\t1000\ntank/vol-a\t300\t100\t1000\ntank/vol-b\t200\t240\t1000\ntank/rep-c\t500\t0\t1000\n";
        assert_eq!(left(text, "tank").unwrap(), 800, "of b nothing more comes, of a replica neither");
        let taken = text.replace("\t300\t100", "\t300\t0");
        assert_eq!(left(&taken, "tank").unwrap(), 700, "after a snapshot all of it may be written once more");
        assert_eq!(left("tank\t-\t0\t10\ntank/vol-a\t300\t0\t10\n", "tank").unwrap(), 0);
        assert!(left("tank/vol-a\t300\t0\t10\n", "tank").is_err() && left("tank\t1\n", "tank").is_err());
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
        let text = "tank\t-\t-\t-\t-\t-\t-\n\
            tank/base\t209715200\t-\t-\t-\t-\t-\n\
            tank/vol-k1\t209715200\t00000000-0000-0000-0000-000000000007\tvol-a\t3\t-\t-\n\
            tank/vol-k2\t209715200\t-\t-\t-\t-\t-\n";
        let found = volumes(text, "tank/vol-").unwrap();
        assert_eq!(found.iter().map(|v| v.key.as_str()).collect::<Vec<_>>(), ["k1", "k2"]);
        assert_eq!((found[0].mark.clone(), found[1].mark.clone()), (Some(mark()), None));
        assert_eq!(found[0].path, Path::new("/dev/zvol/tank/vol-k1"));
        assert!(volumes("tank/vol-k1\t200M\t-\t-\t-\t-\t-\n", "tank/vol-").is_err());
    }

    #[test]
    fn the_size_that_a_rollback_takes_back_is_the_larger_of_what_is_and_what_was_noted() {
        assert_eq!(larger("1048576\n-\n").unwrap(), 1 << 20);
        assert_eq!(larger("1048576\n2097152\n").unwrap(), 2 << 20, "cut short after the rollback");
        assert_eq!(larger("4194304\n2097152\n").unwrap(), 4 << 20, "grown since an older one");
        assert!(larger("-\n-\n").is_err());
    }

    #[test]
    fn a_snapshot_is_taken_with_its_mark_in_one_command_and_a_rollback_destroys_nothing() {
        let of_snapshot = Mark { owner: "snap-a".into(), ..mark() };
        assert_eq!(
            snapshot("tank/vol-k1@snap-s1", &of_snapshot).join(" "),
            "snapshot -o arame:installation=00000000-0000-0000-0000-000000000007 -o arame:owner=snap-a \
             -o arame:generation=3 tank/vol-k1@snap-s1"
        );
        assert_eq!(rollback("tank/vol-k1@snap-s1").join(" "), "rollback tank/vol-k1@snap-s1");
        assert_eq!(
            set_rolled_back("tank/vol-k1", &mark(), Uuid::from_u128(9)).join(" "),
            "set arame:installation=00000000-0000-0000-0000-000000000007 arame:owner=vol-a arame:generation=3 \
             arame:rollback=00000000-0000-0000-0000-000000000009 tank/vol-k1"
        );
    }

    #[test]
    fn a_rollback_that_was_noted_is_read_with_its_volume() {
        let noted = "tank/vol-k1\t209715200\t00000000-0000-0000-0000-000000000007\tvol-a\t3\t\
                     00000000-0000-0000-0000-000000000009\t-\n";
        assert_eq!(volumes(noted, "tank/vol-").unwrap()[0].rollback, Some(Uuid::from_u128(9)));
    }

    #[test]
    fn snapshots_of_our_names_are_read_and_what_they_inherit_is_no_mark() {
        let ours = "00000000-0000-0000-0000-000000000007";
        let text = format!(
            "tank/img-wmi-a@gold\t209715200\t{ours}\twmi-a\t1\t-\toff\n\
             tank/vol-k1@snap-s1\t209715200\t{ours}\tsnap-a\t3\t-\toff\n\
             tank/vol-k1@snap-byhand\t209715200\t{ours}\tvol-a\t3\t-\t-\n\
             tank/vol-k1@snap-gone\t209715200\t{ours}\tsnap-gone\t3\t-\ton\n\
             tank/vol-k1@autosnap_2026-11-22\t209715200\t{ours}\tvol-a\t3\t-\t-\n"
        );
        let found = snapshots(&text, "tank/vol-").unwrap();
        let keys: Vec<_> = found.iter().map(|one| (one.volume_key.as_str(), one.key.as_str())).collect();
        assert_eq!(keys, [("k1", "s1"), ("k1", "byhand")]);
        let of_snapshot = Mark { owner: "snap-a".into(), ..mark() };
        assert_eq!((found[0].mark.clone(), found[1].mark.clone()), (Some(of_snapshot), None));
        assert!(snapshots("tank/vol-k1@snap-s1\tbig\t-\t-\t-\t-\toff\n", "tank/vol-").is_err());
    }

    #[test]
    fn the_heir_of_a_volumes_snapshots_is_a_clone_of_the_newest_and_ours() {
        let told = |text: &str| heir(text, &["tank/vol-".into(), "tank/rep-".into()]).unwrap();
        let held = |text: &str, by: &str| matches!(told(text), Heir::Held(reason) if reason.contains(by));
        assert_eq!(told(""), Heir::Nobody);
        let two = "tank/vol-a@snap-s1\ton\ttank/vol-b\ntank/vol-a@snap-s2\ton\ttank/mine,tank/vol-c,tank/vol-d\n";
        assert_eq!(told(two), Heir::Clone("tank/vol-c".into()));
        assert!(held("tank/vol-a@snap-s1\ton\ttank/mine\n", "tank/mine"), "somebody else's");
        assert!(held("tank/vol-a@snap-s1\ton\t\n", "snap-s1"), "held by nobody we know");
        let kept = format!("tank/vol-a@nightly\toff\t\n{two}");
        assert!(held(&kept, "nightly"), "nobody deleted that one");
        let both = "tank/rep-a@rep-a\ton\ttank/rep-b,tank/vol-c\n";
        assert_eq!(told(both), Heir::Clone("tank/vol-c".into()), "a volume before a replica");
        assert_eq!(told("tank/rep-a@rep-a\ton\ttank/rep-b\n"), Heir::Clone("tank/rep-b".into()));
        assert!(held("tank/rep-a@rep-a\ton\ttank/part-b/bytes\n", "part-b"), "one that is still being received");
        assert!(heir("tank/vol-a@snap-s1\ton\n", &[]).is_err(), "a table that is not understood");
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
            (
                "cannot rollback to 'tank/vol-k1@snap-a': more recent snapshots or bookmarks exist\nuse '-r' to force \
                 deletion of the following snapshots and bookmarks:\ntank/vol-k1@snap-b",
                Trouble::Newer,
            ),
            ("cannot rollback 'tank/vol-k1': dataset is busy", Trouble::Busy),
            (
                "cannot receive new filesystem stream: checksum mismatch or incomplete stream.\nPartially received snapshot is \
                 saved.",
                Trouble::BadStream,
            ),
            ("permission denied", Trouble::Other),
        ];
        for (stderr, wanted) in cases {
            assert_eq!(trouble(stderr), wanted, "{stderr}");
        }
    }
}
