//! `sta.volume.rollback`: the volume holds what its snapshot holds, once for an operation (DESIGN 3.8).
//!
//! ```text
//! the volume carries the operation ──► done, nothing is touched: what was written since is newer
//! it carries a newer generation    ──► refused
//! somebody may be writing to it    ──► failed, for later
//! else                             ──► rolled back; operation and generation are part of the effect
//! ```

use super::{effect, exported_as, foreign, judge, mark, own_volume, see_volume, settle};
use crate::agent::Sta;
use crate::store::Rollback;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::jobs::sta::RollBackVolume;

pub async fn run(sta: &Sta, job: RollBackVolume, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let _volume = sta.volume_locks.change(&job.key).await;
    let ended = ensure(sta, &job, work).await;
    settle(ended, see_volume(sta, job.volume.as_str(), &job.key, work).await)
}

async fn ensure(sta: &Sta, job: &RollBackVolume, work: &Work) -> Result<(), Stopped> {
    let volume = own_volume(sta, &job.volume, &job.key, work).await?;
    if volume.rollback == Some(job.operation) {
        return Ok(());
    }
    judge(volume.mark.as_ref(), &job.key, job.volume.as_str(), work)?;
    if let Some(target) = exported_as(sta, &volume).await? {
        let message = format!("{} is still exported as {target}", job.volume);
        return Err(Stopped::failed("volume_exported", message, Retry::Later));
    }
    match sta.store.find_snapshot(&job.key, &job.snapshot_key).await?.map(|found| found.mark) {
        Some(Some(mark)) if mark.is_of(work.standing.installation, job.snapshot.as_str()) => {}
        Some(_) => return Err(foreign(&job.snapshot_key)),
        None => {
            let message = format!("{} is not in the store", job.snapshot);
            return Err(Stopped::failed("snapshot_missing", message, Retry::Never));
        }
    }
    let to = Rollback {
        volume_key: job.key.clone(),
        snapshot_key: job.snapshot_key.clone(),
        mark: mark(job.volume.as_str(), work),
        operation: job.operation,
    };
    effect(work, sta.store.roll_back(&to, work)).await
}
