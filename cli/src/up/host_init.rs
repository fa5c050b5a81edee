//! `arame host-init`: the first process of one hypervisor host, inside its own PID, mount, UTS and network namespace.
//!
//! What must stay true: it reaps whatever dies (without that a failed migration hangs on a zombie QEMU), it does not
//! end when libvirtd or the switch end (guests live in this namespace and would die with it) but starts them again,
//! and it changes nothing that is seen outside: its folders lie over the machine's by bind mounts of its own.
//! Ended from outside by SIGKILL of its parent, as a host's power fails.

use anyhow::{Context, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::wait::{WaitStatus, waitpid};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Pause before a daemon that died is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// How long a daemon may take for its socket.
const SOCKET_LIMIT: Duration = Duration::from_secs(20);

const SWITCH_RUN: &str = "/run/openvswitch";

#[derive(Debug, Clone, clap::Args)]
pub struct HostInitArgs {
    /// The host's own folders: run, lib, log, cache, etc.
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    hostname: String,
}

/// Runs until killed.
pub fn host_init(args: HostInitArgs) -> anyhow::Result<()> {
    if std::process::id() != 1 {
        bail!("`arame host-init` is started by `arame up`, as the first process of a namespace");
    }
    cover(&args.dir)?;
    nix::unistd::sethostname(&args.hostname).context("set host name")?;
    let mut daemons = Daemons::default();
    daemons.start(Daemon::Libvirt)?;
    prepare_switch()?;
    daemons.start(Daemon::SwitchDatabase)?;
    wait_for(Path::new("/run/openvswitch/db.sock"))?;
    vsctl(&["--no-wait", "init"])?;
    daemons.start(Daemon::Switch)?;
    // The flows are the agent's: until it comes nothing passes (fail_mode=secure).
    let bridge = [
        "--timeout=15",
        "--",
        "--may-exist",
        "add-br",
        "ovs0",
        "--",
        "set",
        "bridge",
        "ovs0",
        "datapath_type=netdev",
        "fail_mode=secure",
        "--",
        "--may-exist",
        "add-port",
        "ovs0",
        "t0",
        "vlan_mode=trunk",
    ];
    vsctl(&bridge)?;
    std::fs::write("/run/ready", "1\n").context("write /run/ready")?;
    daemons.watch()
}

/// Private folders over the paths the daemons use.
fn cover(dir: &Path) -> anyhow::Result<()> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("make mounts private")?;
    let run = dir.join("run");
    // As after a restart of a machine: /run is empty.
    let _ = std::fs::remove_dir_all(&run);
    let pairs = [
        ("run", "/run"),
        ("lib", "/var/lib/libvirt"),
        ("log", "/var/log/libvirt"),
        ("cache", "/var/cache/libvirt"),
        ("etc", "/etc/libvirt"),
    ];
    for (name, target) in pairs {
        let source = dir.join(name);
        std::fs::create_dir_all(&source).with_context(|| format!("make {}", source.display()))?;
        mount(Some(&source), target, none, MsFlags::MS_BIND, none).with_context(|| format!("cover {target}"))?;
    }
    let hosts = dir.join("etc-hosts");
    mount(Some(&hosts), "/etc/hosts", none, MsFlags::MS_BIND, none).context("cover /etc/hosts")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Daemon {
    Libvirt,
    SwitchDatabase,
    Switch,
}

impl Daemon {
    fn name(self) -> &'static str {
        match self {
            Daemon::Libvirt => "libvirtd",
            Daemon::SwitchDatabase => "ovsdb-server",
            Daemon::Switch => "ovs-vswitchd",
        }
    }

    fn command(self) -> Command {
        let mut command = Command::new(super::command::find(self.name()).unwrap_or_else(|| self.name().into()));
        match self {
            Daemon::Libvirt => command.arg("--listen"),
            Daemon::SwitchDatabase => command.args([
                "/run/openvswitch/conf.db",
                "--remote=punix:/run/openvswitch/db.sock",
                "--pidfile",
                "--log-file=/dev/null",
            ]),
            Daemon::Switch => command.args(["unix:/run/openvswitch/db.sock", "--pidfile", "--log-file=/dev/null"]),
        };
        switch_environment(&mut command);
        command.stdin(Stdio::null());
        command
    }
}

fn switch_environment(command: &mut Command) {
    for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"] {
        command.env(variable, SWITCH_RUN);
    }
}

#[derive(Default)]
struct Daemons {
    running: BTreeMap<i32, Daemon>,
}

impl Daemons {
    fn start(&mut self, daemon: Daemon) -> anyhow::Result<()> {
        let child = daemon.command().spawn().with_context(|| format!("start {}", daemon.name()))?;
        // Not waited for through `Child`: the loop below waits for every process of this namespace.
        self.running.insert(child.id() as i32, daemon);
        Ok(())
    }

    fn watch(mut self) -> anyhow::Result<()> {
        loop {
            let pid = match waitpid(None, None) {
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => pid.as_raw(),
                Ok(_) => continue,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(nix::errno::Errno::ECHILD) => -1,
                Err(error) => return Err(error).context("wait for children"),
            };
            if pid == -1 {
                std::thread::sleep(RESTART_PAUSE);
                continue;
            }
            if let Some(daemon) = self.running.remove(&pid) {
                println!("{} ended, starting it again", daemon.name());
                std::thread::sleep(RESTART_PAUSE);
                self.start(daemon)?;
            }
        }
    }
}

fn prepare_switch() -> anyhow::Result<()> {
    std::fs::create_dir_all(SWITCH_RUN).context("make the switch's folder")?;
    let mut command = Command::new("ovsdb-tool");
    command.args(["create", "/run/openvswitch/conf.db", "/usr/share/openvswitch/vswitch.ovsschema"]);
    run(command)
}

fn vsctl(args: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("ovs-vsctl");
    command.arg("--db=unix:/run/openvswitch/db.sock").args(args);
    switch_environment(&mut command);
    run(command)
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("start {command:?}"))?;
    if status.success() { Ok(()) } else { bail!("{command:?} failed: {status}") }
}

fn wait_for(path: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOCKET_LIMIT;
    while !super::files::listens(path) {
        if Instant::now() > deadline {
            bail!("nobody listens at {}", path.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
