//! `/snapshot_replicas`: copies of volumes' snapshots on other storage nodes.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::list::{self, ListQuery};
use arame_schema::api::{CreateSnapshotReplica, Page, SnapshotReplica};
use arame_schema::model::{SnapshotReplicaId, VolumeId, VolumeSnapshotId};

const ID: &str = "rep-…";

/// List replicas of snapshots. `snapshot_id` and `volume_id` narrow the list to one snapshot's or one volume's.
#[utoipa::path(get, path = "/snapshot_replicas", tag = "volumes",
    params(ListQuery, ("snapshot_id" = Option<String>, Query, description = "Only of this snapshot."),
        ("volume_id" = Option<String>, Query, description = "Only of this volume's snapshots.")),
    responses((status = 200, body = Page<SnapshotReplica>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<SnapshotReplica>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let snapshot = asked.fields.parsed::<VolumeSnapshotId>("snapshot_id", "snap-…")?;
    let volume = asked.fields.parsed::<VolumeId>("volume_id", "vol-…")?;
    let of = (snapshot.as_ref().map(VolumeSnapshotId::as_str), volume.as_ref().map(VolumeId::as_str));
    let page = app::replicas::list(asked.app(), &asked.caller, filter, of).await?;
    asked.page(page)
}

/// Show a replica.
#[utoipa::path(get, path = "/snapshot_replicas/{id}", tag = "volumes",
    responses((status = 200, body = SnapshotReplica)))]
pub async fn get(asked: Asked) -> Answer<SnapshotReplica> {
    let id: SnapshotReplicaId = asked.id(ID)?;
    let view = app::replicas::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Copy a snapshot to another storage node: all of it, or what changed since a replica of the same volume that is there. Asked
/// for again on a node that has it, it is the same replica.
#[utoipa::path(post, path = "/snapshot_replicas", tag = "volumes", request_body = CreateSnapshotReplica,
    responses((status = 200, body = SnapshotReplica)))]
pub async fn create(mut asked: Asked) -> Answer<SnapshotReplica> {
    let snapshot = asked.fields.parsed::<VolumeSnapshotId>("snapshot_id", "snap-…")?;
    let request = CreateSnapshotReplica {
        snapshot_id: asked.fields.needed("snapshot_id", snapshot)?,
        storage_node_id: asked.fields.parsed("storage_node_id", "sn-…")?,
    };
    asked.fields.clone().finish()?;
    let view = app::replicas::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Delete a replica. Its snapshot, and volumes that were made of it, stay as they are.
#[utoipa::path(delete, path = "/snapshot_replicas/{id}", tag = "volumes",
    responses((status = 200, body = Vec<String>)))]
pub async fn delete(asked: Asked) -> Answer<Vec<String>> {
    let id: SnapshotReplicaId = asked.id(ID)?;
    app::replicas::delete(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(vec![id.to_string()])
}
