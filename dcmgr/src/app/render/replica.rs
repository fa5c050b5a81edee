//! Bodies of jobs of replicas, and of the offers of their snapshots.

use super::{App, AppError, Body, Job, JobRow, Kind, Secret, Tx, id, sta};
use crate::app::advance;
use crate::db;

pub(super) async fn body(app: &App, tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    if job.kind == Kind::OfferSnapshot {
        return offer(app, tx, job).await;
    }
    let Some(row) = db::replicas::lock(tx, &job.thing).await? else { return Ok(Body::Obsolete) };
    let from = match job.kind {
        Kind::ReceiveReplica if !row.comes() => return Ok(Body::Obsolete),
        Kind::ReceiveReplica => match source(app, tx, &row.snapshot).await? {
            None => return Ok(Body::Obsolete),
            found => found,
        },
        _ => None,
    };
    let origin = match &from {
        None => None,
        Some(_) => Some(sta::Origin {
            account: Some(id(&row.account)?),
            volume: Some(id(&row.volume)?),
            snapshot: Some(id(&row.snapshot)?),
            ..sta::Origin::default()
        }),
    };
    let body = sta::Replica { replica: id(&row.id)?, volume: id(&row.volume)?, key: row.key, from, origin };
    let body = match job.kind {
        Kind::DeleteReplica => Job::DeleteReplica(body),
        Kind::ObserveReplica => Job::ObserveReplica(body),
        _ => Job::ReceiveReplica(body),
    };
    Ok(Body::Job(job.generation, body))
}

/// To those that receive a replica of it, to nobody when none comes.
async fn offer(app: &App, tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    let Some((disk, row)) = db::volume_snapshots::lock(tx, &job.thing).await? else { return Ok(Body::Obsolete) };
    let is_read = !db::replicas::coming_of(tx, &row.id).await?.is_empty();
    let reader = if is_read { reader(app, tx, &row.id).await? } else { None };
    let body = sta::OfferSnapshot { snapshot: id(&row.id)?, key: row.key, volume_key: disk.key, reader };
    Ok(Body::Job(job.generation, Job::OfferSnapshot(body)))
}

async fn reader(app: &App, tx: &mut Tx, snapshot: &str) -> Result<Option<Secret>, AppError> {
    let sealed = db::replicas::find_reader(tx, snapshot).await?;
    Ok(sealed.map(|sealed| app.vault().unseal(&sealed).map(Secret::new)).transpose()?)
}

/// Where a snapshot is read now, with what is shown there.
async fn source(app: &App, tx: &mut Tx, snapshot: &str) -> Result<Option<sta::ReplicaSource>, AppError> {
    let Some(row) = db::volume_snapshots::find(tx, snapshot).await? else { return Ok(None) };
    let offered = advance::replica::offered(tx, &row).await?;
    let reader = reader(app, tx, snapshot).await?;
    Ok(offered.zip(reader).map(|(offered, reader)| sta::ReplicaSource { offered, reader }))
}
