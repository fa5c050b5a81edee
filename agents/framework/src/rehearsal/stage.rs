//! What a rehearsing thread holds: its seed's generator, the virtual clock's beginning, the trace.
//!
//! Rule: one stage a thread, set by whoever runs the rehearsal and gone with its value.

use super::{EPOCH_SECONDS, Sabotage};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

thread_local! {
    static STAGE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// Asked at each point passed, with the kind of the job: whether the process ends there.
pub(super) type Watch = Rc<dyn Fn(&str, &str) -> bool>;

pub(super) struct State {
    pub rng: StdRng,
    pub sabotage: Option<Sabotage>,
    pub points: Watch,
    began: Instant,
    count: u32,
    notes: Vec<Note>,
}

/// One line of the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Since the rehearsal began.
    pub at: Duration,
    pub line: String,
}

impl State {
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn note(&mut self, line: String) {
        let at = self.elapsed();
        self.notes.push(Note { at, line });
    }
}

/// The thread rehearses while this lives.
#[must_use = "dropping it ends the rehearsal"]
pub struct Stage {
    // The stage is the thread's: it cannot be ended from another.
    _here: PhantomData<Rc<()>>,
}

impl Stage {
    /// Begins a rehearsal on this thread, inside a runtime whose clock is paused. `points` is asked at each point a
    /// process passes whether it ends there.
    pub fn begin(seed: u64, sabotage: Option<Sabotage>, points: impl Fn(&str, &str) -> bool + 'static) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        let state =
            State { rng, sabotage, points: Rc::new(points), began: Instant::now(), count: 0, notes: Vec::new() };
        STAGE.with(|stage| *stage.borrow_mut() = Some(state));
        Self { _here: PhantomData }
    }

    /// Since it began; zero outside a rehearsal.
    pub fn elapsed() -> Duration {
        with(|state| state.elapsed()).unwrap_or_default()
    }

    /// The trace so far; it begins anew.
    pub fn take_notes(&self) -> Vec<Note> {
        with(|state| std::mem::take(&mut state.notes)).unwrap_or_default()
    }

    /// Milliseconds since 1970 by the virtual clock, and a count that never repeats.
    pub(super) fn tick(state: &mut State) -> (u64, u32) {
        state.count += 1;
        let millis = u64::try_from(state.elapsed().as_millis()).unwrap_or(u64::MAX);
        (EPOCH_SECONDS * 1000 + millis, state.count)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        STAGE.with(|stage| stage.borrow_mut().take());
    }
}

/// `None` on a thread that does not rehearse.
pub(super) fn with<T>(work: impl FnOnce(&mut State) -> T) -> Option<T> {
    STAGE.with(|stage| stage.borrow_mut().as_mut().map(work))
}

pub(super) fn is_on() -> bool {
    STAGE.with(|stage| stage.borrow().is_some())
}
