//! The words of sending and receiving snapshots. Pure, as [`super`].

use super::{properties, unreadable, vector};
use crate::mark::Mark;
use crate::store::StoreError;
use crate::store::replicas::{Offer, Replica};
use arame_schema::jobs::sta::Origin;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Name of a replica's snapshot, after the `@`: what it is of, its `guid` says. No two have the same, because the one takes the
/// other's over when that is deleted.
pub fn snapshot(key: &str) -> String {
    format!("rep-{key}")
}

/// The dataset below a part, which takes its mark over.
pub const BYTES: &str = "bytes";

const COLUMNS: &str = "name,volsize,guid,origin,defer_destroy,arame:installation,arame:owner,arame:generation,arame:volume,\
                       arame:snapshot,arame:account";

pub fn offer(snapshot: &str, reader: &str) -> Vec<String> {
    vector(&["set", &format!("arame:reader={reader}"), snapshot])
}

const OFFERED: &str = "guid,volsize,arame:reader,arame:installation,arame:owner,arame:generation";

pub fn show_offer(snapshot: &str) -> Vec<String> {
    vector(&["list", "-Hp", "-t", "snapshot", "-o", OFFERED, snapshot])
}

/// # Errors
/// The table cannot be read. `None`: it was never offered.
pub fn offered(text: &str) -> Result<Option<Offer>, StoreError> {
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<&str> = line.split('\t').collect();
    let &[guid, size, reader, installation, owner, generation] = fields.as_slice() else {
        return Err(unreadable("zfs", line));
    };
    let (Ok(guid), Ok(size_bytes)) = (guid.parse(), size.parse()) else { return Err(unreadable("zfs", line)) };
    let offer = Offer { guid, size_bytes, reader: reader.to_owned(), mark: mark(installation, owner, generation) };
    Ok(Some(offer).filter(|offer| offer.reader != "-"))
}

fn mark(installation: &str, owner: &str, generation: &str) -> Option<Mark> {
    let (Ok(installation), Ok(generation)) = (Uuid::parse_str(installation), generation.parse()) else { return None };
    (owner != "-").then(|| Mark { installation, owner: owner.to_owned(), generation })
}

/// Snapshots of a volume with their identities, the oldest first.
pub fn list_guids(volume: &str) -> Vec<String> {
    vector(&["list", "-Hp", "-t", "snapshot", "-d", "1", "-o", "name,guid", "-s", "createtxg", volume])
}

/// The newest of the snapshots before that one whose identity is among those.
///
/// # Errors
/// The table cannot be read.
pub fn base(text: &str, before: u64, held: &[u64]) -> Result<Option<(String, u64)>, StoreError> {
    let mut newest = None;
    for line in text.lines() {
        let told = line.split_once('\t').and_then(|(name, guid)| Some((name, guid.parse::<u64>().ok()?)));
        let (name, guid) = told.ok_or_else(|| unreadable("zfs", line))?;
        if guid == before {
            break;
        }
        if held.contains(&guid) {
            newest = Some((name.to_owned(), guid));
        }
    }
    Ok(newest)
}

/// Blocks as they lie there, compressed (`-c`).
pub fn send(snapshot: &str, base: Option<&str>) -> Vec<String> {
    match base {
        None => vector(&["send", "-c", snapshot]),
        Some(base) => vector(&["send", "-c", "-i", base, snapshot]),
    }
}

pub fn send_rest(token: &str) -> Vec<String> {
    vector(&["send", "-t", token])
}

/// The same words, asked what they would do.
pub fn would(words: &[String]) -> Vec<String> {
    let mut asked = words.to_vec();
    asked.insert(1, "-nvP".to_owned());
    asked
}

/// About how many bytes come, and of a token (which anybody can make up) of which snapshot: `zfs send -nvP`.
pub fn told(text: &str) -> (Option<u64>, Option<u64>) {
    let size = text.lines().find_map(|line| line.strip_prefix("size")?.trim().parse().ok());
    let guid = text.lines().find_map(|line| line.trim().strip_prefix("toguid = 0x"));
    (size, guid.and_then(|guid| u64::from_str_radix(guid.trim(), 16).ok()))
}

/// A token is letters, digits and hyphens: it goes into an argument vector.
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 8192
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
}

/// Properties of a replica: its mark, the volume it is of, and what else is known of where it comes from.
fn told_of(mark: &Mark, volume: &str, origin: &Origin) -> Vec<String> {
    let mut words = properties(mark).to_vec();
    words.push(format!("arame:volume={volume}"));
    words.extend(origin.snapshot.iter().map(|snapshot| format!("arame:snapshot={snapshot}")));
    words.extend(origin.account.iter().map(|account| format!("arame:account={account}")));
    words
}

/// A part: nothing in it yet, and what comes into it has its mark from the first moment, without a device.
pub fn create_part(name: &str, (mark, volume, origin): (&Mark, &str, &Origin)) -> Vec<String> {
    let mut words = vector(&["create", "-o", "mountpoint=none", "-o", "volmode=none"]);
    words.extend(told_of(mark, volume, origin).into_iter().flat_map(|word| ["-o".to_owned(), word]));
    words.push(name.to_owned());
    words
}

/// What breaks off is kept (`-s`). As a difference it begins as a clone of its base, whose identity ZFS compares.
pub fn receive(snapshot: &str, base: Option<&str>) -> Vec<String> {
    match base {
        None => vector(&["receive", "-s", snapshot]),
        Some(base) => vector(&["receive", "-s", "-o", &format!("origin={base}"), snapshot]),
    }
}

/// The mark of its own that a part needs before it leaves its place.
pub fn set_replica(name: &str, (mark, volume, origin): (&Mark, &str, &Origin)) -> Vec<String> {
    let mut words = vector(&["set", "volmode=none"]);
    words.extend(told_of(mark, volume, origin));
    words.push(name.to_owned());
    words
}

/// Where a part stands: the token, and the identity and size of what is there whole.
pub fn show_part(bytes: &str) -> Vec<String> {
    vector(&[
        "list",
        "-Hp",
        "-t",
        "volume,snapshot",
        "-r",
        "-d",
        "1",
        "-o",
        "name,guid,volsize,receive_resume_token",
        bytes,
    ])
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It goes on from there.
    Token(String),
    /// Identity and size of what is there.
    Whole { guid: u64, size_bytes: u64 },
    /// It cannot be gone on with.
    Nothing,
}

/// # Errors
/// The table cannot be read.
pub fn standing(text: &str) -> Result<Standing, StoreError> {
    let mut found = Standing::Nothing;
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[name, guid, size, token] = fields.as_slice() else { return Err(unreadable("zfs", line)) };
        if name.contains('@') {
            let (Ok(guid), Ok(size_bytes)) = (guid.parse(), size.parse()) else { return Err(unreadable("zfs", line)) };
            found = Standing::Whole { guid, size_bytes };
        } else if token != "-" && found == Standing::Nothing {
            found = Standing::Token(token.to_owned());
        }
    }
    Ok(found)
}

pub fn list(pool: &str) -> Vec<String> {
    vector(&["list", "-Hp", "-t", "filesystem,volume,snapshot", "-d", "2", "-o", COLUMNS, pool])
}

/// `part-<key>` is one that is being received, `rep-<key>` a whole one, if its snapshot is there and nobody deleted it. Of one
/// that was killed while it got its name both are there: it is whole.
///
/// # Errors
/// The table cannot be read.
pub fn replicas(text: &str, pool: &str) -> Result<Vec<Replica>, StoreError> {
    let mut guids: BTreeMap<&str, u64> = BTreeMap::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[name, size, guid, base, deferred, installation, owner, generation, volume, ref origin @ ..] =
            fields.as_slice()
        else {
            return Err(unreadable("zfs", line));
        };
        let &[snapshot, account] = origin else { return Err(unreadable("zfs", line)) };
        if name.contains('@') {
            let guid = guid.parse().map_err(|_| unreadable("zfs", line))?;
            guids.insert(name, if deferred == "on" { 0 } else { guid });
            continue;
        }
        let Some(inside) = name.strip_prefix(pool).and_then(|rest| rest.strip_prefix('/')) else { continue };
        let (key, whole) = match (inside.strip_prefix("rep-"), inside.strip_prefix("part-")) {
            (Some(key), _) => (key, true),
            (None, Some(key)) if !key.contains('/') => (key, false),
            (None, _) => continue,
        };
        let told = Replica {
            key: key.to_owned(),
            mark: mark(installation, owner, generation),
            volume: Some(volume).filter(|volume| *volume != "-").map(str::to_owned),
            size_bytes: size.parse().unwrap_or(0),
            guid: None,
            base: None,
            // What an older agent received has neither (`-`).
            origin: Origin { snapshot: snapshot.parse().ok(), account: account.parse().ok(), ..Origin::default() },
        };
        rows.push((told, whole, format!("{name}@{}", self::snapshot(key)), base));
    }
    let identified = |(told, whole, snapshot, base): (Replica, bool, String, &str)| Replica {
        guid: guids.get(snapshot.as_str()).copied().filter(|guid| whole && *guid != 0),
        base: guids.get(base).copied().filter(|guid| *guid != 0),
        ..told
    };
    let found: Vec<Replica> = rows.into_iter().map(identified).collect();
    let whole: Vec<String> = found.iter().filter(|one| one.guid.is_some()).map(|one| one.key.clone()).collect();
    Ok(found.into_iter().filter(|one| one.guid.is_some() || !whole.contains(&one.key)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "00000000-0000-0000-0000-000000000007";

    fn of(generation: u64) -> Mark {
        Mark { installation: Uuid::from_u128(7), owner: "rep-a".into(), generation }
    }

    #[test]
    fn a_part_is_made_with_its_mark_and_what_comes_into_it_is_below_it() {
        let origin = Origin { snapshot: "snap-a".parse().ok(), account: "a-demo".parse().ok(), ..Origin::default() };
        assert_eq!(
            create_part("tank/part-k1", (&of(3), "vol-a", &origin)).join(" "),
            format!(
                "create -o mountpoint=none -o volmode=none -o arame:installation={OURS} -o arame:owner=rep-a \
                 -o arame:generation=3 -o arame:volume=vol-a -o arame:snapshot=snap-a -o arame:account=a-demo tank/part-k1"
            )
        );
        assert_eq!(
            set_replica("tank/part-k1/bytes", (&of(3), "vol-a", &Origin::default())).join(" "),
            format!(
                "set volmode=none arame:installation={OURS} arame:owner=rep-a arame:generation=3 arame:volume=vol-a \
                 tank/part-k1/bytes"
            ),
            "of a job that does not say it"
        );
        assert_eq!(receive("tank/part-k1/bytes@rep-k1", None).join(" "), "receive -s tank/part-k1/bytes@rep-k1");
        let base = receive("tank/part-k1/bytes@rep-k1", Some("tank/rep-k0@rep-k0")).join(" ");
        assert_eq!(base, "receive -s -o origin=tank/rep-k0@rep-k0 tank/part-k1/bytes@rep-k1");
    }

    #[test]
    fn the_base_is_the_newest_older_snapshot_that_the_receiver_holds_whatever_it_is_called() {
        let text = "tank/vol-k@snap-a\t1\ntank/vol-k@nightly\t2\ntank/vol-k@snap-b\t3\ntank/vol-k@snap-c\t4\n";
        let chosen = |before, held: &[u64]| base(text, before, held).unwrap().map(|(_, guid)| guid);
        assert_eq!(chosen(4, &[1, 2, 9]), Some(2));
        assert_eq!(chosen(3, &[1, 4]), Some(1), "a newer one is no base");
        assert_eq!(chosen(3, &[3, 8]), None);
        assert_eq!(base(text, 4, &[3]).unwrap().unwrap().0, "tank/vol-k@snap-b");
        assert!(base("tank/vol-k@snap-a\tbig\n", 4, &[]).is_err());
    }

    #[test]
    fn a_token_is_looked_into_before_it_is_used() {
        let text = "resume token contents:\nnvlist version: 0\n\tobject = 0x1\n\ttoguid = 0xd3f1\n\ttoname = tank/vol-k@snap-a\n\
                    full\ttank/vol-k@snap-a\t1234\nsize\t1234\n";
        assert_eq!(told(text), (Some(1234), Some(0xd3f1)));
        assert_eq!(told(""), (None, None));
        assert!(is_token("1-c740b4779-d0-789c"));
        for odd in ["", "-n", "a b", "a;b", &"a".repeat(9000)] {
            assert!(!is_token(odd), "{odd}");
        }
        assert_eq!(would(&send_rest("1-a")).join(" "), "send -nvP -t 1-a");
    }

    #[test]
    fn a_part_stands_by_its_token_or_by_what_is_there_whole() {
        let token = "tank/part-k/bytes\t5\t-\t1-c7-d0\n";
        assert_eq!(standing(token).unwrap(), Standing::Token("1-c7-d0".into()));
        let whole = "tank/part-k/bytes\t5\t1048576\t-\ntank/part-k/bytes@rep-k1\t77\t1048576\t-\n";
        assert_eq!(standing(whole).unwrap(), Standing::Whole { guid: 77, size_bytes: 1 << 20 });
        assert_eq!(standing("tank/part-k/bytes\t5\t-\t-\n").unwrap(), Standing::Nothing);
        assert!(standing("tank/part-k/bytes\n").is_err());
    }

    #[test]
    fn replicas_are_whole_by_their_snapshot_and_parts_never() {
        let row = |name: &str, size: &str, guid: &str, origin: &str, deferred: &str, owner: &str| {
            let installation = if owner == "-" { "-" } else { OURS };
            let told = if owner == "rep-a" { "snap-a\ta-demo" } else { "-\t-" };
            format!("{name}\t{size}\t{guid}\t{origin}\t{deferred}\t{installation}\t{owner}\t3\tvol-a\t{told}\n")
        };
        let text = row("tank", "-", "1", "-", "-", "-")
            + &row("tank/rep-k1", "1048576", "2", "-", "-", "rep-a")
            + &row("tank/rep-k1@rep-k1", "1048576", "77", "-", "off", "rep-a")
            + &row("tank/rep-k2", "1048576", "3", "tank/rep-k1@rep-k1", "-", "rep-b")
            + &row("tank/rep-k2@rep-k2", "1048576", "78", "-", "on", "rep-b")
            + &row("tank/part-k1", "-", "9", "-", "-", "rep-a")
            + &row("tank/part-k3", "-", "4", "-", "-", "rep-c")
            + &row("tank/part-k3/bytes", "1048576", "5", "-", "-", "rep-c")
            + &row("tank/vol-k1", "1048576", "6", "-", "-", "vol-b");
        let found = replicas(&text, "tank").unwrap();
        let told: Vec<_> = found.iter().map(|one| (one.key.as_str(), one.guid, one.base)).collect();
        assert_eq!(told, [("k1", Some(77), None), ("k2", None, Some(77)), ("k3", None, None)], "k2 is half deleted");
        assert_eq!((found[0].volume.as_deref(), found[0].mark.clone()), (Some("vol-a"), Some(of(3))));
        assert_eq!(found[0].origin.snapshot, "snap-a".parse().ok());
        assert_eq!(found[0].origin.account, "a-demo".parse().ok());
        assert!(found[1].origin.is_unknown(), "received before that was written");
        assert!(replicas("tank/rep-k1\t1\n", "tank").is_err());
    }
}
