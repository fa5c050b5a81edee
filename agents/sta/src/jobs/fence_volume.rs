//! `sta.volume.fence`: nobody reaches the volume by this attachment any more, and that is proved (DESIGN 7).
//!
//! Rule: the host is not asked and not waited for: it may be dead, or alive and writing. Answered with the proof, or with
//! what is missing of it; a repetition proves it anew. Remembered as an unexport is: no late export of an older wish comes
//! back, and what a newer epoch serves is not touched.

use super::export_volume::judge_mark;
use super::{effect, foreign, see_export, settle, unexport_volume};
use crate::agent::Sta;
use crate::export::{ExportError, Fence};
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::jobs::sta::{FenceProof, FenceVolume, UnexportVolume};
use arame_schema::model::Fact;
use serde_json::json;
use std::collections::BTreeSet;

pub async fn run(sta: &Sta, job: FenceVolume, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let fenced = fence(sta, &job, work).await;
    let (ended, proof) = match fenced {
        Ok(proof) => (Ok(()), Some(proof)),
        Err(stopped) => (Err(stopped), None),
    };
    let mut facts = settle(ended, see_export(sta, &job.attachment, work).await)?;
    for fact in &mut facts {
        fact.generation = fact.generation.max(work.generation);
        if let (Fact::No, Some(proof)) = (fact.value, &proof) {
            fact.detail = Some(json!(proof));
        }
    }
    Ok(facts)
}

async fn fence(sta: &Sta, job: &FenceVolume, work: &Work) -> Result<FenceProof, Stopped> {
    let remembered = sta.export.recall(&job.attachment).await?;
    if let Some(mark) = &remembered {
        judge_mark(mark, work)?;
    }
    let targets = sta.export.list().await?.into_iter();
    let mut epochs = BTreeSet::from([job.epoch]);
    for target in targets.filter(|one| one.attachment == job.attachment && one.epoch <= job.epoch) {
        if !sta.is_ours(&target, work.standing.installation).await? {
            return Err(foreign(&target.iqn));
        }
        epochs.insert(target.epoch);
    }
    // Its target may be gone already, and its account not.
    epochs.extend(remembered.as_ref().map(|mark| mark.epoch).filter(|epoch| *epoch <= job.epoch));
    let mut whole: Option<FenceProof> = None;
    for epoch in epochs {
        let proof = fence_epoch(sta, job, epoch, work).await?;
        let before = whole.map(|older| older.sessions_ended).unwrap_or_default();
        whole = Some(FenceProof { sessions_ended: [before, proof.sessions_ended.clone()].concat(), ..proof });
    }
    let done = UnexportVolume { attachment: job.attachment.clone(), volume: job.volume.clone(), epoch: job.epoch };
    unexport_volume::remember(sta, &done, remembered, work).await?;
    whole.ok_or_else(|| Stopped::failed("fence_unproved", "no epoch was fenced", Retry::Later))
}

async fn fence_epoch(sta: &Sta, job: &FenceVolume, epoch: u64, work: &Work) -> Result<FenceProof, Stopped> {
    let fence = Fence { attachment: job.attachment.clone(), epoch, initiator_iqn: job.initiator_iqn.clone() };
    let mut proof = None;
    let change = async {
        proof = Some(sta.export.ensure_fenced(&fence, &work.standing).await?);
        Ok::<(), ExportError>(())
    };
    effect(work, change).await?;
    proof.ok_or_else(|| Stopped::failed("fence_unproved", "nothing was proved", Retry::Later))
}
