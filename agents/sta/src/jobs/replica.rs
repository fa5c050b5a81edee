//! `sta.replica.*`: a copy of another storage node's snapshot in this node's store.
//!
//! Rule: one that is whole is never received again. It appears inside a job, whole and proved equal; what comes before that
//! is a marked part, which outlives jobs and the process, is told as `maybe`, and ends with the replica. Nothing is made of
//! a replica while it is deleted: both hold its lock.

use super::{effect, judge, mark, settle};
use crate::agent::Sta;
use crate::fetch::downloads::Found;
use crate::store::NewReplica;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::jobs::sta::{Replica, ReplicaSource, StoredReplica};
use arame_schema::model::{Fact, FactName, Observation};
use serde_json::json;

pub async fn receive(sta: &Sta, job: Replica, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    match ensure(sta, &job, work).await {
        Ok(false) => Ok(vec![work.fact(FactName::Replica, Fact::Maybe, work.standing.observe())]),
        ended => settle(ended.map(drop), see(sta, &job, work).await),
    }
}

/// Whether it came to its end.
async fn ensure(sta: &Sta, job: &Replica, work: &Work) -> Result<bool, Stopped> {
    let wanted = mark(job.replica.as_str(), work);
    if let Some(found) = sta.store.find_replica(&job.key).await? {
        judge(found.mark.as_ref(), &job.key, job.replica.as_str(), work)?;
        if found.guid.is_some() {
            let _replica = sta.image_locks.change(&job.key).await;
            if found.mark.as_ref() != Some(&wanted) {
                effect(work, sta.store.mark_replica(&job.key, &wanted)).await?;
            }
            // One that was killed while it got its name may have left its part.
            effect(work, sta.store.abandon_replica(&job.key)).await?;
            return Ok(true);
        }
    }
    let Some(from) = &job.from else {
        let nowhere = format!("nothing says where {} is received from", job.replica);
        return Err(Stopped::failed("replica_source_unavailable", nowhere, Retry::Never));
    };
    work.check()?;
    let new = new(job, from, work);
    let asked = format!("{} {} {}", from.offered.url, from.offered.guid, work.generation);
    let begin = |report| sta.receiver.receive(&new, from, report);
    match sta.receiver.comings.watch(job.replica.as_str(), asked, begin, work).await? {
        Found::StillComing(_) => Ok(false),
        Found::Brought(()) => {
            let _replica = sta.image_locks.change(&job.key).await;
            effect(work, sta.store.keep_replica(&new)).await.map(|()| true)
        }
    }
}

fn new(job: &Replica, from: &ReplicaSource, work: &Work) -> NewReplica {
    NewReplica {
        key: job.key.clone(),
        volume: job.volume.to_string(),
        guid: from.offered.guid,
        size_bytes: from.offered.size_bytes,
        mark: mark(job.replica.as_str(), work),
        origin: job.origin.clone().unwrap_or_default(),
    }
}

pub async fn delete(sta: &Sta, job: Replica, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let ended = remove(sta, &job, work).await;
    settle(ended, see(sta, &job, work).await)
}

async fn remove(sta: &Sta, job: &Replica, work: &Work) -> Result<(), Stopped> {
    if let Some(found) = sta.store.find_replica(&job.key).await? {
        judge(found.mark.as_ref(), &job.key, job.replica.as_str(), work)?;
    }
    sta.receiver.comings.stop(job.replica.as_str()).await;
    let _replica = sta.image_locks.change(&job.key).await;
    // What came in between is of the same replica: its lane has one job at a time.
    if sta.store.find_replica(&job.key).await?.is_none() {
        return Ok(());
    }
    effect(work, sta.store.delete_replica(&job.key)).await
}

pub async fn observe(sta: &Sta, job: Replica, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let facts = see(sta, &job, work).await?;
    if facts.is_empty() { Err(super::foreign(&job.key)) } else { Ok(facts) }
}

/// Nothing is said of a replica whose name something foreign holds.
async fn see(sta: &Sta, job: &Replica, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let owner = job.replica.as_str();
    let observed = work.standing.observe();
    let found = sta.store.find_replica(&job.key).await?;
    match found.as_ref().map(|found| found.mark.as_ref()) {
        Some(Some(mark)) if !mark.is_of(work.standing.installation, owner) => Ok(Vec::new()),
        Some(None) => Ok(Vec::new()),
        _ => Ok(vec![replica_fact(owner, found.as_ref(), observed)]),
    }
}

pub(crate) fn replica_fact(owner: &str, replica: Option<&crate::store::Replica>, observed: Observation) -> FactReport {
    let told = |found: &crate::store::Replica| {
        json!(StoredReplica { size_bytes: found.size_bytes, guid: found.guid, base: found.base })
    };
    FactReport {
        thing: owner.to_owned(),
        name: FactName::Replica,
        value: match replica {
            None => Fact::No,
            Some(found) if found.guid.is_some() => Fact::Yes,
            // A part: to be received when building up, to be removed when tearing down.
            Some(_) => Fact::Maybe,
        },
        generation: replica.and_then(|found| found.mark.as_ref()).map_or(0, |mark| mark.generation),
        observed,
        detail: replica.map(told),
    }
}
