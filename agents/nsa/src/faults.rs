//! Trouble on request: the sim driver fails, hangs or ends the process at a named point.
//!
//! Rule: a fault fires `times` times, then never again; with a state file that count outlives a crash, so a restarted
//! process goes on instead of dying at the same point for ever.

use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// Where a fault can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Point {
    /// An apply has been checked; nothing has been done.
    #[serde(rename = "apply.before")]
    ApplyBefore,
    /// The new snapshot is on disk, the old one is still served.
    #[serde(rename = "apply.written")]
    ApplyWritten,
    /// Everything is done, the answer is not sent.
    #[serde(rename = "apply.after")]
    ApplyAfter,
    #[serde(rename = "link.before")]
    LinkBefore,
    #[serde(rename = "link.after")]
    LinkAfter,
    #[serde(rename = "delete.before")]
    DeleteBefore,
    /// The tombstone is written and nothing is served any more; link and snapshot are still there.
    #[serde(rename = "delete.stopped")]
    DeleteStopped,
    #[serde(rename = "delete.after")]
    DeleteAfter,
    #[serde(rename = "list")]
    List,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Fail,
    /// For ever, or until a newer job cancels the work.
    Hang,
    /// The process exits at once with status 70, as after `kill -9`.
    Crash,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub at: Point,
    pub effect: Effect,
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// A fault that fired; the message of the failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("simulated failure at {0:?}")]
pub struct Struck(pub Point);

type Spent = Box<dyn Fn(Point) + Send + Sync>;

/// The faults still to come. Cloning shares them.
#[derive(Clone, Default)]
pub struct Faults {
    left: Arc<Mutex<Vec<Fault>>>,
    /// Called before a fault takes effect: writes down that it is spent.
    spent: Option<Arc<Spent>>,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Faults({:?})", self.left)
    }
}

impl Faults {
    pub fn new(faults: Vec<Fault>) -> Self {
        Self { left: Arc::new(Mutex::new(faults)), spent: None }
    }

    pub(crate) fn with_memory(faults: Vec<Fault>, spent: Spent) -> Self {
        Self { left: Arc::new(Mutex::new(faults)), spent: Some(Arc::new(spent)) }
    }

    pub fn inject(&self, fault: Fault) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub fn clear(&self) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take(&self, point: Point) -> Option<Effect> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let at = left.iter().position(|fault| fault.at == point && fault.times > 0)?;
        left[at].times -= 1;
        let effect = left[at].effect;
        left.retain(|fault| fault.times > 0);
        Some(effect)
    }

    /// Passes, fails, never returns, or ends the process.
    ///
    /// # Errors
    /// The fault asked for here is `fail`.
    pub async fn reach(&self, point: Point) -> Result<(), Struck> {
        let Some(effect) = self.take(point) else { return Ok(()) };
        if let Some(spent) = &self.spent {
            spent(point);
        }
        match effect {
            Effect::Fail => Err(Struck(point)),
            Effect::Hang => std::future::pending().await,
            Effect::Crash => std::process::exit(70),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fault_fires_as_often_as_asked_and_only_at_its_point() {
        let faults = Faults::new(vec![Fault { at: Point::LinkBefore, effect: Effect::Fail, times: 2 }]);
        assert_eq!(faults.reach(Point::LinkAfter).await, Ok(()));
        assert_eq!(faults.reach(Point::LinkBefore).await, Err(Struck(Point::LinkBefore)));
        assert_eq!(faults.reach(Point::LinkBefore).await, Err(Struck(Point::LinkBefore)));
        assert_eq!(faults.reach(Point::LinkBefore).await, Ok(()));
    }
}
