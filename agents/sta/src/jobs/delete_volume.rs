//! `sta.volume.delete`: the volume is gone. One that is exported stays: somebody may be writing to it. So does one that
//! has snapshots, also such as no row knows: they hold data.

use super::{effect, exported_as, judge, see_volume, settle};
use crate::agent::Sta;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::jobs::sta::DeleteVolume;

pub async fn run(sta: &Sta, job: DeleteVolume, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    sta.carrier.restores.stop(job.volume.as_str()).await;
    let _volume = sta.volume_locks.change(&job.key).await;
    let ended = remove(sta, &job, work).await;
    settle(ended, see_volume(sta, job.volume.as_str(), &job.key, work).await)
}

async fn remove(sta: &Sta, job: &DeleteVolume, work: &Work) -> Result<(), Stopped> {
    sta.store.clear_staged(&job.key).await?;
    let Some(found) = sta.store.find_volume(&job.key).await? else { return Ok(()) };
    judge(found.mark.as_ref(), &job.key, job.volume.as_str(), work)?;
    if let Some(target) = exported_as(sta, &found).await? {
        let message = format!("{} is still exported as {target}", job.volume);
        return Err(Stopped::failed("volume_exported", message, Retry::Later));
    }
    let snapshots = sta.store.list_snapshots().await?;
    if let Some(left) = snapshots.iter().find(|snapshot| snapshot.volume_key == job.key) {
        let owner = left.mark.as_ref().map_or(left.key.as_str(), |mark| mark.owner.as_str());
        let message = format!("{} has the snapshot {owner}", job.volume);
        return Err(Stopped::failed("volume_has_snapshots", message, Retry::Later));
    }
    effect(work, sta.store.delete_volume(&job.key)).await
}
