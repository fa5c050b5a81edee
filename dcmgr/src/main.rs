//! `arame-dcmgr`: serves the API, migrates the schema, applies a seed.

use anyhow::Context;
use arame_dcmgr::app::joins::Gate;
use arame_dcmgr::app::{App, Parts, schedules};
use arame_dcmgr::authority::{Authority, AuthorityError, Outcome, Wish, remember, renew};
use arame_dcmgr::config::{Compat, CompatAddress, Config, Join};
use arame_dcmgr::db::secrets::Vault;
use arame_dcmgr::db::{self, Db};
use arame_dcmgr::http::{Pair, TlsListener};
use arame_dcmgr::tasks::management::Management;
use arame_dcmgr::{http, tasks};
use arame_framework::bus::amqp::{AmqpBus, Role};
use arame_framework::bus::{Bus, Link};
use arame_framework::stream;
use arame_service::{Loops, Notifier, Unusable, configured, ended, readable, watch_door};
use clap::{Args, Parser, Subcommand};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
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
    /// Sign a certificate for the broker, streams or a proxy, by the data center's own authority, which is made the first
    /// time. Run as root; again it changes nothing until the certificate has less than a month left.
    Certificate(Certificate),
    /// Renew whatever `certificate` signed and has less than a month left. The package's timer does it weekly.
    Renew {
        /// The folder of the authority.
        #[arg(long, default_value = "/etc/arame")]
        authority: PathBuf,
    },
}

#[derive(Args)]
struct Certificate {
    /// The folder of the authority: `ca.pem`, which goes to every machine, and `ca.key`, which nobody else needs.
    #[arg(long, default_value = "/etc/arame")]
    authority: PathBuf,
    /// A name or an address at which it is reached; say it for each.
    #[arg(long = "name", required = true)]
    names: Vec<String>,
    /// Where the certificate goes.
    #[arg(long)]
    certificate: PathBuf,
    /// Where its key is; made, where there is none.
    #[arg(long)]
    key: PathBuf,
    /// Whose members may read the key, beside root.
    #[arg(long)]
    group: Option<String>,
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

/// Says in both languages what was done.
fn certify(wanted: Certificate) -> Result<(), AuthorityError> {
    let Certificate { authority: folder, names, certificate, key, group } = wanted;
    let now = SystemTime::now();
    let authority = Authority::at(&folder, now)?;
    let wish = Wish { names, certificate_file: certificate, key_file: key, group };
    let outcome = authority.ensure(&wish, now)?;
    remember(&folder, &wish)?;
    tell_outcome(&wish.certificate_file, &folder, outcome);
    Ok(())
}

fn in_both(error: AuthorityError) -> Unusable {
    Unusable::Rule { japanese: error.japanese(), english: error.to_string() }
}

/// As `certify`, for everything that it made. The first that failed is told at the end.
fn renew_all(folder: &Path) -> Result<(), AuthorityError> {
    let mut failed = Ok(());
    for (certificate, outcome) in renew(folder, SystemTime::now())? {
        match outcome {
            Ok(outcome) => tell_outcome(&certificate, folder, outcome),
            Err(error) => {
                eprintln!("{}: {error}\n{}: {}", certificate.display(), certificate.display(), error.japanese());
                failed = failed.and(Err(error));
            }
        }
    }
    failed
}

fn tell_outcome(certificate: &Path, folder: &Path, outcome: Outcome) {
    let (at, ca) = (certificate.display(), folder.join("ca.pem"));
    let ca = ca.display();
    match outcome {
        Outcome::Signed => {
            println!("{at} is signed, for a year. Machines that have {ca} believe it.");
            println!("{at} に署名しました(1 年有効)。{ca} を持つ機械はこれを信用します。");
        }
        Outcome::GoodStill => {
            println!("{at} is good for a month more: nothing was changed.");
            println!("{at} はまだ 1 か月以上有効なので、何も変えていません。");
        }
    }
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
            Command::Renew { authority } => renew_all(&authority).map_err(in_both)?,
            Command::Certificate(wanted) => certify(wanted).map_err(in_both)?,
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
    if let Some(join) = &config.join {
        app.open_gate(gate(join, &config)?);
        running.spawn(tasks::management::tend(app.clone(), stop.clone()));
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
    if let Some(https) = &config.https {
        let pair = Pair { certificate_file: https.certificate_file.clone(), key_file: https.key_file.clone() };
        let listener = TlsListener::bind(https.listen, pair).await;
        let listener = listener.with_context(|| format!("cannot serve the API by TLS on {}", https.listen))?;
        tracing::info!(listen = %https.listen, "serving by TLS");
        servers.spawn(http::serve_tls(app.clone(), listener, closing.clone()));
    }
    servers.spawn(http::serve(app.clone(), listener, closing.clone()));
    notifier.ready(&serving(&config, *bus.link().borrow()));
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

/// How machines join, as the settings say.
fn gate(join: &Join, config: &Config) -> anyhow::Result<Gate> {
    let streams = config.streams.as_ref().map(|door| door.reached_at.clone().unwrap_or_else(|| door.listen.clone()));
    // A socket of this machine is nothing to others.
    let streams = streams.filter(|place| !place.starts_with('/'));
    Ok(Gate {
        manager: join.manager.0.clone(),
        ca_file: join.ca_file.clone(),
        broker: join.broker.0.clone(),
        vhost: config.broker.vhost.clone(),
        streams,
        users: Arc::new(Management::new(&join.management.0, &config.broker)?),
        turn: tokio::sync::Mutex::new(()),
    })
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
    config.broker.check()?;
    readable(&config.secret_key_file)?;
    if let Some(https) = &config.https {
        readable(&https.certificate_file)?;
        readable(&https.key_file)?;
    }
    if let Some(join) = &config.join {
        readable(&join.ca_file)?;
        if config.https.is_none() {
            return Err(joins_need_https().into());
        }
    }
    Ok(config)
}

fn joins_need_https() -> Unusable {
    Unusable::Rule {
        english: "Machines join by the API's TLS: [join] needs [https]. Fill it in and start this service again.".into(),
        japanese: "機械は API の TLS で参加するため、[join] には [https] が必要です。記入してから、このサービスをもう一度起動してください。".into(),
    }
}

fn serving(config: &Config, link: Link) -> String {
    let trouble = link.trouble().map(|trouble| format!("{trouble}: jobs wait"));
    let broker = trouble.unwrap_or_else(|| "the broker is reached".to_owned());
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
        let now = *link.borrow_and_update();
        notifier.status(&serving(&config, now));
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
