//! `arame-dcmgr`: serves the API, migrates the schema, applies a seed.

use anyhow::Context;
use arame_dcmgr::app::{App, Parts, schedules};
use arame_dcmgr::config::{Compat, CompatAddress, Config};
use arame_dcmgr::db::secrets::Vault;
use arame_dcmgr::db::{self, Db};
use arame_dcmgr::{http, tasks};
use arame_framework::bus::Bus;
use arame_framework::bus::amqp::{AmqpBus, Role};
use arame_framework::stream;
use arame_service::{Loops, Notifier, configured, ended, readable, watch_door};
use clap::{Parser, Subcommand};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
#[command(name = "arame-dcmgr", version, about = "DataCenterManager of Arame")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Migrate the schema, apply the seed if one is named, serve the API.
    Serve {
        #[arg(long)]
        config: PathBuf,
        /// Accounts, tokens, agents, networks, images with given ids; applied again it changes nothing.
        #[arg(long)]
        seed: Option<PathBuf>,
    },
    /// After a backup: the database's epoch is raised.
    RaiseEpoch {
        #[arg(long)]
        config: PathBuf,
    },
    /// Put the restored database (`‹name›_restore`) in the place of the one in use. Exit status 3: it is another
    /// installation's, nothing was changed.
    Exchange {
        #[arg(long)]
        config: PathBuf,
    },
    /// Only migrate the schema.
    Migrate {
        #[arg(long)]
        config: PathBuf,
    },
}

/// Requests under way get this long to end when the program stops.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// What the watchdog asks of our own server: it answers without the database, which may be away.
const KNOCK_AT: &str = "/";

/// `exchange` met a database of another installation.
const EXIT_ANOTHER_INSTALLATION: u8 = 3;

fn main() -> ExitCode {
    arame_framework::telemetry::init();
    let arguments = Arguments::parse();
    let notifier = Notifier::of_the_environment();
    ended(&notifier, run(arguments, &notifier))
}

fn run(arguments: Arguments, notifier: &Notifier) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match arguments.command {
            Command::Serve { config, seed } => serve(&config, seed.as_deref(), notifier).await?,
            Command::RaiseEpoch { config } => {
                let config = read::<Config>(&config)?;
                db::exchange::raise_epoch(&open(&config)?).await?;
            }
            Command::Exchange { config } => {
                let config = read::<Config>(&config)?;
                let exchange = db::exchange::exchange(&open(&config)?, &config.database.name).await?;
                if exchange == db::exchange::Exchange::AnotherInstallation {
                    return Ok(ExitCode::from(EXIT_ANOTHER_INSTALLATION));
                }
            }
            Command::Migrate { config } => {
                let config = read::<Config>(&config)?;
                prepare(&config, None).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    toml::from_str(&text).with_context(|| format!("`{}` is not as it should be", path.display()))
}

fn open(config: &Config) -> anyhow::Result<Db> {
    Db::open(&config.database).context("cannot read the database's password file")
}

async fn prepare(config: &Config, seed: Option<&Path>) -> anyhow::Result<Db> {
    let db = open(config)?;
    db.migrate().await.context("the schema cannot be migrated")?;
    db::seed::install(&db).await?;
    if let Some(path) = seed {
        let seed = read::<db::seed::Seed>(path)?;
        db::seed::apply(&db, &seed).await?;
    }
    Ok(db)
}

async fn serve(config: &Path, seed: Option<&Path>, notifier: &Notifier) -> anyhow::Result<()> {
    let config = checked(config)?;
    let seed = seed.or(config.seed_file.as_deref());
    let loops = Loops::of_the_environment(notifier.clone());
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).ok();
    // The schema and the broker's connection do not need each other.
    let bus = AmqpBus::connect(&config.broker, Role::Dcmgr);
    let (db, bus) = tokio::join!(prepare(&config, seed), bus);
    let (db, bus) = (db?, bus?);
    let vault = Vault::open(&config.secret_key_file)?;
    let installation = db::recovery::installation(&db).await?;
    let infrastructure = config.infrastructure.clone();
    let time_zone = schedules::checked_zone(&config.time_zone).map_err(|_| {
        anyhow::anyhow!("no file knows the time zone `{}`: it is named like Asia/Tokyo", config.time_zone)
    })?;
    let naming_services = config.naming_services;
    let parts = Parts {
        db: db.clone(),
        vault,
        installation,
        infrastructure,
        time_zone,
        naming_services,
        metrics: Some(handle),
    };
    let (app, rung) = App::new(parts);
    let stop = CancellationToken::new();
    let bus: Arc<dyn Bus> = bus;
    let mut running = tasks::start_watched(&app, bus.clone(), rung, stop.clone(), &loops).await;
    app.streams().allow(config.console_origins.clone());
    if let Some(streams) = &config.streams {
        let door = stream::road::door(streams, stop.clone()).await?;
        running.spawn(tasks::streams::take(app.clone(), door, stop.clone()));
    }
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    tracing::info!(listen = %config.listen, %installation, "serving");
    // The servers end first: what is under way may still need the tasks.
    let closing = CancellationToken::new();
    let mut servers = tokio::task::JoinSet::new();
    if let Some(compat) = &config.compat {
        let (listener, secret) = compat_listener(compat)?;
        let (app, closing) = (app.clone(), closing.clone());
        servers.spawn(async move { http::serve_compat(app, listener, &secret, closing).await });
    }
    servers.spawn(http::serve(app.clone(), listener, closing.clone()));
    notifier.ready(&serving(&config, bus.link().borrow().up));
    running.spawn(tell(notifier.clone(), config.clone(), bus.clone(), stop.clone()));
    let knocking = tokio::spawn(watch_door(loops.one_more(), config.listen, KNOCK_AT));
    asked_to_end().await?;
    tracing::info!("stopping");
    notifier.stopping();
    knocking.abort();
    closing.cancel();
    let _ = tokio::time::timeout(STOP_GRACE, async { while servers.join_next().await.is_some() {} }).await;
    let _ = tokio::time::timeout(STOP_GRACE, app.streams().none_is_open()).await;
    stop.cancel();
    let _ = tokio::time::timeout(STOP_GRACE, async { while running.join_next().await.is_some() {} }).await;
    bus.close().await;
    db.close().await;
    Ok(())
}

/// Binds the listener for old clients and reads the token it attaches.
fn compat_listener(compat: &Compat) -> anyhow::Result<(http::CompatListener, String)> {
    let file = compat.token_file.display();
    let secret = std::fs::read_to_string(&compat.token_file).with_context(|| format!("cannot read `{file}`"))?;
    let listener = match &compat.listen {
        CompatAddress::Tcp(address) => {
            let socket = std::net::TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
            socket.set_nonblocking(true)?;
            http::CompatListener::Tcp(tokio::net::TcpListener::from_std(socket)?)
        }
        CompatAddress::Unix(path) => {
            // Left by a process that was killed; one that listens would still have it open, and loses nothing by this.
            if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
                std::fs::remove_file(path)?;
            }
            let socket = tokio::net::UnixListener::bind(path);
            let socket = socket.with_context(|| format!("cannot listen on `{}`", path.display()))?;
            // Whoever may write to it acts with the token: the owner, as with the token's file.
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            http::CompatListener::Unix(socket)
        }
    };
    tracing::info!(listen = ?compat.listen, "serving old clients");
    Ok((listener, secret.trim().to_owned()))
}

/// The configuration, and that the files it names are there: whatever is wrong with them only a person can mend.
fn checked(path: &Path) -> anyhow::Result<Config> {
    let config = configured(path, read::<Config>(path))?;
    readable(&config.database.password_file)?;
    readable(&config.broker.password_file)?;
    readable(&config.secret_key_file)?;
    Ok(config)
}

fn serving(config: &Config, broker_is_up: bool) -> String {
    let broker = if broker_is_up { "the broker is reached" } else { "the broker is not reached: jobs wait" };
    format!("serving the API on {}; {broker}", config.listen)
}

/// Keeps the service manager's words about the broker true.
async fn tell(notifier: Notifier, config: Config, bus: Arc<dyn Bus>, stop: CancellationToken) {
    let mut link = bus.link();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = link.changed() => if changed.is_err() { return },
        }
        let is_up = link.borrow_and_update().up;
        notifier.status(&serving(&config, is_up));
    }
}

async fn asked_to_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
