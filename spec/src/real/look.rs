//! What the data center left on the machine and in its backends, seen with the backends' own tools, never through
//! Arame: domains, taps, switch ports, flows, targets, files, processes, namespaces, mounts, routes.

use super::DataCenter;
use super::program::{SHORT, Said, run};
use anyhow::{Context, ensure};
use mysql_async::prelude::Queryable;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Port of the private tgtd's control socket.
const TGT_CONTROL: &str = "7";

impl DataCenter {
    /// The full name of a namespace: `fab`, `gw2`, `h1`, …
    ///
    /// # Errors
    /// The data center has not made its namespaces.
    pub fn namespace(&self, name: &str) -> anyhow::Result<String> {
        Ok(format!("{}{name}", self.namespace_prefix()?))
    }

    /// What all its namespaces begin with: `arame-<tag>-`.
    ///
    /// # Errors
    /// The data center has not made its namespaces.
    pub fn namespace_prefix(&self) -> anyhow::Result<String> {
        let notes = std::fs::read_dir(self.dir().join("run"))?.flatten();
        let names = notes.filter_map(|entry| entry.file_name().into_string().ok());
        let prefix = names.filter_map(|name| name.strip_suffix("fab.netns").map(str::to_owned)).next();
        prefix.context("no namespace is noted in run/")
    }

    /// A program inside a namespace: what it printed.
    ///
    /// # Errors
    /// It fails.
    pub async fn inside(&self, name: &str, words: &[&str]) -> anyhow::Result<Said> {
        let namespace = self.namespace(name)?;
        let all: Vec<&str> = ["netns", "exec", &namespace].into_iter().chain(words.iter().copied()).collect();
        run("ip", &all, SHORT).await
    }

    /// `virsh` at a host's libvirt.
    ///
    /// # Errors
    /// It cannot be run.
    pub async fn virsh(&self, host: &str, words: &[&str]) -> anyhow::Result<Said> {
        let socket = self.dir().join(format!("hosts/{host}/run/libvirt/libvirt-sock"));
        let uri = format!("qemu:///system?socket={}", socket.display());
        let all: Vec<&str> = ["-c", &uri].into_iter().chain(words.iter().copied()).collect();
        run("virsh", &all, SHORT).await
    }

    /// `ovs-vsctl` at a host's switch.
    ///
    /// # Errors
    /// It cannot be run.
    pub async fn vsctl(&self, host: &str, words: &[&str]) -> anyhow::Result<Said> {
        let db = format!("--db=unix:{}", self.dir().join(format!("hosts/{host}/run/openvswitch/db.sock")).display());
        let all: Vec<&str> = [db.as_str()].into_iter().chain(words.iter().copied()).collect();
        run("ovs-vsctl", &all, SHORT).await
    }

    /// Names of all domains of a host, also those that are off.
    ///
    /// # Errors
    /// The host's libvirt does not answer.
    pub async fn domains(&self, host: &str) -> anyhow::Result<Vec<String>> {
        let said = self.virsh(host, &["list", "--all", "--name"]).await?.well()?;
        Ok(said.split_whitespace().map(str::to_owned).collect())
    }

    /// Network devices of guests in a host.
    ///
    /// # Errors
    /// The namespace does not stand.
    pub async fn taps(&self, host: &str) -> anyhow::Result<Vec<String>> {
        let text = self.inside(host, &["ip", "-o", "link"]).await?.well()?;
        let names = text.lines().filter_map(|line| line.split(": ").nth(1));
        Ok(names.filter(|name| name.starts_with("vif")).map(str::to_owned).collect())
    }

    /// Ports of guests at a host's switch.
    ///
    /// # Errors
    /// The switch does not answer.
    pub async fn ports(&self, host: &str) -> anyhow::Result<Vec<String>> {
        let text = self.vsctl(host, &["list-ports", "ovs0"]).await?.well()?;
        Ok(text.lines().filter(|name| name.starts_with("vif")).map(str::to_owned).collect())
    }

    /// The host's flows, as `ovs-ofctl` shows them.
    ///
    /// # Errors
    /// The switch does not answer.
    pub async fn flows(&self, host: &str) -> anyhow::Result<Vec<String>> {
        let bridge = self.dir().join(format!("hosts/{host}/run/openvswitch/ovs0.mgmt"));
        let bridge = format!("unix:{}", bridge.display());
        let text = run("ovs-ofctl", &["-O", "OpenFlow15", "dump-flows", &bridge], SHORT).await?.well()?;
        Ok(text.lines().filter(|line| line.contains("actions=")).map(str::to_owned).collect())
    }

    /// What `tgtadm` shows of the iSCSI targets.
    ///
    /// # Errors
    /// tgtd does not answer.
    pub async fn targets(&self) -> anyhow::Result<String> {
        let socket = format!("TGT_IPC_SOCKET={}", self.dir().join("run/tgt").display());
        let words = [&socket, "tgtadm", "-C", TGT_CONTROL, "--lld", "iscsi", "--op", "show", "--mode", "target"];
        run("env", &words, SHORT).await?.well()
    }

    /// CHAP user and secret of the one attachment there is, opened as dcmgr opens them: the positive control of
    /// "nobody else gets in" needs them.
    ///
    /// # Errors
    /// There is none, or not one.
    pub async fn attachment_secret(&self) -> anyhow::Result<(String, String)> {
        let password = std::fs::read_to_string(self.dir().join("secrets/db-arame"))?;
        let options = mysql_async::OptsBuilder::default()
            .socket(Some(self.dir().join("db/s.sock").display().to_string()))
            .user(Some("arame"))
            .pass(Some(password.trim()))
            .db_name(Some("arame"));
        let mut connection = mysql_async::Conn::new(options).await?;
        let question = "SELECT chap_user, chap_secret_sealed FROM attachments WHERE wanted = 1";
        let rows: Vec<(String, String)> = connection.query(question).await?;
        connection.disconnect().await?;
        let [(user, sealed)] = rows.as_slice() else { anyhow::bail!("{} attachments", rows.len()) };
        let vault = arame_dcmgr::db::secrets::Vault::open(&self.dir().join("secrets/dcmgr-key"))?;
        Ok((user.clone(), vault.unseal(sealed)?))
    }

    /// Files of a folder below `--dir`.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir().join(folder)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// What the data center has on the machine now, outside its folder.
    ///
    /// # Errors
    /// The machine cannot be looked at.
    pub async fn footprint(&self, marks: &Marks) -> anyhow::Result<Footprint> {
        let dir = self.dir().to_str().context("a folder with an odd name")?;
        let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let mounts = mounts.lines().filter(|line| line.contains(dir) || line.contains(&marks.prefix));
        let links = run("ip", &["-o", "link"], SHORT).await?.well()?;
        let routes = run("ip", &["route"], SHORT).await?.well()?;
        let own = std::process::id();
        Ok(Footprint {
            processes: processes().filter(|one| one.pid != own && one.is_of(dir, marks)).map(|p| p.line).collect(),
            namespaces: names.filter(|name| name.starts_with(&marks.prefix)).collect(),
            mounts: mounts.map(str::to_owned).collect(),
            links: links.lines().filter(|line| line.contains(&marks.link)).map(str::to_owned).collect(),
            routes: routes
                .lines()
                .filter(|line| line.starts_with(self.demo()) || line.contains(&marks.link))
                .map(str::to_owned)
                .collect(),
        })
    }

    /// By what its traces are known after it is gone.
    ///
    /// # Errors
    /// The data center does not stand.
    pub fn marks(&self) -> anyhow::Result<Marks> {
        let prefix = self.namespace_prefix()?;
        let tag = prefix.trim_start_matches("arame-").trim_end_matches('-');
        let names = std::fs::read_dir("/run/netns")?.flatten();
        let ours = names.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        let inodes: Vec<u64> = ours.filter_map(|entry| Some(std::fs::metadata(entry.path()).ok()?.ino())).collect();
        ensure!(!inodes.is_empty(), "no namespace of this data center exists");
        Ok(Marks { link: format!("ara-{tag}"), prefix, inodes })
    }
}

/// Names and numbers that only this data center has.
#[derive(Debug, Clone)]
pub struct Marks {
    prefix: String,
    link: String,
    /// Of its network namespaces.
    inodes: Vec<u64>,
}

/// What the machine has of the data center.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    pub processes: Vec<String>,
    pub namespaces: Vec<String>,
    pub mounts: Vec<String>,
    pub links: Vec<String>,
    pub routes: Vec<String>,
}

struct Process {
    pid: u32,
    line: String,
    network: Option<u64>,
}

impl Process {
    /// It names the folder, or lives in one of the namespaces.
    fn is_of(&self, dir: &str, marks: &Marks) -> bool {
        self.line.contains(dir) || self.network.is_some_and(|inode| marks.inodes.contains(&inode))
    }
}

fn processes() -> impl Iterator<Item = Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let base = PathBuf::from(format!("/proc/{pid}"));
        let bytes = std::fs::read(base.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
        let network = std::fs::metadata(base.join("ns/net")).ok().map(|meta| meta.ino());
        Some(Process { pid, line: format!("{pid} {}", line.trim()), network })
    })
}

/// The process of this program's name below another one.
pub fn below(ancestor: i32, name: &str) -> Option<i32> {
    let parent = |pid: i32| -> Option<i32> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        text.get(text.rfind(')')? + 2..)?.split_whitespace().nth(1)?.parse().ok()
    };
    let named = |pid: i32| {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        comm.trim() == name
    };
    let descends = |pid: i32| std::iter::successors(Some(pid), |pid| parent(*pid)).any(|pid| pid == ancestor);
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| named(*pid) && descends(*pid))
}

/// Kills one process, as a crash does.
///
/// # Errors
/// There is none.
pub fn kill(pid: i32) -> anyhow::Result<()> {
    let signal = nix::sys::signal::Signal::SIGKILL;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).with_context(|| format!("kill {pid}"))
}

/// The hypervisor's process of a guest: its command line names the domain, which is named after the instance.
pub fn qemu_of(instance: &str) -> Option<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| {
        let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.split('\0').next().is_some_and(|program| program.contains("qemu-system")) && line.contains(instance)
    })
}

/// Whether a process of this number exists and is no zombie.
pub fn is_alive(pid: i32) -> bool {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    text.rfind(')').and_then(|at| text.get(at + 2..at + 3)).is_some_and(|state| state != "Z" && state != "X")
}
