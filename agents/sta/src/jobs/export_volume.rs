//! `sta.volume.export`: the attachment's target of this epoch stands, and none of an older one.
//!
//! Rule: an older epoch's target is gone, with its sessions, before a newer one appears.

use super::{effect, foreign, judge, own_volume, see_export, settle};
use crate::agent::Sta;
use crate::export::{Stage, TargetMark, Wish};
use crate::mark::Mark;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::jobs::sta::ExportVolume;

pub async fn run(sta: &Sta, job: ExportVolume, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let _volume = sta.volume_locks.rely(&job.key).await;
    let ended = ensure(sta, &job, work).await;
    settle(ended, see_export(sta, &job.attachment, work).await)
}

async fn ensure(sta: &Sta, job: &ExportVolume, work: &Work) -> Result<(), Stopped> {
    let remembered = sta.export.recall(&job.attachment).await?;
    if let Some(mark) = &remembered {
        judge_mark(mark, work)?;
        if mark.epoch > job.epoch {
            return Err(stale(job, mark.epoch));
        }
    }
    let volume = own_volume(sta, &job.volume, &job.key, work).await?;
    remove_older(sta, job, remembered.as_ref(), work).await?;
    let wish = Wish {
        installation: work.standing.installation,
        attachment: job.attachment.clone(),
        epoch: job.epoch,
        generation: work.generation,
        volume: job.volume.clone(),
        key: job.key.clone(),
        path: volume.path,
        initiator_iqn: job.initiator_iqn.clone(),
        chap_user: job.chap_user.clone(),
        chap_secret: job.chap_secret.clone(),
    };
    effect(work, sta.export.ensure(&wish)).await
}

/// Whose the remembered export is, and whether the job is older than it.
pub(super) fn judge_mark(mark: &TargetMark, work: &Work) -> Result<(), Stopped> {
    let owner = mark.attachment.as_str();
    let mark = Mark { installation: mark.installation, owner: owner.to_owned(), generation: mark.generation };
    judge(Some(&mark), owner, owner, work)
}

fn stale(job: &ExportVolume, epoch: u64) -> Stopped {
    let message = format!("{} is at epoch {epoch}, the job is for {}", job.attachment, job.epoch);
    Stopped::failed("stale_epoch", message, Retry::Later)
}

async fn remove_older(
    sta: &Sta,
    job: &ExportVolume,
    remembered: Option<&TargetMark>,
    work: &Work,
) -> Result<(), Stopped> {
    for target in sta.export.list().await?.iter().filter(|target| target.attachment == job.attachment) {
        if target.epoch > job.epoch {
            return Err(stale(job, target.epoch));
        }
        if !sta.is_ours(target, work.standing.installation).await? {
            return Err(foreign(&target.iqn));
        }
        if target.epoch < job.epoch {
            effect(work, sta.export.remove(&target.attachment, target.epoch)).await?;
        }
    }
    // A removal that was cut short may have left an account without its target.
    match remembered {
        Some(mark) if mark.epoch < job.epoch && mark.stage != Stage::Removed => {
            effect(work, sta.export.remove(&mark.attachment, mark.epoch)).await
        }
        _ => Ok(()),
    }
}
