//! Advances an attachment: its export, and its end.

use super::super::{AppError, Ringing};
use super::{At, Cause, queue, volume};
use crate::db::volumes::AttachmentRow;
use crate::db::{self, Tx};
use crate::plan::Kind;
use crate::plan::attachment::{Facts, Wish, is_fenced, is_over, next_job, plug_to_go};
use crate::rehearsal::{self, Sabotage};
use arame_schema::jobs::sta::FenceProof;
use arame_schema::model::instance::DesiredInstance;
use arame_schema::model::{Fact, FactName};

/// The volume is locked first, then its attachment.
pub async fn advance(tx: &mut Tx, ringing: &mut Ringing, id: &str, cause: Cause) -> Result<(), AppError> {
    let Some(found) = db::volumes::find_attachment(tx, id).await? else { return Ok(()) };
    let Some(disk) = db::volumes::lock(tx, &found.volume).await? else { return Ok(()) };
    let Some(open) = db::volumes::open_attachment(tx, &disk.id).await?.filter(|open| open.id == id) else {
        return leftover(tx, ringing, id, &disk, cause).await;
    };
    let Some(agent) = db::nodes::agent_of_storage(tx, &disk.node).await? else { return Ok(()) };
    let wish = wish_of(&open);
    let volume = db::facts::value(tx, &disk.id, &agent, FactName::Volume).await?.0;
    let mut facts = facts_of(tx, id, volume).await?;
    if !wish.wanted {
        facts.plugged = unplugged(tx, &open.instance, facts.plugged).await?;
    }
    if rehearsal::sabotaged(Sabotage::UnexportWhilePlugged) {
        facts.plugged = Fact::No;
    }
    if is_over(wish, facts) {
        db::volumes::close_attachment(tx, id).await?;
        db::facts::forget_thing(tx, id).await?;
        if open.deletes_volume {
            go_with_instance(tx, &disk, &open.instance, cause).await?;
        }
        return volume::advance(tx, ringing, &disk.id, cause).await;
    }
    let at = At { thing: id, agent: &agent, account: Some(&disk.account) };
    let queued = queue(tx, ringing, at, next_job(wish, facts), None, cause).await?;
    if let Some(Kind::ExportVolume | Kind::UnexportVolume | Kind::FenceVolume) = queued.map(|wanted| wanted.kind) {
        db::facts::set_maybe(tx, id, &agent, FactName::Exported).await?;
    }
    volume::settle_state(tx, &disk, cause).await
}

/// A volume that was made with an instance goes with it. One that was only detached stays, and so does one with snapshots.
async fn go_with_instance(
    tx: &mut Tx,
    disk: &db::volumes::VolumeRow,
    instance: &str,
    cause: Cause,
) -> Result<(), AppError> {
    let gone = db::instances::find(tx, instance).await?.is_none_or(|row| row.desired == DesiredInstance::Gone);
    if !gone || !disk.wanted {
        return Ok(());
    }
    let snapshots = db::volume_snapshots::of_volume(tx, &disk.id).await?;
    let (code, value) = match snapshots.iter().any(|one| one.wanted) {
        true => ("kept_for_snapshots", ("instance", instance.to_owned())),
        false => {
            db::volumes::set_unwanted(tx, &disk.id).await?;
            ("delete_requested", ("by", instance.to_owned()))
        }
    };
    let event = db::events::NewEvent {
        account: Some(&disk.account),
        resource: &disk.id,
        code,
        values: &[value],
        job: None,
        request: cause.request,
    };
    Ok(db::events::insert(tx, &event).await?)
}

/// A closed attachment whose export turned up again is removed by rule.
async fn leftover(
    tx: &mut Tx,
    ringing: &mut Ringing,
    id: &str,
    disk: &db::volumes::VolumeRow,
    cause: Cause,
) -> Result<(), AppError> {
    let Some(agent) = db::nodes::agent_of_storage(tx, &disk.node).await? else { return Ok(()) };
    let facts = facts_of(tx, id, Fact::Yes).await?;
    let Some(closed) = db::volumes::find_attachment(tx, id).await? else { return Ok(()) };
    if facts.exported == Fact::No && facts.plugged == Fact::No {
        db::facts::forget_thing(tx, id).await?;
        return Ok(());
    }
    let wish = Wish { wanted: false, generation: closed.generation, fencing: false };
    let at = At { thing: id, agent: &agent, account: Some(&disk.account) };
    queue(tx, ringing, at, next_job(wish, facts), None, cause).await?;
    Ok(())
}

fn wish_of(row: &AttachmentRow) -> Wish {
    Wish { wanted: row.wanted, generation: row.generation, fencing: row.fencing }
}

async fn facts_of(tx: &mut Tx, id: &str, volume: Fact) -> Result<Facts, AppError> {
    let facts = Facts { volume, ..export_of(tx, id).await? };
    Ok(Facts { plugged: plugged(tx, id).await?, ..facts })
}

/// What counts of a plug that is to go.
async fn unplugged(tx: &mut Tx, instance: &str, plugged: Fact) -> Result<Fact, AppError> {
    let Some(row) = db::instances::find(tx, instance).await? else { return Ok(plugged) };
    let Some(agent) = db::nodes::agent_of_host(tx, row.host.as_deref().unwrap_or_default()).await? else {
        return Ok(plugged);
    };
    let (domain, generation) = db::facts::value(tx, instance, &agent, FactName::Domain).await?;
    // A failure that is final was answered: nothing more of it is on its way.
    Ok(plug_to_go(plugged, domain, generation >= row.generation || row.failure_final))
}

/// What an instance's plan reads of an attachment of it; its plug is that of one host.
pub async fn facts_at(tx: &mut Tx, open: &AttachmentRow, host_agent: &str) -> Result<(Wish, Facts), AppError> {
    let plugged = db::facts::value(tx, &open.id, host_agent, FactName::Plugged).await?.0;
    Ok((wish_of(open), Facts { plugged, ..export_of(tx, &open.id).await? }))
}

/// Whether it is proved of every volume of an instance that a lost host does not reach it any more.
pub async fn are_fenced(tx: &mut Tx, attachments: &[AttachmentRow]) -> Result<bool, AppError> {
    for open in attachments.iter().filter(|open| open.fencing) {
        if !is_fenced(wish_of(open), export_of(tx, &open.id).await?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The export, at whatever storage node, with the generation it carries and the proof that its absence was told with.
async fn export_of(tx: &mut Tx, attachment: &str) -> Result<Facts, AppError> {
    let facts = db::facts::of_thing(tx, attachment).await?;
    let exports = facts.iter().filter(|fact| fact.name == FactName::Exported);
    let newest = exports.max_by_key(|fact| (fact.value, fact.generation));
    let proof = newest.and_then(|fact| serde_json::from_value::<FenceProof>(fact.detail.clone()?).ok());
    Ok(Facts {
        volume: Fact::Yes,
        exported: newest.map_or(Fact::No, |fact| fact.value),
        export_generation: newest.map_or(0, |fact| fact.generation),
        proved: proof.and(newest.map(|fact| fact.generation)),
        plugged: Fact::No,
    })
}

/// The export, at whatever storage node.
pub async fn exported(tx: &mut Tx, attachment: &str) -> Result<Fact, AppError> {
    Ok(export_of(tx, attachment).await?.exported)
}

/// The most present of all plugs: one maybe on one host is a maybe.
pub async fn plugged(tx: &mut Tx, attachment: &str) -> Result<Fact, AppError> {
    let facts = db::facts::of_thing(tx, attachment).await?;
    let plugs = facts.iter().filter(|fact| fact.name == FactName::Plugged);
    Ok(plugs.map(|fact| fact.value).max().unwrap_or(Fact::No))
}
