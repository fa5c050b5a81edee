//! The two hosts and the storage node of the meeting: what a job does there, and which they refuse.

use super::{ATTACHMENTS, Answer, Export, Extent, Host, Job, Meeting, Place, Sabotage, State, bit};
use crate::plan::Kind;

impl Meeting {
    pub(super) fn act(&self, s: &mut State, job: Job, extent: Extent) -> Answer {
        match job.place {
            Place::Instance(which) => self.act_at_host(s, usize::from(which), job, extent),
            Place::Attachment => self.act_on_export(s, job, extent),
            Place::Volume => self.act_on_volume(s, job, extent),
        }
    }

    fn act_at_host(&self, s: &mut State, which: usize, job: Job, extent: Extent) -> Answer {
        let host = &mut s.hosts[which];
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
        if job.kind == Kind::DeleteInstance {
            let kept = extent == Extent::Half && host.exists;
            let grave = if kept { host.grave } else { host.grave.max(job.generation) };
            let generation = if kept { host.generation } else { 0 };
            *host = Host { exists: kept, generation, grave, disks: 0, held: 0 };
            return Answer::Done;
        }
        for id in 0..ATTACHMENTS {
            if job.disks & (1 << id) != 0 && !s.exports[id].stands {
                s.broken = Some("a disk was plugged without its export");
            }
        }
        host.exists = true;
        host.generation = job.generation;
        if extent == Extent::Half {
            host.disks |= job.disks;
            return Answer::Done;
        }
        if job.forced {
            // The guest went down for it.
            host.held = 0;
        }
        host.disks = job.disks | host.held;
        host.held &= host.disks;
        if host.disks == job.disks { Answer::Done } else { Answer::Failed }
    }

    fn act_on_export(&self, s: &mut State, job: Job, extent: Extent) -> Answer {
        let plugged = s.hosts.iter().any(|host| host.disks & bit(job.attachment) != 0);
        let others = (0..ATTACHMENTS).any(|id| id != usize::from(job.attachment) && s.exports[id].stands);
        let export = &mut s.exports[usize::from(job.attachment)];
        let removed = !export.stands && export.generation > 0;
        let older = export.generation > job.generation || (removed && export.generation == job.generation);
        if job.kind == Kind::ExportVolume && older && !self.is(Sabotage::SkipGenerationCheck) {
            return Answer::Refused(export.generation);
        }
        if extent != Extent::Whole {
            return Answer::Done;
        }
        if job.kind == Kind::UnexportVolume {
            if plugged {
                s.broken = Some("an export was removed under a plug");
            }
            *export = Export { stands: false, generation: export.generation.max(job.generation) };
            return Answer::Done;
        }
        if !s.exists {
            return Answer::Failed;
        }
        if others {
            s.broken = Some("the volume is exported for two hosts at once");
        }
        *export = Export { stands: true, generation: job.generation };
        Answer::Done
    }

    fn act_on_volume(&self, s: &mut State, job: Job, extent: Extent) -> Answer {
        if job.kind != Kind::DeleteVolume || extent != Extent::Whole {
            return Answer::Done;
        }
        if s.exports.iter().any(|export| export.stands) {
            s.broken = Some("a volume was to be deleted under an export");
            return Answer::Failed;
        }
        s.exists = false;
        Answer::Done
    }
}
