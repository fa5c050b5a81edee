//! What the audit compares inventories with.

use super::{Columns, Db, DbError};
use arame_schema::api::{Finding, FindingKind, FindingRule};
use std::collections::BTreeSet;

/// Ids of everything a thing may belong to: still wanted, or ended.
#[derive(Debug, Default)]
pub struct Things {
    pub alive: BTreeSet<String>,
    pub ended: BTreeSet<String>,
}

pub async fn things(db: &Db) -> Result<Things, DbError> {
    let statement = "SELECT id, terminated_at IS NULL AS alive FROM instances \
        UNION ALL SELECT id, deleted_at IS NULL FROM network_vifs \
        UNION ALL SELECT id, deleted_at IS NULL FROM volumes \
        UNION ALL SELECT id, open IS NOT NULL FROM attachments \
        UNION ALL SELECT id, deleted_at IS NULL FROM images \
        UNION ALL SELECT id, 1 FROM networks UNION ALL SELECT id, 1 FROM host_nodes UNION ALL SELECT id, 1 FROM storage_nodes";
    let mut things = Things::default();
    for row in db.rows(statement, ()).await? {
        let id = row.text("id")?;
        if row.flag("alive")? {
            things.alive.insert(id)
        } else {
            things.ended.insert(id)
        };
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
        'deleting') AND v.state_since < UTC_TIMESTAMP(3) - INTERVAL 20 MINUTE))";
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
