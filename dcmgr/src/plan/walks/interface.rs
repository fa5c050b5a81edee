//! Every history of an interface that comes into a machine and leaves it, while the machine is switched on and off: its
//! network served or not, outcomes lost, late, half done, a guest that does not let go.
//!
//! One machine that has run, on one host; its disk and its placement are walked elsewhere. The address of an interface that
//! left may be anybody's: from then on the guest must not have it, whatever is still on its way.

use super::{Sabotage, seen};
use crate::plan::instance::{self, Surroundings, next_job};
use crate::plan::interface::{Facts, belongs, has_left, is_settled, is_settled_off};
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};
use crate::plan::{Open, Step, step};
use arame_schema::model::Fact;
use arame_schema::model::instance::DesiredInstance::{Off, On};

const ATTEMPTS_MAX: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Job {
    generation: u8,
    on: bool,
    nic: bool,
    attempt: u8,
}

/// The interface in the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Vif {
    leaving: bool,
    asked: bool,
}

/// What is on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Guest {
    generation: u8,
    applied: u8,
    power: bool,
    kept: bool,
    live: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    on: bool,
    generation: u8,
    vif: Option<Vif>,
    ready: bool,
    failed: bool,
    power: Fact,
    plugged: Fact,
    seen_generation: u8,
    drifted: bool,
    open: Option<Job>,
    late: Option<Job>,
    guest: Guest,
    wishes: u8,
    troubles: u8,
    broken: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq)]
enum Extent {
    Nothing,
    Half,
    /// All but that the guest lets its interface go.
    Held,
    Whole,
}

struct Interfaces {
    sabotage: Sabotage,
    wishes: u8,
    troubles: u8,
}

impl Interfaces {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    // ---- dcmgr ----

    fn advance(&self, s: &mut State, attempt: u8) {
        let facts = Facts { plugged: s.plugged, ready: s.ready || self.is(Sabotage::PlugBeforePort) };
        let running = s.power == Fact::Yes;
        if let Some(vif) = s.vif {
            let carried = s.seen_generation >= s.generation || self.is(Sabotage::BelieveOlderLook);
            if has_left(!vif.leaving, s.plugged, Fact::Yes, carried) {
                s.vif = None;
                s.plugged = Fact::No;
                return self.advance(s, attempt);
            }
            if !vif.asked && belongs(!vif.leaving, facts, running) {
                s.generation += 1;
                s.failed = false;
                s.vif = Some(Vif { asked: true, ..vif });
                return self.advance(s, attempt);
            }
        }
        let wanted = s.vif.is_some_and(|vif| !vif.leaving);
        let settled = match (s.vif, s.on) {
            (None, _) => true,
            (Some(_), true) => is_settled(wanted, facts),
            (Some(_), false) => is_settled_off(wanted, facts),
        };
        let wish = instance::Wish {
            desired: if s.on { On } else { Off },
            generation: s.generation.into(),
            reboot: false,
            leaving_host: false,
        };
        let known = instance::Facts {
            domain: Fact::Yes,
            power: s.power,
            generation: s.seen_generation.into(),
            devices_settled: settled || self.is(Sabotage::ForgetDisks),
        };
        let ready = running || !s.on || !wanted || s.ready;
        let around = Surroundings { ready, ran_before: true, failed: s.failed };
        let open = s.open.map(|job| Open { kind: crate::plan::Kind::ApplyInstance, generation: job.generation.into() });
        let wanted_job = match step(open, next_job(wish, known, around)) {
            Step::Nothing => return,
            Step::Insert(wanted) => wanted,
            Step::Supersede(wanted) => {
                s.late = s.open;
                wanted
            }
        };
        let nic = belongs(wanted, facts, running);
        if nic && running && s.plugged == Fact::No && !s.ready {
            s.broken = Some("a running guest gets an interface whose port is not ready");
        }
        if !self.is(Sabotage::DropMaybe) {
            if !(running && s.on) {
                s.power = Fact::Maybe;
            }
            if (s.plugged == Fact::No && nic) || (s.plugged == Fact::Yes && !nic) {
                s.plugged = Fact::Maybe;
            }
        }
        let generation = u8::try_from(wanted_job.generation).unwrap_or(u8::MAX);
        s.open = Some(Job { generation, on: s.on, nic, attempt });
    }

    fn observe(&self, s: &mut State) {
        s.power = seen(s.guest.power);
        s.plugged = match (s.guest.power, s.guest.kept, s.guest.live) {
            (true, kept, live) if kept != live => Fact::Maybe,
            (_, kept, _) => seen(kept),
        };
        s.seen_generation = s.guest.applied;
        s.drifted = false;
    }

    fn failed(&self, s: &mut State, attempt: u8) {
        if attempt >= ATTEMPTS_MAX {
            s.failed = true;
            return self.advance(s, 1);
        }
        self.advance(s, attempt + 1);
    }

    // ---- the host ----

    /// Answers whether it was not refused.
    fn act(&self, s: &mut State, job: Job, extent: Extent) -> bool {
        let guest = &mut s.guest;
        if guest.generation > job.generation && !self.is(Sabotage::SkipGenerationCheck) {
            return false;
        }
        if extent == Extent::Nothing {
            return true;
        }
        if !job.on {
            (guest.power, guest.live) = (false, false);
        }
        (guest.generation, guest.kept) = (job.generation, job.nic);
        if extent == Extent::Half {
            return true;
        }
        let holds = extent == Extent::Held && guest.power && guest.live;
        guest.power = job.on;
        guest.live = job.on && (job.nic || holds);
        if !holds || job.nic {
            guest.applied = job.generation;
        }
        true
    }

    // ---- what can happen ----

    fn job_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        let mut known = State { open: None, ..*s };
        if self.act(&mut known, job, Extent::Whole) {
            self.observe(&mut known);
            self.advance(&mut known, 1);
        } else {
            known.generation = known.generation.max(known.guest.generation) + 1;
            self.advance(&mut known, job.attempt);
        }
        steps.job("hva.instance.apply", known);
        if s.troubles == 0 {
            return;
        }
        let troubled = State { troubles: s.troubles - 1, open: None, ..*s };
        for (extent, lost, failed) in [
            (Extent::Nothing, "never arrived", "failed before its effect"),
            (Extent::Half, "half done and lost", "failed half way"),
            (Extent::Held, "held by the guest and lost", "held by the guest"),
            (Extent::Whole, "done and lost", "failed after its effect"),
        ] {
            let mut unheard = troubled;
            if !self.act(&mut unheard, job, extent) {
                continue;
            }
            let mut told = unheard;
            self.failed(&mut unheard, job.attempt);
            steps.trouble(lost, unheard);
            self.observe(&mut told);
            self.failed(&mut told, job.attempt);
            steps.trouble(failed, told);
        }
        let mut frozen = State { late: Some(job), ..troubled };
        self.failed(&mut frozen, job.attempt);
        steps.trouble("frozen on its way and lost", frozen);
    }

    fn late_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        steps.work("a late job expires", State { late: None, ..*s });
        let mut acted = State { late: None, ..*s };
        let before = acted.guest;
        self.act(&mut acted, job, Extent::Whole);
        acted.drifted |= acted.guest != before;
        if acted.open.is_some() {
            steps.trouble("a late job acts", acted);
        } else {
            self.advance(&mut acted, 1);
            steps.trouble_at_rest("a late job acts", acted);
        }
    }

    fn wish_steps(&self, s: &State, steps: &mut Steps<State>) {
        let wish = |change: &dyn Fn(&mut State)| {
            let mut changed = State { wishes: s.wishes - 1, failed: false, ..*s };
            change(&mut changed);
            self.advance(&mut changed, 1);
            changed
        };
        match s.vif {
            None => {
                // Its network and its host's policy get versions that nobody serves yet.
                let to = wish(&|s| {
                    s.vif = Some(Vif { leaving: false, asked: false });
                    s.ready = false;
                });
                steps.wish("attach", to);
            }
            Some(_) => {
                let to = wish(&|s| {
                    s.vif = s.vif.map(|vif| Vif { leaving: true, ..vif });
                    s.generation += 1;
                });
                steps.wish("detach", to);
            }
        }
        let to = wish(&|s| {
            s.on = !s.on;
            s.generation += 1;
        });
        steps.wish(if s.on { "power off" } else { "power on" }, to);
    }

    fn rest_steps(&self, s: &State, steps: &mut Steps<State>) {
        let mut told = *s;
        self.observe(&mut told);
        if (told.power, told.plugged, told.seen_generation) != (s.power, s.plugged, s.seen_generation) {
            self.advance(&mut told, 1);
            steps.work("an inventory", told);
        }
        if s.troubles > 0 && s.guest.power {
            let mut stopped = State { troubles: s.troubles - 1, drifted: true, ..*s };
            (stopped.guest.power, stopped.guest.live) = (false, false);
            steps.trouble_at_rest("the host restarts, its guests are off", stopped);
        }
    }
}

impl Model for Interfaces {
    type State = State;

    fn start(&self) -> Vec<State> {
        let guest = Guest { generation: 1, applied: 1, power: true, kept: false, live: false };
        vec![State {
            on: true,
            generation: 1,
            vif: None,
            ready: false,
            failed: false,
            power: Fact::Yes,
            plugged: Fact::No,
            seen_generation: 1,
            drifted: false,
            open: None,
            late: None,
            guest,
            wishes: self.wishes,
            troubles: self.troubles,
            broken: None,
        }]
    }

    fn follow(&self, s: &State, steps: &mut Steps<State>) {
        match s.open {
            Some(job) => self.job_steps(s, job, steps),
            None => self.rest_steps(s, steps),
        }
        if let Some(late) = s.late {
            self.late_steps(s, late, steps);
        }
        if s.vif.is_some() && !s.ready {
            let mut ready = State { ready: true, ..*s };
            self.advance(&mut ready, 1);
            steps.work("network and policy are applied", ready);
        }
        if s.troubles > 0 && s.ready && s.open.is_some() {
            let mut forgot = State { ready: false, troubles: s.troubles - 1, ..*s };
            self.advance(&mut forgot, 1);
            steps.trouble("the naming service says hello", forgot);
        }
        if s.wishes > 0 {
            self.wish_steps(s, steps);
        }
    }

    fn look_again(&self, s: &mut State) {
        self.advance(s, 1);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        let has = s.guest.kept || s.guest.live;
        let sure = match s.plugged {
            Fact::Yes => !(s.guest.kept && (s.guest.live || !s.guest.power)),
            Fact::No => has,
            Fact::Maybe => false,
        };
        match s.broken {
            Some(what) => Some(what),
            None if s.vif.is_none() && has => Some("an interface left its machine and is in it"),
            None if s.vif.is_some() && sure && !s.drifted => Some("a sure fact is not so"),
            None => None,
        }
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let wanted = s.vif.is_some_and(|vif| !vif.leaving);
        match s.vif {
            _ if s.failed && s.troubles == self.troubles => Some("failed without a trouble"),
            _ if s.failed => None,
            _ if s.guest.power != s.on => Some("not switched as wished"),
            Some(vif) if vif.leaving => Some("an interface that is to leave stays without a word"),
            _ if s.guest.kept && !wanted => Some("the definition has what is not wished"),
            // What it is to have comes with its start at the latest.
            _ if s.on && s.guest.kept != wanted => Some("the definition does not have what is wished"),
            _ if s.on && s.guest.live != wanted => Some("the guest does not have what is wished"),
            _ => None,
        }
    }
}

#[test]
fn every_history_of_an_interface_ends_as_wished_or_says_why() {
    let model = Interfaces { sabotage: Sabotage::None, wishes: 4, troubles: 3 };
    assert_right("interface", &model, Least { states: 10_000, quiet: 300, settled_within: 10 });
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_an_interface() {
    for sabotage in [
        Sabotage::DropMaybe,
        Sabotage::SkipGenerationCheck,
        Sabotage::ForgetDisks,
        Sabotage::BelieveOlderLook,
        Sabotage::PlugBeforePort,
    ] {
        assert_found(&format!("interface, {sabotage:?}"), &Interfaces { sabotage, wishes: 4, troubles: 3 });
    }
}
