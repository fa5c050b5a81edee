//! What an agent tells the service manager, from its own loop.
//!
//! Rule: ready is the process once every agent in it serves what it knows by itself; none waits for the broker, which may be
//! away for days while guests want addresses. Where several share a process none of them speaks for it.

use arame_schema::model::AgentId;
use arame_service::{Loops, Turns};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One agent's place at the service manager's.
pub struct Post {
    loops: Loops,
    /// The agent's loop, for the watchdog.
    pub(super) turns: Turns,
    /// Agents of this process that do not serve yet, and how many there are.
    awaited: Arc<AtomicUsize>,
    of: usize,
}

impl Post {
    /// One for each of `of` agents in a process.
    pub fn each_of(of: usize, loops: &Loops) -> Vec<Self> {
        let awaited = Arc::new(AtomicUsize::new(of));
        let one = |_| Self { loops: loops.clone(), turns: loops.one_more(), awaited: awaited.clone(), of };
        (0..of).map(one).collect()
    }

    /// Nobody is told.
    pub fn of_nobody() -> Self {
        let loops = Loops::unwatched();
        Self { turns: loops.one_more(), loops, awaited: Arc::new(AtomicUsize::new(1)), of: 1 }
    }

    pub(super) fn began(&self, agent: &AgentId) {
        if self.awaited.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        match self.of {
            1 => self.loops.notifier().ready(&format!("{agent} serves what it knows; the broker is not reached yet")),
            several => self.loops.notifier().ready(&format!("{several} agents")),
        }
    }

    pub(super) fn tell(&self, text: &str) {
        if self.of == 1 {
            self.loops.notifier().status(text);
        }
    }
}
