//! `sta.backup.*`: a snapshot of its own, the object it is copied into, and the end of both.
//!
//! Rule: a snapshot that is there is never taken again, and an object that is there never written again: either would be of
//! another moment. The object appears inside a job, whole; the copy before it outlives jobs and ends with the object.

use super::{effect, exported_as, judge, mark, own_volume, settle};
use crate::agent::Sta;
use crate::fetch::downloads::Found;
use crate::store::NewSnapshot;
use crate::store::backups::NewObject;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::jobs::sta::Backup;
use arame_schema::model::{Fact, FactName};
use sha2::{Digest, Sha256};

pub async fn take(sta: &Sta, job: Backup, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let _volume = sta.volume_locks.change(&job.volume_key).await;
    let ended = ensure_snapshot(sta, &job, work).await;
    settle(ended, see(sta, &job, work, Asked::Snapshot).await)
}

async fn ensure_snapshot(sta: &Sta, job: &Backup, work: &Work) -> Result<(), Stopped> {
    let wanted = mark(job.object.as_str(), work);
    if let Some(found) = sta.store.find_snapshot(&job.volume_key, &job.key).await? {
        judge(found.mark.as_ref(), &job.key, job.object.as_str(), work)?;
        if found.mark.as_ref() != Some(&wanted) {
            effect(work, sta.store.mark_snapshot(&job.volume_key, &job.key, &wanted)).await?;
        }
        return Ok(());
    }
    let Some(volume) = &job.volume else {
        return Err(Stopped::failed("volume_missing", format!("{} is of no volume", job.object), Retry::Never));
    };
    let volume = own_volume(sta, volume, &job.volume_key, work).await?;
    let new = NewSnapshot {
        volume_key: job.volume_key.clone(),
        key: job.key.clone(),
        mark: wanted,
        in_use: exported_as(sta, &volume).await?.is_some(),
    };
    effect(work, sta.store.create_snapshot(&new, work)).await
}

pub async fn write(sta: &Sta, job: Backup, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    match ensure_object(sta, &job, work).await {
        Ok(true) => see(sta, &job, work, Asked::Object).await,
        Ok(false) => {
            let mut facts = see(sta, &job, work, Asked::Snapshot).await?;
            facts.retain(|fact| fact.name != FactName::Object);
            facts.push(work.fact(FactName::Object, Fact::Maybe, work.standing.observe()));
            Ok(facts)
        }
        Err(stopped) => settle(Err(stopped), see(sta, &job, work, Asked::Object).await),
    }
}

/// Whether it came to its end.
async fn ensure_object(sta: &Sta, job: &Backup, work: &Work) -> Result<bool, Stopped> {
    let wanted = mark(job.object.as_str(), work);
    if let Some(found) = sta.backups.find(&job.storage, &job.object).await? {
        judge(found.mark.as_ref(), job.object.as_str(), job.object.as_str(), work)?;
        if found.mark.as_ref() != Some(&wanted) {
            effect(work, sta.backups.mark(&job.storage, &job.object, &wanted)).await?;
        }
        return Ok(true);
    }
    let of_snapshot = match &job.from {
        Some(_) => None,
        None => Some(own_snapshot(sta, job, work).await?),
    };
    work.check()?;
    let asked = format!("{}/{}@{}", job.storage, job.volume_key, job.key);
    match sta.carrier.copies.watch(job.object.as_str(), asked, |report| sta.carrier.copy(job, report), work).await? {
        Found::StillComing(_) => Ok(false),
        Found::Brought(written) => {
            let reader = job.reader.as_ref().map(|reader| hex::encode(Sha256::digest(reader.expose())));
            let new = NewObject {
                storage: job.storage.clone(),
                object: job.object.clone(),
                mark: wanted,
                size_bytes: of_snapshot.unwrap_or(written.bytes),
                reader: reader.unwrap_or_default(),
                origin: job.origin.clone().unwrap_or_default(),
            };
            effect(work, sta.backups.keep(&new, written)).await.map(|()| true)
        }
    }
}

/// How large the volume was that the backup's own snapshot is of.
async fn own_snapshot(sta: &Sta, job: &Backup, work: &Work) -> Result<u64, Stopped> {
    let Some(snapshot) = sta.store.find_snapshot(&job.volume_key, &job.key).await? else {
        return Err(Stopped::failed("snapshot_missing", format!("{} has no snapshot", job.object), Retry::Later));
    };
    judge(snapshot.mark.as_ref(), &job.key, job.object.as_str(), work)?;
    Ok(snapshot.size_bytes)
}

/// Answers the absence with its own generation: no removal of an older one says as much.
pub async fn drop_snapshot(sta: &Sta, job: Backup, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let _volume = sta.volume_locks.change(&job.volume_key).await;
    let ended = remove_snapshot(sta, &job, work).await;
    let done = ended.is_ok();
    let mut facts = settle(ended, see(sta, &job, work, Asked::Snapshot).await)?;
    for fact in facts.iter_mut().filter(|fact| done && fact.name == FactName::Snapshot && fact.value == Fact::No) {
        fact.generation = work.generation;
    }
    Ok(facts)
}

async fn remove_snapshot(sta: &Sta, job: &Backup, work: &Work) -> Result<(), Stopped> {
    let Some(found) = sta.store.find_snapshot(&job.volume_key, &job.key).await? else { return Ok(()) };
    judge(found.mark.as_ref(), &job.key, job.object.as_str(), work)?;
    effect(work, sta.store.delete_snapshot(&job.volume_key, &job.key)).await
}

pub async fn delete(sta: &Sta, job: Backup, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    sta.carrier.copies.stop(job.object.as_str()).await;
    let ended = remove_object(sta, &job, work).await;
    settle(ended, see(sta, &job, work, Asked::Object).await)
}

async fn remove_object(sta: &Sta, job: &Backup, work: &Work) -> Result<(), Stopped> {
    let Some(found) = sta.backups.find(&job.storage, &job.object).await? else { return Ok(()) };
    judge(found.mark.as_ref(), job.object.as_str(), job.object.as_str(), work)?;
    effect(work, sta.backups.delete(&job.storage, &job.object)).await
}

pub async fn observe(sta: &Sta, job: Backup, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    see(sta, &job, work, Asked::Object).await
}

/// What has to be seen for a job to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Snapshot,
    Object,
}

/// Both facts; of what was not asked for, nothing where it cannot be looked at. Nothing is said of what somebody else has.
async fn see(sta: &Sta, job: &Backup, work: &Work, asked: Asked) -> Result<Vec<FactReport>, Stopped> {
    let owner = job.object.as_str();
    let mut facts = Vec::new();
    let observed = work.standing.observe();
    match sta.store.find_snapshot(&job.volume_key, &job.key).await {
        Ok(found) => {
            let mark = found.as_ref().map(|found| found.mark.as_ref());
            if mark.is_none_or(|mark| mark.is_some_and(|mark| mark.is_of(work.standing.installation, owner))) {
                facts.push(super::snapshot_fact(owner, found.as_ref(), observed));
            }
        }
        Err(error) if asked == Asked::Snapshot => return Err(error.into()),
        Err(_) => {}
    }
    let observed = work.standing.observe();
    match sta.backups.find(&job.storage, &job.object).await {
        Ok(found) => {
            let mark = found.as_ref().map(|found| found.mark.as_ref());
            if mark.is_none_or(|mark| mark.is_some_and(|mark| mark.is_of(work.standing.installation, owner))) {
                facts.push(sta.object_fact(owner, found.as_ref(), observed));
            }
        }
        Err(error) if asked == Asked::Object => return Err(error.into()),
        Err(_) => {}
    }
    Ok(facts)
}
