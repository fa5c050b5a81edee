//! What can go wrong between us and the database.

/// Server error codes we decide on (MariaDB and MySQL reference manuals, server error list).
const ER_DUP_ENTRY: u16 = 1062;
const ER_LOCK_WAIT_TIMEOUT: u16 = 1205;
const ER_LOCK_DEADLOCK: u16 = 1213;

#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("no database connection within {0:?}")]
    PoolExhausted(std::time::Duration),
    #[error("database: {0}")]
    Server(#[from] mysql_async::Error),
    #[error("column `{column}` of {table} holds what the program does not understand: {reason}")]
    Column { table: &'static str, column: String, reason: String },
    #[error("the connection was lost during COMMIT and the request left no trace: it did not happen")]
    CommitLost,
    #[error("migration: {0}")]
    Migration(#[from] refinery::Error),
}

impl DbError {
    fn server_code(&self) -> Option<u16> {
        match self {
            DbError::Server(mysql_async::Error::Server(e)) => Some(e.code),
            _ => None,
        }
    }

    /// Deadlock or lock wait: the whole transaction may be run again (DESIGN 3.12: only these two).
    pub fn is_contention(&self) -> bool {
        matches!(self.server_code(), Some(ER_LOCK_DEADLOCK | ER_LOCK_WAIT_TIMEOUT))
    }

    /// A unique key refused the row; `Some(name)` is the key's name as the server gives it.
    pub fn duplicate_key(&self) -> Option<String> {
        match self {
            DbError::Server(mysql_async::Error::Server(e)) if e.code == ER_DUP_ENTRY => {
                Some(e.message.rsplit('\'').nth(1).unwrap_or_default().to_owned())
            }
            _ => None,
        }
    }

    /// The connection broke: whether a statement took effect is unknown.
    pub fn is_connection_lost(&self) -> bool {
        matches!(self, DbError::Server(mysql_async::Error::Io(_) | mysql_async::Error::Driver(_)))
    }
}
