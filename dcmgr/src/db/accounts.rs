//! Accounts and tokens as they are made, changed and ended, and the log of changes.

use super::pool::{first, run};
use super::{Columns, Db, DbError, Long, Tx};
use arame_schema::api::{self, Role};
use std::collections::BTreeMap;

const ACCOUNT: &str = "SELECT id, display_name, description, enabled, quota_instances, quota_volumes, created_at, updated_at \
                       FROM accounts WHERE deleted_at IS NULL";

fn account_view(row: &mysql_async::Row) -> Result<api::Account, DbError> {
    Ok(api::Account {
        id: row.text("id")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        display_name: Some(row.text("display_name")?).filter(|name| !name.is_empty()),
        description: row.text("description")?,
        enabled: row.flag("enabled")?,
        quota_instances: row.col("quota_instances")?,
        quota_volumes: row.col("quota_volumes")?,
    })
}

pub async fn list(db: &Db, only: Option<&str>) -> Result<Vec<api::Account>, DbError> {
    let statement = format!("{ACCOUNT} AND (? IS NULL OR id = ?) ORDER BY seq");
    db.rows(statement, (only, only)).await?.iter().map(account_view).collect()
}

pub async fn find(tx: &mut Tx, id: &str) -> Result<Option<api::Account>, DbError> {
    first(tx, format!("{ACCOUNT} AND id = ?"), (id,)).await?.as_ref().map(account_view).transpose()
}

/// Locks an account that is there.
pub async fn lock(tx: &mut Tx, id: &str) -> Result<Option<api::Account>, DbError> {
    let statement = format!("{ACCOUNT} AND id = ? FOR UPDATE");
    first(tx, statement, (id,)).await?.as_ref().map(account_view).transpose()
}

/// Whether an account of this id is there or was.
pub async fn was_ever(tx: &mut Tx, id: &str) -> Result<bool, DbError> {
    Ok(first(tx, "SELECT 1 AS one FROM accounts WHERE id = ?", (id,)).await?.is_some())
}

pub async fn insert(tx: &mut Tx, account: &api::Account) -> Result<(), DbError> {
    let a = account;
    let name = a.display_name.as_deref().unwrap_or_default();
    let statement = "INSERT INTO accounts (id, display_name, description, enabled, quota_instances, quota_volumes, created_at, \
                     updated_at) VALUES (?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    run(tx, statement, (&a.id, name, &a.description, a.enabled, a.quota_instances, a.quota_volumes)).await?;
    Ok(())
}

pub async fn update(tx: &mut Tx, account: &api::Account) -> Result<(), DbError> {
    let a = account;
    let name = a.display_name.as_deref().unwrap_or_default();
    let statement = "UPDATE accounts SET display_name = ?, description = ?, enabled = ?, quota_instances = ?, quota_volumes = ?, \
                     updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (name, &a.description, a.enabled, a.quota_instances, a.quota_volumes, &a.id)).await?;
    Ok(())
}

/// Ends an account and every token of it.
pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "UPDATE accounts SET enabled = 0, deleted_at = UTC_TIMESTAMP(3) WHERE id = ?", (id,)).await?;
    let tokens = "UPDATE tokens SET revoked_at = UTC_TIMESTAMP(3) WHERE account_id = ? AND revoked_at IS NULL";
    run(tx, tokens, (id,)).await?;
    run(tx, "DELETE FROM memberships WHERE account_id = ?", (id,)).await?;
    Ok(())
}

/// What an account still has, by kind; kinds it has nothing of are left out.
pub async fn belongings(tx: &mut Tx, id: &str) -> Result<Vec<(String, u64)>, DbError> {
    let statement = "SELECT 'instances' AS kind, COUNT(*) AS n FROM instances WHERE account_id = ? AND terminated_at IS NULL \
        UNION ALL SELECT 'volumes', COUNT(*) FROM volumes WHERE account_id = ? AND deleted_at IS NULL \
        UNION ALL SELECT 'replicas', COUNT(*) FROM snapshot_replicas WHERE account_id = ? AND deleted_at IS NULL \
        UNION ALL SELECT 'backups', COUNT(*) FROM backup_objects WHERE account_id = ? AND deleted_at IS NULL \
        UNION ALL SELECT 'networks', COUNT(*) FROM networks WHERE account_id = ? AND deleted_at IS NULL \
        UNION ALL SELECT 'images', COUNT(*) FROM images WHERE account_id = ? AND deleted_at IS NULL";
    let found = super::pool::rows(tx, statement, (id, id, id, id, id, id)).await?;
    let pairs = found.iter().map(|row| Ok((row.text("kind")?, row.col::<u64>("n")?)));
    pairs.filter(|pair| pair.as_ref().is_ok_and(|(_, n)| *n > 0) || pair.is_err()).collect()
}

/// Things of an account that a verb is asked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Things {
    Instances,
    InstancesOn,
    InstancesOff,
    Volumes,
    SecurityGroups,
    SshKeyPairs,
    BackupObjects,
}

/// Their ids, the oldest first; those that go already are left out.
pub async fn things(db: &Db, account: &str, things: Things, limit: u64) -> Result<Vec<String>, DbError> {
    let statement = match things {
        Things::Instances => {
            "SELECT id FROM instances WHERE account_id = ? AND terminated_at IS NULL AND desired <> 'gone' ORDER BY seq LIMIT ?"
        }
        Things::InstancesOn => {
            "SELECT id FROM instances WHERE account_id = ? AND terminated_at IS NULL AND desired = 'on' ORDER BY seq LIMIT ?"
        }
        Things::InstancesOff => {
            "SELECT id FROM instances WHERE account_id = ? AND terminated_at IS NULL AND desired = 'off' ORDER BY seq LIMIT ?"
        }
        Things::Volumes => {
            "SELECT id FROM volumes WHERE account_id = ? AND deleted_at IS NULL AND wanted = 1 ORDER BY seq LIMIT ?"
        }
        Things::SecurityGroups => "SELECT id FROM security_groups WHERE account_id = ? ORDER BY seq LIMIT ?",
        Things::SshKeyPairs => "SELECT id FROM ssh_key_pairs WHERE account_id = ? ORDER BY seq LIMIT ?",
        Things::BackupObjects => {
            "SELECT id FROM backup_objects WHERE account_id = ? AND deleted_at IS NULL ORDER BY seq LIMIT ?"
        }
    };
    db.rows(statement, (account, limit)).await?.iter().map(|row| row.text("id")).collect()
}

/// What an account uses now, by the original's quota keys, from the rows themselves.
pub async fn usage(db: &Db, id: &str) -> Result<BTreeMap<String, u64>, DbError> {
    let statement = "SELECT 'instance.count' AS k, COUNT(*) AS n FROM instances WHERE account_id = ? AND terminated_at IS NULL \
        UNION ALL SELECT 'instance.cpu_cores', CAST(IFNULL(SUM(cpu_cores), 0) AS UNSIGNED) FROM instances WHERE account_id = ? AND terminated_at IS NULL \
        UNION ALL SELECT 'instance.memory_mb', CAST(IFNULL(SUM(memory_mib), 0) AS UNSIGNED) FROM instances WHERE account_id = ? AND terminated_at IS NULL \
        UNION ALL SELECT 'volume.count', COUNT(*) FROM volumes WHERE account_id = ? AND deleted_at IS NULL \
        UNION ALL SELECT 'volume.size_mb', CAST(IFNULL(SUM(size_bytes DIV 1048576), 0) AS UNSIGNED) FROM volumes WHERE account_id = ? AND deleted_at IS NULL";
    let found = db.rows(statement, (id, id, id, id, id)).await?;
    found.iter().map(|row| Ok((row.text("k")?, row.col("n")?))).collect()
}

// Tokens.

const TOKEN: &str = "SELECT id, account_id, role, display_name, created_at, created_by, expires_at, revoked_at, last_used_at FROM tokens";

fn token_view(row: &mysql_async::Row) -> Result<api::Token, DbError> {
    let role = row.text("role")?;
    Ok(api::Token {
        id: row.text("id")?,
        account_id: row.text("account_id")?,
        role: Role::parse(&role).ok_or_else(|| super::row::strange("role", role))?,
        display_name: Some(row.text("display_name")?).filter(|name| !name.is_empty()),
        created_at: row.time("created_at")?,
        created_by: row.col("created_by")?,
        expires_at: row.time_opt("expires_at")?,
        revoked_at: row.time_opt("revoked_at")?,
        last_used_at: row.time_opt("last_used_at")?,
        secret: None,
    })
}

/// Tokens that are not revoked, newest first.
pub async fn tokens(db: &Db, account: Option<&str>) -> Result<Vec<api::Token>, DbError> {
    let statement = format!(
        "{TOKEN} WHERE revoked_at IS NULL AND user_id IS NULL AND (? IS NULL OR account_id = ?) ORDER BY created_at DESC, id"
    );
    db.rows(statement, (account, account)).await?.iter().map(token_view).collect()
}

pub async fn lock_token(tx: &mut Tx, id: &str, account: Option<&str>) -> Result<Option<api::Token>, DbError> {
    let statement = format!("{TOKEN} WHERE id = ? AND (? IS NULL OR account_id = ?) FOR UPDATE");
    first(tx, statement, (id, account, account)).await?.as_ref().map(token_view).transpose()
}

/// Whose session a token is; locked.
pub async fn user_of_token(tx: &mut Tx, id: &str) -> Result<Option<String>, DbError> {
    let found = first(tx, "SELECT user_id FROM tokens WHERE id = ? FOR UPDATE", (id,)).await?;
    found.map_or(Ok(None), |row| row.col("user_id"))
}

/// Whose session a token is, and when it ends.
pub async fn token_by_id(db: &Db, id: &str) -> Result<Option<(Option<String>, Option<api::Timestamp>)>, DbError> {
    let found = db.rows("SELECT user_id, expires_at FROM tokens WHERE id = ?", (id,)).await?;
    found.first().map(|row| Ok((row.col("user_id")?, row.time_opt("expires_at")?))).transpose()
}

/// A token to be: its secret only as a digest.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    pub id: &'a str,
    pub account: &'a str,
    pub role: Role,
    pub display_name: &'a str,
    pub secret_sha256: &'a str,
    pub created_by: &'a str,
    pub expires_in_s: Option<u64>,
}

pub async fn insert_token(tx: &mut Tx, token: NewToken<'_>) -> Result<(), DbError> {
    let t = token;
    let statement = "INSERT INTO tokens (id, account_id, role, display_name, secret_sha256, created_by, created_at, expires_at) \
                     VALUES (?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL ? SECOND)";
    let role = t.role.as_str();
    run(tx, statement, (t.id, t.account, role, t.display_name, t.secret_sha256, t.created_by, t.expires_in_s)).await?;
    Ok(())
}

pub async fn revoke_token(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "UPDATE tokens SET revoked_at = UTC_TIMESTAMP(3) WHERE id = ? AND revoked_at IS NULL", (id,)).await?;
    Ok(())
}

/// Notes that a token was used, to the minute: a busy client costs one write a minute.
pub async fn touch_token(db: &Db, id: &str) -> Result<(), DbError> {
    let statement = "UPDATE tokens SET last_used_at = UTC_TIMESTAMP(3) WHERE id = ? \
                     AND (last_used_at IS NULL OR last_used_at < UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE)";
    db.rows(statement, (id,)).await?;
    Ok(())
}

// The log of changes.

/// Newest first unless asked otherwise, and how many there are.
pub async fn audit_log(
    db: &Db,
    account: Option<&str>,
    filter: &api::ListFilter,
) -> Result<(u64, Vec<api::AuditEntry>), DbError> {
    let condition = "(? IS NULL OR account_id = ?) AND (? IS NULL OR resource LIKE ?) \
                     AND (? IS NULL OR at >= ?) AND (? IS NULL OR at < ?)";
    let mut values: Vec<mysql_async::Value> = super::twice(account).to_vec();
    values.extend(super::twice(filter.id.as_deref().map(super::prefix).as_deref()));
    let [since, until, ..] = super::moments(filter);
    values.extend(super::twice(since.as_deref()));
    values.extend(super::twice(until.as_deref()));
    let count = format!("SELECT COUNT(*) AS n FROM audit_log WHERE {condition}");
    let total = db.rows(count, mysql_async::Params::Positional(values.clone())).await?;
    let sorted = [("created_at", "seq")];
    let (behind, after) = Long::AuditLog.behind(filter, &sorted, "seq");
    values.extend(after);
    values.extend([filter.limit.into(), filter.start.into()]);
    let order = super::order(filter, &sorted, "seq");
    let statement = format!(
        "SELECT at, token_id, account_id, address, verb, resource, request_id FROM audit_log \
         WHERE {condition}{behind} ORDER BY {order} LIMIT ? OFFSET ?"
    );
    let found = db.rows(statement, mysql_async::Params::Positional(values)).await?;
    let entry = |row: &mysql_async::Row| {
        Ok::<_, DbError>(api::AuditEntry {
            at: row.time("at")?,
            token: row.text("token_id")?,
            account: row.text("account_id")?,
            address: row.text("address")?,
            verb: row.text("verb")?,
            resource: row.text("resource")?,
            request: row.text("request_id")?,
        })
    };
    let total = total.first().map_or(Ok(0), |row| row.col("n"))?;
    Ok((total, found.iter().map(entry).collect::<Result<_, _>>()?))
}
