//! `/users`: people who sign in, and what they are for which account.

use super::answer::{Answer, Refused};
use super::app;
use super::asked::Asked;
use super::fields::Fields;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use arame_schema::api::{CreateUser, Membership, Page, Refusal, Role, UpdateUser, User};
use arame_schema::limits::PASSWORD_BYTES;
use arame_schema::model::{AccountId, UserId};

const ID: &str = "u-…";

/// What is typed at sign-in.
const NAME: &str = "[a-z0-9][a-z0-9._-]{0,62}";

/// Accounts of one user: bounds a request.
const MEMBERSHIPS_MAX: usize = 100;

/// List users.
#[utoipa::path(get, path = "/users", tag = "users", params(ListQuery), responses((status = 200, body = Page<User>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<User>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let page = app::users::list(asked.app(), &asked.caller, filter).await?;
    asked.page(page)
}

/// Show a user.
#[utoipa::path(get, path = "/users/{id}", tag = "users", responses((status = 200, body = User)))]
pub async fn get(asked: Asked) -> Answer<User> {
    let id: UserId = asked.id(ID)?;
    let view = app::users::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Make a user, with what the user is for which account.
#[utoipa::path(post, path = "/users", tag = "users", request_body = CreateUser,
    responses((status = 200, body = User)))]
pub async fn create(mut asked: Asked) -> Answer<User> {
    let fields = &mut asked.fields;
    let name = fields.text("name")?;
    let name = fields.needed("name", name)?;
    if !is_name(&name) {
        return Err(fields.invalid("name", super::fields::short(&name), NAME).into());
    }
    let request = CreateUser {
        name,
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
        password: password(fields, "password")?,
        memberships: memberships(fields)?.unwrap_or_default(),
    };
    asked.fields.clone().finish()?;
    let view = app::users::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

/// Change a user. Memberships are replaced as a whole; a new password or `enabled=false` ends the user's sessions.
#[utoipa::path(put, path = "/users/{id}", tag = "users", request_body = UpdateUser,
    responses((status = 200, body = User)))]
pub async fn update(mut asked: Asked) -> Answer<User> {
    let id: UserId = asked.id(ID)?;
    let fields = &mut asked.fields;
    let request = UpdateUser {
        display_name: fields.text_within("display_name", NAME_BYTES_MAX)?,
        enabled: fields.flag("enabled")?,
        password: password(fields, "password")?,
        memberships: memberships(fields)?,
    };
    asked.fields.clone().finish()?;
    let view = app::users::update(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(view)
}

/// Delete a user; the sessions end.
#[utoipa::path(delete, path = "/users/{id}", tag = "users", responses((status = 200, body = Vec<String>)))]
pub async fn delete(asked: Asked) -> Answer<Vec<String>> {
    let id: UserId = asked.id(ID)?;
    let gone = app::users::delete(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(gone)
}

/// Whether somebody can have this name.
fn is_name(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 63
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|c| plain(c) || matches!(c, b'.' | b'_' | b'-'))
}

/// A password to be. It is never quoted.
pub fn password(fields: &mut Fields, name: &str) -> Result<Option<String>, Refusal> {
    let lengths = PASSWORD_BYTES;
    match fields.text(name)? {
        Some(text) if !lengths.contains(&text.len()) => {
            let expected = format!("{}..{} bytes", lengths.start(), lengths.end());
            Err(fields.invalid(name, "…", expected))
        }
        other => Ok(other),
    }
}

/// `[{"account_id": "a-…", "role": "member"}]`, the same as a hash of hashes, or in short `a-…:member,a-…:auditor`.
fn memberships(fields: &mut Fields) -> Result<Option<Vec<Membership>>, Refused> {
    if !fields.has("memberships") {
        return Ok(None);
    }
    let given = fields.items("memberships", ["account_id", "role"], "[{account_id, role}] | a-…:member")?;
    if given.len() > MEMBERSHIPS_MAX {
        return Err(fields.invalid("memberships", given.len(), format!("<= {MEMBERSHIPS_MAX}")).into());
    }
    let one = |mut inner: Fields| {
        let account: Option<AccountId> = inner.parsed("account_id", "a-…")?;
        let account = inner.needed("account_id", account)?;
        let role = inner.text("role")?;
        let role = inner.needed("role", role)?;
        let known = Role::parse(&role);
        let role = known.ok_or_else(|| inner.invalid("role", super::fields::short(&role), ROLES))?;
        inner.finish()?;
        Ok(Membership { account_id: account.to_string(), role })
    };
    Ok(Some(given.into_iter().map(one).collect::<Result<_, Refusal>>()?))
}

const ROLES: &str = "admin | operator | member | auditor";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::parameters;

    fn read(content_type: &str, body: &str) -> Result<Option<Vec<Membership>>, Refused> {
        memberships(&mut parameters("", content_type, body.as_bytes()).unwrap())
    }

    #[test]
    fn memberships_come_in_every_form() {
        let json = r#"{"memberships": [{"account_id": "a-x", "role": "member"}]}"#;
        let form = "memberships[0][account_id]=a-x&memberships[0][role]=member";
        for (kind, body) in [("application/json", json), ("", form), ("", "memberships=a-x:member")] {
            let read = read(kind, body).unwrap().unwrap();
            assert_eq!((read[0].account_id.as_str(), read[0].role), ("a-x", Role::Member), "{body}");
        }
        assert!(read("", "").unwrap().is_none());
        for bad in ["memberships=a-x", "memberships=a-x:king", "memberships=i-x:member"] {
            assert!(read("", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_not_quoted_when_it_is_refused() {
        let mut fields = parameters("", "", b"password=short").unwrap();
        let refused = password(&mut fields, "password").unwrap_err();
        assert!(!format!("{refused:?}").contains("short"), "{refused:?}");
        assert!(is_name("hanako.y-2_3") && !is_name("Hanako") && !is_name("-h") && !is_name(""));
    }
}
