//! Every history of an instance with a volume on two hosts that fall silent, are declared lost, come back, alive or not, while
//! its volume is detached: the plans of the instance, its attachment and the loss at once, as `app` calls them.
//!
//! Held in every state: the instance's guest runs nowhere while another host reaches its volume, and the volume is reached by
//! one host at most. In the end a volume of a lost host is free or where its instance is, a lost host that came back runs
//! nothing and has nothing that is elsewhere. The storage node is always heard: one that is not only makes it all later.

mod world;

use super::{Sabotage, is_false, seen};
use crate::plan::attachment::{self, is_fenced, is_over, is_plug_settled, is_pluggable, is_unplug_settled, plug_to_go};
use crate::plan::loss::{Fate, Left, Machine, as_sworn, fate, has_given_up, is_to_go};
use crate::plan::migration::{Guest, Job as MoveJob};
use crate::plan::moving::{Held, may_be_newest, stray, stray_of_lost};
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};
use crate::plan::{Kind, Open, Step, Wanted, instance, step};
use arame_schema::model::instance::DesiredInstance;
use arame_schema::model::{Fact, FactName};

/// The (thing, agent) pairs that can have an open job: the instance at each host, the attachment at the storage node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Host(usize),
    Storage,
}

const PLACES: [Place; 3] = [Place::Host(0), Place::Host(1), Place::Storage];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Job {
    kind: Kind,
    place: Place,
    generation: u8,
    on: bool,
    /// The export that the guest is to have, by its generation; 0: none.
    disk: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Row {
    own: usize,
    off: bool,
    leaving: bool,
    generation: u8,
    ran: bool,
    /// No host was there to take it: it is failed, until something is told of it again.
    failed: bool,
}

/// What dcmgr knows of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Known {
    domain: Fact,
    power: Fact,
    generation: u8,
    plugged: Fact,
    /// A removal was answered: `Left::removed`.
    removed: bool,
}

const ABSENT: Known = Known { domain: Fact::No, power: Fact::No, generation: 0, plugged: Fact::No, removed: false };

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Attachment {
    wanted: bool,
    fencing: bool,
    generation: u8,
    exported: Fact,
    export_generation: u8,
    proved: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Host {
    exists: bool,
    running: bool,
    generation: u8,
    grave: u8,
    /// The export it logged in to, by its generation; 0: none.
    session: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    row: Row,
    known: [Known; 2],
    attachment: Option<Attachment>,
    lost: [bool; 2],
    heard: [bool; 2],
    open: [Option<Job>; 3],
    late: Option<Job>,
    hosts: [Host; 2],
    /// Whether it stands, and its generation, also when it was removed.
    export: (bool, u8),
    drifted: u8,
    wishes: u8,
    troubles: u8,
    broken: Option<&'static str>,
}

#[derive(Clone, Copy)]
enum Answer {
    Done,
    Refused(u8),
    Failed,
}

struct Loss {
    sabotage: Sabotage,
    wishes: u8,
    troubles: u8,
}

fn slot(place: Place) -> usize {
    match place {
        Place::Host(host) => host,
        Place::Storage => 2,
    }
}

fn small(generation: u64) -> u8 {
    u8::try_from(generation).unwrap_or(u8::MAX)
}

/// Whether a guest on the host reaches the volume.
fn reaches(s: &State, host: usize) -> bool {
    let Host { running, session, .. } = s.hosts[host];
    running && session != 0 && s.export == (true, session)
}

fn held(known: Known) -> Held {
    match (known.domain, known.power) {
        (Fact::No, Fact::No) => Held::Between(Guest::Absent),
        (Fact::Yes, Fact::Yes) => Held::Between(Guest::Running),
        (Fact::Yes, Fact::No) => Held::Off,
        (Fact::No | Fact::Maybe, _) | (Fact::Yes, Fact::Maybe) => Held::Between(Guest::Maybe),
    }
}

impl Loss {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    fn asked(&self, s: &State, open: Attachment, plugged: Fact) -> (attachment::Wish, attachment::Facts) {
        let wish = attachment::Wish { wanted: open.wanted, generation: open.generation.into(), fencing: open.fencing };
        let mut facts = attachment::Facts {
            volume: Fact::Yes,
            exported: open.exported,
            export_generation: open.export_generation.into(),
            proved: open.proved.map(u64::from),
            plugged,
        };
        if self.is(Sabotage::BelieveOlderProof) && open.proved.is_some() {
            (facts.exported, facts.proved) = (Fact::No, Some(wish.generation));
        }
        if self.is(Sabotage::BelieveUnprovedFence) && s.lost[s.row.own] {
            (facts.exported, facts.proved) = (Fact::No, Some(wish.generation));
        }
        (wish, facts)
    }

    fn want(&self, s: &mut State, place: Place, wanted: Option<Wanted>) -> Option<Kind> {
        let open = s.open[slot(place)];
        let wanted = match step(open.map(|job| Open { kind: job.kind, generation: job.generation.into() }), wanted) {
            Step::Nothing => return None,
            Step::Insert(wanted) => wanted,
            Step::Supersede(wanted) => {
                s.late = open;
                wanted
            }
        };
        let generation = small(wanted.generation);
        s.open[slot(place)] = Some(Job { kind: wanted.kind, place, generation, on: !s.row.off, disk: 0 });
        Some(wanted.kind)
    }

    /// `app::advance::moving::remove_strays`; an observation is what an inventory tells anyway.
    fn remove_strays(&self, s: &mut State) {
        let other = 1 - s.row.own;
        let job = match s.lost[other] && !self.is(Sabotage::LeaveStrays) {
            true => stray_of_lost(held(s.known[s.row.own]), held(s.known[other]), s.row.ran),
            false => stray(held(s.known[s.row.own]), held(s.known[other])),
        };
        if job != Some(MoveJob::Remove) {
            return;
        }
        let wanted = Wanted { kind: Kind::DeleteInstance, generation: s.row.generation.into() };
        if self.want(s, Place::Host(other), Some(wanted)).is_some() {
            (s.known[other].domain, s.known[other].power) = (Fact::Maybe, Fact::Maybe);
        }
    }

    fn advance_instance(&self, s: &mut State) {
        self.remove_strays(s);
        let (row, known) = (s.row, s.known[s.row.own]);
        let desired = if row.off { DesiredInstance::Off } else { DesiredInstance::On };
        let wish =
            instance::Wish { desired, generation: row.generation.into(), reboot: false, leaving_host: row.leaving };
        let asked = s.attachment.map(|open| self.asked(s, open, known.plugged));
        let devices_settled = asked.is_none_or(|(wish, facts)| match desired {
            DesiredInstance::On => is_plug_settled(wish, facts),
            DesiredInstance::Off | DesiredInstance::Gone => is_unplug_settled(wish, facts),
        });
        let facts = instance::Facts {
            domain: known.domain,
            power: known.power,
            generation: known.generation.into(),
            devices_settled,
        };
        let facts = if row.leaving && s.lost[row.own] { as_sworn(facts, wish.generation) } else { facts };
        let fenced = asked.is_none_or(|(wish, facts)| !wish.fencing || is_fenced(wish, facts));
        if instance::may_start_elsewhere(wish, facts, fenced || self.is(Sabotage::StartBeforeProof)) {
            return self.place_again(s);
        }
        let around = instance::Surroundings { ready: true, ran_before: row.ran, failed: false };
        let Some(kind) = self.want(s, Place::Host(row.own), instance::next_job(wish, facts, around)) else { return };
        let known = &mut s.known[row.own];
        if kind == Kind::DeleteInstance || known.power != Fact::Yes || row.off {
            (known.domain, known.power) = (Fact::Maybe, Fact::Maybe);
        }
        let Some((wish, facts)) = asked else { return };
        let plugs = kind == Kind::ApplyInstance && is_pluggable(wish, facts);
        if (plugs && facts.plugged != Fact::Yes) || (!wish.wanted && facts.plugged == Fact::Yes) {
            known.plugged = Fact::Maybe;
        }
        if let (true, Some(job)) = (plugs, &mut s.open[row.own]) {
            job.disk = small(facts.export_generation);
        }
    }

    /// `app::placement::replace`: the other host, if it can take it.
    fn place_again(&self, s: &mut State) {
        let other = 1 - s.row.own;
        s.row.failed = s.lost[other] || !s.heard[other];
        if s.row.failed {
            return;
        }
        s.known[s.row.own].plugged = Fact::No;
        s.row = Row { own: other, leaving: false, generation: s.row.generation + 1, ..s.row };
        if let Some(open) = s.attachment.as_mut().filter(|open| open.wanted) {
            (open.generation, open.fencing) = (open.generation + 1, false);
        }
        self.advance_instance(s);
        self.advance_attachment(s);
    }

    fn advance_attachment(&self, s: &mut State) {
        let Some(open) = s.attachment else { return };
        let own = s.known[s.row.own];
        let most = s.known.map(|known| known.plugged).into_iter().max().unwrap_or(Fact::No);
        let plugged = match open.wanted {
            true => most,
            false => plug_to_go(most, own.domain, own.generation >= s.row.generation),
        };
        let (wish, facts) = self.asked(s, open, plugged);
        if is_over(wish, facts) {
            s.attachment = None;
            return;
        }
        if self.want(s, Place::Storage, attachment::next_job(wish, facts)).is_some()
            && let Some(open) = &mut s.attachment
        {
            open.exported = Fact::Maybe;
        }
    }

    fn advance(&self, s: &mut State) {
        self.advance_instance(s);
        self.advance_attachment(s);
        self.advance_instance(s);
    }

    /// Writes what an agent sees.
    fn observe(&self, s: &mut State, place: Place) {
        s.drifted &= !(1 << slot(place));
        match place {
            Place::Host(at) => {
                let (host, known) = (s.hosts[at], s.known[at]);
                // What is known to be absent is not told again by a listing.
                let stays = !host.exists && held(known) == Held::Between(Guest::Absent);
                s.known[at] = Known {
                    domain: seen(host.exists),
                    power: seen(host.running),
                    generation: match (stays, host.exists) {
                        (true, _) => known.generation,
                        (false, true) => host.generation,
                        (false, false) => 0,
                    },
                    plugged: seen(host.session != 0),
                    removed: stays && known.removed,
                };
                s.row.ran |= host.running && at == s.row.own && !s.row.leaving;
            }
            Place::Storage => {
                let Some(open) = &mut s.attachment else { return };
                let (stands, generation) = s.export;
                let news = open.exported != Fact::Yes || open.export_generation != generation;
                // An absence that is only seen carries no generation and no proof.
                let keeps = open.exported == Fact::No && !stands;
                if !keeps {
                    open.exported = seen(stands);
                    open.export_generation = if stands { generation } else { 0 };
                    if !self.is(Sabotage::BelieveOlderProof) {
                        open.proved = None;
                    }
                }
                if stands && open.wanted && news {
                    s.row.generation += 1;
                }
            }
        }
    }

    fn settle(&self, s: &mut State, job: Job, answer: Answer) {
        s.open[slot(job.place)] = None;
        let before = s.attachment;
        self.observe(s, job.place);
        match (answer, job.place) {
            (Answer::Done, Place::Host(at)) if job.kind == Kind::DeleteInstance => {
                s.known[at].generation = s.known[at].generation.max(job.generation);
                s.known[at].removed = true;
            }
            (Answer::Done, Place::Storage) if job.kind != Kind::ExportVolume => {
                if let Some(open) = s.attachment.as_mut().filter(|open| open.exported == Fact::No) {
                    open.export_generation = open.export_generation.max(job.generation);
                    if job.kind == Kind::FenceVolume {
                        open.proved = Some(job.generation);
                    }
                }
            }
            (Answer::Refused(found), Place::Host(_)) => s.row.generation = s.row.generation.max(found) + 1,
            (Answer::Refused(found), Place::Storage) => {
                if let Some(open) = &mut s.attachment {
                    open.generation = open.generation.max(found) + 1;
                }
            }
            // What could not be plugged is not exported as it was thought to be.
            (Answer::Failed, _) => self.observe(s, Place::Storage),
            (Answer::Done, _) => {}
        }
        debug_assert!(before.is_some() || s.attachment.is_none());
        self.advance(s);
    }

    /// `app::losses::declare`.
    fn declare(&self, s: &mut State, host: usize) {
        s.lost[host] = true;
        if let Some(job) = s.open[host].take() {
            s.late = Some(job);
        }
        if s.row.own != host {
            s.known[host] = Known { generation: s.row.generation, plugged: s.known[host].plugged, ..ABSENT };
            return self.advance(s);
        }
        let desired = if s.row.off { DesiredInstance::Off } else { DesiredInstance::On };
        let machine = Machine { desired, ran_before: s.row.ran, may_be_placed: true, other: None };
        let again = fate(machine) == Fate::PlacedAgain;
        s.row.generation += 1;
        (s.row.leaving, s.row.off) = (again, s.row.off || !again);
        s.known[host] = Known { generation: s.row.generation, plugged: s.known[host].plugged, ..ABSENT };
        if let Some(open) = &mut s.attachment {
            open.fencing = true;
            open.wanted &= again;
            open.generation += 1;
        }
        self.advance(s);
    }

    /// `app::losses::weigh_return`.
    fn weigh_return(&self, s: &mut State, host: usize) {
        let Known { domain, power, plugged, removed, .. } = s.known[host];
        let elsewhere = s.row.own != host || s.row.leaving;
        let spare = s.row.own != host && may_be_newest(held(s.known[s.row.own]), s.row.ran);
        let of = |name, value| Left { name, value, elsewhere, removed, spare };
        let left = [of(FactName::Domain, domain), of(FactName::Power, power), of(FactName::Plugged, plugged)];
        if !s.lost[host] {
            return;
        }
        if has_given_up(&left) || self.is(Sabotage::BelieveAReturnAtOnce) {
            s.lost[host] = false;
        } else if is_to_go(left[0]) && !self.is(Sabotage::LeaveHostWithoutDelete) {
            let wanted = Wanted { kind: Kind::DeleteInstance, generation: s.row.generation.into() };
            if self.want(s, Place::Host(host), Some(wanted)).is_some() {
                (s.known[host].domain, s.known[host].power) = (Fact::Maybe, Fact::Maybe);
            }
        } else if is_to_go(left[0]) {
            s.lost[host] = false;
        }
    }
}

impl Model for Loss {
    type State = State;

    /// It runs on the first host; or it is being made there and was not seen yet.
    fn start(&self) -> Vec<State> {
        [true, false].map(|ran| self.beginning(ran)).to_vec()
    }

    fn follow(&self, s: &State, steps: &mut Steps<State>) {
        for job in s.open.into_iter().flatten().filter(|job| self.is_heard(s, job.place)) {
            self.job_steps(s, job, steps);
        }
        if let Some(late) = s.late {
            self.late_steps(s, late, steps);
        }
        self.inventory_steps(s, steps);
        if s.wishes > 0 {
            self.wish_steps(s, steps);
        }
    }

    fn look_again(&self, s: &mut State) {
        self.advance(s);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        let known = |place| s.drifted & (1 << slot(place)) == 0;
        let unsound = |at: usize| {
            let (known, host) = (s.known[at], s.hosts[at]);
            is_false(known.domain, host.exists) || is_false(known.power, host.running)
        };
        let export = s.attachment.is_some_and(|open| is_false(open.exported, s.export.0));
        let wrong = (0..2).any(|at| s.heard[at] && !s.lost[at] && known(Place::Host(at)) && unsound(at));
        match s.broken {
            Some(what) => Some(what),
            None if reaches(s, 0) && reaches(s, 1) => Some("two hosts reach the volume"),
            None if wrong || (known(Place::Storage) && export) => Some("a sure fact is not so"),
            None => None,
        }
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let (own, other) = (s.row.own, 1 - s.row.own);
        // What may be the newest disk is left alone, wherever it is.
        let spare = may_be_newest(held(s.known[own]), s.row.ran);
        for at in (0..2).filter(|at| s.heard[*at] && (*at == own || !spare)) {
            if s.lost[at] {
                return Some("a lost host that is heard has not given up");
            }
            if at != own && s.hosts[at].exists {
                return Some("something is left on a host that it was not placed on");
            }
        }
        match s.attachment {
            None if s.export.0 => return Some("an export is left"),
            Some(open) if open.fencing && s.export.0 => return Some("a volume of a lost host is not fenced"),
            Some(open) if open.fencing && !open.wanted => return Some("a fenced volume is not free"),
            Some(_) | None => {}
        }
        if s.row.leaving {
            // A host that fell silent again after something was seen there is waited for until it is declared lost once more.
            let sworn = s.lost[own] && held(s.known[own]) == Held::Between(Guest::Absent);
            let free = s.heard[other] && !s.lost[other] && (s.heard[own] || sworn);
            return if free && !s.row.failed { Some("it is not placed again") } else { None };
        }
        if !s.heard[own] {
            return None;
        }
        match (s.row.off, s.hosts[own].running, s.attachment) {
            (true, true, _) => Some("it runs although it is off"),
            (true, false, Some(open)) if !open.wanted => Some("detaching without an end"),
            (false, false, _) => Some("it does not run"),
            (false, true, Some(open)) if open.wanted && !reaches(s, own) => Some("it does not reach its volume"),
            (false, true, Some(open)) if !open.wanted => Some("detaching without an end"),
            (true | false, ..) => None,
        }
    }
}

#[test]
fn every_history_of_a_lost_host_keeps_the_volume_with_one_and_starts_nothing_before_the_proof() {
    let model = Loss { sabotage: Sabotage::None, wishes: 4, troubles: 2 };
    assert_right("lost hosts", &model, Least { states: 20_000, quiet: 200, settled_within: 16 });
}

#[test]
fn every_rule_left_out_shows_when_a_host_is_lost() {
    for sabotage in [
        Sabotage::StartBeforeProof,
        Sabotage::BelieveUnprovedFence,
        Sabotage::BelieveOlderProof,
        Sabotage::BelieveAReturnAtOnce,
        Sabotage::LeaveHostWithoutDelete,
        Sabotage::LeaveStrays,
        Sabotage::SkipGenerationCheck,
    ] {
        assert_found(&format!("lost hosts, {sabotage:?}"), &Loss { sabotage, wishes: 6, troubles: 2 });
    }
}
