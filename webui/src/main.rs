//! `arame-webui`: serves the web console. Rule: everything it needs is in this program and in its three settings; it reads
//! neither the database nor the broker.

use anyhow::Context;
use arame_webui::{Transport, Webui, serve};
use clap::Parser;
use std::net::SocketAddr;
use tokio_util::sync::CancellationToken;
use url::Url;

#[derive(Parser)]
#[command(name = "arame-webui", version, about = "The web console of Arame")]
struct Arguments {
    /// Where browsers come.
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Where the API is.
    #[arg(long, default_value = "http://127.0.0.1:9001")]
    api: Url,
    /// Browsers come by HTTPS, through a proxy before this: the cookie goes nowhere else.
    #[arg(long)]
    behind_tls: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let level = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(level).with_ansi(false).init();
    let arguments = Arguments::parse();
    let transport = if arguments.behind_tls { Transport::Tls } else { Transport::Plain };
    let stop = CancellationToken::new();
    let webui = Webui::new(&arguments.api, transport, stop.clone()).context("no HTTP client")?;
    let listener = tokio::net::TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    tracing::info!(listen = %arguments.listen, api = %arguments.api, "serving");
    tokio::spawn(async move {
        ended().await;
        stop.cancel();
    });
    serve(webui, listener).await?;
    Ok(())
}

async fn ended() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}
