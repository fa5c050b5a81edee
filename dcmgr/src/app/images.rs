//! Images: a tenant's own and public ones. Registered by an address or uploaded ([`bringing`]), renamed by their account,
//! ended when no instance is made of them.
//!
//! Rule: a launch holds the image's row until its instance is there, a deletion locks it: none is made of what goes.

pub mod bringing;

use super::advance::{self, Cause};
use super::instances::record;
use super::{App, AppError, Caller, labels, once};
use crate::db::access::{ImageRow, Standing};
use crate::db::{self, Tx};
use arame_schema::api::{Code, Image, ListFilter, Page, Refusal, UpdateImage};

/// States a list may be narrowed to.
const STATES: [&str; 6] = ["pending", "creating", "available", "failed", "deleting", "deleted"];

pub async fn list(
    app: &App,
    caller: &Caller,
    filter: ListFilter,
    public: Option<bool>,
) -> Result<Page<Image>, Refusal> {
    let groups = ["alive", "alive_with_deleted"];
    if let Some(word) = filter.state.as_deref().filter(|word| !STATES.contains(word) && !groups.contains(word)) {
        let refusal = Refusal::new(Code::InvalidParameter).with("name", "state").with("value", word);
        return Err(refusal.with("expected", format!("{} | {}", STATES.join(" | "), groups.join(" | "))));
    }
    let found = db::access::images(app.db(), caller.scope()).await.map_err(AppError::from)?;
    let wanted = |image: &Image| {
        let state = match filter.state.as_deref() {
            None | Some("alive") => image.deleted_at.is_none(),
            Some("alive_with_deleted") => true,
            Some(word) => image.state == word,
        };
        state && public.is_none_or(|public| image.is_public == public)
    };
    let mut page = super::page(found.into_iter().filter(wanted).collect(), &filter)?;
    labels::attach(app, &mut page.results).await?;
    Ok(page)
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<Image, Refusal> {
    let found = db::access::image(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    let mut found = found.ok_or_else(|| Refusal::unknown(id))?;
    labels::attach(app, std::slice::from_mut(&mut found)).await?;
    Ok(found)
}

/// A public image of another account is seen, and is not the caller's to change.
pub(super) async fn lock_own(tx: &mut Tx, caller: &Caller, id: &str) -> Result<ImageRow, AppError> {
    let row = db::access::lock_image(tx, id).await?.filter(|row| row.wanted);
    let own = row.filter(|row| caller.scope().is_none_or(|account| account == row.account));
    own.ok_or_else(|| Refusal::unknown(id).into())
}

pub async fn update(app: &App, caller: &Caller, id: &str, change: UpdateImage) -> Result<Image, Refusal> {
    once::check_choice(caller, change.is_public.as_ref())?;
    crate::change!(app, "update image", Some(caller.request), |tx, _ringing| {
        lock_own(tx, caller, id).await?;
        let before = db::access::image_standing(tx, id).await?;
        db::access::set_image_words(tx, id, &change).await?;
        db::events::audit(tx, &caller.who(), "image.update", id).await?;
        let after = db::access::image_standing(tx, id).await?;
        match before.zip(after) {
            Some((before, after)) => tell_change(tx, caller, id, (&before, &after)).await,
            None => Ok(()),
        }
    })?;
    get(app, caller, id).await
}

/// Who saw it before is told too that it is shared no more. Who changed it is its account's log to tell.
async fn tell_change(
    tx: &mut Tx,
    caller: &Caller,
    id: &str,
    (before, after): (&Standing, &Standing),
) -> Result<(), AppError> {
    let code = match (before.is_public, after.is_public) {
        (false, true) => "image_shared",
        (true, false) => "image_unshared",
        (true, true) | (false, false) => "image_changed",
    };
    let account = advance::image::audience(if before.is_public { before } else { after });
    record(tx, caller, account, id, code, &[]).await
}

/// Ends an image of which no live instance was made; every storage node removes it.
pub async fn delete(app: &App, caller: &Caller, id: &str) -> Result<Vec<String>, Refusal> {
    crate::change!(app, "delete image", Some(caller.request), |tx, ringing| {
        let row = lock_own(tx, caller, id).await?;
        let users = db::access::users_of_image(tx, id).await?;
        if !users.is_empty() {
            return Err(Refusal::new(Code::ResourceInUse).with("id", id).with("by", users.join(", ")).into());
        }
        db::access::set_image_deleted(tx, id).await?;
        db::events::audit(tx, &caller.who(), "image.delete", id).await?;
        record(tx, caller, &row.account, id, "delete_requested", &[("by", caller.token.clone())]).await?;
        advance::image::advance(tx, ringing, id, Cause::request(caller.request)).await
    })?;
    Ok(vec![id.to_owned()])
}
