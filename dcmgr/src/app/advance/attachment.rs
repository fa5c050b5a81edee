//! Advances an attachment: its export, and its end.

use super::super::{AppError, Ringing};
use super::{At, Cause, queue, volume};
use crate::db::{self, Tx};
use crate::plan::Kind;
use crate::plan::attachment::{Facts, Wish, is_over, next_job};
use crate::rehearsal::{self, Sabotage};
use arame_schema::model::{Fact, FactName};

/// The volume is locked first, then its attachment.
pub async fn advance(tx: &mut Tx, ringing: &mut Ringing, id: &str, cause: Cause) -> Result<(), AppError> {
    let Some(found) = db::volumes::find_attachment(tx, id).await? else { return Ok(()) };
    let Some(disk) = db::volumes::lock(tx, &found.volume).await? else { return Ok(()) };
    let Some(open) = db::volumes::open_attachment(tx, &disk.id).await?.filter(|open| open.id == id) else {
        return leftover(tx, ringing, id, &disk, cause).await;
    };
    let Some(agent) = db::nodes::agent_of_storage(tx, &disk.node).await? else { return Ok(()) };
    let wish = Wish { wanted: open.wanted, generation: open.generation };
    let facts = Facts {
        volume: db::facts::value(tx, &disk.id, &agent, FactName::Volume).await?.0,
        exported: exported(tx, id).await?,
        plugged: match rehearsal::sabotaged(Sabotage::UnexportWhilePlugged) {
            false => plugged(tx, id).await?,
            true => Fact::No,
        },
    };
    if is_over(wish, facts) {
        db::volumes::close_attachment(tx, id).await?;
        db::facts::forget_thing(tx, id).await?;
        return volume::advance(tx, ringing, &disk.id, cause).await;
    }
    let at = At { thing: id, agent: &agent, account: Some(&disk.account) };
    let queued = queue(tx, ringing, at, next_job(wish, facts), None, cause).await?;
    if let Some(Kind::ExportVolume | Kind::UnexportVolume) = queued.map(|wanted| wanted.kind) {
        db::facts::set_maybe(tx, id, &agent, FactName::Exported).await?;
    }
    volume::settle_state(tx, &disk, cause).await
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
    let facts = Facts { volume: Fact::Yes, exported: exported(tx, id).await?, plugged: plugged(tx, id).await? };
    let Some(closed) = db::volumes::find_attachment(tx, id).await? else { return Ok(()) };
    if facts.exported == Fact::No && facts.plugged == Fact::No {
        db::facts::forget_thing(tx, id).await?;
        return Ok(());
    }
    let wish = Wish { wanted: false, generation: closed.generation };
    let at = At { thing: id, agent: &agent, account: Some(&disk.account) };
    queue(tx, ringing, at, next_job(wish, facts), None, cause).await?;
    Ok(())
}

/// The export, at whatever storage node.
pub async fn exported(tx: &mut Tx, attachment: &str) -> Result<Fact, AppError> {
    most(tx, attachment, FactName::Exported).await
}

/// The most present of all plugs: one maybe on one host is a maybe.
pub async fn plugged(tx: &mut Tx, attachment: &str) -> Result<Fact, AppError> {
    most(tx, attachment, FactName::Plugged).await
}

async fn most(tx: &mut Tx, attachment: &str, name: FactName) -> Result<Fact, AppError> {
    let facts = db::facts::of_thing(tx, attachment).await?;
    Ok(facts.iter().filter(|fact| fact.name == name).map(|fact| fact.value).max().unwrap_or(Fact::No))
}
