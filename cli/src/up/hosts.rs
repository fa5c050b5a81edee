//! Hypervisor hosts on this machine: the folders and settings of each, and the child that runs it.
//!
//! The settings here (no authentication on the management network, QEMU as root without a security driver) are for a
//! laboratory inside namespaces only; nothing else may copy them.

use super::children::{ChildSpec, Place, Stage};
use super::command::Call;
use super::files;
use super::layout::{Layout, Wish, host_name};
use nix::sys::signal::Signal;
use sha2::{Digest, Sha256};
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

/// The child that is a host.
pub fn child_name(host: u16) -> String {
    format!("host-{}", host_name(host))
}

/// Writes the host's own /etc.
pub fn prepare(layout: &Layout, wish: &Wish, host: u16) -> io::Result<()> {
    let dir = layout.host(host);
    for name in ["run", "lib", "log", "cache", "etc"] {
        files::folder(&dir.join(name), 0o755)?;
    }
    let hosts: Vec<(Ipv4Addr, String)> =
        (1..=wish.hosts).map(|other| (wish.host_address(other), host_name(other))).collect();
    write_etc(&dir, wish.host_address(host), host_uuid(layout, host), &hosts)
}

/// The settings of one host's daemons, for a host that lives inside namespaces and nowhere else: `dir` is what
/// `arame host-init` gets, `address` its own on the management network.
///
/// # Errors
/// A file cannot be written.
pub fn write_etc(dir: &Path, address: Ipv4Addr, host_uuid: uuid::Uuid, all: &[(Ipv4Addr, String)]) -> io::Result<()> {
    files::folder(&dir.join("etc"), 0o755)?;
    let libvirtd = format!(
        "listen_tls = 0\nlisten_tcp = 1\nlisten_addr = \"{address}\"\nauth_tcp = \"none\"\nauth_unix_rw = \"none\"\n\
         auth_unix_ro = \"none\"\nunix_sock_group = \"root\"\nhost_uuid = \"{host_uuid}\"\n"
    );
    let qemu = format!(
        "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\nnamespaces = []\ncgroup_controllers = []\n\
         stdio_handler = \"file\"\nremember_owner = 0\ndynamic_ownership = 0\nmigration_host = \"{address}\"\n"
    );
    let mut hosts = "127.0.0.1 localhost\n".to_owned();
    for (address, name) in all {
        hosts.push_str(&format!("{address} {name}\n"));
    }
    files::replace_if_different(&dir.join("etc/libvirtd.conf"), libvirtd.as_bytes(), 0o644)?;
    files::replace_if_different(&dir.join("etc/qemu.conf"), qemu.as_bytes(), 0o644)?;
    // Written in place: a bind mount holds on to the file itself.
    std::fs::write(dir.join("etc-hosts"), hosts)
}

/// libvirt identifies a host by this; several on one machine must differ, and one must keep its own.
fn host_uuid(layout: &Layout, host: u16) -> uuid::Uuid {
    let digest = Sha256::digest(format!("{} {}", layout.dir().display(), host_name(host)));
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Runs until its outer process is killed, which is a power failure to everything inside.
pub fn child(layout: &Layout, host: u16, arame: &Path) -> ChildSpec {
    let name = child_name(host);
    let dir = layout.host(host);
    let unshare = super::command::find("unshare").unwrap_or_else(|| "unshare".into());
    let mut spec = ChildSpec::new(&name, unshare, layout.log(&name), Stage::Host)
        .args(["--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .args([arame.as_os_str(), "host-init".as_ref(), "--dir".as_ref(), dir.as_os_str(), "--hostname".as_ref()])
        .args([host_name(host)])
        .place(Place::Netns(layout.netns_host(host)));
    spec.stop = Signal::SIGKILL;
    spec.grace = Duration::from_secs(5);
    spec
}

/// Where programs of the machine reach the host's libvirt.
pub fn libvirt_uri(layout: &Layout, host: u16) -> String {
    format!("qemu:///system?socket={}", layout.host(host).join("run/libvirt/libvirt-sock").display())
}

/// Whether the host's switch has its bridge and its libvirt answers.
pub async fn is_ready(layout: &Layout, host: u16) -> bool {
    if !layout.host(host).join("run/ready").exists() {
        return false;
    }
    let uri = libvirt_uri(layout, host);
    let answered = Call::new("virsh").args(["-c", &uri, "list", "--all", "--name"]).output().await;
    answered.is_ok_and(|output| output.status.success())
}

/// What guests get to shut down in order before their host's power goes. A tiny guest needs 3 s under emulation.
const GUEST_GRACE: Duration = Duration::from_secs(12);

/// Presses the power button of every running guest of these hosts and waits until they are off, within limits.
/// A guest that does not listen loses its power with its host.
pub async fn shut_guests_down(layout: &Layout) {
    let mut waiting = Vec::new();
    for uri in reachable(layout) {
        for guest in running_guests(&uri).await {
            let _ = Call::new("virsh").args(["-c", &uri, "shutdown", &guest]).output().await;
            waiting.push(uri.clone());
        }
    }
    waiting.dedup();
    let deadline = tokio::time::Instant::now() + GUEST_GRACE;
    for uri in waiting {
        while !running_guests(&uri).await.is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Whether any host of this data center is up.
pub fn any_up(layout: &Layout) -> bool {
    !reachable(layout).is_empty()
}

/// Hosts are found by their sockets: `down` does not know how many there are.
fn reachable(layout: &Layout) -> Vec<String> {
    let entries = std::fs::read_dir(layout.path("hosts")).into_iter().flatten().flatten();
    let sockets = entries.map(|entry| entry.path().join("run/libvirt/libvirt-sock"));
    let alive = sockets.filter(|socket| std::os::unix::net::UnixStream::connect(socket).is_ok());
    alive.map(|socket| format!("qemu:///system?socket={}", socket.display())).collect()
}

async fn running_guests(uri: &str) -> Vec<String> {
    let listed = Call::new("virsh").args(["-c", uri, "list", "--uuid", "--state-running"]).run().await;
    listed.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}
