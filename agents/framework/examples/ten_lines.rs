//! The smallest agent: joins, takes a job, reports what it saw. Run it with the path of a `[common]` TOML file
//! (`agents/framework/common.example.toml`).
//!
//! Everything else, reconnecting, one lane per volume, heartbeats, inventories, drain, is the framework's. It keeps no
//! real volumes: do not put it in an installation. `tests/ten_lines.rs` runs it on the bus in memory, `tests/process.rs`
//! as a process on a real broker.

use arame_framework::agent::{Agent, Profile, Stopped, Work};
use arame_framework::{config::Common, runtime, telemetry};
use arame_schema::jobs::Job;
use arame_schema::jobs::report::{Capacity, FactReport};
use arame_schema::model::{Fact, FactName};
use std::collections::BTreeMap;
use std::sync::Arc;

pub struct TenLines;

#[async_trait::async_trait]
impl Agent for TenLines {
    fn profile(&self) -> Profile {
        Profile { kinds: vec!["sta.volume.observe"], capacity: Capacity::default(), endpoints: BTreeMap::new() }
    }
    async fn handle(&self, _: Job, work: Work) -> Result<Vec<FactReport>, Stopped> {
        let observed = work.standing.observe();
        let seen = work.effect(async { Ok::<_, Stopped>(Fact::No) }).await?;
        Ok(vec![work.fact(FactName::Volume, seen, observed)])
    }
}

#[allow(dead_code)] // a test that includes this file has its own
fn main() -> anyhow::Result<()> {
    telemetry::init();
    let path = std::env::args().nth(1).unwrap_or_else(|| "agent.toml".into());
    let common: Common = toml::from_str(&std::fs::read_to_string(path)?)?;
    runtime::two_workers()?.block_on(runtime::main(common, Arc::new(TenLines)))
}
