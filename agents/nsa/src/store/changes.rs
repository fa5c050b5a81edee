//! The changes of a network since its snapshot was written whole: a line each, appended and synced.
//!
//! Rule: a line counts when it ends and leads on from the version before it; whatever follows the first that does not is
//! cut off. A small network, or one with many changes, is written whole instead: then no line is left.

use super::{StoreError, failed, remove_if_there};
use crate::limits::{CHANGES_FROM_HOSTS, CHANGES_MAX};
use crate::snapshot::Served;
use arame_schema::jobs::nsa::ChangeNetwork;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Serialize, Deserialize)]
struct Line<T> {
    version: u64,
    change: T,
}

/// What is known of one file of changes.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    whole_bytes: u64,
    bytes: u64,
    lines: usize,
}

/// The files' sizes: where the next line begins, and when it is time for the whole. A network without an entry is written
/// whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Sizes(Arc<Mutex<HashMap<PathBuf, Size>>>);

impl Sizes {
    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Size>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole was written.
    pub(super) fn begin(&self, path: &Path, whole: &Path) -> Result<(), StoreError> {
        self.forget(path)?;
        let whole_bytes = fs::metadata(whole).map_err(|e| failed("looking at", whole, e))?.len();
        self.lock().insert(path.to_owned(), Size { whole_bytes, ..Size::default() });
        Ok(())
    }

    pub(super) fn forget(&self, path: &Path) -> Result<(), StoreError> {
        self.lock().remove(path);
        remove_if_there(path)
    }

    /// Appends a line; `false` when the whole is to be written instead.
    pub(super) fn append(&self, path: &Path, served: &Served, change: &ChangeNetwork) -> Result<bool, StoreError> {
        let known = self.lock().get(path).copied();
        let Some(size) = known.filter(|_| served.host_count() >= CHANGES_FROM_HOSTS) else { return Ok(false) };
        let mut line = serde_json::to_vec(&Line { version: served.version, change })
            .map_err(|e| failed("writing", path, io::Error::other(e)))?;
        line.push(b'\n');
        let bytes = size.bytes + line.len() as u64;
        // Read at start in no more time than the whole takes.
        if size.lines >= CHANGES_MAX || bytes > size.whole_bytes {
            return Ok(false);
        }
        match write_line(path, size.bytes, &line) {
            Ok(()) => {
                self.lock().insert(path.to_owned(), Size { bytes, lines: size.lines + 1, ..size });
                Ok(true)
            }
            Err(error) => {
                // Whether a part of it is there is not known: the whole is next, and a start cuts the rest off.
                self.lock().remove(path);
                Err(failed("writing", path, error))
            }
        }
    }

    /// The version that the changes lead to. What leads nowhere is cut off.
    pub(super) fn replay(&self, path: &Path, whole: &Path, served: Served) -> Result<Served, StoreError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(failed("reading", path, e)),
        };
        let (mut served, mut good, mut lines) = (served, 0, 0);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let Some(next) = follow(&served, line) else { break };
            served = next.unwrap_or(served);
            (good, lines) = (good + line.len() as u64, lines + 1);
        }
        if good < text.len() as u64 {
            tracing::warn!(path = %path.display(), version = served.version, "changes that lead nowhere were cut off");
            let file = OpenOptions::new().write(true).open(path).map_err(|e| failed("opening", path, e))?;
            file.set_len(good).and_then(|()| file.sync_data()).map_err(|e| failed("cutting", path, e))?;
        }
        let whole_bytes = fs::metadata(whole).map_err(|e| failed("looking at", whole, e))?.len();
        self.lock().insert(path.to_owned(), Size { whole_bytes, bytes: good, lines });
        Ok(served)
    }
}

/// What a line leads to; `Some(None)`: it is of before. `None`: it leads nowhere.
fn follow(served: &Served, line: &[u8]) -> Option<Option<Served>> {
    let text = line.strip_suffix(b"\n")?;
    let line: Line<ChangeNetwork> = serde_json::from_slice(text).ok()?;
    if line.version <= served.version {
        return Some(None);
    }
    served.changed(&line.change, line.version).ok().map(Some)
}

fn write_line(path: &Path, begin: u64, line: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    if file.metadata()?.len() != begin {
        file.set_len(begin)?;
    }
    file.write_all(line)?;
    file.sync_data()?;
    if begin == 0 {
        std::fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::*;
    use crate::snapshot::tests::snapshot;
    use arame_schema::jobs::nsa::NetworkSnapshot;
    use uuid::Uuid;

    fn host(n: u32) -> arame_schema::jobs::nsa::NetworkHost {
        let mac = format!("52:54:00:01:{:02x}:{:02x}", n >> 8, n & 0xff);
        let ipv4 = std::net::Ipv4Addr::from(0x0a00_0100 + n);
        serde_json::from_value(serde_json::json!({
            "vif": format!("vif-{n}"), "instance": "i-x", "mac": mac, "ipv4": ipv4, "hostname": format!("h{n}") }))
        .unwrap()
    }

    fn big(hosts: u32) -> NetworkSnapshot {
        let hosts = (0..hosts).map(host).collect();
        NetworkSnapshot { subnet: "10.0.0.0/16".parse().unwrap(), hosts, ..snapshot() }
    }

    fn one_more(served: &Served, n: u32) -> ChangeNetwork {
        ChangeNetwork {
            base: served.version,
            history: served.history,
            head: (*served.head).clone(),
            hosts: vec![host(n)],
            hosts_gone: Vec::new(),
            records: Vec::new(),
            records_gone: Vec::new(),
            host_count: served.host_count() as u64 + 1,
            record_count: 0,
        }
    }

    /// A store with a big network and three changes; answers what is served at the end.
    fn filled(dir: &Path) -> (Store, Served) {
        let store = Store::open(dir).unwrap();
        let mut served = Served::new(big(1_000), 7, 1).unwrap();
        store.write(Uuid::nil(), &served).unwrap();
        for n in 1_000..1_003 {
            let change = one_more(&served, n);
            served = served.changed(&change, served.version + 1).unwrap();
            store.write_change(Uuid::nil(), &served, &change).unwrap();
        }
        (store, served)
    }

    fn found(dir: &Path) -> Served {
        Store::open(dir).unwrap().load().unwrap().remove(0).served
    }

    #[test]
    fn changes_of_a_big_network_are_found_again_and_a_small_one_is_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (store, served) = filled(dir.path());
        let path = dir.path().join("nw-demo1.changes");
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
        let again = found(dir.path());
        assert_eq!((again.version, again.to_snapshot()), (10, served.to_snapshot()));
        store.write(Uuid::nil(), &served).unwrap();
        assert!(!path.exists(), "the whole has them all");
        assert_eq!(found(dir.path()).version, 10);
        let small = Served::new(snapshot(), 11, 1).unwrap();
        store.write(Uuid::nil(), &small).unwrap();
        let change = one_more(&small, 4);
        let head = NetworkSnapshot { hosts: Vec::new(), ..big(0) };
        let change = ChangeNetwork { head, ..change };
        store.write_change(Uuid::nil(), &small.changed(&change, 12).unwrap(), &change).unwrap();
        assert!(!path.exists());
        assert_eq!(found(dir.path()).version, 12);
    }

    #[test]
    fn a_line_cut_anywhere_is_none_and_the_lines_before_it_count() {
        let dir = tempfile::tempdir().unwrap();
        let (_, served) = filled(dir.path());
        let path = dir.path().join("nw-demo1.changes");
        let text = fs::read(&path).unwrap();
        let ends: Vec<usize> = text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
        for cut in (0..=text.len()).step_by(41).chain(ends.iter().copied()) {
            fs::write(&path, &text[..cut]).unwrap();
            let whole_lines = ends.iter().filter(|end| **end <= cut).count();
            let again = found(dir.path());
            assert_eq!(again.version, 7 + whole_lines as u64, "cut at {cut}");
            assert_eq!(fs::read(&path).unwrap().len(), ends.get(whole_lines.wrapping_sub(1)).copied().unwrap_or(0));
        }
        fs::write(&path, &text).unwrap();
        // What is written after a cut leads on.
        let store = Store::open(dir.path()).unwrap();
        let last = store.load().unwrap().remove(0).served;
        let change = one_more(&last, 2_000);
        let next = last.changed(&change, 11).unwrap();
        store.write_change(Uuid::nil(), &next, &change).unwrap();
        assert_eq!((found(dir.path()).version, served.version), (11, 10));
    }

    #[test]
    fn many_changes_are_written_whole_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut served = Served::new(big(300), 1, 1).unwrap();
        store.write(Uuid::nil(), &served).unwrap();
        let mut most = 0;
        for n in 300..(300 + 2 * CHANGES_MAX as u32) {
            let change = one_more(&served, n);
            served = served.changed(&change, served.version + 1).unwrap();
            store.write_change(Uuid::nil(), &served, &change).unwrap();
            let lines = fs::read_to_string(dir.path().join("nw-demo1.changes")).map_or(0, |text| text.lines().count());
            most = most.max(lines);
        }
        assert!(most > 10 && most <= CHANGES_MAX, "{most} lines");
        assert_eq!(found(dir.path()).version, served.version);
    }
}
