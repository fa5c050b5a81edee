//! `sta.volume.mark`: a volume that is there carries this generation; from then on whatever is older is refused. What ends
//! a rollback that was given up: one still on its way can do nothing any more.
//!
//! Rule: no byte changes and nothing is made.

use super::{effect, judge, mark, see_volume, settle};
use crate::agent::Sta;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::jobs::sta::MarkVolume;

pub async fn run(sta: &Sta, job: MarkVolume, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let _volume = sta.volume_locks.change(&job.key).await;
    let ended = ensure(sta, &job, work).await;
    settle(ended, see_volume(sta, job.volume.as_str(), &job.key, work).await)
}

async fn ensure(sta: &Sta, job: &MarkVolume, work: &Work) -> Result<(), Stopped> {
    let Some(found) = sta.store.find_volume(&job.key).await? else { return Ok(()) };
    judge(found.mark.as_ref(), &job.key, job.volume.as_str(), work)?;
    let wanted = mark(job.volume.as_str(), work);
    if found.mark.as_ref() != Some(&wanted) {
        effect(work, sta.store.update_volume(&job.key, found.size_bytes, &wanted)).await?;
    }
    Ok(())
}
