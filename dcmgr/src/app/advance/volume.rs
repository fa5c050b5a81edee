//! Advances a volume.

use super::super::{AppError, Ringing};
use super::{At, Cause, queue};
use crate::db::volumes::VolumeRow;
use crate::db::{self, Tx};
use crate::plan::Kind;
use crate::plan::volume::{Surroundings, Wish, next_job};
use arame_schema::model::FactName;
use arame_schema::model::usage::of_volume;
use arame_schema::model::volume::{AttachmentView, VolumeState, VolumeView, state};

pub async fn advance(tx: &mut Tx, ringing: &mut Ringing, id: &str, cause: Cause) -> Result<(), AppError> {
    let Some(row) = db::volumes::lock(tx, id).await? else { return Ok(()) };
    let Some(agent) = db::nodes::agent_of_storage(tx, &row.node).await? else { return Ok(()) };
    let (present, _) = db::facts::value(tx, id, &agent, FactName::Volume).await?;
    let attached = db::volumes::open_attachment(tx, id).await?.is_some();
    let wish = Wish { wanted: row.wanted, generation: row.generation };
    let failed = row.failure_code.is_some();
    let around = Surroundings { was_present: row.was_present, attached, failed };
    let at = At { thing: id, agent: &agent, account: Some(&row.account) };
    let queued = queue(tx, ringing, at, next_job(wish, present, around), None, cause).await?;
    if let Some(Kind::CreateVolume | Kind::DeleteVolume) = queued.map(|wanted| wanted.kind) {
        db::facts::set_maybe(tx, id, &agent, FactName::Volume).await?;
    }
    settle_state(tx, &row, cause).await
}

/// Writes the state that follows from the facts of the volume and its attachment.
pub async fn settle_state(tx: &mut Tx, row: &VolumeRow, cause: Cause) -> Result<(), AppError> {
    let Some(agent) = db::nodes::agent_of_storage(tx, &row.node).await? else { return Ok(()) };
    let (present, _) = db::facts::value(tx, &row.id, &agent, FactName::Volume).await?;
    let attachment = match db::volumes::open_attachment(tx, &row.id).await? {
        None => None,
        Some(open) => {
            let instance = db::instances::find(tx, &open.instance).await?;
            let instance_off =
                instance.is_some_and(|i| i.desired == arame_schema::model::instance::DesiredInstance::Off);
            Some(AttachmentView {
                wanted: open.wanted,
                exported: super::attachment::exported(tx, &open.id).await?,
                plugged: super::attachment::plugged(tx, &open.id).await?,
                instance_off,
            })
        }
    };
    let failed = row.failure_code.is_some();
    let view = VolumeView { wanted: row.wanted, present, was_present: row.was_present, failed, attachment };
    let now = state(view);
    if now.as_str() == row.state {
        return Ok(());
    }
    db::volumes::set_state(tx, &row.id, now).await?;
    let disk_mib = row.size_bytes >> 20;
    let measure =
        db::usage::Measure { resource: &row.id, account: &row.account, cpu_cores: 0, memory_mib: 0, disk_mib };
    db::usage::set(tx, measure, of_volume(now)).await?;
    if now == VolumeState::Deleted {
        db::facts::forget_thing(tx, &row.id).await?;
    }
    let values = [("from", row.state.clone()), ("to", now.to_string())];
    let event = db::events::NewEvent {
        account: Some(&row.account),
        resource: &row.id,
        code: if now == VolumeState::Lost { "lost" } else { "state_changed" },
        values: &values,
        job: None,
        request: cause.request,
    };
    db::events::insert(tx, &event).await?;
    Ok(())
}
