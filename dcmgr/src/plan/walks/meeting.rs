//! Every history of two instances on two hosts that meet on one volume, one attachment after the other, while either
//! instance or the volume is deleted: three plans at once, as `app` calls them around each other.
//!
//! Held in every state: the volume is exported and plugged for one host at most, nothing is unexported under a plug,
//! nothing is plugged without its export, no volume is deleted under an export. The instances run already; their power
//! is `instance`'s walk. A guest may hold its disk: it leaves then only by force, with the guest's power (decision 0022).

mod events;
mod world;

use super::{Sabotage, is_false, seen};
use crate::plan::attachment::{self, is_over, is_plug_settled, is_pluggable, plug_to_go};
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};
use crate::plan::{Kind, Open, Step, Wanted, instance, step, volume};
use arame_schema::model::Fact;
use arame_schema::model::instance::DesiredInstance;

const ATTEMPTS_MAX: u8 = 2;

/// Attachments in one history.
const ATTACHMENTS: usize = 3;

/// The (thing, agent) pairs that can have an open job: an instance at its host, the attachment and the volume at the
/// storage node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Instance(u8),
    Attachment,
    Volume,
}

const PLACES: [Place; 4] = [Place::Instance(0), Place::Instance(1), Place::Attachment, Place::Volume];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Job {
    kind: Kind,
    place: Place,
    generation: u8,
    /// Which attachment, for an export.
    attachment: u8,
    /// The disks in the spec, by attachment.
    disks: u8,
    /// The disk that is to go is taken although its guest holds it.
    forced: bool,
    attempt: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Instance {
    gone: bool,
    generation: u8,
    failed: bool,
    domain: Fact,
    seen_generation: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Attachment {
    id: u8,
    instance: u8,
    wanted: bool,
    forced: bool,
    generation: u8,
    exported: Fact,
    export_generation: u8,
    plugged: Fact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Host {
    exists: bool,
    generation: u8,
    grave: u8,
    disks: u8,
    /// Of the disks, those that the guest does not let go while it runs.
    held: u8,
}

/// An export as the storage node keeps it, also when it was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Export {
    stands: bool,
    generation: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    instances: [Instance; 2],
    attachment: Option<Attachment>,
    volume_wanted: bool,
    volume_generation: u8,
    volume: Fact,
    open: [Option<Job>; 4],
    late: Option<Job>,
    hosts: [Host; 2],
    exports: [Export; ATTACHMENTS],
    attached: u8,
    exists: bool,
    /// Places where the world changed without dcmgr's doing since the last look, by slot.
    drifted: u8,
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

#[derive(Clone, Copy)]
enum Answer {
    Done,
    Refused(u8),
    Failed,
}

struct Meeting {
    sabotage: Sabotage,
    wishes: u8,
    troubles: u8,
}

fn slot(place: Place) -> usize {
    match place {
        Place::Instance(which) => usize::from(which),
        Place::Attachment => 2,
        Place::Volume => 3,
    }
}

fn bit(attachment: u8) -> u8 {
    1 << attachment
}

fn small(generation: u64) -> u8 {
    u8::try_from(generation).unwrap_or(u8::MAX)
}

fn asked(attachment: Attachment) -> (attachment::Wish, attachment::Facts) {
    let wish = attachment::Wish { wanted: attachment.wanted, generation: attachment.generation.into(), fencing: false };
    let facts = attachment::Facts {
        volume: Fact::Yes,
        exported: attachment.exported,
        export_generation: attachment.export_generation.into(),
        proved: None,
        plugged: attachment.plugged,
    };
    (wish, facts)
}

impl Meeting {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    fn want(&self, s: &mut State, place: Place, wanted: Option<Wanted>, attempt: u8) -> Option<Kind> {
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
        let attachment = s.attachment.map_or(0, |attachment| attachment.id);
        let job = Job { kind: wanted.kind, place, generation, attachment, disks: 0, forced: false, attempt };
        s.open[slot(place)] = Some(job);
        Some(wanted.kind)
    }

    fn advance_instance(&self, s: &mut State, which: u8, attempt: u8) {
        let i = s.instances[usize::from(which)];
        let desired = if i.gone { DesiredInstance::Gone } else { DesiredInstance::On };
        let wish = instance::Wish { desired, generation: i.generation.into(), reboot: false, leaving_host: false };
        let mine = s.attachment.filter(|open| open.instance == which).map(asked);
        let facts = instance::Facts {
            domain: i.domain,
            power: i.domain,
            generation: i.seen_generation.into(),
            devices_settled: mine.is_none_or(|(wish, facts)| is_plug_settled(wish, facts))
                || self.is(Sabotage::ForgetDisks),
        };
        let around = instance::Surroundings { ready: true, ran_before: true, failed: i.failed };
        let wanted = instance::next_job(wish, facts, around);
        let Some(kind) = self.want(s, Place::Instance(which), wanted, attempt) else { return };
        if kind == Kind::DeleteInstance && !self.is(Sabotage::DropMaybe) {
            s.instances[usize::from(which)].domain = Fact::Maybe;
        }
        let Some(attachment) = s.attachment.as_mut().filter(|open| open.instance == which) else { return };
        let forced = attachment.forced && !attachment.wanted && !self.is(Sabotage::ForgetForce);
        if forced && !self.is(Sabotage::DropMaybe) {
            s.instances[usize::from(which)].domain = Fact::Maybe;
        }
        let (wish, mut facts) = asked(*attachment);
        if self.is(Sabotage::PlugWithoutExport) {
            facts.exported = Fact::Yes;
            facts.export_generation = wish.generation;
        }
        let plugs = kind == Kind::ApplyInstance && is_pluggable(wish, facts);
        let touches =
            (plugs && attachment.plugged != Fact::Yes) || (!attachment.wanted && attachment.plugged == Fact::Yes);
        if touches && !self.is(Sabotage::DropMaybe) {
            attachment.plugged = Fact::Maybe;
        }
        let disks = if plugs { bit(attachment.id) } else { 0 };
        if let Some(job) = &mut s.open[usize::from(which)] {
            (job.disks, job.forced) = (disks, forced);
        }
    }

    fn advance_attachment(&self, s: &mut State, attempt: u8) {
        let Some(attachment) = s.attachment else { return };
        let (wish, mut facts) = asked(attachment);
        facts.volume = s.volume;
        let instance = s.instances[usize::from(attachment.instance)];
        let carried = instance.seen_generation >= instance.generation;
        if !self.is(Sabotage::BelieveOlderLook) {
            facts.plugged = plug_to_go(facts.plugged, instance.domain, carried);
        }
        if self.is(Sabotage::UnexportUnderPlug) || (attachment.forced && self.is(Sabotage::UnexportByForce)) {
            facts.plugged = Fact::No;
        }
        let over = if self.is(Sabotage::EndWithoutUnexport) {
            !wish.wanted && facts.plugged == Fact::No && facts.exported == Fact::No
        } else {
            is_over(wish, facts)
        };
        if over {
            s.attachment = None;
            s.open[slot(Place::Attachment)] = None;
            return self.advance_volume(s, 1);
        }
        let queued = self.want(s, Place::Attachment, attachment::next_job(wish, facts), attempt);
        if let (Some(_), Some(open), false) = (queued, &mut s.attachment, self.is(Sabotage::DropMaybe)) {
            open.exported = Fact::Maybe;
        }
    }

    fn advance_volume(&self, s: &mut State, attempt: u8) {
        let wish = volume::Wish { wanted: s.volume_wanted, generation: s.volume_generation.into() };
        let attached = s.attachment.is_some() && !self.is(Sabotage::DeleteWhileAttached);
        let around = volume::Surroundings { was_present: true, attached, snapshots: false, failed: false };
        let queued = self.want(s, Place::Volume, volume::next_job(wish, s.volume, around), attempt);
        if queued == Some(Kind::DeleteVolume) && !self.is(Sabotage::DropMaybe) {
            s.volume = Fact::Maybe;
        }
    }

    /// A new wish about an instance's spec: its next generation, passing failures forgotten.
    fn bump(s: &mut State, which: u8) {
        let instance = &mut s.instances[usize::from(which)];
        instance.generation += 1;
        instance.failed = false;
    }

    /// Writes what an agent sees of a place, and what follows for the neighbours.
    fn observe(&self, s: &mut State, place: Place) {
        s.drifted &= !(1 << slot(place));
        match place {
            Place::Instance(which) => {
                let host = s.hosts[usize::from(which)];
                let instance = &mut s.instances[usize::from(which)];
                instance.domain = seen(host.exists);
                instance.seen_generation = if host.exists { host.generation } else { 0 };
                if let Some(attachment) = s.attachment.as_mut().filter(|open| open.instance == which) {
                    attachment.plugged = seen(host.disks & bit(attachment.id) != 0);
                }
            }
            Place::Attachment => {
                let Some(open) = &mut s.attachment else { return };
                let export = s.exports[usize::from(open.id)];
                let news = open.exported != Fact::Yes || open.export_generation != export.generation;
                open.exported = seen(export.stands);
                // An export that is seen absent carries a generation only when its removal says so.
                open.export_generation = if export.stands { export.generation } else { 0 };
                if export.stands && open.wanted && news {
                    let which = open.instance;
                    Self::bump(s, which);
                }
            }
            Place::Volume => s.volume = seen(s.exists),
        }
    }

    fn advance_around(&self, s: &mut State, place: Place, attempt: u8) {
        match place {
            Place::Instance(which) => {
                self.advance_instance(s, which, attempt);
                self.advance_attachment(s, 1);
            }
            Place::Attachment => {
                let which = s.attachment.map(|open| open.instance);
                self.advance_attachment(s, attempt);
                if let Some(which) = which {
                    self.advance_instance(s, which, 1);
                }
            }
            Place::Volume => {
                self.advance_volume(s, attempt);
                self.advance_attachment(s, 1);
            }
        }
    }

    fn settle(&self, s: &mut State, job: Job, answer: Answer) {
        s.open[slot(job.place)] = None;
        self.observe(s, job.place);
        match answer {
            Answer::Done => {
                if let (Kind::UnexportVolume, Some(open)) = (job.kind, &mut s.attachment) {
                    open.export_generation = open.export_generation.max(job.generation);
                }
                self.advance_around(s, job.place, 1);
            }
            Answer::Refused(found) => {
                match job.place {
                    Place::Instance(which) => {
                        let lifted = &mut s.instances[usize::from(which)].generation;
                        *lifted = (*lifted).max(found) + 1;
                    }
                    Place::Attachment => {
                        if let Some(open) = &mut s.attachment {
                            open.generation = open.generation.max(found) + 1;
                        }
                    }
                    Place::Volume => s.volume_generation = s.volume_generation.max(found) + 1,
                }
                self.advance_around(s, job.place, job.attempt);
            }
            Answer::Failed => self.failed(s, job),
        }
    }

    fn failed(&self, s: &mut State, job: Job) {
        if job.kind.never_gives_up() {
            return self.advance_around(s, job.place, job.attempt);
        }
        if job.attempt < ATTEMPTS_MAX {
            return self.advance_around(s, job.place, job.attempt + 1);
        }
        match job.place {
            Place::Instance(which) => s.instances[usize::from(which)].failed = true,
            Place::Attachment => {
                if let Some(which) = s.attachment.as_mut().filter(|open| open.wanted).map(|open| {
                    open.wanted = false;
                    open.generation += 1;
                    open.instance
                }) {
                    Self::bump(s, which);
                }
            }
            Place::Volume => {}
        }
        self.advance_around(s, job.place, 1);
    }
}

impl Model for Meeting {
    type State = State;

    fn start(&self) -> Vec<State> {
        let instance = Instance { gone: false, generation: 1, failed: false, domain: Fact::Yes, seen_generation: 1 };
        vec![State {
            instances: [instance; 2],
            attachment: None,
            volume_wanted: true,
            volume_generation: 1,
            volume: Fact::Yes,
            open: [None; 4],
            late: None,
            hosts: [Host { exists: true, generation: 1, grave: 0, disks: 0, held: 0 }; 2],
            exports: [Export::default(); ATTACHMENTS],
            attached: 0,
            exists: true,
            drifted: 0,
            wishes: self.wishes,
            troubles: self.troubles,
            broken: None,
        }]
    }

    fn follow(&self, s: &State, steps: &mut Steps<State>) {
        for job in s.open.into_iter().flatten() {
            self.job_steps(s, job, steps);
        }
        if let Some(late) = s.late {
            self.late_steps(s, late, steps);
        }
        self.inventory_steps(s, steps);
        self.hold_steps(s, steps);
        if s.wishes > 0 {
            self.wish_steps(s, steps);
        }
        for which in [0, 1] {
            // While its guest holds the disk nothing would come of it but the same failure.
            if s.instances[usize::from(which)].failed && s.hosts[usize::from(which)].held == 0 {
                let mut back = *s;
                Self::bump(&mut back, which);
                self.advance_around(&mut back, Place::Instance(which), 1);
                steps.wish("the host is back", back);
            }
        }
    }

    fn look_again(&self, s: &mut State) {
        for which in [0, 1] {
            self.advance_instance(s, which, 1);
        }
        self.advance_attachment(s, 1);
        self.advance_volume(s, 1);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        let plugged = |which: usize| s.hosts[which].disks != 0;
        let known = |place| s.drifted & (1 << slot(place)) == 0;
        let wrong = |which: u8| {
            let host = s.hosts[usize::from(which)];
            let mine = s.attachment.filter(|open| open.instance == which);
            let plug = mine.is_some_and(|open| is_false(open.plugged, host.disks & bit(open.id) != 0));
            known(Place::Instance(which)) && (plug || is_false(s.instances[usize::from(which)].domain, host.exists))
        };
        let export = s.attachment.is_some_and(|open| is_false(open.exported, s.exports[usize::from(open.id)].stands));
        let unsound = wrong(0)
            || wrong(1)
            || (known(Place::Attachment) && export)
            || (known(Place::Volume) && is_false(s.volume, s.exists));
        match s.broken {
            Some(what) => Some(what),
            None if plugged(0) && plugged(1) => Some("the volume is plugged on two hosts at once"),
            None if unsound => Some("a sure fact is not so"),
            None => None,
        }
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let left = |which: usize| s.instances[which].gone && s.hosts[which].exists;
        if left(0) || left(1) {
            return Some("something of a deleted instance is left");
        }
        if let Some(open) = s.attachment {
            let instance = s.instances[usize::from(open.instance)];
            let plugged = s.hosts[usize::from(open.instance)].disks & bit(open.id) != 0;
            let exported = s.exports[usize::from(open.id)].stands;
            let only_held = s.hosts[usize::from(open.instance)].held != 0 && s.troubles + 1 == self.troubles;
            return match open.wanted {
                false if open.forced && only_held => Some("force did not take the disk"),
                _ if instance.failed => None,
                true if plugged && exported => None,
                true => Some("not attached as wished"),
                false => Some("detaching without an end"),
            };
        }
        match s.volume_wanted {
            _ if s.hosts.iter().any(|host| host.disks != 0) => Some("a plug is left"),
            _ if s.exports.iter().any(|export| export.stands) => Some("an export is left"),
            true if !s.exists => Some("the volume is lost"),
            false if s.exists => Some("a deleted volume is left"),
            true | false => None,
        }
    }
}

#[test]
fn every_history_of_two_instances_and_one_volume_keeps_it_with_one_host() {
    let model = Meeting { sabotage: Sabotage::None, wishes: 4, troubles: 2 };
    assert_right("attachment, instances and volume", &model, Least { states: 20_000, quiet: 200, settled_within: 12 });
}

#[test]
fn every_rule_left_out_shows_where_instances_meet_on_a_volume() {
    for sabotage in [
        Sabotage::DropMaybe,
        Sabotage::SkipGenerationCheck,
        Sabotage::SettleLateOutcome,
        Sabotage::UnexportUnderPlug,
        Sabotage::PlugWithoutExport,
        Sabotage::ForgetDisks,
        Sabotage::BelieveOlderLook,
        Sabotage::EndWithoutUnexport,
        Sabotage::DeleteWhileAttached,
        Sabotage::ForgetForce,
        Sabotage::UnexportByForce,
    ] {
        assert_found(&format!("meeting, {sabotage:?}"), &Meeting { sabotage, wishes: 4, troubles: 3 });
    }
}
