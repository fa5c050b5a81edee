//! The life of a running data center: brought up, watched, stopped.
//!
//! A signal during the start stops what was started so far. A child that dies is started again; nothing else is
//! repaired here, because the agents and dcmgr do that themselves.

use super::bringup::{Bringup, Own};
use super::children::Children;
use super::layout::{Kind, Layout, Wish};
use super::progress::{Progress, Success};
use super::state::{Lock, State};
use super::teardown;
use super::words::Text;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the children are looked at. Reading a dozen lines of /proc costs 0.1 ms.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// The children, shared by the steps that run side by side.
pub type Shared = Arc<Mutex<Children>>;

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

pub async fn run(
    layout: Layout,
    wish: Wish,
    programs: PathBuf,
    own: Own,
    progress: Progress,
    lock: Lock,
    seed: Option<PathBuf>,
) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let state = State::new(&layout);
    let mut signals = Signals::listen()?;
    let arame = std::env::current_exe()?;
    let children: Shared = Arc::new(Mutex::new(Children::open(&state.table_path(), &arame)));
    let bringup =
        Bringup { layout: &layout, wish: &wish, programs, arame, own, progress: &progress, children: &children };
    let outcome = tokio::select! {
        outcome = bringup.all() => outcome.map(|()| true),
        () = signals.any() => Ok(false),
    };
    drop(bringup);
    let mut signalled = false;
    let code = match outcome {
        Ok(true) => {
            state.set_running(&wish)?;
            let seconds = began.elapsed().as_secs_f32();
            progress.say(Text::new(
                format!("\nThe data center is up ({seconds:.1} s)."),
                format!("\nデータセンターが起動しました ({seconds:.1} 秒)。"),
            ));
            progress.say(next_steps(&layout, &wish));
            progress.end(Success::Yes);
            if let Some(file) = seed {
                tokio::select! {
                    _ = super::declared::apply(&layout, &wish, &file) => {}
                    () = signals.any() => signalled = true,
                }
            }
            if !signalled {
                watch(&children, &mut signals).await;
            }
            progress.say(Text::new("Stopping …", "停止しています …"));
            ExitCode::SUCCESS
        }
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            progress.say(Text::new(
                format!("\nIt could not be started: {error}"),
                format!("\n起動できませんでした: {error}"),
            ));
            ExitCode::FAILURE
        }
    };
    state.set_stopping();
    stop(&layout, children, &progress).await;
    state.forget()?;
    if code == ExitCode::FAILURE {
        progress.end(Success::No);
    }
    drop(lock);
    Ok(code)
}

async fn watch(children: &Shared, signals: &mut Signals) {
    let mut tick = tokio::time::interval(WATCH_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = signals.any() => return,
            _ = tick.tick() => {}
        }
        let children = children.clone();
        let revived =
            tokio::task::spawn_blocking(move || children.lock().unwrap_or_else(PoisonError::into_inner).revive());
        for name in revived.await.unwrap_or_default() {
            eprintln!("{name} ended and was started again");
        }
    }
}

async fn stop(layout: &Layout, children: Shared, progress: &Progress) {
    // The steps of an interrupted start are dropped by now; a blocking call may hold on for a moment.
    let mut shared = children;
    let owned = loop {
        match Arc::try_unwrap(shared) {
            Ok(children) => break children.into_inner().unwrap_or_else(PoisonError::into_inner),
            Err(still) => shared = still,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    teardown::everything(layout, owned, progress).await;
}

/// What a person does next.
pub fn next_steps(layout: &Layout, wish: &Wish) -> Text {
    let (dir, arame) = (layout.dir().display(), own_name());
    let launch = format!("{arame} --dir {dir} instance create --image tiny --name web1 --ssh-key demo --wait");
    let reach = match wish.kind {
        Kind::Real => format!("\n          {arame} --dir {dir} ssh web1"),
        Kind::Sim => String::new(),
    };
    let (listen, token) = (wish.listen, layout.token("demo"));
    let compat = wish.compat.as_ref();
    let old = compat.map(|at| format!("\n  old     {at}   (old clients, without a credential: the demo account's)"));
    let old_ja = compat
        .map(|at| format!("\n  旧式    {at}   （古いクライアント用。認証なしでデモアカウントとして操作できます）"));
    let (old, old_ja) = (old.unwrap_or_default(), old_ja.unwrap_or_default());
    let (page, page_ja) = match wish.webui {
        Some(webui) => (format!("  Web     http://{webui}/\n"), format!("  画面    http://{webui}/\n")),
        None => (String::new(), String::new()),
    };
    Text::new(
        format!(
            "{page}  API     http://{listen}/api/12.03   (token: {}){old}\n  next    {launch}{reach}\n  stop    {arame} down --dir {dir}",
            token.display()
        ),
        format!(
            "{page_ja}  API     http://{listen}/api/12.03   (トークン: {}){old_ja}\n  次は    {launch}{reach}\n  停止    {arame} down --dir {dir}",
            token.display()
        ),
    )
}

/// What a person types to call this program again from here: its name where the shell finds it, else its path.
fn own_name() -> String {
    let Ok(own) = std::env::current_exe() else { return "arame".into() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("arame")).find(|file| file.exists());
    if found.and_then(|file| file.canonicalize().ok()).as_deref() == Some(own.as_path()) {
        return "arame".into();
    }
    let here = std::env::current_dir().unwrap_or_default();
    own.strip_prefix(here).unwrap_or(&own).display().to_string()
}
