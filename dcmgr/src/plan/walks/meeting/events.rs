//! What can happen in the meeting: jobs that end well or break off, late jobs, inventories, a guest that holds its disk, wishes.

use super::{ATTACHMENTS, Answer, Attachment, Extent, Instance, Job, Meeting, PLACES, Place, Sabotage, State, slot};
use crate::plan::walk::Steps;
use arame_schema::model::Fact;

impl Meeting {
    pub(super) fn job_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        let mut known = *s;
        let answer = self.act(&mut known, job, Extent::Whole);
        self.settle(&mut known, job, answer);
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
            if !matches!(self.act(&mut world, job, extent), Answer::Done) {
                continue;
            }
            steps.trouble(crashed, world);
            world.open[slot(job.place)] = None;
            let mut unheard = world;
            self.failed(&mut unheard, job);
            steps.trouble(lost, unheard);
            self.observe(&mut world, job.place);
            self.failed(&mut world, job);
            steps.trouble(failed, world);
        }
        let mut frozen = troubled;
        frozen.open[slot(job.place)] = None;
        frozen.late = Some(job);
        self.failed(&mut frozen, job);
        steps.trouble("frozen on its way and lost", frozen);
    }

    pub(super) fn late_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        steps.work("a late job expires", State { late: None, ..*s });
        let mut acted = State { late: None, ..*s };
        self.act(&mut acted, job, Extent::Whole);
        let still = s.attachment.is_some_and(|open| job.place != Place::Attachment || open.id == job.attachment);
        let (before, changed) =
            (acted, acted.hosts != s.hosts || acted.exports != s.exports || acted.exists != s.exists);
        if self.is(Sabotage::SettleLateOutcome) && still {
            self.observe(&mut acted, job.place);
            acted.instances = std::array::from_fn(|at| Instance {
                generation: before.instances[at].generation,
                ..acted.instances[at]
            });
        } else {
            acted.drifted |= u8::from(changed) << slot(job.place);
        }
        if acted.open.iter().any(Option::is_some) {
            steps.trouble("a late job acts", acted);
        } else {
            steps.trouble_at_rest("a late job acts", acted);
        }
    }

    fn detached(&self, mut s: State, open: Attachment, forced: bool) -> State {
        let generation = open.generation + u8::from(open.wanted);
        s.attachment = Some(Attachment { wanted: false, forced, generation, ..open });
        Self::bump(&mut s, open.instance);
        self.advance_instance(&mut s, open.instance, 1);
        self.advance_attachment(&mut s, 1);
        s
    }

    /// A guest begins to hold the disk that it has, or lets it go.
    pub(super) fn hold_steps(&self, s: &State, steps: &mut Steps<State>) {
        for which in [0, 1] {
            let host = s.hosts[which];
            if host.held != 0 {
                let mut free = *s;
                free.hosts[which].held = 0;
                steps.wish("the guest lets go", free);
            }
            if s.troubles == 0 || host.disks == 0 || host.held != 0 {
                continue;
            }
            let mut held = State { troubles: s.troubles - 1, ..*s };
            held.hosts[which].held = host.disks;
            if s.open.iter().any(Option::is_some) {
                steps.trouble("the guest holds its disk", held);
            } else {
                steps.trouble_at_rest("the guest holds its disk", held);
            }
        }
    }

    /// What an inventory would tell of places without an open job.
    pub(super) fn inventory_steps(&self, s: &State, steps: &mut Steps<State>) {
        for place in PLACES {
            // A plug is its instance's: `inventory` leaves both alone while its job is open.
            if s.open[slot(place)].is_some() {
                continue;
            }
            let mut told = *s;
            self.observe(&mut told, place);
            let same_facts = told.attachment.map(|open| (open.exported, open.plugged))
                == s.attachment.map(|open| (open.exported, open.plugged))
                && told.volume == s.volume
                && (0..2).all(|at| told.instances[at].domain == s.instances[at].domain);
            if !same_facts {
                self.advance_around(&mut told, place, 1);
                steps.work("an inventory", told);
            }
        }
    }

    pub(super) fn wish_steps(&self, s: &State, steps: &mut Steps<State>) {
        let wished = State { wishes: s.wishes - 1, ..*s };
        for which in [0, 1] {
            let instance = s.instances[usize::from(which)];
            if instance.gone {
                continue;
            }
            let free = s.attachment.is_none() && s.volume_wanted && s.volume == Fact::Yes;
            if free && usize::from(s.attached) < ATTACHMENTS {
                let mut attached = State { attached: s.attached + 1, ..wished };
                attached.attachment = Some(Attachment {
                    id: s.attached,
                    instance: which,
                    wanted: true,
                    forced: false,
                    generation: 1,
                    exported: Fact::No,
                    export_generation: 0,
                    plugged: Fact::No,
                });
                self.advance_attachment(&mut attached, 1);
                steps.wish("attach", attached);
            }
            let mut deleted = wished;
            deleted.instances[usize::from(which)].gone = true;
            deleted.instances[usize::from(which)].failed = false;
            deleted.instances[usize::from(which)].generation += 1;
            if let Some(open) = deleted.attachment.as_mut().filter(|open| open.instance == which && open.wanted) {
                open.wanted = false;
                open.generation += 1;
            }
            self.advance_instance(&mut deleted, which, 1);
            self.advance_attachment(&mut deleted, 1);
            steps.wish("delete the instance", deleted);
        }
        if let Some(open) = s.attachment.filter(|open| !open.forced) {
            if open.wanted {
                steps.wish("detach", self.detached(wished, open, false));
            }
            steps.wish("detach by force", self.detached(wished, open, true));
        }
        if s.volume_wanted && s.attachment.is_none_or(|open| !open.wanted) {
            let mut deleted = State { volume_wanted: false, volume_generation: s.volume_generation + 1, ..wished };
            self.advance_volume(&mut deleted, 1);
            steps.wish("delete the volume", deleted);
        }
    }
}
