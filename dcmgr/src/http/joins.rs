//! `/join_tokens`, `/join`, `/leave`: machines that come and go.

use super::answer::Answer;
use super::app;
use super::asked::{Asked, Unasked};
use super::list::{self, ListQuery};
use arame_schema::api::{CreateJoinToken, Join, JoinToken, Joined, Leave, Left, Page};
use arame_schema::model::{AgentId, JoinTokenId, Secret};

const ID: &str = "jt-…";

/// A week: whoever installs machines in a row has them by then.
const EXPIRES_MAX_S: u64 = 7 * 24 * 3600;

/// Bytes of what a machine draws: 128 bits in hex at least, and what a column or the broker takes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 32..=128;

/// A machine-id(5), with room for what else names a machine.
const MACHINE_BYTES_MAX: usize = 64;

/// List the tokens by which machines join, newest first. No secret is in it.
#[utoipa::path(get, path = "/join_tokens", tag = "nodes", params(ListQuery),
    responses((status = 200, body = Page<JoinToken>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<JoinToken>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::joins::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show a join token: whether it was used, when and from where. Its secret is not in it.
#[utoipa::path(get, path = "/join_tokens/{id}", tag = "nodes", responses((status = 200, body = JoinToken)))]
pub async fn get(asked: Asked) -> Answer<JoinToken> {
    let id: JoinTokenId = asked.id(ID)?;
    let view = app::joins::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Invite a machine: what is typed there behind `arame join` is in this answer and nowhere else.
#[utoipa::path(post, path = "/join_tokens", tag = "nodes", request_body = CreateJoinToken,
    responses((status = 200, body = JoinToken)))]
pub async fn create(mut asked: Asked) -> Answer<JoinToken> {
    let fields = &mut asked.fields;
    let agent: Option<AgentId> = fields.parsed("agent", "hva.h1")?;
    let request = CreateJoinToken {
        agent: fields.needed("agent", agent)?.to_string(),
        expires_in: fields.number("expires_in", 1..=EXPIRES_MAX_S)?,
    };
    asked.fields.clone().finish()?;
    let view = app::joins::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Revoke a join token that was not used.
#[utoipa::path(delete, path = "/join_tokens/{id}", tag = "nodes", responses((status = 200, body = JoinToken)))]
pub async fn revoke(asked: Asked) -> Answer<JoinToken> {
    let id: JoinTokenId = asked.id(ID)?;
    let view = app::joins::revoke(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// A machine joins, by the secret of its invitation. The key and the password are drawn by the machine: asked again with the same
/// key it is answered the same.
#[utoipa::path(post, path = "/join", tag = "nodes", request_body = Join, responses((status = 200, body = Joined)))]
pub async fn join(mut unasked: Unasked) -> Answer<Joined> {
    let request = Join {
        secret: secret(&mut unasked, "secret")?,
        agent_key: secret(&mut unasked, "agent_key")?,
        broker_password: secret(&mut unasked, "broker_password")?,
        machine: unasked.fields.text_within("machine", MACHINE_BYTES_MAX)?.unwrap_or_default(),
    };
    unasked.fields.clone().finish()?;
    let view = app::joins::join(&unasked.http.app, &unasked.stranger, &request).await?;
    unasked.answer(view)
}

/// A machine on which nothing is left leaves, or asks whether it may; who it is says its agent's key.
#[utoipa::path(post, path = "/leave", tag = "nodes", request_body = Leave, responses((status = 200, body = Left)))]
pub async fn leave(mut unasked: Unasked) -> Answer<Left> {
    let agent: Option<AgentId> = unasked.fields.parsed("agent", "hva.h1")?;
    let request = Leave {
        agent: unasked.fields.needed("agent", agent)?.to_string(),
        agent_key: secret(&mut unasked, "agent_key")?,
        check: unasked.fields.flag("check")?.unwrap_or(false),
    };
    unasked.fields.clone().finish()?;
    let view = app::joins::leave(&unasked.http.app, &unasked.stranger, &request).await?;
    unasked.answer(view)
}

/// What is wrong with one is not shown with its value.
fn secret(unasked: &mut Unasked, name: &'static str) -> Result<Secret, super::answer::Refused> {
    let fields = &mut unasked.fields;
    let text = fields.text_within(name, *SECRET_BYTES.end())?;
    let text = fields.needed(name, text)?;
    if text.len() < *SECRET_BYTES.start() {
        return Err(fields.invalid(name, "…", "32 … 128 bytes").into());
    }
    Ok(Secret::new(text))
}
