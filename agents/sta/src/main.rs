//! `arame-sta --config FILE`: reads the file, serves images, runs the agent until it is told to stop.

use anyhow::Context;
use arame_framework::runtime;
use arame_service::{Notifier, configured, ended};
use arame_sta::config::Config;
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Storage agent of an Arame data center: volumes, images, iSCSI exports.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long)]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arame_framework::telemetry::init();
    ended(&Notifier::of_the_environment(), start(&arguments.config))
}

fn start(path: &Path) -> anyhow::Result<()> {
    let config = configured(path, Config::read(path))?;
    runtime::two_workers()?.block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let common = config.common.clone();
    let sta = arame_sta::agent::build(config).await?;
    if let Some(listen) = sta.http_listen() {
        let listener =
            arame_sta::http::bind(listen).await.with_context(|| format!("cannot serve images on {listen}"))?;
        tokio::spawn(arame_sta::http::serve(listener, sta.shelf()));
    }
    runtime::main(common, sta).await
}
