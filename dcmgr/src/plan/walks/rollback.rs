//! Every history of rollbacks of one volume: asked for, used and written to, asked for again; outcomes lost, failed, late;
//! cut short within its effect; a database that went back to the moment when one was open.
//!
//! The volume is there all the time: its creation and deletion are `volume`'s. What counts is the customer's data: what he
//! wrote after a rollback was over is never undone by it, whatever arrives when.

use super::Sabotage;
use crate::plan::rollback::{Found, Next, Surroundings, Wish, next};
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};
use crate::plan::{Kind, Open, Step, Wanted, step};

const ATTEMPTS_MAX: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Job {
    kind: Kind,
    generation: u8,
    operation: u8,
    attempt: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ended {
    Never,
    /// By this operation.
    Done(u8),
    Failed,
}

/// What the database knows. Operation 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Rows {
    generation: u8,
    asked: u8,
    operation: u8,
    ended: Ended,
    attached: bool,
    found_operation: u8,
    found_generation: u8,
    open: Option<Job>,
}

/// The storage node, and what the customer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    carries: u8,
    operation: u8,
    exported: bool,
    /// It holds what the snapshot holds.
    is_old: bool,
    /// Operations that had been asked for when he wrote last: only a later one may undo that.
    written_after: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    rows: Rows,
    world: World,
    saved: Option<Rows>,
    late: Option<Job>,
    operations: u8,
    wishes: u8,
    troubles: u8,
    went_back: bool,
    broken: Option<&'static str>,
}

enum Answer {
    Done,
    Refused(u8),
    Failed,
}

struct Rollbacks {
    sabotage: Sabotage,
    wishes: u8,
    troubles: u8,
}

impl Rollbacks {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    fn advance(&self, s: &mut State, attempt: u8) {
        let rows = &mut s.rows;
        if rows.operation == 0 {
            return;
        }
        let wish = Wish { generation: rows.generation.into(), asked: rows.asked.into() };
        let operation = rows.found_operation == rows.operation;
        let found = Found { operation, generation: rows.found_generation.into() };
        let around = Surroundings { attached: rows.attached, newer_snapshots: false };
        let wanted = match next(wish, found, around) {
            Next::Done => return (rows.operation, rows.ended) = (0, Ended::Done(rows.operation)),
            Next::GivenUp => return (rows.operation, rows.ended) = (0, Ended::Failed),
            Next::Wait => return,
            Next::Do(wanted) if wanted.kind == Kind::MarkVolume && self.is(Sabotage::ReleaseWithoutMark) => {
                return (rows.operation, rows.ended) = (0, Ended::Failed);
            }
            Next::Do(wanted) => wanted,
        };
        let open = rows.open.map(|job| Open { kind: job.kind, generation: job.generation.into() });
        match step(open, Some(wanted)) {
            Step::Nothing => {}
            Step::Insert(wanted) => self.queue(s, wanted, attempt),
            Step::Supersede(wanted) => {
                s.late = s.rows.open;
                self.queue(s, wanted, attempt);
            }
        }
    }

    fn queue(&self, s: &mut State, wanted: Wanted, attempt: u8) {
        let generation = u8::try_from(wanted.generation).unwrap_or(u8::MAX);
        s.rows.open = Some(Job { kind: wanted.kind, generation, operation: s.rows.operation, attempt });
    }

    fn observe(&self, s: &mut State) {
        (s.rows.found_operation, s.rows.found_generation) = (s.world.operation, s.world.carries);
    }

    fn failed(&self, s: &mut State, job: Job) {
        if job.kind.never_gives_up() {
            return self.advance(s, job.attempt);
        }
        if job.attempt < ATTEMPTS_MAX {
            return self.advance(s, job.attempt + 1);
        }
        s.rows.generation = s.rows.generation.max(s.rows.asked + 1);
        self.advance(s, 1);
    }

    fn act(&self, s: &mut State, job: Job) -> Answer {
        let world = &mut s.world;
        let rolls_back = job.kind == Kind::RollBackVolume;
        if rolls_back && world.operation == job.operation && !self.is(Sabotage::IgnoreOperation) {
            return Answer::Done;
        }
        if world.carries > job.generation && !self.is(Sabotage::SkipGenerationCheck) {
            return Answer::Refused(world.carries);
        }
        if !rolls_back {
            world.carries = job.generation;
            return Answer::Done;
        }
        if world.exported && !self.is(Sabotage::RollBackInUse) {
            return Answer::Failed;
        }
        self.undo(s, job);
        (s.world.carries, s.world.operation) = (job.generation, job.operation);
        Answer::Done
    }

    /// The bytes of the effect.
    fn undo(&self, s: &mut State, job: Job) {
        if job.operation <= s.world.written_after {
            s.broken = Some("data written after the rollback was undone");
        }
        if s.world.exported {
            s.broken = Some("bytes were changed under a guest");
        }
        s.world.is_old = true;
    }

    fn job_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        let without = State { rows: Rows { open: None, ..s.rows }, ..*s };
        let mut known = without;
        let answer = self.act(&mut known, job);
        self.observe(&mut known);
        match answer {
            Answer::Done => self.advance(&mut known, 1),
            Answer::Failed => self.failed(&mut known, job),
            Answer::Refused(found) => {
                known.rows.generation = known.rows.generation.max(found) + 1;
                if self.is(Sabotage::PlanAtNewGeneration) {
                    known.rows.asked = known.rows.generation;
                }
                self.advance(&mut known, job.attempt);
            }
        }
        steps.job(job.kind.as_str(), known);
        if s.troubles == 0 {
            return;
        }
        let troubles = s.troubles - 1;
        steps.trouble("delivered twice, once late", State { troubles, late: Some(job), ..known });
        let mut done = State { troubles, ..*s };
        self.act(&mut done, job);
        steps.trouble("crashed after the effect, rung again", done);
        if job.kind == Kind::RollBackVolume && done.world != s.world {
            let mut half = State { troubles, ..*s };
            self.undo(&mut half, job);
            steps.trouble("crashed within the effect, rung again", half);
        }
        for (world, lost, told) in [
            (s.world, "never arrived", "failed before its effect"),
            (done.world, "done and lost", "failed after its effect"),
        ] {
            let mut unheard = State { troubles, world, ..without };
            self.failed(&mut unheard, job);
            steps.trouble(lost, unheard);
            let mut heard = State { troubles, world, ..without };
            self.observe(&mut heard);
            self.failed(&mut heard, job);
            steps.trouble(told, heard);
        }
        let mut frozen = State { troubles, late: Some(job), ..without };
        self.failed(&mut frozen, job);
        steps.trouble("frozen on its way and lost", frozen);
    }

    /// An export that no attachment knows of, and its removal by rule.
    fn export_steps(&self, s: &State, steps: &mut Steps<State>) {
        if s.rows.attached {
            return;
        }
        let world = World { exported: !s.world.exported, ..s.world };
        let changed = State { world, ..*s };
        if s.world.exported {
            steps.work("a left-over export is removed", changed);
        } else if s.troubles > 0 {
            let changed = State { troubles: s.troubles - 1, ..changed };
            match s.rows.open {
                Some(_) => steps.trouble("an old export turns up", changed),
                None => steps.trouble_at_rest("an old export turns up", changed),
            }
        }
    }

    fn wish_steps(&self, s: &State, steps: &mut Steps<State>) {
        let wished = State { wishes: s.wishes - 1, ..*s };
        let free = s.rows.operation == 0 || self.is(Sabotage::AttachWhileReverting);
        if s.rows.attached {
            let mut detached = wished;
            (detached.rows.attached, detached.world.exported) = (false, false);
            self.advance(&mut detached, 1);
            steps.wish("detach", detached);
        } else if free {
            let mut attached = wished;
            attached.rows.attached = true;
            attached.world = World { exported: true, is_old: false, written_after: s.operations, ..s.world };
            steps.wish("attach and write", attached);
        }
        if !s.rows.attached && s.rows.operation == 0 {
            let mut asked = wished;
            asked.operations += 1;
            let generation = s.rows.generation + 1;
            asked.rows = Rows { generation, asked: generation, operation: asked.operations, ..s.rows };
            self.advance(&mut asked, 1);
            steps.wish("ask for a rollback", asked);
        }
    }
}

impl Model for Rollbacks {
    type State = State;

    fn start(&self) -> Vec<State> {
        let rows = Rows {
            generation: 1,
            asked: 0,
            operation: 0,
            ended: Ended::Never,
            attached: false,
            found_operation: 0,
            found_generation: 1,
            open: None,
        };
        vec![State {
            rows,
            world: World { carries: 1, operation: 0, exported: false, is_old: false, written_after: 0 },
            saved: None,
            late: None,
            operations: 0,
            wishes: self.wishes,
            troubles: self.troubles,
            went_back: false,
            broken: None,
        }]
    }

    fn follow(&self, s: &State, steps: &mut Steps<State>) {
        match s.rows.open {
            Some(job) => self.job_steps(s, job, steps),
            None if (s.rows.found_operation, s.rows.found_generation) != (s.world.operation, s.world.carries) => {
                let mut told = *s;
                self.observe(&mut told);
                self.advance(&mut told, 1);
                steps.work("an inventory", told);
            }
            None => {}
        }
        if let Some(late) = s.late {
            steps.work("a late job expires", State { late: None, ..*s });
            let mut acted = State { late: None, ..*s };
            self.act(&mut acted, late);
            match s.rows.open {
                Some(_) => steps.trouble("a late job acts", acted),
                None => steps.trouble_at_rest("a late job acts", acted),
            }
        }
        if s.wishes > 0 {
            self.wish_steps(s, steps);
        }
        self.export_steps(s, steps);
        if s.saved.is_none() && !s.went_back && s.rows.operation != 0 {
            steps.wish("the database is put aside", State { saved: Some(s.rows), ..*s });
        }
        if let Some(saved) = s.saved
            && s.troubles > 0
        {
            // A message of the forgotten time is of an epoch that agents hold back (DESIGN 3.6); older ones still come.
            let late = s.rows.open.or(s.late).filter(|late| late.generation <= saved.generation);
            let troubles = s.troubles - 1;
            let back = State { rows: saved, saved: None, late, troubles, went_back: true, ..*s };
            match saved.open {
                Some(_) => steps.trouble("the database goes back", back),
                None => steps.trouble_at_rest("the database goes back", back),
            }
        }
    }

    fn look_again(&self, s: &mut State) {
        self.advance(s, 1);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        let used = s.rows.attached && s.rows.operation != 0 && !self.is(Sabotage::AttachWhileReverting);
        s.broken.or(used.then_some("somebody uses the volume while its rollback is open"))
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let untroubled = s.troubles == self.troubles;
        match s.rows.ended {
            _ if s.rows.operation != 0 => Some("a rollback is open for ever"),
            Ended::Failed if untroubled => Some("given up without a trouble"),
            Ended::Done(operation) if !s.world.is_old && operation > s.world.written_after => {
                Some("told done, and it did not happen")
            }
            Ended::Never | Ended::Done(_) | Ended::Failed => None,
        }
    }
}

#[test]
fn every_history_of_a_rollback_ends_and_undoes_nothing_that_was_written_after_it() {
    let model = Rollbacks { sabotage: Sabotage::None, wishes: 6, troubles: 4 };
    assert_right("rollback", &model, Least { states: 2_000, quiet: 100, settled_within: 6 });
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_a_rollback() {
    for sabotage in [
        Sabotage::SkipGenerationCheck,
        Sabotage::IgnoreOperation,
        Sabotage::ReleaseWithoutMark,
        Sabotage::PlanAtNewGeneration,
        Sabotage::AttachWhileReverting,
        Sabotage::RollBackInUse,
    ] {
        assert_found(&format!("rollback, {sabotage:?}"), &Rollbacks { sabotage, wishes: 6, troubles: 4 });
    }
}
