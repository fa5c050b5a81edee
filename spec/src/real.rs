//! The kit of the real road: one data center of real processes, guests and frames, made by `arame up` in a folder of
//! its own and used as a person uses it, by the command.
//!
//! Rule: what is tested is the built programs; this starts, asks, kills and looks. Whatever happens, dropping the
//! data center takes it down again. Nothing here sleeps but between two looks at a condition with a deadline.

pub mod capture;
pub mod guest;
pub mod look;
pub mod program;

use anyhow::{Context, bail, ensure};
use program::{Said, run};
use serde_json::Value;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What one command of the CLI may take: `--wait` follows a guest through a soft power-off.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// A first start fetches the guest's packages.
const UP_LIMIT: Duration = Duration::from_secs(600);

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Lines of each log shown when a story fails.
const LOG_LINES: usize = 25;

/// Whether the machine has everything; says what it has not. Panics when `ARAME_REQUIRE` names it.
///
/// # Panics
/// When something required is missing.
pub fn able() -> bool {
    let here = |programs: &[&str]| programs.iter().all(|name| program::find(name).is_some());
    let needs = [
        ("root", nix::unistd::geteuid().is_root()),
        ("tun", Path::new("/dev/net/tun").exists()),
        ("libvirt", here(&["libvirtd", "virsh", "qemu-system-x86_64", "qemu-img"])),
        ("ovs", here(&["ovs-vswitchd", "ovsdb-server", "ovs-vsctl", "ovs-ofctl"])),
        ("tgt", here(&["tgtd", "tgtadm"])),
        ("mariadb", here(&["mariadbd"])),
        ("rabbitmq", here(&["erl"])),
        ("iproute2", here(&["ip", "nft", "ethtool"])),
        ("tcpdump", here(&["tcpdump"])),
        ("dig", here(&["dig"])),
        ("ping", here(&["ping"])),
        ("ssh", here(&["ssh"])),
    ];
    for (need, has) in needs {
        if !has {
            arame_framework::testkit::skip(need);
            return false;
        }
    }
    true
}

/// Looks until there is something to see.
///
/// # Errors
/// The deadline passes, or looking fails.
pub async fn until<T, F, R>(what: &str, limit: Duration, mut look: F) -> anyhow::Result<T>
where
    F: FnMut() -> R,
    R: Future<Output = anyhow::Result<Option<T>>>,
{
    let began = Instant::now();
    loop {
        if let Some(found) = look().await.with_context(|| what.to_owned())? {
            return Ok(found);
        }
        ensure!(began.elapsed() < limit, "not within {} s: {what}", limit.as_secs());
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// One data center, from its folder on.
pub struct DataCenter {
    folder: TempDir,
    arame: PathBuf,
    listen: String,
    webui: String,
    demo: String,
    began: Instant,
    ended: Ended,
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    No,
    /// The story came to its end: nothing to show, nothing to take down.
    Well,
}

impl DataCenter {
    /// A folder, a port and a network that nobody uses; nothing runs yet.
    ///
    /// # Errors
    /// The programs are not built.
    pub fn new() -> anyhow::Result<Self> {
        let target = built_programs()?;
        let folder = tempfile::Builder::new().prefix("arame-road-").tempdir()?;
        // Packages of the guest image are fetched once a target folder, not once a run.
        let cache = target.with_file_name("tmp").join("arame-guest-cache");
        std::fs::create_dir_all(&cache)?;
        std::os::unix::fs::symlink(&cache, folder.path().join("cache"))?;
        let free = || std::net::TcpListener::bind("127.0.0.1:0");
        // Both held until both are known, so that they are two.
        let (api, webui) = (free()?, free()?);
        Ok(Self {
            folder,
            arame: target.join("arame"),
            listen: api.local_addr()?.to_string(),
            webui: webui.local_addr()?.to_string(),
            demo: free_network()?,
            began: Instant::now(),
            ended: Ended::No,
        })
    }

    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The command itself.
    pub fn program(&self) -> &Path {
        &self.arame
    }

    pub fn api(&self, path: &str) -> String {
        format!("http://{}/api/12.03{path}", self.listen)
    }

    /// Where a browser finds the web console.
    pub fn webui(&self) -> String {
        format!("http://{}", self.webui)
    }

    /// The demo networks' subnet, as in `10.117.0.0/24`.
    pub fn demo(&self) -> &str {
        &self.demo
    }

    /// An address of the demo networks by its last number.
    pub fn address(&self, last: u8) -> String {
        let base = self.demo.rsplit_once('.').map_or("", |(base, _)| base);
        format!("{base}.{last}")
    }

    /// Tells that a step of the story begins, and when.
    pub fn step(&self, words: &str) {
        println!("[{:6.1} s] {words}", self.began.elapsed().as_secs_f32());
    }

    /// A figure worth reading.
    pub fn note(&self, words: &str) {
        println!("             {words}");
    }

    /// `arame up -d` with this data center's options.
    ///
    /// # Errors
    /// It cannot be run, or takes too long.
    pub async fn up(&self) -> anyhow::Result<Said> {
        let dir = self.dir().to_str().context("a folder with an odd name")?;
        let places = ["--webui", &self.webui, "--listen", &self.listen, "--demo-network", &self.demo];
        let args: Vec<&str> = ["up", "-d", "--dir", dir].into_iter().chain(places).collect();
        run(&self.arame, &args, UP_LIMIT).await
    }

    /// A command of the CLI, however it ends.
    ///
    /// # Errors
    /// It cannot be run, or takes too long.
    pub async fn arame(&self, args: &[&str]) -> anyhow::Result<Said> {
        self.arame_in("C", args).await
    }

    /// The same in the language of a locale.
    ///
    /// # Errors
    /// As [`DataCenter::arame`].
    pub async fn arame_in(&self, locale: &str, args: &[&str]) -> anyhow::Result<Said> {
        let dir = self.dir().to_str().context("a folder with an odd name")?;
        let words: Vec<&str> = ["--dir", dir].into_iter().chain(args.iter().copied()).collect();
        program::run_in(locale, &self.arame, &words, COMMAND_LIMIT).await
    }

    /// A command that must succeed: what it printed.
    ///
    /// # Errors
    /// It ends with another status than 0.
    pub async fn done(&self, args: &[&str]) -> anyhow::Result<String> {
        self.arame(args).await?.well().with_context(|| format!("arame {}", args.join(" ")))
    }

    /// The same with `--json`.
    ///
    /// # Errors
    /// It ends with another status than 0, or prints no JSON.
    pub async fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let words: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let text = self.done(&words).await?;
        serde_json::from_str(&text).with_context(|| format!("arame {} printed {text}", words.join(" ")))
    }

    /// `arame status`: the supervisor and its children.
    ///
    /// # Errors
    /// It prints no JSON.
    pub async fn status(&self) -> anyhow::Result<Status> {
        let dir = self.dir().to_str().context("a folder with an odd name")?;
        let said = run(&self.arame, &["status", "--dir", dir, "--json"], COMMAND_LIMIT).await?;
        let value: Value = serde_json::from_str(&said.out).with_context(|| format!("{said:?}"))?;
        Ok(Status(value))
    }

    /// Takes everything down.
    ///
    /// # Errors
    /// It cannot be run, or takes too long.
    pub async fn down(&self) -> anyhow::Result<Said> {
        let dir = self.dir().to_str().context("a folder with an odd name")?;
        run(&self.arame, &["down", "--dir", dir], COMMAND_LIMIT * 2).await
    }

    /// The story is over: nothing runs any more.
    pub fn ended_well(mut self) {
        self.step("the end");
        self.ended = Ended::Well;
    }

    fn tell_logs(&self) {
        let Ok(entries) = std::fs::read_dir(self.dir().join("log")) else { return };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some()) {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            println!("--- {}\n{}", path.display(), lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"));
        }
    }
}

impl Drop for DataCenter {
    fn drop(&mut self) {
        if self.ended == Ended::Well {
            return;
        }
        self.tell_logs();
        if std::env::var_os("ARAME_KEEP").is_some() {
            println!("kept: {}", self.dir().display());
            self.folder.disable_cleanup(true);
            return;
        }
        let mut command = std::process::Command::new(&self.arame);
        let _ = command.arg("down").arg("--dir").arg(self.dir()).status();
    }
}

/// What `arame status --json` says.
#[derive(Debug)]
pub struct Status(Value);

impl Status {
    pub fn supervisor(&self) -> Option<i32> {
        self.0["supervisor"].as_i64().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Names and pids of the children that run.
    pub fn running(&self) -> Vec<(String, i32)> {
        let lines = self.0["children"].as_array().cloned().unwrap_or_default();
        let living = lines.iter().filter(|line| line["running"] == true);
        let pair = |line: &Value| Some((line["name"].as_str()?.to_owned(), i32::try_from(line["pid"].as_i64()?).ok()?));
        living.filter_map(pair).collect()
    }

    /// # Errors
    /// No such child runs.
    pub fn pid(&self, name: &str) -> anyhow::Result<i32> {
        let found = self.running().into_iter().find(|(child, _)| child == name);
        found.map(|(_, pid)| pid).with_context(|| format!("{name} does not run: {:?}", self.0))
    }
}

/// The folder of the programs, beside that of the tests.
fn built_programs() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("the test program is in no target folder")?.to_owned();
    for name in ["arame", "arame-dcmgr", "arame-hva", "arame-sta", "arame-nsa", "arame-webui"] {
        let path = target.join(name);
        if !path.is_file() {
            bail!("{} is not built: run `cargo build --workspace` first", path.display());
        }
    }
    Ok(target)
}

/// A /24 below 10/8 that no route of this machine leads to, away from `arame up`'s own choice.
fn free_network() -> anyhow::Result<String> {
    let routes = std::fs::read_to_string("/proc/net/route")?;
    // Column 2 is the destination in hexadecimal, lowest byte first.
    let taken = |second: u8, third: u8| {
        let hex = format!("00{third:02X}{second:02X}0A");
        routes.lines().any(|line| line.split_whitespace().nth(1) == Some(hex.as_str()))
    };
    let own = std::process::id();
    let candidates = (0..4096u32).map(|n| {
        let number = own.wrapping_add(n.wrapping_mul(257));
        (101 + (number % 150) as u8, ((number >> 8) % 256) as u8)
    });
    let mut free = candidates.filter(|(second, third)| !taken(*second, *third) && !taken(*second, 0));
    let (second, third) = free.next().context("every network below 10/8 is routed somewhere")?;
    Ok(format!("10.{second}.{third}.0/24"))
}
