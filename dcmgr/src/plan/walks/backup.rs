//! Every history of a backup object: made while its volume goes, deleted at any point, its snapshot or the object lost;
//! outcomes lost, failed and late.

use super::{Sabotage, is_false, seen};
use crate::plan::backup::{Facts, Job, Surroundings, Touched, Wish, holds_volume, is_over, is_spoiled, next_job};
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};
use arame_schema::model::Fact;

const ATTEMPTS_MAX: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Open {
    job: Job,
    generation: u8,
    attempt: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    wanted: bool,
    over: bool,
    generation: u8,
    failed: bool,
    was_present: bool,
    snapshot_was_present: bool,
    object: Fact,
    snapshot: Fact,
    dropped: u8,
    drifted: bool,
    volume_wanted: bool,
    open: Option<Open>,
    late: Option<Open>,
    /// The storage node. Moments are counted: a second snapshot is of another one.
    volume_exists: bool,
    snapshot_exists: bool,
    object_exists: bool,
    carries: u8,
    grave: u8,
    moments: u8,
    wishes: u8,
    troubles: u8,
    broken: Option<&'static str>,
}

struct Backups {
    sabotage: Sabotage,
    /// A copy of another object: the volume stands for that.
    copied: bool,
    wishes: u8,
    troubles: u8,
}

enum Answer {
    Done,
    Refused(u8),
    Failed,
}

impl Backups {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    fn advance(&self, s: &mut State, attempt: u8) {
        if s.over {
            return;
        }
        let wish = Wish { wanted: s.wanted, generation: s.generation.into() };
        let facts = Facts { object: s.object, snapshot: s.snapshot, dropped_generation: s.dropped.into() };
        let create_again = self.is(Sabotage::CreateAgain);
        let around = Surroundings {
            volume: seen(s.volume_exists && s.volume_wanted),
            copied: self.copied,
            snapshot_was_present: s.snapshot_was_present && !create_again,
            was_present: s.was_present && !create_again,
            failed: s.failed,
        };
        if is_over(wish, facts) && s.open.is_none() {
            s.over = true;
            return;
        }
        if wish.wanted && !s.failed && is_spoiled(facts, around) {
            s.failed = true;
            return self.advance(s, 1);
        }
        let Some(wanted) = next_job(wish, facts, around) else { return };
        let generation = u8::try_from(wanted.generation).unwrap_or(u8::MAX);
        if let Some(open) = s.open {
            if (open.job == wanted.job && open.generation >= generation) || wanted.job == Job::ObserveObject {
                return;
            }
            s.late = Some(open);
        }
        if wanted.job == Job::DeleteObject && s.wanted && s.was_present {
            s.broken = Some("a whole object is to be deleted unasked");
        }
        if !self.is(Sabotage::DropMaybe) {
            match wanted.job.touches() {
                Touched::Snapshot => s.snapshot = Fact::Maybe,
                Touched::Object => s.object = Fact::Maybe,
                Touched::Nothing => {}
            }
        }
        s.open = Some(Open { job: wanted.job, generation, attempt });
    }

    fn observe(&self, s: &mut State) {
        s.object = seen(s.object_exists);
        s.snapshot = seen(s.snapshot_exists);
        s.dropped = 0;
        s.drifted = false;
        s.was_present |= s.object_exists && !s.failed;
        s.snapshot_was_present |= s.snapshot_exists && !s.failed;
    }

    fn failed(&self, s: &mut State, open: Open) {
        if !open.job.kind().never_gives_up() {
            if open.attempt < ATTEMPTS_MAX {
                return self.advance(s, open.attempt + 1);
            }
            s.failed = true;
        }
        self.advance(s, 1);
    }

    fn act(&self, s: &mut State, open: Open) -> Answer {
        let exists = s.object_exists || s.snapshot_exists;
        if !self.is(Sabotage::SkipGenerationCheck) {
            if exists && s.carries > open.generation && open.job != Job::ObserveObject {
                return Answer::Refused(s.carries);
            }
            if matches!(open.job, Job::TakeSnapshot | Job::CopySnapshot) && s.grave >= open.generation {
                return Answer::Refused(s.grave);
            }
        }
        match open.job {
            Job::TakeSnapshot if s.snapshot_exists => s.carries = open.generation,
            Job::TakeSnapshot if !s.volume_exists => return Answer::Failed,
            Job::TakeSnapshot => {
                s.snapshot_exists = true;
                s.carries = open.generation;
                s.moments += 1;
            }
            Job::CopySnapshot if s.object_exists => s.carries = open.generation,
            Job::CopySnapshot if !self.copied && !s.snapshot_exists => return Answer::Failed,
            Job::CopySnapshot => {
                if s.was_present {
                    s.broken = Some("an object that was whole was made again");
                }
                if s.snapshot_was_present && s.moments > 1 && s.snapshot == Fact::No {
                    s.broken = Some("the object is of another moment");
                }
                s.object_exists = true;
                s.carries = open.generation;
            }
            Job::DropSnapshot => {
                s.snapshot_exists = false;
                s.grave = s.grave.max(open.generation);
            }
            Job::DeleteObject => {
                if s.object_exists && s.wanted && s.was_present {
                    s.broken = Some("a whole object was deleted unasked");
                }
                s.object_exists = false;
                s.grave = s.grave.max(open.generation);
            }
            Job::ObserveObject => {}
        }
        Answer::Done
    }

    fn job_steps(&self, s: &State, open: Open, steps: &mut Steps<State>) {
        let mut known = State { open: None, ..*s };
        let answer = self.act(&mut known, open);
        self.observe(&mut known);
        match answer {
            Answer::Done => {
                if open.job == Job::DropSnapshot {
                    known.dropped = open.generation;
                }
                self.advance(&mut known, 1);
            }
            Answer::Refused(found) => {
                known.generation = known.generation.max(found) + 1;
                self.advance(&mut known, open.attempt);
            }
            Answer::Failed => self.failed(&mut known, open),
        }
        steps.job(open.job.as_str(), known);
        if s.troubles == 0 {
            return;
        }
        steps.trouble("delivered twice, once late", State { troubles: s.troubles - 1, late: Some(open), ..known });
        let troubled = State { troubles: s.troubles - 1, ..*s };
        let mut done = troubled;
        self.act(&mut done, open);
        steps.trouble("crashed after the effect, rung again", done);
        for (world, lost, told) in [
            (troubled, "never arrived", "failed before its effect"),
            (done, "done and lost", "failed after its effect"),
        ] {
            let mut unheard = State { open: None, ..world };
            self.failed(&mut unheard, open);
            steps.trouble(lost, unheard);
            let mut heard = State { open: None, ..world };
            self.observe(&mut heard);
            self.failed(&mut heard, open);
            steps.trouble(told, heard);
        }
        let mut frozen = State { open: None, late: Some(open), ..troubled };
        self.failed(&mut frozen, open);
        steps.trouble("frozen on its way and lost", frozen);
    }

    fn world_steps(&self, s: &State, steps: &mut Steps<State>) {
        let mut put = |label, state| match s.open {
            Some(_) => steps.trouble(label, state),
            None => steps.trouble_at_rest(label, state),
        };
        let troubled = State { troubles: s.troubles - 1, drifted: true, late: None, ..*s };
        if s.object_exists {
            put("the object is lost", State { object_exists: false, ..troubled });
        }
        if s.snapshot_exists {
            put("the snapshot is lost", State { snapshot_exists: false, ..troubled });
        }
    }
}

impl Model for Backups {
    type State = State;

    fn start(&self) -> Vec<State> {
        let mut start = State {
            wanted: true,
            over: false,
            generation: 1,
            failed: false,
            was_present: false,
            snapshot_was_present: false,
            object: Fact::No,
            snapshot: Fact::No,
            dropped: 0,
            drifted: false,
            volume_wanted: true,
            open: None,
            late: None,
            volume_exists: true,
            snapshot_exists: false,
            object_exists: false,
            carries: 0,
            grave: 0,
            moments: 0,
            wishes: self.wishes,
            troubles: self.troubles,
            broken: None,
        };
        self.advance(&mut start, 1);
        vec![start]
    }

    fn follow(&self, s: &State, steps: &mut Steps<State>) {
        match s.open {
            Some(open) => self.job_steps(s, open, steps),
            None if s.object != seen(s.object_exists) || s.snapshot != seen(s.snapshot_exists) => {
                let mut told = State { over: false, ..*s };
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
            if self.is(Sabotage::SettleLateOutcome) {
                self.observe(&mut acted);
            } else {
                acted.drifted |= acted.object_exists != s.object_exists || acted.snapshot_exists != s.snapshot_exists;
            }
            match s.open {
                Some(_) => steps.trouble("a late job acts", acted),
                None => steps.trouble_at_rest("a late job acts", acted),
            }
        }
        if s.troubles > 0 {
            self.world_steps(s, steps);
        }
        let facts = Facts { object: s.object, snapshot: s.snapshot, dropped_generation: s.dropped.into() };
        if !s.volume_wanted && s.volume_exists && !holds_volume(facts) && !s.snapshot_exists {
            let mut gone = State { volume_exists: false, ..*s };
            self.advance(&mut gone, 1);
            steps.work("the volume is deleted", gone);
        }
        if s.wishes > 0 && s.wanted {
            let wished = State { wishes: s.wishes - 1, ..*s };
            let mut deleted = State { wanted: false, generation: s.generation + 1, failed: false, ..wished };
            self.advance(&mut deleted, 1);
            steps.wish("delete the backup", deleted);
            // What is copied is not deleted meanwhile.
            if s.volume_wanted && !self.copied {
                let mut deleted = State { volume_wanted: false, ..wished };
                self.advance(&mut deleted, 1);
                steps.wish("delete the volume", deleted);
            }
        }
    }

    fn look_again(&self, s: &mut State) {
        self.advance(s, 1);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        let unsound = is_false(s.object, s.object_exists) || is_false(s.snapshot, s.snapshot_exists);
        s.broken.or((!s.drifted && unsound).then_some("a sure fact is not so"))
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let untroubled = s.troubles == self.troubles && s.volume_wanted;
        match (s.wanted, s.object_exists) {
            _ if s.snapshot_exists => Some("a snapshot is left"),
            (_, _) if !s.volume_wanted && s.volume_exists => Some("the volume waits for nothing"),
            (false, true) => Some("a deleted object is left"),
            (false, false) | (true, true) => None,
            (true, false) if untroubled => Some("lost or failed without a trouble"),
            (true, false) if s.was_present || s.failed || !s.volume_exists => None,
            (true, false) => Some("never made"),
        }
    }
}

#[test]
fn every_history_of_a_backup_is_whole_of_one_moment_or_says_why_not() {
    let model = Backups { sabotage: Sabotage::None, copied: false, wishes: 2, troubles: 4 };
    assert_right("backup", &model, Least { states: 1_000, quiet: 100, settled_within: 6 });
}

#[test]
fn every_history_of_a_copied_backup_is_whole_or_says_why_not() {
    let model = Backups { sabotage: Sabotage::None, copied: true, wishes: 2, troubles: 4 };
    assert_right("copied backup", &model, Least { states: 300, quiet: 20, settled_within: 6 });
    for sabotage in [Sabotage::DropMaybe, Sabotage::SkipGenerationCheck, Sabotage::CreateAgain] {
        let model = Backups { sabotage, copied: true, wishes: 2, troubles: 4 };
        assert_found(&format!("copied backup, {sabotage:?}"), &model);
    }
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_a_backup() {
    for sabotage in
        [Sabotage::DropMaybe, Sabotage::SkipGenerationCheck, Sabotage::SettleLateOutcome, Sabotage::CreateAgain]
    {
        assert_found(&format!("backup, {sabotage:?}"), &Backups { sabotage, copied: false, wishes: 2, troubles: 4 });
    }
}
