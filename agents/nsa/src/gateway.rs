//! Whether this service leads a network out, where its snapshot says so: two that did would share addresses.
//!
//! ```text
//!  from the file ──► kept ──► HOLD_WAY went by, nobody else was heard ──► leads
//!                     │ another is heard at the gateway's address          │ another is heard while the manager is not
//!                     ▼                                                    ▼
//!                  yielded ◄──────────────────────────────────────────── yielded ──► a version was taken in: leads by it
//! ```
//!
//! Rule: only what leads announces itself, so whoever was made the gateway last is whom machines and the outside talk to. What
//! is kept is what the kernel has still: nothing is torn down because a program began, nothing is made before it listened.
//! A process that cannot hear the manager believes another's announcement; one that hears it believes the manager.

use crate::limits::{ANNOUNCE_WAY, ANNOUNCE_WAY_NEW, HOLD_WAY, WAY_IS_NEW};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `None`: nobody is listened for yet.
    Kept {
        since: Option<Instant>,
    },
    Leads {
        since: Instant,
    },
    Yielded,
}

/// What the link is to be of a way that the snapshot has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As it is: mended where it stands, not made where it does not.
    Kept,
    Open,
    Closed,
}

#[derive(Debug)]
pub struct Gateway {
    state: Mutex<State>,
    announced: Mutex<Option<Instant>>,
}

impl Gateway {
    /// `told`: the manager said so in this life of the process.
    pub fn new(told: bool) -> Self {
        let state = if told { State::Leads { since: Instant::now() } } else { State::Kept { since: None } };
        Self { state: Mutex::new(state), announced: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on another would be heard.
    pub fn listens(&self) {
        let mut state = self.lock();
        if let State::Kept { since: since @ None } = &mut *state {
            *since = Some(Instant::now());
        }
    }

    /// A version was taken in: it says who leads.
    pub fn told(&self, leads: bool) {
        let mut state = self.lock();
        let led = matches!(*state, State::Leads { .. });
        if !(led && leads) {
            *state = State::Leads { since: Instant::now() };
            *self.announced.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Another announced that the gateway's address is its own. Answers whether the way is given up now.
    pub fn heard_another(&self, manager_is_heard: bool) -> bool {
        let mut state = self.lock();
        let yields = match *state {
            State::Kept { .. } => true,
            State::Leads { .. } => !manager_is_heard,
            State::Yielded => false,
        };
        if yields {
            *state = State::Yielded;
        }
        yields
    }

    pub fn way(&self) -> Way {
        let mut state = self.lock();
        if let State::Kept { since: Some(since) } = *state
            && since.elapsed() >= HOLD_WAY
        {
            *state = State::Leads { since: Instant::now() };
        }
        match *state {
            State::Kept { .. } => Way::Kept,
            State::Leads { .. } => Way::Open,
            State::Yielded => Way::Closed,
        }
    }

    /// Whether it is time to say where the way is; counts as said.
    pub fn is_to_announce(&self) -> bool {
        let State::Leads { since } = *self.lock() else { return false };
        let pause = if since.elapsed() < WAY_IS_NEW { ANNOUNCE_WAY_NEW } else { ANNOUNCE_WAY };
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = announced.is_none_or(|at| at.elapsed() >= pause);
        if is_due {
            *announced = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_leads_when_nobody_else_was_heard_and_is_not_announced_before() {
        let gateway = Gateway::new(false);
        tokio::time::advance(HOLD_WAY).await;
        assert_eq!((gateway.way(), gateway.is_to_announce()), (Way::Kept, false), "it has not listened yet");
        gateway.listens();
        assert_eq!((gateway.way(), gateway.is_to_announce()), (Way::Kept, false));
        tokio::time::advance(HOLD_WAY).await;
        assert_eq!((gateway.way(), gateway.is_to_announce()), (Way::Open, true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_given_up_for_another_until_the_manager_speaks() {
        let gateway = Gateway::new(false);
        assert!(gateway.heard_another(true), "what a file says is older than what is heard");
        tokio::time::advance(HOLD_WAY * 2).await;
        assert_eq!((gateway.way(), gateway.is_to_announce()), (Way::Closed, false));
        gateway.told(true);
        assert_eq!((gateway.way(), gateway.is_to_announce()), (Way::Open, true));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leads_yields_to_another_only_while_it_does_not_hear_the_manager() {
        let gateway = Gateway::new(true);
        assert!(!gateway.heard_another(true));
        assert_eq!(gateway.way(), Way::Open);
        assert!(gateway.heard_another(false));
        assert_eq!(gateway.way(), Way::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_way_is_announced_often_and_an_old_one_now_and_then() {
        let gateway = Gateway::new(true);
        let count = async |steps: u32| {
            let mut said = 0;
            for _ in 0..steps {
                said += u32::from(gateway.is_to_announce());
                tokio::time::advance(ANNOUNCE_WAY_NEW).await;
            }
            said
        };
        assert_eq!(count(5).await, 5);
        tokio::time::advance(WAY_IS_NEW).await;
        assert!(count(10).await <= 4);
        // The same told again changes nothing of it.
        gateway.told(true);
        assert!(count(10).await <= 4);
    }
}
