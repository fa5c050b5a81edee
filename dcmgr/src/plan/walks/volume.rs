//! Every history of a volume: created, attached, detached, deleted; outcomes lost, failed and late; its pool lost.
//!
//! What an attachment does is `meeting`'s, what snapshots do `volume_snapshot`'s, a rollback has its own; here an
//! attachment is a thing that stands in the way of a delete. A volume appears whole
//! or not at all (DESIGN 3.9), so there is no effect half done.

use super::{Sabotage, is_false, seen};
use crate::plan::volume::{Surroundings, Wish, next_job};
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};
use crate::plan::{Kind, Open, Step, Wanted, step};
use arame_schema::model::Fact;

const ATTEMPTS_MAX: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Job {
    kind: Kind,
    generation: u8,
    attempt: u8,
    still_open: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Attached {
    No,
    Yes,
    Leaving,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    wanted: bool,
    generation: u8,
    was_present: bool,
    failed: bool,
    attached: Attached,
    present: Fact,
    drifted: bool,
    open: Option<Job>,
    late: Option<Job>,
    /// The store: the volume, its generation, the generation it was deleted with.
    exists: bool,
    carries: u8,
    grave: u8,
    wishes: u8,
    troubles: u8,
    broken: Option<&'static str>,
}

enum Answer {
    Done,
    Refused(u8),
    Exported,
}

struct Volumes {
    sabotage: Sabotage,
    wishes: u8,
    troubles: u8,
}

impl Volumes {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    fn advance(&self, s: &mut State, attempt: u8) {
        let around = Surroundings {
            was_present: s.was_present && !self.is(Sabotage::CreateAgain),
            attached: s.attached != Attached::No && !self.is(Sabotage::DeleteWhileAttached),
            snapshots: false,
            failed: s.failed,
        };
        let wish = Wish { wanted: s.wanted, generation: s.generation.into() };
        let open = s.open.map(|job| Open { kind: job.kind, generation: job.generation.into() });
        match step(open, next_job(wish, s.present, around)) {
            Step::Nothing => {}
            Step::Insert(wanted) => self.queue(s, wanted, attempt),
            Step::Supersede(wanted) => {
                let still_open = self.is(Sabotage::ForgetToSupersede);
                s.late = s.open.map(|job| Job { still_open, ..job });
                self.queue(s, wanted, attempt);
            }
        }
    }

    fn queue(&self, s: &mut State, wanted: Wanted, attempt: u8) {
        match wanted.kind {
            Kind::CreateVolume if s.was_present => s.broken = Some("what held data is to be created again"),
            Kind::DeleteVolume if s.attached != Attached::No => s.broken = Some("an attached volume is to be deleted"),
            Kind::DeleteVolume if s.wanted && s.was_present => s.broken = Some("data is to be deleted unasked"),
            _ => {}
        }
        if wanted.kind != Kind::ObserveVolume && !self.is(Sabotage::DropMaybe) {
            s.present = Fact::Maybe;
        }
        let generation = u8::try_from(wanted.generation).unwrap_or(u8::MAX);
        s.open = Some(Job { kind: wanted.kind, generation, attempt, still_open: false });
    }

    fn observe(&self, s: &mut State) {
        s.present = seen(s.exists);
        s.drifted = false;
        // A creation that was given up is not data, whatever is still found of it.
        s.was_present |= s.exists && !s.failed;
    }

    fn failed(&self, s: &mut State, job: Job) {
        if job.kind.never_gives_up() {
            return self.advance(s, job.attempt);
        }
        if job.attempt < ATTEMPTS_MAX {
            return self.advance(s, job.attempt + 1);
        }
        s.failed = true;
        self.advance(s, 1);
    }

    fn act(&self, s: &mut State, job: Job) -> Answer {
        if !self.is(Sabotage::SkipGenerationCheck) && job.kind != Kind::ObserveVolume {
            if s.exists && s.carries > job.generation {
                return Answer::Refused(s.carries);
            }
            if job.kind == Kind::CreateVolume && s.grave >= job.generation {
                return Answer::Refused(s.grave);
            }
        }
        match job.kind {
            Kind::CreateVolume => {
                if !s.exists && s.was_present {
                    s.broken = Some("something blank was made in the name of a volume that held data");
                }
                s.exists = true;
                s.carries = job.generation;
            }
            Kind::DeleteVolume if s.attached != Attached::No => return Answer::Exported,
            Kind::DeleteVolume => {
                if s.exists && s.wanted && s.was_present {
                    s.broken = Some("data was deleted unasked");
                }
                s.exists = false;
                s.grave = s.grave.max(job.generation);
            }
            _ => {}
        }
        Answer::Done
    }

    fn job_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        let mut known = State { open: None, ..*s };
        let answer = self.act(&mut known, job);
        self.observe(&mut known);
        match answer {
            Answer::Done => self.advance(&mut known, 1),
            Answer::Refused(found) => {
                known.generation = known.generation.max(found) + 1;
                self.advance(&mut known, job.attempt);
            }
            Answer::Exported => self.failed(&mut known, job),
        }
        steps.job(job.kind.as_str(), known);
        if s.troubles == 0 {
            return;
        }
        steps.trouble("delivered twice, once late", State { troubles: s.troubles - 1, late: Some(job), ..known });
        let troubled = State { troubles: s.troubles - 1, ..*s };
        let mut done = troubled;
        self.act(&mut done, job);
        steps.trouble("crashed after the effect, rung again", done);
        for (world, lost, told) in [
            (troubled, "never arrived", "failed before its effect"),
            (done, "done and lost", "failed after its effect"),
        ] {
            let mut unheard = State { open: None, ..world };
            self.failed(&mut unheard, job);
            steps.trouble(lost, unheard);
            let mut heard = State { open: None, ..world };
            self.observe(&mut heard);
            self.failed(&mut heard, job);
            steps.trouble(told, heard);
        }
        let mut frozen = State { open: None, late: Some(job), ..troubled };
        self.failed(&mut frozen, job);
        steps.trouble("frozen on its way and lost", frozen);
    }

    fn late_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        steps.work("a late job expires", State { late: None, ..*s });
        let mut acted = State { late: None, ..*s };
        self.act(&mut acted, job);
        if self.is(Sabotage::SettleLateOutcome) || job.still_open {
            self.observe(&mut acted);
        } else {
            acted.drifted |= acted.exists != s.exists;
        }
        if acted.open.is_some() {
            steps.trouble("a late job acts", acted);
        } else {
            self.advance(&mut acted, 1);
            steps.trouble_at_rest("a late job acts", acted);
        }
    }

    fn rest_steps(&self, s: &State, steps: &mut Steps<State>) {
        if s.present != seen(s.exists) {
            let mut told = *s;
            self.observe(&mut told);
            self.advance(&mut told, 1);
            steps.work("an inventory", told);
        }
        if s.troubles > 0 && self.is(Sabotage::ConcludeFromIncompleteListing) {
            let mut told = State { troubles: s.troubles - 1, present: Fact::No, ..*s };
            self.advance(&mut told, 1);
            steps.trouble_at_rest("an inventory whose pool is not imported", told);
        }
    }
}

impl Model for Volumes {
    type State = State;

    fn start(&self) -> Vec<State> {
        let mut start = State {
            wanted: true,
            generation: 1,
            was_present: false,
            failed: false,
            attached: Attached::No,
            present: Fact::No,
            drifted: false,
            open: None,
            late: None,
            exists: false,
            carries: 0,
            grave: 0,
            wishes: self.wishes,
            troubles: self.troubles,
            broken: None,
        };
        self.advance(&mut start, 1);
        vec![start]
    }

    fn follow(&self, s: &State, steps: &mut Steps<State>) {
        match s.open {
            Some(job) => self.job_steps(s, job, steps),
            None => self.rest_steps(s, steps),
        }
        if let Some(late) = s.late {
            self.late_steps(s, late, steps);
        }
        if s.attached == Attached::Leaving {
            let mut closed = State { attached: Attached::No, ..*s };
            self.advance(&mut closed, 1);
            steps.work("the attachment is over", closed);
        }
        if s.troubles > 0 && s.exists {
            let lost = State { troubles: s.troubles - 1, exists: false, drifted: true, late: None, ..*s };
            match s.open {
                Some(_) => steps.trouble("its pool is lost", lost),
                None => steps.trouble_at_rest("its pool is lost", lost),
            }
        }
        if s.wishes == 0 || !s.wanted {
            return;
        }
        let wished = State { wishes: s.wishes - 1, ..*s };
        let available = s.present == Fact::Yes && s.attached == Attached::No && (!s.failed || s.was_present);
        if available {
            steps.wish("attach", State { attached: Attached::Yes, ..wished });
        }
        if s.attached == Attached::Yes {
            steps.wish("detach", State { attached: Attached::Leaving, ..wished });
        } else {
            let mut deleted = State { wanted: false, generation: s.generation + 1, failed: false, ..wished };
            self.advance(&mut deleted, 1);
            steps.wish("delete", deleted);
        }
    }

    fn look_again(&self, s: &mut State) {
        self.advance(s, 1);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        let unsound = !s.drifted && is_false(s.present, s.exists);
        s.broken.or(unsound.then_some("a sure fact is not so"))
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let untroubled = s.troubles == self.troubles;
        match (s.wanted, s.exists) {
            (false, true) => Some("a deleted volume is left"),
            (false, false) | (true, true) if !s.failed => None,
            (true, true) if !s.was_present => Some("a creation that failed left something"),
            (true, false) if !s.failed && !s.was_present => Some("never created"),
            _ if untroubled => Some("lost or failed without a trouble"),
            _ => None,
        }
    }
}

#[test]
fn every_history_of_a_volume_ends_as_wished_and_nothing_blank_is_made() {
    let model = Volumes { sabotage: Sabotage::None, wishes: 4, troubles: 4 };
    assert_right("volume", &model, Least { states: 500, quiet: 50, settled_within: 4 });
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_a_volume() {
    for sabotage in [
        Sabotage::DropMaybe,
        Sabotage::SkipGenerationCheck,
        Sabotage::SettleLateOutcome,
        Sabotage::ForgetToSupersede,
        Sabotage::ConcludeFromIncompleteListing,
        Sabotage::CreateAgain,
        Sabotage::DeleteWhileAttached,
    ] {
        assert_found(&format!("volume, {sabotage:?}"), &Volumes { sabotage, wishes: 4, troubles: 4 });
    }
}
