//! What every run of a campaign shares: a private MariaDB in memory, and connections in a runtime of their own.
//!
//! Rule: a run begins with the same rows: every table but the migrations' is emptied. Queries of the kit block the
//! calling thread and take no virtual time.

use crate::database::Database;
use anyhow::Context;
use arame_dcmgr::db::Db;
use arame_dcmgr::db::lockstep::block_on;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row, Value};
use std::sync::{Mutex, PoisonError};
use tokio::runtime::{Builder, Handle, Runtime};

pub struct Machine {
    db: Db,
    own: Mutex<Option<Conn>>,
    tables: Vec<Table>,
    // Ended in this order: connections, server, runtime.
    _database: Database,
    connections: Runtime,
}

struct Table {
    name: String,
    /// All but the auto-increment number, which goes on from run to run.
    columns: String,
}

impl Machine {
    /// # Errors
    /// The database does not come up.
    pub fn start() -> anyhow::Result<Machine> {
        let connections = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let started = connections.block_on(async {
            let database = Database::start_in_memory().await?;
            let config = database.create("arame").await?;
            let db = Db::open(&config)?;
            db.migrate().await?;
            let socket = config.socket.context("it listens on a socket")?.display().to_string();
            let opts = OptsBuilder::default().user(Some("root")).db_name(Some(config.name)).socket(Some(socket));
            let mut own = Conn::new(opts.prefer_socket(true)).await?;
            let tables = tables(&mut own).await?;
            anyhow::Ok((database, db, own, tables))
        });
        let (database, db, own, tables) = started?;
        Ok(Machine { db, own: Mutex::new(Some(own)), tables, _database: database, connections })
    }

    /// dcmgr's sessions.
    pub fn db(&self) -> Db {
        self.db.clone()
    }

    pub fn connections(&self) -> Handle {
        self.connections.handle().clone()
    }

    /// Rows of one statement, now, each column as text; NULL is a tilde.
    ///
    /// # Errors
    /// The server's.
    pub fn rows(&self, statement: &str) -> anyhow::Result<Vec<Vec<String>>> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let own = own.as_mut().context("the kit's session is open")?;
        let rows: Vec<Row> = block_on(self.connections.handle(), own.query(statement))?;
        Ok(rows.into_iter().map(|row| row.unwrap().iter().map(text).collect()).collect())
    }

    /// The columns of each row in one line.
    ///
    /// # Errors
    /// The server's.
    pub fn lines(&self, statement: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.rows(statement)?.into_iter().map(|row| row.join(" ")).collect())
    }

    /// # Errors
    /// The server's, or no number.
    pub fn number(&self, statement: &str) -> anyhow::Result<u64> {
        let rows = self.rows(statement)?;
        let text = rows.first().and_then(|row| row.first()).context("a number was asked for")?;
        Ok(text.parse()?)
    }

    /// Empties the database for the next run.
    ///
    /// # Errors
    /// The server's.
    pub fn reset(&self) -> anyhow::Result<()> {
        for table in &self.tables {
            self.rows(&format!("DELETE FROM {}", table.name))?;
        }
        Ok(())
    }

    /// Everything in the database, as lines that do not depend on the runs before.
    ///
    /// # Errors
    /// The server's.
    pub fn dump(&self) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for table in &self.tables {
            let rows = self.lines(&format!("SELECT {} FROM {}", table.columns, table.name))?;
            lines.extend(rows.into_iter().map(|line| format!("{}: {line}", table.name)));
        }
        lines.sort();
        Ok(lines)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _inside = self.connections.enter();
        drop(own);
    }
}

async fn tables(own: &mut Conn) -> anyhow::Result<Vec<Table>> {
    let statement = "SELECT table_name, GROUP_CONCAT(column_name ORDER BY ordinal_position) \
                     FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name <> 'seq' \
                     AND table_name NOT LIKE 'refinery%' GROUP BY table_name ORDER BY table_name";
    let found: Vec<(String, String)> = own.query(statement).await?;
    Ok(found.into_iter().map(|(name, columns)| Table { name, columns }).collect())
}

/// A value of the text protocol.
fn text(value: &Value) -> String {
    match value {
        Value::NULL => "~".to_owned(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => other.as_sql(true),
    }
}
