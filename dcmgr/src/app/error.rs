//! What a change can end in beside success.

use crate::db::DbError;
use crate::db::secrets::SealError;
use arame_schema::api::{Code, Refusal};

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("refused: {0:?}")]
    Refused(Box<Refusal>),
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl AppError {
    /// The database does not serve now: the same may succeed when it does again.
    pub fn is_database_away(&self) -> bool {
        matches!(self, AppError::Db(error) if error.is_away())
    }
}

impl From<Refusal> for AppError {
    fn from(refusal: Refusal) -> Self {
        AppError::Refused(Box::new(refusal))
    }
}

/// What the user hears. A failure of ours is logged here, once.
impl From<AppError> for Refusal {
    fn from(error: AppError) -> Refusal {
        match error {
            AppError::Refused(refusal) => *refusal,
            AppError::Db(error) if error.is_away() => {
                tracing::warn!(%error, "the database does not answer");
                Refusal::new(Code::Unavailable).with("what", "database")
            }
            AppError::Db(error) => {
                tracing::error!(%error, "a request failed");
                Refusal::new(Code::Internal)
            }
            AppError::Seal(error) => {
                tracing::error!(%error, "a request failed");
                Refusal::new(Code::Internal)
            }
        }
    }
}
