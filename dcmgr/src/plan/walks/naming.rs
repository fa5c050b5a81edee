//! Every history of a network among three naming services, two of which it wants: services fall silent and return with what
//! they had, are closed and opened, jobs are lost and late, and the network's gateway is one of them.
//!
//! The body of a job is made when it is rung: it carries the version it was queued for, or the newest. A service that is not
//! heard goes on serving what it has, and translating.

use super::Sabotage;
use crate::plan::naming::{Changes, Count, Place, Service, Voice, Wish, changes};
use crate::plan::snapshot::{next_job, next_removal};
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};
use crate::plan::{Kind, Open, Step, step};
use arame_schema::model::Fact;

const NAMES: [&str; 3] = ["nsa.a", "nsa.b", "nsa.c"];
const WANTED: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Job {
    version: u8,
    ends: bool,
    /// An apply's body made when the job was queued makes it the gateway.
    leads_out: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Nsa {
    voice: Voice,
    enabled: bool,
    place: Place,
    placed: u8,
    withdrawn: u8,
    gateway_left: u8,
    /// What was answered last in its present life, and at which version.
    fact: (Fact, u8),
    open: Option<Job>,
    late: Option<Job>,
    /// 0: nothing.
    serves: u8,
    grave: u8,
    translates: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    version: u8,
    gateway: Option<u8>,
    nsa: [Nsa; 3],
    wishes: u8,
    troubles: u8,
    broken: Option<&'static str>,
}

struct Naming {
    sabotage: Sabotage,
    wishes: u8,
    troubles: u8,
}

impl Nsa {
    fn is_heard(&self) -> bool {
        self.voice == Voice::Heard
    }

    fn counts_as_serving(&self) -> bool {
        self.place == Place::Wanted && self.fact.0 == Fact::Yes && self.fact.1 >= self.placed
    }

    fn truth(&self) -> (Fact, u8) {
        if self.serves > 0 { (Fact::Yes, self.serves) } else { (Fact::No, self.grave) }
    }
}

impl Naming {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    /// `advance::snapshot::row_at`.
    fn advance(&self, s: &mut State, at: usize) {
        let (version, leads_out) = (s.version, s.gateway == Some(at as u8));
        let nsa = &mut s.nsa[at];
        if nsa.place == Place::None && nsa.fact.0 == Fact::Yes {
            (nsa.place, nsa.placed) = (Place::Wanted, 0);
        }
        let served = if nsa.fact.0 == Fact::Yes { nsa.fact.1 } else { 0 };
        let wanted = match nsa.place {
            Place::None => return,
            Place::Wanted => next_job(Kind::ApplyNetwork, version.into(), served.into()),
            Place::Withdrawn => {
                let wanted = next_removal(nsa.withdrawn.max(served).into(), nsa.fact.0, nsa.fact.1.into());
                if wanted.is_none() {
                    nsa.place = Place::None;
                    nsa.gateway_left = 0;
                }
                wanted
            }
        };
        let kind = |ends| if ends { Kind::DeleteNetwork } else { Kind::ApplyNetwork };
        let open = nsa.open.map(|job| Open { kind: kind(job.ends), generation: job.version.into() });
        match step(open, wanted) {
            Step::Nothing => {}
            Step::Insert(wanted) | Step::Supersede(wanted) => {
                nsa.late = nsa.open.or(nsa.late);
                let ends = wanted.kind == Kind::DeleteNetwork;
                nsa.open = Some(Job { version: wanted.generation as u8, ends, leads_out });
            }
        }
    }

    fn wanted(&self, s: &State) -> Changes {
        let services: Vec<Service> = s.nsa.iter().zip(NAMES).map(|(nsa, name)| self.seen(nsa, name)).collect();
        let gateway = s.gateway.map(|at| NAMES[usize::from(at)].to_owned());
        let mut found = changes(&Wish { count: Count::Of(WANTED as u16), has_way: true, gateway }, &services);
        if self.is(Sabotage::KeepDeadGateway) && s.gateway.is_some() {
            found.gateway = None;
        }
        found
    }

    fn seen(&self, nsa: &Nsa, name: &str) -> Service {
        let believed = self.is(Sabotage::WithdrawBeforeServed) && nsa.place == Place::Wanted;
        Service {
            agent: name.into(),
            node: name.into(),
            place: nsa.place,
            voice: nsa.voice,
            enabled: nsa.enabled,
            degraded: false,
            serves: nsa.counts_as_serving() || believed,
            may_translate: nsa.gateway_left > 0 && !(nsa.fact.0 == Fact::Yes && nsa.fact.1 >= nsa.gateway_left),
            networks: 0,
            guests: 0,
        }
    }

    /// `app::networks::naming::put_right`.
    fn look(&self, s: &mut State, changes: &Changes) {
        let index = |name: &String| NAMES.iter().position(|known| known == name).unwrap_or(0);
        s.version += u8::from(!self.is(Sabotage::PlaceAtOldVersion));
        for at in changes.place.iter().map(index) {
            s.nsa[at].place = Place::Wanted;
            s.nsa[at].placed = s.version;
        }
        for at in changes.withdraw.iter().map(index) {
            let others = s.nsa.iter().enumerate().filter(|(other, _)| *other != at);
            if !others.into_iter().any(|(_, nsa)| nsa.place == Place::Wanted && nsa.serves > 0) {
                s.broken = Some("a service was withdrawn while no other serves");
            }
            s.nsa[at].place = Place::Withdrawn;
            s.nsa[at].withdrawn = s.version;
        }
        if let Some(at) = changes.gateway.as_ref().map(index) {
            if let Some(former) = s.gateway {
                s.nsa[usize::from(former)].gateway_left = s.version;
            }
            s.nsa[at].gateway_left = 0;
            s.gateway = Some(at as u8);
        }
        self.advance_heard(s);
    }

    fn advance_heard(&self, s: &mut State) {
        for at in 0..s.nsa.len() {
            if s.nsa[at].is_heard() {
                self.advance(s, at);
            }
        }
    }

    /// What an agent makes of a job; answers what it then tells.
    fn act(&self, s: &mut State, at: usize, job: Job, newest: bool) -> (Fact, u8) {
        let (version, leads_out) = (s.version, s.gateway == Some(at as u8));
        let nsa = &mut s.nsa[at];
        let (body, leads_out) = if newest { (version, leads_out) } else { (job.version, job.leads_out) };
        if job.ends {
            if job.version >= nsa.serves {
                nsa.grave = nsa.grave.max(job.version);
                (nsa.serves, nsa.translates) = (0, false);
                return (Fact::No, job.version);
            }
        } else if body > nsa.serves && body > nsa.grave {
            (nsa.serves, nsa.translates) = (body, leads_out);
        }
        nsa.truth()
    }

    fn job_steps(&self, s: &State, at: usize, job: Job, steps: &mut Steps<State>) {
        for newest in [false, true] {
            if newest && job.ends {
                continue;
            }
            let mut done = *s;
            let told = self.act(&mut done, at, job, newest);
            let mut lost = done;
            done.nsa[at].open = None;
            done.nsa[at].fact = told;
            self.advance(&mut done, at);
            steps.job(if job.ends { "nsa.network.delete" } else { "nsa.network.apply" }, done);
            if s.troubles > 0 {
                lost.troubles -= 1;
                lost.nsa[at].open = None;
                self.advance(&mut lost, at);
                steps.trouble("done and lost", lost);
            }
        }
        if s.troubles > 0 {
            let mut frozen = State { troubles: s.troubles - 1, ..*s };
            frozen.nsa[at].open = None;
            frozen.nsa[at].late = Some(job);
            self.advance(&mut frozen, at);
            steps.trouble("frozen on its way and lost", frozen);
        }
    }

    fn late_steps(&self, s: &State, at: usize, job: Job, steps: &mut Steps<State>) {
        let mut expired = *s;
        expired.nsa[at].late = None;
        steps.work("a late job expires", expired);
        self.act(&mut expired, at, job, false);
        steps.trouble("a late job acts", expired);
    }

    /// What a service that is heard lists differs from what is known of it.
    fn inventory(&self, s: &State, at: usize, steps: &mut Steps<State>) {
        let (fact, truth) = (s.nsa[at].fact, s.nsa[at].truth());
        // What is not listed is not concluded to be gone.
        if s.nsa[at].open.is_none() && truth.0 == Fact::Yes && truth != fact {
            let mut told = *s;
            told.nsa[at].fact = truth;
            self.advance(&mut told, at);
            steps.work("an inventory", told);
        }
    }

    fn voices(&self, s: &State, at: usize, steps: &mut Steps<State>) {
        let nsa = &s.nsa[at];
        if nsa.is_heard() {
            if s.troubles > 0 {
                let mut silent = State { troubles: s.troubles - 1, ..*s };
                silent.nsa[at].voice = Voice::Silent;
                match nsa.open {
                    Some(_) => steps.trouble("it falls silent", silent),
                    None => steps.trouble_at_rest("it falls silent", silent),
                }
            }
            return;
        }
        if nsa.voice == Voice::Silent {
            let mut gone = *s;
            gone.nsa[at].voice = Voice::Gone;
            steps.work("it stays silent", gone);
        }
        let mut back = *s;
        back.nsa[at].voice = Voice::Heard;
        back.nsa[at].fact = (Fact::No, 0);
        self.advance(&mut back, at);
        steps.wish("it returns", back);
    }
}

impl Model for Naming {
    type State = State;

    fn start(&self) -> Vec<State> {
        let nsa = Nsa {
            voice: Voice::Heard,
            enabled: true,
            place: Place::None,
            placed: 0,
            withdrawn: 0,
            gateway_left: 0,
            fact: (Fact::No, 0),
            open: None,
            late: None,
            serves: 0,
            grave: 0,
            translates: false,
        };
        let (wishes, troubles) = (self.wishes, self.troubles);
        let fresh = State { version: 1, gateway: None, nsa: [nsa; 3], wishes, troubles, broken: None };
        // One that has been served for a while, so that troubles need not be spent on its beginning.
        let mut settled = State { version: 3, gateway: Some(0), ..fresh };
        for at in 0..WANTED {
            let own = &mut settled.nsa[at];
            (own.place, own.placed, own.serves, own.fact) = (Place::Wanted, 2, 3, (Fact::Yes, 3));
            own.translates = at == 0;
        }
        vec![fresh, settled]
    }

    fn follow(&self, s: &State, steps: &mut Steps<State>) {
        let wanted = self.wanted(s);
        if !wanted.is_nothing() {
            let mut looked = *s;
            self.look(&mut looked, &wanted);
            steps.work("dcmgr looks", looked);
        }
        for at in 0..s.nsa.len() {
            self.voices(s, at, steps);
            if !s.nsa[at].is_heard() {
                continue;
            }
            if let Some(job) = s.nsa[at].open {
                self.job_steps(s, at, job, steps);
            }
            if let Some(job) = s.nsa[at].late {
                self.late_steps(s, at, job, steps);
            }
            self.inventory(s, at, steps);
        }
        if s.wishes > 0 {
            let wished = State { wishes: s.wishes - 1, ..*s };
            let mut launched = State { version: s.version + 1, ..wished };
            self.advance_heard(&mut launched);
            steps.wish("a launch raises the version", launched);
            for at in 0..s.nsa.len() {
                let mut turned = wished;
                turned.nsa[at].enabled = !turned.nsa[at].enabled;
                steps.wish("one is closed or opened", turned);
            }
        }
    }

    fn look_again(&self, s: &mut State) {
        self.advance_heard(s);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        let unsound = s.nsa.iter().any(|nsa| nsa.counts_as_serving() && nsa.serves < nsa.fact.1);
        s.broken.or(unsound.then_some("a service is known to serve and does not"))
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let heard = || s.nsa.iter().filter(|nsa| nsa.is_heard());
        let open = heard().filter(|nsa| nsa.enabled).count();
        let serving = heard().filter(|nsa| nsa.place == Place::Wanted && nsa.serves == s.version).count();
        let behind = heard().any(|nsa| nsa.place == Place::Wanted && nsa.serves < s.version);
        let leading = s.gateway.map(|at| s.nsa[usize::from(at)]);
        if serving < open.min(WANTED) {
            return Some("fewer serve the newest version than could");
        }
        if behind || heard().any(|nsa| nsa.place == Place::None && nsa.serves > 0) {
            return Some("one serves an old version, or what it is not to serve");
        }
        if heard().filter(|nsa| nsa.place == Place::Wanted && nsa.enabled).count() > WANTED {
            return Some("more serve than are wanted");
        }
        if serving > 0 && leading.is_none_or(|nsa| !nsa.is_heard() || !nsa.translates) {
            return Some("nobody leads the network out although one could");
        }
        (heard().filter(|nsa| nsa.translates).count() > 1).then_some("two lead the network out")
    }
}

#[test]
fn every_history_of_a_networks_services_ends_with_as_many_as_it_wants_and_one_gateway() {
    for (wishes, troubles) in [(1, 1), (0, 2)] {
        let model = Naming { sabotage: Sabotage::None, wishes, troubles };
        let least = Least { states: 5_000, quiet: 20, settled_within: 20 };
        assert_right(&format!("naming services of a network, {wishes} wishes, {troubles} troubles"), &model, least);
    }
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_a_networks_services() {
    let sabotages = [Sabotage::WithdrawBeforeServed, Sabotage::PlaceAtOldVersion, Sabotage::KeepDeadGateway];
    for sabotage in sabotages {
        assert_found(&format!("naming, {sabotage:?}"), &Naming { sabotage, wishes: 1, troubles: 1 });
    }
}
