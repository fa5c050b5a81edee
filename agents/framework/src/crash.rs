//! Named points where a process may be told to die, so that every step of a job can be tried with a crash after it.
//!
//! The points, in the order a job passes them: `before_effect` and `after_effect` (called by the agent through
//! [`crate::agent::Work::crash_point`]), `before_answer` and `after_answer` (called by the runtime around the
//! publishing of an outcome). Nothing is armed unless `ARAME_CRASH=<point>[:<kind>][:<nth>]` is set (the process then
//! exits with [`EXIT_CODE`], as if killed) or a test calls [`arm`]. Without an arm a point costs one atomic load. This
//! does not simulate a crash: it is one, no destructor runs but those `exit` runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What a shell reports for SIGKILL: a crash asked for looks like a crash.
pub const EXIT_CODE: i32 = 137;

/// The variable read at the first point passed.
pub const VARIABLE: &str = "ARAME_CRASH";

/// Every point there is; an unknown name in [`VARIABLE`] is told on the log instead of never firing silently.
pub const POINTS: [&str; 4] = ["before_effect", "after_effect", "before_answer", "after_answer"];

/// What happens at an armed point.
#[derive(Clone)]
pub enum Action {
    /// The process exits with [`EXIT_CODE`].
    Exit,
    /// A hook of a test, given the kind of the job; it may panic, block or count.
    Hook(Arc<dyn Fn(&str) + Send + Sync>),
}

struct Arm {
    number: u64,
    point: String,
    kind: Option<String>,
    /// Passes left before it fires; it fires once.
    left: u32,
    action: Action,
}

/// Disarms when dropped.
#[must_use = "dropping it disarms the point"]
pub struct Armed {
    number: u64,
}

impl Drop for Armed {
    fn drop(&mut self) {
        arms().retain(|arm| arm.number != self.number);
    }
}

static ANY: AtomicBool = AtomicBool::new(false);
static READ: OnceLock<()> = OnceLock::new();
static ARMS: Mutex<(u64, Vec<Arm>)> = Mutex::new((0, Vec::new()));

struct Arms(MutexGuard<'static, (u64, Vec<Arm>)>);

impl std::ops::Deref for Arms {
    type Target = Vec<Arm>;
    fn deref(&self) -> &Vec<Arm> {
        &self.0.1
    }
}

impl std::ops::DerefMut for Arms {
    fn deref_mut(&mut self) -> &mut Vec<Arm> {
        &mut self.0.1
    }
}

fn arms() -> Arms {
    Arms(ARMS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Arms `point` for jobs of `kind` (every kind if `None`); it fires once, at the `nth` pass counted from 1.
pub fn arm(point: &str, kind: Option<&str>, nth: u32, action: Action) -> Armed {
    let mut arms = arms();
    arms.0.0 += 1;
    let number = arms.0.0;
    arms.push(Arm { number, point: point.to_owned(), kind: kind.map(str::to_owned), left: nth.max(1), action });
    ANY.store(true, Ordering::Release);
    Armed { number }
}

/// Passes a point outside any job.
pub fn point(name: &str) {
    point_of(name, "");
}

/// Passes a point in a job of the given kind.
pub fn point_of(name: &str, kind: &str) {
    crate::rehearsal::point(name, kind);
    READ.get_or_init(arm_from_environment);
    if !ANY.load(Ordering::Acquire) {
        return;
    }
    if let Some(action) = fired(name, kind) {
        match action {
            Action::Exit => {
                tracing::error!(point = name, kind, "crash asked for: the process exits");
                std::process::exit(EXIT_CODE)
            }
            Action::Hook(hook) => hook(kind),
        }
    }
}

/// The action to take, with its arm removed. The lock is released before the action: a hook may pass points itself.
fn fired(name: &str, kind: &str) -> Option<Action> {
    let mut arms = arms();
    let mut due = None;
    for (place, arm) in arms.iter_mut().enumerate() {
        if arm.point != name || arm.kind.as_deref().is_some_and(|wanted| wanted != kind) {
            continue;
        }
        arm.left = arm.left.saturating_sub(1);
        if arm.left == 0 {
            due.get_or_insert(place);
        }
    }
    due.map(|place| arms.remove(place).action)
}

fn arm_from_environment() {
    let Ok(text) = std::env::var(VARIABLE) else { return };
    match parse(&text) {
        Some((point, kind, nth)) => {
            // The arm lives as long as the process: nothing disarms what the environment asked for.
            std::mem::forget(arm(&point, kind.as_deref(), nth, Action::Exit));
        }
        None => tracing::error!(given = text, "ARAME_CRASH is not <point>[:<kind>][:<nth>] of a known point; ignored"),
    }
}

fn parse(text: &str) -> Option<(String, Option<String>, u32)> {
    let mut parts = text.split(':');
    let point = parts.next().filter(|name| POINTS.contains(name))?.to_owned();
    let mut kind = None;
    let mut nth = 1;
    for part in parts {
        match part.parse::<u32>() {
            Ok(number) => nth = number,
            Err(_) => kind = Some(part.to_owned()),
        }
    }
    Some((point, kind, nth))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn counter() -> (Arc<AtomicU32>, Action) {
        let count = Arc::new(AtomicU32::new(0));
        let seen = count.clone();
        (
            count,
            Action::Hook(Arc::new(move |_| {
                seen.fetch_add(1, Ordering::SeqCst);
            })),
        )
    }

    #[test]
    fn a_point_fires_once_at_its_nth_pass_and_only_for_its_kind() {
        let (count, action) = counter();
        let _armed = arm("before_effect", Some("test.kind.a"), 2, action);
        point_of("before_effect", "test.kind.b");
        point_of("before_effect", "test.kind.a");
        assert_eq!(count.load(Ordering::SeqCst), 0);
        point_of("before_effect", "test.kind.a");
        point_of("before_effect", "test.kind.a");
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_dropped_arm_never_fires() {
        let (count, action) = counter();
        drop(arm("after_effect", Some("test.kind.c"), 1, action));
        point_of("after_effect", "test.kind.c");
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn the_variable_names_point_kind_and_pass() {
        assert_eq!(parse("after_effect"), Some(("after_effect".into(), None, 1)));
        assert_eq!(
            parse("before_answer:sta.volume.create:3"),
            Some(("before_answer".into(), Some("sta.volume.create".into()), 3))
        );
        assert_eq!(parse("before_answer:2"), Some(("before_answer".into(), None, 2)));
        assert_eq!(parse("nowhere"), None);
    }
}
