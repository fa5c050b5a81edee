//! Tasks that belong together, so that they can end together: what a process is to the kernel.
//!
//! Rule: a task started by a task of a process belongs to it. After [`Process::kill`] none of them goes on, and none
//! begins. Outside a rehearsal [`spawn`] is `tokio::spawn`.

use super::stage::with;
use rand::Rng;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::task::{AbortHandle, JoinHandle};

tokio::task_local! {
    static PROCESS: Process;
}

/// Finished tasks are forgotten when this many are known.
const KNOWN_MAX: usize = 64;

#[derive(Debug, Clone)]
pub struct Process {
    name: Arc<str>,
    tasks: Arc<Mutex<Tasks>>,
}

#[derive(Debug, Default)]
struct Tasks {
    known: Vec<AbortHandle>,
    over: bool,
}

impl Process {
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), tasks: Arc::default() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process of the running task.
    pub fn current() -> Option<Self> {
        PROCESS.try_with(Self::clone).ok()
    }

    /// Starts a task of this process.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let task = tokio::spawn(PROCESS.scope(self.clone(), Shuffled(Box::pin(future))));
        let mut tasks = self.lock();
        if tasks.over {
            task.abort();
        }
        if tasks.known.len() >= KNOWN_MAX {
            tasks.known.retain(|task| !task.is_finished());
        }
        tasks.known.push(task.abort_handle());
        task
    }

    /// Ends every task, wherever it waits; the running one where it waits next.
    pub fn kill(&self) {
        let mut tasks = self.lock();
        tasks.over = true;
        tasks.known.drain(..).for_each(|task| task.abort());
    }

    pub fn is_over(&self) -> bool {
        self.lock().over
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a task; one of the process of the running task, if that has one.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match Process::current() {
        Some(process) => process.spawn(future),
        None => tokio::spawn(future),
    }
}

/// Sometimes lets the others that are ready go first, by the seed.
struct Shuffled<F>(Pin<Box<F>>);

impl<F: Future> Future for Shuffled<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if with(|stage| stage.rng.random_ratio(1, 6)).unwrap_or(false) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.0.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Stage, jitter, uuid_v4, uuid_v7};
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    async fn drawn(seed: u64) -> (Vec<uuid::Uuid>, Duration, u32) {
        let _stage = Stage::begin(seed, None, |_, _| false);
        let order = Arc::new(AtomicU32::new(0));
        let process = Process::new("p");
        let tasks: Vec<_> = (1..=6)
            .map(|number| {
                let order = order.clone();
                process.spawn(async move {
                    for _ in 0..3 {
                        tokio::task::yield_now().await;
                    }
                    let _ = order.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |seen| Some(seen * 7 + number));
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let ids = vec![uuid_v4(), uuid_v7(), uuid_v7()];
        (ids, jitter(Duration::from_millis(10)), order.load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn one_seed_draws_the_same_and_another_draws_something_else() {
        let first = drawn(1).await;
        assert_eq!(drawn(1).await, first);
        assert_ne!(drawn(2).await, first);
        assert!(first.0[1] < first.0[2], "ids of one moment are not in order");
        assert_eq!(jitter(Duration::from_millis(10)), Duration::from_millis(10), "the rehearsal is over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_killed_process_takes_the_tasks_of_its_tasks_along_and_another_lives() {
        let count = Arc::new(AtomicU32::new(0));
        let (dying, living) = (Process::new("a"), Process::new("b"));
        for process in [&dying, &living] {
            let count = count.clone();
            process.spawn(async move {
                spawn(async move {
                    loop {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                });
            });
        }
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(count.load(Ordering::SeqCst), 4, "the control: both count");
        dying.kill();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(count.load(Ordering::SeqCst), 6);
        assert!(dying.spawn(async {}).await.is_err(), "a dead process starts nothing");
    }
}
