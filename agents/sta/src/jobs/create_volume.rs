//! `sta.volume.create`: the volume exists, is at least this large, and carries this generation.
//!
//! Rule: what is there is never made again or shrunk.

use super::{effect, judge, mark, see_volume, settle};
use crate::agent::Sta;
use crate::store::NewVolume;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::jobs::sta::CreateVolume;

pub async fn run(sta: &Sta, job: CreateVolume, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let _volume = sta.volume_locks.change(&job.key).await;
    let ended = ensure(sta, &job, work).await;
    settle(ended, see_volume(sta, job.volume.as_str(), &job.key, work).await)
}

async fn ensure(sta: &Sta, job: &CreateVolume, work: &Work) -> Result<(), Stopped> {
    let wanted = mark(job.volume.as_str(), work);
    match sta.store.find_volume(&job.key).await? {
        Some(found) => {
            judge(found.mark.as_ref(), &job.key, job.volume.as_str(), work)?;
            if found.size_bytes < job.size_bytes || found.mark.as_ref() != Some(&wanted) {
                effect(work, sta.store.update_volume(&job.key, job.size_bytes, &wanted)).await?;
            }
        }
        None => {
            let _image = match &job.image {
                Some(image) => Some(sta.image_locks.rely(image.as_str()).await),
                None => None,
            };
            let new =
                NewVolume { key: job.key.clone(), size_bytes: job.size_bytes, image: job.image.clone(), mark: wanted };
            effect(work, sta.store.create_volume(&new, work)).await?;
        }
    }
    Ok(())
}
