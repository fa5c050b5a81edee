//! The `arame` command.

use arame_cli::up;
use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
enum Command {
    Up(up::UpArgs),
    Down(up::DownArgs),
    Status(up::StatusArgs),
    #[command(hide = true)]
    HostInit(up::HostInitArgs),
    #[command(hide = true)]
    Enter(up::EnterArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Up(args) => up::up(args).await,
        Command::Down(args) => up::down(args).await,
        Command::Status(args) => up::status(args).await,
        Command::HostInit(args) => up::host_init(args).map(|()| ExitCode::SUCCESS),
        Command::Enter(args) => up::enter(args).map(|never| match never {}),
    }
}
