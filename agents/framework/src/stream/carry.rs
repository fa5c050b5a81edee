//! Copies bytes both ways between two ends, within limits.
//!
//! Rule: no more is read than was written on: what is held of a stream is one buffer each way, however slow a reader is.
//! When one end says that it will send no more the other is told so and may finish; when an end is gone, both are.

use super::BoxedWire;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bytes held each way.
const BUFFER: usize = 16 * 1024;

/// An end that was told that nothing more comes, and says nothing itself, is closed after this.
const FAREWELL: Duration = Duration::from_secs(10);

/// Between two looks at whether anything moved.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Each way; as much again at once after a pause.
    pub bytes_per_second: u64,
    pub idle: Duration,
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        use arame_schema::limits::{STREAM_AGE_MAX, STREAM_BYTES_PER_SECOND, STREAM_IDLE_MAX};
        Self { bytes_per_second: STREAM_BYTES_PER_SECOND, idle: STREAM_IDLE_MAX, age: STREAM_AGE_MAX }
    }
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Both ends have said all.
    Closed,
    /// One end is gone.
    Broken,
    Idle,
    Old,
    /// This process ends.
    Stopped,
}

/// What moved, as the watch sees it.
struct Moved {
    bytes: AtomicU64,
    /// Ways that have ended in good order.
    ended: AtomicU64,
}

/// Copies until the stream is over, and closes both ends.
pub async fn carry(one: BoxedWire, other: BoxedWire, limits: Limits, stop: CancellationToken) -> Ended {
    let ((one_read, one_write), (other_read, other_write)) = (tokio::io::split(one), tokio::io::split(other));
    let moved = Moved { bytes: AtomicU64::new(0), ended: AtomicU64::new(0) };
    let there = pump(one_read, other_write, limits.bytes_per_second, &moved);
    let back = pump(other_read, one_write, limits.bytes_per_second, &moved);
    let both = async { tokio::try_join!(there, back) };
    tokio::select! {
        biased;
        () = stop.cancelled() => Ended::Stopped,
        ended = both => if ended.is_ok() { Ended::Closed } else { Ended::Broken },
        () = tokio::time::sleep(limits.age) => Ended::Old,
        () = stands_still(&moved, limits.idle) => Ended::Idle,
    }
}

/// One way, until its sender ends it. The receiver is told so.
async fn pump(
    mut from: ReadHalf<BoxedWire>,
    mut to: WriteHalf<BoxedWire>,
    bytes_per_second: u64,
    moved: &Moved,
) -> std::io::Result<()> {
    let mut pace = Pace::new(bytes_per_second);
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
        moved.bytes.fetch_add(count as u64, Ordering::Relaxed);
        pace.spend(count as u64).await;
    }
    moved.ended.fetch_add(1, Ordering::Relaxed);
    to.shutdown().await
}

async fn stands_still(moved: &Moved, idle: Duration) {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        tokio::time::sleep(LOOK.min(idle)).await;
        let (bytes, ended) = (moved.bytes.load(Ordering::Relaxed), moved.ended.load(Ordering::Relaxed));
        if bytes != seen {
            (seen, since) = (bytes, Instant::now());
        }
        let patience = if ended > 0 { idle.min(FAREWELL) } else { idle };
        if since.elapsed() >= patience {
            return;
        }
    }
}

/// A bucket of bytes that fills with time.
struct Pace {
    per_second: u64,
    left: f64,
    at: Instant,
}

impl Pace {
    fn new(per_second: u64) -> Self {
        Self { per_second, left: per_second as f64, at: Instant::now() }
    }

    async fn spend(&mut self, bytes: u64) {
        let now = Instant::now();
        let came = now.duration_since(self.at).as_secs_f64() * self.per_second as f64;
        self.left = (self.left + came).min(self.per_second as f64) - bytes as f64;
        self.at = now;
        if self.left < 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(-self.left / self.per_second as f64)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::DuplexStream;

    const LIMITS: Limits =
        Limits { bytes_per_second: 1 << 20, idle: Duration::from_secs(60), age: Duration::from_secs(600) };

    /// The two far ends, and how it ended.
    fn carried(limits: Limits) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<Ended>, CancellationToken) {
        let ((left, one), (right, other)) = (tokio::io::duplex(64), tokio::io::duplex(64));
        let stop = CancellationToken::new();
        let ended = tokio::spawn(carry(Box::new(one), Box::new(other), limits, stop.clone()));
        (left, right, ended, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_go_both_ways_and_an_end_that_has_said_all_still_hears_the_other() {
        let (mut left, mut right, ended, _stop) = carried(LIMITS);
        left.write_all(b"question").await.unwrap();
        left.shutdown().await.unwrap();
        let mut heard = String::new();
        right.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "question");
        right.write_all(b"answer").await.unwrap();
        right.shutdown().await.unwrap();
        heard.clear();
        left.read_to_string(&mut heard).await.unwrap();
        assert_eq!((heard.as_str(), ended.await.unwrap()), ("answer", Ended::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn when_an_end_is_gone_the_other_is_closed_also_when_it_says_nothing() {
        let (left, mut right, ended, _stop) = carried(LIMITS);
        drop(left);
        let began = Instant::now();
        assert_eq!(right.read(&mut [0; 1]).await.unwrap(), 0, "the other end is told");
        assert!(matches!(ended.await.unwrap(), Ended::Idle | Ended::Broken));
        assert!(began.elapsed() <= FAREWELL + LOOK, "{:?}", began.elapsed());
        assert!(right.write_all(b"x").await.is_err(), "and closed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_holds_its_sender_back() {
        let (mut left, mut right, ended, stop) = carried(LIMITS);
        let sent = tokio::time::timeout(Duration::from_secs(5), left.write_all(&[7; 1 << 20])).await;
        assert!(sent.is_err(), "a megabyte went somewhere");
        // The control: what is read makes room.
        let reading = tokio::spawn(async move { tokio::io::copy(&mut right, &mut tokio::io::sink()).await });
        left.write_all(&[7; 4096]).await.unwrap();
        stop.cancel();
        assert_eq!(ended.await.unwrap(), Ended::Stopped);
        reading.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_it_is_idle_or_old_and_is_no_faster_than_allowed() {
        let (_left, _right, ended, _stop) = carried(LIMITS);
        assert_eq!(ended.await.unwrap(), Ended::Idle);
        let (mut left, mut right, ended, _stop) = carried(LIMITS);
        let reading = tokio::spawn(async move { tokio::io::copy(&mut right, &mut tokio::io::sink()).await });
        let began = Instant::now();
        left.write_all(&vec![0; 5 << 20]).await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
        let writing = tokio::spawn(async move {
            while left.write_all(b"tick").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        });
        assert_eq!(ended.await.unwrap(), Ended::Old);
        reading.await.unwrap().unwrap();
        writing.await.unwrap();
    }
}
