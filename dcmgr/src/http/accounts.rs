//! `/accounts`, `/tokens`, `/audit_log`: who may come in, and what they did.

use super::answer::{Answer, Refused};
use super::app;
use super::asked::Asked;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use app::accounts::Change;
use arame_schema::api::{Account, AuditEntry, CreateAccount, CreateToken, Page, Role, Token, UpdateAccount};
use arame_schema::model::{AccountId, TokenId};

const ID: &str = "a-…";

const TOKEN_ID: &str = "tok-…";

/// Largest quota: the column's width.
const QUOTA_MAX: u64 = u32::MAX as u64;

/// Longest a token with an end lives: ten years.
const EXPIRES_MAX_S: u64 = 10 * 366 * 24 * 3600;

/// List accounts.
#[utoipa::path(get, path = "/accounts", tag = "accounts", params(ListQuery),
    responses((status = 200, body = Page<Account>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<Account>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::accounts::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show an account.
#[utoipa::path(get, path = "/accounts/{id}", tag = "accounts", responses((status = 200, body = Account)))]
pub async fn get(asked: Asked) -> Answer<Account> {
    let id: AccountId = asked.id(ID)?;
    let view = app::accounts::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Make an account.
#[utoipa::path(post, path = "/accounts", tag = "accounts", request_body = CreateAccount,
    responses((status = 200, body = Account)))]
pub async fn create(mut asked: Asked) -> Answer<Account> {
    let fields = &mut asked.fields;
    let id: Option<AccountId> = fields.parsed("id", ID)?;
    let request = CreateAccount {
        id: id.map(String::from),
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
        description: fields.text_within("description", NAME_BYTES_MAX)?,
        quota_instances: fields.number("quota_instances", 0..=QUOTA_MAX)?,
        quota_volumes: fields.number("quota_volumes", 0..=QUOTA_MAX)?,
    };
    asked.fields.clone().finish()?;
    let view = app::accounts::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Change an account: its words, its quotas (`none` takes one away), whether its tokens are let in.
#[utoipa::path(put, path = "/accounts/{id}", tag = "accounts", request_body = UpdateAccount,
    responses((status = 200, body = Account)))]
pub async fn update(mut asked: Asked) -> Answer<Account> {
    let id: AccountId = asked.id(ID)?;
    let change = Change {
        display_name: asked.fields.text_within("display_name", NAME_BYTES_MAX)?,
        description: asked.fields.text_within("description", NAME_BYTES_MAX)?,
        enabled: asked.fields.flag("enabled")?,
        quota_instances: quota(&mut asked, "quota_instances")?,
        quota_volumes: quota(&mut asked, "quota_volumes")?,
    };
    asked.fields.clone().finish()?;
    let view = app::accounts::update(asked.app(), &asked.caller, id.as_str(), change).await?;
    asked.answer(view)
}

/// A number, or `none`.
fn quota(asked: &mut Asked, name: &str) -> Result<Option<Option<u64>>, Refused> {
    let Some(text) = asked.fields.text(name)? else { return Ok(None) };
    if text == "none" {
        return Ok(Some(None));
    }
    match text.parse::<u64>() {
        Ok(number) if number <= QUOTA_MAX => Ok(Some(Some(number))),
        _ => Err(asked.fields.invalid(name, super::fields::short(&text), format!("0..{QUOTA_MAX} | none")).into()),
    }
}

/// Delete an account that has nothing left; its tokens end with it.
#[utoipa::path(delete, path = "/accounts/{id}", tag = "accounts", responses((status = 200, body = Vec<String>)))]
pub async fn delete(asked: Asked) -> Answer<Vec<String>> {
    let id: AccountId = asked.id(ID)?;
    let gone = app::accounts::delete(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(gone)
}

/// List tokens that are not revoked. No secret is in it.
#[utoipa::path(get, path = "/tokens", tag = "tokens", params(ListQuery), responses((status = 200, body = Page<Token>)))]
pub async fn tokens(mut asked: Asked) -> Answer<[Page<Token>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::tokens::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show a token, as long as it is not revoked. Its secret is not in it.
#[utoipa::path(get, path = "/tokens/{id}", tag = "tokens", responses((status = 200, body = Token)))]
pub async fn token(asked: Asked) -> Answer<Token> {
    let id: TokenId = asked.id(TOKEN_ID)?;
    let view = app::tokens::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Make a token for the account the request acts for; its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = CreateToken,
    responses((status = 200, body = Token)))]
pub async fn create_token(mut asked: Asked) -> Answer<Token> {
    let fields = &mut asked.fields;
    let role = fields.text("role")?;
    let role = fields.needed("role", role)?;
    let known = Role::parse(&role);
    let role = known
        .ok_or_else(|| fields.invalid("role", super::fields::short(&role), "admin | operator | member | auditor"))?;
    let request = CreateToken {
        role,
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
        expires_in: fields.number("expires_in", 1..=EXPIRES_MAX_S)?,
    };
    asked.fields.clone().finish()?;
    let view = app::tokens::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Revoke a token: it is refused from now on.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", responses((status = 200, body = Vec<String>)))]
pub async fn revoke_token(asked: Asked) -> Answer<Vec<String>> {
    let id: TokenId = asked.id(TOKEN_ID)?;
    let gone = app::tokens::revoke(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(gone)
}

/// What was changed, by whom and from where, newest first.
#[utoipa::path(get, path = "/audit_log", tag = "audit", params(ListQuery),
    responses((status = 200, body = Page<AuditEntry>)))]
pub async fn audit_log(mut asked: Asked) -> Answer<[Page<AuditEntry>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::audit_log::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}
