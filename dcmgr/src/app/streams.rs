//! Streams that this dcmgr waits for (DESIGN 3.14): an id and a secret each, for as long as the question waits.
//!
//! Rule: kept in the memory of the process that asked, which is the one that is dialed. A secret lets one caller in, once;
//! what nobody waits for any more lets nobody in.

use arame_schema::jobs::report::Dial;
use arame_schema::model::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Bytes both ways.
pub trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

pub type Wire = Box<dyn Bytes>;

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Streams waited for at a time: as many as questions.
const WAITING_MAX: usize = 200;

/// Between letting a caller in and having its stream here there is one step of this process.
const HANDED_OVER: Duration = Duration::from_secs(1);

type Waiting = Arc<Mutex<HashMap<Uuid, (String, oneshot::Sender<Wire>)>>>;

#[derive(Clone, Default)]
pub struct Streams {
    name: Arc<OnceLock<String>>,
    waiting: Waiting,
    /// Pages that may open consoles, beside those of the API's own place.
    origins: Arc<OnceLock<Vec<String>>>,
    /// Consoles that are open: their ends are written down before this process leaves.
    pub(super) open: TaskTracker,
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Streams {
    /// From now on streams come in at this name.
    pub fn come_in_at(&self, name: &str) {
        let _ = self.name.set(name.to_owned());
    }

    pub fn allow(&self, origins: Vec<String>) {
        let _ = self.origins.set(origins);
    }

    pub fn origins(&self) -> &[String] {
        self.origins.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Resolves when no console is open any more. None is opened after it was called.
    pub async fn none_is_open(&self) {
        self.open.close();
        self.open.wait().await;
    }

    /// A stream to wait for. `None`: none come in here.
    pub fn expect(&self) -> Option<Expected> {
        let to = self.name.get()?.clone();
        let mut bits = [0; SECRET_BYTES];
        crate::rehearsal::fill_bytes(&mut bits);
        let (stream, secret) = (crate::rehearsal::uuid_v7(), URL_SAFE_NO_PAD.encode(bits));
        let (sender, wire) = oneshot::channel();
        let mut waiting = held(&self.waiting);
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        waiting.insert(stream, (secret.clone(), sender));
        let dial = Dial { to, stream, secret: Secret::new(secret) };
        Some(Expected { dial, wire, waiting: self.waiting.clone() })
    }

    /// Whoever called says this. A wrong secret takes nothing away from the right one.
    pub fn claim(&self, stream: Uuid, secret: &str) -> Option<oneshot::Sender<Wire>> {
        let mut waiting = held(&self.waiting);
        let right = waiting.get(&stream).is_some_and(|(wanted, _)| is_same(wanted, secret));
        if right { waiting.remove(&stream).map(|(_, sender)| sender) } else { None }
    }

    pub fn waiting(&self) -> usize {
        held(&self.waiting).len()
    }
}

/// In the same time wherever they differ.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

/// A stream that is waited for; dropped, nobody waits any more.
pub struct Expected {
    pub dial: Dial,
    wire: oneshot::Receiver<Wire>,
    waiting: Waiting,
}

impl Expected {
    /// The stream, which was let in before its agent answered. `None`: it answered without bringing one.
    pub async fn taken(mut self) -> Option<Wire> {
        tokio::time::timeout(HANDED_OVER, &mut self.wire).await.ok()?.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        held(&self.waiting).remove(&self.dial.stream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_lets_one_in_once_and_only_while_somebody_waits() {
        let streams = Streams::default();
        assert!(streams.expect().is_none(), "no streams come in here");
        streams.come_in_at("memory");
        let expected = streams.expect().unwrap();
        let (stream, secret) = (expected.dial.stream, expected.dial.secret.expose().to_owned());
        assert!(streams.claim(stream, "wrong").is_none() && streams.claim(Uuid::nil(), &secret).is_none());
        let sender = streams.claim(stream, &secret).expect("the right one");
        assert!(streams.claim(stream, &secret).is_none(), "twice");
        let (one, _other) = tokio::io::duplex(1);
        assert!(sender.send(Box::new(one)).is_ok());
        assert!(expected.taken().await.is_some());
        let given_up = streams.expect().unwrap();
        let (stream, secret) = (given_up.dial.stream, given_up.dial.secret.expose().to_owned());
        drop(given_up);
        assert!(streams.claim(stream, &secret).is_none() && streams.waiting() == 0);
    }
}
