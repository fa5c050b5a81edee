//! Entry of the `arame` command: reads the arguments, runs, tells what went wrong, ends with a status.

use arame_cli::failure::CliError;
use arame_cli::settings::Common;
use arame_cli::{Cli, Command, Streams, commands, join, run, up};
use clap::{CommandFactory, Parser};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { common, command } = Cli::parse();
    match command {
        Command::Up(args) => ended(up::up(*args).await),
        Command::Down(args) => ended(up::down(args).await),
        Command::Status(args) => ended(up::status(args).await),
        Command::Backup(args) => ended(up::backup(args).await),
        Command::Restore(args) => ended(up::restore(args).await),
        Command::HostInit(args) => ended(up::host_init(args).map(|()| ExitCode::SUCCESS)),
        Command::Enter(args) => ended(up::enter(args).map(|never| match never {})),
        Command::Join(args) => told(join::join(args, common.language()).await, &common),
        Command::Leave(args) => told(join::leave(args, common.language()).await, &common),
        Command::Rest(command) => rest(&common, command).await,
        Command::Completion { shell } => completion(shell),
    }
}

fn ended(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("arame: {error:#}");
        ExitCode::FAILURE
    })
}

async fn rest(common: &Common, command: commands::Rest) -> ExitCode {
    let (mut out, mut remarks) = (std::io::stdout(), std::io::stderr());
    let terminal = remarks.is_terminal();
    told(run(common, command, Streams { out: &mut out, remarks: &mut remarks, terminal }).await, common)
}

fn told(result: Result<(), CliError>, common: &Common) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", error.told(common.language()));
            ExitCode::from(error.status())
        }
    }
}

/// Written to memory first: the generator panics when a pipe's reader goes away.
fn completion(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "arame", &mut script);
    match std::io::stdout().write_all(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
