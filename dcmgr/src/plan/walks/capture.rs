//! Every history of a copy of a machine's disk: made, fetched by a storage node, its image or its machine deleted at any
//! point; outcomes lost, failed and late, the copy lost.

use super::{Sabotage, is_false, seen};
use crate::plan::Kind;
use crate::plan::capture::{Facts, Wish, is_over, next_job};
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};
use arame_schema::model::Fact;

const ATTEMPTS_MAX: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Open {
    kind: Kind,
    generation: u8,
    attempt: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    wanted: bool,
    generation: u8,
    stored: bool,
    failed: bool,
    over: bool,
    captured: Fact,
    dropped: u8,
    drifted: bool,
    open: Option<Open>,
    late: Option<Open>,
    /// The host.
    machine: bool,
    copy: bool,
    carries: u8,
    grave: u8,
    wishes: u8,
    troubles: u8,
    broken: Option<&'static str>,
}

struct Captures {
    sabotage: Sabotage,
    wishes: u8,
    troubles: u8,
}

enum Answer {
    Done,
    Refused(u8),
    Never,
}

impl Captures {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    fn advance(&self, s: &mut State, attempt: u8) {
        let wish = Wish {
            wanted: s.wanted,
            generation: s.generation.into(),
            stored: s.stored,
            failed: s.failed,
            over: s.over,
        };
        let facts = Facts { captured: s.captured, dropped_generation: s.dropped.into() };
        let quiet = self.is(Sabotage::EndWithoutDrop) && !wish.needed() && s.captured == Fact::No;
        let wanted = next_job(wish, facts).filter(|_| !quiet);
        if let Some(wanted) = wanted {
            let generation = u8::try_from(wanted.generation).unwrap_or(u8::MAX);
            match s.open {
                Some(open) if open.kind == wanted.kind && open.generation >= generation => {}
                open => {
                    s.late = open.or(s.late);
                    if !self.is(Sabotage::DropMaybe) {
                        s.captured = Fact::Maybe;
                    }
                    s.open = Some(Open { kind: wanted.kind, generation, attempt });
                }
            }
        }
        s.over |= quiet || is_over(wish, facts);
    }

    fn observe(&self, s: &mut State) {
        s.captured = seen(s.copy);
        s.dropped = 0;
        s.drifted = false;
    }

    fn failed(&self, s: &mut State, open: Open) {
        let takes = open.kind == Kind::TakeCapture;
        s.failed |= takes && open.attempt >= ATTEMPTS_MAX;
        self.advance(s, if takes && open.attempt < ATTEMPTS_MAX { open.attempt + 1 } else { 1 });
    }

    fn act(&self, s: &mut State, open: Open) -> Answer {
        let checked = !self.is(Sabotage::SkipGenerationCheck);
        if checked && s.copy && s.carries > open.generation {
            return Answer::Refused(s.carries);
        }
        match open.kind {
            Kind::TakeCapture if s.copy => s.carries = open.generation,
            Kind::TakeCapture if checked && s.grave >= open.generation => return Answer::Refused(s.grave),
            Kind::TakeCapture if !s.machine => return Answer::Never,
            Kind::TakeCapture => {
                if s.over {
                    s.broken = Some("a copy was made after its end was told");
                }
                (s.copy, s.carries) = (true, open.generation);
            }
            _ => (s.copy, s.grave) = (false, s.grave.max(open.generation)),
        }
        Answer::Done
    }

    fn job_steps(&self, s: &State, open: Open, steps: &mut Steps<State>) {
        let mut known = State { open: None, ..*s };
        let answer = self.act(&mut known, open);
        self.observe(&mut known);
        match answer {
            Answer::Done => {
                if open.kind == Kind::DropCapture {
                    known.dropped = open.generation;
                }
                self.advance(&mut known, 1);
            }
            Answer::Refused(found) => {
                known.generation = known.generation.max(found) + 1;
                self.advance(&mut known, open.attempt);
            }
            Answer::Never => {
                known.failed = true;
                self.advance(&mut known, 1);
            }
        }
        steps.job(open.kind.as_str(), known);
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

    /// The storage node fetches what the host serves, or cannot.
    fn storage_steps(&self, s: &State, steps: &mut Steps<State>) {
        if !s.wanted || s.stored || s.failed || s.captured != Fact::Yes {
            return;
        }
        if s.copy {
            let mut stored = State { stored: true, ..*s };
            self.advance(&mut stored, 1);
            steps.work("a storage node has the image", stored);
        }
        if s.troubles > 0 {
            let mut failed = State { failed: true, troubles: s.troubles - 1, ..*s };
            self.advance(&mut failed, 1);
            steps.trouble_at_rest("the image cannot be imported", failed);
        }
    }
}

impl Model for Captures {
    type State = State;

    fn start(&self) -> Vec<State> {
        let mut start = State {
            wanted: true,
            generation: 1,
            stored: false,
            failed: false,
            over: false,
            captured: Fact::No,
            dropped: 0,
            drifted: false,
            open: None,
            late: None,
            machine: true,
            copy: false,
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
            Some(open) => self.job_steps(s, open, steps),
            None if s.captured != seen(s.copy) => {
                let mut told = *s;
                self.observe(&mut told);
                self.advance(&mut told, 1);
                steps.work("an inventory", told);
            }
            None => self.storage_steps(s, steps),
        }
        if let Some(late) = s.late {
            steps.work("a late job expires", State { late: None, ..*s });
            let mut acted = State { late: None, ..*s };
            self.act(&mut acted, late);
            match self.is(Sabotage::SettleLateOutcome) {
                true => self.observe(&mut acted),
                false => acted.drifted |= acted.copy != s.copy,
            }
            match s.open {
                Some(_) => steps.trouble("a late job acts", acted),
                None => steps.trouble_at_rest("a late job acts", acted),
            }
        }
        if s.troubles > 0 && s.copy {
            let lost = State { copy: false, drifted: true, late: None, troubles: s.troubles - 1, ..*s };
            match s.open {
                Some(_) => steps.trouble("the copy is lost", lost),
                None => steps.trouble_at_rest("the copy is lost", lost),
            }
        }
        if s.wishes > 0 && s.wanted {
            let mut deleted =
                State { wanted: false, generation: s.generation + 1, failed: false, wishes: s.wishes - 1, ..*s };
            self.advance(&mut deleted, 1);
            steps.wish("delete the image", deleted);
        }
        if s.wishes > 0 && s.machine {
            steps.wish("delete the machine", State { machine: false, wishes: s.wishes - 1, ..*s });
        }
    }

    fn look_again(&self, s: &mut State) {
        self.advance(s, 1);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        s.broken.or((!s.drifted && is_false(s.captured, s.copy)).then_some("a sure fact is not so"))
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let needed = s.wanted && !s.stored && !s.failed;
        match (needed, s.copy) {
            (false, true) => Some("a copy is left for nobody"),
            (false, false) if s.failed && s.wanted && s.machine && s.troubles == self.troubles => {
                Some("failed without a trouble")
            }
            (false, false) if !s.over => Some("it never counts as over"),
            (false, false) => None,
            (true, _) => Some("never stored, and nobody says why"),
        }
    }
}

#[test]
fn every_history_of_a_capture_ends_stored_or_says_why_not_and_leaves_no_copy() {
    let model = Captures { sabotage: Sabotage::None, wishes: 2, troubles: 4 };
    assert_right("capture", &model, Least { states: 1_000, quiet: 20, settled_within: 6 });
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_a_capture() {
    for sabotage in
        [Sabotage::DropMaybe, Sabotage::SkipGenerationCheck, Sabotage::SettleLateOutcome, Sabotage::EndWithoutDrop]
    {
        assert_found(&format!("capture, {sabotage:?}"), &Captures { sabotage, wishes: 2, troubles: 4 });
    }
}
