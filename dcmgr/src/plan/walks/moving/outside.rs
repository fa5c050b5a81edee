//! What comes to a guest that takes its disk along without a job of its move: inventories, hosts that fall and come back, wishes.

use super::{Held, Host, Life, Moves, PAUSED, Place, RUNNING, State, Steps, index};

impl Moves {
    pub(super) fn inventory_steps(&self, s: &State, steps: &mut Steps<State>) {
        for host in Host::ALL {
            let (place, known) = (s.places[index(host)], s.sides[index(host)]);
            let idle = s.open[index(host)].is_none() && !s.is_sending(host.other());
            if known.held != place.held && place.life == Life::Up && idle {
                let mut told = *s;
                self.observe(&mut told, host);
                self.advance(&mut told);
                steps.work("an inventory", told);
            }
        }
    }

    pub(super) fn life_steps(&self, s: &State, steps: &mut Steps<State>) {
        for host in Host::ALL {
            let place = s.places[index(host)];
            if place.life != Life::Up {
                let mut back = *s;
                back.place(host).life = Life::Up;
                self.advance(&mut back);
                steps.wish("the host is back", back);
            }
            // Between two moves they are the instance's own plan's.
            if s.troubles == 0 || place.life == Life::Down || !s.moving {
                continue;
            }
            let troubled = State { troubles: s.troubles - 1, ..*s };
            // What is defined there outlives the host's death; memory does not.
            let now = |held| Place { held, drifted: true, ..place };
            let left = if matches!(place.held, RUNNING | PAUSED) { Held::Off } else { place.held };
            let (down, cut) = (Place { life: Life::Down, ..now(left) }, Place { life: Life::Cut, ..place });
            let mut changes = vec![("a host loses power", down), ("a host is cut off", cut)];
            if place.held == RUNNING {
                changes.extend([("the guest stops by itself", now(Held::Off)), ("its disk is full", now(PAUSED))]);
            }
            let busy = s.open.iter().any(Option::is_some);
            for (label, place) in changes {
                let mut state = troubled;
                *state.place(host) = place;
                self.advance(&mut state);
                if busy { steps.trouble(label, state) } else { steps.trouble_at_rest(label, state) }
            }
        }
    }

    pub(super) fn wish_steps(&self, s: &State, steps: &mut Steps<State>) {
        if s.wishes == 0 || s.gone {
            return;
        }
        let wished = State { wishes: s.wishes - 1, generation: s.generation + 1, ..*s };
        if s.moving {
            let mut deleted = State { gone: true, ..wished };
            self.advance(&mut deleted);
            steps.wish("delete", deleted);
        }
        if s.moving && s.wish != s.from {
            let mut back = State { wish: s.from, attempts: 0, ..wished };
            self.advance(&mut back);
            steps.wish("take the move back", back);
        }
        if !s.moving && s.sides[index(s.wish)].held == RUNNING {
            let to = s.wish.other();
            let mut sent = State { moving: true, from: s.wish, wish: to, attempts: 0, ..wished };
            (sent.side(s.wish).may_use, sent.side(s.wish).use_generation) = (true, s.generation);
            (sent.side(to).may_use, sent.side(to).use_generation) = (false, 0);
            self.advance(&mut sent);
            steps.wish("move to the other host", sent);
        }
    }
}
