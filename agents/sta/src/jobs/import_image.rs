//! `sta.image.import`: the image's bytes are in the store, verified. An image never changes under its id.

use super::{effect, judge, mark, see_image, settle};
use crate::agent::Sta;
use crate::store::{NewImage, StoreError};
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::jobs::sta::ImportImage;

pub async fn run(sta: &Sta, job: ImportImage, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let _image = sta.image_locks.change(job.image.as_str()).await;
    let ended = ensure(sta, &job, work).await;
    settle(ended, see_image(sta, &job.image, work).await)
}

async fn ensure(sta: &Sta, job: &ImportImage, work: &Work) -> Result<(), Stopped> {
    let wanted = mark(job.image.as_str(), work);
    let Some(found) = sta.store.find_image(&job.image).await? else {
        let new = NewImage {
            image: job.image.clone(),
            source: job.source.clone(),
            sha256: job.sha256.clone(),
            size_bytes: job.size_bytes,
            format: job.format,
            mark: wanted,
        };
        return effect(work, sta.store.import_image(&new, work)).await;
    };
    judge(found.mark.as_ref(), job.image.as_str(), job.image.as_str(), work)?;
    if found.sha256 != job.sha256 {
        let reason = format!("the store holds it already, with SHA-256 {}", found.sha256);
        return Err(StoreError::ChecksumMismatch { image: job.image.clone(), reason }.into());
    }
    if found.mark.as_ref() != Some(&wanted) {
        effect(work, sta.store.mark_image(&job.image, &wanted)).await?;
    }
    Ok(())
}
