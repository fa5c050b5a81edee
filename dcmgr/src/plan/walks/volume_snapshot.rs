//! Every history of a volume's snapshot: taken, deleted, its volume deleted with it, another volume made of it; outcomes
//! lost, failed and late; the snapshot lost. A snapshot appears whole or not at all, so there is no effect half done.

use super::{Sabotage, is_false, seen};
use crate::plan::volume;
use crate::plan::volume_snapshot::{Surroundings, Wish, next_job};
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

/// A volume that is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Clone {
    No,
    Asked,
    /// It is there, or was given up: it needs the snapshot no more.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    wanted: bool,
    generation: u8,
    was_present: bool,
    failed: bool,
    present: Fact,
    drifted: bool,
    volume_wanted: bool,
    clone: Clone,
    open: Option<Job>,
    late: Option<Job>,
    /// The store: the volume, the snapshot, its generation, the generation it was deleted with.
    volume_exists: bool,
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
    Failed,
}

struct Snapshots {
    sabotage: Sabotage,
    wishes: u8,
    troubles: u8,
}

impl Snapshots {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    fn advance(&self, s: &mut State, attempt: u8) {
        let around = Surroundings {
            was_present: s.was_present && !self.is(Sabotage::CreateAgain),
            ready: s.volume_wanted,
            needed: s.clone == Clone::Asked && !self.is(Sabotage::DeleteUnderClone),
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
            Kind::CreateSnapshot if s.was_present => s.broken = Some("a snapshot that held data is to be taken again"),
            Kind::DeleteSnapshot if s.wanted && s.was_present => s.broken = Some("a snapshot is to be deleted unasked"),
            _ => {}
        }
        if wanted.kind != Kind::ObserveSnapshot && !self.is(Sabotage::DropMaybe) {
            s.present = Fact::Maybe;
        }
        let generation = u8::try_from(wanted.generation).unwrap_or(u8::MAX);
        s.open = Some(Job { kind: wanted.kind, generation, attempt, still_open: false });
    }

    fn observe(&self, s: &mut State) {
        s.present = seen(s.exists);
        s.drifted = false;
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
        if !self.is(Sabotage::SkipGenerationCheck) && job.kind != Kind::ObserveSnapshot {
            if s.exists && s.carries > job.generation {
                return Answer::Refused(s.carries);
            }
            if job.kind == Kind::CreateSnapshot && s.grave >= job.generation {
                return Answer::Refused(s.grave);
            }
        }
        match job.kind {
            Kind::CreateSnapshot if s.exists => s.carries = job.generation,
            Kind::CreateSnapshot if !s.volume_exists => return Answer::Failed,
            Kind::CreateSnapshot => {
                if s.was_present {
                    s.broken = Some("a snapshot of another moment was taken in the name of one that held data");
                }
                s.exists = true;
                s.carries = job.generation;
            }
            Kind::DeleteSnapshot => {
                if s.exists && s.clone == Clone::Asked {
                    s.broken = Some("a snapshot was deleted under the volume that is being made of it");
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
            Answer::Failed => self.failed(&mut known, job),
            Answer::Refused(found) => {
                known.generation = known.generation.max(found) + 1;
                self.advance(&mut known, job.attempt);
            }
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

    /// Its volume goes when its plan says so. The agent looks as well: what no row knows holds it, too.
    fn volume_steps(&self, s: &State, steps: &mut Steps<State>) {
        let gone = !s.wanted && s.present == Fact::No && s.open.is_none();
        let snapshots = !gone && !self.is(Sabotage::DeleteUnderSnapshots);
        let around = volume::Surroundings { was_present: true, attached: false, snapshots, failed: false };
        let wish = volume::Wish { wanted: s.volume_wanted, generation: 2 };
        if volume::next_job(wish, seen(s.volume_exists), around).is_some() {
            let broken = s.exists && self.is(Sabotage::DeleteUnderSnapshots);
            let broken = s.broken.or(broken.then_some("a volume was deleted under its snapshot"));
            let held = s.exists && broken.is_none();
            if !held {
                steps.work("the volume is deleted", State { volume_exists: false, broken, ..*s });
            }
        }
    }

    /// What is made of it appears, or is given up because it is gone. Either way it advances.
    fn clone_steps(&self, s: &State, steps: &mut Steps<State>) {
        if s.clone != Clone::Asked {
            return;
        }
        let mut over = State { clone: Clone::Over, ..*s };
        if !self.is(Sabotage::ForgetWhoWaits) {
            self.advance(&mut over, 1);
        }
        steps.work("the volume that is made of it is there or given up", over);
    }
}

impl Model for Snapshots {
    type State = State;

    fn start(&self) -> Vec<State> {
        let mut start = State {
            wanted: true,
            generation: 1,
            was_present: false,
            failed: false,
            present: Fact::No,
            drifted: false,
            volume_wanted: true,
            clone: Clone::No,
            open: None,
            late: None,
            volume_exists: true,
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
            None if s.present != seen(s.exists) => {
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
        self.volume_steps(s, steps);
        self.clone_steps(s, steps);
        if s.troubles > 0 {
            let troubled = State { troubles: s.troubles - 1, ..*s };
            if s.exists {
                let lost = State { exists: false, drifted: true, late: None, ..troubled };
                match s.open {
                    Some(_) => steps.trouble("it is lost", lost),
                    None => steps.trouble_at_rest("it is lost", lost),
                }
            }
            if s.open.is_none() && self.is(Sabotage::ConcludeFromIncompleteListing) {
                let mut told = State { present: Fact::No, ..troubled };
                self.advance(&mut told, 1);
                steps.trouble_at_rest("an inventory whose pool is not imported", told);
            }
        }
        if s.wishes == 0 || !s.wanted {
            return;
        }
        if s.clone == Clone::No && s.present == Fact::Yes {
            steps.wish("a volume is made of it", State { wishes: s.wishes - 1, clone: Clone::Asked, ..*s });
        }
        for (label, volume_wanted) in [("delete", s.volume_wanted), ("delete with its volume", false)] {
            let mut deleted = State { wishes: s.wishes - 1, wanted: false, failed: false, volume_wanted, ..*s };
            deleted.generation += 1;
            self.advance(&mut deleted, 1);
            steps.wish(label, deleted);
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
            (false, true) => Some("a deleted snapshot is left"),
            (false, false) if !s.volume_wanted && s.volume_exists => Some("the volume waits for nothing"),
            (false, false) => None,
            (true, true) if !s.failed => None,
            (true, true) if !s.was_present => Some("one that was given up left something"),
            (true, false) if !s.failed && !s.was_present => Some("never taken"),
            _ if untroubled => Some("lost or failed without a trouble"),
            _ => None,
        }
    }
}

#[test]
fn every_history_of_a_snapshot_ends_as_wished_and_none_is_taken_twice() {
    let model = Snapshots { sabotage: Sabotage::None, wishes: 2, troubles: 4 };
    assert_right("volume snapshot", &model, Least { states: 500, quiet: 50, settled_within: 5 });
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_a_snapshot() {
    for sabotage in [
        Sabotage::DropMaybe,
        Sabotage::SkipGenerationCheck,
        Sabotage::SettleLateOutcome,
        Sabotage::ForgetToSupersede,
        Sabotage::ConcludeFromIncompleteListing,
        Sabotage::CreateAgain,
        Sabotage::DeleteUnderSnapshots,
        Sabotage::DeleteUnderClone,
        Sabotage::ForgetWhoWaits,
    ] {
        assert_found(&format!("volume snapshot, {sabotage:?}"), &Snapshots { sabotage, wishes: 2, troubles: 4 });
    }
}
