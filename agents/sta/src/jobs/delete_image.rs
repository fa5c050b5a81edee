//! `sta.image.delete`: the image's bytes are gone from the store, and no more of them come.

use super::{effect, judge, see_image, settle};
use crate::agent::Sta;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::jobs::sta::DeleteImage;

pub async fn run(sta: &Sta, job: DeleteImage, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    sta.fetch.downloads.stop(job.image.as_str()).await;
    let _image = sta.image_locks.change(job.image.as_str()).await;
    let ended = remove(sta, &job, work).await;
    settle(ended, see_image(sta, &job.image, work).await)
}

async fn remove(sta: &Sta, job: &DeleteImage, work: &Work) -> Result<(), Stopped> {
    let Some(found) = sta.store.find_image(&job.image).await? else { return Ok(()) };
    judge(found.mark.as_ref(), job.image.as_str(), job.image.as_str(), work)?;
    effect(work, sta.store.delete_image(&job.image)).await
}
