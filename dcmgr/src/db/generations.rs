//! Generations of things, whatever their table: lifted when the world is found ahead of the rows (DESIGN 3.6).

use super::pool::{first, run};
use super::{Columns, DbError, Tx};
use crate::plan::Kind;

/// Lifts the generation (or version) of the thing that a job of `kind` is about past one found on the thing itself.
///
/// # Errors
/// The server's.
pub async fn lift(tx: &mut Tx, kind: Kind, thing: &str, found: u64) -> Result<(), DbError> {
    let statement = match kind {
        Kind::ApplyInstance
        | Kind::DeleteInstance
        | Kind::RebootInstance
        | Kind::ObserveInstance
        | Kind::ReceiveInstance
        | Kind::SendInstance
        | Kind::KeepInstance
        | Kind::ResumeInstance => "UPDATE instances SET generation = GREATEST(generation, ?) + 1 WHERE id = ?",
        Kind::CreateVolume | Kind::DeleteVolume | Kind::ObserveVolume | Kind::MarkVolume | Kind::RollBackVolume => {
            "UPDATE volumes SET generation = GREATEST(generation, ?) + 1 WHERE id = ?"
        }
        Kind::CreateSnapshot | Kind::DeleteSnapshot | Kind::ObserveSnapshot => {
            "UPDATE volume_snapshots SET generation = GREATEST(generation, ?) + 1 WHERE id = ?"
        }
        Kind::ExportVolume | Kind::UnexportVolume => {
            "UPDATE attachments SET generation = GREATEST(generation, ?) + 1 WHERE id = ?"
        }
        Kind::ImportImage | Kind::DeleteImage => {
            "UPDATE images SET generation = GREATEST(generation, ?) + 1 WHERE id = ?"
        }
        Kind::ApplyNetwork | Kind::DeleteNetwork => {
            "UPDATE networks SET version = GREATEST(version, ?) + 1 WHERE id = ?"
        }
        Kind::ApplyPolicy => "UPDATE host_nodes SET policy_version = GREATEST(policy_version, ?) + 1 WHERE id = ?",
    };
    run(tx, statement, (found, thing)).await?;
    Ok(())
}

/// The row's generation (or version) now; `None` when there is no row.
///
/// # Errors
/// The server's.
pub async fn current(tx: &mut Tx, kind: Kind, thing: &str) -> Result<Option<u64>, DbError> {
    let statement = match kind {
        Kind::ApplyInstance
        | Kind::DeleteInstance
        | Kind::RebootInstance
        | Kind::ObserveInstance
        | Kind::ReceiveInstance
        | Kind::SendInstance
        | Kind::KeepInstance
        | Kind::ResumeInstance => "SELECT generation FROM instances WHERE id = ?",
        Kind::CreateVolume | Kind::DeleteVolume | Kind::ObserveVolume | Kind::MarkVolume | Kind::RollBackVolume => {
            "SELECT generation FROM volumes WHERE id = ?"
        }
        Kind::CreateSnapshot | Kind::DeleteSnapshot | Kind::ObserveSnapshot => {
            "SELECT generation FROM volume_snapshots WHERE id = ?"
        }
        Kind::ExportVolume | Kind::UnexportVolume => "SELECT generation FROM attachments WHERE id = ?",
        Kind::ImportImage | Kind::DeleteImage => "SELECT generation FROM images WHERE id = ?",
        Kind::ApplyNetwork | Kind::DeleteNetwork => "SELECT version AS generation FROM networks WHERE id = ?",
        Kind::ApplyPolicy => "SELECT policy_version AS generation FROM host_nodes WHERE id = ?",
    };
    first(tx, statement, (thing,)).await?.map(|row| row.col("generation")).transpose()
}
