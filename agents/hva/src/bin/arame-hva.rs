//! `arame-hva --config FILE`: the HyperVisorAgent of one host. `--config` said several times: as many simulated hosts in
//! one process, each an agent of its own to everybody else.

use anyhow::Context;
use arame_framework::agent::Agent;
use arame_framework::config::Common;
use arame_hva::config::DriverKind;
use arame_service::{Notifier, configured, ended};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Parser)]
#[command(version, about = "Runs virtual machines on this host for Arame")]
struct Arguments {
    /// Configuration file (TOML); several for simulated hosts in one process.
    #[arg(long, required = true)]
    config: Vec<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    arame_framework::telemetry::init();
    let arguments = Arguments::parse();
    ended(&Notifier::of_the_environment(), run(arguments).await)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut agents: Vec<(Common, Arc<dyn Agent>)> = Vec::with_capacity(arguments.config.len());
    for path in &arguments.config {
        let config = configured(path, arame_hva::config::load(path))?;
        let is_alone = arguments.config.len() == 1 || config.hva.driver == DriverKind::Sim;
        anyhow::ensure!(is_alone, "{}: only simulated hosts share a process", path.display());
        let agent = arame_hva::Hva::start(&config).await.context("the host is not ready")?;
        agents.push((config.common, agent));
    }
    arame_framework::runtime::main_of_all(agents).await
}
