//! Downloads, and other long copies of bytes, that go on while jobs come and go: a job begins one or finds it, watches it
//! for as long as its budget lasts, and takes what it brought.
//!
//! Rule: one a thing. A job that asks for something else ends it and begins anew; the job that deletes the thing ends it.
//! What nobody takes within an hour is dropped, bytes and all.

use super::error::FetchError;
use crate::store::StoreError;
use arame_framework::agent::Work;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// At once; others wait. Each holds a block in memory and a share of the disk's time.
const AT_ONCE: usize = 4;
/// A job stops watching this long before its budget ends, so that it can still say so.
const SPARE: Duration = Duration::from_secs(20);
/// dcmgr asks again within moments; one that does not has forgotten.
const UNTAKEN_MAX: Duration = Duration::from_secs(60 * 60);

/// How far a download tells that it is.
#[derive(Clone)]
pub struct Report(watch::Sender<(u8, &'static str)>);

impl Report {
    pub fn tell(&self, percent: u8, note: &'static str) {
        self.0.send_replace((percent, note));
    }
}

/// What a job finds.
#[derive(Debug)]
pub enum Found<T> {
    Brought(T),
    /// The job's time is over, the download's is not.
    StillComing(u8),
}

struct Download<T> {
    asked: String,
    since: Instant,
    progress: watch::Receiver<(u8, &'static str)>,
    task: JoinHandle<Result<T, FetchError>>,
}

impl<T> Drop for Download<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub struct Downloads<T> {
    going: Mutex<BTreeMap<String, Download<T>>>,
    turns: Arc<Semaphore>,
}

impl<T> Default for Downloads<T> {
    fn default() -> Self {
        Self { going: Mutex::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl<T: Send + 'static> Downloads<T> {
    /// Watches the download of an image that was `asked` for so, beginning it where it is not.
    ///
    /// # Errors
    /// Its own, or that a newer job took over: then it goes on for that one to find.
    pub async fn watch<F>(
        &self,
        image: &str,
        asked: String,
        begin: impl FnOnce(Report) -> F,
        work: &Work,
    ) -> Result<Found<T>, FetchError>
    where
        F: Future<Output = Result<T, FetchError>> + Send + 'static,
    {
        let mut download = self.take(image).filter(|going| going.asked == asked);
        let mut download = download.take().unwrap_or_else(|| self.begin(asked, begin));
        let end = Instant::now() + work.budget_left().saturating_sub(SPARE);
        loop {
            let ended = tokio::select! {
                biased;
                ended = &mut download.task => ended,
                () = work.cancelled().cancelled() => {
                    self.put_back(image, download);
                    return Err(StoreError::Overtaken.into());
                }
                () = tokio::time::sleep_until(end) => {
                    let percent = download.progress.borrow().0;
                    self.put_back(image, download);
                    return Ok(Found::StillComing(percent));
                }
                told = download.progress.changed() => {
                    let (percent, note) = *download.progress.borrow_and_update();
                    work.progress(percent, note);
                    if told.is_ok() {
                        continue;
                    }
                    // Nobody tells any more: it is at its end.
                    (&mut download.task).await
                }
            };
            let lost = |error| StoreError::Unavailable { reason: format!("the download ended early: {error}") };
            return ended.map_err(lost)?.map(Found::Brought);
        }
    }

    /// Ends the download of an image, if there is one. Its bytes are gone when this answers.
    pub async fn stop(&self, image: &str) {
        if let Some(mut going) = self.take(image) {
            going.task.abort();
            let _ = (&mut going.task).await;
        }
    }

    fn begin<F>(&self, asked: String, begin: impl FnOnce(Report) -> F) -> Download<T>
    where
        F: Future<Output = Result<T, FetchError>> + Send + 'static,
    {
        let (sender, progress) = watch::channel((0, "waiting for its turn"));
        let (bringing, turns) = (begin(Report(sender)), self.turns.clone());
        let task = arame_framework::rehearsal::spawn(async move {
            let _turn = turns.acquire_owned().await;
            bringing.await
        });
        Download { asked, since: Instant::now(), progress, task }
    }

    fn take(&self, image: &str) -> Option<Download<T>> {
        let mut going = self.going();
        going.retain(|_, one| !one.task.is_finished() || one.since.elapsed() < UNTAKEN_MAX);
        going.remove(image)
    }

    fn put_back(&self, image: &str, download: Download<T>) {
        self.going().insert(image.to_owned(), download);
    }

    fn going(&self) -> MutexGuard<'_, BTreeMap<String, Download<T>>> {
        self.going.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
