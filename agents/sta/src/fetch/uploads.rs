//! Where an upload meets its job: dcmgr brings the bytes to this node's HTTP with a ticket, the job brings the same ticket.
//!
//! Rule: either may come first and waits for the other, not for long; a ticket meets once. Tickets are compared as digests.

use super::error::FetchError;
use axum::body::Body;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;

/// How long one waits for the other: the job's message takes moments, a restart of dcmgr seconds.
pub const MEETING_LIMIT: Duration = Duration::from_secs(30);
/// Uploads that wait for their job or go on, at once.
const GUESTS_MAX: usize = 16;

/// Checksum and size of what was received, or code and sentence.
pub type Told = Result<(String, u64), (String, String)>;

/// The bytes of an upload.
pub struct Parcel {
    pub body: Body,
    pub length: Option<u64>,
    /// Told when all of it was received and judged.
    pub answer: oneshot::Sender<Told>,
}

/// Why no job took an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// No job has this ticket.
    Unknown,
    Busy,
    /// The job ended without an answer.
    Dropped,
}

type Key = [u8; 32];

pub struct Uploads {
    expected: Mutex<BTreeMap<Key, oneshot::Sender<Parcel>>>,
    /// A job came.
    came: Notify,
    guests: Semaphore,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { expected: Mutex::default(), came: Notify::new(), guests: Semaphore::new(GUESTS_MAX) }
    }
}

impl Uploads {
    /// For a job: waits until somebody shows the ticket.
    ///
    /// # Errors
    /// Nobody comes.
    pub async fn expect(&self, ticket: &str) -> Result<Parcel, FetchError> {
        let key = key(ticket);
        let (sender, receiver) = oneshot::channel();
        let _forgotten = Forgotten { uploads: self, key };
        self.expected().insert(key, sender);
        self.came.notify_waiters();
        let met = tokio::time::timeout(MEETING_LIMIT, receiver).await;
        met.ok().and_then(Result::ok).ok_or(FetchError::NobodyCame { limit: MEETING_LIMIT })
    }

    /// For an upload: gives the bytes to the job with this ticket and waits for what it says of them.
    ///
    /// # Errors
    /// No job takes them.
    pub async fn bring(&self, ticket: &str, body: Body, length: Option<u64>) -> Result<Told, Turned> {
        let _guest = self.guests.try_acquire().map_err(|_| Turned::Busy)?;
        let job = self.job_of(&key(ticket)).await.ok_or(Turned::Unknown)?;
        let (answer, told) = oneshot::channel();
        job.send(Parcel { body, length, answer }).map_err(|_| Turned::Dropped)?;
        told.await.map_err(|_| Turned::Dropped)
    }

    async fn job_of(&self, key: &Key) -> Option<oneshot::Sender<Parcel>> {
        let end = Instant::now() + MEETING_LIMIT;
        loop {
            let came = self.came.notified();
            let mut came = std::pin::pin!(came);
            // Before the look: a job that comes between the two is not missed.
            came.as_mut().enable();
            if let Some(job) = self.expected().remove(key) {
                return Some(job);
            }
            tokio::time::timeout_at(end, came).await.ok()?;
        }
    }

    fn expected(&self) -> MutexGuard<'_, BTreeMap<Key, oneshot::Sender<Parcel>>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job that ends expects nobody any more.
struct Forgotten<'a> {
    uploads: &'a Uploads,
    key: Key,
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.uploads.expected().remove(&self.key);
    }
}

fn key(ticket: &str) -> Key {
    Sha256::digest(ticket.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    async fn meet(first_job: bool) {
        let uploads = Arc::new(Uploads::default());
        let (job, guest) = (uploads.clone(), uploads.clone());
        let job = async move {
            let parcel = job.expect("t").await.unwrap();
            parcel.answer.send(Ok(("sum".into(), parcel.length.unwrap()))).unwrap();
        };
        let guest = async move { guest.bring("t", Body::empty(), Some(7)).await };
        let told = if first_job {
            let job = tokio::spawn(job);
            tokio::task::yield_now().await;
            let told = guest.await;
            job.await.unwrap();
            told
        } else {
            let guest = tokio::spawn(guest);
            tokio::task::yield_now().await;
            job.await;
            guest.await.unwrap()
        };
        assert_eq!(told, Ok(Ok(("sum".into(), 7))));
        assert!(uploads.expected().is_empty());
    }

    #[tokio::test]
    async fn a_job_and_its_upload_meet_in_either_order() {
        meet(true).await;
        meet(false).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_meets_once_and_another_meets_nobody() {
        let uploads = Arc::new(Uploads::default());
        let job = uploads.clone();
        let job = tokio::spawn(async move { job.expect("t").await.map(|parcel| drop(parcel.answer)) });
        assert_eq!(uploads.bring("other", Body::empty(), None).await, Err(Turned::Unknown));
        assert!(matches!(job.await.unwrap(), Err(FetchError::NobodyCame { .. })));
        assert_eq!(uploads.bring("t", Body::empty(), None).await, Err(Turned::Unknown), "too late");
        let job = uploads.clone();
        let job = tokio::spawn(async move { job.expect("u").await.map(|parcel| drop(parcel.answer)) });
        assert_eq!(uploads.bring("u", Body::empty(), None).await, Err(Turned::Dropped), "the job ended");
        assert!(job.await.unwrap().is_ok());
        assert_eq!(uploads.bring("u", Body::empty(), None).await, Err(Turned::Unknown), "a second time");
    }
}
