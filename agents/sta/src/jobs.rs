//! One file per kind of job; here what they share: judging whose a thing is, and saying what was seen.
//!
//! Every job has the same shape: lock the name, look, judge, do what is missing, look again. The order of an
//! observation is taken before the look it belongs to. A job that failed still says what it sees.

pub mod backup;
pub mod create_snapshot;
pub mod create_volume;
pub mod delete_image;
pub mod delete_snapshot;
pub mod delete_volume;
pub mod export_volume;
pub mod fence_volume;
pub mod import_image;
pub mod mark_volume;
pub mod observe_snapshot;
pub mod observe_volume;
pub mod offer_snapshot;
pub mod replica;
pub mod roll_back_volume;
pub mod unexport_volume;

use crate::agent::Sta;
use crate::mark::Mark;
use crate::store::{Snapshot, Volume};
use arame_framework::agent::{Stopped, Work};
use arame_framework::rehearsal::{self, Sabotage};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::jobs::sta::SeenVolume;
use arame_schema::model::{AttachmentId, Fact, FactName, ImageId, Observation, VolumeId, VolumeSnapshotId};
use serde_json::json;

pub(crate) fn mark(owner: &str, work: &Work) -> Mark {
    Mark { installation: work.standing.installation, owner: owner.to_owned(), generation: work.generation }
}

pub(crate) fn foreign(what: &str) -> Stopped {
    Stopped::failed("foreign_thing", format!("`{what}` is there and is not ours: left as it is"), Retry::Never)
}

/// Whether the job may change the thing found under `name`.
pub(crate) fn judge(found: Option<&Mark>, name: &str, owner: &str, work: &Work) -> Result<(), Stopped> {
    match found {
        Some(mark) if !mark.is_of(work.standing.installation, owner) => Err(foreign(name)),
        None => Err(foreign(name)),
        Some(mark) if mark.generation > work.generation && !rehearsal::sabotaged(Sabotage::SkipGenerationCheck) => {
            Err(Stopped::Refused { found_generation: mark.generation, facts: Vec::new() })
        }
        Some(_) => Ok(()),
    }
}

/// One change of the world: begun only while the job is wanted and has time.
pub(crate) async fn effect<E: Into<Stopped>>(
    work: &Work,
    change: impl Future<Output = Result<(), E>> + Send,
) -> Result<(), Stopped> {
    work.effect(async { change.await.map_err(Into::into) }).await
}

/// The end of a job: what is seen now, whether it went well or not.
pub(crate) fn settle(
    effect: Result<(), Stopped>,
    seen: Result<Vec<FactReport>, Stopped>,
) -> Result<Vec<FactReport>, Stopped> {
    match (effect, seen) {
        (Ok(()), seen) => seen,
        (Err(stopped), Ok(facts)) => Err(stopped.with_facts(facts)),
        (Err(stopped), Err(_)) => Err(stopped),
    }
}

pub(crate) fn volume_fact(owner: &str, volume: Option<&Volume>, generation: u64, observed: Observation) -> FactReport {
    FactReport {
        thing: owner.to_owned(),
        name: FactName::Volume,
        value: if volume.is_some() { Fact::Yes } else { Fact::No },
        generation,
        observed,
        detail: volume.map(|volume| json!(SeenVolume { size_bytes: volume.size_bytes, rollback: volume.rollback })),
    }
}

/// The volume a job is about, which has to be there and ours.
pub(crate) async fn own_volume(sta: &Sta, owner: &VolumeId, key: &str, work: &Work) -> Result<Volume, Stopped> {
    let Some(volume) = sta.store.find_volume(key).await? else {
        return Err(Stopped::failed("volume_missing", format!("{owner} is not in the store"), Retry::Later));
    };
    match &volume.mark {
        Some(mark) if mark.is_of(work.standing.installation, owner.as_str()) => Ok(volume),
        _ => Err(foreign(key)),
    }
}

/// The target that serves the volume: somebody may be writing to it.
pub(crate) async fn exported_as(sta: &Sta, volume: &Volume) -> Result<Option<String>, Stopped> {
    let targets = sta.export.list().await?;
    Ok(targets.into_iter().find(|target| target.path.as_ref() == Some(&volume.path)).map(|target| target.iqn))
}

pub(crate) fn snapshot_fact(owner: &str, snapshot: Option<&Snapshot>, observed: Observation) -> FactReport {
    FactReport {
        thing: owner.to_owned(),
        name: FactName::Snapshot,
        value: if snapshot.is_some() { Fact::Yes } else { Fact::No },
        generation: snapshot.and_then(|found| found.mark.as_ref()).map_or(0, |mark| mark.generation),
        observed,
        detail: snapshot.map(|found| json!({ "size_bytes": found.size_bytes })),
    }
}

/// Nothing is said of a snapshot whose name something foreign holds. `at`: the volume's key and its own.
pub(crate) async fn see_snapshot(
    sta: &Sta,
    snapshot: &VolumeSnapshotId,
    at: (&str, &str),
    work: &Work,
) -> Result<Vec<FactReport>, Stopped> {
    let observed = work.standing.observe();
    let found = sta.store.find_snapshot(at.0, at.1).await?;
    match found.as_ref().map(|found| found.mark.as_ref()) {
        Some(Some(mark)) if !mark.is_of(work.standing.installation, snapshot.as_str()) => Ok(Vec::new()),
        Some(None) => Ok(Vec::new()),
        _ => Ok(vec![snapshot_fact(snapshot.as_str(), found.as_ref(), observed)]),
    }
}

/// Nothing is said of a volume whose key something foreign holds.
pub(crate) async fn see_volume(sta: &Sta, owner: &str, key: &str, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let observed = work.standing.observe();
    let found = sta.store.find_volume(key).await?;
    match found.as_ref().map(|volume| volume.mark.as_ref()) {
        None => Ok(vec![volume_fact(owner, None, 0, observed)]),
        Some(Some(mark)) if mark.is_of(work.standing.installation, owner) => {
            Ok(vec![volume_fact(owner, found.as_ref(), mark.generation, observed)])
        }
        Some(_) => Ok(Vec::new()),
    }
}

pub(crate) async fn see_image(sta: &Sta, image: &ImageId, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let observed = work.standing.observe();
    let found = sta.store.find_image(image).await?;
    match found.as_ref().map(|image| image.mark.as_ref()) {
        Some(Some(mark)) if !mark.is_of(work.standing.installation, image.as_str()) => Ok(Vec::new()),
        Some(None) => Ok(Vec::new()),
        _ => Ok(vec![sta.image_fact(image.as_str(), found.as_ref(), observed)]),
    }
}

pub(crate) async fn see_export(sta: &Sta, attachment: &AttachmentId, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let observed = work.standing.observe();
    let targets = sta.export.list().await?;
    let newest = targets.iter().filter(|target| target.attachment == *attachment).max_by_key(|target| target.epoch);
    Ok(vec![match newest {
        Some(target) => sta.exported_fact(target, observed),
        None => FactReport {
            thing: attachment.to_string(),
            name: FactName::Exported,
            value: Fact::No,
            generation: 0,
            observed,
            detail: None,
        },
    }])
}
