//! Every history of an image on one storage node: imported or uploaded, unwanted, wanted again; outcomes lost, failed and
//! late; its bytes lost. A seeded or registered image is made again from its source: nothing of it is ever lost for good.
//! An uploaded one waits until its bytes are brought (again).

use super::{Sabotage, is_false, seen};
use crate::plan::image::{Wish, next_job};
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
struct State {
    wanted: bool,
    generation: u8,
    /// Somebody has to bring the bytes; `offered` is the generation at which somebody does.
    uploaded: bool,
    offered: u8,
    failed: bool,
    present: Fact,
    seen_generation: u8,
    drifted: bool,
    open: Option<Job>,
    late: Option<Job>,
    exists: bool,
    carries: u8,
    grave: u8,
    wishes: u8,
    troubles: u8,
}

struct Images {
    sabotage: Sabotage,
    wishes: u8,
    troubles: u8,
}

impl Images {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    fn advance(&self, s: &mut State, attempt: u8) {
        let older = s.present == Fact::Yes && s.seen_generation < s.generation;
        let present = if older { Fact::Maybe } else { s.present };
        let offered = s.offered == s.generation || self.is(Sabotage::ImportBeforeOffer);
        // What is there already needs nobody's bytes to be marked anew.
        let obtainable = !s.uploaded || offered || s.present == Fact::Yes;
        let wish = Wish { wanted: s.wanted, generation: s.generation.into(), obtainable, failed: s.failed };
        let open = s.open.map(|job| Open { kind: job.kind, generation: job.generation.into() });
        match step(open, next_job(wish, present)) {
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
        if !self.is(Sabotage::DropMaybe) {
            s.present = Fact::Maybe;
        }
        let generation = u8::try_from(wanted.generation).unwrap_or(u8::MAX);
        s.open = Some(Job { kind: wanted.kind, generation, attempt, still_open: false });
    }

    fn observe(&self, s: &mut State) {
        s.present = seen(s.exists);
        s.seen_generation = if s.exists { s.carries } else { 0 };
        s.drifted = false;
        s.failed &= !s.exists;
        if s.exists {
            // They came: nobody brings them any more.
            s.offered = 0;
        }
    }

    fn failed(&self, s: &mut State, job: Job) {
        // An upload that broke off does not come again by itself.
        if job.kind == Kind::ImportImage && (job.attempt >= ATTEMPTS_MAX || s.uploaded) {
            s.failed = true;
            return self.advance(s, 1);
        }
        self.advance(s, if job.kind == Kind::ImportImage { job.attempt + 1 } else { job.attempt });
    }

    /// Answers the generation found when the job is older than that.
    fn act(&self, s: &mut State, job: Job) -> Option<u8> {
        if !self.is(Sabotage::SkipGenerationCheck) {
            if s.exists && s.carries > job.generation {
                return Some(s.carries);
            }
            if job.kind == Kind::ImportImage && s.grave >= job.generation {
                return Some(s.grave);
            }
        }
        s.exists = job.kind == Kind::ImportImage;
        match s.exists {
            true => s.carries = job.generation,
            false => s.grave = s.grave.max(job.generation),
        }
        None
    }

    fn job_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        if job.kind == Kind::ImportImage && s.uploaded && s.offered != job.generation && !s.exists {
            // Nobody brings the bytes.
            let mut unmet = State { open: None, ..*s };
            self.observe(&mut unmet);
            self.failed(&mut unmet, job);
            return steps.work("an upload that nobody brings", unmet);
        }
        let mut known = State { open: None, ..*s };
        let refused = self.act(&mut known, job);
        self.observe(&mut known);
        if let Some(found) = refused {
            known.generation = known.generation.max(found) + 1;
        }
        self.advance(&mut known, 1);
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
            acted.drifted |= acted.exists != s.exists || acted.carries != s.carries;
        }
        if acted.open.is_some() {
            steps.trouble("a late job acts", acted);
        } else {
            self.advance(&mut acted, 1);
            steps.trouble_at_rest("a late job acts", acted);
        }
    }
}

impl Model for Images {
    type State = State;

    fn start(&self) -> Vec<State> {
        let mut start = State {
            wanted: true,
            generation: 1,
            uploaded: false,
            offered: 0,
            failed: false,
            present: Fact::No,
            seen_generation: 0,
            drifted: false,
            open: None,
            late: None,
            exists: false,
            carries: 0,
            grave: 0,
            wishes: self.wishes,
            troubles: self.troubles,
        };
        let mut waits = State { uploaded: true, ..start };
        self.advance(&mut start, 1);
        self.advance(&mut waits, 1);
        vec![start, waits]
    }

    fn follow(&self, s: &State, steps: &mut Steps<State>) {
        match s.open {
            Some(job) => self.job_steps(s, job, steps),
            None if s.present != seen(s.exists) || (s.exists && s.seen_generation != s.carries) => {
                let mut told = *s;
                self.observe(&mut told);
                self.advance(&mut told, 1);
                steps.work("an inventory", told);
            }
            None => {}
        }
        if let Some(late) = s.late {
            self.late_steps(s, late, steps);
        }
        if s.troubles > 0 && s.exists {
            let lost = State { troubles: s.troubles - 1, exists: false, drifted: true, ..*s };
            match s.open {
                Some(_) => steps.trouble("its bytes are lost", lost),
                None => steps.trouble_at_rest("its bytes are lost", lost),
            }
        }
        if s.troubles > 0 && s.open.is_none() && self.is(Sabotage::ConcludeFromIncompleteListing) {
            let mut told = State { troubles: s.troubles - 1, present: Fact::No, ..*s };
            self.advance(&mut told, 1);
            steps.trouble_at_rest("an incomplete inventory", told);
        }
        if s.wishes > 0 && s.wanted && s.uploaded && !s.exists {
            let generation = s.generation + 1;
            let mut brought = State { generation, offered: generation, failed: false, wishes: s.wishes - 1, ..*s };
            self.advance(&mut brought, 1);
            steps.wish("its bytes are brought", brought);
        }
        if s.wishes > 0 {
            let wanted = !s.wanted;
            let mut changed = State { wanted, generation: s.generation + 1, failed: false, wishes: s.wishes - 1, ..*s };
            self.advance(&mut changed, 1);
            steps.wish(if wanted { "wanted again" } else { "delete" }, changed);
        }
    }

    fn look_again(&self, s: &mut State) {
        self.advance(s, 1);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        (!s.drifted && is_false(s.present, s.exists)).then_some("a sure fact is not so")
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        match (s.wanted, s.exists) {
            (false, true) => Some("a deleted image is left"),
            (false, false) => None,
            (true, _) if s.failed && s.troubles == self.troubles => Some("failed without a trouble"),
            (true, _) if s.failed => None,
            (true, false) if s.uploaded && s.offered != s.generation => None,
            (true, true) if s.carries >= s.generation => None,
            (true, _) => Some("not there as wished"),
        }
    }
}

#[test]
fn every_history_of_an_image_ends_as_wished_or_says_why() {
    let model = Images { sabotage: Sabotage::None, wishes: 3, troubles: 4 };
    assert_right("image", &model, Least { states: 1_000, quiet: 100, settled_within: 4 });
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_an_image() {
    for sabotage in [
        Sabotage::DropMaybe,
        Sabotage::SettleLateOutcome,
        Sabotage::ForgetToSupersede,
        Sabotage::ConcludeFromIncompleteListing,
        Sabotage::ImportBeforeOffer,
    ] {
        assert_found(&format!("image, {sabotage:?}"), &Images { sabotage, wishes: 3, troubles: 4 });
    }
}
