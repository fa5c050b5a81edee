//! Advances the copy of a machine's disk that becomes an image, at the machine's host.
//!
//! Rule: an image whose copy is over before a storage node had it can never be made, and says so.

use super::super::{AppError, Ringing};
use super::{At, Cause, queue};
use crate::db::access::ImageRow;
use crate::db::{self, Tx};
use crate::plan::Kind;
use crate::plan::capture::{Facts, Wish, is_over, next_job};
use arame_schema::jobs::hva::{Captured, Moment};
use arame_schema::model::{Fact, FactName};

/// Whether an agent is a host's.
pub fn is_host(agent: &str) -> bool {
    agent.starts_with("hva.")
}

pub fn wish(row: &ImageRow) -> Wish {
    Wish {
        wanted: row.wanted,
        generation: row.generation,
        stored: row.is_settled(),
        failed: row.failure.is_some(),
        over: row.capture.as_ref().is_none_or(|capture| capture.over),
    }
}

/// Where the copy is fetched, once it is whole.
pub async fn served(tx: &mut Tx, row: &ImageRow) -> Result<Option<Captured>, AppError> {
    let Some(capture) = &row.capture else { return Ok(None) };
    let found = db::facts::find(tx, &row.id, &capture.agent, FactName::Captured).await?;
    let whole = found.filter(|fact| fact.value == Fact::Yes);
    Ok(whole.and_then(|fact| fact.detail).and_then(|detail| serde_json::from_value(detail).ok()))
}

/// What kind of moment a machine's disk was copied at, of an image that was made of one; its host may hold the copy no more.
pub async fn moment(tx: &mut Tx, id: &str) -> Result<Option<Moment>, AppError> {
    let Some(row) = db::access::lock_image(tx, id).await? else { return Ok(None) };
    let Some(capture) = &row.capture else { return Ok(None) };
    let detail = db::facts::find(tx, id, &capture.agent, FactName::Captured).await?.and_then(|fact| fact.detail);
    Ok(detail.and_then(|detail| serde_json::from_value::<Captured>(detail).ok()).and_then(|captured| captured.moment))
}

pub async fn advance(tx: &mut Tx, ringing: &mut Ringing, id: &str, cause: Cause) -> Result<(), AppError> {
    let Some(row) = db::access::lock_image(tx, id).await? else { return Ok(()) };
    let Some(capture) = &row.capture else { return Ok(()) };
    let (captured, dropped_generation) = db::facts::value(tx, id, &capture.agent, FactName::Captured).await?;
    let (wish, facts) = (wish(&row), Facts { captured, dropped_generation });
    let at = At { thing: id, agent: &capture.agent, account: Some(&row.account) };
    let queued = queue(tx, ringing, at, next_job(wish, facts), None, cause).await?;
    if let Some(Kind::TakeCapture | Kind::DropCapture) = queued.map(|wanted| wanted.kind) {
        db::facts::set_maybe(tx, id, &capture.agent, FactName::Captured).await?;
    }
    if !capture.over && is_over(wish, facts) {
        db::access::set_capture_over(tx, id).await?;
    }
    Ok(())
}
