//! Puts a restored database in the place of the one in use: `‹name›_restore` becomes `‹name›`, which becomes
//! `‹name›_before` (kept until the next time).
//!
//! Rule: one statement moves all tables of both, so nobody ever sees half of each; a database of another installation
//! is refused. What follows is the business of [`super::recovery`].

use super::{Columns, Db, DbError};

/// How a restored database compares with the one in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    Done,
    /// Nothing was changed.
    AnotherInstallation,
}

/// A backup was taken: whoever restores it later comes from an older time, and every agent will know.
///
/// # Errors
/// The server's.
pub async fn raise_epoch(db: &Db) -> Result<(), DbError> {
    db.rows("UPDATE installation SET epoch = epoch + 1 WHERE one = 1", ()).await?;
    Ok(())
}

/// Exchanges the databases, memory loss raised in the restored one.
///
/// # Errors
/// The server's; a missing `‹name›_restore`.
pub async fn exchange(db: &Db, name: &str) -> Result<Exchange, DbError> {
    let (restored, before) = (format!("{name}_restore"), format!("{name}_before"));
    let same = format!(
        "SELECT COUNT(*) AS n FROM {name}.installation ours JOIN {restored}.installation theirs ON ours.uuid = theirs.uuid"
    );
    let same: u64 = db.rows(same, ()).await?.first().map_or(Ok(0), |row| row.col("n"))?;
    if same != 1 {
        return Ok(Exchange::AnotherInstallation);
    }
    raise_loss(db, &restored).await?;
    // Agents have met the epoch that is replaced here, and of several backups not the last may be restored: what the
    // operator confirms must be above it, or they would hold every removal for ever.
    let met = format!(
        "UPDATE {restored}.agents SET highest_epoch = GREATEST(highest_epoch, (SELECT epoch FROM {name}.installation WHERE one = 1))"
    );
    db.rows(met, ()).await?;
    db.rows(format!("DROP DATABASE IF EXISTS {before}"), ()).await?;
    db.rows(format!("CREATE DATABASE {before} CHARACTER SET utf8mb4"), ()).await?;
    let away = tables(db, name).await?.into_iter().map(|table| format!("{name}.{table} TO {before}.{table}"));
    let back = tables(db, &restored).await?.into_iter().map(|table| format!("{restored}.{table} TO {name}.{table}"));
    let moves: Vec<String> = away.chain(back).collect();
    db.rows(format!("RENAME TABLE {}", moves.join(", ")), ()).await?;
    db.rows(format!("DROP DATABASE {restored}"), ()).await?;
    Ok(Exchange::Done)
}

/// A backup of a schema without the column is noticed by its epoch all the same.
async fn raise_loss(db: &Db, restored: &str) -> Result<(), DbError> {
    let known = "SELECT column_name FROM information_schema.columns WHERE table_schema = ? \
                 AND table_name = 'installation' AND column_name = 'memory_loss_at'";
    if db.rows(known, (restored,)).await?.is_empty() {
        return Ok(());
    }
    let lost = format!(
        "UPDATE {restored}.installation SET memory_loss_at = UTC_TIMESTAMP(3), memory_loss_sign = 'a backup was restored' \
         WHERE memory_loss_at IS NULL"
    );
    db.rows(lost, ()).await?;
    Ok(())
}

async fn tables(db: &Db, schema: &str) -> Result<Vec<String>, DbError> {
    let statement =
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ? ORDER BY table_name";
    db.rows(statement, (schema,)).await?.iter().map(|row| row.text("name")).collect()
}
