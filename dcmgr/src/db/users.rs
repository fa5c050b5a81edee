//! Users, their memberships, and the tokens that are their sessions.

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api::{self, Membership, Role};

const USER: &str = "SELECT id, name, display_name, enabled, password IS NOT NULL AS has_password, created_at, updated_at \
                    FROM users WHERE deleted_at IS NULL";

fn user_view(row: &mysql_async::Row, memberships: Vec<Membership>) -> Result<api::User, DbError> {
    Ok(api::User {
        id: row.text("id")?,
        name: row.text("name")?,
        display_name: Some(row.text("display_name")?).filter(|name| !name.is_empty()),
        enabled: row.flag("enabled")?,
        has_password: row.flag("has_password")?,
        memberships,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

fn membership(row: &mysql_async::Row) -> Result<Membership, DbError> {
    let role = row.text("role")?;
    let role = Role::parse(&role).ok_or_else(|| super::row::strange("role", role))?;
    Ok(Membership { account_id: row.text("account_id")?, role })
}

const MEMBERSHIPS: &str = "SELECT m.user_id, m.account_id, m.role FROM memberships m \
                           JOIN accounts a ON a.id = m.account_id AND a.deleted_at IS NULL";

/// Users, all or those of an account, by name.
pub async fn list(db: &Db, account: Option<&str>) -> Result<Vec<api::User>, DbError> {
    let statement = format!(
        "{USER} AND (? IS NULL OR id IN (SELECT user_id FROM memberships WHERE account_id = ?)) ORDER BY name, id"
    );
    let found = db.rows(statement, (account, account)).await?;
    let all = db.rows(format!("{MEMBERSHIPS} ORDER BY m.created_at, m.account_id"), ()).await?;
    let mut users = Vec::with_capacity(found.len());
    for row in &found {
        let id = row.text("id")?;
        let mut memberships = Vec::new();
        for row in &all {
            if row.text("user_id")? == id {
                memberships.push(membership(row)?);
            }
        }
        users.push(user_view(row, memberships)?);
    }
    Ok(users)
}

/// A user, locked; memberships in the order in which they were given.
pub async fn lock(tx: &mut Tx, id: &str) -> Result<Option<api::User>, DbError> {
    let found = first(tx, format!("{USER} AND id = ? FOR UPDATE"), (id,)).await?;
    let Some(row) = found else { return Ok(None) };
    let statement = format!("{MEMBERSHIPS} WHERE m.user_id = ? ORDER BY m.created_at, m.account_id");
    let memberships = rows(tx, statement, (id,)).await?.iter().map(membership).collect::<Result<_, _>>()?;
    Ok(Some(user_view(&row, memberships)?))
}

pub async fn get(db: &Db, id: &str) -> Result<Option<api::User>, DbError> {
    let found = db.rows(format!("{USER} AND id = ?"), (id,)).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let statement = format!("{MEMBERSHIPS} WHERE m.user_id = ? ORDER BY m.created_at, m.account_id");
    let memberships = db.rows(statement, (id,)).await?.iter().map(membership).collect::<Result<_, _>>()?;
    Ok(Some(user_view(row, memberships)?))
}

/// The id and the password's hash of who signs in by this name.
pub async fn sign_in(db: &Db, name: &str) -> Result<Option<(String, Option<String>)>, DbError> {
    let statement = "SELECT id, password FROM users WHERE name_taken = ? AND deleted_at IS NULL AND enabled = 1";
    let found = db.rows(statement, (name,)).await?;
    found.first().map(|row| Ok((row.text("id")?, row.col("password")?))).transpose()
}

pub async fn insert(tx: &mut Tx, id: &str, name: &str, display: &str, password: Option<&str>) -> Result<(), DbError> {
    let statement = "INSERT INTO users (id, name, name_taken, display_name, password, created_at, updated_at) \
                     VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    run(tx, statement, (id, name, name, display, password)).await?;
    Ok(())
}

pub async fn update(tx: &mut Tx, user: &api::User) -> Result<(), DbError> {
    let statement = "UPDATE users SET display_name = ?, enabled = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (user.display_name.as_deref().unwrap_or_default(), user.enabled, &user.id)).await?;
    Ok(())
}

pub async fn set_password(tx: &mut Tx, id: &str, password: &str) -> Result<(), DbError> {
    let statement = "UPDATE users SET password = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (password, id)).await?;
    Ok(())
}

/// Replaces the memberships.
pub async fn set_memberships(tx: &mut Tx, id: &str, wanted: &[Membership]) -> Result<(), DbError> {
    run(tx, "DELETE FROM memberships WHERE user_id = ?", (id,)).await?;
    for (place, one) in wanted.iter().enumerate() {
        // Their order is kept by the moment: the first is acted for when a session names none.
        let statement = "INSERT INTO memberships (user_id, account_id, role, created_at) \
                         VALUES (?, ?, ?, UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND)";
        run(tx, statement, (id, &one.account_id, one.role.as_str(), place as u64 * 1000)).await?;
    }
    Ok(())
}

/// Ends a user with every session.
pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    let statement =
        "UPDATE users SET enabled = 0, name_taken = NULL, password = NULL, deleted_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (id,)).await?;
    run(tx, "DELETE FROM memberships WHERE user_id = ?", (id,)).await?;
    end_sessions(tx, id, "").await
}

/// Revokes the sessions of a user but for one.
pub async fn end_sessions(tx: &mut Tx, id: &str, but: &str) -> Result<(), DbError> {
    let statement =
        "UPDATE tokens SET revoked_at = UTC_TIMESTAMP(3) WHERE user_id = ? AND id <> ? AND revoked_at IS NULL";
    run(tx, statement, (id, but)).await?;
    Ok(())
}

/// Makes a token a session of a user.
pub async fn make_session(tx: &mut Tx, token: &str, user: &str) -> Result<(), DbError> {
    run(tx, "UPDATE tokens SET user_id = ? WHERE id = ?", (user, token)).await?;
    Ok(())
}

/// What a user is for an account now: the role, and whether the account is enabled. None: nothing.
pub async fn standing(db: &Db, user: &str, account: &str) -> Result<Option<(String, bool)>, DbError> {
    let statement = "SELECT m.role, a.enabled FROM memberships m JOIN users u ON u.id = m.user_id \
                     JOIN accounts a ON a.id = m.account_id AND a.deleted_at IS NULL \
                     WHERE m.user_id = ? AND m.account_id = ? AND u.enabled = 1 AND u.deleted_at IS NULL";
    let found = db.rows(statement, (user, account)).await?;
    found.first().map(|row| Ok((row.text("role")?, row.flag("enabled")?))).transpose()
}
