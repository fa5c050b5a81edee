//! The smallest agent: joins, takes a job, reports what it saw. Run it with the path of a `[common]` TOML file.
//!
//! Everything else, reconnecting, one lane per volume, heartbeats, inventories, drain, is the framework's. It keeps no
//! real volumes: do not put it in an installation.

use arame_framework::agent::{Agent, Listing, Profile, Standing, Stopped, Work};
use arame_framework::{config::Common, runtime, telemetry};
use arame_schema::jobs::Job;
use arame_schema::jobs::report::{Ask, Capacity, FactReport};
use arame_schema::model::{Fact, FactName, Observation};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

struct TenLines;

#[async_trait::async_trait]
impl Agent for TenLines {
    fn profile(&self) -> Profile {
        Profile { kinds: vec!["sta.volume.observe"], capacity: Capacity::default(), endpoints: BTreeMap::new() }
    }
    async fn joined(&self, _: Standing) {}
    async fn handle(&self, _: Job, work: Work) -> Result<Vec<FactReport>, Stopped> {
        let observed = work.standing.observe();
        Ok(vec![work.fact(FactName::Volume, Fact::No, observed)])
    }
    async fn list(&self, _: Observation) -> Listing {
        Listing::default()
    }
    async fn ask(&self, ask: Ask) -> Result<Value, String> {
        Err(format!("nothing is known about {}", ask.question))
    }
}

fn main() -> anyhow::Result<()> {
    telemetry::init();
    let path = std::env::args().nth(1).unwrap_or_else(|| "agent.toml".into());
    let common: Common = toml::from_str(&std::fs::read_to_string(path)?)?;
    runtime::two_workers()?.block_on(runtime::main(common, Arc::new(TenLines)))
}
