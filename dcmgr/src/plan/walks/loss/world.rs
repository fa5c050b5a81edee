//! The hosts and the storage node where hosts are lost: what a job does there, what can go wrong, and what people do.

use super::{ABSENT, Answer, Attachment, Host, Job, Known, Loss, PLACES, Place, Row, Sabotage, State, reaches, slot};
use crate::plan::Kind;
use crate::plan::walk::Steps;
use arame_schema::model::Fact;

impl Loss {
    pub(super) fn beginning(&self, ran: bool) -> State {
        let running = Host { exists: true, running: true, generation: 1, grave: 0, session: 1 };
        let there = Known { domain: Fact::Yes, power: Fact::Yes, generation: 1, plugged: Fact::Yes, removed: false };
        let maybe = Known { domain: Fact::Maybe, power: Fact::Maybe, plugged: Fact::Maybe, ..ABSENT };
        let make = Job { kind: Kind::ApplyInstance, place: Place::Host(0), generation: 1, on: true, disk: 1 };
        State {
            row: Row { own: 0, off: false, leaving: false, generation: 1, ran, failed: false },
            known: [if ran { there } else { maybe }, ABSENT],
            attachment: Some(Attachment {
                wanted: true,
                fencing: false,
                generation: 1,
                exported: Fact::Yes,
                export_generation: 1,
                proved: None,
            }),
            lost: [false; 2],
            heard: [true; 2],
            open: [(!ran).then_some(make), None, None],
            late: None,
            hosts: [if ran { running } else { Host::default() }, Host::default()],
            export: (true, 1),
            drifted: 0,
            wishes: self.wishes,
            troubles: self.troubles,
            broken: None,
        }
    }

    pub(super) fn is_heard(&self, s: &State, place: Place) -> bool {
        match place {
            Place::Host(at) => s.heard[at],
            Place::Storage => true,
        }
    }

    fn act(&self, s: &mut State, job: Job) -> Answer {
        match job.place {
            Place::Host(at) => self.act_at_host(s, at, job),
            Place::Storage => self.act_on_export(s, job),
        }
    }

    fn act_at_host(&self, s: &mut State, at: usize, job: Job) -> Answer {
        let host = s.hosts[at];
        if !self.is(Sabotage::SkipGenerationCheck) {
            if host.exists && host.generation > job.generation {
                return Answer::Refused(host.generation);
            }
            if job.kind == Kind::ApplyInstance && host.grave >= job.generation {
                return Answer::Refused(host.grave);
            }
        }
        if job.kind == Kind::DeleteInstance {
            s.hosts[at] = Host { grave: host.grave.max(job.generation), ..Host::default() };
            return Answer::Done;
        }
        if job.kind != Kind::ApplyInstance {
            return Answer::Done;
        }
        // What a lost host that is not heard does is not to be helped; that it reaches nothing counts.
        if job.on && !host.running && reaches(s, 1 - at) && !s.lost[at] {
            s.broken = Some("it was started while another host reaches its volume");
        }
        let there = s.export == (true, job.disk);
        let session = if job.on && job.disk != 0 && there { job.disk } else { 0 };
        s.hosts[at] = Host { exists: true, running: job.on, generation: job.generation, grave: host.grave, session };
        if job.on && job.disk != session { Answer::Failed } else { Answer::Done }
    }

    fn act_on_export(&self, s: &mut State, job: Job) -> Answer {
        let (stands, generation) = s.export;
        let removed = !stands && generation > 0;
        let exports = job.kind == Kind::ExportVolume;
        let older = generation > job.generation || (exports && removed && generation == job.generation);
        if older && !self.is(Sabotage::SkipGenerationCheck) {
            return Answer::Refused(generation);
        }
        if job.kind == Kind::UnexportVolume && (0..2).any(|at| reaches(s, at)) {
            s.broken = Some("an export was removed under a plug");
        }
        s.export = (exports, generation.max(job.generation));
        Answer::Done
    }

    pub(super) fn job_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        let mut known = *s;
        let answer = self.act(&mut known, job);
        self.settle(&mut known, job, answer);
        steps.job(job.kind.as_str(), known);
        if s.troubles == 0 {
            return;
        }
        steps.trouble("delivered twice, once late", State { troubles: s.troubles - 1, late: Some(job), ..known });
        let troubled = State { troubles: s.troubles - 1, ..*s };
        let mut done = troubled;
        if matches!(self.act(&mut done, job), Answer::Done) {
            steps.trouble("crashed after the effect", done);
            let mut failed = done;
            failed.open[slot(job.place)] = None;
            self.observe(&mut failed, job.place);
            self.advance(&mut failed);
            steps.trouble("failed after its effect", failed);
            done.open[slot(job.place)] = None;
            self.advance(&mut done);
            steps.trouble("done and lost", done);
        }
        let mut frozen = State { late: Some(job), ..troubled };
        frozen.open[slot(job.place)] = None;
        self.advance(&mut frozen);
        steps.trouble("frozen on its way and lost", frozen);
    }

    pub(super) fn late_steps(&self, s: &State, job: Job, steps: &mut Steps<State>) {
        steps.work("a late job expires", State { late: None, ..*s });
        let mut acted = State { late: None, ..*s };
        self.act(&mut acted, job);
        let changed = acted.hosts != s.hosts || acted.export != s.export;
        acted.drifted |= u8::from(changed) << slot(job.place);
        if s.open.iter().any(Option::is_some) {
            steps.trouble("a late job acts", acted);
        } else {
            steps.trouble_at_rest("a late job acts", acted);
        }
    }

    pub(super) fn inventory_steps(&self, s: &State, steps: &mut Steps<State>) {
        for place in PLACES {
            if s.open[slot(place)].is_some() || !self.is_heard(s, place) {
                continue;
            }
            let mut told = *s;
            self.observe(&mut told, place);
            if let Place::Host(at) = place {
                self.weigh_return(&mut told, at);
            }
            let export = |s: &State| s.attachment.map(|open| (open.exported, open.export_generation));
            if told.known != s.known || told.lost != s.lost || export(&told) != export(s) {
                self.advance(&mut told);
                steps.work("an inventory", told);
            }
        }
    }

    pub(super) fn wish_steps(&self, s: &State, steps: &mut Steps<State>) {
        let wished = State { wishes: s.wishes - 1, ..*s };
        for at in 0..2 {
            let mut changed = wished;
            if s.heard[at] {
                changed.heard[at] = false;
                steps.wish("a host falls silent, and runs on", changed);
                let host = &mut changed.hosts[at];
                (host.running, host.session) = (false, 0);
                changed.drifted |= 1 << at;
                steps.wish("a host loses its power", changed);
                continue;
            }
            changed.heard[at] = true;
            changed.drifted |= 1 << at;
            steps.wish("a host is back", changed);
            if !s.lost[at] || s.known[at].domain.may_be_so() {
                let mut lost = wished;
                self.declare(&mut lost, at);
                steps.wish("a host is declared lost", lost);
            }
        }
        if let Some(open) = s.attachment.filter(|open| open.wanted) {
            let mut detached = wished;
            detached.attachment = Some(Attachment { wanted: false, generation: open.generation + 1, ..open });
            detached.row.generation += 1;
            self.advance(&mut detached);
            steps.wish("detach", detached);
        }
    }
}
