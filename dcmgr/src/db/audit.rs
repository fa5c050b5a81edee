//! What the audit compares inventories with, and what it shows beside them.

use super::{Columns, Db, DbError};
use arame_schema::api::Timestamp;
use arame_schema::api::{Finding, FindingKind, FindingRule};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Characters kept of each word of a message that was put aside.
const DEAD_TEXT_MAX: usize = 63;

/// Ids of everything a thing may belong to: still wanted, or ended.
#[derive(Debug, Default)]
pub struct Things {
    pub alive: BTreeSet<String>,
    /// With the moment they ended: a listing from before says nothing against them.
    pub ended: BTreeMap<String, Timestamp>,
}

pub async fn things(db: &Db) -> Result<Things, DbError> {
    let statement = "SELECT id, terminated_at AS ended FROM instances \
        UNION ALL SELECT id, deleted_at FROM network_vifs \
        UNION ALL SELECT id, deleted_at FROM volumes \
        UNION ALL SELECT id, deleted_at FROM volume_snapshots \
        UNION ALL SELECT id, deleted_at FROM snapshot_replicas \
        UNION ALL SELECT id, closed_at FROM attachments \
        UNION ALL SELECT id, deleted_at FROM backup_objects \
        UNION ALL SELECT id, deleted_at FROM images \
        UNION ALL SELECT id, deleted_at FROM networks UNION ALL SELECT id, NULL FROM host_nodes UNION ALL SELECT id, NULL FROM storage_nodes";
    let mut things = Things::default();
    for row in db.rows(statement, ()).await? {
        let id = row.text("id")?;
        match row.time_opt("ended")? {
            None => drop(things.alive.insert(id)),
            Some(ended) => drop(things.ended.insert(id, ended)),
        }
    }
    Ok(things)
}

/// Rows whose facts differ from the wish although nothing is under way, and rows that failed or are lost.
pub async fn unsettled(db: &Db) -> Result<Vec<Finding>, DbError> {
    let statement = "SELECT i.id, i.state, i.state_since, i.host_node_id AS place, i.failure_code FROM instances i \
        WHERE i.terminated_at IS NULL AND (i.state = 'failed' OR (i.state IN ('pending', 'initializing', 'starting', 'migrating', 'halting', \
        'shuttingdown') AND i.state_since < UTC_TIMESTAMP(3) - INTERVAL 20 MINUTE)) \
        UNION ALL SELECT v.id, v.state, v.state_since, v.storage_node_id, v.failure_code FROM volumes v \
        WHERE v.deleted_at IS NULL AND (v.state IN ('failed', 'lost') OR (v.state IN ('creating', 'attaching', 'detaching', \
        'reverting', 'deleting') AND v.state_since < UTC_TIMESTAMP(3) - INTERVAL 20 MINUTE)) \
        UNION ALL SELECT p.id, p.state, p.state_since, p.storage_node_id, p.failure_code FROM volume_snapshots p \
        WHERE p.deleted_at IS NULL AND (p.state IN ('failed', 'lost') OR (p.state IN ('creating', 'deleting') \
        AND p.state_since < UTC_TIMESTAMP(3) - INTERVAL 20 MINUTE)) \
        UNION ALL SELECT r.id, r.state, r.state_since, r.storage_node_id, r.failure_code FROM snapshot_replicas r \
        WHERE r.deleted_at IS NULL AND (r.state IN ('failed', 'lost') OR (r.state = 'deleting' \
        AND r.state_since < UTC_TIMESTAMP(3) - INTERVAL 20 MINUTE)) \
        UNION ALL SELECT o.id, o.state, o.state_since, o.storage_node_id, o.failure_code FROM backup_objects o \
        WHERE o.deleted_at IS NULL AND o.storage_node_id IS NOT NULL AND (o.state IN ('failed', 'lost') \
        OR (o.state = 'deleting' AND o.state_since < UTC_TIMESTAMP(3) - INTERVAL 20 MINUTE))";
    let found = db.rows(statement, ()).await?;
    found
        .iter()
        .map(|row| {
            let (id, state) = (row.text("id")?, row.text("state")?);
            let kind = if state == "lost" { FindingKind::Lost } else { FindingKind::Mismatch };
            let ended = ["lost", "failed"].contains(&state.as_str());
            let code: Option<String> = row.col("failure_code")?;
            let place: Option<String> = row.col("place")?;
            Ok(Finding {
                id: format!("{}/-/{id}", kind.as_str()),
                kind,
                thing: id.clone(),
                agent: place,
                owner: Some(id),
                since: row.time("state_since")?,
                rule: if ended { FindingRule::OwnerDeletes } else { FindingRule::Waiting },
                sentence: String::new(),
                next_step: String::new(),
                detail: serde_json::json!({ "state": state, "failure": code }),
            })
        })
        .collect()
}

/// How long a message that was put aside is shown, and how many of them at most are kept.
const DEAD_HOURS: u32 = 24;
const DEAD_MAX: u32 = 1_000;

/// The head of a message that the broker put aside; its body is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadMessage {
    pub id: Uuid,
    pub queue: String,
    pub agent: String,
    pub kind: String,
    pub thing: String,
}

/// Notes it; what is old, or more than can be kept, is forgotten.
pub async fn note_dead(db: &Db, dead: &DeadMessage) -> Result<(), DbError> {
    let cut = |text: &str| text.chars().take(DEAD_TEXT_MAX).collect::<String>();
    let insert = "INSERT INTO dead_messages (id, put_aside_at, queue, agent_id, kind, thing) \
        VALUES (?, UTC_TIMESTAMP(3), ?, ?, ?, ?) ON DUPLICATE KEY UPDATE put_aside_at = VALUES(put_aside_at)";
    let values = (dead.id.to_string(), cut(&dead.queue), cut(&dead.agent), cut(&dead.kind), cut(&dead.thing));
    db.run(insert, values).await?;
    let old = "DELETE FROM dead_messages WHERE put_aside_at < UTC_TIMESTAMP(3) - INTERVAL ? HOUR \
        OR put_aside_at < (SELECT put_aside_at FROM (SELECT put_aside_at FROM dead_messages \
        ORDER BY put_aside_at DESC LIMIT 1 OFFSET ?) newest)";
    db.run(old, (DEAD_HOURS, DEAD_MAX)).await?;
    Ok(())
}

/// What was put aside within the last day.
pub async fn dead(db: &Db) -> Result<Vec<Finding>, DbError> {
    let statement = "SELECT id, put_aside_at, queue, agent_id, kind, thing FROM dead_messages \
        WHERE put_aside_at >= UTC_TIMESTAMP(3) - INTERVAL ? HOUR";
    let kind = FindingKind::DeadMessage;
    let finding = |row: &mysql_async::Row| {
        let agent = row.text("agent_id")?;
        Ok(Finding {
            id: format!("{}/{agent}/{}", kind.as_str(), row.text("id")?),
            kind,
            thing: format!("{} {}", row.text("kind")?, row.text("thing")?).trim().to_owned(),
            agent: Some(agent),
            owner: None,
            since: row.time("put_aside_at")?,
            rule: FindingRule::ToldAgain,
            sentence: String::new(),
            next_step: String::new(),
            detail: serde_json::json!({ "message": row.text("id")?, "queue": row.text("queue")? }),
        })
    };
    db.rows(statement, (DEAD_HOURS,)).await?.iter().map(finding).collect()
}

/// Now, by the database's clock.
pub async fn now(db: &Db) -> Result<Timestamp, DbError> {
    let found = db.rows("SELECT UTC_TIMESTAMP(3) AS now", ()).await?;
    found.first().ok_or_else(|| super::row::strange("now", "no row"))?.time("now")
}
