//! Walks every history of a model and says what is wrong with one of them, or what it visited.
//!
//! ```text
//! start ─► every step of every state, breadth first, each state once
//!            work     what the system does by itself: a job ends as it should, an inventory arrives, it looks again
//!            wish     somebody changes his mind
//!            trouble  an outcome lost, a failure, a crash, a late effect
//! a state without work is quiet: nothing happens any more unless somebody outside acts
//! ```
//!
//! Rule: the walk knows nothing of what it walks. It checks what holds for every model: no state is broken, every quiet
//! state ended right, no cycle of work (a loop without a change from outside), and after the last change no more than a
//! named number of jobs. The shortest history that is wrong is told step by step. It does not sample: what a model
//! allows is walked, what it leaves out is said in the model.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What follows from one state.
pub struct Steps<S> {
    next: Vec<Next<S>>,
}

struct Next<S> {
    state: S,
    label: &'static str,
    why: Why,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Work { jobs: u8 },
    Wish,
    Trouble { met_open_job: bool },
}

impl<S> Steps<S> {
    /// A job ends as it should.
    pub fn job(&mut self, label: &'static str, state: S) {
        self.next.push(Next { state, label, why: Why::Work { jobs: 1 } });
    }

    /// The system goes on by itself without a job: an inventory, a version applied.
    pub fn work(&mut self, label: &'static str, state: S) {
        self.next.push(Next { state, label, why: Why::Work { jobs: 0 } });
    }

    pub fn wish(&mut self, label: &'static str, state: S) {
        self.next.push(Next { state, label, why: Why::Wish });
    }

    /// A trouble while a job was open.
    pub fn trouble(&mut self, label: &'static str, state: S) {
        self.next.push(Next { state, label, why: Why::Trouble { met_open_job: true } });
    }

    /// A trouble while nothing was under way.
    pub fn trouble_at_rest(&mut self, label: &'static str, state: S) {
        self.next.push(Next { state, label, why: Why::Trouble { met_open_job: false } });
    }
}

/// A system with its world, to be walked.
pub trait Model {
    type State: Copy + Eq + Hash + Debug;

    fn start(&self) -> Vec<Self::State>;

    /// Everything that can happen next.
    fn follow(&self, state: &Self::State, steps: &mut Steps<Self::State>);

    /// What dcmgr would write if it looked at this state now. Whatever is told of a thing or of its neighbours, and the timer,
    /// has it looked at, also while a job is open: the walk does it in every state, and a plan that goes round by it is
    /// work without an end.
    fn look_again(&self, state: &mut Self::State);

    /// An invariant that this state breaks, quiet or not.
    fn broken(&self, state: &Self::State) -> Option<&'static str>;

    /// Why a quiet state is not the end that was wished for.
    fn wrong_end(&self, state: &Self::State) -> Option<&'static str>;
}

/// What a walk saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visited {
    pub states: usize,
    pub steps: usize,
    pub quiet: usize,
    pub wishes: usize,
    pub troubles: usize,
    pub troubles_met_job: usize,
    /// States in which looking again writes something.
    pub looked: usize,
    /// Most jobs that end before everything is quiet, when nothing more comes from outside.
    pub settled_within: usize,
}

impl fmt::Display for Visited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} states, {} steps, {} quiet, {} changes of mind, {} troubles of which {} met an open job, looked at again in \
             each and {} changed by it, settled within {} jobs",
            self.states,
            self.steps,
            self.quiet,
            self.wishes,
            self.troubles,
            self.troubles_met_job,
            self.looked,
            self.settled_within
        )
    }
}

/// A history that ends wrong.
pub struct Wrong {
    pub what: &'static str,
    pub history: Vec<String>,
}

impl Debug for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} after {} steps:", self.what, self.history.len().saturating_sub(1))?;
        self.history.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// The least a walk must have seen; fewer says that the model lost its steps.
#[derive(Debug, Clone, Copy)]
pub struct Least {
    pub states: usize,
    pub quiet: usize,
    pub settled_within: usize,
}

/// Walks, prints what was visited and holds it to the least; a wrong history ends the test.
pub fn assert_right<M: Model>(name: &str, model: &M, least: Least) -> Visited {
    let visited = walk(model).unwrap_or_else(|wrong| panic!("{name}: {wrong:?}"));
    println!("{name}: {visited}");
    assert!(visited.states >= least.states, "{name}: only {} states were visited", visited.states);
    assert!(visited.quiet >= least.quiet, "{name}: only {} quiet states", visited.quiet);
    assert!(visited.wishes > 0 && visited.troubles > 0, "{name}: nothing was changed or troubled");
    assert!(visited.troubles_met_job * 2 >= visited.troubles, "{name}: most troubles met nothing");
    assert!(
        visited.settled_within <= least.settled_within,
        "{name}: settled only within {} jobs",
        visited.settled_within
    );
    visited
}

/// The walk of a sabotaged model must find something wrong: else the invariant proves nothing.
pub fn assert_found<M: Model>(name: &str, model: &M) {
    match walk(model) {
        Ok(visited) => panic!("{name} went unnoticed: {visited}"),
        Err(wrong) => println!("{name}: found \"{}\" after {} steps", wrong.what, wrong.history.len() - 1),
    }
}

/// Walks every history.
///
/// # Errors
/// The first history found that is wrong; there is none shorter that breaks an invariant.
pub fn walk<M: Model>(model: &M) -> Result<Visited, Wrong> {
    let mut graph = Graph::new();
    let mut visited = Visited {
        states: 0,
        steps: 0,
        quiet: 0,
        wishes: 0,
        troubles: 0,
        troubles_met_job: 0,
        looked: 0,
        settled_within: 0,
    };
    for state in model.start() {
        graph.place(state, None);
    }
    let mut steps = Steps { next: Vec::new() };
    let mut at = 0;
    while at < graph.states.len() {
        let state = graph.states[at];
        if let Some(what) = model.broken(&state) {
            return Err(graph.wrong(at, what));
        }
        model.follow(&state, &mut steps);
        let mut works = false;
        for next in steps.next.drain(..) {
            visited.steps += 1;
            let to = graph.place(next.state, Some((at, next.label)));
            match next.why {
                Why::Work { jobs } => {
                    works = true;
                    graph.work.push((to, jobs));
                }
                Why::Wish => visited.wishes += 1,
                Why::Trouble { met_open_job } => {
                    visited.troubles += 1;
                    visited.troubles_met_job += usize::from(met_open_job);
                }
            }
        }
        let mut again = state;
        model.look_again(&mut again);
        if again != state {
            visited.looked += 1;
            let to = graph.place(again, Some((at, "looked at again")));
            graph.work.push((to, 0));
        }
        graph.ends.push(graph.work.len());
        // What only the timer would find was forgotten when it became so: it is an end all the same.
        if !works {
            visited.quiet += 1;
            if let Some(what) = model.wrong_end(&state) {
                return Err(graph.wrong(at, what));
            }
        }
        at += 1;
    }
    visited.states = graph.states.len();
    visited.settled_within = graph.longest_work().map_err(|at| graph.wrong(at, "work without an end"))?;
    Ok(visited)
}

/// States in the order they were found; work steps of state `i` are `work[ends[i - 1]..ends[i]]`.
struct Graph<S> {
    states: Vec<S>,
    index: HashMap<S, usize, BuildHasherDefault<Mix>>,
    parents: Vec<Option<(usize, &'static str)>>,
    work: Vec<(usize, u8)>,
    ends: Vec<usize>,
}

impl<S: Copy + Eq + Hash + Debug> Graph<S> {
    fn new() -> Self {
        Graph { states: Vec::new(), index: HashMap::default(), parents: Vec::new(), work: Vec::new(), ends: Vec::new() }
    }

    fn place(&mut self, state: S, parent: Option<(usize, &'static str)>) -> usize {
        let new = self.states.len();
        let at = *self.index.entry(state).or_insert(new);
        if at == new {
            self.states.push(state);
            self.parents.push(parent);
        }
        at
    }

    /// The history up to a state: each step with what it changed.
    fn wrong(&self, at: usize, what: &'static str) -> Wrong {
        let mut history = Vec::new();
        let mut place = at;
        while let Some((before, label)) = self.parents[place] {
            history.push(format!("{label}: {}", changes(&self.states[before], &self.states[place])));
            place = before;
        }
        history.push(format!("start: {:?}", self.states[place]));
        history.reverse();
        Wrong { what, history }
    }

    fn work_of(&self, at: usize) -> &[(usize, u8)] {
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.work[from..self.ends[at]]
    }

    /// The most jobs on any path of work, or a state on a cycle of work.
    fn longest_work(&self) -> Result<usize, usize> {
        const UNKNOWN: u32 = u32::MAX;
        const ON_PATH: u32 = u32::MAX - 1;
        let mut longest = vec![UNKNOWN; self.states.len()];
        let mut path: Vec<(usize, usize)> = Vec::new();
        for start in 0..self.states.len() {
            if longest[start] != UNKNOWN {
                continue;
            }
            path.push((start, 0));
            longest[start] = ON_PATH;
            while let Some(top) = path.last_mut() {
                let (at, turn) = *top;
                let Some(&(to, _)) = self.work_of(at).get(turn) else {
                    let jobs = self.work_of(at).iter().map(|&(to, jobs)| longest[to] + u32::from(jobs)).max();
                    longest[at] = jobs.unwrap_or(0);
                    path.pop();
                    continue;
                };
                top.1 += 1;
                match longest[to] {
                    UNKNOWN => {
                        longest[to] = ON_PATH;
                        path.push((to, 0));
                    }
                    ON_PATH => return Err(to),
                    _ => {}
                }
            }
        }
        Ok(longest.into_iter().max().unwrap_or(0) as usize)
    }
}

/// The fields of a state that differ from the one before.
fn changes<S: Debug>(before: &S, after: &S) -> String {
    let (before, after) = (format!("{before:?}"), format!("{after:?}"));
    let known = fields(&before);
    let told = fields(&after).into_iter().enumerate().filter(|(at, field)| known.get(*at) != Some(field));
    told.map(|(_, field)| field).collect::<Vec<_>>().join(", ")
}

/// Splits the debug form of a struct at its own commas, not at those of what it holds.
fn fields(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            ',' if depth == 1 => {
                found.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(text[from..].trim());
    found
}

/// A hash that is fast without optimisation: the walks run in debug builds.
#[derive(Default)]
struct Mix(u64);

impl Mix {
    fn add(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.add(u64::from(*byte)));
    }

    fn write_u8(&mut self, value: u8) {
        self.add(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.add(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.add(value as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts to ten by jobs; a trouble sets it back.
    struct Counter {
        loops: bool,
        forgets: bool,
        looks_round: bool,
    }

    const RIGHT: Counter = Counter { loops: false, forgets: false, looks_round: false };

    impl Model for Counter {
        type State = (u8, u8);

        fn start(&self) -> Vec<(u8, u8)> {
            vec![(0, 2)]
        }

        fn follow(&self, &(at, troubles): &(u8, u8), steps: &mut Steps<(u8, u8)>) {
            let end = if self.forgets { 9 } else { 10 };
            if at < end {
                steps.job("count", (at + 1, troubles));
                if troubles > 0 {
                    steps.trouble("set back", (0, troubles - 1));
                }
            } else if self.loops {
                steps.job("again", (0, troubles));
            }
        }

        /// Looked at beyond its end it would begin anew.
        fn look_again(&self, (at, _): &mut (u8, u8)) {
            if self.looks_round && *at == 10 {
                *at = 9;
            }
        }

        fn broken(&self, &(at, _): &(u8, u8)) -> Option<&'static str> {
            (at > 10).then_some("counted too far")
        }

        fn wrong_end(&self, &(at, _): &(u8, u8)) -> Option<&'static str> {
            (at != 10).then_some("not ten")
        }
    }

    #[test]
    fn a_walk_counts_what_it_visited_and_the_longest_work() {
        let visited = walk(&RIGHT).unwrap();
        assert_eq!((visited.states, visited.quiet, visited.settled_within, visited.troubles), (33, 3, 10, 20));
    }

    #[test]
    fn a_loop_and_a_wrong_end_are_found_with_their_history() {
        let wrong = walk(&Counter { loops: true, ..RIGHT }).unwrap_err();
        assert_eq!(wrong.what, "work without an end");
        let wrong = walk(&Counter { forgets: true, ..RIGHT }).unwrap_err();
        assert_eq!((wrong.what, wrong.history.len()), ("not ten", 10));
        let wrong = walk(&Counter { looks_round: true, ..RIGHT }).unwrap_err();
        assert_eq!(wrong.what, "work without an end");
    }
}
