//! What can go wrong between us and the database.

/// Server error codes we decide on (MariaDB and MySQL reference manuals, server error list).
const ER_DUP_ENTRY: u16 = 1062;
const ER_LOCK_WAIT_TIMEOUT: u16 = 1205;
const ER_LOCK_DEADLOCK: u16 = 1213;

/// What a server answers that does not serve now: too many connections, shutting down, read-only (1290, a failover's old
/// primary), and MariaDB's for a connection ended by the server (1927).
const ER_NOT_SERVING: [u16; 4] = [1040, 1053, 1290, 1927];

/// A text with letters that a column of ids cannot hold: compared with one (two or more collations), or put into one.
const ER_FOREIGN_TEXT: [u16; 4] = [1267, 1270, 1271, 1366];

/// The key that keeps one open job of a thing and agent. An attachment's has the same name and is refused before by a lock.
const OPEN_JOB_KEY: &str = "one_open";

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
    #[error("made before with the same key: {0}")]
    Repeated(String),
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

    /// Deadlock or lock wait: the whole transaction may be run again (DESIGN 3.12: only these two). And a job that another
    /// transaction has queued for the same thing since this one looked: a row that is not there cannot be locked, so the
    /// unique key tells of it, and run again this one finds it.
    pub fn is_contention(&self) -> bool {
        matches!(self.server_code(), Some(ER_LOCK_DEADLOCK | ER_LOCK_WAIT_TIMEOUT)) || self.is_overtaken()
    }

    /// The unique key of this name refused the row. The statement had no effect; its transaction goes on.
    pub fn is_duplicate(&self, key: &str) -> bool {
        // MariaDB names the key, MySQL 8.0 the table before it.
        self.duplicate_key().is_some_and(|found| found.rsplit('.').next() == Some(key))
    }

    fn is_overtaken(&self) -> bool {
        self.is_duplicate(OPEN_JOB_KEY)
    }

    /// A text of the request is not one that an id can be.
    pub fn is_foreign_text(&self) -> bool {
        self.server_code().is_some_and(|code| ER_FOREIGN_TEXT.contains(&code))
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

    /// The server does not serve now, or could not be reached.
    pub fn is_away(&self) -> bool {
        self.is_connection_lost()
            || matches!(self, DbError::PoolExhausted(_) | DbError::CommitLost)
            || self.server_code().is_some_and(|code| ER_NOT_SERVING.contains(&code))
    }

    /// The connection broke: whether a statement took effect is unknown.
    pub fn is_connection_lost(&self) -> bool {
        matches!(self, DbError::Server(mysql_async::Error::Io(_) | mysql_async::Error::Driver(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duplicate(key: &str) -> DbError {
        let message = format!("Duplicate entry 'hn-h1-hva.h1-1' for key '{key}'");
        mysql_async::Error::from(mysql_async::ServerError { code: ER_DUP_ENTRY, message, state: "23000".into() }).into()
    }

    #[test]
    fn a_text_that_no_id_can_be_is_told_from_a_defect() {
        let of = |code| {
            let error = mysql_async::ServerError { code, message: String::new(), state: "HY000".into() };
            DbError::from(mysql_async::Error::from(error)).is_foreign_text()
        };
        assert!(of(1267) && of(1366) && !of(1064));
    }

    #[test]
    fn a_job_queued_by_another_transaction_meanwhile_is_contention_and_a_name_taken_is_not() {
        // MariaDB names the key, MySQL 8.0 the table before it.
        assert!(duplicate("one_open").is_contention() && duplicate("jobs.one_open").is_contention());
        assert!(!duplicate("hostname").is_contention());
    }
}
