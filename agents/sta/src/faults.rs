//! Faults on request: fail, hang or crash at a named point.
//!
//! Points are `<verb>:<step>` (`create_volume:before`, `create_volume:after`) and, for every kind of job,
//! `<kind>:before` and `<kind>:answer` (`sta.volume.create:answer`: the work is done, nothing was said yet).
//! Rule: a fault strikes as often as it was asked and no more, also across the restart a crash causes: what a crash
//! has used up is written down before it strikes. Nothing is armed unless configuration or a test asks.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The verb answers an error.
    Fail,
    /// The verb answers that there is no room for a backup.
    Full,
    /// The verb never answers.
    Hang,
    /// The process is gone, without any clean-up.
    Crash,
}

/// One order of trouble; `[[sta.sim.faults]]` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub at: String,
    pub action: Action,
    /// How often it strikes.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// What [`Faults::hit`] answers for a fault that fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed at `{at}`, as the configuration asked")]
pub struct Injected {
    pub at: String,
    /// As if there were no room.
    pub full: bool,
}

impl Injected {
    fn new(at: &str, action: Action) -> Self {
        Self { at: at.to_owned(), full: action == Action::Full }
    }
}

#[derive(Debug, Default)]
pub struct Faults {
    armed: Mutex<Vec<Fault>>,
    /// Points used up by crashes, remembered across them.
    spent_file: Option<PathBuf>,
}

impl Faults {
    /// Without a file a crash's fault strikes again in the next process.
    pub fn new(faults: Vec<Fault>, spent_file: Option<PathBuf>) -> Self {
        let spent: BTreeMap<String, u32> = spent_file
            .as_ref()
            .and_then(|path| std::fs::read(path).ok())
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let armed = faults
            .into_iter()
            .map(|fault| Fault { times: fault.times.saturating_sub(*spent.get(&fault.at).unwrap_or(&0)), ..fault })
            .collect();
        Self { armed: Mutex::new(armed), spent_file }
    }

    pub fn arm(&self, fault: Fault) {
        self.lock().push(fault);
    }

    /// How often something will still strike here.
    pub fn waiting(&self, at: &str) -> u32 {
        self.lock().iter().filter(|fault| fault.at == at).map(|fault| fault.times).sum()
    }

    /// Passes, unless a fault waits here.
    ///
    /// # Errors
    /// [`Injected`] for [`Action::Fail`] and [`Action::Full`]. Does not return for the other two.
    pub async fn hit(&self, at: &str) -> Result<(), Injected> {
        match self.take(at) {
            Some(Action::Hang) => std::future::pending().await,
            Some(action @ (Action::Fail | Action::Full)) => Err(Injected::new(at, action)),
            Some(Action::Crash) => self.crash(at),
            None => Ok(()),
        }
    }

    /// The same on a thread that may block.
    ///
    /// # Errors
    /// As [`Faults::hit`].
    pub fn hit_blocking(&self, at: &str) -> Result<(), Injected> {
        match self.take(at) {
            Some(Action::Hang) => loop {
                std::thread::park();
            },
            Some(action @ (Action::Fail | Action::Full)) => Err(Injected::new(at, action)),
            Some(Action::Crash) => self.crash(at),
            None => Ok(()),
        }
    }

    fn take(&self, at: &str) -> Option<Action> {
        let mut armed = self.lock();
        let fault = armed.iter_mut().find(|fault| fault.at == at && fault.times > 0)?;
        fault.times -= 1;
        Some(fault.action)
    }

    /// Abort and not exit: no destructor runs, as with SIGKILL.
    fn crash(&self, at: &str) -> ! {
        if let Some(path) = &self.spent_file {
            let mut spent: BTreeMap<String, u32> =
                std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
            *spent.entry(at.to_owned()).or_default() += 1;
            let _ = serde_json::to_vec(&spent).map(|bytes| std::fs::write(path, bytes));
        }
        std::process::abort()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fault_strikes_as_often_as_asked() {
        let faults = Faults::default();
        faults.arm(Fault { at: "x:before".into(), action: Action::Fail, times: 2 });
        assert!(faults.hit("x:after").await.is_ok());
        assert!(faults.hit("x:before").await.is_err());
        assert!(faults.hit_blocking("x:before").is_err());
        assert!(faults.hit("x:before").await.is_ok());
    }

    #[test]
    fn what_a_crash_used_up_stays_used_up() {
        let folder = tempfile::tempdir().unwrap();
        let spent = folder.path().join("spent");
        std::fs::write(&spent, br#"{"x:before":1}"#).unwrap();
        let fault = Fault { at: "x:before".into(), action: Action::Fail, times: 1 };
        assert!(Faults::new(vec![fault.clone()], Some(spent)).hit_blocking("x:before").is_ok());
        assert!(Faults::new(vec![fault], None).hit_blocking("x:before").is_err());
    }
}
