//! `arame enter`: becomes another program inside namespaces, with private bind mounts, as another user.
//!
//! It replaces itself (exec), so the process id its parent knows is the program's own. util-linux's nsenter and
//! setpriv could do the half of it; neither can put a private folder over a public path, which lets an unprivileged
//! MariaDB live in a folder whose parents it may not enter.

use anyhow::{Context, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Gid, Uid, execvp, setgid, setgroups, setuid};
use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, clap::Args)]
pub struct EnterArgs {
    /// Network namespace to enter (a path).
    #[arg(long)]
    netns: Option<PathBuf>,
    /// Enter the network, UTS and mount namespaces of the host whose outer process this is.
    #[arg(long)]
    host_of: Option<i32>,
    /// SOURCE=TARGET: seen only by the program.
    #[arg(long)]
    bind: Vec<String>,
    #[arg(long, requires = "gid")]
    uid: Option<u32>,
    #[arg(long)]
    gid: Option<u32>,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Never returns but with an error.
pub fn enter(args: EnterArgs) -> anyhow::Result<Infallible> {
    // A thread that shares its root and working directory with others may not change its mount namespace.
    unshare(CloneFlags::CLONE_FS).context("unshare file system attributes")?;
    if let Some(path) = &args.netns {
        join(path, CloneFlags::CLONE_NEWNET)?;
    }
    if let Some(outer) = args.host_of {
        join_host(outer)?;
    }
    if !args.bind.is_empty() {
        bind(&args.bind)?;
    }
    if let (Some(uid), Some(gid)) = (args.uid, args.gid) {
        setgroups(&[]).context("drop groups")?;
        setgid(Gid::from_raw(gid)).context("set group")?;
        setuid(Uid::from_raw(uid)).context("set user")?;
    }
    let words: Result<Vec<CString>, _> = args.command.into_iter().map(|w| CString::new(w.into_vec())).collect();
    let words = words.context("a word of the command holds a zero byte")?;
    let Some(program) = words.first() else { bail!("no command given") };
    execvp(program, &words).with_context(|| format!("start {}", program.to_string_lossy()))
}

fn join(path: &Path, kind: CloneFlags) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    setns(file, kind).with_context(|| format!("enter {}", path.display()))
}

/// The mount namespace comes last: afterwards this process sees the host's own /proc.
fn join_host(outer: i32) -> anyhow::Result<()> {
    let Some(first) = super::process::only_child(outer) else { bail!("process {outer} has no child: host is down") };
    let open = |name: &str| {
        let path = format!("/proc/{first}/ns/{name}");
        File::open(&path).with_context(|| format!("open {path}"))
    };
    let (net, uts, mounts) = (open("net")?, open("uts")?, open("mnt")?);
    setns(net, CloneFlags::CLONE_NEWNET).context("enter the host's network")?;
    setns(uts, CloneFlags::CLONE_NEWUTS).context("enter the host's name")?;
    setns(mounts, CloneFlags::CLONE_NEWNS).context("enter the host's mounts")
}

fn bind(pairs: &[String]) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("unshare mounts")?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("make mounts private")?;
    for pair in pairs {
        let Some((source, target)) = pair.split_once('=') else { bail!("`{pair}` is not SOURCE=TARGET") };
        mount(Some(source), target, none, MsFlags::MS_BIND, none)
            .with_context(|| format!("bind {source} to {target}"))?;
    }
    Ok(())
}
