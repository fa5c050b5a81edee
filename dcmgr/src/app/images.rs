//! What tenants see of images: their own and public ones.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{Image, ListFilter, Page, Refusal};

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<Image>, Refusal> {
    let found = db::access::images(app.db(), caller.scope()).await.map_err(AppError::from)?;
    let wanted = |image: &Image| {
        let state = match filter.state.as_deref() {
            None | Some("alive") => image.deleted_at.is_none(),
            Some("alive_with_deleted") => true,
            Some(word) => image.state == word,
        };
        state && filter.display_name.as_ref().is_none_or(|name| image.display_name.as_ref() == Some(name))
    };
    Ok(super::page(found.into_iter().filter(wanted).collect(), &filter))
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<Image, Refusal> {
    let found = db::access::image(app.db(), id, caller.scope()).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(id))
}
