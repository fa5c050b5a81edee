//! Connections and the one transaction helper.

use super::DbError;
use super::lockstep::{self, Moment, Trouble};
use crate::rehearsal;
use mysql_async::prelude::{Queryable, StatementLike};
use mysql_async::{Conn, Opts, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts, Row, Transaction, TxOpts};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

mod embedded {
    refinery::embed_migrations!("../schema/migrations");
}

/// Runs of one write transaction before contention is reported to the caller. Eight runs with the pauses below are
/// about a second: longer than any queue of honest writers on one row here.
const RUNS_MAX: u32 = 8;

/// A caller waits this long for a connection. An exhausted pool of the driver itself waits for ever.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);

/// Connections of one dcmgr. Writers on one account queue on its row anyway; more would only queue in the server.
const CONNECTIONS_MAX: usize = 24;

/// Of them, those that may hold a transaction. Writers wait for each other's locks with their connections in hand; a
/// question must not wait for them.
const WRITERS_MAX: usize = 16;

#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub socket: Option<PathBuf>,
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub port: Option<u16>,
    pub user: String,
    pub password_file: PathBuf,
    pub name: String,
}

/// A pool of sessions, all set up alike. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pool: Pool,
    writers: Arc<Semaphore>,
}

/// An open transaction.
pub type Tx = Transaction<'static>;

impl Db {
    /// Opens the pool; connects lazily.
    ///
    /// # Errors
    /// The password file cannot be read.
    pub fn open(config: &Config) -> std::io::Result<Db> {
        let password = std::fs::read_to_string(&config.password_file)?.trim().to_owned();
        let constraints = PoolConstraints::new(0, CONNECTIONS_MAX).unwrap_or_default();
        let pool_opts = PoolOpts::default()
            .with_constraints(constraints)
            .with_inactive_connection_ttl(Duration::from_secs(60))
            .with_reset_connection(false);
        // Strict mode and UTC whatever the server's own settings are; limits so that nothing waits for ever.
        let setup = vec![
            "SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            // Intersecting two indexes of a large table reads both whole, where a page needs the end of one.
            "SET SESSION optimizer_switch = 'index_merge_intersection=off'",
            // A process that stops, or whose machine is gone, in the middle of a transaction must not keep its locks: the
            // server would wait for hours. MariaDB's own setting; MySQL has none like it and reads a remark.
            "SET innodb_lock_wait_timeout = 10 /*M!100300 , idle_transaction_timeout = 5 */",
        ];
        let mut opts = OptsBuilder::default()
            .user(Some(config.user.clone()))
            .pass(Some(password))
            .db_name(Some(config.name.clone()))
            .client_found_rows(true)
            .stmt_cache_size(200)
            .setup(setup)
            .pool_opts(pool_opts);
        opts = match &config.socket {
            Some(socket) => opts.socket(Some(socket.display().to_string())).prefer_socket(true),
            None => opts
                .ip_or_hostname(config.host.clone().unwrap_or_else(|| "127.0.0.1".into()))
                .tcp_port(config.port.unwrap_or(3306))
                // The driver would else ask the server for its socket and look for that path on this machine, where
                // another server may answer.
                .prefer_socket(false),
        };
        Ok(Db { pool: Pool::new(Opts::from(opts)), writers: Arc::new(Semaphore::new(WRITERS_MAX)) })
    }

    /// Brings the schema up to date. One dcmgr at a time: the migration tool itself has no lock.
    ///
    /// # Errors
    /// The server's, or a migration's.
    pub async fn migrate(&self) -> Result<(), DbError> {
        let mut guard = self.connection().await?;
        let got: Option<Row> = guard.query_first("SELECT GET_LOCK('arame.migrate', 60) AS got").await?;
        tracing::debug!(?got, "migration lock");
        let mut pool = self.pool.clone();
        let report = embedded::migrations::runner().run_async(&mut pool).await;
        guard.query_drop("DO RELEASE_LOCK('arame.migrate')").await?;
        for applied in report?.applied_migrations() {
            tracing::info!(migration = %applied, "schema migrated");
        }
        Ok(())
    }

    /// A connection for reads outside transactions.
    ///
    /// # Errors
    /// [`DbError::PoolExhausted`], or the server's.
    pub async fn connection(&self) -> Result<Conn, DbError> {
        let found = async { tokio::time::timeout(CONNECTION_WAIT, self.pool.get_conn()).await };
        match lockstep::settle(found).await {
            Ok(connection) => Ok(connection?),
            Err(_) => Err(DbError::PoolExhausted(CONNECTION_WAIT)),
        }
    }

    /// Rows of one statement, outside a transaction.
    ///
    /// # Errors
    /// The server's.
    pub async fn rows<S, P>(&self, statement: S, params: P) -> Result<Vec<Row>, DbError>
    where
        S: StatementLike,
        P: Into<Params> + Send,
    {
        lockstep::pause().await;
        if let Some(trouble) = lockstep::trouble(Moment::Read) {
            return Err(lockstep::error(trouble));
        }
        let mut connection = self.connection().await?;
        let number = connection.id();
        lockstep::set_clock(&mut connection, number).await?;
        // The connection goes back inside: its pool is in the same runtime.
        Ok(lockstep::settle(async move { connection.exec(statement, params).await }).await?)
    }

    /// Runs one statement outside a transaction; answers how many rows matched.
    ///
    /// # Errors
    /// The server's.
    pub async fn run<S, P>(&self, statement: S, params: P) -> Result<u64, DbError>
    where
        S: StatementLike,
        P: Into<Params> + Send,
    {
        lockstep::pause().await;
        if let Some(trouble) = lockstep::trouble(Moment::Read) {
            return Err(lockstep::error(trouble));
        }
        let mut connection = self.connection().await?;
        let number = connection.id();
        lockstep::set_clock(&mut connection, number).await?;
        let done = async move {
            connection.exec_drop(statement, params).await?;
            Ok::<_, mysql_async::Error>(connection.affected_rows())
        };
        Ok(lockstep::settle(done).await?)
    }

    /// Whether the server answers now.
    pub async fn answers(&self) -> bool {
        self.rows("SELECT 1 AS one", ()).await.is_ok()
    }

    async fn begin(&self) -> Result<(Tx, OwnedSemaphorePermit), DbError> {
        lockstep::pause().await;
        if let Some(trouble) = lockstep::trouble(Moment::Begin) {
            return Err(lockstep::error(trouble));
        }
        let place = tokio::time::timeout(CONNECTION_WAIT, self.writers.clone().acquire_owned()).await;
        // Nobody closes the semaphore.
        let Ok(Ok(place)) = place else { return Err(DbError::PoolExhausted(CONNECTION_WAIT)) };
        let begun =
            async { tokio::time::timeout(CONNECTION_WAIT, self.pool.start_transaction(TxOpts::default())).await };
        let mut tx = match lockstep::settle(begun).await {
            Ok(tx) => tx?,
            Err(_) => return Err(DbError::PoolExhausted(CONNECTION_WAIT)),
        };
        let number = tx.id();
        lockstep::set_clock(&mut tx, number).await?;
        lockstep::opened();
        Ok((tx, place))
    }

    /// The runs of one write transaction; used by [`transact!`](crate::transact), which is the way to write.
    pub fn attempts(&self, name: &'static str, request: Option<Uuid>) -> Attempts<'_> {
        Attempts { db: self, name, request, run: 1, place: None }
    }

    async fn happened(&self, request: Option<Uuid>) -> Result<bool, DbError> {
        let Some(request) = request else { return Ok(false) };
        let found = self.rows("SELECT 1 AS one FROM audit_log WHERE request_id = ?", (request.to_string(),)).await?;
        Ok(!found.is_empty())
    }

    pub async fn close(self) {
        let _ = self.pool.disconnect().await;
    }
}

/// Runs a body in a transaction and commits when it answers `Ok`. The body is run again, whole, on deadlock or lock
/// wait only; nothing but SQL may happen inside. `request` resolves a connection lost during COMMIT: the body wrote it
/// to `audit_log`, and finding it there means the commit happened. A loop and not a function that takes a closure: a
/// future that borrows a transaction from an async closure's argument cannot be proved `Send`.
#[macro_export]
macro_rules! transact {
    ($db:expr, $name:expr, $request:expr, $error:ty, |$tx:ident| $body:block) => {{
        let mut attempts = $db.attempts($name, $request);
        loop {
            let mut open = match attempts.begin().await {
                Ok(open) => open,
                Err(error) => break Err(<$error>::from(error)),
            };
            let result: Result<_, $error> = async {
                let $tx: &mut $crate::db::Tx = &mut open;
                $body
            }
            .await;
            if let std::ops::ControlFlow::Break(result) = attempts.end(open, result).await {
                break result;
            }
        }
    }};
}

/// See [`Db::attempts`].
pub struct Attempts<'a> {
    db: &'a Db,
    name: &'static str,
    request: Option<Uuid>,
    run: u32,
    /// Held while its transaction is open.
    place: Option<OwnedSemaphorePermit>,
}

impl Attempts<'_> {
    /// # Errors
    /// [`DbError::PoolExhausted`], or the server's.
    pub async fn begin(&mut self) -> Result<Tx, DbError> {
        let (tx, place) = self.db.begin().await?;
        self.place = Some(place);
        Ok(tx)
    }

    /// Commits or rolls back. `Continue`: run the body again.
    pub async fn end<T, E>(&mut self, tx: Tx, result: Result<T, E>) -> ControlFlow<Result<T, E>>
    where
        E: From<DbError> + Contended,
    {
        lockstep::closed();
        let place = self.place.take();
        match result {
            Ok(value) => match self.commit(tx).await {
                Ok(()) => return ControlFlow::Break(Ok(value)),
                Err(error) if error.is_connection_lost() => {
                    return ControlFlow::Break(match self.db.happened(self.request).await {
                        Ok(true) => Ok(value),
                        _ => Err(DbError::CommitLost.into()),
                    });
                }
                Err(error) if error.is_contention() && self.run < RUNS_MAX => {}
                Err(error) => return ControlFlow::Break(Err(error.into())),
            },
            Err(error) => {
                // Dropping rolls back when the connection is used next; the locks must go now.
                let _ = lockstep::settle(tx.rollback()).await;
                if !error.is_contended() || self.run >= RUNS_MAX {
                    return ControlFlow::Break(Err(error));
                }
            }
        }
        drop(place);
        let pause = rehearsal::random_range(2..20) * u64::from(self.run);
        tracing::debug!(transaction = self.name, run = self.run, pause_ms = pause, "contention: running it again");
        metrics::counter!("arame_transactions_run_again_total").increment(1);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        self.run += 1;
        ControlFlow::Continue(())
    }

    async fn commit(&self, tx: Tx) -> Result<(), DbError> {
        rehearsal::note(|| format!("commit {}", self.name));
        match lockstep::trouble(Moment::Commit) {
            None => Ok(lockstep::settle(tx.commit()).await?),
            Some(trouble @ Trouble::LostAfterCommit) => {
                lockstep::settle(tx.commit()).await?;
                Err(lockstep::error(trouble))
            }
            Some(trouble @ (Trouble::Lost | Trouble::Deadlock)) => {
                let _ = lockstep::settle(tx.rollback()).await;
                Err(lockstep::error(trouble))
            }
        }
    }
}

/// An error that may wrap the database's contention.
pub trait Contended {
    fn is_contended(&self) -> bool;
}

impl Contended for DbError {
    fn is_contended(&self) -> bool {
        self.is_contention()
    }
}

/// Rows of a statement inside a transaction.
///
/// # Errors
/// The server's.
pub async fn rows<S, P>(tx: &mut Tx, statement: S, params: P) -> Result<Vec<Row>, DbError>
where
    S: StatementLike,
    P: Into<Params> + Send,
{
    Ok(lockstep::settle(tx.exec(statement, params)).await?)
}

/// The first row, if any.
///
/// # Errors
/// The server's.
pub async fn first<S, P>(tx: &mut Tx, statement: S, params: P) -> Result<Option<Row>, DbError>
where
    S: StatementLike,
    P: Into<Params> + Send,
{
    let found: Vec<Row> = lockstep::settle(tx.exec(statement, params)).await?;
    Ok(found.into_iter().next())
}

/// Runs a statement; answers how many rows matched (`client_found_rows`).
///
/// # Errors
/// The server's.
pub async fn run<S, P>(tx: &mut Tx, statement: S, params: P) -> Result<u64, DbError>
where
    S: StatementLike,
    P: Into<Params> + Send,
{
    lockstep::settle(tx.exec_drop(statement, params)).await?;
    Ok(tx.affected_rows())
}

/// Runs an UPDATE that tells a number by `LAST_INSERT_ID(…)`; 0 when no row matched.
///
/// # Errors
/// The server's.
pub async fn count<S, P>(tx: &mut Tx, statement: S, params: P) -> Result<u64, DbError>
where
    S: StatementLike,
    P: Into<Params> + Send,
{
    lockstep::settle(tx.exec_drop(statement, params)).await?;
    Ok(if tx.affected_rows() == 0 { 0 } else { tx.last_insert_id().unwrap_or(0) })
}
