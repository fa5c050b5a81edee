//! `/images`: what instances start from. Own ones and public ones.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use arame_schema::api::{Image, Page, UpdateImage};
use arame_schema::model::ImageId;

/// List images.
#[utoipa::path(get, path = "/images", tag = "images",
    params(ListQuery, ("is_public" = Option<bool>, Query, description = "Only public ones, or only others.")),
    responses((status = 200, body = Page<Image>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<Image>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let public = asked.fields.flag("is_public")?;
    let page = app::images::list(asked.app(), &asked.caller, filter, public).await?;
    asked.page(page)
}

/// Show an image.
#[utoipa::path(get, path = "/images/{id}", tag = "images", responses((status = 200, body = Image)))]
pub async fn get(asked: Asked) -> Answer<Image> {
    let id: ImageId = asked.id("wmi-…")?;
    let view = app::images::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Change an image's words. What is absent stays; whether it is public is the operators' to say.
#[utoipa::path(put, path = "/images/{id}", tag = "images", request_body = UpdateImage,
    responses((status = 200, body = Image)))]
pub async fn update(mut asked: Asked) -> Answer<Image> {
    let id: ImageId = asked.id("wmi-…")?;
    let change = UpdateImage {
        display_name: asked.fields.text_within("display_name", NAME_BYTES_MAX)?,
        description: asked.fields.text_within("description", NAME_BYTES_MAX)?,
        is_public: asked.fields.flag("is_public")?,
    };
    asked.fields.clone().finish()?;
    let view = app::images::update(asked.app(), &asked.caller, id.as_str(), change).await?;
    asked.answer(view)
}

/// Delete an image of which no live instance was made.
#[utoipa::path(delete, path = "/images/{id}", tag = "images", responses((status = 200, body = Vec<String>)))]
pub async fn delete(asked: Asked) -> Answer<Vec<String>> {
    let id: ImageId = asked.id("wmi-…")?;
    let gone = app::images::delete(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(gone)
}
