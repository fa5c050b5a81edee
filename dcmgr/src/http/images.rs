//! `/images`: what instances start from. Own ones and public ones.

pub mod content;

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use arame_schema::api::{Code, CreateImage, Image, Page, Refusal, UpdateImage};
use arame_schema::model::ImageId;

/// Longest address of an image's bytes: its column's.
const URI_BYTES_MAX: usize = 1000;

/// Longest name of a processor.
const ARCH_BYTES_MAX: usize = 16;

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

/// Register an image. With `uri` its bytes are fetched from there by a storage node; without, upload them to its `content`.
#[utoipa::path(post, path = "/images", tag = "images", request_body = CreateImage,
    responses((status = 200, body = Image)))]
pub async fn create(mut asked: Asked) -> Answer<Image> {
    let fields = &mut asked.fields;
    let format = fields.parsed("file_format", "raw | qcow2")?;
    let request = CreateImage {
        id: fields.parsed("id", "wmi-…")?,
        uri: uri(fields.text("uri")?)?,
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
        description: fields.text_within("description", NAME_BYTES_MAX)?.unwrap_or_default(),
        file_format: format.ok_or_else(|| Refusal::new(Code::MissingParameter).with("name", "file_format"))?,
        checksum: checksum(fields.text("checksum")?)?,
        arch: fields.text_within("arch", ARCH_BYTES_MAX)?.filter(|text| !text.is_empty()),
        is_public: fields.flag("is_public")?,
    };
    asked.fields.clone().finish()?;
    let view = app::images::bringing::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// An address as far as its form goes. Whether it is fetched from is the storage node's to say.
fn uri(text: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(text) = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else { return Ok(None) };
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let plain = text.len() <= URI_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    if plain && !host.is_empty() && !host.contains('@') {
        return Ok(Some(text));
    }
    let refusal = Refusal::new(Code::InvalidParameter).with("name", "uri").with("value", super::fields::short(&text));
    Err(refusal.with("expected", "https://host/path"))
}

/// 64 hex digits, in lower case.
pub(super) fn checksum(text: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(text) = text.map(|text| text.trim().to_ascii_lowercase()).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let bare = text.strip_prefix("sha256:").unwrap_or(&text);
    if bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Some(bare.to_owned()));
    }
    let refusal =
        Refusal::new(Code::InvalidParameter).with("name", "checksum").with("value", super::fields::short(&text));
    Err(refusal.with("expected", "SHA-256: 64 hex digits"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_or_https_to_a_host_without_credentials() {
        for good in ["https://example.org/a.qcow2", "http://192.0.2.1:8080/x?y=z", "https://[2001:db8::1]/i"] {
            assert_eq!(uri(Some(good.into())).unwrap().as_deref(), Some(good));
        }
        assert_eq!(uri(Some("  ".into())).unwrap(), None);
        for bad in
            ["file:///etc/passwd", "ftp://a/b", "https://", "https://u:p@host/x", "https://a b", "sim://tiny", "a"]
        {
            assert!(uri(Some(bad.into())).is_err(), "{bad}");
        }
        assert!(uri(Some(format!("https://a/{}", "x".repeat(1000)))).is_err());
    }

    #[test]
    fn a_checksum_is_64_hex_digits_with_or_without_its_name() {
        let bare = "AB".repeat(32);
        assert_eq!(checksum(Some(bare.clone())).unwrap(), Some("ab".repeat(32)));
        assert_eq!(checksum(Some(format!("sha256:{bare}"))).unwrap(), Some("ab".repeat(32)));
        for bad in ["ab", "sha256:", &"zz".repeat(32), &"a".repeat(65)] {
            assert!(checksum(Some(bad.to_owned())).is_err(), "{bad}");
        }
    }
}
