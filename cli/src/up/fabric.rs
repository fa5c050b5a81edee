//! The network between the hosts: namespaces, bridges, the trunk, the demo network's gateway, the one link outside.
//!
//! ```text
//!  machine ── ara-<tag> ══ up0 ┐                       fab (namespace)
//!                              ├ routes, nft ── gw0 10.100.0.1 ══ gw0p (tag 101) ┐
//!            brM 10.99.0.254 ──┘                        tr0 (trunk, all tags) ── ovs0
//!             │ ║ management                             ║
//!             │ ║                                 brT ═══╝ trunk: frames with 802.1Q tags
//!        m0 of h1 m0 of h2 …                     t0 of h1, t0 of h2 …
//! ```
//!
//! What must stay true: outside the namespaces only the link and one route exist, and [`remove`] takes both away;
//! from the demo network nothing new can be opened towards the infrastructure or the machine but ICMP. Kernel objects
//! are made from nothing: where a namespace is not the one noted in `run/`, everything is made again.

use super::children::{ChildSpec, Place, Stage};
use super::command::{Call, CommandError};
use super::files;
use super::layout::{Layout, Wish, host_name};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Tags of the two demo networks; both have the same subnet on purpose.
pub const DEMO1_TAG: u16 = 101;
pub const DEMO2_TAG: u16 = 102;

#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the infrastructure's switch did not answer within {0:?}")]
    Switch(Duration),
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> FabricError + '_ {
    move |source| FabricError::File { path: path.to_owned(), source }
}

/// Runs a list of `ip` commands in a namespace, in one process.
async fn ip_batch(netns: Option<&str>, lines: &[String]) -> Result<(), CommandError> {
    let mut call = Call::new("ip");
    if let Some(name) = netns {
        call = call.args(["-n", name]);
    }
    call.args(["-batch", "-"]).input(lines.join("\n") + "\n").run().await.map(|_| ())
}

/// A program inside a namespace.
fn inside(netns: &str, program: &str) -> Call {
    Call::new("nsenter").arg(format!("--net=/run/netns/{netns}")).args(["--", program])
}

/// Identifies a namespace: its inode is not used again while it exists.
fn netns_inode(name: &str) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(format!("/run/netns/{name}")).ok().map(|meta| meta.ino())
}

/// Whether the namespace is the one that was noted when it was finished.
fn is_finished(layout: &Layout, name: &str) -> bool {
    let noted = std::fs::read_to_string(layout.run(&format!("{name}.netns"))).unwrap_or_default();
    netns_inode(name).is_some_and(|inode| noted.trim() == inode.to_string())
}

fn note_finished(layout: &Layout, name: &str) -> Result<(), FabricError> {
    let path = layout.run(&format!("{name}.netns"));
    let inode = netns_inode(name).unwrap_or_default();
    files::replace(&path, format!("{inode}\n").as_bytes(), 0o600).map_err(at(&path))
}

async fn make_netns(name: &str) -> Result<(), CommandError> {
    if netns_inode(name).is_some() {
        Call::new("ip").args(["netns", "delete", name]).run().await?;
    }
    Call::new("ip").args(["netns", "add", name]).run().await.map(|_| ())
}

/// Whether the infrastructure's namespace stands as it was made.
pub fn stands(layout: &Layout) -> bool {
    is_finished(layout, &layout.netns_fab()) && is_finished(layout, &layout.netns_gateway2())
}

/// Makes the infrastructure's namespace, links, addresses and filters.
pub async fn make(layout: &Layout, wish: &Wish) -> Result<(), FabricError> {
    let (fab, gateway2, link) = (layout.netns_fab(), layout.netns_gateway2(), layout.link());
    let _ = Call::new("ip").args(["link", "delete", &link]).output().await;
    make_netns(&fab).await?;
    make_netns(&gateway2).await?;
    settings(&fab, "1")?;
    settings(&gateway2, "0")?;
    ip_batch(Some(&fab), &fab_links(layout, wish)).await?;
    let prefix = wish.demo.prefix_len();
    let gateway = wish.demo_gateway();
    let second =
        ["link set lo up".to_owned(), "link set gw0 up".to_owned(), format!("addr add {gateway}/{prefix} dev gw0")];
    ip_batch(Some(&gateway2), &second).await?;
    offload_off(&fab, &["tr0", "tr1", "gw0", "gw0p", "gw2p"]).await?;
    offload_off(&gateway2, &["gw0"]).await?;
    inside(&fab, "nft").args(["-f", "-"]).input(filter_rules()).run().await?;
    link_to_machine(layout, wish).await?;
    note_finished(layout, &gateway2)?;
    note_finished(layout, &fab)
}

fn fab_links(layout: &Layout, wish: &Wish) -> Vec<String> {
    let management = format!("{}/{}", wish.infrastructure(), wish.management.prefix_len());
    let gateway = format!("{}/{}", wish.demo_gateway(), wish.demo.prefix_len());
    let lines = [
        "link set lo up".to_owned(),
        "link add brM type bridge".to_owned(),
        "link add brT type bridge".to_owned(),
        // A bridge without an address of its own needs no IPv6 chatter on the trunk.
        format!("addr add {management} dev brM"),
        "link add tr0 type veth peer name tr1".to_owned(),
        "link set tr1 master brT".to_owned(),
        "link add gw0 type veth peer name gw0p".to_owned(),
        format!("addr add {gateway} dev gw0"),
        format!("link add gw2p type veth peer name gw0 netns {}", layout.netns_gateway2()),
    ];
    let up = ["brM", "brT", "tr0", "tr1", "gw0", "gw0p", "gw2p"].map(|name| format!("link set {name} up"));
    lines.into_iter().chain(up).collect()
}

/// From the demo network only answers and ICMP come in; nothing of it is forwarded on but answers to the machine.
fn filter_rules() -> String {
    "table inet arame {\n\
       chain input {\n\
         type filter hook input priority 0; policy accept;\n\
         iifname \"gw0\" ct state established,related accept\n\
         iifname \"gw0\" meta l4proto { icmp } accept\n\
         iifname \"gw0\" drop\n\
       }\n\
       chain forward {\n\
         type filter hook forward priority 0; policy drop;\n\
         iifname \"up0\" oifname \"gw0\" accept\n\
         iifname \"gw0\" oifname \"up0\" ct state established,related accept\n\
       }\n\
     }\n\
     table ip arame_nat {\n\
       chain postrouting {\n\
         type nat hook postrouting priority 100; policy accept;\n\
         iifname \"up0\" oifname \"gw0\" masquerade\n\
       }\n\
     }\n"
    .to_owned()
}

/// Settings of a network namespace; written from a thread of its own, because the thread has to enter it.
fn settings(netns: &str, forward: &'static str) -> Result<(), FabricError> {
    let path = PathBuf::from(format!("/run/netns/{netns}"));
    let file = std::fs::File::open(&path).map_err(at(&path))?;
    let write = move || -> std::io::Result<()> {
        nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET)?;
        std::fs::write("/proc/sys/net/ipv4/ip_forward", forward)?;
        // IPv6 would put router solicitations without a tag on the trunk.
        for name in ["all", "default"] {
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        }
        // Where br_netfilter is loaded (Docker does), bridged frames would meet the routing filter.
        for name in ["iptables", "ip6tables", "arptables"] {
            let _ = std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{name}"), "0");
        }
        Ok(())
    };
    let outcome = std::thread::spawn(write).join().unwrap_or_else(|_| Err(std::io::Error::other("thread panicked")));
    outcome.map_err(at(&path))
}

/// Userspace Open vSwitch does not complete partial checksums, so nobody may leave them partial.
async fn offload_off(netns: &str, devices: &[&str]) -> Result<(), CommandError> {
    for device in devices {
        inside(netns, "ethtool").args(["-K", device, "tx", "off"]).run().await?;
    }
    Ok(())
}

async fn link_to_machine(layout: &Layout, wish: &Wish) -> Result<(), CommandError> {
    let (fab, link) = (layout.netns_fab(), layout.link());
    let (machine, infrastructure) = layout.link_addresses();
    ip_batch(None, &[format!("link add {link} type veth peer name up0 netns {fab}")]).await?;
    ip_batch(Some(&fab), &[format!("addr add {infrastructure}/30 dev up0"), "link set up0 up".to_owned()]).await?;
    let lines = [
        format!("addr add {machine}/30 dev {link}"),
        format!("link set {link} up"),
        format!("route replace {} via {infrastructure} dev {link}", wish.demo),
    ];
    ip_batch(None, &lines).await
}

/// The namespace and links of one host.
pub async fn make_host(layout: &Layout, wish: &Wish, host: u16) -> Result<bool, FabricError> {
    let (netns, fab, name) = (layout.netns_host(host), layout.netns_fab(), host_name(host));
    if is_finished(layout, &netns) {
        return Ok(false);
    }
    make_netns(&netns).await?;
    settings(&netns, "0")?;
    let pairs = [(format!("{name}m"), "m0", "brM"), (format!("{name}t"), "t0", "brT")];
    let mut lines = Vec::new();
    for (outer, inner, bridge) in &pairs {
        lines.push(format!("link add {outer} type veth peer name {inner} netns {netns}"));
        lines.push(format!("link set {outer} master {bridge}"));
        lines.push(format!("link set {outer} up"));
    }
    ip_batch(Some(&fab), &lines).await?;
    let address = format!("{}/{}", wish.host_address(host), wish.management.prefix_len());
    let lines = [
        "link set lo up".into(),
        format!("addr add {address} dev m0"),
        "link set m0 up".into(),
        "link set t0 up".into(),
    ];
    ip_batch(Some(&netns), &lines).await?;
    offload_off(&fab, &[&pairs[0].0, &pairs[1].0]).await?;
    offload_off(&netns, &["m0", "t0"]).await?;
    note_finished(layout, &netns)?;
    Ok(true)
}

/// Folder of the infrastructure switch's sockets and database.
pub fn switch_folder(layout: &Layout) -> PathBuf {
    layout.run("ovs")
}

pub fn switch_socket(layout: &Layout) -> PathBuf {
    switch_folder(layout).join("db.sock")
}

/// The infrastructure's own Open vSwitch, away from one the machine may run.
pub fn switch_children(layout: &Layout) -> [ChildSpec; 2] {
    let folder = switch_folder(layout);
    let socket = format!("unix:{}", switch_socket(layout).display());
    let path = |name: &str| folder.join(name).display().to_string();
    let find = |name: &str| super::command::find(name).unwrap_or_else(|| name.into());
    let base = |name: &str, program: &str| {
        let mut spec = ChildSpec::new(name, find(program), layout.log(name), Stage::Switch);
        for variable in ["OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"] {
            spec = spec.env(variable, folder.display().to_string());
        }
        spec.place(Place::Netns(layout.netns_fab()))
    };
    let database = base("fab-ovsdb", "ovsdb-server").args([
        path("conf.db"),
        format!("--remote=p{socket}"),
        format!("--unixctl={}", path("ovsdb.ctl")),
        "--log-file=/dev/null".to_owned(),
    ]);
    let daemon = base("fab-vswitchd", "ovs-vswitchd").args([
        socket,
        format!("--unixctl={}", path("vswitchd.ctl")),
        "--log-file=/dev/null".to_owned(),
    ]);
    [database, daemon]
}

/// An empty switch database; called while no server runs.
pub async fn make_switch_database(layout: &Layout) -> Result<(), FabricError> {
    let folder = switch_folder(layout);
    let _ = std::fs::remove_dir_all(&folder);
    files::folder(&folder, 0o755).map_err(at(&folder))?;
    let schema = "/usr/share/openvswitch/vswitch.ovsschema";
    Call::new("ovsdb-tool").arg("create").arg(folder.join("conf.db")).arg(schema).run().await?;
    Ok(())
}

fn vsctl(layout: &Layout) -> Call {
    let db = format!("--db=unix:{}", switch_socket(layout).display());
    Call::new("ovs-vsctl").arg(db).env("OVS_RUNDIR", switch_folder(layout))
}

/// The bridge with its trunk and the two gateways' ports; also the mark that the database server answers.
pub async fn make_switch(layout: &Layout) -> Result<(), FabricError> {
    let limit = Duration::from_secs(15);
    let deadline = tokio::time::Instant::now() + limit;
    while !super::files::listens(&switch_socket(layout)) {
        if tokio::time::Instant::now() > deadline {
            return Err(FabricError::Switch(limit));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    vsctl(layout).args(["--no-wait", "init"]).run().await?;
    let tag1 = format!("tag={DEMO1_TAG}");
    let tag2 = format!("tag={DEMO2_TAG}");
    let words = [
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
        "fail_mode=standalone",
        "--",
        "--may-exist",
        "add-port",
        "ovs0",
        "tr0",
        "vlan_mode=trunk",
        "--",
        "--may-exist",
        "add-port",
        "ovs0",
        "gw0p",
        &tag1,
        "--",
        "--may-exist",
        "add-port",
        "ovs0",
        "gw2p",
        &tag2,
    ];
    vsctl(layout).args(words).run().await?;
    Ok(())
}

/// Everything outside `--dir` that carries this data center's tag. Nothing there is no error.
pub async fn remove(layout: &Layout) {
    let _ = Call::new("ip").args(["link", "delete", &layout.link()]).output().await;
    for name in namespaces(layout) {
        let _ = Call::new("ip").args(["netns", "delete", &name]).output().await;
        let _ = std::fs::remove_file(layout.run(&format!("{name}.netns")));
    }
}

/// Namespaces on this machine with our tag.
pub fn namespaces(layout: &Layout) -> Vec<String> {
    let prefix = layout.netns_prefix();
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut ours: Vec<String> = names.filter(|name| name.starts_with(&prefix)).collect();
    ours.sort();
    ours
}
