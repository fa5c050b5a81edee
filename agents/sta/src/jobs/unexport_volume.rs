//! `sta.volume.unexport`: the attachment's targets up to this epoch are gone with their sessions and accounts.
//!
//! Rule: answered `exported` no only after all of it was read back absent (DESIGN 7); and remembered, so that a late
//! export of the same wish cannot raise it again. The answer names the generation remembered.

use super::export_volume::judge_mark;
use super::{effect, foreign, see_export, settle};
use crate::agent::Sta;
use crate::export::{Stage, TargetMark};
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::jobs::sta::UnexportVolume;

pub async fn run(sta: &Sta, job: UnexportVolume, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let ended = remove(sta, &job, work).await;
    let mut facts = settle(ended, see_export(sta, &job.attachment, work).await)?;
    // The removal is remembered under this generation: nothing older can export it again.
    for fact in &mut facts {
        fact.generation = fact.generation.max(work.generation);
    }
    Ok(facts)
}

async fn remove(sta: &Sta, job: &UnexportVolume, work: &Work) -> Result<(), Stopped> {
    let remembered = sta.export.recall(&job.attachment).await?;
    if let Some(mark) = &remembered {
        judge_mark(mark, work)?;
    }
    let targets = sta.export.list().await?;
    for target in targets.iter().filter(|target| target.attachment == job.attachment && target.epoch <= job.epoch) {
        if !sta.is_ours(target, work.standing.installation).await? {
            return Err(foreign(&target.iqn));
        }
        effect(work, sta.export.remove(&target.attachment, target.epoch)).await?;
    }
    if let Some(mark) = remembered.as_ref().filter(|mark| mark.epoch <= job.epoch && mark.stage != Stage::Removed) {
        // The target may be gone already and its account not.
        effect(work, sta.export.remove(&mark.attachment, mark.epoch)).await?;
    }
    remember(sta, job, remembered, work).await
}

/// That the attachment has no target up to this epoch, so that nothing older makes one again.
pub(super) async fn remember(
    sta: &Sta,
    job: &UnexportVolume,
    remembered: Option<TargetMark>,
    work: &Work,
) -> Result<(), Stopped> {
    match remembered {
        // A newer epoch stands: nothing of it is touched.
        Some(mark) if mark.epoch > job.epoch => Ok(()),
        Some(mark) => {
            let generation = work.generation.max(mark.generation);
            Ok(sta.export.forget(&TargetMark { generation, epoch: job.epoch, ..mark }).await?)
        }
        None => Ok(sta.export.forget(&never_seen(job, work)).await?),
    }
}

fn never_seen(job: &UnexportVolume, work: &Work) -> TargetMark {
    TargetMark {
        installation: work.standing.installation,
        attachment: job.attachment.clone(),
        epoch: job.epoch,
        generation: work.generation,
        volume: job.volume.clone(),
        key: String::new(),
        chap_user: String::new(),
        stage: Stage::Removed,
    }
}
