//! `arame-webui`: serves the web console. Rule: everything it needs is in this program and in its three settings; it reads
//! neither the database nor the broker.

mod config;

use anyhow::Context;
use arame_service::{Loops, Notifier, configured, ended, watch_door};
use arame_webui::{Transport, Webui, serve};
use clap::Parser;
use config::Config;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;
use url::Url;

#[derive(Parser)]
#[command(name = "arame-webui", version, about = "The web console of Arame")]
struct Arguments {
    /// The settings as a file (TOML), in place of the other options.
    #[arg(long, conflicts_with_all = ["listen", "api", "behind_tls"])]
    config: Option<PathBuf>,
    /// Where browsers come [default: 127.0.0.1:9000].
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where the API is [default: http://127.0.0.1:9001].
    #[arg(long)]
    api: Option<Url>,
    /// Browsers come by HTTPS, through a proxy before this: the cookie goes nowhere else.
    #[arg(long)]
    behind_tls: bool,
}

impl Arguments {
    fn settings(self) -> anyhow::Result<Config> {
        if let Some(path) = &self.config {
            return Ok(configured(path, Config::read(path))?);
        }
        let unsaid = Config::default();
        Ok(Config {
            listen: self.listen.unwrap_or(unsaid.listen),
            api: self.api.unwrap_or(unsaid.api),
            behind_tls: self.behind_tls,
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let level = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(level).with_ansi(false).init();
    let arguments = Arguments::parse();
    let notifier = Notifier::of_the_environment();
    ended(&notifier, run(arguments, notifier.clone()).await)
}

async fn run(arguments: Arguments, notifier: Notifier) -> anyhow::Result<()> {
    let Config { listen, api, behind_tls } = arguments.settings()?;
    let transport = if behind_tls { Transport::Tls } else { Transport::Plain };
    let stop = CancellationToken::new();
    let webui = Webui::new(&api, transport, stop.clone()).context("no HTTP client")?;
    let listener = tokio::net::TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
    let listen = listener.local_addr()?;
    tracing::info!(%listen, %api, "serving");
    notifier.ready(&format!("serving the console on {listen}; the API is at {api}"));
    let loops = Loops::of_the_environment(notifier.clone());
    tokio::spawn(watch_door(loops.one_more(), listen, "/"));
    tokio::spawn(async move {
        asked_to_end().await;
        notifier.stopping();
        stop.cancel();
    });
    serve(webui, listener).await?;
    Ok(())
}

async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}
