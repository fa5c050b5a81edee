//! `sta.volume.delete`: the volume is gone. One that is exported stays: somebody may be writing to it.

use super::{effect, judge, see_volume, settle};
use crate::agent::Sta;
use crate::export::Target;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::jobs::sta::DeleteVolume;

pub async fn run(sta: &Sta, job: DeleteVolume, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let _volume = sta.volume_locks.change(&job.key).await;
    let ended = remove(sta, &job, work).await;
    settle(ended, see_volume(sta, job.volume.as_str(), &job.key, work).await)
}

async fn remove(sta: &Sta, job: &DeleteVolume, work: &Work) -> Result<(), Stopped> {
    let Some(found) = sta.store.find_volume(&job.key).await? else { return Ok(()) };
    judge(found.mark.as_ref(), &job.key, job.volume.as_str(), work)?;
    let serves = |target: &&Target| target.path.as_ref() == Some(&found.path);
    if let Some(target) = sta.export.list().await?.iter().find(serves) {
        let message = format!("{} is still exported as {}", job.volume, target.iqn);
        return Err(Stopped::failed("volume_exported", message, Retry::Later));
    }
    effect(work, sta.store.delete_volume(&job.key)).await
}
