//! dcmgr's sessions at a real server: where they go, and what becomes of one that stops in the middle.
//!
//! The positive control of each is in the same test: the lock is seen to hold, the socket is seen to be offered.

use anyhow::{Context, ensure};
use arame_dcmgr::db::{Db, DbError, jobs};
use arame_spec::database::{Database, is_installed};
use mysql_async::TxOpts;
use mysql_async::prelude::Queryable;
use std::time::{Duration, Instant};

/// The server ends an idle transaction after 5 s; less than the 10 s after which a waiting statement gives up.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(9);

fn lacks_mariadb() -> bool {
    if !is_installed() {
        arame_framework::testkit::skip("mariadb");
    }
    !is_installed()
}

#[tokio::test]
async fn a_transaction_that_stops_in_the_middle_gives_its_locks_back() -> anyhow::Result<()> {
    if lacks_mariadb() {
        return Ok(());
    }
    let server = Database::start().await?;
    let db = Db::open(&server.create("stopped").await?)?;
    let mut setup = db.connection().await?;
    setup.query_drop("CREATE TABLE things (id INT PRIMARY KEY, n INT) ENGINE=InnoDB").await?;
    setup.query_drop("INSERT INTO things VALUES (1, 0)").await?;
    let mut stopped = db.connection().await?;
    let mut open = stopped.start_transaction(TxOpts::default()).await?;
    open.query_drop("UPDATE things SET n = 1 WHERE id = 1").await?;
    let mut other = db.connection().await?;
    other.query_drop("SET innodb_lock_wait_timeout = 1").await?;
    let refused = other.query_drop("UPDATE things SET n = 2 WHERE id = 1").await;
    ensure!(refused.is_err(), "the control: the row is locked");
    other.query_drop("SET innodb_lock_wait_timeout = 10").await?;
    let began = Instant::now();
    other.query_drop("UPDATE things SET n = 2 WHERE id = 1").await.context("the lock is kept for ever")?;
    ensure!(began.elapsed() < GIVEN_BACK_WITHIN, "the lock was kept for {:?}", began.elapsed());
    let kept: Option<i64> = other.query_first("SELECT n FROM things").await?;
    ensure!(kept == Some(2), "what was not committed is rolled back");
    ensure!(open.query_drop("SELECT 1").await.is_err(), "who comes back finds the transaction gone");
    Ok(())
}

#[tokio::test]
async fn a_job_rung_before_the_clock_was_set_back_does_not_wait_for_it() -> anyhow::Result<()> {
    if lacks_mariadb() {
        return Ok(());
    }
    let server = Database::start().await?;
    let db = Db::open(&server.create("clock").await?)?;
    db.migrate().await?;
    let mut connection = db.connection().await?;
    // Rung a moment ago and due later: the controls. Written five minutes ahead: the clock was set back since.
    let jobs = [("rung", 0, 0), ("later", 30, -300), ("ahead-rung", 0, 300), ("ahead-due", 300, 300)];
    for (thing, due, rung) in jobs {
        let id = uuid::Uuid::now_v7().to_string();
        let statement = format!(
            "INSERT INTO jobs (id, kind, thing, agent_id, generation, state, not_before, rung_at, rings, deadline, created_at) \
             VALUES ('{id}', 'hva.instance.apply', '{thing}', 'hva.h1', 1, 'open', UTC_TIMESTAMP(3) + INTERVAL {due} SECOND, \
             UTC_TIMESTAMP(3) + INTERVAL {rung} SECOND, 1, UTC_TIMESTAMP(3) + INTERVAL 900 SECOND, UTC_TIMESTAMP(3))"
        );
        connection.query_drop(statement).await?;
    }
    let claimed = arame_dcmgr::transact!(db, "claim", None, DbError, |tx| { jobs::claim_due(tx, 10_000, 10).await })?;
    let things: Vec<&str> = claimed.iter().map(|job| job.thing.as_str()).collect();
    ensure!(things == ["ahead-rung", "ahead-due"], "claimed were {things:?}");
    Ok(())
}

#[tokio::test]
async fn a_server_named_by_host_and_port_is_not_looked_for_behind_a_socket_of_this_machine() -> anyhow::Result<()> {
    if lacks_mariadb() {
        return Ok(());
    }
    let server = Database::start_with_port().await?;
    let (by_port, by_socket) = (server.create_by_port("port").await?, server.create("socket").await?);
    let from =
        "SELECT SUBSTRING_INDEX(host, ':', 1) AS host FROM information_schema.processlist WHERE id = CONNECTION_ID()";
    for (config, expected) in [(by_socket, "localhost"), (by_port, "127.0.0.1")] {
        let host: Option<String> = Db::open(&config)?.connection().await?.query_first(from).await?;
        ensure!(host.as_deref() == Some(expected), "{config:?} came from {host:?}");
    }
    Ok(())
}
