//! A hypervisor host on libvirt inside the cell, where the machine can: `arame host-init` with its libvirtd and its
//! switch in the agent's own network namespace, and a real hva in it. Its guests find nothing to boot from (the image of
//! the cell is empty): what is tried is their host, not they.
//!
//! Rule: what it has is told by virsh, ovs-vsctl and its files, in the form of a simulated world, so that one judge
//! judges all hosts. Its guests get no volumes (the storage of the cell is simulated) and are not moved (no host like it).

use super::files::{HOST, REAL};
use super::program::Program;
use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Longest a look may take: libvirt may have just been killed.
const LOOK_LIMIT: Duration = Duration::from_secs(20);

/// Room for overlays of an empty image, and what the agent wants free (64 MiB) before it takes a guest; small enough to
/// be filled at once.
pub const STATE_SIZE: &str = "size=160m";

/// Guests that fit: few, for each is a process of its own.
pub const GUESTS: u32 = 6;

/// The port of the switch that leads to the other hosts: here to nobody.
const TRUNK: &str = "t0";

/// Marks of the agent on a switch's interface.
const OWNER: &str = "arame-instance";
const VIF: &str = "arame-vif";

/// Whether the machine has what such a host needs, or the name of what it has not.
///
/// # Errors
/// What is missing.
pub fn is_possible() -> Result<(), &'static str> {
    let here = |names: &[&str]| names.iter().all(|name| crate::real::program::find(name).is_some());
    let needs = [
        ("tun", Path::new("/dev/net/tun").exists()),
        ("libvirt", here(&["libvirtd", "virsh", "qemu-system-x86_64", "qemu-img"])),
        ("ovs", here(&["ovs-vswitchd", "ovsdb-server", "ovs-vsctl", "ovs-ofctl"])),
    ];
    needs.iter().find(|(_, has)| !has).map_or(Ok(()), |(need, _)| Err(*need))
}

/// Where everything of the host is.
#[derive(Debug, Clone)]
pub struct Host {
    /// What `arame host-init` gets.
    dir: PathBuf,
    /// The agent's own files.
    state: PathBuf,
}

impl Host {
    pub fn new(folder: &Path) -> Host {
        Host { dir: folder.join("hosts").join(HOST), state: folder.join("state").join(REAL) }
    }

    /// The host's settings, as `arame up` writes them.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, address: Ipv4Addr) -> anyhow::Result<()> {
        // One host a cell, and no libvirt outside of it that it talks to.
        let uuid = uuid::Uuid::from_u128(0x2026_1122_0000_4000_8000_0000_0000_0004);
        Ok(arame_cli::up::write_etc(&self.dir, address, uuid, &[(address, HOST.to_owned())])?)
    }

    /// Links its switch needs, made inside its namespace.
    pub fn links() -> [Vec<&'static str>; 2] {
        let peer = ["type", "veth", "peer", "name", "t0p"];
        [[&["link", "add", TRUNK][..], &peer].concat(), vec!["link", "set", TRUNK, "up"]]
    }

    /// The words of the program that is the host.
    pub fn words(&self, arame: &Path) -> Vec<String> {
        let mut words: Vec<String> = "unshare --mount --uts --pid --fork --kill-child --mount-proc --"
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        words.extend([arame.display().to_string(), "host-init".into(), "--dir".into(), self.dir.display().to_string()]);
        words.extend(["--hostname".into(), HOST.into()]);
        words
    }

    /// There when libvirt and the switch were started in this life of the host.
    pub fn ready_file(&self) -> PathBuf {
        self.dir.join("run/ready")
    }

    /// `[hva]` of the agent's file.
    pub fn section(&self) -> String {
        format!(
            "[hva]\nhost = \"hn-h4\"\ndriver = \"libvirt\"\ndata_dir = \"{}\"\n\
             initiator_iqn = \"iqn.2026-11.jp.arame:h4\"\ncpu_cores = {GUESTS}\nmemory_mib = {}\ndisk_mib = 65536\n\n\
             [hva.libvirt]\nuri = \"qemu:///system?socket=/run/libvirt/libvirt-sock\"\ndomain_type = \"qemu\"\n\
             laboratory = true\n\n[hva.switch]\ndriver = \"ovs\"\nbridge = \"ovs0\"\n\
             db_socket = \"/run/openvswitch/db.sock\"\nrun_dir = \"/run/openvswitch\"\n",
            self.data().display(),
            GUESTS * super::files::MEMORY_MIB,
        )
    }

    fn data(&self) -> PathBuf {
        self.state.join("data")
    }

    /// Puts the image into the agent's cache, where it is verified as one that was there before: the simulated storage
    /// of the cell gives none out.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn know_image(&self, sha256: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let images = self.data().join("images");
        std::fs::create_dir_all(&images)?;
        Ok(std::fs::write(images.join(sha256), bytes)?)
    }

    async fn ask(&self, program: &str, words: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(LOOK_LIMIT, command.output()).await.context("hangs")??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {}: {said}", words.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn domains(&self, words: &[&str]) -> anyhow::Result<Vec<String>> {
        let uri = format!("qemu:///system?socket={}", self.dir.join("run/libvirt/libvirt-sock").display());
        let all: Vec<&str> = ["-c", &uri, "list", "--name"].into_iter().chain(words.iter().copied()).collect();
        Ok(self.ask("virsh", &all).await?.split_whitespace().map(str::to_owned).collect())
    }

    /// Interfaces with the agent's mark: vif and instance.
    async fn ports(&self) -> anyhow::Result<BTreeMap<String, Value>> {
        let db = format!("--db=unix:{}", self.dir.join("run/openvswitch/db.sock").display());
        let text =
            self.ask("ovs-vsctl", &[&db, "--format=json", "--columns=external_ids", "list", "Interface"]).await?;
        let told: Value = serde_json::from_str(&text)?;
        let rows = told["data"].as_array().cloned().unwrap_or_default();
        Ok(rows.iter().filter_map(port).collect())
    }

    /// What the host has, as a simulated world would tell it.
    ///
    /// # Errors
    /// libvirt or the switch does not answer.
    pub async fn world(&self) -> anyhow::Result<Value> {
        let running = self.domains(&["--state-running"]).await?;
        let domain = |id: String| {
            let power = if running.contains(&id) { "on" } else { "off" };
            (id, json!({ "power": power, "kept": [], "reboots": 0 }))
        };
        let domains: serde_json::Map<String, Value> = self.domains(&["--all"]).await?.into_iter().map(domain).collect();
        let homes = std::fs::read_dir(self.data().join("instances"))?.flatten();
        let homes: Vec<(String, PathBuf)> =
            homes.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect();
        let with = |name: &'static str| {
            homes.iter().filter(move |(_, path)| path.join(name).exists()).map(|(id, _)| id.clone())
        };
        let records: serde_json::Map<String, Value> = with("record.json").map(|id| (id, json!({}))).collect();
        let disks: Vec<String> = with("disk.qcow2").collect();
        Ok(json!({ "domains": domains, "disks": disks, "records": records, "ports": self.ports().await? }))
    }
}

/// A row of `ovs-vsctl --format=json list Interface`: `[["map", [[key, value], …]]]`.
fn port(row: &Value) -> Option<(String, Value)> {
    let pairs = row[0][1].as_array()?;
    let mark = |key: &str| pairs.iter().find(|pair| pair[0] == key).and_then(|pair| pair[1].as_str());
    Some((mark(VIF)?.to_owned(), json!({ "instance": mark(OWNER)? })))
}

/// Kills one process of the host by its name, chosen by `pick`. `None`: there is none.
///
/// # Errors
/// The processes cannot be listed.
pub fn kill_one(name: &str, pick: impl FnOnce(usize) -> usize) -> anyhow::Result<Option<()>> {
    let mut found: Vec<i32> = Vec::new();
    // The cell's own /proc: nothing outside of it is in there.
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|text| text.parse().ok()) else { continue };
        // The kernel keeps 15 letters of a name (proc(5), comm).
        let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if comm.trim_end() == &name[..name.len().min(15)] {
            found.push(pid);
        }
    }
    if found.is_empty() {
        return Ok(None);
    }
    let chosen = found[pick(found.len()) % found.len()];
    Ok(kill(Pid::from_raw(chosen), Signal::SIGKILL).ok())
}

/// The host's power fails, its agent with it; both come back.
///
/// # Errors
/// They do not die.
pub async fn lose_power(host: &Program, agent: &Program, ready: &Path) -> anyhow::Result<()> {
    for program in [agent, host] {
        program.hold(true);
        program.signal(Signal::SIGKILL);
    }
    crate::processes::until("the host and its agent are dead", async || Ok(!host.is_alive() && !agent.is_alive()))
        .await?;
    let _ = std::fs::remove_file(ready);
    for program in [host, agent] {
        program.hold(false);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_read_by_its_marks_and_one_without_is_not() {
        let marked = json!([["map", [["arame-instance", "i-a"], ["arame-vif", "vif-a"], ["other", "x"]]]]);
        assert_eq!(port(&marked), Some(("vif-a".to_owned(), json!({ "instance": "i-a" }))));
        assert_eq!(port(&json!([["map", []]])), None, "the switch's own");
    }
}
