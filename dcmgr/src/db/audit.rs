//! What the audit compares inventories with.

use super::{Columns, Db, DbError};
use arame_schema::api::Timestamp;
use arame_schema::api::{Finding, FindingKind, FindingRule};
use std::collections::{BTreeMap, BTreeSet};

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
        UNION ALL SELECT id, closed_at FROM attachments \
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
        WHERE i.terminated_at IS NULL AND (i.state = 'failed' OR (i.state IN ('pending', 'initializing', 'starting', 'halting', \
        'shuttingdown') AND i.state_since < UTC_TIMESTAMP(3) - INTERVAL 20 MINUTE)) \
        UNION ALL SELECT v.id, v.state, v.state_since, v.storage_node_id, v.failure_code FROM volumes v \
        WHERE v.deleted_at IS NULL AND (v.state IN ('failed', 'lost') OR (v.state IN ('creating', 'attaching', 'detaching', \
        'reverting', 'deleting') AND v.state_since < UTC_TIMESTAMP(3) - INTERVAL 20 MINUTE)) \
        UNION ALL SELECT p.id, p.state, p.state_since, p.storage_node_id, p.failure_code FROM volume_snapshots p \
        WHERE p.deleted_at IS NULL AND (p.state IN ('failed', 'lost') OR (p.state IN ('creating', 'deleting') \
        AND p.state_since < UTC_TIMESTAMP(3) - INTERVAL 20 MINUTE))";
    let found = db.rows(statement, ()).await?;
    found
        .iter()
        .map(|row| {
            let (id, state) = (row.text("id")?, row.text("state")?);
            let kind = if state == "lost" { FindingKind::Lost } else { FindingKind::Mismatch };
            let code: Option<String> = row.col("failure_code")?;
            let place: Option<String> = row.col("place")?;
            Ok(Finding {
                id: format!("{}/-/{id}", kind.as_str()),
                kind,
                thing: id.clone(),
                agent: place,
                owner: Some(id),
                since: row.time("state_since")?,
                rule: FindingRule::OperatorDecides,
                sentence: String::new(),
                next_step: String::new(),
                detail: serde_json::json!({ "state": state, "failure": code }),
            })
        })
        .collect()
}

/// Now, by the database's clock.
pub async fn now(db: &Db) -> Result<Timestamp, DbError> {
    let found = db.rows("SELECT UTC_TIMESTAMP(3) AS now", ()).await?;
    found.first().ok_or_else(|| super::row::strange("now", "no row"))?.time("now")
}
