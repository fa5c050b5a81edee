//! Images from elsewhere: registered by the address of their bytes, or with bytes that are uploaded.
//!
//! ```text
//! POST /images, uri ─────► creating ─► available | failed
//! POST /images ─► pending ─► PUT content: offered at a generation, with a ticket ─► creating ─► available
//!                    ▲                                                                │
//!                    └─────────────── it broke off: waits, and says why ◄─────────────┘
//! ```
//!
//! Rule: bringing bytes is a wish of its own generation: a newer one takes the place of an older, whoever brings it and
//! through whichever dcmgr. No byte passes through here.

use super::super::instances::record;
use super::super::{App, AppError, Caller, advance, once, recovery};
use super::{get, lock_own};
use crate::db::access::{NewImage, UPLOAD};
use crate::db::{self, Tx};
use advance::Cause;
use arame_schema::api::{Code, CreateImage, Image, Refusal};
use arame_schema::model::ImageId;

pub(in crate::app) const ARCH: &str = "x86_64";

/// Where an upload's bytes go.
#[derive(Debug, Clone)]
pub enum Place {
    /// To the storage node at `url`, with this ticket.
    Storage { url: String, ticket: String },
    /// Nowhere: they are there. What comes is compared with this SHA-256.
    Compared { sha256: String },
}

pub async fn create(app: &App, caller: &Caller, request: CreateImage) -> Result<Image, Refusal> {
    once::check_choice(caller, request.id.as_ref())?;
    once::check_choice(caller, request.is_public.filter(|public| *public).as_ref())?;
    let account = caller.owner()?.to_owned();
    let id = crate::change!(app, "create image", Some(caller.request), |tx, ringing| {
        if let Some(made) = once::made(tx, caller, "wmi").await? {
            return Ok(made);
        }
        let known = db::access::lock_account(tx, &account).await?;
        known.ok_or_else(|| Refusal::unknown(&account))?;
        recovery::refuse_new(tx).await?;
        let id = match &request.id {
            Some(id) => id.to_string(),
            None => ImageId::from_entropy(once::entropy()).to_string(),
        };
        let new = NewImage {
            id: &id,
            account: &account,
            display_name: request.display_name.as_deref().unwrap_or_default(),
            description: &request.description,
            is_public: request.is_public.unwrap_or(false),
            arch: request.arch.as_deref().unwrap_or(ARCH),
            source: request.uri.as_deref().unwrap_or(UPLOAD),
            format: request.file_format.as_str(),
            sha256: request.checksum.as_deref().unwrap_or_default(),
            brought_by: &choose_agent(tx).await?,
        };
        let made = db::access::insert_image(tx, &new).await.map_err(AppError::from);
        made.map_err(|error| once::taken(error, &id))?;
        record(tx, caller, &account, &id, "create_requested", &[("by", caller.token.clone())]).await?;
        once::keep(tx, caller, "image.create", &id).await?;
        advance::image::advance(tx, ringing, &id, Cause::request(caller.request)).await?;
        Ok(id)
    })?;
    get(app, caller, &id).await
}

/// The agent of the storage node with the most room that is heard and well.
pub(in crate::app) async fn choose_agent(tx: &mut Tx) -> Result<String, AppError> {
    let nodes = db::nodes::storage_candidates(tx).await?;
    let fits = |node: &&arame_schema::api::StorageNode| {
        node.status == "online" && node.scheduling_enabled && node.degraded.is_none()
    };
    let best = nodes.iter().filter(fits).max_by_key(|node| super::super::volumes::room::room(node));
    Ok(best
        .map(|node| node.node_id.clone())
        .ok_or_else(|| super::super::volumes::room::refuse(&nodes, &super::super::volumes::room::Need::of(1)))?)
}

/// Somebody brings the bytes of an image: opens it for them.
pub async fn offer(app: &App, caller: &Caller, id: &str) -> Result<Place, Refusal> {
    let mut bits = [0; 32];
    crate::rehearsal::fill_bytes(&mut bits);
    let ticket = hex::encode(bits);
    let sealed = app.vault().seal(&ticket).map_err(AppError::from)?;
    let place = crate::change!(app, "offer image", Some(caller.request), |tx, ringing| {
        lock_own(tx, caller, id).await?;
        let Some(row) = db::access::lock_image(tx, id).await? else { return Err(Refusal::unknown(id).into()) };
        if !row.is_uploaded() {
            return Err(Refusal::new(Code::InvalidImageState)
                .with("id", id)
                .with("state", "registered by its uri")
                .into());
        }
        let here = |fact: &db::facts::FactRow| {
            fact.name == arame_schema::model::FactName::Image && fact.value == arame_schema::model::Fact::Yes
        };
        if row.is_settled() && db::facts::of_thing(tx, id).await?.iter().any(here) {
            return Ok(Place::Compared { sha256: row.sha256 });
        }
        recovery::refuse_new(tx).await?;
        let agent = choose_agent(tx).await?;
        let url = http_of(tx, &agent).await?;
        db::access::offer_image(tx, id, &agent, &sealed).await?;
        record(tx, caller, &row.account, id, "upload_begun", &[("by", caller.token.clone())]).await?;
        db::events::audit(tx, &caller.who(), "image.upload", id).await?;
        advance::image::advance(tx, ringing, id, Cause::request(caller.request)).await?;
        Ok(Place::Storage { url: format!("{url}/uploads/{id}"), ticket: ticket.clone() })
    })?;
    Ok(place)
}

/// Where a storage node's HTTP is reached.
async fn http_of(tx: &mut Tx, agent: &str) -> Result<String, AppError> {
    let found = db::agents::find(tx, agent).await?;
    let url = found.and_then(|row| row.endpoints.get("upload").or(row.endpoints.get("http")).cloned());
    Ok(url.ok_or_else(|| Refusal::new(Code::Unavailable).with("what", agent))?.trim_end_matches('/').to_owned())
}
