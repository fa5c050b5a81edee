//! `sta.volume.create`: the volume exists, is at least this large, and carries this generation.
//!
//! Rule: what is there is never made again or shrunk. One from a backup appears when all of its bytes came and are what was
//! written; until then the job answers `maybe` and is asked for again. No lock is held while they come: others share it.

use super::{effect, foreign, judge, mark, see_volume, settle};
use crate::agent::Sta;
use crate::fetch::downloads::Found;
use crate::store::{NewVolume, SnapshotKeys, StoreError};
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::jobs::sta::{ClonedReplica, ClonedSnapshot, CreateVolume, RestoredBackup};
use arame_schema::model::{Fact, FactName};

pub async fn run(sta: &Sta, job: CreateVolume, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let ended = match &job.backup {
        Some(from) => restore(sta, &job, from, work).await,
        None => {
            let _volume = sta.volume_locks.change(&job.key).await;
            let ended = ensure(sta, &job, work).await;
            return settle(ended, see_volume(sta, job.volume.as_str(), &job.key, work).await);
        }
    };
    match ended {
        Ok(false) => Ok(vec![work.fact(FactName::Volume, Fact::Maybe, work.standing.observe())]),
        ended => settle(ended.map(drop), see_volume(sta, job.volume.as_str(), &job.key, work).await),
    }
}

fn new(job: &CreateVolume, work: &Work) -> NewVolume {
    let mark = mark(job.volume.as_str(), work);
    let keys = |from: &ClonedSnapshot| SnapshotKeys { volume_key: from.volume_key.clone(), key: from.key.clone() };
    let snapshot = job.snapshot.as_ref().map(keys);
    let replica = job.replica.as_ref().map(|from| from.key.clone());
    NewVolume { key: job.key.clone(), size_bytes: job.size_bytes, image: job.image.clone(), snapshot, replica, mark }
}

/// Whether there is one already; then it is as asked for.
async fn is_there(sta: &Sta, job: &CreateVolume, work: &Work) -> Result<bool, Stopped> {
    let wanted = mark(job.volume.as_str(), work);
    let Some(found) = sta.store.find_volume(&job.key).await? else { return Ok(false) };
    judge(found.mark.as_ref(), &job.key, job.volume.as_str(), work)?;
    if found.size_bytes < job.size_bytes || found.mark.as_ref() != Some(&wanted) {
        effect(work, sta.store.update_volume(&job.key, job.size_bytes, &wanted)).await?;
    }
    Ok(true)
}

async fn ensure(sta: &Sta, job: &CreateVolume, work: &Work) -> Result<(), Stopped> {
    if is_there(sta, job, work).await? {
        return Ok(());
    }
    let _image = match &job.image {
        Some(image) => Some(sta.image_locks.rely(image.as_str()).await),
        None => None,
    };
    // Images and replicas share a set of locks, and no volume begins with both.
    let _replica = match job.replica.as_ref().filter(|_| job.image.is_none()) {
        Some(from) => {
            let relied = sta.image_locks.rely(&from.key).await;
            check_replica(sta, from, job.size_bytes, work).await?;
            Some(relied)
        }
        None => None,
    };
    if let Some(from) = &job.snapshot {
        check_snapshot(sta, from, job.size_bytes, work).await?;
    }
    effect(work, sta.store.create_volume(&new(job, work), work)).await
}

/// The snapshot it begins with is there, ours, and not larger than it.
async fn check_snapshot(sta: &Sta, from: &ClonedSnapshot, wanted: u64, work: &Work) -> Result<(), Stopped> {
    let Some(found) = sta.store.find_snapshot(&from.volume_key, &from.key).await? else {
        return Err(Stopped::failed(
            "snapshot_missing",
            format!("{} is not in the store", from.snapshot),
            Retry::Never,
        ));
    };
    match &found.mark {
        Some(mark) if mark.is_of(work.standing.installation, from.snapshot.as_str()) => {}
        _ => return Err(foreign(&from.key)),
    }
    let needed = found.size_bytes;
    if needed > wanted { Err(StoreError::TooSmall { wanted, needed }.into()) } else { Ok(()) }
}

/// The replica it begins with is there whole, ours, and not larger than it.
async fn check_replica(sta: &Sta, from: &ClonedReplica, wanted: u64, work: &Work) -> Result<(), Stopped> {
    let found = sta.store.find_replica(&from.key).await?;
    let Some(found) = found.filter(|found| found.guid.is_some()) else {
        return Err(Stopped::failed(
            "replica_missing",
            format!("{} is not whole in the store", from.replica),
            Retry::Later,
        ));
    };
    match &found.mark {
        Some(mark) if mark.is_of(work.standing.installation, from.replica.as_str()) => {}
        _ => return Err(foreign(&from.key)),
    }
    let needed = found.size_bytes;
    if needed > wanted { Err(StoreError::TooSmall { wanted, needed }.into()) } else { Ok(()) }
}

/// Whether it came to its end.
async fn restore(sta: &Sta, job: &CreateVolume, from: &RestoredBackup, work: &Work) -> Result<bool, Stopped> {
    {
        let _volume = sta.volume_locks.change(&job.key).await;
        if is_there(sta, job, work).await? {
            return Ok(true);
        }
    }
    work.check()?;
    let new = new(job, work);
    let asked = format!("{} {} {}", from.object, from.sha256, job.size_bytes);
    let begin = |report| sta.carrier.restore(&new, from, report);
    match sta.carrier.restores.watch(job.volume.as_str(), asked, begin, work).await? {
        Found::StillComing(_) => Ok(false),
        Found::Brought(staged) => {
            let _volume = sta.volume_locks.change(&job.key).await;
            effect(work, sta.store.keep_volume(&new, staged)).await.map(|()| true)
        }
    }
}
