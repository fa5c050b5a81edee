//! `sta.snapshot.create`: the snapshot exists and carries this generation.
//!
//! Rule: what is there is never taken again: it would be of another moment. The volume's lock is held whole, so that no
//! export begins while a store copies.

use super::{effect, exported_as, judge, mark, own_volume, see_snapshot, settle};
use crate::agent::Sta;
use crate::store::NewSnapshot;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::jobs::sta::CreateSnapshot;

pub async fn run(sta: &Sta, job: CreateSnapshot, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let _volume = sta.volume_locks.change(&job.volume_key).await;
    let ended = ensure(sta, &job, work).await;
    settle(ended, see_snapshot(sta, &job.snapshot, (&job.volume_key, &job.key), work).await)
}

async fn ensure(sta: &Sta, job: &CreateSnapshot, work: &Work) -> Result<(), Stopped> {
    let wanted = mark(job.snapshot.as_str(), work);
    if let Some(found) = sta.store.find_snapshot(&job.volume_key, &job.key).await? {
        judge(found.mark.as_ref(), &job.key, job.snapshot.as_str(), work)?;
        if found.mark.as_ref() != Some(&wanted) {
            effect(work, sta.store.mark_snapshot(&job.volume_key, &job.key, &wanted)).await?;
        }
        return Ok(());
    }
    let volume = own_volume(sta, &job.volume, &job.volume_key, work).await?;
    let new = NewSnapshot {
        volume_key: job.volume_key.clone(),
        key: job.key.clone(),
        mark: wanted,
        in_use: exported_as(sta, &volume).await?.is_some(),
    };
    effect(work, sta.store.create_snapshot(&new, work)).await
}
