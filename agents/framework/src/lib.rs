//! Both ends of the wire: the bus (AMQP or in memory) and the runtime every agent stands on.
//!
//! Rule: nothing here knows resources, databases, libvirt, ZFS or DNS. An agent brings verbs; the framework brings
//! join, heartbeat, one lane per thing, budgets, outcomes, inventories, reconnection, drain.
//!
//! # An agent
//!
//! ```no_run
//! use arame_framework::agent::{Agent, Profile, Stopped, Work};
//! use arame_framework::{config::Common, runtime, telemetry};
//! use arame_schema::jobs::{Job, report::{Capacity, FactReport}};
//! use arame_schema::model::{Fact, FactName};
//! use std::{collections::BTreeMap, sync::Arc};
//!
//! struct TenLines;
//!
//! #[async_trait::async_trait]
//! impl Agent for TenLines {
//!     fn profile(&self) -> Profile {
//!         Profile { kinds: vec!["sta.volume.observe"], capacity: Capacity::default(), endpoints: BTreeMap::new() }
//!     }
//!     async fn handle(&self, _: Job, work: Work) -> Result<Vec<FactReport>, Stopped> {
//!         let observed = work.standing.observe();
//!         let seen = work.effect(async { Ok::<_, Stopped>(Fact::No) }).await?;
//!         Ok(vec![work.fact(FactName::Volume, seen, observed)])
//!     }
//! }
//!
//! fn main() -> anyhow::Result<()> {
//!     telemetry::init();
//!     let common: Common = toml::from_str(&std::fs::read_to_string("agent.toml")?)?;
//!     runtime::two_workers()?.block_on(runtime::main(common, Arc::new(TenLines)))
//! }
//! ```
//!
//! `common.example.toml` is its configuration. dcmgr knows an agent by the row that its seed file made (`[[agent]]`: id,
//! node, key file); a process says hello with that key and the machine's id, is welcomed under a new incarnation, and is
//! from then on the only one that speaks for the agent. What it says it does not know how to do is never asked of it.
//!
//! What a job finds: [`agent::Work`] has its thing, its generation, the time that is left, whether it was overtaken, and
//! [`agent::Work::effect`] for each change. What it answers: facts with the order of their observation
//! ([`agent::Standing::observe`], before the look), or [`agent::Stopped`] with a code, a sentence, and whether trying again
//! makes sense. Nothing retries but dcmgr.
//!
//! An agent that shows something live ([`agent::Agent::open`]) has streams: bytes both ways beside the bus, see [`stream`].
//!
//! # Its tests
//!
//! - [`bus::memory::MemoryBroker`] is a broker in the process: `bus("sta.s1")` connects the agent, `bus("dcmgr")` whoever
//!   plays dcmgr; [`bus::memory::Faults`] lose, double, delay and reorder messages from a seed, and
//!   [`bus::memory::MemoryBroker::keep_back`], `disconnect` and `freeze` do so exactly. A paused tokio clock works.
//! - [`runtime::run`] is the whole agent on any [`bus::Bus`]; [`agent::Work::for_tests`] is one job without any.
//! - [`testkit::Rabbit`] is a private RabbitMQ, with agents' permissions, where the machine has one.
//! - [`crash::POINTS`]: `before_effect` and `after_effect` around each change, `before_answer` and `after_answer` around the
//!   outcome. `ARAME_CRASH=<point>[:<kind>][:<nth>]` makes a process die there; [`crash::arm`] lets a test act there.
//!
//! `tests/ten_lines.rs` does all of this with the agent above, and `tests/process.rs` runs it as a process on a real broker,
//! kills it at a point, and stops it.

pub mod agent;
pub mod bus;
pub mod config;
pub mod crash;
pub mod history;
pub mod machine;
pub mod metrics;
pub mod rehearsal;
pub mod runtime;
pub mod stream;
pub mod telemetry;
pub mod testkit;
