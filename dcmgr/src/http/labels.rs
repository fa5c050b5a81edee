//! `/instances/{id}/labels` and the same of images, security groups and keys.
//!
//! Rule: a label is named by the path, or several by `name[]` with `value[]` or by `label[][name]` with `label[][value]`.

use super::answer::{Answer, Refused};
use super::app;
use super::asked::Asked;
use super::fields::Fields;
use arame_schema::api::label::{LABEL_VALUE_BYTES_MAX, LABELS_MAX};
use arame_schema::api::{Label, Nothing, Refusal, SetLabel, SetLabels};
use arame_schema::model::{ImageId, InstanceId, SecurityGroupId, SshKeyPairId};
use std::str::FromStr;

/// Bytes of a label's name: the column's width.
const NAME_BYTES_MAX: usize = 255;

async fn all<T: FromStr + AsRef<str>>(mut asked: Asked, form: &'static str) -> Answer<Vec<Label>> {
    let id: T = asked.id(form)?;
    let name = asked.fields.text_within("name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty());
    let labels = app::labels::list(asked.app(), &asked.caller, id.as_ref(), name.as_deref()).await?;
    asked.answer(labels)
}

async fn set_many<T: FromStr + AsRef<str>>(mut asked: Asked, form: &'static str) -> Answer<Vec<Label>> {
    let id: T = asked.id(form)?;
    let labels = labels_of(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let labels = app::labels::set(asked.app(), &asked.caller, id.as_ref(), &labels).await?;
    asked.answer(labels)
}

/// The labels of a body, in either spelling.
fn labels_of(fields: &mut Fields) -> Result<Vec<(String, String)>, Refusal> {
    let mut labels = Vec::new();
    for mut one in fields.ordered("label")? {
        let (name, value) =
            (one.text_within("name", NAME_BYTES_MAX)?, one.text_within("value", LABEL_VALUE_BYTES_MAX)?);
        labels.push((one.needed("name", name)?, value.unwrap_or_default()));
    }
    if labels.is_empty() {
        let (names, values) = (fields.texts("name")?, fields.texts("value")?);
        fields.needed("name", names.first())?;
        if names.len() != values.len() {
            return Err(fields.invalid("value", values.len(), names.len()));
        }
        labels = names.into_iter().zip(values).collect();
    }
    if labels.len() > LABELS_MAX {
        return Err(fields.invalid("name", labels.len(), format!("<= {LABELS_MAX}")));
    }
    Ok(labels)
}

async fn forget_all<T: FromStr + AsRef<str>>(asked: Asked, form: &'static str) -> Answer<Nothing> {
    let id: T = asked.id(form)?;
    app::labels::delete_all(asked.app(), &asked.caller, id.as_ref()).await?;
    asked.answer(Nothing {})
}

async fn one<T: FromStr + AsRef<str>>(asked: Asked, form: &'static str) -> Answer<Label> {
    let id: T = asked.id(form)?;
    let label = app::labels::get(asked.app(), &asked.caller, id.as_ref(), asked.part("name")).await?;
    asked.answer(label)
}

async fn set_one<T: FromStr + AsRef<str>>(mut asked: Asked, form: &'static str) -> Answer<Label> {
    let id: T = asked.id(form)?;
    let value = asked.fields.text_within("value", LABEL_VALUE_BYTES_MAX)?;
    let label = (asked.part("name").to_owned(), asked.fields.needed("value", value)?);
    asked.fields.clone().finish()?;
    let made = app::labels::set(asked.app(), &asked.caller, id.as_ref(), std::slice::from_ref(&label)).await?;
    let made = made.into_iter().next().ok_or_else(|| Refused(Refusal::unknown(&label.0)))?;
    asked.answer(made)
}

async fn forget_one<T: FromStr + AsRef<str>>(asked: Asked, form: &'static str) -> Answer<Nothing> {
    let id: T = asked.id(form)?;
    app::labels::delete(asked.app(), &asked.caller, id.as_ref(), asked.part("name")).await?;
    asked.answer(Nothing {})
}

/// The verbs of one kind of resource.
macro_rules! labels {
    ($module:ident, $id:ty, $form:literal, $many:literal, $one:literal) => {
        pub mod $module {
            use super::*;

            /// Labels; `name` narrows, a final `*` means every name that begins so.
            #[utoipa::path(get, path = $many, tag = "labels",
                params(("name" = Option<String>, Query, description = "This name, or with a final * those that begin so.")),
                responses((status = 200, body = Vec<Label>)))]
            pub async fn all(asked: Asked) -> Answer<Vec<Label>> {
                super::all::<$id>(asked, $form).await
            }

            /// Set several labels, all or none.
            #[utoipa::path(post, path = $many, tag = "labels", request_body = SetLabels,
                responses((status = 200, body = Vec<Label>)))]
            pub async fn add_many(asked: Asked) -> Answer<Vec<Label>> {
                super::set_many::<$id>(asked, $form).await
            }

            /// Set several labels, all or none.
            #[utoipa::path(put, path = $many, tag = "labels", request_body = SetLabels,
                responses((status = 200, body = Vec<Label>)))]
            pub async fn set_many(asked: Asked) -> Answer<Vec<Label>> {
                super::set_many::<$id>(asked, $form).await
            }

            /// Take every label away.
            #[utoipa::path(delete, path = $many, tag = "labels", responses((status = 200, body = Nothing)))]
            pub async fn forget_all(asked: Asked) -> Answer<Nothing> {
                super::forget_all::<$id>(asked, $form).await
            }

            /// One label.
            #[utoipa::path(get, path = $one, tag = "labels", params(("name" = String, Path)),
                responses((status = 200, body = Label)))]
            pub async fn one(asked: Asked) -> Answer<Label> {
                super::one::<$id>(asked, $form).await
            }

            /// Set a label.
            #[utoipa::path(post, path = $one, tag = "labels", params(("name" = String, Path)), request_body = SetLabel,
                responses((status = 200, body = Label)))]
            pub async fn add_one(asked: Asked) -> Answer<Label> {
                super::set_one::<$id>(asked, $form).await
            }

            /// Set a label.
            #[utoipa::path(put, path = $one, tag = "labels", params(("name" = String, Path)), request_body = SetLabel,
                responses((status = 200, body = Label)))]
            pub async fn set_one(asked: Asked) -> Answer<Label> {
                super::set_one::<$id>(asked, $form).await
            }

            /// Take a label away.
            #[utoipa::path(delete, path = $one, tag = "labels", params(("name" = String, Path)),
                responses((status = 200, body = Nothing)))]
            pub async fn forget_one(asked: Asked) -> Answer<Nothing> {
                super::forget_one::<$id>(asked, $form).await
            }
        }
    };
}

labels!(instances, InstanceId, "i-…", "/instances/{id}/labels", "/instances/{id}/labels/{name}");
labels!(images, ImageId, "wmi-…", "/images/{id}/labels", "/images/{id}/labels/{name}");
labels!(
    security_groups,
    SecurityGroupId,
    "sg-…",
    "/security_groups/{id}/labels",
    "/security_groups/{id}/labels/{name}"
);
labels!(ssh_key_pairs, SshKeyPairId, "ssh-…", "/ssh_key_pairs/{id}/labels", "/ssh_key_pairs/{id}/labels/{name}");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::parameters;

    fn read(content_type: &str, body: &str) -> Result<Vec<(String, String)>, Refusal> {
        labels_of(&mut parameters("", content_type, body.as_bytes()).unwrap())
    }

    #[test]
    fn labels_come_in_every_spelling_and_mean_the_same() {
        let wanted = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2,3".to_owned())];
        for (content_type, body) in [
            ("", "name[]=a&value[]=1&name[]=b&value[]=2,3"),
            ("", "label[][name]=a&label[][value]=1&label[][name]=b&label[][value]=2,3"),
            ("application/json", r#"{"name": ["a", "b"], "value": ["1", "2,3"]}"#),
            ("application/json", r#"{"label": [{"name": "a", "value": "1"}, {"name": "b", "value": "2,3"}]}"#),
        ] {
            assert_eq!(read(content_type, body).unwrap(), wanted, "{body}");
        }
        assert!(read("", "name[]=a&name[]=b&value[]=1").is_err() && read("", "").is_err());
    }
}
