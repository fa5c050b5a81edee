//! The real driver: per network a namespace, a veth pair, an access port of an Open vSwitch bridge.
//!
//! ```text
//!   bridge ── port (tag) ═══ veth ═══ eth0 [server/prefix]   namespace <prefix><network>
//! ```
//!
//! Rule: equal subnets never meet: sockets are opened by a thread that entered the namespace, which forwards nothing but
//! what its way out names ([`super::way`]), where it has one: a second veth pair, `out0`, on the segment outside.
//! The port row carries the mark in `external_ids`; a row without it, or with another installation's, is not touched.
//! A port's shape (tag, address, gateway, mtu) is written on the row, so that a change of it is seen after a restart.

use super::command::{CommandError, run, run_with};
use super::ovsdb::{self, Port};
use super::way;
use super::{DhcpSockets, FoundLink, FrameSocket, LinkError, LinkId, LinkSpec, Links, Mark, Sockets};
use crate::announce::{ArpSocket, announcement};
use crate::config::Switch;
use crate::dhcp::SERVER_PORT;
use crate::limits::INSPECTIONS_PER_TICK;
use crate::network::DNS_PORT;
use arame_schema::jobs::nsa::Outside;
use arame_schema::model::{MacAddress, NetworkId};
use async_trait::async_trait;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, send};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const NAMESPACES: &str = "/run/netns";
/// The inner end's name.
const INNER: &str = "eth0";
/// The name of the end on the segment outside.
const OUTER: &str = "out0";

/// EtherType (RFC 826).
const ARP: u16 = 0x0806;

mod ways;
use ways::effective;

mod key {
    pub const INSTALLATION: &str = "arame-installation";
    pub const NETWORK: &str = "arame-network";
    pub const GENERATION: &str = "arame-generation";
    pub const NETNS: &str = "arame-netns";
    pub const SHAPE: &str = "arame-shape";
}

pub struct Netns {
    switch: Switch,
    /// Tells its MACs from those of another that serves the same network.
    identity: String,
    made: Mutex<HashMap<NetworkId, Made>>,
    /// Where the next round of looking inside begins.
    turn: AtomicUsize,
}

/// What a link looked like when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Made {
    port: String,
    port_index: u32,
    netns_inode: u64,
    /// The rules of the way out as the kernel tells them, while there is one.
    rules: Option<String>,
}

/// What a thread inside the namespace sees.
#[derive(Debug, Default, PartialEq, Eq)]
struct Inside {
    index: u32,
    up: bool,
    addresses: Vec<(Ipv4Addr, u8)>,
    default_via: Option<Ipv4Addr>,
    /// The same of the outer end.
    outside: Vec<(Ipv4Addr, u8)>,
    outside_up: bool,
    forwards: bool,
}

impl Netns {
    pub fn new(switch: Switch, identity: String) -> Self {
        Self { switch, identity, made: Mutex::default(), turn: AtomicUsize::new(0) }
    }

    fn netns(&self, network: &NetworkId) -> String {
        let word = network.as_str().strip_prefix("nw-").unwrap_or(network.as_str());
        format!("{}{word}", self.switch.netns_prefix)
    }

    async fn ports(&self) -> Result<Vec<Port>, LinkError> {
        ovsdb::ports(&self.switch.db_socket, &self.switch.bridge).await.map_err(LinkError::Switch)
    }

    async fn vsctl(&self, arguments: &[&str]) -> Result<(), CommandError> {
        let db = format!("--db=unix:{}", self.switch.db_socket.display());
        let mut all = vec![db.as_str(), "--timeout=6"];
        all.extend_from_slice(arguments);
        run("ovs-vsctl", &all).await.map(drop)
    }

    /// # Errors
    /// The namespace's name or the port is another's.
    fn refuse_foreign(&self, ports: &[Port], network: &NetworkId, installation: Uuid) -> Result<(), LinkError> {
        let (netns, port_name) = (self.netns(network), port_name(network, installation));
        let own = installation.to_string();
        for port in ports {
            let carried = port.external_ids.get(key::INSTALLATION);
            let uses = port.external_ids.get(key::NETNS) == Some(&netns) || port.name == port_name;
            if uses && carried != Some(&own) {
                let owner = carried.map_or("nobody known".to_owned(), |other| format!("installation {other}"));
                return Err(LinkError::Foreign { what: format!("port {}", port.name), owner });
            }
        }
        Ok(())
    }

    async fn make_netns(&self, name: &str) -> Result<File, LinkError> {
        if let Some(file) = open_netns(name) {
            return Ok(file);
        }
        let path = Path::new(NAMESPACES).join(name);
        if path.exists() {
            // The name is left of a namespace that died with its mount.
            std::fs::remove_file(&path).map_err(|e| io_error("removing", path.display(), e))?;
        }
        run("ip", &["netns", "add", name]).await?;
        open_netns(name).ok_or_else(|| io_error("opening", path.display(), io::Error::from(io::ErrorKind::NotFound)))
    }

    /// Both ends anew.
    async fn make_veth(&self, port: &str, netns: &str, end: &str, mac: MacAddress) -> Result<(), LinkError> {
        if self.ports().await?.iter().any(|row| row.name == port) {
            self.vsctl(&["--if-exists", "del-port", &self.switch.bridge, port]).await?;
        }
        if if_nametoindex(port).is_ok() {
            run("ip", &["link", "del", "dev", port]).await?;
        }
        let mac = mac.to_string();
        let outer = ["link", "add", "name", port, "type", "veth"];
        let inner = ["peer", "name", end, "address", &mac, "netns", netns];
        run("ip", &[&outer[..], &inner].concat()).await?;
        // A userspace switch passes unfinished checksums on as they are.
        run("ethtool", &["-K", port, "tx", "off"]).await?;
        run("ip", &["netns", "exec", netns, "ethtool", "-K", end, "tx", "off"]).await?;
        Ok(())
    }

    async fn shape_inside(&self, spec: &LinkSpec, netns: &str, seen: &Inside) -> Result<(), LinkError> {
        let mtu = spec.mtu;
        let mut batch = format!("link set dev lo up\nlink set dev {INNER} mtu {mtu}\n");
        batch.push_str(&addressing(INNER, &inner_addresses(spec), &seen.addresses));
        batch.push_str(&format!("link set dev {INNER} up\n"));
        if let Some(outside) = &spec.outside {
            batch.push_str(&format!("link set dev {OUTER} mtu {}\n", outside.mtu));
            batch.push_str(&addressing(OUTER, &outer_addresses(outside), &seen.outside));
            batch.push_str(&format!("link set dev {OUTER} up\n"));
        }
        match (default_of(spec), seen.default_via) {
            (Some((via, device)), _) => batch.push_str(&format!("route replace default via {via} dev {device}\n")),
            (None, Some(_)) => batch.push_str("route del default\n"),
            (None, None) => {}
        }
        run_with("ip", &["-n", netns, "-batch", "-"], Some(&batch)).await?;
        Ok(())
    }

    async fn shape_port(
        &self,
        spec: &LinkSpec,
        mark: Mark,
        (port, vlan_tag): (&str, u16),
        row: Option<&Port>,
    ) -> Result<(), LinkError> {
        let shape = shape(spec);
        let good = row.is_some_and(|row| {
            row.in_bridge && row.tag == Some(vlan_tag) && row.external_ids.get(key::SHAPE) == Some(&shape)
        });
        if good {
            return Ok(());
        }
        let ids = [
            (key::INSTALLATION, mark.installation.to_string()),
            (key::NETWORK, spec.network.to_string()),
            (key::GENERATION, mark.generation.to_string()),
            (key::NETNS, self.netns(&spec.network)),
            (key::SHAPE, shape),
        ];
        let ids: Vec<String> = ids.iter().map(|(key, value)| format!("external_ids:{key}=\"{value}\"")).collect();
        let tag = format!("tag={vlan_tag}");
        let mut arguments = vec!["--may-exist", "add-port", &self.switch.bridge, port, "--", "set", "port", port];
        arguments.extend([tag.as_str(), "vlan_mode=access"]);
        arguments.extend(ids.iter().map(String::as_str));
        self.vsctl(&arguments).await?;
        Ok(())
    }

    fn made(&self) -> HashMap<NetworkId, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Links for Netns {
    async fn ensure(&self, spec: &LinkSpec, mark: Mark) -> Result<LinkId, LinkError> {
        let ports = self.ports().await?;
        self.refuse_foreign(&ports, &spec.network, mark.installation)?;
        let (netns, port) = (self.netns(&spec.network), port_name(&spec.network, mark.installation));
        let mut row = ports.iter().find(|row| row.name == port);
        let file = self.make_netns(&netns).await?;
        let mut seen = look_inside(&file).await?;
        if seen.index == 0 || if_nametoindex(port.as_str()).is_err() {
            quiet(&file).await?;
            self.make_veth(&port, &netns, INNER, mac_of(spec, mark.installation, spec.server, &self.identity)).await?;
            row = None;
            seen = look_inside(&file).await?;
        }
        let spec = &effective(spec, &seen);
        let way = self.ensure_way(spec, mark, (&netns, &file), &ports).await?;
        if way {
            seen = look_inside(&file).await?;
        }
        self.shape_inside(spec, &netns, &seen).await?;
        let mtu = spec.mtu.to_string();
        run("ip", &["link", "set", "dev", &port, "mtu", &mtu, "up"]).await?;
        self.shape_port(spec, mark, (&port, spec.vlan_tag), row).await?;
        let rules = self.open_way(spec, mark, (&netns, &file), &ports).await?;
        let port_index = if_nametoindex(port.as_str()).map_err(|e| io_error("finding", &port, e.into()))?;
        let netns_inode = file.metadata().map_err(|e| io_error("reading", &netns, e))?.ino();
        let made = Made { port, port_index, netns_inode, rules };
        let id = LinkId(format!("{netns_inode}/{}", seen.index));
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(spec.network.clone(), made);
        Ok(id)
    }

    async fn open(&self, spec: &LinkSpec) -> Result<Sockets, LinkError> {
        let netns = self.netns(&spec.network);
        let gone = || io_error("entering", &netns, io::Error::from(io::ErrorKind::NotFound));
        let file = open_netns(&netns).ok_or_else(gone)?;
        inside(&file, open_sockets).await?.map_err(|e| io_error("opening sockets in", &netns, e))
    }

    async fn remove(&self, network: &NetworkId, installation: Uuid) -> Result<(), LinkError> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).remove(network);
        let ports = self.ports().await?;
        self.refuse_foreign(&ports, network, installation)?;
        let (netns, port) = (self.netns(network), port_name(network, installation));
        let own = installation.to_string();
        for row in &ports {
            let carries = |key: &str, value: &str| row.external_ids.get(key).is_some_and(|found| found == value);
            if row.in_bridge && carries(key::INSTALLATION, &own) && carries(key::NETWORK, network.as_str()) {
                self.vsctl(&["--if-exists", "del-port", &self.switch.bridge, &row.name]).await?;
            }
        }
        for port in [port, way_port_name(network, installation)] {
            if if_nametoindex(port.as_str()).is_ok() {
                run("ip", &["link", "del", "dev", &port]).await?;
            }
        }
        let path = Path::new(NAMESPACES).join(&netns);
        if open_netns(&netns).is_some() {
            run("ip", &["netns", "del", &netns]).await?;
        } else if path.exists() {
            std::fs::remove_file(&path).map_err(|e| io_error("removing", path.display(), e))?;
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<FoundLink>, LinkError> {
        let ports = self.ports().await?;
        let ours = ports.iter().filter(|port| port.in_bridge && port.external_ids.contains_key(key::NETNS));
        let mut found: Vec<FoundLink> = ours.map(|port| found_link("port", port.name.clone(), port)).collect();
        for name in namespaces(&self.switch.netns_prefix) {
            let row = ports.iter().find(|port| port.external_ids.get(key::NETNS) == Some(&name));
            found.push(match row {
                Some(port) => found_link("namespace", name, port),
                // Named like ours, and nothing says whose it is: shown, never touched.
                None => FoundLink { kind: "namespace", name, network: None, installation: None, generation: 0 },
            });
        }
        Ok(found)
    }

    async fn announce_way(&self, spec: &LinkSpec) -> Result<(), LinkError> {
        let Some(outside) = &spec.outside else { return Ok(()) };
        let netns = self.netns(&spec.network);
        let Some(file) = open_netns(&netns) else { return Ok(()) };
        let inner: Vec<Ipv4Addr> = spec.gateway.into_iter().collect();
        let outer: Vec<Ipv4Addr> = outer_addresses(outside).into_iter().map(|(address, _)| address).collect();
        let tell = move || announce_at(INNER, &inner).and_then(|()| announce_at(OUTER, &outer));
        inside(&file, tell).await?.map_err(|e| io_error("announcing the way out of", netns, e))
    }

    async fn broken(&self, specs: &[LinkSpec]) -> Result<Vec<NetworkId>, LinkError> {
        let ports: HashMap<String, Port> =
            self.ports().await?.into_iter().map(|port| (port.name.clone(), port)).collect();
        let made = self.made();
        let start = self.turn.fetch_add(INSPECTIONS_PER_TICK, Ordering::Relaxed);
        let mut broken = Vec::new();
        for (at, spec) in specs.iter().enumerate() {
            let Some(made) = made.get(&spec.network) else {
                broken.push(spec.network.clone());
                continue;
            };
            let file = open_netns(&self.netns(&spec.network));
            let inode = file.as_ref().and_then(|file| file.metadata().ok()).map(|meta| meta.ino());
            let row = ports.get(&made.port);
            let outside = inode == Some(made.netns_inode)
                && if_nametoindex(made.port.as_str()).is_ok_and(|index| index == made.port_index)
                && row.is_some_and(|row| row.in_bridge && row.tag == Some(spec.vlan_tag));
            let turn = (at + specs.len() - start % specs.len()) % specs.len() < INSPECTIONS_PER_TICK;
            let whole = match file {
                Some(file) if outside && turn => {
                    let seen = look_inside(&file).await?;
                    let spec = &effective(spec, &seen);
                    is_as_wished(spec, &seen) && self.has_rules(spec, made).await
                }
                _ => outside,
            };
            if !whole {
                broken.push(spec.network.clone());
            }
        }
        Ok(broken)
    }
}

fn is_as_wished(spec: &LinkSpec, seen: &Inside) -> bool {
    let way = match &spec.outside {
        Some(outside) => seen.outside_up && seen.forwards && same(&seen.outside, &outer_addresses(outside)),
        None => !seen.forwards && !seen.outside_up,
    };
    let via = default_of(spec).map(|(via, _)| via);
    way && seen.up && same(&seen.addresses, &inner_addresses(spec)) && seen.default_via == via
}

fn same(one: &[(Ipv4Addr, u8)], other: &[(Ipv4Addr, u8)]) -> bool {
    one.len() == other.len() && one.iter().all(|address| other.contains(address))
}

/// On the inner segment: the server's, and the gateway's where the way out is here.
fn inner_addresses(spec: &LinkSpec) -> Vec<(Ipv4Addr, u8)> {
    let gateway = spec.gateway.filter(|_| spec.outside.is_some());
    [Some(spec.server), gateway].into_iter().flatten().map(|address| (address, spec.prefix_len)).collect()
}

/// The kernel answers for each of them by ARP.
fn outer_addresses(outside: &Outside) -> Vec<(Ipv4Addr, u8)> {
    let prefix = outside.subnet.prefix_len();
    let own = std::iter::once(outside.address).chain(outside.translations.iter().map(|one| one.outer));
    own.map(|address| (address, prefix)).collect()
}

/// Where what is not on a segment of ours goes.
fn default_of(spec: &LinkSpec) -> Option<(Ipv4Addr, &'static str)> {
    match &spec.outside {
        Some(outside) => outside.gateway.map(|gateway| (gateway, OUTER)),
        None => spec.gateway.map(|gateway| (gateway, INNER)),
    }
}

/// Lines of `ip -batch` that make these the addresses of a device. What stays is not touched: connections use it.
fn addressing(device: &str, wished: &[(Ipv4Addr, u8)], seen: &[(Ipv4Addr, u8)]) -> String {
    let gone = seen.iter().filter(|address| !wished.contains(address));
    let new = wished.iter().filter(|address| !seen.contains(address));
    let gone = gone.map(|(address, prefix)| format!("addr del {address}/{prefix} dev {device}\n"));
    let new = new.map(|(address, prefix)| format!("addr add {address}/{prefix} brd + dev {device}\n"));
    new.chain(gone).collect()
}

fn shape(spec: &LinkSpec) -> String {
    let gateway = spec.gateway.map_or("none".to_owned(), |gateway| gateway.to_string());
    let way = spec.outside.as_ref().map_or(String::new(), |outside| format!(" out {}", outside.vlan_tag));
    format!("{} {}/{} {gateway} {}{way}", spec.vlan_tag, spec.server, spec.prefix_len, spec.mtu)
}

/// Fourteen characters (the kernel allows fifteen), the same after every restart, different for two installations.
fn port_name(network: &NetworkId, installation: Uuid) -> String {
    // 44 bits: a collision among ten thousand networks is a matter of one in 300,000.
    format!("nsa{:011x}", hash(network, installation, &[]) >> 20)
}

/// The port of the way out, by the same rules.
fn way_port_name(network: &NetworkId, installation: Uuid) -> String {
    format!("nso{:011x}", hash(network, installation, b"out") >> 20)
}

/// The same whenever the link is made anew, so that guests need not learn it again; different for two nsa on one
/// segment, which have different addresses.
fn mac_of(spec: &LinkSpec, installation: Uuid, address: Ipv4Addr, identity: &str) -> MacAddress {
    let more = [&address.octets(), identity.as_bytes()].concat();
    let [_, _, _, b, c, d, e, f] = hash(&spec.network, installation, &more).to_be_bytes();
    MacAddress([0x02, b, c, d, e, f])
}

/// FNV-1a.
fn hash(network: &NetworkId, installation: Uuid, more: &[u8]) -> u64 {
    let bytes = installation.as_bytes().iter().chain(network.as_str().as_bytes()).chain(more);
    bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn found_link(kind: &'static str, name: String, port: &Port) -> FoundLink {
    let get = |key: &str| port.external_ids.get(key);
    FoundLink {
        kind,
        name,
        network: get(key::NETWORK).cloned(),
        installation: get(key::INSTALLATION).and_then(|text| text.parse().ok()),
        generation: get(key::GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0),
    }
}

fn namespaces(prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// `None`: no such name, or a name without a namespace behind it.
fn open_netns(name: &str) -> Option<File> {
    let path: PathBuf = Path::new(NAMESPACES).join(name);
    let file = File::open(path).ok()?;
    let kind = fstatfs(&file).ok()?.filesystem_type();
    (kind == NSFS_MAGIC).then_some(file)
}

fn io_error(verb: &'static str, what: impl ToString, source: io::Error) -> LinkError {
    LinkError::Io { verb, what: what.to_string(), source }
}

/// Runs a function in a thread that entered the namespace and ends with it: no other task ever runs in there.
async fn inside<T: Send + 'static>(
    netns: &File,
    function: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LinkError> {
    let failed = |e| io_error("entering", "a namespace", e);
    let netns = netns.try_clone().map_err(failed)?;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let body = move || {
        let entered = setns(&netns, CloneFlags::CLONE_NEWNET);
        let _ = sender.send(entered.map(|()| function()));
    };
    std::thread::Builder::new().name("netns".to_owned()).spawn(body).map_err(failed)?;
    let done = receiver.await.map_err(|_| failed(io::Error::other("the thread ended without an answer")))?;
    done.map_err(|e| failed(e.into()))
}

/// Before anything can pass: no forwarding (IPv4 settings are copied from the first namespace, which may forward)
/// and no IPv6 chatter on the tenant's segment.
async fn quiet(netns: &File) -> Result<(), LinkError> {
    let set = |path: &str, value: &str| match std::fs::read_to_string(path) {
        Ok(now) if now.trim() == value => Ok(()),
        Ok(_) => std::fs::write(path, value).map_err(|e| (path.to_owned(), e)),
        // A kernel without IPv6 has nothing to silence.
        Err(_) => Ok(()),
    };
    let settings = move || {
        set("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1")?;
        set("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
        // Each address is answered for on its own segment only.
        set("/proc/sys/net/ipv4/conf/all/arp_ignore", "1")?;
        set(FORWARDING, "0")
    };
    inside(netns, settings).await?.map_err(|(path, e)| io_error("setting", path, e))
}

async fn look_inside(netns: &File) -> Result<Inside, LinkError> {
    inside(netns, || -> io::Result<Inside> {
        let mut seen = Inside::default();
        for entry in getifaddrs()? {
            let is_up = entry.flags.contains(InterfaceFlags::IFF_UP);
            let Some(address) = entry.address else { continue };
            let of_mask = |mask: nix::sys::socket::SockaddrStorage| {
                mask.as_sockaddr_in().map_or(0, |mask| u32::from(mask.ip()).leading_ones() as u8)
            };
            let ip = address.as_sockaddr_in().map(|ip| (ip.ip(), entry.netmask.map_or(0, of_mask)));
            match entry.interface_name.as_str() {
                INNER => {
                    seen.up |= is_up;
                    seen.index = address.as_link_addr().map_or(seen.index, |link| link.ifindex() as u32);
                    seen.addresses.extend(ip);
                }
                OUTER => {
                    seen.outside_up |= is_up;
                    seen.outside.extend(ip);
                }
                _ => {}
            }
        }
        seen.forwards = std::fs::read_to_string(FORWARDING)?.trim() == "1";
        seen.default_via = default_route(&std::fs::read_to_string("/proc/thread-self/net/route")?);
        Ok(seen)
    })
    .await?
    .map_err(|e| io_error("looking into", "a namespace", e))
}

/// `Iface Destination Gateway Flags … Mask`, addresses in hex of the host's byte order.
fn default_route(table: &str) -> Option<Ipv4Addr> {
    let gateway = table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let default = fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000");
        default.then(|| fields.get(2).copied()).flatten()
    })?;
    let bits = u32::from_str_radix(gateway, 16).ok()?;
    Some(Ipv4Addr::from(bits.to_ne_bytes()))
}

/// Called inside the namespace.
fn open_sockets() -> io::Result<Sockets> {
    let any = Ipv4Addr::UNSPECIFIED;
    let udp = UdpSocket::bind((any, SERVER_PORT))?;
    udp.set_broadcast(true)?;
    udp.set_nonblocking(true)?;
    let dns_udp = UdpSocket::bind((any, DNS_PORT))?;
    dns_udp.set_nonblocking(true)?;
    let dns_tcp = TcpListener::bind((any, DNS_PORT))?;
    dns_tcp.set_nonblocking(true)?;
    let frames = Some(open_frames()?);
    Ok(Sockets { dhcp: Some(DhcpSockets { udp, frames }), dns: Some((dns_udp, dns_tcp)), arp: Some(open_arp()?) })
}

/// Called inside the namespace.
fn announce_at(device: &'static str, addresses: &[Ipv4Addr]) -> io::Result<()> {
    let (link, mac) = end_of(device)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = nix::sys::socket::socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
    nix::sys::socket::bind(socket.as_raw_fd(), &link)?;
    for address in addresses {
        send(socket.as_raw_fd(), &announcement(mac, *address), MsgFlags::MSG_DONTWAIT)?;
    }
    Ok(())
}

fn inner_end() -> io::Result<(LinkAddr, MacAddress)> {
    end_of(INNER)
}

/// An end as `getifaddrs` gives it, and its MAC.
fn end_of(device: &'static str) -> io::Result<(LinkAddr, MacAddress)> {
    let missing = || io::Error::other(format!("{device} is missing"));
    let entries = getifaddrs()?.filter(|entry| entry.interface_name == device);
    let link = entries.filter_map(|entry| entry.address?.as_link_addr().copied()).next().ok_or_else(missing)?;
    let mac = MacAddress(link.addr().ok_or_else(missing)?);
    Ok((link, mac))
}

/// Receives what others say by ARP.
fn open_arp() -> io::Result<ArpSocket> {
    let (link, mac) = inner_end()?;
    let protocol = socket2::Protocol::from(i32::from(ARP.to_be()));
    let socket = socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    nix::sys::socket::bind(socket.as_raw_fd(), &link)?;
    Ok(ArpSocket { socket: socket.into(), mac })
}

/// Bound to the inner end; protocol 0 receives nothing.
fn open_frames() -> io::Result<FrameSocket> {
    let (link, mac) = inner_end()?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = nix::sys::socket::socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
    nix::sys::socket::bind(socket.as_raw_fd(), &link)?;
    Ok(FrameSocket { socket, mac })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_is_read_from_the_kernels_table() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
                     eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
                     eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
        assert_eq!(default_route(table), Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(default_route(table.rsplit_once("eth0").unwrap().0), None);
    }

    #[test]
    fn port_names_fit_the_kernel_and_differ_by_installation() {
        let network: NetworkId = "nw-demo1".parse().unwrap();
        let (one, two) = (port_name(&network, Uuid::nil()), port_name(&network, Uuid::max()));
        assert_ne!(one, two);
        assert!(one.len() <= 15 && one == port_name(&network, Uuid::nil()));
    }
}
