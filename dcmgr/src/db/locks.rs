//! Named locks of the server, for what no row stands for.

use super::{Db, DbError};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

/// Seconds a lock is waited for.
const WAIT_SECONDS: u32 = 5;

/// A lock and the connection that has it.
pub struct Held {
    connection: Conn,
    name: String,
}

/// Takes a lock of at most 64 characters; none when another has it for too long.
pub async fn hold(db: &Db, name: &str) -> Result<Option<Held>, DbError> {
    let mut connection = db.connection().await?;
    let got: Option<Option<i64>> = connection.exec_first("SELECT GET_LOCK(?, ?)", (name, WAIT_SECONDS)).await?;
    Ok((got.flatten() == Some(1)).then(|| Held { connection, name: name.to_owned() }))
}

impl Held {
    /// Gives the lock back. A connection that cannot say so is not used again: its end releases it.
    pub async fn release(mut self) {
        if self.connection.exec_drop("DO RELEASE_LOCK(?)", (&self.name,)).await.is_err() {
            let _ = self.connection.disconnect().await;
        }
    }
}
