//! `sta.image.import`: the image's bytes are in the store, verified. An image never changes under its id.
//!
//! Bytes from elsewhere are started and observed: while they still come the job answers `maybe` and is asked for again. The
//! one change of the world, the image's appearance, happens inside a job.

use super::{effect, judge, mark, see_image, settle};
use crate::agent::Sta;
use crate::fetch::downloads::Found;
use crate::fetch::is_remote;
use crate::mark::Mark;
use crate::store::{Announced, NewImage, StoreError};
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::jobs::sta::ImportImage;
use arame_schema::model::{Fact, FactName};
use sha2::{Digest, Sha256};

/// Whether the job came to the end of its wish.
enum Ended {
    There,
    StillComing,
}

pub async fn run(sta: &Sta, job: ImportImage, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let _image = sta.image_locks.change(job.image.as_str()).await;
    match ensure(sta, &job, work).await {
        Ok(Ended::StillComing) => Ok(vec![work.fact(FactName::Image, Fact::Maybe, work.standing.observe())]),
        Ok(Ended::There) => settle(Ok(()), see_image(sta, &job.image, work).await),
        Err(stopped) => settle(Err(stopped), see_image(sta, &job.image, work).await),
    }
}

async fn ensure(sta: &Sta, job: &ImportImage, work: &Work) -> Result<Ended, Stopped> {
    let wanted = mark(job.image.as_str(), work);
    let Some(found) = sta.store.find_image(&job.image).await? else {
        // A simulated node has no bytes to hand on: what the first one measured stands for them.
        let handed_on = job.peer && sta.store.kind() == "sim";
        return match is_remote(&job.source) && !handed_on {
            true => bring(sta, job, &wanted, work).await,
            false => import(sta, job, wanted, work).await,
        };
    };
    judge(found.mark.as_ref(), job.image.as_str(), job.image.as_str(), work)?;
    if job.sha256.as_ref().is_some_and(|known| *known != found.sha256) {
        let reason = format!("the store holds it already, with SHA-256 {}", found.sha256);
        return Err(StoreError::ChecksumMismatch { image: job.image.clone(), reason }.into());
    }
    if found.mark.as_ref() != Some(&wanted) {
        effect(work, sta.store.mark_image(&job.image, &wanted)).await?;
    }
    Ok(Ended::There)
}

async fn import(sta: &Sta, job: &ImportImage, mark: Mark, work: &Work) -> Result<Ended, Stopped> {
    let announced = Announced {
        image: job.image.clone(),
        format: job.format,
        sha256: job.sha256.clone(),
        size_bytes: job.size_bytes,
        disk_bytes_max: u64::MAX,
    };
    let new = NewImage { announced, source: job.source.clone(), mark };
    effect(work, sta.store.import_image(&new, work)).await.map(|()| Ended::There)
}

async fn bring(sta: &Sta, job: &ImportImage, mark: &Mark, work: &Work) -> Result<Ended, Stopped> {
    let image = job.image.as_str();
    work.check()?;
    match sta.fetch.downloads.watch(image, asked(job), |report| sta.fetch.bring(job, report), work).await? {
        Found::StillComing(_) => Ok(Ended::StillComing),
        Found::Brought(verified) => {
            effect(work, sta.store.keep_image(&job.image, verified, mark, work)).await.map(|()| Ended::There)
        }
    }
}

/// What makes two jobs ask for the same bytes.
fn asked(job: &ImportImage) -> String {
    let mut digest = Sha256::new();
    let (sum, ticket) =
        (job.sha256.as_deref().unwrap_or_default(), job.ticket.as_ref().map_or("", |ticket| ticket.expose()));
    for part in [job.source.as_str(), sum, ticket] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    hex::encode(digest.finalize())
}
