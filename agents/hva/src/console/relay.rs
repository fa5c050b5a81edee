//! Between a guest's serial port and its one viewer.
//!
//! Rule: the guest is never held back: what it writes is read at once, and of what a slow viewer has not taken the oldest
//! is left out, with a line that says so. At most [`KEPT_MAX`] bytes are held. The log is QEMU's own and has everything.

use arame_framework::stream::BoxedWire;
use arame_schema::model::InstanceId;
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Some screens of a chatty guest.
const KEPT_MAX: usize = 256 * 1024;
const BUFFER: usize = 8 * 1024;

/// The viewer gets the guest's last words within this, or not.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Who is viewed: one viewer each.
#[derive(Clone, Default)]
pub struct Viewers(Arc<Mutex<HashSet<InstanceId>>>);

/// A viewer's place; free again when dropped.
pub struct Place {
    viewers: Viewers,
    instance: InstanceId,
}

impl Viewers {
    /// `None`: another viewer has it.
    pub fn take(&self, instance: &InstanceId) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(instance.clone()).then(|| Place { viewers: self.clone(), instance: instance.clone() })
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.viewers.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.instance);
    }
}

/// The viewer's end. All of it ends when the guest's or the viewer's does.
pub fn relay(guest: BoxedWire, place: Place) -> BoxedWire {
    let (ours, theirs) = tokio::io::duplex(BUFFER);
    tokio::spawn(async move {
        let ((from_guest, to_guest), (from_viewer, to_viewer)) = (tokio::io::split(guest), tokio::io::split(theirs));
        tokio::select! {
            () = type_in(from_viewer, to_guest) => {}
            () = show(from_guest, to_viewer) => {}
        }
        drop(place);
    });
    Box::new(ours)
}

async fn type_in(mut viewer: impl AsyncRead + Unpin, mut guest: impl AsyncWrite + Unpin) {
    let _ = tokio::io::copy(&mut viewer, &mut guest).await;
}

async fn show(mut guest: impl AsyncRead + Unpin, mut viewer: impl AsyncWrite + Unpin) {
    let (mut kept, mut buffer) = (Kept::default(), vec![0; BUFFER]);
    loop {
        tokio::select! {
            read = guest.read(&mut buffer) => match read {
                Ok(count) if count > 0 => kept.add(&buffer[..count]),
                Ok(_) | Err(_) => break,
            },
            written = viewer.write(kept.first()), if !kept.is_empty() => match written {
                Ok(count) if count > 0 => kept.taken(count),
                Ok(_) | Err(_) => return,
            },
        }
    }
    let last = async {
        while !kept.is_empty()
            && matches!(viewer.write(kept.first()).await, Ok(count) if { kept.taken(count); count > 0 })
        {}
    };
    let _ = tokio::time::timeout(LAST_WORDS, last).await;
}

/// What the viewer has not taken yet.
#[derive(Default)]
struct Kept {
    bytes: VecDeque<u8>,
    /// A note about what was left out stands at the front: so many bytes of it.
    note: usize,
    left_out: usize,
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn first(&self) -> &[u8] {
        self.bytes.as_slices().0
    }

    fn taken(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.note = self.note.saturating_sub(count);
        if self.note == 0 {
            self.left_out = 0;
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let Some(over) = self.bytes.len().checked_sub(KEPT_MAX).filter(|over| *over > 0) else { return };
        // The old note goes too; a new one tells of all.
        let drained = over.max(self.note);
        self.left_out += drained - self.note;
        self.bytes.drain(..drained);
        let note = format!("\r\n[... {} bytes are in the log only ...]\r\n", self.left_out);
        self.note = note.len();
        note.bytes().rev().for_each(|byte| self.bytes.push_front(byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_viewer_that_reads_nothing_holds_no_guest_back_and_little_memory() {
        let viewers = Viewers::default();
        let instance: InstanceId = "i-web1".parse().unwrap();
        let (mut guest, port) = tokio::io::duplex(1024);
        let mut viewer = relay(Box::new(port), viewers.take(&instance).unwrap());
        assert!(viewers.take(&instance).is_none(), "a second viewer");
        let flood = vec![b'x'; 4 * 1024 * 1024];
        tokio::time::timeout(Duration::from_secs(20), guest.write_all(&flood)).await.expect("held back").unwrap();
        guest.write_all(b"the end").await.unwrap();
        drop(guest);
        let mut seen = String::new();
        viewer.read_to_string(&mut seen).await.unwrap();
        assert!(seen.len() < KEPT_MAX + 4 * BUFFER, "{} bytes were kept", seen.len());
        assert!(
            seen.ends_with("the end") && seen.contains("bytes are in the log only"),
            "{}",
            &seen[seen.len() - 99..]
        );
        drop(viewer);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while viewers.take(&instance).is_none() {
            assert!(tokio::time::Instant::now() < deadline, "the place is not free");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_is_typed_arrives_and_a_viewer_that_leaves_ends_it() {
        let viewers = Viewers::default();
        let instance: InstanceId = "i-web1".parse().unwrap();
        let (mut guest, port) = tokio::io::duplex(1024);
        let mut viewer = relay(Box::new(port), viewers.take(&instance).unwrap());
        viewer.write_all(b"root\n").await.unwrap();
        let mut typed = [0; 5];
        guest.read_exact(&mut typed).await.unwrap();
        assert_eq!(&typed, b"root\n");
        drop(viewer);
        let mut rest = Vec::new();
        guest.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty() && viewers.count() == 0);
    }
}
