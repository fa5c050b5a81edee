//! Machines between two hosts: one row each, from the wish to the end (`app::advance::moving`).

use super::pool::{first, rows, run};
use super::{Columns, DbError, Tx};
use crate::plan::migration::Host;

/// One of the two hosts of a move.
#[derive(Debug, Clone)]
pub struct End {
    pub host: String,
    pub agent: String,
    pub silent: bool,
    pub may_use: bool,
    pub use_generation: u64,
}

#[derive(Debug, Clone)]
pub struct MoveRow {
    pub instance: String,
    /// The host it comes from, and the one it goes to.
    pub ends: [End; 2],
    /// Where it is to run: `B` is the one it goes to.
    pub wish: Host,
    pub attempts: u32,
    pub need_policy_version: u64,
}

impl MoveRow {
    pub fn from(&self) -> &str {
        &self.ends[0].host
    }

    pub fn to(&self) -> &str {
        &self.ends[1].host
    }

    pub fn end(&self, host: Host) -> &End {
        match host {
            Host::A => &self.ends[0],
            Host::B => &self.ends[1],
        }
    }

    /// Which of the two an agent speaks for.
    pub fn side_of(&self, agent: &str) -> Option<Host> {
        Host::ALL.into_iter().find(|host| self.end(*host).agent == agent)
    }
}

const SELECT: &str = "SELECT m.instance_id, m.from_host_id, m.to_host_id, m.wish, m.attempts, m.need_policy_version, \
    m.from_may_use, m.from_use_generation, m.to_may_use, m.to_use_generation, \
    f.agent_id AS from_agent, t.agent_id AS to_agent, \
    IFNULL(fa.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS from_heard, \
    IFNULL(ta.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) AS to_heard \
    FROM instance_moves m JOIN host_nodes f ON f.id = m.from_host_id JOIN host_nodes t ON t.id = m.to_host_id \
    JOIN agents fa ON fa.id = f.agent_id JOIN agents ta ON ta.id = t.agent_id";

fn read(row: &mysql_async::Row) -> Result<MoveRow, DbError> {
    let from = End {
        host: row.text("from_host_id")?,
        agent: row.text("from_agent")?,
        silent: !row.flag("from_heard")?,
        may_use: row.flag("from_may_use")?,
        use_generation: row.col("from_use_generation")?,
    };
    let to = End {
        host: row.text("to_host_id")?,
        agent: row.text("to_agent")?,
        silent: !row.flag("to_heard")?,
        may_use: row.flag("to_may_use")?,
        use_generation: row.col("to_use_generation")?,
    };
    Ok(MoveRow {
        instance: row.text("instance_id")?,
        ends: [from, to],
        wish: if row.text("wish")? == "to" { Host::B } else { Host::A },
        attempts: row.col("attempts")?,
        need_policy_version: row.col("need_policy_version")?,
    })
}

/// The open move of an instance. The instance's row is locked by whoever decides on it.
pub async fn of_instance(tx: &mut Tx, instance: &str) -> Result<Option<MoveRow>, DbError> {
    let statement = format!("{SELECT} WHERE m.instance_id = ?");
    first(tx, statement, (instance,)).await?.as_ref().map(read).transpose()
}

/// Every open move with an end at this agent.
pub async fn of_agent(tx: &mut Tx, agent: &str) -> Result<Vec<MoveRow>, DbError> {
    let statement = format!("{SELECT} WHERE f.agent_id = ? OR t.agent_id = ?");
    rows(tx, statement, (agent, agent)).await?.iter().map(read).collect()
}

/// A new move. What the instance carries now, its host may use.
pub async fn insert(
    tx: &mut Tx,
    instance: &str,
    (from, to): (&str, &str),
    generation: u64,
    need_policy_version: u64,
) -> Result<(), DbError> {
    let statement = "INSERT INTO instance_moves (instance_id, from_host_id, to_host_id, wish, need_policy_version, \
                     from_use_generation, created_at) VALUES (?, ?, ?, 'to', ?, ?, UTC_TIMESTAMP(3))";
    run(tx, statement, (instance, from, to, need_policy_version, generation)).await?;
    Ok(())
}

pub async fn set_wish(tx: &mut Tx, instance: &str, host: Host) -> Result<(), DbError> {
    let wish = match host {
        Host::A => "from",
        Host::B => "to",
    };
    run(tx, "UPDATE instance_moves SET wish = ?, attempts = 0 WHERE instance_id = ?", (wish, instance)).await?;
    Ok(())
}

/// Counts an attempt that failed. Answers how many have.
pub async fn count_attempt(tx: &mut Tx, instance: &str) -> Result<u32, DbError> {
    run(tx, "UPDATE instance_moves SET attempts = attempts + 1 WHERE instance_id = ?", (instance,)).await?;
    let found = first(tx, "SELECT attempts FROM instance_moves WHERE instance_id = ?", (instance,)).await?;
    found.map_or(Ok(0), |row| row.col("attempts"))
}

pub async fn set_use(tx: &mut Tx, instance: &str, host: Host, may: bool, generation: u64) -> Result<(), DbError> {
    let end = match host {
        Host::A => "from",
        Host::B => "to",
    };
    let statement = format!(
        "UPDATE instance_moves SET {end}_may_use = ?, {end}_use_generation = GREATEST({end}_use_generation, ?) WHERE instance_id = ?"
    );
    run(tx, statement, (may, generation, instance)).await?;
    Ok(())
}

pub async fn remove(tx: &mut Tx, instance: &str) -> Result<(), DbError> {
    run(tx, "DELETE FROM instance_moves WHERE instance_id = ?", (instance,)).await?;
    Ok(())
}
