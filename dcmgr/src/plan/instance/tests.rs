//! Walks every history of an instance: up to three changes of mind, up to three troubles (an outcome lost, a failure
//! after the effect, a failure before it), and asserts that it settles, as wished, with nothing left.
//!
//! The model of the world below imports nothing of the plan but its types: it is the host, not the planner.

use super::*;
use crate::plan::{Open, Step, step};
use std::collections::HashSet;

/// What really is on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    domain: bool,
    power: bool,
    generation: u64,
    /// A blank disk was made although the guest had run: the disaster.
    remade: bool,
    ran: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    desired: DesiredInstance,
    generation: u64,
    leaving: bool,
    domain: Fact,
    power: Fact,
    fact_generation: u64,
    ran_before: bool,
    open: Option<Open>,
    world: World,
    wishes_left: u8,
    troubles_left: u8,
    jobs: u8,
}

/// Settling after the last change or trouble takes no more than this many jobs.
const JOBS_MAX: u8 = 12;

#[derive(Clone, Copy, PartialEq)]
enum Sabotage {
    None,
    /// The transaction that queues a job does not write maybe.
    DropMaybe,
}

fn queue(mut s: State, wanted: Wanted, sabotage: Sabotage) -> State {
    s.open = Some(Open { kind: wanted.kind, generation: wanted.generation });
    s.jobs += 1;
    if sabotage != Sabotage::DropMaybe {
        match wanted.kind {
            Kind::ApplyInstance if s.power == Fact::Yes && s.desired == DesiredInstance::On => {}
            Kind::ApplyInstance => {
                s.domain = Fact::Maybe;
                s.power = Fact::Maybe;
            }
            Kind::DeleteInstance => {
                s.domain = Fact::Maybe;
                s.power = Fact::Maybe;
            }
            _ => {}
        }
    }
    s
}

fn advance(s: State, sabotage: Sabotage) -> State {
    let wish = Wish { desired: s.desired, generation: s.generation, reboot: false, leaving_host: s.leaving };
    let facts = Facts { domain: s.domain, power: s.power, generation: s.fact_generation };
    let around = Surroundings { ready: true, ran_before: s.ran_before, failed: false };
    match step(s.open, next_job(wish, facts, around)) {
        Step::Nothing => s,
        Step::Insert(wanted) | Step::Supersede(wanted) => queue(s, wanted, sabotage),
    }
}

fn effect(mut s: State, job: Open) -> State {
    match job.kind {
        Kind::ApplyInstance => {
            let on = s.desired == DesiredInstance::On;
            s.world.remade |= !s.world.domain && s.world.ran;
            s.world.domain = true;
            s.world.power = on;
            s.world.ran |= on;
            s.world.generation = job.generation;
        }
        Kind::DeleteInstance => {
            s.world.domain = false;
            s.world.power = false;
            s.world.ran = false;
        }
        _ => {}
    }
    s
}

fn settle(mut s: State) -> State {
    let fact = |so| if so { Fact::Yes } else { Fact::No };
    s.domain = fact(s.world.domain);
    s.power = fact(s.world.power);
    s.fact_generation = s.world.generation;
    s.ran_before = (s.ran_before || s.world.power) && s.world.domain;
    s.open = None;
    s
}

/// Every state that can follow, but for quiet ones.
fn follow(s: State, sabotage: Sabotage) -> Vec<State> {
    let mut next = Vec::new();
    if s.wishes_left > 0 && s.desired != DesiredInstance::Gone {
        for desired in [DesiredInstance::On, DesiredInstance::Off, DesiredInstance::Gone] {
            if desired != s.desired {
                let changed =
                    State { desired, generation: s.generation + 1, wishes_left: s.wishes_left - 1, jobs: 0, ..s };
                next.push(advance(changed, sabotage));
            }
        }
    }
    let Some(job) = s.open else { return next };
    next.push(advance(settle(effect(s, job)), sabotage));
    if s.troubles_left > 0 {
        let troubled = State { troubles_left: s.troubles_left - 1, jobs: 0, ..s };
        // The effect happened, the outcome was lost: the job is closed, its facts stay maybe.
        let mut lost = effect(troubled, job);
        lost.open = None;
        next.push(advance(lost, sabotage));
        // It failed before the effect and said what it saw.
        next.push(advance(settle(troubled), sabotage));
        // It failed before the effect and nobody saw anything.
        let mut silent = troubled;
        silent.open = None;
        next.push(advance(silent, sabotage));
    }
    next
}

fn walk(sabotage: Sabotage) -> (usize, usize, Option<State>) {
    let world = World { domain: false, power: false, generation: 0, remade: false, ran: false };
    let start = State {
        desired: DesiredInstance::On,
        generation: 1,
        leaving: false,
        domain: Fact::No,
        power: Fact::No,
        fact_generation: 0,
        ran_before: false,
        open: None,
        world,
        wishes_left: 3,
        troubles_left: 4,
        jobs: 0,
    };
    let mut seen = HashSet::new();
    let mut todo = vec![advance(start, sabotage)];
    let mut quiet = 0;
    while let Some(s) = todo.pop() {
        if !seen.insert(s) {
            continue;
        }
        if s.jobs > JOBS_MAX || s.world.remade {
            return (seen.len(), quiet, Some(s));
        }
        if s.open.is_none() {
            quiet += 1;
            let right = match s.desired {
                DesiredInstance::On => s.world.power && s.world.generation == s.generation,
                DesiredInstance::Off => !s.world.power,
                DesiredInstance::Gone => !s.world.domain && !s.world.power,
            };
            if !right {
                return (seen.len(), quiet, Some(s));
            }
        }
        todo.extend(follow(s, sabotage));
    }
    (seen.len(), quiet, None)
}

#[test]
fn every_history_of_three_wishes_and_four_troubles_ends_as_wished() {
    let (visited, quiet, wrong) = walk(Sabotage::None);
    println!("visited {visited} states, {quiet} of them quiet");
    assert_eq!(wrong, None);
    assert!(visited > 400, "the walk visited only {visited} states");
    assert!(quiet > 30, "only {quiet} quiet states");
}

#[test]
fn without_maybe_first_the_walk_finds_a_wrong_end() {
    let (_, _, wrong) = walk(Sabotage::DropMaybe);
    assert!(wrong.is_some(), "dropping the maybe went unnoticed: the walk proves nothing");
}

#[test]
fn a_disk_that_was_used_and_is_gone_is_never_made_again() {
    let facts = Facts { domain: Fact::No, power: Fact::No, generation: 4 };
    let around = Surroundings { ready: true, ran_before: true, failed: false };
    for desired in [DesiredInstance::On, DesiredInstance::Off] {
        let wish = Wish { desired, generation: 5, reboot: false, leaving_host: false };
        assert_eq!(next_job(wish, facts, around), None);
    }
}

#[test]
fn a_launch_that_failed_for_good_is_cleaned_up_but_a_used_disk_is_kept() {
    let wish = Wish { desired: DesiredInstance::On, generation: 2, reboot: false, leaving_host: false };
    let facts = Facts { domain: Fact::Yes, power: Fact::No, generation: 2 };
    let fresh = Surroundings { ready: true, ran_before: false, failed: true };
    let used = Surroundings { ran_before: true, ..fresh };
    assert_eq!(next_job(wish, facts, fresh).map(|w| w.kind), Some(Kind::DeleteInstance));
    assert_eq!(next_job(wish, facts, used), None);
}
