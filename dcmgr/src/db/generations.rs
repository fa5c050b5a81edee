//! Generations of things, whatever their table: lifted when the world is found ahead of the rows (DESIGN 3.6).

use super::pool::{first, run};
use super::{Columns, DbError, Tx};
use crate::plan::{Kind, Subject};

/// Lifts the generation (or version) of the thing that a job of `kind` is about past one found on the thing itself.
///
/// # Errors
/// The server's.
pub async fn lift(tx: &mut Tx, kind: Kind, thing: &str, found: u64) -> Result<(), DbError> {
    let statement = match kind.subject() {
        Subject::Instance => "UPDATE instances SET generation = GREATEST(generation, ?) + 1 WHERE id = ?",
        Subject::Volume => "UPDATE volumes SET generation = GREATEST(generation, ?) + 1 WHERE id = ?",
        Subject::VolumeSnapshot => "UPDATE volume_snapshots SET generation = GREATEST(generation, ?) + 1 WHERE id = ?",
        Subject::Replica => "UPDATE snapshot_replicas SET generation = GREATEST(generation, ?) + 1 WHERE id = ?",
        Subject::Backup => "UPDATE backup_objects SET generation = GREATEST(generation, ?) + 1 WHERE id = ?",
        Subject::Attachment => "UPDATE attachments SET generation = GREATEST(generation, ?) + 1 WHERE id = ?",
        Subject::Image => "UPDATE images SET generation = GREATEST(generation, ?) + 1 WHERE id = ?",
        Subject::Network => "UPDATE networks SET version = GREATEST(version, ?) + 1 WHERE id = ?",
        Subject::Policy => "UPDATE host_nodes SET policy_version = GREATEST(policy_version, ?) + 1 WHERE id = ?",
    };
    run(tx, statement, (found, thing)).await?;
    Ok(())
}

/// The row's generation (or version) now; `None` when there is no row.
///
/// # Errors
/// The server's.
pub async fn current(tx: &mut Tx, kind: Kind, thing: &str) -> Result<Option<u64>, DbError> {
    let statement = match kind.subject() {
        Subject::Instance => "SELECT generation FROM instances WHERE id = ?",
        Subject::Volume => "SELECT generation FROM volumes WHERE id = ?",
        Subject::VolumeSnapshot => "SELECT generation FROM volume_snapshots WHERE id = ?",
        Subject::Replica => "SELECT generation FROM snapshot_replicas WHERE id = ?",
        Subject::Backup => "SELECT generation FROM backup_objects WHERE id = ?",
        Subject::Attachment => "SELECT generation FROM attachments WHERE id = ?",
        Subject::Image => "SELECT generation FROM images WHERE id = ?",
        Subject::Network => "SELECT version AS generation FROM networks WHERE id = ?",
        Subject::Policy => "SELECT policy_version AS generation FROM host_nodes WHERE id = ?",
    };
    first(tx, statement, (thing,)).await?.map(|row| row.col("generation")).transpose()
}
