//! Copies of disks that are being made while jobs come and go: a job begins one or finds it, watches it for as long as its
//! budget lasts, and keeps what was made.
//!
//! Rule: one an image. The job that drops it ends it; what nobody asks for is dropped with the next question about it.

use crate::driver::DriverError;
use crate::driver::captures::{Report, Taken};
use arame_framework::agent::{Stopped, Work};
use arame_framework::rehearsal;
use arame_schema::jobs::report::Retry;
use arame_schema::model::ImageId;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A job stops watching this long before its budget ends, so that it can still say so.
const SPARE: Duration = Duration::from_secs(20);

/// What a job finds.
#[derive(Debug)]
pub enum Found {
    Taken(Taken),
    /// The job's time is over, the copy's is not.
    StillComing,
}

struct Taking {
    progress: watch::Receiver<u8>,
    task: JoinHandle<Result<Taken, DriverError>>,
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Default)]
pub struct Takings {
    going: Mutex<BTreeMap<ImageId, Taking>>,
}

impl Takings {
    /// Watches the copy for an image, beginning it where it is not.
    ///
    /// # Errors
    /// Its own, or that a newer job took over: then it goes on for that one to find.
    pub async fn watch<F>(
        &self,
        image: &ImageId,
        begin: impl FnOnce(Report) -> F,
        work: &Work,
    ) -> Result<Found, Stopped>
    where
        F: Future<Output = Result<Taken, DriverError>> + Send + 'static,
    {
        let found = self.going().remove(image);
        let mut taking = found.unwrap_or_else(|| {
            let (report, progress) = Report::new();
            Taking { progress, task: rehearsal::spawn(begin(report)) }
        });
        let end = Instant::now() + work.budget_left().saturating_sub(SPARE);
        loop {
            let ended = tokio::select! {
                biased;
                ended = &mut taking.task => ended,
                () = work.cancelled().cancelled() => {
                    self.going().insert(image.clone(), taking);
                    return Err(Stopped::Overtaken { facts: Vec::new() });
                }
                () = tokio::time::sleep_until(end) => {
                    self.going().insert(image.clone(), taking);
                    return Ok(Found::StillComing);
                }
                told = taking.progress.changed() => {
                    work.progress(*taking.progress.borrow_and_update(), "copying the machine's disk");
                    if told.is_ok() {
                        continue;
                    }
                    // Nobody tells any more: it is at its end.
                    (&mut taking.task).await
                }
            };
            let lost = |error| Stopped::failed("host_error", format!("the copy ended early: {error}"), Retry::Later);
            return Ok(Found::Taken(ended.map_err(lost)??));
        }
    }

    /// Ends the copy for an image, if one is being made.
    pub async fn stop(&self, image: &ImageId) {
        let found = self.going().remove(image);
        if let Some(mut taking) = found {
            taking.task.abort();
            let _ = (&mut taking.task).await;
        }
    }

    fn going(&self) -> MutexGuard<'_, BTreeMap<ImageId, Taking>> {
        self.going.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
