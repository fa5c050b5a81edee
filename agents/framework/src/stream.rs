//! Streams: bytes between an agent and a dcmgr, beside the bus (DESIGN 3.14). Consoles are such.
//!
//! ```text
//! dcmgr  waits ([`Door`]) and asks ── agent.ask with a `Dial` ──► agent opens its own end, dials
//!        ◄── "arame-stream 1 <id> <secret>\n" ──                  (TCP with TLS, a unix socket, or the bus in memory)
//!        ── "ok\n" ──►          then bytes both ways until either end closes; the agent answers the question
//! ```
//!
//! Rule: an agent dials only what its configuration names, and leaves the machine only by TLS ([`road`]). Whoever is let in
//! is decided by who asked: an id and a secret that are used once, kept in the memory of that one process. Nothing is
//! repeated or resumed: a stream whose end died is over, and what is left of it is closed by the other end ([`carry()`]).
//!
//! # An agent that opens streams
//!
//! ```no_run
//! use arame_framework::agent::{Agent, Profile, Stopped, Work};
//! use arame_framework::stream::BoxedWire;
//! use arame_schema::jobs::Job;
//! use arame_schema::jobs::report::{Ask, Capacity, FactReport};
//!
//! struct Echo;
//!
//! #[async_trait::async_trait]
//! impl Agent for Echo {
//! #   fn profile(&self) -> Profile {
//! #       Profile { kinds: vec![], capacity: Capacity::default(), endpoints: Default::default() }
//! #   }
//! #   async fn handle(&self, _: Job, _: Work) -> Result<Vec<FactReport>, Stopped> { Ok(vec![]) }
//!     async fn open(&self, ask: &Ask) -> Result<BoxedWire, String> {
//!         let (ours, mut theirs) = tokio::io::duplex(1024);
//!         tokio::spawn(async move {
//!             let (mut read, mut write) = tokio::io::split(&mut theirs);
//!             tokio::io::copy(&mut read, &mut write).await
//!         });
//!         Ok(Box::new(ours))
//!     }
//! }
//! ```
//!
//! The framework bounds how many there are, how fast, how idle and how old they become. Whatever `open` started ends when
//! its wire is closed. In tests [`crate::bus::memory::MemoryBroker`] is the road: nothing of the machine is opened.

mod carry;
pub mod road;
pub(crate) mod tls;

pub use carry::{Ended, Limits, carry};
pub use tls::{Trust, acceptor};

use arame_schema::jobs::report::Dial;
use async_trait::async_trait;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use uuid::Uuid;

/// One end of bytes both ways.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

pub type BoxedWire = Box<dyn Wire>;

/// Longest a caller may take to say who it is.
pub const GREETING_LIMIT: Duration = Duration::from_secs(2);

/// The whole greeting: word, version, uuid, 256 bits in base64.
const GREETING_MAX: usize = 128;

const GREETING: &str = "arame-stream 1";
const LET_IN: &[u8] = b"ok\n";

/// How an agent reaches a dcmgr.
#[async_trait]
pub trait Road: Send + Sync + 'static {
    /// # Errors
    /// A sentence: what was named may not be dialed, or cannot be reached.
    async fn dial(&self, to: &str) -> Result<BoxedWire, String>;
}

/// Where a dcmgr is reached: what it is called by agents, and who comes.
pub struct Door {
    pub name: String,
    pub callers: mpsc::Receiver<BoxedWire>,
}

/// The agent's half of the greeting.
///
/// # Errors
/// A sentence: not let in.
pub async fn greet(wire: &mut BoxedWire, dial: &Dial) -> Result<(), String> {
    let said = async {
        let line = format!("{GREETING} {} {}\n", dial.stream, dial.secret.expose());
        wire.write_all(line.as_bytes()).await?;
        wire.flush().await?;
        let mut answer = [0; LET_IN.len()];
        wire.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer == LET_IN)
    };
    match tokio::time::timeout(GREETING_LIMIT, said).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) | Ok(Err(_)) => Err(format!("{} does not wait for this stream", dial.to)),
        Err(_) => Err(format!("{} does not answer", dial.to)),
    }
}

/// dcmgr's half: who the caller says it is. `None`: it is nobody, and the wire is to be dropped.
pub async fn hear(wire: &mut BoxedWire) -> Option<(Uuid, String)> {
    tokio::time::timeout(GREETING_LIMIT, read_greeting(wire)).await.ok().flatten()
}

async fn read_greeting(wire: &mut BoxedWire) -> Option<(Uuid, String)> {
    let mut line = Vec::with_capacity(GREETING_MAX);
    // Byte by byte: what comes after the line is not ours to take.
    while line.len() < GREETING_MAX {
        match wire.read_u8().await.ok()? {
            b'\n' => {
                let text = String::from_utf8(line).ok()?;
                let (stream, secret) = text.strip_prefix(GREETING)?.trim_start().split_once(' ')?;
                return Some((stream.parse().ok()?, secret.to_owned()));
            }
            byte => line.push(byte),
        }
    }
    None
}

/// Lets the caller in: from here on the wire is the stream.
///
/// # Errors
/// It is gone already.
pub async fn let_in(wire: &mut BoxedWire) -> std::io::Result<()> {
    wire.write_all(LET_IN).await?;
    wire.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::model::Secret;

    fn dial(secret: &str) -> Dial {
        Dial { to: "memory".into(), stream: Uuid::from_u128(7), secret: Secret::new(secret) }
    }

    #[tokio::test]
    async fn who_is_heard_is_who_greeted_and_the_first_bytes_are_not_lost() {
        let (one, other) = tokio::io::duplex(256);
        let (mut agent, mut dcmgr): (BoxedWire, BoxedWire) = (Box::new(one), Box::new(other));
        let said = dial("s3cret");
        let greeting = async {
            greet(&mut agent, &said).await.unwrap();
            agent.write_all(b"login: ").await.unwrap();
        };
        let hearing = async {
            let heard = hear(&mut dcmgr).await;
            assert_eq!(heard, Some((Uuid::from_u128(7), "s3cret".into())));
            let_in(&mut dcmgr).await.unwrap();
            let mut first = [0; 7];
            dcmgr.read_exact(&mut first).await.unwrap();
            assert_eq!(&first, b"login: ");
        };
        tokio::join!(greeting, hearing);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_nonsense_is_nobody_within_two_seconds() {
        for said in ["", "GET / HTTP/1.1\r\n", "arame-stream 1 not-a-uuid x\n", &"a".repeat(400)] {
            let (mut caller, other) = tokio::io::duplex(1024);
            let mut dcmgr: BoxedWire = Box::new(other);
            caller.write_all(said.as_bytes()).await.unwrap();
            assert_eq!(hear(&mut dcmgr).await, None, "{said}");
        }
        let (one, other) = tokio::io::duplex(256);
        let mut agent: BoxedWire = Box::new(one);
        assert!(greet(&mut agent, &dial("x")).await.is_err(), "let in by nobody");
        drop(other);
    }
}
