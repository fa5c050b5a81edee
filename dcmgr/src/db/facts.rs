//! Facts: rows keyed (thing, agent, name). An older observation never wins; maybe is written by the planner's own
//! transaction and keeps the order of the last observation.

use super::pool::{first, rows, run};
use super::{Columns, DbError, Tx};
use crate::rehearsal::{self, Sabotage};
use arame_schema::jobs::report::FactReport;
use arame_schema::model::{Fact, FactName, Observation};
use serde_json::Value;

#[derive(Debug, Clone)]
pub struct FactRow {
    pub thing: String,
    pub agent: String,
    pub name: FactName,
    pub value: Fact,
    pub generation: u64,
    pub observed: Observation,
    pub detail: Option<Value>,
}

fn read(row: &mysql_async::Row) -> Result<FactRow, DbError> {
    let name = row.text("name")?;
    let value = row.text("value")?;
    Ok(FactRow {
        thing: row.text("thing")?,
        agent: row.text("agent_id")?,
        name: FactName::parse(&name).ok_or_else(|| super::row::strange("name", name))?,
        value: Fact::parse(&value).ok_or_else(|| super::row::strange("value", value))?,
        generation: row.col("generation")?,
        observed: Observation { incarnation: row.col("incarnation")?, seq: row.col("observed")? },
        detail: row.json_opt("detail")?,
    })
}

const COLUMNS: &str = "thing, agent_id, name, value, generation, incarnation, observed, detail";

/// Facts of one thing, at every agent.
pub async fn of_thing(tx: &mut Tx, thing: &str) -> Result<Vec<FactRow>, DbError> {
    let found = rows(tx, format!("SELECT {COLUMNS} FROM facts WHERE thing = ?"), (thing,)).await?;
    found.iter().map(read).collect()
}

/// What is known of an instance beside its row, by one question: a launch asks for it again and again.
#[derive(Debug)]
pub struct OfInstance {
    pub facts: Vec<FactRow>,
    pub may_move: bool,
    pub may_have_attachments: bool,
    /// It has an interface that came after its launch, or one that leaves.
    pub may_change_interfaces: bool,
}

/// The facts of an instance at every agent, and whether it is worth asking for its move and its open attachments. The
/// instance's row is locked.
pub async fn of_instance(tx: &mut Tx, instance: &str) -> Result<OfInstance, DbError> {
    let statement = format!(
        "SELECT {COLUMNS}, (SELECT 1 FROM instance_moves m WHERE m.instance_id = facts.thing LIMIT 1) AS moves, \
         (SELECT 1 FROM attachments t WHERE t.instance_id = facts.thing AND t.open = 1 LIMIT 1) AS attached, \
         (SELECT 1 FROM network_vifs v WHERE v.instance_id = facts.thing AND v.deleted_at IS NULL \
          AND (v.leaving = 1 OR v.asked_generation <> 1) LIMIT 1) AS interfaces \
         FROM facts WHERE thing = ?"
    );
    let found = rows(tx, statement, (instance,)).await?;
    let facts = found.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    // Without a fact nothing was told of the others.
    let may = |name| found.first().map_or(Ok(true), |row| Ok::<_, DbError>(row.col::<Option<u8>>(name)?.is_some()));
    Ok(OfInstance {
        facts,
        may_move: may("moves")?,
        may_have_attachments: may("attached")?,
        may_change_interfaces: may("interfaces")?,
    })
}

/// Facts of several things at once, at every agent.
pub async fn of_things(tx: &mut Tx, things: &[&str]) -> Result<Vec<FactRow>, DbError> {
    if things.is_empty() {
        return Ok(Vec::new());
    }
    let places = vec!["?"; things.len()].join(", ");
    let statement = format!("SELECT {COLUMNS} FROM facts WHERE thing IN ({places})");
    let values = mysql_async::Params::Positional(things.iter().map(|thing| (*thing).into()).collect());
    rows(tx, statement, values).await?.iter().map(read).collect()
}

/// Facts kept for one agent.
pub async fn of_agent(tx: &mut Tx, agent: &str) -> Result<Vec<FactRow>, DbError> {
    let found = rows(tx, format!("SELECT {COLUMNS} FROM facts WHERE agent_id = ?"), (agent,)).await?;
    found.iter().map(read).collect()
}

/// One fact's value; no row is no.
pub async fn value(tx: &mut Tx, thing: &str, agent: &str, name: FactName) -> Result<(Fact, u64), DbError> {
    let statement = "SELECT value, generation FROM facts WHERE thing = ? AND agent_id = ? AND name = ?";
    let Some(row) = first(tx, statement, (thing, agent, name.as_str())).await? else { return Ok((Fact::No, 0)) };
    let text = row.text("value")?;
    Ok((Fact::parse(&text).ok_or_else(|| super::row::strange("value", text))?, row.col("generation")?))
}

/// One fact with all that was told of it.
pub async fn find(tx: &mut Tx, thing: &str, agent: &str, name: FactName) -> Result<Option<FactRow>, DbError> {
    let statement = format!("SELECT {COLUMNS} FROM facts WHERE thing = ? AND agent_id = ? AND name = ?");
    first(tx, statement, (thing, agent, name.as_str())).await?.as_ref().map(read).transpose()
}

/// Writes maybe, before the job that will touch the fact is queued (DESIGN 3.4).
pub async fn set_maybe(tx: &mut Tx, thing: &str, agent: &str, name: FactName) -> Result<(), DbError> {
    if rehearsal::sabotaged(Sabotage::DropMaybe) {
        return Ok(());
    }
    let statement = "INSERT INTO facts (thing, agent_id, name, value, updated_at) VALUES (?, ?, ?, 'maybe', UTC_TIMESTAMP(3)) \
                     ON DUPLICATE KEY UPDATE value = 'maybe', updated_at = UTC_TIMESTAMP(3)";
    run(tx, statement, (thing, agent, name.as_str())).await?;
    Ok(())
}

/// Writes what an agent saw, if it is the newest observation. Answers whether it was written.
pub async fn observe(tx: &mut Tx, agent: &str, report: &FactReport) -> Result<bool, DbError> {
    let (incarnation, seq) = (report.observed.incarnation, report.observed.seq);
    let held = first(
        tx,
        "SELECT incarnation, observed FROM facts WHERE thing = ? AND agent_id = ? AND name = ? FOR UPDATE",
        (&report.thing, agent, report.name.as_str()),
    )
    .await?;
    if let Some(row) = held {
        let held = Observation { incarnation: row.col("incarnation")?, seq: row.col("observed")? };
        if held > report.observed && !rehearsal::sabotaged(Sabotage::BelieveOlderObservations) {
            return Ok(false);
        }
    }
    let detail = report.detail.as_ref().map(Value::to_string);
    let statement = "INSERT INTO facts (thing, agent_id, name, value, generation, incarnation, observed, detail, updated_at) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3)) \
                     ON DUPLICATE KEY UPDATE value = VALUES(value), generation = VALUES(generation), \
                     incarnation = VALUES(incarnation), observed = VALUES(observed), detail = VALUES(detail), \
                     updated_at = VALUES(updated_at)";
    let values = (
        &report.thing,
        agent,
        report.name.as_str(),
        report.value.as_str(),
        report.generation,
        incarnation,
        seq,
        detail,
    );
    run(tx, statement, values).await?;
    Ok(true)
}

/// Applied snapshots of an agent are unknown after its hello: its process may have lost them.
pub async fn forget_applied(tx: &mut Tx, agent: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM facts WHERE agent_id = ? AND name = 'applied'", (agent,)).await?;
    Ok(())
}

/// One fact of a thing, at every agent.
pub async fn forget(tx: &mut Tx, thing: &str, name: FactName) -> Result<(), DbError> {
    run(tx, "DELETE FROM facts WHERE thing = ? AND name = ?", (thing, name.as_str())).await?;
    Ok(())
}

/// A fact settled by decision (a closed attachment, a declared loss), not by observation.
pub async fn forget_thing(tx: &mut Tx, thing: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM facts WHERE thing = ?", (thing,)).await?;
    Ok(())
}
