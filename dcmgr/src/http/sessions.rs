//! `/sessions`, `/whoami`: signing in with a name and a password, and who one is.

use super::answer::Answer;
use super::app;
use super::asked::{Asked, Unasked};
use arame_schema::api::{ChangePassword, CreateSession, Session, Whoami};
use arame_schema::limits::PASSWORD_BYTES;
use arame_schema::model::AccountId;

/// What is looked at of a name that is typed: the longest name.
const NAME_BYTES_MAX: usize = 63;

/// Sign in: the answer's secret is a bearer token for twelve hours. Wrong ones are counted, by name and by address.
#[utoipa::path(post, path = "/sessions", tag = "sessions", request_body = CreateSession,
    responses((status = 200, body = Session)))]
pub async fn create(mut unasked: Unasked) -> Answer<Session> {
    let fields = &mut unasked.fields;
    let name = fields.text_within("name", NAME_BYTES_MAX)?;
    let name = fields.needed("name", name)?;
    // What no name or password can be is a wrong one: a rule for new ones would only puzzle who mistyped.
    let password = fields.text_within("password", *PASSWORD_BYTES.end())?;
    let password = fields.needed("password", password)?;
    let account: Option<AccountId> = fields.parsed("account_id", "a-…")?;
    fields.clone().finish()?;
    let request = CreateSession { name, password, account_id: account.map(String::from) };
    let view = app::sessions::create(&unasked.http.app, &unasked.stranger, request).await?;
    unasked.answer(view)
}

/// Sign out: the session that asks ends.
#[utoipa::path(delete, path = "/sessions/current", tag = "sessions", responses((status = 200, body = Vec<String>)))]
pub async fn end(asked: Asked) -> Answer<Vec<String>> {
    let gone = app::sessions::end(asked.app(), &asked.caller).await?;
    asked.answer(gone)
}

/// Who this credential is, for which account, as what.
#[utoipa::path(get, path = "/whoami", tag = "sessions", responses((status = 200, body = Whoami)))]
pub async fn whoami(asked: Asked) -> Answer<Whoami> {
    let view = app::sessions::whoami(asked.app(), &asked.caller).await?;
    asked.answer(view)
}

/// Change one's own password; the user's other sessions end.
#[utoipa::path(put, path = "/whoami/password", tag = "sessions", request_body = ChangePassword,
    responses((status = 200, body = Whoami)))]
pub async fn change_password(mut asked: Asked) -> Answer<Whoami> {
    let fields = &mut asked.fields;
    let password = fields.text_within("password", *PASSWORD_BYTES.end())?;
    let password = fields.needed("password", password)?;
    let new_password = super::users::password(fields, "new_password")?;
    let new_password = fields.needed("new_password", new_password)?;
    fields.clone().finish()?;
    let request = ChangePassword { password, new_password };
    let view = app::sessions::change_password(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}
