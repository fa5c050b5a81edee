//! `/images`: what instances start from. Own ones and public ones.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::list::{self, ListQuery};
use arame_schema::api::{Image, Page};
use arame_schema::model::ImageId;

/// List images.
#[utoipa::path(get, path = "/images", tag = "images", params(ListQuery),
    responses((status = 200, body = Page<Image>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<Image>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::images::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show an image.
#[utoipa::path(get, path = "/images/{id}", tag = "images", responses((status = 200, body = Image)))]
pub async fn get(asked: Asked) -> Answer<Image> {
    let id: ImageId = asked.id("wmi-…")?;
    let view = app::images::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}
