//! `sta.snapshot.delete`: the snapshot is gone; its volume is as it was.

use super::{effect, judge, see_snapshot, settle};
use crate::agent::Sta;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::jobs::sta::DeleteSnapshot;

pub async fn run(sta: &Sta, job: DeleteSnapshot, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let _volume = sta.volume_locks.change(&job.volume_key).await;
    let ended = remove(sta, &job, work).await;
    settle(ended, see_snapshot(sta, &job.snapshot, (&job.volume_key, &job.key), work).await)
}

async fn remove(sta: &Sta, job: &DeleteSnapshot, work: &Work) -> Result<(), Stopped> {
    let Some(found) = sta.store.find_snapshot(&job.volume_key, &job.key).await? else { return Ok(()) };
    judge(found.mark.as_ref(), &job.key, job.snapshot.as_str(), work)?;
    effect(work, sta.store.delete_snapshot(&job.volume_key, &job.key)).await
}
