//! Every history of a network at two naming services: versions that rise while a snapshot is on its way, outcomes lost
//! and late, a service that restarts and forgets what it said, and one that dies.
//!
//! The body of a job is made when it is rung, so it carries the version it was queued for or any newer one.

use super::Sabotage;
use crate::plan::snapshot::next_job;
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};
use crate::plan::{Kind, Open, Step, step};

/// Outcomes that reach dcmgr while one launch waits: the job that was on its way, and the one that carries its version.
const OUTCOMES_MAX: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Job {
    version: u8,
    /// Only sabotaged: a newer version took its place.
    superseded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Nsa {
    alive: bool,
    /// What dcmgr knows to be served; 0 when unknown.
    applied: u8,
    open: Option<Job>,
    late: Option<Job>,
    /// What is served, also from disk after a restart.
    serves: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    version: u8,
    /// Version that the oldest waiting launch needs; 0: none waits.
    needed: u8,
    /// Outcomes from the first nsa since that launch began to wait.
    outcomes: u8,
    nsa: [Nsa; 2],
    wishes: u8,
    troubles: u8,
    broken: Option<&'static str>,
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

    fn advance(&self, s: &mut State, at: usize) {
        let nsa = &mut s.nsa[at];
        let open = nsa.open.map(|job| Open { kind: Kind::ApplyNetwork, generation: job.version.into() });
        let wanted = next_job(Kind::ApplyNetwork, s.version.into(), nsa.applied.into());
        let insert = match step(open, wanted) {
            Step::Nothing => wanted.filter(|_| self.is(Sabotage::SupersedeSnapshots) && nsa.open.is_some()),
            Step::Insert(wanted) | Step::Supersede(wanted) => Some(wanted),
        };
        let Some(wanted) = insert else { return };
        let version = u8::try_from(wanted.generation).unwrap_or(u8::MAX);
        if nsa.open.is_some_and(|job| job.version >= version) {
            return;
        }
        nsa.late = nsa.open.map(|job| Job { superseded: true, ..job }).or(nsa.late);
        nsa.open = Some(Job { version, superseded: false });
    }

    fn advance_all(&self, s: &mut State) {
        for at in 0..s.nsa.len() {
            if s.nsa[at].alive {
                self.advance(s, at);
            }
        }
        let serving = s.nsa.iter().map(|nsa| nsa.applied);
        let served = if self.is(Sabotage::WaitForEveryNsa) { serving.min() } else { serving.max() };
        if served.unwrap_or(0) >= s.needed {
            s.needed = 0;
            s.outcomes = 0;
        }
    }

    /// The nsa flips to what the message carries, never back. Answers what it serves then.
    fn apply(&self, s: &mut State, at: usize, body: u8) -> u8 {
        let nsa = &mut s.nsa[at];
        if body > nsa.serves || self.is(Sabotage::SkipGenerationCheck) {
            nsa.serves = body;
        }
        nsa.serves
    }

    fn heard(&self, s: &mut State, at: usize) {
        s.outcomes += u8::from(at == 0 && s.needed != 0);
        if s.outcomes > OUTCOMES_MAX {
            s.broken = Some("a launch waits although outcome after outcome arrives");
        }
    }

    fn job_steps(&self, s: &State, at: usize, job: Job, steps: &mut Steps<State>) {
        for body in [job.version, s.version] {
            let mut known = *s;
            let serves = self.apply(&mut known, at, body);
            known.nsa[at].open = None;
            known.nsa[at].applied = serves;
            self.advance_all(&mut known);
            self.heard(&mut known, at);
            steps.job("nsa.network.apply", known);
            if s.troubles == 0 {
                continue;
            }
            let mut lost = State { troubles: s.troubles - 1, ..*s };
            self.apply(&mut lost, at, body);
            let mut crashed = lost;
            crashed.nsa[at].applied = 0;
            steps.trouble("crashed after the effect, rung again", crashed);
            lost.nsa[at].open = None;
            self.advance(&mut lost, at);
            steps.trouble("done and lost", lost);
        }
        if s.troubles > 0 {
            let mut gone = State { troubles: s.troubles - 1, ..*s };
            gone.nsa[at].open = None;
            let mut frozen = gone;
            self.advance(&mut gone, at);
            steps.trouble("failed before its effect", gone);
            frozen.nsa[at].late = Some(job);
            self.advance(&mut frozen, at);
            steps.trouble("frozen on its way and lost", frozen);
        }
    }

    fn late_steps(&self, s: &State, at: usize, job: Job, steps: &mut Steps<State>) {
        let mut expired = *s;
        expired.nsa[at].late = None;
        steps.work("a late job expires", expired);
        let mut acted = expired;
        self.apply(&mut acted, at, job.version);
        if job.superseded {
            self.heard(&mut acted, at);
        }
        if acted.nsa[at].open.is_some() {
            steps.trouble("a late job acts", acted);
        } else {
            self.advance(&mut acted, at);
            steps.trouble_at_rest("a late job acts", acted);
        }
    }

    fn life_steps(&self, s: &State, at: usize, steps: &mut Steps<State>) {
        let troubled = State { troubles: s.troubles - 1, ..*s };
        let mut dead = troubled;
        dead.nsa[at].alive = false;
        let mut restarted = troubled;
        restarted.nsa[at].applied = 0;
        self.advance(&mut restarted, at);
        if s.nsa[at].open.is_some() {
            steps.trouble("the nsa dies", dead);
            steps.trouble("the nsa restarts", restarted);
        } else {
            steps.trouble_at_rest("the nsa dies", dead);
            steps.trouble_at_rest("the nsa restarts", restarted);
        }
    }
}

impl Model for Snapshots {
    type State = State;

    fn start(&self) -> Vec<State> {
        let nsa = Nsa { alive: true, applied: 0, open: None, late: None, serves: 0 };
        let mut start = State {
            version: 1,
            needed: 1,
            outcomes: 0,
            nsa: [nsa; 2],
            wishes: self.wishes,
            troubles: self.troubles,
            broken: None,
        };
        self.advance_all(&mut start);
        vec![start]
    }

    fn follow(&self, s: &State, steps: &mut Steps<State>) {
        for (at, nsa) in s.nsa.iter().enumerate() {
            if !nsa.alive {
                // Its job waits for it; what it does not serve is nobody's reason to wait.
                let mut back = *s;
                back.nsa[at] = Nsa { alive: true, applied: 0, late: None, ..*nsa };
                self.advance(&mut back, at);
                steps.wish("the nsa is back", back);
                continue;
            }
            if let Some(job) = nsa.open {
                self.job_steps(s, at, job, steps);
            }
            if let Some(late) = nsa.late {
                self.late_steps(s, at, late, steps);
            }
            if s.troubles > 0 {
                self.life_steps(s, at, steps);
            }
        }
        if s.wishes > 0 {
            let mut launched = State { version: s.version + 1, wishes: s.wishes - 1, ..*s };
            if launched.needed == 0 {
                launched.needed = launched.version;
            }
            self.advance_all(&mut launched);
            steps.wish("a launch raises the version", launched);
        }
    }

    fn look_again(&self, s: &mut State) {
        self.advance_all(s);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        let unsound = s.nsa.iter().any(|nsa| nsa.applied > nsa.serves);
        s.broken.or(unsound.then_some("a version is known to be served and is not"))
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let behind = s.nsa.iter().any(|nsa| nsa.alive && nsa.serves < s.version);
        let someone = s.nsa.iter().any(|nsa| nsa.alive);
        match (behind, s.needed) {
            (true, _) => Some("a living nsa does not serve the newest version"),
            (false, needed) if needed != 0 && someone => Some("a launch waits although one nsa serves its version"),
            (false, _) => None,
        }
    }
}

#[test]
fn every_history_of_a_network_is_served_and_a_launch_waits_for_one_nsa_only() {
    let model = Snapshots { sabotage: Sabotage::None, wishes: 3, troubles: 3 };
    assert_right("network at two nsa", &model, Least { states: 5_000, quiet: 100, settled_within: 8 });
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_a_network() {
    for sabotage in [Sabotage::SkipGenerationCheck, Sabotage::WaitForEveryNsa, Sabotage::SupersedeSnapshots] {
        assert_found(&format!("network, {sabotage:?}"), &Snapshots { sabotage, wishes: 4, troubles: 3 });
    }
}
