//! `arame-nsa --config FILE`: the NamingServiceAgent as a process. It serves before it looks for the broker.

use arame_framework::{runtime, telemetry};
use arame_nsa::agent::NsaAgent;
use arame_nsa::config::File;
use arame_nsa::limits::DESCRIPTORS;
use arame_service::{Notifier, configured, ended};
use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// DHCP and DNS for every VLAN network of an Arame data center.
#[derive(Debug, Parser)]
#[command(name = "arame-nsa", version)]
struct Arguments {
    /// The agent's TOML file.
    #[arg(long)]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    telemetry::init();
    ended(&Notifier::of_the_environment(), run(&arguments.config))
}

fn run(path: &Path) -> anyhow::Result<()> {
    let file = configured(path, File::read(path))?;
    raise_descriptors();
    runtime::two_workers()?.block_on(async {
        let agent = NsaAgent::start(&file.nsa)?;
        runtime::main(file.common, Arc::new(agent)).await
    })
}

/// Shells give 1024 descriptors; each network needs several. Less than wanted is worth a warning, not an end.
fn raise_descriptors() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS.min(hard), hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}
