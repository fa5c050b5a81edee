//! Every history of a snapshot's replica: asked for, deleted, a volume made of it; its snapshot deleted or lost meanwhile;
//! the offer withdrawn, forgotten, answered late; outcomes lost, failed and late; what came half received.

use super::{Sabotage, is_false, seen};
use crate::plan::replica::{Surroundings, Wish, next_job, next_offer};
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};
use crate::plan::{Kind, Open, Step, Wanted, step};
use arame_schema::model::Fact;

const ATTEMPTS_MAX: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Job {
    kind: Kind,
    generation: u8,
    attempt: u8,
    /// Its attempt before failed at the other node: it waits long enough for that to be asked.
    pauses: bool,
    still_open: bool,
}

/// What of it is in the store of the node that receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Here {
    Nothing,
    Part,
    Whole,
}

/// A volume that is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Clone {
    No,
    Asked,
    /// It is there, or was given up: it needs the replica no more.
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
    clone: Clone,
    open: Option<Job>,
    late: Option<Job>,
    /// The snapshot, as dcmgr has it: one that is gone is known to be.
    snapshot_wanted: bool,
    snapshot_gone: bool,
    offered: Fact,
    /// Where it is read was told once.
    told: bool,
    offering: bool,
    /// An offer whose answer nobody waits for any more: whether it lets the snapshot be read.
    late_offer: Option<bool>,
    /// The stores.
    is_readable: bool,
    here: Here,
    carries: u8,
    grave: u8,
    wishes: u8,
    troubles: u8,
    broken: Option<&'static str>,
}

enum Answer {
    Done,
    Refused(u8),
    /// The other node does not send.
    NotSent,
}

struct Replicas {
    sabotage: Sabotage,
    wishes: u8,
    troubles: u8,
}

fn comes(s: &State) -> bool {
    s.wanted && !s.was_present && !s.failed
}

fn fact_of(here: Here) -> Fact {
    match here {
        Here::Nothing => Fact::No,
        Here::Part => Fact::Maybe,
        Here::Whole => Fact::Yes,
    }
}

impl Replicas {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    fn advance(&self, s: &mut State, attempt: u8, pauses: bool) {
        s.failed |= comes(s) && s.snapshot_gone;
        let around = Surroundings {
            was_present: s.was_present && !self.is(Sabotage::CreateAgain),
            offered: comes(s) && s.told && s.offered.may_be_so(),
            needed: s.clone == Clone::Asked && !self.is(Sabotage::DeleteUnderClone),
            failed: s.failed,
        };
        let wish = Wish { wanted: s.wanted, generation: s.generation.into() };
        let open = s.open.map(|job| Open { kind: job.kind, generation: job.generation.into() });
        match step(open, next_job(wish, s.present, around)) {
            Step::Nothing => {}
            Step::Insert(wanted) => self.queue(s, wanted, attempt, pauses),
            Step::Supersede(wanted) => {
                let still_open = self.is(Sabotage::ForgetToSupersede);
                s.late = s.open.map(|job| Job { still_open, ..job });
                self.queue(s, wanted, attempt, pauses);
            }
        }
        self.offer(s);
    }

    /// Its snapshot's part of it.
    fn offer(&self, s: &mut State) {
        let present = seen(!s.snapshot_gone);
        if !s.offering && next_offer(1, present, comes(s), s.offered).is_some() {
            s.offering = true;
            s.offered = Fact::Maybe;
        }
    }

    fn queue(&self, s: &mut State, wanted: Wanted, attempt: u8, pauses: bool) {
        match wanted.kind {
            Kind::ReceiveReplica if s.was_present => s.broken = Some("what held data is to be received again"),
            Kind::DeleteReplica if s.wanted && s.was_present => s.broken = Some("a replica is to be deleted unasked"),
            _ => {}
        }
        if wanted.kind != Kind::ObserveReplica && !self.is(Sabotage::DropMaybe) {
            s.present = Fact::Maybe;
        }
        let generation = u8::try_from(wanted.generation).unwrap_or(u8::MAX);
        s.open = Some(Job { kind: wanted.kind, generation, attempt, pauses, still_open: false });
    }

    fn observe(&self, s: &mut State) {
        s.present = fact_of(s.here);
        s.drifted = false;
        s.was_present |= s.here == Here::Whole && !s.failed;
    }

    fn failed(&self, s: &mut State, job: Job, is_elsewhere: bool) {
        if job.kind == Kind::ReceiveReplica && s.offered == Fact::Yes && !self.is(Sabotage::BelieveAnOldOffer) {
            s.offered = Fact::Maybe;
        }
        if job.kind.never_gives_up() || is_elsewhere {
            return self.advance(s, job.attempt, true);
        }
        if job.attempt < ATTEMPTS_MAX {
            return self.advance(s, job.attempt + 1, true);
        }
        s.failed = true;
        self.advance(s, 1, false);
    }

    fn act(&self, s: &mut State, job: Job) -> Answer {
        if !self.is(Sabotage::SkipGenerationCheck) && job.kind != Kind::ObserveReplica {
            if s.here != Here::Nothing && s.carries > job.generation {
                return Answer::Refused(s.carries);
            }
            if job.kind == Kind::ReceiveReplica && s.grave >= job.generation {
                return Answer::Refused(s.grave);
            }
        }
        match job.kind {
            Kind::ReceiveReplica if s.here == Here::Whole => s.carries = job.generation,
            Kind::ReceiveReplica if s.snapshot_gone || !s.is_readable => return Answer::NotSent,
            Kind::ReceiveReplica => {
                if s.was_present {
                    s.broken = Some("another moment was received in the name of one that held data");
                }
                s.here = if s.here == Here::Nothing { Here::Part } else { Here::Whole };
                s.carries = job.generation;
            }
            Kind::DeleteReplica => {
                if s.here == Here::Whole && s.clone == Clone::Asked {
                    s.broken = Some("a replica was deleted under the volume that is being made of it");
                }
                s.here = Here::Nothing;
                s.grave = s.grave.max(job.generation);
            }
            _ => {}
        }
        Answer::Done
    }

    fn job_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        if !(job.pauses && s.offering) {
            let mut known = State { open: None, ..*s };
            let answer = self.act(&mut known, job);
            self.observe(&mut known);
            match answer {
                Answer::Done => self.advance(&mut known, 1, false),
                Answer::NotSent => self.failed(&mut known, job, true),
                Answer::Refused(found) => {
                    known.generation = known.generation.max(found) + 1;
                    self.advance(&mut known, job.attempt, false);
                }
            }
            steps.job(job.kind.as_str(), known);
            if s.troubles > 0 {
                let late = Some(job);
                steps.trouble("delivered twice, once late", State { troubles: s.troubles - 1, late, ..known });
            }
        }
        if s.troubles == 0 {
            return;
        }
        let troubled = State { troubles: s.troubles - 1, ..*s };
        let mut done = troubled;
        self.act(&mut done, job);
        steps.trouble("crashed after the effect, rung again", done);
        for (world, lost, told) in [
            (troubled, "never arrived", "failed before its effect"),
            (done, "done and lost", "failed after its effect"),
        ] {
            let mut unheard = State { open: None, ..world };
            self.failed(&mut unheard, job, false);
            steps.trouble(lost, unheard);
            let mut heard = State { open: None, ..world };
            self.observe(&mut heard);
            self.failed(&mut heard, job, false);
            steps.trouble(told, heard);
        }
        let mut frozen = State { open: None, late: Some(job), ..troubled };
        self.failed(&mut frozen, job, false);
        steps.trouble("frozen on its way and lost", frozen);
    }

    fn late_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        steps.work("a late job expires", State { late: None, ..*s });
        let mut acted = State { late: None, ..*s };
        self.act(&mut acted, job);
        if self.is(Sabotage::SettleLateOutcome) || job.still_open {
            self.observe(&mut acted);
        } else {
            acted.drifted |= acted.here != s.here;
        }
        if acted.open.is_some() {
            steps.trouble("a late job acts", acted);
        } else {
            self.advance(&mut acted, 1, false);
            steps.trouble_at_rest("a late job acts", acted);
        }
    }

    fn offer_steps(&self, s: &State, steps: &mut Steps<State>) {
        if let Some(is_readable) = s.late_offer {
            steps.work("a late offer expires", State { late_offer: None, ..*s });
            let acted = State { late_offer: None, is_readable: is_readable && !s.snapshot_gone, ..*s };
            steps.trouble_at_rest("a late offer acts", acted);
        }
        if !s.offering {
            return;
        }
        // Its body is made when it is rung: to those that receive a replica now.
        let is_read = comes(s);
        let done = State { is_readable: is_read && !s.snapshot_gone, offering: false, ..*s };
        let mut known = done;
        known.offered = seen(is_read && !s.snapshot_gone);
        known.told |= known.offered == Fact::Yes;
        self.advance(&mut known, 1, false);
        steps.job("sta.snapshot.offer", known);
        if s.troubles > 0 {
            let troubles = s.troubles - 1;
            let mut lost = State { troubles, ..done };
            self.advance(&mut lost, 1, false);
            steps.trouble("an offer is done and lost", lost);
            let mut frozen = State { troubles, offering: false, late_offer: Some(is_read), ..*s };
            self.advance(&mut frozen, 1, false);
            steps.trouble("an offer is frozen on its way and lost", frozen);
        }
    }

    /// The snapshot goes when nobody reads it any more.
    fn snapshot_steps(&self, s: &State, steps: &mut Steps<State>) {
        let is_needed = comes(s) && !self.is(Sabotage::DeleteUnderReader);
        if s.snapshot_wanted || s.snapshot_gone || is_needed {
            return;
        }
        let mut gone = State { snapshot_gone: true, is_readable: false, offering: false, offered: Fact::No, ..*s };
        self.advance(&mut gone, 1, false);
        steps.work("the snapshot is deleted", gone);
    }

    /// What is made of it appears, or is given up because it is gone. Either way it advances.
    fn clone_steps(&self, s: &State, steps: &mut Steps<State>) {
        if s.clone != Clone::Asked {
            return;
        }
        let mut over = State { clone: Clone::Over, ..*s };
        if !self.is(Sabotage::ForgetWhoWaits) {
            self.advance(&mut over, 1, false);
        }
        steps.work("the volume that is made of it is there or given up", over);
    }

    fn trouble_steps(&self, s: &State, steps: &mut Steps<State>) {
        let troubled = State { troubles: s.troubles - 1, ..*s };
        if s.here != Here::Nothing {
            let lost = State { here: Here::Nothing, drifted: true, late: None, ..troubled };
            match s.open {
                Some(_) => steps.trouble("it is lost", lost),
                None => steps.trouble_at_rest("it is lost", lost),
            }
        }
        if s.is_readable {
            let forgotten = State { is_readable: false, ..troubled };
            match s.open {
                Some(_) => steps.trouble("the snapshot's node forgets its offer", forgotten),
                None => steps.trouble_at_rest("the snapshot's node forgets its offer", forgotten),
            }
        }
        if !s.snapshot_gone && s.snapshot_wanted {
            let mut lost =
                State { snapshot_gone: true, is_readable: false, offering: false, offered: Fact::No, ..troubled };
            self.advance(&mut lost, 1, false);
            match s.open {
                Some(_) => steps.trouble("the snapshot is lost", lost),
                None => steps.trouble_at_rest("the snapshot is lost", lost),
            }
        }
        if s.open.is_none() && self.is(Sabotage::ConcludeFromIncompleteListing) {
            let mut told = State { present: Fact::No, ..troubled };
            self.advance(&mut told, 1, false);
            steps.trouble_at_rest("an inventory whose pool is not imported", told);
        }
    }
}

impl Model for Replicas {
    type State = State;

    fn start(&self) -> Vec<State> {
        let mut start = State {
            wanted: true,
            generation: 1,
            was_present: false,
            failed: false,
            present: Fact::No,
            drifted: false,
            clone: Clone::No,
            open: None,
            late: None,
            snapshot_wanted: true,
            snapshot_gone: false,
            offered: Fact::No,
            told: false,
            offering: false,
            late_offer: None,
            is_readable: false,
            here: Here::Nothing,
            carries: 0,
            grave: 0,
            wishes: self.wishes,
            troubles: self.troubles,
            broken: None,
        };
        self.advance(&mut start, 1, false);
        vec![start]
    }

    fn follow(&self, s: &State, steps: &mut Steps<State>) {
        match s.open {
            Some(job) => self.job_steps(s, job, steps),
            None if s.present != fact_of(s.here) => {
                let mut told = *s;
                self.observe(&mut told);
                self.advance(&mut told, 1, false);
                steps.work("an inventory", told);
            }
            None => {}
        }
        if let Some(late) = s.late {
            self.late_steps(s, late, steps);
        }
        self.offer_steps(s, steps);
        self.snapshot_steps(s, steps);
        self.clone_steps(s, steps);
        if s.troubles > 0 {
            self.trouble_steps(s, steps);
        }
        if s.wishes == 0 {
            return;
        }
        let wishes = s.wishes - 1;
        if s.snapshot_wanted {
            steps.wish("the snapshot is deleted", State { wishes, snapshot_wanted: false, ..*s });
        }
        if !s.wanted {
            return;
        }
        if s.clone == Clone::No && s.present == Fact::Yes {
            steps.wish("a volume is made of it", State { wishes, clone: Clone::Asked, ..*s });
        }
        let mut deleted = State { wishes, wanted: false, failed: false, ..*s };
        deleted.generation += 1;
        self.advance(&mut deleted, 1, false);
        steps.wish("delete", deleted);
    }

    fn look_again(&self, s: &mut State) {
        self.advance(s, 1, false);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        let is_false = match s.here {
            Here::Part => s.present == Fact::Yes || s.present == Fact::No,
            Here::Nothing | Here::Whole => is_false(s.present, s.here == Here::Whole),
        };
        let unsound = !s.drifted && is_false;
        s.broken.or(unsound.then_some("a sure fact is not so"))
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let untroubled = s.troubles == self.troubles;
        if !s.snapshot_wanted && !s.snapshot_gone {
            return Some("the snapshot waits for nothing");
        }
        if untroubled && s.is_readable {
            return Some("a snapshot that nobody reads is offered");
        }
        match (s.wanted, s.here) {
            (false, Here::Nothing) => None,
            (false, _) => Some("a deleted replica is left"),
            (true, Here::Whole) if !s.failed => None,
            (true, Here::Part | Here::Whole) if !s.was_present => Some("one that was given up left something"),
            (true, Here::Nothing) if !s.failed && !s.was_present => Some("never received"),
            _ if untroubled => Some("lost or failed without a trouble"),
            _ => None,
        }
    }
}

#[test]
fn every_history_of_a_replica_ends_as_wished_and_none_is_received_twice() {
    let model = Replicas { sabotage: Sabotage::None, wishes: 2, troubles: 4 };
    assert_right("replica", &model, Least { states: 2_000, quiet: 100, settled_within: 12 });
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_a_replica() {
    for sabotage in [
        Sabotage::DropMaybe,
        Sabotage::SkipGenerationCheck,
        Sabotage::SettleLateOutcome,
        Sabotage::ForgetToSupersede,
        Sabotage::ConcludeFromIncompleteListing,
        Sabotage::CreateAgain,
        Sabotage::DeleteUnderClone,
        Sabotage::DeleteUnderReader,
        Sabotage::ForgetWhoWaits,
        Sabotage::BelieveAnOldOffer,
    ] {
        assert_found(&format!("replica, {sabotage:?}"), &Replicas { sabotage, wishes: 2, troubles: 4 });
    }
}
