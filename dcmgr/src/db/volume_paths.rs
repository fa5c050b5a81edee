//! What is known of the way from a guest to the disk of its volume, at one moment.

use super::{Columns, Db, DbError};
use arame_schema::model::Fact;
use std::collections::BTreeMap;

/// A volume in the store, and its open attachment.
#[derive(Debug, Clone)]
pub struct PathRow {
    pub key: String,
    pub was_present: bool,
    pub storage_node: String,
    pub attachment: Option<AttachedRow>,
}

#[derive(Debug, Clone)]
pub struct AttachedRow {
    pub id: String,
    pub instance: String,
    pub epoch: u64,
    pub wanted: bool,
    pub forced: bool,
    pub fencing: bool,
    /// On the instance's host.
    pub plugged: Fact,
    pub power: Fact,
    pub state: String,
    /// Code and message.
    pub failure: Option<(String, String)>,
    pub host: Option<String>,
    /// As the host told it in its hello.
    pub initiator: Option<String>,
}

/// An open job of the volume, its attachment or its instance.
#[derive(Debug, Clone)]
pub struct PathJob {
    pub thing: String,
    pub kind: String,
    pub agent: String,
    pub attempt: u32,
    pub since: arame_schema::api::Timestamp,
    /// Of the attempt before this one: code and message.
    pub failure: Option<(String, String)>,
}

const PATH: &str = "SELECT v.backend_key, v.was_present, v.storage_node_id, t.id AS attachment, t.instance_id, t.epoch, t.wanted, \
    t.forced, t.fencing, i.state, i.host_node_id, i.failure_code, i.failure_message, a.endpoints, \
    (SELECT f.value FROM facts f WHERE f.thing = t.id AND f.agent_id = h.agent_id AND f.name = 'plugged') AS plugged, \
    (SELECT f.value FROM facts f WHERE f.thing = i.id AND f.agent_id = h.agent_id AND f.name = 'power') AS power \
    FROM volumes v LEFT JOIN attachments t ON t.volume_id = v.id AND t.open = 1 LEFT JOIN instances i ON i.id = t.instance_id \
    LEFT JOIN host_nodes h ON h.id = i.host_node_id LEFT JOIN agents a ON a.id = h.agent_id WHERE v.id = ?";

/// Outside of a transaction: what is looked at, not decided on.
pub async fn of_volume(db: &Db, volume: &str) -> Result<Option<PathRow>, DbError> {
    let found = db.rows(PATH, (volume,)).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let attachment: Option<String> = row.col("attachment")?;
    Ok(Some(PathRow {
        key: row.text("backend_key")?,
        was_present: row.flag("was_present")?,
        storage_node: row.text("storage_node_id")?,
        attachment: attachment.map(|id| attached(row, id)).transpose()?,
    }))
}

fn attached(row: &mysql_async::Row, id: String) -> Result<AttachedRow, DbError> {
    // No row is no.
    let fact = |name: &str| {
        let text: Option<String> = row.col(name)?;
        let parsed = |text: String| Fact::parse(&text).ok_or_else(|| super::row::strange("value", text));
        text.map_or(Ok(Fact::No), parsed)
    };
    let endpoints: Option<BTreeMap<String, String>> = row.json_opt("endpoints")?;
    Ok(AttachedRow {
        id,
        instance: row.text("instance_id")?,
        epoch: row.col("epoch")?,
        wanted: row.flag("wanted")?,
        forced: row.flag("forced")?,
        fencing: row.flag("fencing")?,
        plugged: fact("plugged")?,
        power: fact("power")?,
        state: row.text("state")?,
        failure: told(row, "failure_code", "failure_message")?,
        host: row.col("host_node_id")?,
        initiator: endpoints.and_then(|told| told.get("initiator_iqn").cloned()),
    })
}

fn told(row: &mysql_async::Row, code: &str, message: &str) -> Result<Option<(String, String)>, DbError> {
    let code: Option<String> = row.col(code)?;
    let message: Option<String> = row.col(message)?;
    Ok(code.map(|code| (code, message.unwrap_or_default())))
}

const JOBS: &str = "SELECT j.thing, j.kind, j.agent_id, j.attempt, j.created_at, e.error_code, e.error_message FROM jobs j \
    LEFT JOIN jobs e ON j.attempt > 1 AND e.seq = (SELECT MAX(p.seq) FROM jobs p WHERE p.thing = j.thing AND \
                        p.agent_id = j.agent_id AND p.seq < j.seq AND p.error_code IS NOT NULL) \
    WHERE j.open = 1 AND j.thing IN (?, ?, ?) ORDER BY j.seq";

/// Open jobs of these; an empty text is nobody's.
pub async fn open_jobs(db: &Db, things: [&str; 3]) -> Result<Vec<PathJob>, DbError> {
    let [one, two, three] = things;
    let found = db.rows(JOBS, (one, two, three)).await?;
    let read = |row: &mysql_async::Row| {
        Ok(PathJob {
            thing: row.text("thing")?,
            kind: row.text("kind")?,
            agent: row.text("agent_id")?,
            attempt: row.col("attempt")?,
            since: row.time("created_at")?,
            failure: told(row, "error_code", "error_message")?,
        })
    };
    found.iter().map(read).collect()
}
