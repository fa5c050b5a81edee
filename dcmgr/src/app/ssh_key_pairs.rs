//! SSH key pairs. A private key is made at most once and never stored.

use super::{App, AppError, Caller, labels, once};
use crate::db;
use arame_schema::api::{Code, CreateSshKeyPair, ListFilter, Page, Refusal, SshKeyPair, Timestamp, UpdateSshKeyPair};
use arame_schema::model::SshKeyPairId;
use rand::RngCore;
use ssh_key::private::{Ed25519Keypair, KeypairData, RsaKeypair};
use ssh_key::{LineEnding, PrivateKey, PublicKey};
use time::OffsetDateTime;

pub async fn list(app: &App, caller: &Caller, filter: ListFilter) -> Result<Page<SshKeyPair>, Refusal> {
    let found = db::access::ssh_keys(app.db(), caller.scope()).await.map_err(AppError::from)?;
    let mut page = super::page(found, &filter)?;
    labels::attach(app, &mut page.results).await?;
    Ok(page)
}

pub async fn get(app: &App, caller: &Caller, id: &str) -> Result<SshKeyPair, Refusal> {
    let found = db::access::ssh_keys(app.db(), caller.scope()).await.map_err(AppError::from)?;
    let found = found.into_iter().find(|key| key.id == id);
    let mut found = found.ok_or_else(|| Refusal::unknown(id))?;
    labels::attach(app, std::slice::from_mut(&mut found)).await?;
    Ok(found)
}

/// Kinds of pairs that are made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyType {
    Ed25519,
    Rsa,
}

fn key_type(word: Option<&str>) -> Result<KeyType, Refusal> {
    match word {
        None | Some("ed25519") => Ok(KeyType::Ed25519),
        Some("rsa") => Ok(KeyType::Rsa),
        Some(other) => {
            let value: String = other.chars().take(80).collect();
            let refusal = Refusal::new(Code::InvalidParameter).with("name", "key_type").with("value", value);
            Err(refusal.with("expected", "ed25519 | rsa"))
        }
    }
}

/// Bits of an RSA key: what NIST SP 800-57 asks for beyond 2030.
const RSA_BITS: usize = 3072;

/// RSA pairs made at once: each takes a core for seconds, and any tenant may ask.
static RSA_AT_ONCE: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);

async fn pair_of(kind: KeyType) -> Result<KeypairData, Refusal> {
    let broken = |reason: String| {
        tracing::error!(reason, "a key pair could not be made");
        Refusal::new(Code::Internal)
    };
    match kind {
        KeyType::Ed25519 => {
            let mut seed = [0; 32];
            rand::rng().fill_bytes(&mut seed);
            Ok(KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed)))
        }
        KeyType::Rsa => {
            let _turn = RSA_AT_ONCE.acquire().await.map_err(|e| broken(e.to_string()))?;
            let made = tokio::task::spawn_blocking(|| RsaKeypair::random(&mut ssh_key::rand_core::OsRng, RSA_BITS));
            let made = made.await.map_err(|e| broken(e.to_string()))?;
            Ok(KeypairData::Rsa(made.map_err(|e| broken(e.to_string()))?))
        }
    }
}

async fn generated(kind: KeyType, comment: &str) -> Result<(PublicKey, String), Refusal> {
    let internal = |e: ssh_key::Error| {
        tracing::error!(error = %e, "a key pair could not be made");
        Refusal::new(Code::Internal)
    };
    let pair = pair_of(kind).await?;
    let private = PrivateKey::new(pair, comment).map_err(internal)?;
    let text = private.to_openssh(LineEnding::LF).map_err(internal)?;
    Ok((private.public_key().clone(), text.to_string()))
}

pub async fn create(app: &App, caller: &Caller, request: CreateSshKeyPair) -> Result<SshKeyPair, Refusal> {
    once::check_choice(caller, request.id.as_ref())?;
    let kind = key_type(request.key_type.as_deref())?;
    let account = caller.owner()?.to_owned();
    let (public, private_key) = match &request.public_key {
        Some(text) => {
            let parsed = PublicKey::from_openssh(text.trim());
            (parsed.map_err(|e| Refusal::new(Code::InvalidPublicKey).with("reason", e))?, None)
        }
        None => {
            let (public, private) = generated(kind, request.display_name.as_deref().unwrap_or("arame")).await?;
            (public, Some(private))
        }
    };
    let public_key = public.to_openssh().map_err(|e| Refusal::new(Code::InvalidPublicKey).with("reason", e))?;
    let finger_print =
        db::seed::finger_print(&public).map_err(|e| Refusal::new(Code::InvalidPublicKey).with("reason", e))?;
    let id = request.id.clone().unwrap_or_else(|| SshKeyPairId::from_entropy(once::entropy())).to_string();
    let made = crate::change!(app, "create key", Some(caller.request), |tx, _ringing| {
        if let Some(made) = once::made(tx, caller, SshKeyPairId::PREFIX).await? {
            return Ok(made);
        }
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
        once::keep(tx, caller, "ssh_key_pair.create", &id).await?;
        Ok(id.clone())
    })
    .map_err(|error| once::taken(error, &id))?;
    let is_new = made == id;
    let view = get(app, caller, &made).await?;
    // That of an earlier request was told then, and is nowhere any more.
    Ok(SshKeyPair { private_key: private_key.filter(|_| is_new), ..view })
}

pub async fn update(app: &App, caller: &Caller, id: &str, change: UpdateSshKeyPair) -> Result<Vec<String>, Refusal> {
    let key = get(app, caller, id).await?;
    crate::change!(app, "update key", Some(caller.request), |tx, _ringing| {
        db::access::ssh_key(tx, id, &key.account_id).await?.ok_or_else(|| Refusal::unknown(id))?;
        let (name, text) = (change.display_name.as_deref(), change.description.as_deref());
        db::access::set_key_words(tx, id, name, text).await?;
        Ok(db::events::audit(tx, &caller.who(), "ssh_key_pair.update", id).await?)
    })?;
    Ok(vec![id.to_owned()])
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
        db::labels::forget(tx, id).await?;
        db::events::audit(tx, &caller.who(), "ssh_key_pair.delete", id).await?;
        Ok(())
    })?;
    Ok(vec![id.to_owned()])
}
