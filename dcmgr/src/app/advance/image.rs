//! Advances an image at every storage node that is heard, and tells its timeline what it became.

use super::super::{AppError, Ringing};
use super::{At, Cause, capture, queue};
use crate::db::access::{ImageRow, Standing};
use crate::db::facts::FactRow;
use crate::db::{self, Tx};
use crate::plan::Kind;
use crate::plan::image::{Wish, next_job};
use arame_schema::jobs::hva::Moment;
use arame_schema::jobs::sta::StoredImage;
use arame_schema::model::{Fact, FactName};

/// The state of an image that machines may be made of.
const AVAILABLE: &str = "available";

pub async fn advance(tx: &mut Tx, ringing: &mut Ringing, id: &str, cause: Cause) -> Result<(), AppError> {
    for sta in db::agents::online_of_kind(tx, "sta").await? {
        step_at(tx, ringing, id, &sta, cause).await?;
    }
    capture::advance(tx, ringing, id, cause).await?;
    tell_state(tx, id, cause).await
}

pub async fn advance_at(tx: &mut Tx, ringing: &mut Ringing, id: &str, sta: &str, cause: Cause) -> Result<(), AppError> {
    step_at(tx, ringing, id, sta, cause).await?;
    tell_state(tx, id, cause).await
}

/// Whom an image's timeline is for: its account, or everybody where it is public.
pub fn audience(standing: &Standing) -> &str {
    if standing.is_public { db::events::EVERYBODY } else { &standing.account }
}

/// The state that users see follows from facts: where it is another than was told, its timeline says so.
async fn tell_state(tx: &mut Tx, id: &str, cause: Cause) -> Result<(), AppError> {
    let Some(standing) = db::access::image_standing(tx, id).await?.filter(|one| one.told != one.state) else {
        return Ok(());
    };
    db::access::set_image_told(tx, id, &standing.state).await?;
    let values = [("from", standing.told.clone()), ("to", standing.state.clone())];
    let event = db::events::NewEvent {
        account: Some(audience(&standing)),
        resource: id,
        code: "state_changed",
        values: &values,
        job: None,
        request: cause.request,
    };
    db::events::insert(tx, &event).await?;
    let moment = if standing.state == AVAILABLE { capture::moment(tx, id).await? } else { None };
    let code = match moment {
        None => return Ok(()),
        Some(Moment::Off) => "copied_off",
        Some(Moment::Frozen) => "copied_frozen",
        Some(Moment::Running) => "copied_running",
    };
    Ok(db::events::insert(tx, &db::events::NewEvent { code, values: &[], ..event }).await?)
}

/// Whether a guest may be made from an image.
pub enum Readiness {
    Ready,
    /// No storage node has it yet.
    Coming,
    /// It cannot be imported: code and message.
    Failed(String, String),
}

/// What an image's row and the facts of every storage node mean.
pub fn readiness(row: Option<ImageRow>, facts: &[FactRow]) -> Readiness {
    let Some(row) = row else { return Readiness::Coming };
    let is_here = |fact: &FactRow| {
        fact.thing == row.id
            && fact.name == FactName::Image
            && fact.value == Fact::Yes
            && fact.generation >= row.generation
    };
    if facts.iter().any(is_here) {
        return Readiness::Ready;
    }
    match row.failure {
        Some((code, message)) => Readiness::Failed(code, message),
        None => Readiness::Coming,
    }
}

/// Whether a storage node can have the bytes now. The first time one of them brings them in, the others take them from it.
async fn is_obtainable(tx: &mut Tx, row: &ImageRow, sta: &str) -> Result<bool, AppError> {
    let Some(first) = &row.brought_by else { return Ok(true) };
    let brings = first == sta && (row.has_source() || row.is_offered());
    if !row.is_settled() {
        let captured = first == sta && capture::served(tx, row).await?.is_some();
        return Ok(brings || captured);
    }
    Ok(brings || row.has_source() || peer(tx, row, sta).await?.is_some())
}

/// Where another storage node serves the image.
pub async fn peer(tx: &mut Tx, row: &ImageRow, sta: &str) -> Result<Option<String>, AppError> {
    let serves = |fact: &FactRow| fact.name == FactName::Image && fact.value == Fact::Yes && fact.agent != sta;
    let found = db::facts::of_thing(tx, &row.id).await?.into_iter().find(serves);
    let stored = found.and_then(|fact| fact.detail).and_then(|detail| serde_json::from_value(detail).ok());
    Ok(stored.map(|stored: StoredImage| stored.url))
}

async fn step_at(tx: &mut Tx, ringing: &mut Ringing, id: &str, sta: &str, cause: Cause) -> Result<(), AppError> {
    let Some(row) = db::access::lock_image(tx, id).await? else { return Ok(()) };
    if capture::is_host(sta) {
        return capture::advance(tx, ringing, id, cause).await;
    }
    let (present, generation) = db::facts::value(tx, id, sta, FactName::Image).await?;
    let obtainable = present == Fact::Yes || is_obtainable(tx, &row, sta).await?;
    // Bytes of an older generation are not this image.
    let present = if present == Fact::Yes && generation < row.generation { Fact::Maybe } else { present };
    let wish = Wish { wanted: row.wanted, generation: row.generation, obtainable, failed: row.failure.is_some() };
    let at = At { thing: id, agent: sta, account: None };
    let queued = queue(tx, ringing, at, next_job(wish, present), None, cause).await?;
    if let Some(Kind::ImportImage | Kind::DeleteImage) = queued.map(|wanted| wanted.kind) {
        db::facts::set_maybe(tx, id, sta, FactName::Image).await?;
    }
    match row.capture {
        // Its copy may be needed no more.
        Some(capture) if !capture.over => capture::advance(tx, ringing, id, Cause::fact()).await,
        _ => Ok(()),
    }
}
