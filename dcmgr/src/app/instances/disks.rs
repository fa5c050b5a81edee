//! Volumes that come with a launch: made and attached in its transaction, so that there are all of them or none.
//!
//! Rule: a volume that is made here goes with the machine unless the request says otherwise, also with one that failed;
//! one that was there before stays. The machine does not wait for them: a disk that is ready later is plugged then.

use super::super::advance::{self, Cause};
use super::super::volumes::{self, Attaching, Begins};
use super::super::{AppError, Ringing};
use super::launch::New;
use super::record;
use crate::db::{self, Tx};
use arame_schema::api::{Code, CreateInstance, Refusal, VolumeRequest};
use arame_schema::limits::VOLUMES_MAX;
use arame_schema::model::volume::VolumeState;
use std::collections::BTreeSet;

fn is_new(request: &&VolumeRequest) -> bool {
    request.volume_id.is_none()
}

/// What is wrong with a request whatever there is.
pub(super) fn check(request: &CreateInstance) -> Result<(), Refusal> {
    let invalid = |value: String, expected: String| {
        Refusal::new(Code::InvalidParameter).with("name", "volumes").with("value", value).with("expected", expected)
    };
    if request.volumes.len() > VOLUMES_MAX {
        return Err(invalid(request.volumes.len().to_string(), format!("0..{VOLUMES_MAX}")));
    }
    let mut named = BTreeSet::new();
    for one in request.volumes.values() {
        let begins = usize::from(one.backup_object_id.is_some()) + usize::from(one.snapshot_id.is_some());
        match (&one.volume_id, one.volume_size, begins) {
            (Some(id), None, 0) if named.insert(id) => {}
            (Some(id), None, 0) => return Err(invalid(format!("{id}, {id}"), "vol-…, vol-…".into())),
            (None, Some(size), 0 | 1) => volumes::check_size(size)?,
            (None, None, 1) => {}
            _ => {
                let one_of = "volume_id | volume_size | backup_object_id | snapshot_id";
                return Err(invalid("…".into(), one_of.into()));
            }
        }
    }
    Ok(())
}

/// Whether the account may have so many more volumes. Its row is locked.
pub(super) async fn check_quota(tx: &mut Tx, new: &New<'_>) -> Result<(), AppError> {
    match new.request.volumes.values().filter(is_new).count() as u64 {
        0 => Ok(()),
        more => volumes::check_quota(tx, new.account, more).await,
    }
}

/// The rows of the new volumes, each where there is room; in the order they are asked for.
pub(super) async fn make(tx: &mut Tx, new: &New<'_>) -> Result<Vec<String>, AppError> {
    let mut made = Vec::new();
    for one in new.request.volumes.values().filter(is_new) {
        let size_mib = one.volume_size.unwrap_or_default();
        let name = one.display_name.as_deref().unwrap_or_default();
        let begins = Begins::of(one.backup_object_id.as_ref(), one.snapshot_id.as_ref());
        let need = begins.need(tx, new.caller, size_mib).await?;
        let id = volumes::insert_new(tx, new.account, &need, (name, begins)).await?;
        let (code, from) = begins.told();
        let from = from.unwrap_or_else(|| ("instance", new.id.to_owned()));
        let values = [("by", new.caller.token.clone()), from];
        record(tx, new.caller, new.account, &id, code, &values).await?;
        made.push(id);
    }
    Ok(made)
}

/// Attaches the new volumes and those that are there; the instance's row is there.
pub(super) async fn attach(
    tx: &mut Tx,
    ringing: &mut Ringing,
    new: &New<'_>,
    made: Vec<String>,
) -> Result<(), AppError> {
    let cause = Cause::request(new.caller.request);
    let mut made = made.into_iter();
    for one in new.request.volumes.values() {
        let id = match &one.volume_id {
            Some(id) => {
                check_free(tx, new, id.as_str()).await?;
                id.to_string()
            }
            None => made.next().unwrap_or_default(),
        };
        let attaching = Attaching { volume: &id, instance: new.id, deletes_volume: one.goes() };
        let attachment = volumes::new_attachment(new.app, tx, attaching).await?;
        db::volumes::insert_attachment(tx, &attachment).await?;
        let values = [("by", new.caller.token.clone()), ("instance", new.id.to_owned())];
        record(tx, new.caller, new.account, &id, "attach_requested", &values).await?;
        advance::volume::advance(tx, ringing, &id, cause).await?;
        advance::attachment::advance(tx, ringing, &attachment.id, cause).await?;
    }
    Ok(())
}

/// Whether a volume is the account's own and nobody has it. Locks its row.
async fn check_free(tx: &mut Tx, new: &New<'_>, id: &str) -> Result<(), AppError> {
    let disk = volumes::lock_own(tx, new.caller, id).await?;
    if disk.account != new.account {
        return Err(Refusal::unknown(id).into());
    }
    if let Some(open) = db::volumes::open_attachment(tx, id).await? {
        return Err(Refusal::new(Code::VolumeAttached).with("id", id).with("instance", open.instance).into());
    }
    if disk.state != VolumeState::Available.as_str() {
        let refusal = Refusal::new(Code::InvalidVolumeState).with("id", id);
        return Err(refusal.with("state", disk.state).with("needed", "available").into());
    }
    Ok(())
}
