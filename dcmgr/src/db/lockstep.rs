//! The database in lockstep with a rehearsal: on such a thread a statement takes no time and lets nothing else run.
//!
//! Rule: on every other thread nothing here changes anything. In lockstep each piece of SQL is waited for by blocking,
//! on connections that live in a runtime of their own, and the session's clock is the virtual one: a transaction is
//! one step of the run. Between transactions, never inside one, others may run; and there the seed may lose a
//! connection, a commit, or the answer to one.

use super::DbError;
use crate::rehearsal;
use mysql_async::prelude::Queryable;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;
use tokio::runtime::Handle;

/// Where trouble may strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Begin,
    Read,
    Commit,
}

/// What may strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The connection is lost, and nothing happened.
    Lost,
    /// The connection is lost after the server committed: the client cannot know.
    LostAfterCommit,
    /// The server chose this transaction to end a deadlock.
    Deadlock,
}

type Troubles = Rc<dyn Fn(Moment) -> Option<Trouble>>;

#[derive(Clone)]
struct Lockstep {
    connections: Handle,
    troubles: Troubles,
}

thread_local! {
    static LOCKSTEP: RefCell<Option<Lockstep>> = const { RefCell::new(None) };
    /// What each session's clock was set to.
    static CLOCKS: RefCell<BTreeMap<u32, Duration>> = const { RefCell::new(BTreeMap::new()) };
    /// Transactions begun and not ended.
    static OPEN: Cell<u32> = const { Cell::new(0) };
}

/// This thread is in lockstep while the value lives.
#[must_use = "dropping it ends the lockstep"]
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        LOCKSTEP.with(|lockstep| lockstep.borrow_mut().take());
        OPEN.set(0);
        CLOCKS.with_borrow_mut(BTreeMap::clear);
    }
}

/// Connections live in the runtime of `connections`; `troubles` is asked at each moment.
pub fn begin(connections: Handle, troubles: impl Fn(Moment) -> Option<Trouble> + 'static) -> Guard {
    let step = Lockstep { connections, troubles: Rc::new(troubles) };
    LOCKSTEP.with(|lockstep| *lockstep.borrow_mut() = Some(step));
    Guard(())
}

fn current() -> Option<Lockstep> {
    LOCKSTEP.with(|lockstep| lockstep.borrow().clone())
}

/// Waits for SQL: by blocking when in lockstep.
pub(super) async fn settle<F: Future>(work: F) -> F::Output {
    match current().map(|step| step.connections) {
        Some(connections) => block_on(&connections, work),
        None => work.await,
    }
}

/// The virtual time as the clock of the session with this number; nothing when not in lockstep.
pub(super) async fn set_clock(session: &mut impl Queryable, number: u32) -> Result<(), DbError> {
    let now = rehearsal::Stage::elapsed();
    if current().is_none() || CLOCKS.with_borrow_mut(|clocks| clocks.insert(number, now)) == Some(now) {
        return Ok(());
    }
    let seconds = rehearsal::EPOCH_SECONDS + now.as_secs();
    let statement = format!("SET timestamp = {seconds}.{:06}", now.subsec_micros());
    Ok(settle(session.query_drop(statement)).await?)
}

/// Between transactions others may run.
pub(super) async fn pause() {
    if OPEN.get() == 0 && current().is_some() {
        rehearsal::pause().await;
    }
}

pub(super) fn opened() {
    OPEN.set(OPEN.get() + 1);
}

pub(super) fn closed() {
    OPEN.set(OPEN.get().saturating_sub(1));
}

/// What strikes now.
pub(super) fn trouble(moment: Moment) -> Option<Trouble> {
    let trouble = current().and_then(|step| (step.troubles)(moment));
    if let Some(trouble) = trouble {
        rehearsal::note(|| format!("database {moment:?}: {trouble:?}"));
    }
    trouble
}

/// The error the driver would give.
pub(super) fn error(trouble: Trouble) -> DbError {
    match trouble {
        Trouble::Lost | Trouble::LostAfterCommit => {
            mysql_async::Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionReset)).into()
        }
        Trouble::Deadlock => {
            let message = "Deadlock found when trying to get lock; try restarting transaction".to_owned();
            let error = mysql_async::ServerError { code: 1213, message, state: "40001".to_owned() };
            mysql_async::Error::from(error).into()
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread for what another runtime's connections bring.
pub fn block_on<F: Future>(connections: &Handle, work: F) -> F::Output {
    let _inside = connections.enter();
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    // The budget of the task that waits must not make a socket pretend that it is not ready.
    let mut work = std::pin::pin!(tokio::task::unconstrained(work));
    let mut context = Context::from_waker(&waker);
    loop {
        match work.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
