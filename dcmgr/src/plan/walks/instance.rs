//! Every history of an instance: power, reboot, delete, a change of its disks, a host left for another, a failure, a lost
//! disk; with outcomes known, lost, failed before, in the middle of and after the effect, and effects that come late.
//!
//! Two hosts; one late job at a time (a second replaces it or is dropped: both are walked). Left out: how a guest is
//! placed, what its networks need (walked in `snapshot`), its volumes (`meeting`).

use super::{Sabotage, is_false, seen};
use crate::plan::instance::{Facts, Surroundings, Wish, has_left, is_lost, next_job};
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};
use crate::plan::{Kind, Open, Step, Wanted, step};
use arame_schema::model::Fact;
use arame_schema::model::instance::DesiredInstance::{self, Gone, Off, On};

/// Attempts before a job that may give up does: two show what five do.
const ATTEMPTS_MAX: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Job {
    kind: Kind,
    generation: u8,
    on: bool,
    operation: u8,
    host: u8,
    attempt: u8,
    /// The disk was used: it is not to be made.
    used: bool,
    /// Only sabotaged: superseded in name, open in truth.
    still_open: bool,
}

/// What the rows say of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Seen {
    domain: Fact,
    power: Fact,
    generation: u8,
    /// The world changed without dcmgr's doing since the last look.
    drifted: bool,
}

/// What is on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Host {
    exists: bool,
    power: bool,
    generation: u8,
    grave: u8,
    operation: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd)]
enum Failure {
    None,
    Passing,
    Final,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    desired: DesiredInstance,
    generation: u8,
    operation: u8,
    leaving: bool,
    ran_before: bool,
    ready: bool,
    failure: Failure,
    host: u8,
    seen: [Seen; 2],
    open: Option<Job>,
    late: Option<Job>,
    hosts: [Host; 2],
    rebooted: u8,
    wishes: u8,
    troubles: u8,
    broken: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq)]
enum Extent {
    Nothing,
    Half,
    Whole,
}

enum Answer {
    Done,
    Refused(u8),
    /// The disk was made once and is gone.
    DataLost,
    Missing,
}

#[derive(Clone, Copy, PartialEq)]
enum Retry {
    Later,
    Elsewhere,
    Never,
}

pub(super) struct Instances {
    sabotage: Sabotage,
    wishes: u8,
    troubles: u8,
}

impl Instances {
    fn start_state(&self) -> State {
        let unseen = Seen { domain: Fact::No, power: Fact::No, generation: 0, drifted: false };
        State {
            desired: On,
            generation: 1,
            operation: 0,
            leaving: false,
            ran_before: false,
            ready: false,
            failure: Failure::None,
            host: 0,
            seen: [unseen; 2],
            open: None,
            late: None,
            hosts: [Host::default(); 2],
            rebooted: 0,
            wishes: self.wishes,
            troubles: self.troubles,
            broken: None,
        }
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    // ---- dcmgr ----

    /// What `app::advance::instance` does, in its order.
    fn advance(&self, s: &mut State, attempt: u8) {
        let here = s.seen[usize::from(s.host)];
        let facts =
            Facts { domain: here.domain, power: here.power, generation: here.generation.into(), devices_settled: true };
        let wish = Wish {
            desired: s.desired,
            generation: s.generation.into(),
            reboot: s.operation != 0,
            leaving_host: s.leaving,
        };
        let left = if self.is(Sabotage::LeaveHostWithoutDelete) {
            facts.domain == Fact::No && facts.power == Fact::No
        } else {
            has_left(wish, facts)
        };
        if s.leaving && left && s.desired != Gone {
            return self.place_again(s);
        }
        let running = facts.power == Fact::Yes && facts.domain == Fact::Yes;
        let around = Surroundings {
            ready: running || s.desired != On || s.ready,
            ran_before: s.ran_before && !self.is(Sabotage::CreateAgain),
            failed: s.failure != Failure::None,
        };
        if is_lost(facts, around) && s.desired != Gone && s.failure == Failure::None {
            s.failure = Failure::Final;
            return self.advance(s, attempt);
        }
        let open = s.open.map(|job| Open { kind: job.kind, generation: job.generation.into() });
        match step(open, next_job(wish, facts, around)) {
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
        let here = &mut s.seen[usize::from(s.host)];
        let touches = match wanted.kind {
            Kind::ApplyInstance => !(here.power == Fact::Yes && s.desired == On),
            Kind::DeleteInstance => true,
            _ => false,
        };
        if wanted.kind == Kind::DeleteInstance && s.desired != Gone && !s.leaving && s.ran_before {
            s.broken = Some("a disk that was used is to be removed unasked");
        }
        if touches && !self.is(Sabotage::DropMaybe) {
            here.domain = Fact::Maybe;
            here.power = Fact::Maybe;
        }
        let generation = u8::try_from(wanted.generation).unwrap_or(u8::MAX);
        let (on, operation, host) = (s.desired == On, s.operation, s.host);
        s.open = Some(Job {
            kind: wanted.kind,
            generation,
            on,
            operation,
            host,
            attempt,
            used: s.ran_before,
            still_open: false,
        });
    }

    fn place_again(&self, s: &mut State) {
        s.host = 1;
        s.leaving = false;
        s.failure = Failure::None;
        s.generation += 1;
        self.advance(s, 1);
    }

    /// Writes what is seen on a host.
    fn observe(&self, s: &mut State, host: u8) {
        let world = s.hosts[usize::from(host)];
        let generation = if world.exists { world.generation } else { 0 };
        s.seen[usize::from(host)] =
            Seen { domain: seen(world.exists), power: seen(world.power), generation, drifted: false };
        // What is found of a launch that was given up, or of a host being left, is removed and was not used.
        s.ran_before |= world.power && !s.leaving && s.failure == Failure::None;
    }

    /// `app::outcome::settle` of a job that is open.
    fn settle(&self, s: &mut State, job: Job, answer: &Answer) {
        s.open = None;
        self.observe(s, job.host);
        if matches!(answer, Answer::Done) && job.kind == Kind::DeleteInstance {
            let found = &mut s.seen[usize::from(job.host)].generation;
            *found = (*found).max(job.generation);
        }
        match answer {
            Answer::Done => {
                if job.kind == Kind::RebootInstance {
                    s.operation = 0;
                }
                self.advance(s, 1);
            }
            Answer::Refused(found) => {
                s.generation = s.generation.max(*found) + 1;
                self.advance(s, job.attempt);
            }
            Answer::DataLost => self.failed(s, job, Retry::Never),
            Answer::Missing => self.failed(s, job, Retry::Later),
        }
    }

    /// `app::outcome::failed`: the one place that decides about another attempt.
    fn failed(&self, s: &mut State, job: Job, retry: Retry) {
        if job.kind == Kind::RebootInstance {
            s.operation = 0;
            return self.advance(s, 1);
        }
        if job.kind.never_gives_up() {
            return self.advance(s, job.attempt);
        }
        match retry {
            Retry::Later if job.attempt < ATTEMPTS_MAX => return self.advance(s, job.attempt + 1),
            // The second host stands for the last placement.
            Retry::Later | Retry::Elsewhere if !s.ran_before && s.host == 0 => {
                s.leaving = true;
                s.generation += 1;
            }
            Retry::Later | Retry::Elsewhere => s.failure = Failure::Passing,
            Retry::Never => s.failure = Failure::Final,
        }
        self.advance(s, 1);
    }

    /// An agent said hello: what it serves is unknown, failures that pass are forgotten.
    fn hello(&self, s: &mut State) {
        s.ready = false;
        if s.failure == Failure::Passing {
            s.failure = Failure::None;
            if !self.is(Sabotage::ForgetFailureInPlace) {
                s.generation += 1;
            }
        }
        self.advance(s, 1);
    }

    // ---- the host ----

    fn act(&self, s: &mut State, job: Job, extent: Extent) -> Answer {
        let used = s.ran_before;
        let unasked = s.desired != Gone && !s.leaving && used;
        let known = s.seen[usize::from(job.host)];
        let at_rest = s.open.is_none() && known.power == Fact::Yes && known.generation >= s.generation;
        let host = &mut s.hosts[usize::from(job.host)];
        if !self.is(Sabotage::SkipGenerationCheck) {
            if host.exists && host.generation > job.generation {
                return Answer::Refused(host.generation);
            }
            if job.kind == Kind::ApplyInstance && host.grave >= job.generation {
                return Answer::Refused(host.grave);
            }
        }
        if extent == Extent::Nothing {
            return Answer::Done;
        }
        match job.kind {
            Kind::ApplyInstance if !host.exists && job.used && !self.is(Sabotage::CreateAgain) => {
                return Answer::DataLost;
            }
            Kind::ApplyInstance => {
                if !host.exists && used {
                    s.broken = Some("a blank disk was made in the name of a guest that had run");
                }
                host.exists = true;
                host.generation = job.generation;
                if extent == Extent::Whole {
                    host.power = job.on;
                }
            }
            Kind::DeleteInstance => {
                // A removal that was decided before the guest was seen to run may meet an older one of it.
                if unasked && host.exists && (job.used || at_rest) {
                    s.broken = Some("a disk that was used was removed unasked");
                }
                let kept = extent == Extent::Half && host.exists;
                let grave = if kept { host.grave } else { host.grave.max(job.generation) };
                *host = Host { exists: kept, power: false, grave, ..*host };
                if !kept {
                    host.generation = 0;
                    host.operation = 0;
                }
            }
            Kind::RebootInstance if !host.exists => return Answer::Missing,
            Kind::RebootInstance if host.operation == job.operation => {}
            Kind::RebootInstance => {
                host.operation = job.operation;
                if extent == Extent::Whole {
                    let bit = 1 << job.operation;
                    if s.rebooted & bit != 0 {
                        s.broken = Some("one request rebooted the guest twice");
                    }
                    s.rebooted |= bit;
                }
            }
            _ => return Answer::DataLost,
        }
        Answer::Done
    }

    // ---- what can happen ----

    fn job_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        let mut known = *s;
        let answer = self.act(&mut known, job, Extent::Whole);
        self.settle(&mut known, job, &answer);
        steps.job(job.kind.as_str(), known);
        if s.troubles == 0 {
            return;
        }
        steps.trouble("delivered twice, once late", State { troubles: s.troubles - 1, late: Some(job), ..known });
        let troubled = State { troubles: s.troubles - 1, ..*s };
        for (extent, lost, failed, crashed) in [
            (Extent::Nothing, "never arrived", "failed before its effect", "crashed before the effect"),
            (Extent::Half, "half done and lost", "failed half way", "crashed half way"),
            (Extent::Whole, "done and lost", "failed after its effect", "crashed after the effect"),
        ] {
            let mut world = troubled;
            let answer = self.act(&mut world, job, extent);
            if !matches!(answer, Answer::Done) {
                continue;
            }
            let mut unheard = world;
            unheard.open = None;
            self.failed(&mut unheard, job, Retry::Later);
            steps.trouble(lost, unheard);
            let mut told = world;
            told.open = None;
            self.observe(&mut told, job.host);
            self.failed(&mut told, job, Retry::Later);
            steps.trouble(failed, told);
            self.hello(&mut world);
            steps.trouble(crashed, world);
        }
        let mut frozen = troubled;
        frozen.open = None;
        frozen.late = Some(job);
        self.failed(&mut frozen, job, Retry::Later);
        steps.trouble("frozen on its way and lost", frozen);
        if job.kind == Kind::ApplyInstance {
            for (retry, label) in [(Retry::Elsewhere, "fails on this host"), (Retry::Never, "fails everywhere")] {
                let mut told = troubled;
                told.open = None;
                self.observe(&mut told, job.host);
                self.failed(&mut told, job, retry);
                steps.trouble(label, told);
            }
        }
    }

    fn late_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        steps.work("a late job expires", State { late: None, ..*s });
        let mut acted = State { late: None, ..*s };
        let before = acted.hosts;
        let answer = self.act(&mut acted, job, Extent::Whole);
        if self.is(Sabotage::SettleLateOutcome) || job.still_open {
            self.observe(&mut acted, job.host);
        } else if acted.hosts != before {
            acted.seen[usize::from(job.host)].drifted = true;
        } else if matches!(answer, Answer::Done) {
            return;
        }
        if acted.open.is_some() {
            steps.trouble("a late job acts", acted);
        } else {
            self.advance(&mut acted, 1);
            steps.trouble_at_rest("a late job acts", acted);
        }
    }

    /// What happens to a host without dcmgr's doing.
    fn host_steps(&self, s: &State, steps: &mut Steps<State>) {
        let here = usize::from(s.host);
        let mut put = |label, state: State| {
            if s.open.is_some() { steps.trouble(label, state) } else { steps.trouble_at_rest(label, state) }
        };
        let mut troubled = State { troubles: s.troubles - 1, ..*s };
        troubled.seen[here].drifted = true;
        if s.hosts[here].power {
            let mut stopped = troubled;
            stopped.hosts[here].power = false;
            put("the host restarts, its guests are off", stopped);
        }
        if s.hosts[here].exists {
            let mut wiped = troubled;
            wiped.hosts[here] = Host { grave: s.hosts[here].grave, ..Host::default() };
            wiped.late = s.late.filter(|late| late.host != s.host);
            put("everything of it is gone from the host", wiped);
        }
    }

    fn rest_steps(&self, s: &State, steps: &mut Steps<State>) {
        for host in [0, 1] {
            let (known, world) = (s.seen[usize::from(host)], s.hosts[usize::from(host)]);
            let sure = known.domain == seen(world.exists) && known.power == seen(world.power);
            if !sure || (world.exists && known.generation != world.generation) {
                let mut told = *s;
                self.observe(&mut told, host);
                self.advance(&mut told, 1);
                steps.work("an inventory", told);
            }
        }
        if s.troubles == 0 {
            return;
        }
        let troubled = State { troubles: s.troubles - 1, ..*s };
        if self.is(Sabotage::ConcludeFromIncompleteListing) {
            let mut told = troubled;
            let here = &mut told.seen[usize::from(s.host)];
            (here.domain, here.power) = (Fact::No, Fact::No);
            self.advance(&mut told, 1);
            steps.trouble_at_rest("an incomplete inventory", told);
        }
        let mut returned = troubled;
        self.hello(&mut returned);
        if returned != troubled {
            steps.trouble_at_rest("the agent restarts", returned);
        }
    }

    fn wish_steps(&self, s: &State, steps: &mut Steps<State>) {
        let wish = |change: &dyn Fn(&mut State)| {
            let mut changed = State { wishes: s.wishes - 1, ..*s };
            change(&mut changed);
            self.advance(&mut changed, 1);
            changed
        };
        for (desired, label) in [(On, "power on"), (Off, "power off"), (Gone, "delete")] {
            if desired != s.desired || (desired != Gone && s.failure != Failure::None) {
                let to = wish(&|s| {
                    s.desired = desired;
                    s.generation += 1;
                    s.operation = 0;
                    s.failure = Failure::None;
                });
                steps.wish(label, to);
            }
        }
        let here = s.seen[usize::from(s.host)];
        if s.desired == On && here.power == Fact::Yes {
            steps.wish(
                "reboot",
                wish(&|s| {
                    s.operation = s.wishes + 1;
                    s.generation += u8::from(!self.is(Sabotage::RebootInPlace));
                }),
            );
        }
        if here.domain == Fact::Yes {
            steps.wish("a disk comes or goes", wish(&|s| s.generation += 1));
        }
    }
}

impl Model for Instances {
    type State = State;

    fn start(&self) -> Vec<State> {
        let mut start = self.start_state();
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
        if !s.ready {
            let mut ready = State { ready: true, ..*s };
            self.advance(&mut ready, 1);
            steps.work("networks and policy are applied", ready);
        }
        if s.troubles > 0 {
            self.host_steps(s, steps);
        }
        if s.wishes > 0 && s.desired != Gone {
            self.wish_steps(s, steps);
        }
    }

    fn look_again(&self, s: &mut State) {
        self.advance(s, 1);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        let unsound = s.seen.iter().zip(&s.hosts).any(|(seen, host)| {
            !seen.drifted && (is_false(seen.domain, host.exists) || is_false(seen.power, host.power))
        });
        match s.broken {
            Some(what) => Some(what),
            None if s.hosts[0].power && s.hosts[1].power => Some("the guest runs on two hosts"),
            None if unsound => Some("a sure fact is not so"),
            None => None,
        }
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let here = s.hosts[usize::from(s.host)];
        let other = s.hosts[usize::from(1 - s.host)];
        let untroubled = s.troubles == self.troubles;
        match s.desired {
            _ if other.exists => Some("something was left on the host that was left"),
            Gone if here.exists => Some("something of a deleted instance is left"),
            Gone => None,
            On | Off if s.failure != Failure::None && untroubled => Some("failed without a trouble"),
            On | Off if s.failure != Failure::None && !s.ran_before && here.exists => {
                Some("a launch that failed left something")
            }
            On | Off if s.failure != Failure::None => None,
            On | Off if s.leaving => Some("leaving a host without an end"),
            On if !here.power || here.generation != s.generation => Some("not running as wished"),
            On if s.operation != 0 => Some("a reboot is neither done nor given up"),
            Off if here.power || (here.exists && here.generation != s.generation) => Some("not off as wished"),
            On | Off => None,
        }
    }
}

/// Jobs after the last change: apply, refused, delete on the host left, refused there, apply on the next, reboot.
const SETTLED_WITHIN: usize = 8;

#[test]
fn every_history_of_an_instance_ends_as_wished_or_says_why() {
    let model = Instances { sabotage: Sabotage::None, wishes: 3, troubles: 4 };
    assert_right("instance", &model, Least { states: 50_000, quiet: 2_000, settled_within: SETTLED_WITHIN });
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_an_instance() {
    for sabotage in [
        Sabotage::DropMaybe,
        Sabotage::SkipGenerationCheck,
        Sabotage::SettleLateOutcome,
        Sabotage::ForgetToSupersede,
        Sabotage::ConcludeFromIncompleteListing,
        Sabotage::LeaveHostWithoutDelete,
        Sabotage::ForgetFailureInPlace,
        Sabotage::RebootInPlace,
        Sabotage::CreateAgain,
    ] {
        assert_found(&format!("instance, {sabotage:?}"), &Instances { sabotage, wishes: 3, troubles: 4 });
    }
}
