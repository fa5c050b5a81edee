//! SSH key pairs. A private key is made at most once and never stored.

use super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{Code, CreateSshKeyPair, ListFilter, Page, Refusal, SshKeyPair, Timestamp};
use arame_schema::model::SshKeyPairId;
use rand::RngCore;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey, PublicKey};
use time::OffsetDateTime;

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<SshKeyPair>, Refusal> {
    let found = db::access::ssh_keys(app.db(), caller.scope()).await.map_err(AppError::from)?;
    let wanted = |k: &SshKeyPair| filter.display_name.as_ref().is_none_or(|name| k.display_name.as_ref() == Some(name));
    Ok(super::page(found.into_iter().filter(wanted).collect(), &filter))
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<SshKeyPair, Refusal> {
    let found = db::access::ssh_keys(app.db(), caller.scope()).await.map_err(AppError::from)?;
    found.into_iter().find(|key| key.id == id).ok_or_else(|| Refusal::unknown(id))
}

fn generated(comment: &str) -> Result<(PublicKey, String), Refusal> {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    let internal = |e: ssh_key::Error| {
        tracing::error!(error = %e, "a key pair could not be made");
        Refusal::new(Code::Internal)
    };
    let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
    let private = PrivateKey::new(pair, comment).map_err(internal)?;
    let text = private.to_openssh(LineEnding::LF).map_err(internal)?;
    Ok((private.public_key().clone(), text.to_string()))
}

pub async fn create(app: &App, caller: &Caller, request: CreateSshKeyPair) -> Result<SshKeyPair, Refusal> {
    let account = caller.owner()?.to_owned();
    let (public, private_key) = match &request.public_key {
        Some(text) => {
            let parsed = PublicKey::from_openssh(text.trim());
            (parsed.map_err(|e| Refusal::new(Code::InvalidPublicKey).with("reason", e))?, None)
        }
        None => {
            let (public, private) = generated(request.display_name.as_deref().unwrap_or("arame"))?;
            (public, Some(private))
        }
    };
    let public_key = public.to_openssh().map_err(|e| Refusal::new(Code::InvalidPublicKey).with("reason", e))?;
    let finger_print =
        db::seed::finger_print(&public).map_err(|e| Refusal::new(Code::InvalidPublicKey).with("reason", e))?;
    let id = crate::change!(app, "create key", Some(caller.request), |tx, _ringing| {
        let mut entropy = [0; 8];
        rand::rng().fill_bytes(&mut entropy);
        let id = SshKeyPairId::from_entropy(entropy).to_string();
        let now = Timestamp(OffsetDateTime::UNIX_EPOCH);
        let row = SshKeyPair {
            uuid: id.clone(),
            id: id.clone(),
            account_id: account.clone(),
            finger_print: finger_print.clone(),
            public_key: public_key.clone(),
            description: request.description.clone(),
            created_at: now,
            updated_at: now,
            service_type: "std".into(),
            display_name: request.display_name.clone(),
            deleted_at: None,
            labels: Vec::new(),
            private_key: None,
        };
        db::access::insert_ssh_key(tx, &row).await?;
        db::events::audit(tx, &caller.who(), "ssh_key_pair.create", &id).await?;
        Ok(id)
    })?;
    let mut made = get(app, caller, &id).await?;
    made.private_key = private_key;
    Ok(made)
}

pub async fn delete(app: &App, caller: &Caller, id: &str, force: bool) -> Result<Vec<String>, Refusal> {
    let key = get(app, caller, id).await?;
    crate::change!(app, "delete key", Some(caller.request), |tx, _ringing| {
        db::access::ssh_key(tx, id, &key.account_id).await?.ok_or_else(|| Refusal::unknown(id))?;
        let users = db::access::users_of_key(tx, id).await?;
        if users > 0 && !force {
            let refusal = Refusal::new(Code::ResourceInUse).with("id", id);
            return Err(refusal.with("by", format!("{users} instances")).into());
        }
        db::access::delete_ssh_key(tx, id).await?;
        db::events::audit(tx, &caller.who(), "ssh_key_pair.delete", id).await?;
        Ok(())
    })?;
    Ok(vec![id.to_owned()])
}
