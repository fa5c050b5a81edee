//! The plans of the statements that dcmgr itself sends for a request, taken from the server's log of everything it is
//! asked, and the rows that each reads: what grows with the table shows in the count, which is checked.

use anyhow::{Context, ensure};
use arame_spec::processes::Processes;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row};
use std::time::Duration;

/// As `db/pool.rs` of dcmgr sets its sessions up.
const SESSION: &str = "SET SESSION optimizer_switch = 'index_merge_intersection=off'";

/// Far more than a page of 100 with all that belongs to each of its rows needs, far less than the table has.
const ROWS_MAX: u64 = 3_000;

/// A count (`total`) is believed for a second.
const BELIEVED: Duration = Duration::from_millis(1_200);

async fn root(center: &Processes) -> anyhow::Result<Conn> {
    let password = std::fs::read_to_string(center.path("secrets/db-root"))?;
    let options = OptsBuilder::default()
        .user(Some("root"))
        .pass(Some(password.trim()))
        .db_name(Some("arame"))
        .socket(Some(center.path("db/s.sock").display().to_string()));
    Ok(Conn::new(options).await?)
}

/// What dcmgr's sessions read while a request is answered.
///
/// The server writes a statement's values into the log only where the log was on when the statement was prepared, so dcmgr's
/// connections are ended first.
async fn statements(server: &mut Conn, center: &Processes, path: &str) -> anyhow::Result<Vec<String>> {
    server.query_drop("TRUNCATE TABLE mysql.general_log").await?;
    server.query_drop("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON").await?;
    let own: Vec<u64> = server.query("SELECT id FROM information_schema.processlist WHERE user LIKE 'arame%'").await?;
    for id in own {
        // It may have gone by itself.
        let _ = server.query_drop(format!("KILL {id}")).await;
    }
    let answered = center.get(path).await;
    server.query_drop("SET GLOBAL general_log = OFF").await?;
    answered?;
    let log = "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE command_type = 'Execute' \
               AND user_host LIKE 'arame%' AND argument LIKE 'SELECT%FROM instances i%'";
    let mut found: Vec<String> = server.query(log).await?;
    found.sort();
    found.dedup();
    Ok(found)
}

fn text(row: &mut Row, name: &str) -> String {
    row.take_opt::<Option<String>, _>(name).and_then(Result::ok).flatten().unwrap_or_else(|| "-".into())
}

/// `table type by key`, in the order in which they are read.
async fn plan(server: &mut Conn, statement: &str) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    for mut row in server.query::<Row, _>(format!("EXPLAIN {statement}")).await? {
        let (table, kind, key) = (text(&mut row, "table"), text(&mut row, "type"), text(&mut row, "key"));
        let sort = if text(&mut row, "Extra").contains("filesort") { ", sorted" } else { "" };
        lines.push(format!("{table} {kind} by {key}{sort}"));
    }
    Ok(lines.join("; "))
}

/// Rows and index entries that the server looks at to answer it.
async fn rows_read(server: &mut Conn, statement: &str) -> anyhow::Result<u64> {
    server.query_drop("FLUSH STATUS").await?;
    let _: Vec<Row> = server.query(statement).await?;
    let counts: Vec<(String, u64)> = server.query("SHOW SESSION STATUS LIKE 'Handler_read%'").await?;
    Ok(counts.into_iter().filter(|(name, _)| name != "Handler_read_retry").map(|(_, count)| count).sum())
}

/// Prints the plan of every statement about instances of a GET of one, and of a page from its beginning and behind another.
///
/// # Errors
/// One of them, but for the count of all, reads more than [`ROWS_MAX`] rows.
pub async fn show(center: &Processes, one: &str) -> anyhow::Result<()> {
    let mut server = root(center).await?;
    server.query_drop(SESSION).await?;
    let page = "/instances?limit=100";
    let behind = format!("{page}&after={one}");
    for (name, path) in [("get", format!("/instances/{one}")), ("page", page.to_owned()), ("behind", behind)] {
        tokio::time::sleep(BELIEVED).await;
        let sent = statements(&mut server, center, &path).await?;
        ensure!(
            sent.iter().any(|statement| statement.contains("FROM instances")),
            "{path}: nothing was read: {sent:?}"
        );
        for statement in sent {
            let is_count = statement.starts_with("SELECT COUNT(*)");
            let (plan, rows) = (plan(&mut server, &statement).await?, rows_read(&mut server, &statement).await?);
            let what = if is_count { "total" } else { name };
            println!("plan      {what:<6} {rows} rows read: {plan}");
            ensure!(is_count || rows <= ROWS_MAX, "{path}: {rows} rows are read by {statement}");
        }
    }
    server.disconnect().await.context("the server's connection")
}
