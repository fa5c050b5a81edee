//! Snapshots that are behind at an agent that is heard, with no job open that would bring them forward.

use super::{Columns, Db, DbError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Network,
    Policy,
}

pub async fn behind(db: &Db) -> Result<Vec<(String, Kind)>, DbError> {
    // A service that is to serve a network no more has its place until it answered that.
    let statement = "SELECT n.id AS thing, 1 AS network FROM networks n JOIN naming_places p ON p.network_id = n.id \
        JOIN agents a ON a.id = p.agent_id AND a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND \
        LEFT JOIN facts f ON f.thing = n.id AND f.agent_id = a.id AND f.name = 'applied' AND f.value = 'yes' \
        LEFT JOIN jobs j ON j.thing = n.id AND j.agent_id = a.id AND j.open = 1 \
        WHERE j.id IS NULL AND (p.wanted = 0 OR n.deleted_at IS NOT NULL OR IFNULL(f.generation, 0) < n.version) \
        UNION ALL SELECT h.id, 0 FROM host_nodes h JOIN agents a ON a.id = h.agent_id \
        AND a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND \
        LEFT JOIN facts f ON f.thing = h.id AND f.agent_id = a.id AND f.name = 'applied' AND f.value = 'yes' \
        LEFT JOIN jobs j ON j.thing = h.id AND j.agent_id = a.id AND j.open = 1 \
        WHERE j.id IS NULL AND IFNULL(f.generation, 0) < h.policy_version ORDER BY thing LIMIT 100";
    let found = db.rows(statement, ()).await?;
    found
        .iter()
        .map(|row| Ok((row.text("thing")?, if row.flag("network")? { Kind::Network } else { Kind::Policy })))
        .collect()
}
