//! Messages about backups: the jobs of an object, and where a new volume finds the one it begins with.

use super::{Body, id};
use crate::app::{App, AppError};
use crate::db::backups::work::{BackupRow, Copied};
use crate::db::jobs::JobRow;
use crate::db::{self, Tx};
use crate::plan::Kind;
use arame_schema::jobs::Job;
use arame_schema::jobs::sta::{Backup, BackupSource, Origin, RestoredBackup, StoredBackup};
use arame_schema::model::{FactName, Secret};

pub(super) async fn body(app: &App, tx: &mut Tx, job: &JobRow) -> Result<Body, AppError> {
    let Some((disk, row)) = db::backups::work::lock(tx, &job.thing).await? else { return Ok(Body::Obsolete) };
    let builds = matches!(job.kind, Kind::SnapshotBackup | Kind::WriteBackup);
    if builds && !row.wanted {
        return Ok(Body::Obsolete);
    }
    let sealed = row.reader_sealed.as_deref().filter(|_| job.kind == Kind::WriteBackup);
    let reader = sealed.map(|sealed| app.vault().unseal(sealed).map(Secret::new)).transpose()?;
    let from = match row.copied.as_ref().filter(|_| job.kind == Kind::WriteBackup) {
        None => None,
        Some(copied) => match source(app, tx, job, copied).await? {
            None => return Ok(Body::Obsolete),
            from => from,
        },
    };
    let origin = if job.kind == Kind::WriteBackup { Some(origin(&row)?) } else { None };
    let body = Backup {
        origin,
        object: id(&row.id)?,
        storage: id(&row.storage)?,
        volume: disk.as_ref().map(|disk| id(&disk.id)).transpose()?,
        // A copy has no snapshot: a name that nothing has.
        volume_key: disk.map_or_else(|| row.key.clone(), |disk| disk.key),
        key: row.key,
        reader,
        from,
    };
    let job_body = match job.kind {
        Kind::SnapshotBackup => Job::SnapshotBackup(body),
        Kind::WriteBackup => Job::WriteBackup(body),
        Kind::DropBackup => Job::DropBackup(body),
        Kind::DeleteBackup => Job::DeleteBackup(body),
        _ => Job::ObserveBackup(body),
    };
    Ok(Body::Job(job.generation, job_body))
}

/// Whose it is and what it is a copy of.
fn origin(row: &BackupRow) -> Result<Origin, AppError> {
    let mut origin = Origin { account: Some(id(&row.account)?), ..Origin::default() };
    origin.volume = row.volume.as_deref().map(id).transpose()?;
    match &row.copied {
        None => {}
        Some(Copied::Object(object)) => origin.object = Some(id(object)?),
        Some(Copied::Image(image)) => origin.image = Some(id(image)?),
    }
    Ok(origin)
}

/// Where a copy comes from. `None`: it was never whole, or is not there now.
async fn source(app: &App, tx: &mut Tx, job: &JobRow, copied: &Copied) -> Result<Option<BackupSource>, AppError> {
    match copied {
        Copied::Object(object) => Ok(restored(app, tx, job, object).await?.map(BackupSource::Object)),
        Copied::Image(image) => {
            let row = db::access::find_image(tx, image).await?.filter(|row| row.wanted && row.is_settled());
            let from = |row: db::access::ImageRow| Ok(BackupSource::Image { image: id(&row.id)?, sha256: row.sha256 });
            row.map(from).transpose()
        }
    }
}

/// The backup that a volume begins with, as the storage node of `job` may read it. `None`: it was never whole.
pub(super) async fn restored(
    app: &App,
    tx: &mut Tx,
    job: &JobRow,
    object: &str,
) -> Result<Option<RestoredBackup>, AppError> {
    let Some(row) = db::backups::work::find(tx, object).await? else { return Ok(None) };
    if row.sha256.is_empty() {
        return Ok(None);
    }
    let holder = db::nodes::agent_of_storage(tx, &row.node).await?.filter(|holder| *holder != job.agent);
    let mut from = RestoredBackup {
        object: id(&row.id)?,
        storage: id(&row.storage)?,
        sha256: row.sha256,
        url: None,
        reader: None,
    };
    if let Some(holder) = holder {
        let told = db::facts::find(tx, object, &holder, FactName::Object).await?.and_then(|fact| fact.detail);
        let stored = told.and_then(|detail| serde_json::from_value::<StoredBackup>(detail).ok());
        from.url = stored.map(|stored| stored.url).filter(|url| !url.is_empty());
        let sealed = row.reader_sealed.filter(|_| from.url.is_some());
        from.reader = sealed.map(|sealed| app.vault().unseal(&sealed).map(Secret::new)).transpose()?;
    }
    Ok(Some(from))
}
