//! Blocking calls (libvirt) on threads of their own, each with a limit; those that do not come back are counted.
//!
//! Rule: at most [`AT_ONCE`] calls run at a time and nobody waits longer than the limit. A hung call keeps its thread
//! and its place until it comes back; [`Blocking::hung`] says how many there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Calls at one time: bounds the threads that a hung hypervisor can take.
const AT_ONCE: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum BlockingError {
    #[error("`{what}` did not come back within {limit:?}")]
    Hung { what: &'static str, limit: Duration },
    #[error("`{what}` ended in a panic")]
    Panicked { what: &'static str },
}

#[derive(Debug, Clone)]
pub struct Blocking {
    places: Arc<Semaphore>,
    hung: Arc<AtomicU32>,
}

impl Default for Blocking {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), hung: Arc::default() }
    }
}

impl Blocking {
    /// Calls given up that have not come back.
    pub fn hung(&self) -> u32 {
        self.hung.load(Ordering::Relaxed)
    }

    /// Runs `call` on a blocking thread.
    pub async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        limit: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BlockingError> {
        let late = BlockingError::Hung { what, limit };
        let Ok(Ok(place)) = tokio::time::timeout(limit, self.places.clone().acquire_owned()).await else {
            return Err(late);
        };
        let mut task = tokio::task::spawn_blocking(move || {
            let value = call();
            drop(place);
            value
        });
        match tokio::time::timeout(limit, &mut task).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => Err(BlockingError::Panicked { what }),
            Err(_) => {
                let hung = self.hung.clone();
                hung.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let _ = task.await;
                    hung.fetch_sub(1, Ordering::Relaxed);
                });
                Err(late)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_hung_call_is_counted_until_it_comes_back() {
        let blocking = Blocking::default();
        let (release, held) = mpsc::channel::<()>();
        let late = blocking.run("wait", Duration::from_millis(20), move || held.recv()).await;
        assert!(matches!(late, Err(BlockingError::Hung { .. })));
        assert_eq!(blocking.hung(), 1);
        release.send(()).unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while blocking.hung() > 0 {
            assert!(tokio::time::Instant::now() < deadline, "the call never came back");
            tokio::task::yield_now().await;
        }
    }
}
