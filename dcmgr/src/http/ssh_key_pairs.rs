//! `/ssh_key_pairs`: public keys, and pairs made here whose private half is shown once.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use arame_schema::api::{CreateSshKeyPair, Page, SshKeyPair, UpdateSshKeyPair};
use arame_schema::model::SshKeyPairId;

const ID: &str = "ssh-…";

/// Longest public key: RSA with 16384 bits is a fifth of it.
const PUBLIC_KEY_BYTES_MAX: usize = 16 * 1024;

/// List key pairs.
#[utoipa::path(get, path = "/ssh_key_pairs", tag = "ssh key pairs", params(ListQuery),
    responses((status = 200, body = Page<SshKeyPair>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<SshKeyPair>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::ssh_key_pairs::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show a key pair.
#[utoipa::path(get, path = "/ssh_key_pairs/{id}", tag = "ssh key pairs", responses((status = 200, body = SshKeyPair)))]
pub async fn get(asked: Asked) -> Answer<SshKeyPair> {
    let id: SshKeyPairId = asked.id(ID)?;
    let view = app::ssh_key_pairs::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Register a public key, or without one make a pair: its private key is in this answer and nowhere else.
#[utoipa::path(post, path = "/ssh_key_pairs", tag = "ssh key pairs", request_body = CreateSshKeyPair,
    responses((status = 200, body = SshKeyPair)))]
pub async fn create(mut asked: Asked) -> Answer<SshKeyPair> {
    let fields = &mut asked.fields;
    let public_key = fields.text_within("public_key", PUBLIC_KEY_BYTES_MAX)?;
    let request = CreateSshKeyPair {
        id: fields.parsed("id", ID)?,
        key_type: fields.text_within("key_type", 16)?.filter(|text| !text.is_empty()),
        public_key: public_key.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
        description: fields.text_within("description", NAME_BYTES_MAX)?.unwrap_or_default(),
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
    };
    asked.fields.clone().finish()?;
    let view = app::ssh_key_pairs::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Change a key pair's words. What is absent stays.
#[utoipa::path(put, path = "/ssh_key_pairs/{id}", tag = "ssh key pairs", request_body = UpdateSshKeyPair,
    responses((status = 200, body = Vec<String>)))]
pub async fn update(mut asked: Asked) -> Answer<Vec<String>> {
    let id: SshKeyPairId = asked.id(ID)?;
    let change = UpdateSshKeyPair {
        description: asked.fields.text_within("description", NAME_BYTES_MAX)?,
        display_name: asked.fields.text_within("display_name", NAME_BYTES_MAX)?,
    };
    asked.fields.clone().finish()?;
    let changed = app::ssh_key_pairs::update(asked.app(), &asked.caller, id.as_str(), change).await?;
    asked.answer(changed)
}

/// Delete a key pair. `force=true` also when a live instance has it.
#[utoipa::path(delete, path = "/ssh_key_pairs/{id}", tag = "ssh key pairs",
    params(("force" = Option<bool>, Query, description = "Also when a live instance has it.")),
    responses((status = 200, body = Vec<String>)))]
pub async fn delete(mut asked: Asked) -> Answer<Vec<String>> {
    let id: SshKeyPairId = asked.id(ID)?;
    let force = asked.fields.flag("force")?.unwrap_or(false);
    app::ssh_key_pairs::delete(asked.app(), &asked.caller, id.as_str(), force).await?;
    asked.answer(vec![id.to_string()])
}
