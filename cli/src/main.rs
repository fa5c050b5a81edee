//! Entry of the `arame` command: reads the arguments, runs, tells what went wrong, ends with a status.

use arame_cli::failure::CliError;
use arame_cli::{Cli, Command, Streams, run};
use clap::{CommandFactory, Parser};
use std::io::IsTerminal;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match command(cli.command, &cli.common).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", error.told(cli.common.language()));
            ExitCode::from(error.status())
        }
    }
}

async fn command(command: Command, common: &arame_cli::settings::Common) -> Result<(), CliError> {
    match command {
        Command::Rest(rest) => {
            let (mut out, mut remarks) = (std::io::stdout(), std::io::stderr());
            let terminal = remarks.is_terminal();
            run(common, rest, Streams { out: &mut out, remarks: &mut remarks, terminal }).await
        }
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "arame", &mut std::io::stdout());
            Ok(())
        }
    }
}
