//! A program of the data center inside the test's process: a runtime of its own, so that its death takes every task
//! of it along, wherever each is, as SIGKILL does. A blocking call already begun ends first; nothing else does.

use std::future::Future;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};

/// How long a death may wait for a blocking call, such as the writing of a small file.
const LAST_CALL: Duration = Duration::from_secs(5);

pub struct Program {
    /// Gone only while it is being dropped.
    runtime: Option<Runtime>,
}

impl Program {
    /// # Errors
    /// The threads cannot be started.
    pub fn start(name: &str) -> std::io::Result<Program> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()?;
        Ok(Program { runtime: Some(runtime) })
    }

    pub fn handle(&self) -> Option<Handle> {
        self.runtime.as_ref().map(|runtime| runtime.handle().clone())
    }

    /// Runs something inside it and waits for its end.
    ///
    /// # Errors
    /// What it answered, or that the program died meanwhile.
    pub async fn run<T, F>(&self, work: F) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        let handle = self.handle().ok_or_else(|| anyhow::anyhow!("the program is dead"))?;
        handle.spawn(work).await?
    }

    /// Every task of it ends now.
    pub async fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            let _ = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(LAST_CALL)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
