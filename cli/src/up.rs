//! `arame up`: a whole data center on this machine, from nothing, and `arame down`, its end.
//!
//! ```text
//! up ── running already? ── yes: say so, change nothing
//!        └ no: preflight ── problems: list them with their fixes, exit 2
//!              └ supervisor (in front, or with -d behind): bring up ── watch, restart ── stop in order
//! ```
//!
//! What must stay true: everything is below `--dir` or carries its tag (`layout`), everything started is in the
//! children table before it is needed (`children`), and `up` after any interruption goes on from what it finds.
//! It is a user of dcmgr and the agents like any other: it writes their configuration and starts them.

mod api;
mod backup;
mod bringup;
mod broker;
mod children;
pub mod command;
mod configs;
mod database;
mod declared;
mod enter;
mod fabric;
mod files;
mod host_init;
mod hosts;
pub mod image;
mod kvm;
mod layout;
mod preflight;
mod process;
mod progress;
mod seed;
mod state;
mod supervisor;
mod teardown;
mod words;

pub use backup::{BackupArgs, RestoreArgs, backup, restore};
pub use enter::{EnterArgs, enter};
pub use host_init::{HostInitArgs, host_init};
pub use hosts::write_etc;

use anyhow::Context;
use layout::{Kind, Layout, Wish};
use preflight::{Checks, ChildrenRun};
use progress::{Event, Progress, Success};
use state::{Held, State};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use words::{Language, Text};

/// Exit code when something this machine lacks keeps the data center from starting.
const EXIT_PREFLIGHT: u8 = 2;

/// Up to this many simulated hosts need no word about what they cost.
const SIM_HOSTS_QUIET: u16 = 20;

/// The longest first start: a slow line for the guest image's packages.
const DETACHED_LIMIT: Duration = Duration::from_secs(900);

/// A running data center ends within this: the sum of its stages' graces.
const DOWN_LIMIT: Duration = Duration::from_secs(120);

/// What the kernel may need to end a process that was killed an instant ago.
const DYING_GRACE: Duration = Duration::from_millis(150);

#[derive(Debug, Clone, clap::Args)]
pub struct UpArgs {
    /// Folder of the data center: database, images, logs, tokens.
    #[arg(long, default_value = "./var")]
    dir: PathBuf,
    /// Hypervisor hosts.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=2000))]
    hosts: u16,
    /// Simulated backends: needs neither root nor libvirt, touches nothing of the machine.
    #[arg(long)]
    sim: bool,
    /// Leave it in the background; `arame down` stops it.
    #[arg(short = 'd', long)]
    detach: bool,
    /// Address of the API.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// Address of the web console, or `off` [default: the port before the API's].
    #[arg(long, value_name = "ADDRESS", value_parser = webui_place)]
    webui: Option<WebuiPlace>,
    /// Let old clients of Wakame-vdc in without a credential, with the demo account's token, here: a loopback address or
    /// the absolute path of a socket. Whoever reaches it acts for the demo account.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:9002", value_parser = only_here)]
    compat: Option<String>,
    /// File of things to have in it (see `arame seed apply`): applied when it is up, by the operator's token.
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Addresses of this house that images may be registered from, also over plain http, such as 192.168.10.5/32. Whoever
    /// has an account can have fetched what is served there. Public servers need no word, and https.
    #[arg(long, value_name = "NETWORK")]
    images_from: Vec<ipnet::IpNet>,
    /// First of three loopback ports of a simulated data center.
    #[arg(long, default_value_t = 9010)]
    port_base: u16,
    /// Network between the hosts, inside namespaces.
    #[arg(long, default_value = "10.99.0.0/24")]
    management_network: ipnet::Ipv4Net,
    /// Network of the demo machines; this machine gets a route to it.
    #[arg(long, default_value = "10.100.0.0/24")]
    demo_network: ipnet::Ipv4Net,
    /// Start everything but this project's own programs (for developing `arame up`).
    #[arg(long, hide = true)]
    infrastructure_only: bool,
    /// The supervisor behind `-d`.
    #[arg(long, hide = true)]
    supervise: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub struct DownArgs {
    /// Folder of the data center.
    #[arg(long, default_value = "./var")]
    dir: PathBuf,
}

#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    /// Folder of the data center.
    #[arg(long, default_value = "./var")]
    dir: PathBuf,
    #[arg(long)]
    json: bool,
}

/// The folder, made if there is none, as one absolute path: the tag of everything outside is a function of it.
fn absolute(dir: &Path) -> anyhow::Result<PathBuf> {
    let made = std::fs::create_dir_all(dir).and_then(|()| dir.canonicalize());
    made.with_context(|| format!("the data center's folder {} (--dir)", dir.display()))
}

/// Where the web console is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WebuiPlace {
    Off,
    At(SocketAddr),
}

fn webui_place(text: &str) -> Result<WebuiPlace, String> {
    match text {
        "off" => Ok(WebuiPlace::Off),
        _ => text
            .parse()
            .map(WebuiPlace::At)
            .map_err(|_| "an address with a port, such as 127.0.0.1:9000, or off".into()),
    }
}

/// An address that only this machine reaches.
fn only_here(text: &str) -> Result<String, String> {
    let loopback = text.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
    match loopback || text.starts_with('/') {
        true => Ok(text.to_owned()),
        false => Err("a loopback address with a port, or the absolute path of a socket".into()),
    }
}

impl UpArgs {
    fn wish(&self) -> Wish {
        Wish {
            kind: if self.sim { Kind::Sim } else { Kind::Real },
            hosts: self.hosts,
            listen: self.listen,
            port_base: self.port_base,
            management: self.management_network.trunc(),
            demo: self.demo_network.trunc(),
            compat: self.compat.clone(),
            webui: match self.webui {
                Some(WebuiPlace::Off) => None,
                Some(WebuiPlace::At(address)) => Some(address),
                None => Some(SocketAddr::new(self.listen.ip(), self.listen.port().saturating_sub(1))),
            },
            images_from: self.images_from.clone(),
        }
    }
}

/// Brings the data center up; in front it returns when the data center has been stopped.
pub async fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    let language = Language::of_environment();
    let (wish, began) = (args.wish(), Instant::now());
    let layout = Layout::new(&absolute(&args.dir)?);
    let state = State::new(&layout);
    let programs = own_folder()?;
    let Some(lock) = take_or_wait(&state).await? else {
        let code = already_up(&layout, &state, &wish, language, began).await;
        return Ok(seeded(code, &layout, &wish, args.seed.as_deref()).await);
    };
    let children_run = if state.children_alive() { ChildrenRun::Yes } else { ChildrenRun::No };
    let programs_wanted = (!args.infrastructure_only).then_some(programs.as_path());
    let checks = Checks { layout: &layout, wish: &wish, programs: programs_wanted, children_run };
    let problems = checks.problems();
    if !problems.is_empty() {
        let head = Text::new("This machine is not ready:", "このマシンではまだ起動できません:");
        eprintln!("{}", head.get(language));
        for problem in problems {
            eprintln!("{}", problem.show(language));
        }
        return Ok(ExitCode::from(EXIT_PREFLIGHT));
    }
    if wish.kind == Kind::Sim && wish.hosts > SIM_HOSTS_QUIET && !args.supervise {
        // All but those of the storage node and the naming service.
        let processes = configs::groups(&wish).len().saturating_sub(2);
        let text = Text::new(
            format!("{} simulated hosts are {} processes; starting them takes a while.", wish.hosts, processes),
            format!(
                "シミュレーションホスト {} 台は、プロセス {} 個になります。起動に時間がかかります。",
                wish.hosts, processes
            ),
        );
        eprintln!("{}", text.get(language));
    }
    if args.detach && !args.supervise {
        drop(lock);
        let code = detach(&layout, language).await?;
        return Ok(seeded(code, &layout, &wish, args.seed.as_deref()).await);
    }
    let progress = if args.supervise {
        // Its own session: it outlives the terminal it was started from.
        let _ = nix::unistd::setsid();
        Progress::recorded(state.new_progress_file()?)
    } else {
        Progress::shown(language)
    };
    let own_programs = if args.infrastructure_only { bringup::Own::Left } else { bringup::Own::Started };
    // Behind, the command in front applies it and tells what became of it.
    let seed = args.seed.filter(|_| !args.supervise);
    supervisor::run(layout, wish, programs, own_programs, progress, lock, seed).await
}

/// The seed is applied to what runs.
async fn seeded(code: ExitCode, layout: &Layout, wish: &Wish, seed: Option<&Path>) -> ExitCode {
    match seed {
        Some(file) if code == ExitCode::SUCCESS => declared::apply(layout, wish, file).await,
        _ => code,
    }
}

/// The lock; a supervisor that is just being killed is given a moment to be gone.
async fn take_or_wait(state: &State) -> anyhow::Result<Option<state::Lock>> {
    if let Some(lock) = state.take()? {
        return Ok(Some(lock));
    }
    tokio::time::sleep(DYING_GRACE).await;
    Ok(state.take()?)
}

fn own_folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().map(Path::to_owned).unwrap_or_default())
}

/// Another supervisor holds the folder: look, say what is so, change nothing.
async fn already_up(layout: &Layout, state: &State, wish: &Wish, language: Language, began: Instant) -> ExitCode {
    let held = state.held();
    let text = match &held {
        Held::Running { wish: running, .. } if running == wish => {
            Text::new("Everything is running already; nothing was changed.", "すべて稼働中です。何も変更していません。")
        }
        Held::Running { .. } => Text::new(
            "A data center with other settings is running in this folder; nothing was changed. Stop it first: arame down",
            "このフォルダーでは別の設定のデータセンターが稼働中です。何も変更していません。先に arame down で止めてください。",
        ),
        Held::Starting => Text::new(
            "Another `arame up` is starting or stopping this data center; nothing was changed.",
            "別の `arame up` がこのデータセンターを起動または停止しています。何も変更していません。",
        ),
    };
    eprintln!("{}", text.get(language));
    let dead = state.dead_children();
    if !dead.is_empty() {
        let list = dead.join(", ");
        let text = Text::new(format!("Being restarted: {list}"), format!("再起動中: {list}"));
        eprintln!("{}", text.get(language));
    }
    if let Held::Running { wish: running, .. } = &held {
        eprintln!("{}", supervisor::next_steps(layout, running).get(language));
        eprintln!("  {} ms", began.elapsed().as_millis());
        return if running == wish { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    ExitCode::FAILURE
}

/// Starts this command again behind, and shows its progress until everything runs.
async fn detach(layout: &Layout, language: Language) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    let state = State::new(layout);
    state.clear_progress_file()?;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(layout.log("up"))?;
    let words = std::env::args_os().skip(1);
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(words).arg("--supervise").stdin(std::process::Stdio::null());
    command.stdout(log.try_clone()?).stderr(log).process_group(0);
    let child = command.spawn()?;
    let supervisor = process::identify(child.id() as i32);
    let progress = Progress::shown(language);
    let (deadline, mut seen) = (Instant::now() + DETACHED_LIMIT, 0);
    loop {
        // Looked at first: what it wrote before it ended is shown below.
        let gone = supervisor.is_none_or(|supervisor| !process::is_alive(supervisor));
        for event in state.progress_from(&mut seen) {
            progress.emit(&event);
            if let Event::End { success } = event {
                return Ok(if success == Success::Yes { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
        }
        if gone || Instant::now() > deadline {
            let log = layout.log("up");
            let text = Text::new(
                format!("The supervisor ended; see {}", log.display()),
                format!("監視プロセスが終了しました。{} を見てください", log.display()),
            );
            eprintln!("{}", text.get(language));
            return Ok(ExitCode::FAILURE);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Stops the data center of this folder, whoever runs it; nothing running is no error.
pub async fn down(args: DownArgs) -> anyhow::Result<ExitCode> {
    let language = Language::of_environment();
    let layout = Layout::new(&absolute(&args.dir)?);
    let state = State::new(&layout);
    let progress = Progress::shown(language);
    let deadline = Instant::now() + DOWN_LIMIT;
    let mut asked = None;
    let mut seen = state.progress_length();
    // The supervisor stops everything itself; where there is none (killed), this command does.
    let lock = loop {
        if let Some(lock) = state.take()? {
            break lock;
        }
        if let Some(supervisor) = state.supervisor()
            && asked.is_none()
        {
            process::signal(supervisor, nix::sys::signal::Signal::SIGTERM);
            asked = Some(progress.step(Text::new("Asking the supervisor to stop", "監視プロセスに停止を依頼")));
        }
        // One in the background writes what it does.
        for event in state.progress_from(&mut seen) {
            progress.emit(&event);
        }
        if Instant::now() > deadline {
            anyhow::bail!("the supervisor did not stop within {} s", DOWN_LIMIT.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    if let Some(step) = asked {
        step.done();
    }
    let own = std::env::current_exe()?;
    let was_up = state.children_alive() || !fabric::namespaces(&layout).is_empty();
    if was_up {
        teardown::everything(&layout, children::Children::open(&state.table_path(), &own), &progress).await;
    }
    state.forget()?;
    drop(lock);
    progress.say(Text::new(
        format!("Stopped. Data stays in {}", layout.dir().display()),
        format!("停止しました。データは {} に残っています", layout.dir().display()),
    ));
    Ok(ExitCode::SUCCESS)
}

/// What runs in this folder. Exit code 0 when everything does.
pub async fn status(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let language = Language::of_environment();
    let layout = Layout::new(&absolute(&args.dir)?);
    let state = State::new(&layout);
    let report = state.report();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.show(language));
    }
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
