//! The backup of a whole machine: an image of its disk, from which others start, and backups of its volumes.
//!
//! ```text
//! PUT /instances/{id}/backup ─► wmi-… creating ─► its host copies the disk ─► a storage node imports it ─► available
//!                          (all) ├► bo-… of each attached volume                                          │
//!                                └► bo-… of the image, once it is there ◄─────────────────────────────────┘
//! ```
//!
//! Rule: one copy of a machine's disk at a time; the machine is not moved meanwhile. It may be started, stopped and deleted:
//! a copy that this interrupts is made anew, and the image of a machine that is gone says so.

use super::super::advance::{self, Cause};
use super::super::backups::{copied, taken};
use super::super::images::bringing::{ARCH, choose_agent};
use super::super::{App, AppError, Caller, Ringing, moves, once, recovery};
use super::{lock_own, record, refuse_state};
use crate::db::access::{CAPTURE, Capture, NewImage};
use crate::db::backups::work::Copied;
use crate::db::instances::InstanceRow;
use crate::db::{self, Tx};
use arame_schema::api::{BackUpInstance, BackUpVolume, Code, InstanceBackup, Refusal};
use arame_schema::jobs::hva::CAPTURES;
use arame_schema::model::instance::InstanceState;
use arame_schema::model::{BackupObjectId, ImageId};

pub async fn back_up(app: &App, caller: &Caller, id: &str, request: BackUpInstance) -> Result<InstanceBackup, Refusal> {
    once::check_choice(caller, request.is_public.filter(|public| *public).as_ref())?;
    let (image, own, mut all) = crate::change!(app, "back up instance", Some(caller.request), |tx, ringing| {
        if let Some(made) = once::made(tx, caller, ImageId::PREFIX).await? {
            let own = db::backups::work::of_image(tx, &made).await?;
            // Of the image's own backup only a copy was asked for: it is not among these.
            let volumes = db::events::made_beside(tx, &made, BackupObjectId::PREFIX).await?;
            return Ok((made, own, volumes));
        }
        recovery::refuse_new(tx).await?;
        let row = lock_own(tx, caller, id).await?;
        check(tx, &row).await?;
        let image = insert(app, tx, caller, &row, &request).await?;
        let mut volumes = Vec::new();
        if request.all.unwrap_or(false) {
            volumes = back_up_volumes(app, tx, ringing, caller, (id, &request)).await?;
        }
        let own = back_up_image(app, tx, ringing, caller, (&image, &row.account, &request)).await?;
        once::keep(tx, caller, "instance.backup", &image).await?;
        advance::image::advance(tx, ringing, &image, Cause::request(caller.request)).await?;
        Ok((image, own, volumes))
    })?;
    all.splice(0..0, own.clone());
    let instance_id = id.to_owned();
    Ok(InstanceBackup { instance_id, backup_object_id: own, image_id: image, backup_object_ids: all })
}

/// Whether its disk can be copied now.
async fn check(tx: &mut Tx, row: &InstanceRow) -> Result<(), AppError> {
    moves::refuse_while_moving(tx, &row.id).await?;
    if !matches!(row.state, InstanceState::Running | InstanceState::Halted) {
        return Err(refuse_state(row, "running | halted"));
    }
    let others = db::access::captures_of(tx, &row.id).await?;
    if others.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(Code::ResourceInUse).with("id", &row.id).with("by", others.join(", ")).into())
}

/// The agent of the machine's host, if it is heard and copies disks.
async fn host_agent(tx: &mut Tx, row: &InstanceRow) -> Result<String, AppError> {
    let host = row.host.clone().unwrap_or_default();
    let id = db::nodes::agent_of_host(tx, &host).await?;
    let agent = match &id {
        Some(id) => db::agents::find(tx, id).await?,
        None => None,
    };
    let Some(agent) = agent.filter(|agent| agent.online) else {
        return Err(Refusal::new(Code::Unavailable).with("what", host).into());
    };
    match agent.endpoints.contains_key(CAPTURES) {
        true => Ok(agent.id),
        false => Err(Refusal::new(Code::HostMakesNoImages).with("host", host).into()),
    }
}

/// The image's row: a copy of this machine's disk.
async fn insert(
    app: &App,
    tx: &mut Tx,
    caller: &Caller,
    row: &InstanceRow,
    request: &BackUpInstance,
) -> Result<String, AppError> {
    let agent = host_agent(tx, row).await?;
    let parent = db::access::find_image(tx, &row.image).await?;
    let id = ImageId::from_entropy(once::entropy()).to_string();
    let new = NewImage {
        id: &id,
        account: &row.account,
        display_name: request.display_name.as_deref().unwrap_or(&row.hostname),
        description: request.description.as_deref().unwrap_or_default(),
        is_public: request.is_public.unwrap_or(false),
        arch: parent.as_ref().map_or(ARCH, |parent| &parent.arch),
        source: CAPTURE,
        format: "qcow2",
        sha256: "",
        brought_by: &choose_agent(tx).await?,
    };
    db::access::insert_image(tx, &new).await?;
    let capture = Capture { instance: row.id.clone(), agent, over: false, reader_sealed: taken::reader(app)? };
    db::access::set_captured(tx, &id, &capture, &row.image).await?;
    let by = ("by", caller.token.clone());
    record(tx, caller, &row.account, &id, "create_requested", std::slice::from_ref(&by)).await?;
    record(tx, caller, &row.account, &row.id, "image_requested", &[by, ("image", id.clone())]).await?;
    Ok(id)
}

/// Backups of the volumes that are attached.
async fn back_up_volumes(
    app: &App,
    tx: &mut Tx,
    ringing: &mut Ringing,
    caller: &Caller,
    (id, request): (&str, &BackUpInstance),
) -> Result<Vec<String>, AppError> {
    let wish = BackUpVolume {
        backup_storage_id: request.backup_storage_id.clone(),
        description: request.description.clone(),
        display_name: request.display_name.clone(),
    };
    let mut volumes: Vec<String> =
        db::volumes::attachments_of_instance(tx, id).await?.into_iter().map(|open| open.volume).collect();
    volumes.sort();
    let mut made = Vec::new();
    for volume in volumes {
        made.push(taken::back_up_in(app, tx, ringing, caller, (&volume, &wish)).await?);
    }
    Ok(made)
}

/// The backup of the image, where a backup storage is named or there is exactly one.
async fn back_up_image(
    app: &App,
    tx: &mut Tx,
    ringing: &mut Ringing,
    caller: &Caller,
    (image, account, request): (&str, &str, &BackUpInstance),
) -> Result<Option<String>, AppError> {
    let asked = request.backup_storage_id.as_ref().map(AsRef::as_ref);
    let place = match asked {
        Some(storage) => Some(copied::choose(tx, image, storage, None).await?),
        None => {
            let places = copied::places(tx).await?;
            let one = places.first().filter(|first| places.iter().all(|place| place.storage == first.storage));
            one.cloned()
        }
    };
    let Some(place) = place else { return Ok(None) };
    let copy = copied::NewCopy {
        account,
        place: &place,
        volume: None,
        copied: &Copied::Image(image.to_owned()),
        size_bytes: 0,
        display_name: request.display_name.as_deref().unwrap_or_default(),
        description: request.description.as_deref().unwrap_or_default(),
    };
    let object = copied::insert(app, tx, ringing, caller, &copy).await?;
    db::access::set_image_backup(tx, image, &object).await?;
    Ok(Some(object))
}
