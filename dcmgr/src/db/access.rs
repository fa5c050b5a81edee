//! Accounts, tokens, keys, groups and types: the rows that others point to. Images are beside them.

mod images;
pub use images::*;

use super::pool::{first, rows, run};
use super::{Columns, Db, DbError, Tx};
use arame_schema::api;
use arame_schema::model::security_group;

/// A live token found by the SHA-256 of its secret.
#[derive(Debug, Clone)]
pub struct TokenRow {
    pub id: String,
    pub account: String,
    pub role: String,
    pub account_enabled: bool,
    /// Whose session it is.
    pub user: Option<String>,
    /// Its last use was noted longer ago than a minute.
    pub use_unnoted: bool,
}

const TOKENS: &str = "SELECT t.id, t.account_id, t.role, t.user_id, a.enabled, IFNULL(t.last_used_at < UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE, 1) AS unnoted \
                      FROM tokens t JOIN accounts a ON a.id = t.account_id \
                      WHERE t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > UTC_TIMESTAMP(3))";

fn token_row(row: &mysql_async::Row) -> Result<TokenRow, DbError> {
    Ok(TokenRow {
        id: row.text("id")?,
        account: row.text("account_id")?,
        role: row.text("role")?,
        account_enabled: row.flag("enabled")?,
        user: row.col("user_id")?,
        use_unnoted: row.flag("unnoted")?,
    })
}

pub async fn token(db: &Db, secret_sha256: &str) -> Result<Option<TokenRow>, DbError> {
    let found = db.rows(format!("{TOKENS} AND t.secret_sha256 = ?"), (secret_sha256,)).await?;
    found.first().map(token_row).transpose()
}

/// The same by its id, of what was shown before.
pub async fn token_of_id(db: &Db, id: &str) -> Result<Option<TokenRow>, DbError> {
    let found = db.rows(format!("{TOKENS} AND t.id = ?"), (id,)).await?;
    found.first().map(token_row).transpose()
}

/// Quotas of an account, its row locked: first lock of every allocation (DESIGN 3.11).
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    pub instances: Option<u64>,
    pub volumes: Option<u64>,
}

pub async fn lock_account(tx: &mut Tx, id: &str) -> Result<Option<Quota>, DbError> {
    let statement = "SELECT quota_instances, quota_volumes FROM accounts WHERE id = ? FOR UPDATE";
    let found = first(tx, statement, (id,)).await?;
    found
        .map(|row| Ok(Quota { instances: row.col("quota_instances")?, volumes: row.col("quota_volumes")? }))
        .transpose()
}

pub async fn account_exists(db: &Db, id: &str) -> Result<bool, DbError> {
    Ok(!db.rows("SELECT 1 AS one FROM accounts WHERE id = ? AND deleted_at IS NULL", (id,)).await?.is_empty())
}

const TYPES: &str = "SELECT * FROM instance_types ORDER BY memory_mib, id";

fn type_view(row: &mysql_async::Row) -> Result<api::InstanceType, DbError> {
    Ok(api::InstanceType {
        id: row.text("id")?,
        name: row.text("display_name")?,
        cpu_cores: row.col("cpu_cores")?,
        memory_size: row.col("memory_mib")?,
        disk_size: row.col("disk_mib")?,
        description: row.text("description")?,
    })
}

pub async fn instance_types(db: &Db) -> Result<Vec<api::InstanceType>, DbError> {
    db.rows(TYPES, ()).await?.iter().map(type_view).collect()
}

/// The same inside a transaction.
pub async fn instance_types_in(tx: &mut Tx) -> Result<Vec<api::InstanceType>, DbError> {
    rows(tx, TYPES, ()).await?.iter().map(type_view).collect()
}

/// Locks a type by its id.
pub async fn lock_instance_type(tx: &mut Tx, id: &str) -> Result<bool, DbError> {
    Ok(first(tx, "SELECT id FROM instance_types WHERE id = ? FOR UPDATE", (id,)).await?.is_some())
}

/// Makes a type, or makes it this.
pub async fn set_instance_type(tx: &mut Tx, one: &api::InstanceType) -> Result<(), DbError> {
    let statement = "INSERT INTO instance_types (id, display_name, cpu_cores, memory_mib, disk_mib, description) \
                     VALUES (?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE display_name = VALUES(display_name), \
                     cpu_cores = VALUES(cpu_cores), memory_mib = VALUES(memory_mib), disk_mib = VALUES(disk_mib), \
                     description = VALUES(description)";
    run(tx, statement, (&one.id, &one.name, one.cpu_cores, one.memory_size, one.disk_size, &one.description)).await?;
    Ok(())
}

pub async fn delete_instance_type(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM instance_types WHERE id = ?", (id,)).await?;
    Ok(())
}

/// Locks a token's row: requests of one token that must not cross wait here.
pub async fn lock_token_row(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    first(tx, "SELECT id FROM tokens WHERE id = ? FOR UPDATE", (id,)).await?;
    Ok(())
}

// SSH keys.

fn key_view(row: &mysql_async::Row) -> Result<api::SshKeyPair, DbError> {
    let id = row.text("id")?;
    let display_name = row.text("display_name")?;
    Ok(api::SshKeyPair {
        uuid: id.clone(),
        id,
        account_id: row.text("account_id")?,
        finger_print: row.text("finger_print")?,
        public_key: row.text("public_key")?,
        description: row.text("description")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        service_type: "std".into(),
        display_name: Some(display_name).filter(|name| !name.is_empty()),
        deleted_at: None,
        labels: Vec::new(),
        private_key: None,
    })
}

pub async fn ssh_keys(db: &Db, account: Option<&str>) -> Result<Vec<api::SshKeyPair>, DbError> {
    let statement = "SELECT * FROM ssh_key_pairs WHERE (? IS NULL OR account_id = ?) ORDER BY seq DESC";
    db.rows(statement, (account, account)).await?.iter().map(key_view).collect()
}

pub async fn ssh_key(tx: &mut Tx, id: &str, account: &str) -> Result<Option<api::SshKeyPair>, DbError> {
    let statement = "SELECT * FROM ssh_key_pairs WHERE id = ? AND account_id = ?";
    first(tx, statement, (id, account)).await?.as_ref().map(key_view).transpose()
}

/// The account's key with this line.
pub async fn ssh_key_with_line(tx: &mut Tx, account: &str, line: &str) -> Result<Option<String>, DbError> {
    let statement = "SELECT id FROM ssh_key_pairs WHERE account_id = ? AND public_key = ? ORDER BY seq LIMIT 1";
    first(tx, statement, (account, line)).await?.map(|row| row.text("id")).transpose()
}

pub async fn insert_ssh_key(tx: &mut Tx, key: &api::SshKeyPair) -> Result<(), DbError> {
    let statement = "INSERT INTO ssh_key_pairs (id, account_id, display_name, description, finger_print, public_key, created_at, \
                     updated_at) VALUES (?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    let name = key.display_name.as_deref().unwrap_or_default();
    run(tx, statement, (&key.id, &key.account_id, name, &key.description, &key.finger_print, &key.public_key)).await?;
    Ok(())
}

/// Live instances that name a key.
pub async fn users_of_key(tx: &mut Tx, id: &str) -> Result<u64, DbError> {
    let statement = "SELECT COUNT(*) AS n FROM instances WHERE ssh_key_pair_id = ? AND terminated_at IS NULL";
    first(tx, statement, (id,)).await?.map_or(Ok(0), |row| row.col("n"))
}

/// What is given changes.
pub async fn set_key_words(tx: &mut Tx, id: &str, name: Option<&str>, text: Option<&str>) -> Result<(), DbError> {
    let statement = "UPDATE ssh_key_pairs SET display_name = IFNULL(?, display_name), description = IFNULL(?, description), \
                     updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (name, text, id)).await?;
    Ok(())
}

pub async fn delete_ssh_key(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM ssh_key_pairs WHERE id = ?", (id,)).await?;
    Ok(())
}

// Security groups.

fn group_view(row: &mysql_async::Row) -> Result<api::SecurityGroup, DbError> {
    let id = row.text("id")?;
    let rule = row.text("rule")?;
    let display_name = row.text("display_name")?;
    let rules = security_group::parse(&rule).map_err(|e| super::row::strange("rule", e))?;
    Ok(api::SecurityGroup {
        uuid: id.clone(),
        id,
        account_id: row.text("account_id")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        description: row.text("description")?,
        rules: rules.iter().map(api::SecurityGroupRule::from).collect(),
        rule,
        service_type: "std".into(),
        display_name: Some(display_name).filter(|name| !name.is_empty()),
        labels: Vec::new(),
    })
}

pub async fn groups(db: &Db, account: Option<&str>) -> Result<Vec<api::SecurityGroup>, DbError> {
    let statement = "SELECT * FROM security_groups WHERE (? IS NULL OR account_id = ?) ORDER BY seq DESC";
    db.rows(statement, (account, account)).await?.iter().map(group_view).collect()
}

pub async fn group(db: &Db, id: &str, account: Option<&str>) -> Result<Option<api::SecurityGroup>, DbError> {
    let statement = "SELECT * FROM security_groups WHERE id = ? AND (? IS NULL OR account_id = ?)";
    db.rows(statement, (id, account, account)).await?.first().map(group_view).transpose()
}

/// Locks a group of an account.
pub async fn lock_group(tx: &mut Tx, id: &str, account: Option<&str>) -> Result<Option<api::SecurityGroup>, DbError> {
    let statement = "SELECT * FROM security_groups WHERE id = ? AND (? IS NULL OR account_id = ?) FOR UPDATE";
    first(tx, statement, (id, account, account)).await?.as_ref().map(group_view).transpose()
}

/// Whether a group of the account exists. Shared lock: it cannot be deleted before the caller commits.
pub async fn hold_group(tx: &mut Tx, id: &str, account: &str) -> Result<bool, DbError> {
    let statement = "SELECT id FROM security_groups WHERE id = ? AND account_id = ? LOCK IN SHARE MODE";
    Ok(first(tx, statement, (id, account)).await?.is_some())
}

/// The account's oldest group: what an interface gets that names none. Held as by [`hold_group`].
pub async fn hold_default_group(tx: &mut Tx, account: &str) -> Result<Option<String>, DbError> {
    let statement = "SELECT id FROM security_groups WHERE account_id = ? ORDER BY seq LIMIT 1 LOCK IN SHARE MODE";
    first(tx, statement, (account,)).await?.map(|row| row.text("id")).transpose()
}

pub async fn insert_group(
    tx: &mut Tx,
    id: &str,
    account: &str,
    display_name: &str,
    description: &str,
    rule: &str,
) -> Result<(), DbError> {
    let statement = "INSERT INTO security_groups (id, account_id, display_name, description, rule, created_at, updated_at) \
                     VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))";
    run(tx, statement, (id, account, display_name, description, rule)).await?;
    Ok(())
}

pub async fn update_group(
    tx: &mut Tx,
    id: &str,
    display_name: &str,
    description: &str,
    rule: &str,
) -> Result<(), DbError> {
    let statement = "UPDATE security_groups SET display_name = ?, description = ?, rule = ?, updated_at = UTC_TIMESTAMP(3) WHERE id = ?";
    run(tx, statement, (display_name, description, rule, id)).await?;
    Ok(())
}

/// Who needs a group: interfaces in it, and groups whose rules name it, itself among them.
pub async fn users_of_group(tx: &mut Tx, id: &str) -> Result<Vec<String>, DbError> {
    let members = "SELECT DISTINCT IF(v.instance_id = '', v.id, v.instance_id) AS user FROM network_vif_security_groups m \
                   JOIN network_vifs v ON v.id = m.vif_id WHERE m.security_group_id = ? AND v.deleted_at IS NULL LIMIT 20";
    let members = rows(tx, members, (id,)).await?;
    let mut users: Vec<String> = members.iter().map(|row| row.text("user")).collect::<Result<_, _>>()?;
    // The text may hold the id as the beginning of a longer one: what it means is the parser's to say.
    let naming = rows(tx, "SELECT id, rule FROM security_groups WHERE INSTR(rule, ?) > 0", (id,)).await?;
    for row in &naming {
        let rules = security_group::parse(&row.text("rule")?).map_err(|e| super::row::strange("rule", e))?;
        let names = |rule: &security_group::Rule| match &rule.source {
            security_group::Source::Group(group) => group.as_str() == id,
            security_group::Source::Net(_) => false,
        };
        if rules.iter().any(names) {
            users.push(row.text("id")?);
        }
    }
    Ok(users)
}

pub async fn delete_group(tx: &mut Tx, id: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM network_vif_security_groups WHERE security_group_id = ?", (id,)).await?;
    run(tx, "DELETE FROM security_groups WHERE id = ?", (id,)).await?;
    Ok(())
}

pub use super::idempotency::{idempotent, made_with_key, set_idempotent};
