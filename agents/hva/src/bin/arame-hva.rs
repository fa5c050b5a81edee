//! `arame-hva --config FILE`: the HyperVisorAgent of one host.

use anyhow::Context;
use clap::Parser;
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(version, about = "Runs virtual machines on this host for Arame")]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long)]
    config: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    arame_framework::telemetry::init();
    let arguments = Arguments::parse();
    let config = arame_hva::config::load(&arguments.config)?;
    let agent = arame_hva::Hva::start(&config).await.context("the host is not ready")?;
    arame_framework::runtime::main(config.common, agent).await
}
