//! `/volume_snapshots`: what a volume held at one moment.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use arame_schema::api::{CreateVolumeSnapshot, Page, UpdateVolumeSnapshot, VolumeSnapshot};
use arame_schema::model::{VolumeId, VolumeSnapshotId};

const ID: &str = "snap-…";

/// List snapshots of volumes. `volume_id` narrows the list to one volume's.
#[utoipa::path(get, path = "/volume_snapshots", tag = "volumes",
    params(ListQuery, ("volume_id" = Option<String>, Query, description = "Only of this volume.")),
    responses((status = 200, body = Page<VolumeSnapshot>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<VolumeSnapshot>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let volume = asked.fields.parsed::<VolumeId>("volume_id", "vol-…")?;
    let volume = volume.as_ref().map(VolumeId::as_str);
    let page = app::volume_snapshots::list(asked.app(), &asked.caller, filter, volume).await?;
    asked.page(page)
}

/// Show a snapshot.
#[utoipa::path(get, path = "/volume_snapshots/{id}", tag = "volumes",
    responses((status = 200, body = VolumeSnapshot)))]
pub async fn get(asked: Asked) -> Answer<VolumeSnapshot> {
    let id: VolumeSnapshotId = asked.id(ID)?;
    let view = app::volume_snapshots::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Take a snapshot of a volume. Of one in use it is crash-consistent: as the disk of a machine whose power failed.
#[utoipa::path(post, path = "/volume_snapshots", tag = "volumes", request_body = CreateVolumeSnapshot,
    responses((status = 200, body = VolumeSnapshot)))]
pub async fn create(mut asked: Asked) -> Answer<VolumeSnapshot> {
    let volume = asked.fields.parsed::<VolumeId>("volume_id", "vol-…")?;
    let request = CreateVolumeSnapshot {
        volume_id: asked.fields.needed("volume_id", volume)?,
        display_name: asked.fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
    };
    asked.fields.clone().finish()?;
    let view = app::volume_snapshots::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Rename a snapshot, or mark it so that no schedule deletes it. What is absent stays.
#[utoipa::path(put, path = "/volume_snapshots/{id}", tag = "volumes", request_body = UpdateVolumeSnapshot,
    responses((status = 200, body = VolumeSnapshot)))]
pub async fn update(mut asked: Asked) -> Answer<VolumeSnapshot> {
    let id: VolumeSnapshotId = asked.id(ID)?;
    let request = UpdateVolumeSnapshot {
        display_name: asked.fields.text_within("display_name", NAME_BYTES_MAX)?,
        kept: asked.fields.flag("kept")?,
    };
    asked.fields.clone().finish()?;
    let view = app::volume_snapshots::update(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(view)
}

/// Delete a snapshot. The volume and its other snapshots stay as they are.
#[utoipa::path(delete, path = "/volume_snapshots/{id}", tag = "volumes",
    responses((status = 200, body = Vec<String>)))]
pub async fn delete(asked: Asked) -> Answer<Vec<String>> {
    let id: VolumeSnapshotId = asked.id(ID)?;
    app::volume_snapshots::delete(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(vec![id.to_string()])
}
