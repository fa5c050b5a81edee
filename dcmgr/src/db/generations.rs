//! Generations of things, whatever their table: lifted when the world is found ahead of the rows (DESIGN 3.6).

use super::pool::run;
use super::{DbError, Tx};
use crate::plan::Kind;

/// Lifts the generation (or version) of the thing that a job of `kind` is about past one found on the thing itself.
///
/// # Errors
/// The server's.
pub async fn lift(tx: &mut Tx, kind: Kind, thing: &str, found: u64) -> Result<(), DbError> {
    let statement = match kind {
        Kind::ApplyInstance | Kind::DeleteInstance | Kind::RebootInstance | Kind::ObserveInstance => {
            "UPDATE instances SET generation = GREATEST(generation, ?) + 1 WHERE id = ?"
        }
        Kind::CreateVolume | Kind::DeleteVolume | Kind::ObserveVolume => {
            "UPDATE volumes SET generation = GREATEST(generation, ?) + 1 WHERE id = ?"
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
