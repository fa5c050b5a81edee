//! `/volumes`: block volumes, attached to one instance at a time.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::fields::Fields;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use arame_schema::api::{
    AttachVolume, CreateVolume, DeleteVolume, DetachVolume, Page, Refusal, RollBackVolume, UpdateVolume, Volume,
    VolumeWhy,
};
use arame_schema::limits::VOLUME_SIZE_MIB;
use arame_schema::model::{InstanceId, SnapshotReplicaId, VolumeId, VolumeSnapshotId};

const ID: &str = "vol-…";

/// List volumes.
#[utoipa::path(get, path = "/volumes", tag = "volumes", params(ListQuery),
    responses((status = 200, body = Page<Volume>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<Volume>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::volumes::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show a volume.
#[utoipa::path(get, path = "/volumes/{id}", tag = "volumes", responses((status = 200, body = Volume)))]
pub async fn get(asked: Asked) -> Answer<Volume> {
    let id: VolumeId = asked.id(ID)?;
    let view = app::volumes::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// The way from a volume's guest to its disk, part by part: machine, host, disk, jobs, iSCSI session and target, dataset, pool and
/// storage node. The verdict is the trouble nearest to the disk.
#[utoipa::path(get, path = "/volumes/{id}/why", tag = "volumes", responses((status = 200, body = VolumeWhy)))]
pub async fn why(asked: Asked) -> Answer<VolumeWhy> {
    let id: VolumeId = asked.id(ID)?;
    asked.fields.clone().finish()?;
    let view = app::volumes::path::why(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Rename a volume.
#[utoipa::path(put, path = "/volumes/{id}", tag = "volumes", request_body = UpdateVolume,
    responses((status = 200, body = Volume)))]
pub async fn update(mut asked: Asked) -> Answer<Volume> {
    let id: VolumeId = asked.id(ID)?;
    let change = UpdateVolume { display_name: asked.fields.text_within("display_name", NAME_BYTES_MAX)? };
    asked.fields.clone().finish()?;
    let view = app::volumes::update(asked.app(), &asked.caller, id.as_str(), change).await?;
    asked.answer(view)
}

/// Create a volume, blank or with what a backup or a snapshot holds. `volume_size` is in MiB.
#[utoipa::path(post, path = "/volumes", tag = "volumes", request_body = CreateVolume,
    responses((status = 200, body = Volume)))]
pub async fn create(mut asked: Asked) -> Answer<Volume> {
    let request = create_volume(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let view = app::volumes::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Delete an available volume and its data. One that has snapshots is not deleted unless they are to go with it.
#[utoipa::path(delete, path = "/volumes/{id}", tag = "volumes",
    params(("with_snapshots" = Option<bool>, Query, description = "Its snapshots are deleted with it.")),
    responses((status = 200, body = Vec<String>)))]
pub async fn delete(mut asked: Asked) -> Answer<Vec<String>> {
    let id: VolumeId = asked.id(ID)?;
    let with_snapshots = asked.fields.flag("with_snapshots")?.unwrap_or_default();
    let request = DeleteVolume { with_snapshots };
    app::volumes::delete_as(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(vec![id.to_string()])
}

/// Attach to a running or halted instance.
#[utoipa::path(put, path = "/volumes/{id}/attach", tag = "volumes", request_body = AttachVolume,
    responses((status = 200, body = Volume)))]
pub async fn attach(mut asked: Asked) -> Answer<Volume> {
    let id: VolumeId = asked.id(ID)?;
    let instance = asked.fields.parsed::<InstanceId>("instance_id", "i-…")?;
    let instance = asked.fields.needed("instance_id", instance)?;
    asked.fields.clone().finish()?;
    app::volumes::attach(asked.app(), &asked.caller, id.as_str(), instance.as_str()).await?;
    let view = app::volumes::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Detach from its instance. `force=true` also when its guest does not let it go: the guest is then switched off hard and
/// started again without it.
#[utoipa::path(put, path = "/volumes/{id}/detach", tag = "volumes", request_body = DetachVolume,
    responses((status = 200, body = Volume)))]
pub async fn detach(mut asked: Asked) -> Answer<Volume> {
    let id: VolumeId = asked.id(ID)?;
    let request = DetachVolume { force: asked.fields.flag("force")?.unwrap_or_default() };
    asked.fields.clone().finish()?;
    app::volumes::detach_as(asked.app(), &asked.caller, id.as_str(), request).await?;
    let view = app::volumes::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Put a detached volume back to one of its snapshots. What was written since is lost.
#[utoipa::path(put, path = "/volumes/{id}/rollback", tag = "volumes", request_body = RollBackVolume,
    responses((status = 200, body = Volume)))]
pub async fn roll_back(mut asked: Asked) -> Answer<Volume> {
    let id: VolumeId = asked.id(ID)?;
    let snapshot = asked.fields.parsed::<VolumeSnapshotId>("snapshot_id", "snap-…")?;
    let request = RollBackVolume {
        snapshot_id: asked.fields.needed("snapshot_id", snapshot)?,
        destroy_newer: asked.fields.flag("destroy_newer")?.unwrap_or_default(),
    };
    asked.fields.clone().finish()?;
    let view = app::volume_snapshots::roll_back(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(view)
}

fn create_volume(fields: &mut Fields) -> Result<CreateVolume, Refusal> {
    let backup_object_id = fields.parsed("backup_object_id", "bo-…")?;
    let snapshot_id: Option<VolumeSnapshotId> = fields.parsed("snapshot_id", "snap-…")?;
    let replica_id: Option<SnapshotReplicaId> = fields.parsed("replica_id", "rep-…")?;
    let one_of = "backup_object_id | snapshot_id | replica_id";
    if let (Some(_), Some(snapshot)) = (&backup_object_id, &snapshot_id) {
        return Err(fields.invalid("snapshot_id", snapshot, one_of));
    }
    if let (true, Some(replica)) = (backup_object_id.is_some() || snapshot_id.is_some(), &replica_id) {
        return Err(fields.invalid("replica_id", replica, one_of));
    }
    // From a backup, a snapshot or a replica it is left out, or 0: as large as what that is of.
    let is_blank = backup_object_id.is_none() && snapshot_id.is_none() && replica_id.is_none();
    let sizes = if is_blank { VOLUME_SIZE_MIB } else { 0..=*VOLUME_SIZE_MIB.end() };
    let volume_size = match fields.number("volume_size", sizes)? {
        None | Some(0) if !is_blank => 0,
        size => fields.needed("volume_size", size)?,
    };
    Ok(CreateVolume {
        volume_size,
        backup_object_id,
        snapshot_id,
        replica_id,
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::parameters;
    use arame_schema::api::Code;

    fn read(body: &str) -> Result<CreateVolume, Refusal> {
        create_volume(&mut parameters("", "", body.as_bytes()).unwrap())
    }

    #[test]
    fn a_volume_has_a_size_within_limits() {
        assert_eq!(read("volume_size=1024&display_name=d").unwrap().volume_size, 1024);
        assert_eq!(read("display_name=d").unwrap_err().code, Code::MissingParameter);
        for body in ["volume_size=9", "volume_size=1G", "volume_size=-5", "volume_size=99999999999"] {
            assert_eq!(read(body).unwrap_err().code, Code::InvalidParameter, "{body}");
        }
        let restored = read("backup_object_id=bo-kpzz2px7").unwrap();
        assert_eq!((restored.volume_size, restored.backup_object_id.is_some()), (0, true));
        assert_eq!(read("volume_size=0&backup_object_id=bo-kpzz2px7").unwrap(), restored);
        assert_eq!(read("volume_size=0").unwrap_err().code, Code::InvalidParameter, "blank ones have a size");
        assert!(read("volume_size=1024&backup_object_id=vol-1").is_err());
        let cloned = read("snapshot_id=snap-kpzz2px7").unwrap();
        assert_eq!((cloned.volume_size, cloned.snapshot_id.is_some()), (0, true));
        assert!(read("snapshot_id=vol-1").is_err(), "an id of another kind");
        let both = read("snapshot_id=snap-kpzz2px7&backup_object_id=bo-kpzz2px7").unwrap_err();
        assert_eq!((both.code, both.values["name"].as_str()), (Code::InvalidParameter, "snapshot_id"));
    }
}
