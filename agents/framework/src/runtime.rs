//! Runs an agent: hello, lanes, outcomes, heartbeats, inventories, drain.

use crate::agent::Agent;
use crate::bus::Bus;
use crate::config::Common;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs until `stop` is cancelled (drains, leaves) or dcmgr refuses the hello.
///
/// # Errors
/// The sentence of the refusal, or an unreadable key or state directory.
pub async fn run(
    common: Common,
    bus: Arc<dyn Bus>,
    agent: Arc<dyn Agent>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let _ = (common, bus, agent, stop);
    anyhow::bail!("not built yet")
}

/// What `main` of every agent calls: connects to the broker of `common`, runs, ends on SIGTERM or SIGINT.
///
/// # Errors
/// As [`run`].
pub async fn main(common: Common, agent: Arc<dyn Agent>) -> anyhow::Result<()> {
    let _ = (common, agent);
    anyhow::bail!("not built yet")
}
