//! The switch driver on the kernel's own bridge: one VLAN-aware bridge that we make, nftables, and a watcher that puts back
//! what somebody changed.
//!
//! Rule: what is wished is worked out whole and compared with what the kernel tells; only the difference is done, so that
//! every way here is the same way: a job, a restart, a repair. The firewall stands before a device is in the bridge, and a
//! port that it does not name forwards nothing. Connection tracking is not touched by a change. What has no mark of ours is
//! left alone; where we would need its name, that is said.

mod kernel;
pub mod mark;
mod notices;
pub mod rules;
pub mod shape;

use crate::command::{CommandError, Run};
use crate::config::BridgeConfig;
use crate::driver::DriverError;
use crate::policy::Policy;
use crate::switch::link::{self, LISTENER, LISTENER_MAC, METADATA_LINK};
use crate::switch::{Port, SeenPort, Switch, tap_name, taps};
use arame_schema::jobs::report::Retry;
use arame_schema::model::{InstanceId, VifId};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use mark::PortMark;
use notices::Notices;
use rules::{COMMENT, Member, SWITCH_END, TABLE};
use serde_json::Value;
use shape::{Link, SHAPE, Seen, Wish};
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;

/// `ip`, `bridge` and `nft` on a living machine.
const TOOL_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks when nothing was heard; a change that is heard of is looked after at once.
const WATCH: Duration = Duration::from_secs(10);
/// Between two looks at most: many notices are one change.
const CALM: Duration = Duration::from_millis(100);
/// Devices join, then have numbers, then rules name them: more rounds mean that somebody works against us.
const ROUNDS: usize = 4;

/// One of our tables.
#[derive(Default)]
struct Table {
    /// What was given last; empty when nothing is known about the kernel's.
    given: String,
    /// How the kernel tells it.
    told: String,
}

#[derive(Default)]
struct Applied {
    firewall: Table,
    metadata: Table,
}

struct Inner {
    config: BridgeConfig,
    metadata: bool,
    policy: ArcSwap<Policy>,
    guests: ArcSwap<HashMap<u32, VifId>>,
    /// Ports that the switch shall have, by the name of their tap.
    ports: Mutex<BTreeMap<String, Port>>,
    /// Held through every change, so that a repair and a job never work on the same thing.
    applied: Mutex<Applied>,
}

#[derive(Clone)]
pub struct Bridge {
    inner: Arc<Inner>,
}

fn failed(message: impl Into<String>) -> DriverError {
    DriverError::new("switch_error", message, Retry::Later)
}

impl Bridge {
    /// Starts the driver with the policy and the ports the host had last; its watcher runs until the last clone is gone.
    ///
    /// # Errors
    /// The kernel or a program that it needs is not there: a sentence for the host's administrator.
    pub async fn start(
        config: &BridgeConfig,
        metadata: bool,
        policy: Policy,
        ports: Vec<Port>,
    ) -> Result<Self, DriverError> {
        kernel::check(metadata).await?;
        // Before the first look, so that nothing is missed between them.
        let notices = Notices::open().map_err(|error| failed(format!("no notices of the kernel: {error}")))?;
        let inner = Arc::new(Inner {
            config: config.clone(),
            metadata,
            policy: ArcSwap::from_pointee(policy),
            guests: ArcSwap::default(),
            ports: Mutex::new(ports.into_iter().map(|port| (tap_name(&port.nic.vif), port)).collect()),
            applied: Mutex::default(),
        });
        if let Err(error) = inner.converge(true).await {
            tracing::warn!(%error, "the bridge is not ready yet");
        }
        tokio::spawn(watch(Arc::downgrade(&inner), notices));
        Ok(Self { inner })
    }
}

#[async_trait]
impl Switch for Bridge {
    async fn ensure_ports(&self, ports: &[Port]) -> Result<(), DriverError> {
        self.inner.ensure_taps(ports).await?;
        let seen = self.inner.converge(false).await?;
        let is_in = |port: &&Port| seen.iter().any(|s| s.vif == port.nic.vif && s.number.is_some());
        match ports.iter().find(|port| !is_in(port)) {
            Some(port) => Err(failed(format!("the bridge did not take {} in", tap_name(&port.nic.vif)))),
            None => Ok(()),
        }
    }

    async fn ensure_no_ports(&self, instance: &InstanceId, but: &[VifId]) -> Result<(), DriverError> {
        self.inner.remove(instance, but).await
    }

    async fn ensure_policy(&self, policy: Arc<Policy>) -> Result<(), DriverError> {
        self.inner.policy.store(policy);
        self.inner.converge(false).await.map(drop)
    }

    async fn survey(&self) -> Result<Vec<SeenPort>, DriverError> {
        self.inner.converge(true).await
    }

    fn guest_at(&self, peer: Ipv4Addr) -> Option<VifId> {
        let number = link::number_of(peer)?;
        self.inner.guests.load().get(&number).cloned()
    }
}

/// Standard output of a look.
async fn told(program: &str, words: &[&str]) -> Result<String, CommandError> {
    Run::new(program, TOOL_LIMIT).args(words).output().await
}

/// A table as the kernel tells it, without what counts; empty when there is none.
async fn table(family: &str) -> Result<String, CommandError> {
    match told("nft", &["--stateless", "list", "table", family, TABLE]).await {
        Err(CommandError::Exit { quote, .. }) if quote.contains("No such file or directory") => Ok(String::new()),
        answer => answer,
    }
}

impl Table {
    /// The kernel's table is this text. `suspect`: somebody may have changed it since.
    async fn put(&mut self, family: &str, text: String, suspect: bool) -> Result<(), DriverError> {
        let known = !self.given.is_empty() && self.given == text;
        if known && !suspect {
            return Ok(());
        }
        let there = table(family).await?;
        if known && there == self.told {
            return Ok(());
        }
        if !there.is_empty() && !there.contains(COMMENT) {
            return Err(failed(format!("the table {family} {TABLE} of nftables is not Arame's; it is left alone")));
        }
        if known {
            tracing::warn!(family, "rules of ours were changed by somebody else; they are put back");
        }
        self.given.clear();
        let run = Run::new("nft", TOOL_LIMIT).args(["-f", "-"]).input(text.clone().into_bytes());
        run.output().await.map_err(|error| failed(format!("rules were not accepted: {error}")))?;
        self.told = table(family).await?;
        self.given = text;
        Ok(())
    }
}

impl Inner {
    async fn look(&self) -> Result<Seen, DriverError> {
        let links = told("ip", &["-json", "-details", "link", "show"]).await?;
        let vlans = told("bridge", &["-json", "vlan", "show"]).await?;
        // A bridge that is not made yet has no entries.
        let entries = match taps::exists(&self.config.bridge) {
            true => told("bridge", &["-json", "fdb", "show", "br", &self.config.bridge]).await?,
            false => String::new(),
        };
        Seen::read(&links, &vlans, &entries).map_err(|error| failed(format!("links are not understood: {error}")))
    }

    async fn ensure_taps(&self, ports: &[Port]) -> Result<(), DriverError> {
        let _alone = self.applied.lock().await;
        let seen = self.look().await?;
        for port in ports {
            let name = tap_name(&port.nic.vif);
            if let Some(found) = seen.link(&name) {
                free_for(found, port)?;
            }
            taps::ensure(port, Some(PortMark::of(port).to_string())).await?;
            self.ports.lock().await.insert(name, port.clone());
        }
        Ok(())
    }

    /// Makes everything what policy and ports say, and tells every port of ours. Cheap when it is already.
    async fn converge(&self, suspect: bool) -> Result<Vec<SeenPort>, DriverError> {
        let mut applied = self.applied.lock().await;
        let mut suspect = suspect;
        if suspect && !applied.firewall.given.is_empty() {
            // Before any other look: without its rules the bridge forwards.
            let given = applied.firewall.given.clone();
            applied.firewall.put("bridge", given, true).await?;
        }
        for _ in 0..ROUNDS {
            // Read under the lock: of many callers at once the first writes for all.
            let policy = self.policy.load_full();
            let seen = self.look().await?;
            let marked = marked(&seen);
            let members = members(&marked, &policy, &self.config.bridge);
            let trunk = self.config.trunk.as_deref();
            let firewall = rules::firewall(&self.config.bridge, trunk, &members, &policy, self.metadata);
            applied.firewall.put("bridge", firewall, false).await?;
            let mut changed = self.ensure_bridge(&seen).await?;
            // A host without its uplink still has its guests' rules and neighbours; who asks is told at the end.
            let uplink = self.fit_uplink(&seen).await;
            let ports = self.wished_taps(&marked).await;
            let joined = trunk.filter(|_| uplink.is_ok());
            let wish = Wish { bridge: &self.config.bridge, trunk: joined, taps: &ports, members: &members };
            let steps = shape::steps(&seen, &wish);
            if !changed && !steps.is_empty() {
                perform(&steps).await?;
                changed = true;
            }
            if self.metadata {
                changed |= self.ensure_metadata_link(&seen, suspect).await?;
            }
            if changed {
                suspect = false;
                continue;
            }
            let guests =
                marked.iter().filter_map(|(link, mark)| Some((link.number(&self.config.bridge)?, mark.vif.clone())));
            self.guests.store(Arc::new(guests.collect()));
            if self.metadata {
                applied.metadata.put("netdev", rules::metadata(&members, &policy), suspect).await?;
            }
            uplink?;
            return Ok(marked.iter().map(|(link, mark)| seen_port(link, mark, &self.config.bridge)).collect());
        }
        Err(failed(format!("bridge {} is changed by somebody else at the same time", self.config.bridge)))
    }

    /// Taps that shall be in the bridge: ours that are in it, and those that a job or the host's records named. One that
    /// was left over from a guest that is gone is told and not taken in.
    async fn wished_taps<'a>(&self, marked: &[(&'a Link, PortMark)]) -> Vec<&'a str> {
        let wished = self.ports.lock().await;
        let is_in = |link: &Link| link.master.as_deref() == Some(self.config.bridge.as_str());
        let taps = marked.iter().filter(|(link, _)| is_in(link) || wished.contains_key(&link.name));
        taps.map(|(link, _)| link.name.as_str()).collect()
    }

    /// The bridge is there, ours and in shape; whether that had to be made so.
    async fn ensure_bridge(&self, seen: &Seen) -> Result<bool, DriverError> {
        let name = &self.config.bridge;
        let ours = |link: &Link| link.alias.as_deref() == Some(mark::BRIDGE);
        // What a start that was cut short leaves: made, and neither marked nor up.
        let half_made = |link: &Link| link.is_bridge() && link.alias.is_none() && !link.is_up();
        match seen.link(name) {
            None => {
                taps::batch(format!("link add name {name} {SHAPE}\n{}", dress(name, mark::BRIDGE))).await?;
                Ok(true)
            }
            Some(link) if ours(link) && link.is_in_shape() => Ok(false),
            Some(link) if ours(link) || half_made(link) => {
                taps::batch(format!("link set dev {name} {SHAPE}\n{}", dress(name, mark::BRIDGE))).await?;
                Ok(true)
            }
            Some(_) => Err(failed(format!(
                "{name} is there and was not made by Arame; it is left alone: give [hva.switch] bridge a name of its own"
            ))),
        }
    }

    /// The uplink is there and free to be ours: in no other bridge, and without an address of this host, which would be
    /// cut off.
    async fn fit_uplink(&self, seen: &Seen) -> Result<(), DriverError> {
        let Some(name) = &self.config.trunk else { return Ok(()) };
        let Some(link) = seen.link(name) else {
            return Err(failed(format!("trunk {name} is not there: no guest reaches another host")));
        };
        match link.master.as_deref() {
            Some(master) if master == self.config.bridge => return Ok(()),
            Some(master) => return Err(failed(format!("trunk {name} belongs to {master}; it is left alone"))),
            None => {}
        }
        let told = told("ip", &["-json", "-4", "addr", "show", "dev", name]).await?;
        let addresses: Vec<Value> = serde_json::from_str(&told).unwrap_or_default();
        match addresses.iter().any(|one| one["addr_info"].as_array().is_some_and(|all| !all.is_empty())) {
            true => Err(failed(format!(
                "trunk {name} has an address of this host, which would be cut off: name a device of the guests' own"
            ))),
            false => Ok(()),
        }
    }

    /// The pair of devices between switch and listener; whether it had to be made.
    async fn ensure_metadata_link(&self, seen: &Seen, suspect: bool) -> Result<bool, DriverError> {
        let at_work = format!(
            "link set dev {METADATA_LINK} arp off up\nlink set dev {SWITCH_END} up\naddr replace {LISTENER}/15 dev {METADATA_LINK}\n"
        );
        let dressed = || dress(METADATA_LINK, mark::METADATA) + &dress(SWITCH_END, mark::METADATA) + &at_work;
        match seen.link(METADATA_LINK) {
            None => {
                let pair =
                    format!("link add name {METADATA_LINK} address {LISTENER_MAC} type veth peer name {SWITCH_END}\n");
                taps::batch(pair + &dressed()).await?;
                Ok(true)
            }
            Some(link) if link.alias.as_deref() == Some(mark::METADATA) => {
                if suspect || !link.is_up() || !seen.link(SWITCH_END).is_some_and(Link::is_up) {
                    taps::batch(at_work).await?;
                }
                Ok(false)
            }
            Some(link) if link.alias.is_none() && !link.is_up() => {
                taps::batch(dressed()).await?;
                Ok(true)
            }
            Some(_) => Err(failed(format!("the device {METADATA_LINK} was not made by Arame; it is left alone"))),
        }
    }

    async fn remove(&self, instance: &InstanceId, but: &[VifId]) -> Result<(), DriverError> {
        let applied = self.applied.lock().await;
        self.ports.lock().await.retain(|_, port| port.instance != *instance || but.contains(&port.nic.vif));
        let seen = self.look().await?;
        let mut gone = Vec::new();
        for (link, mark) in marked(&seen) {
            if mark.instance == *instance && !but.contains(&mark.vif) {
                taps::remove(&link.name).await?;
                gone.push(mark);
            }
        }
        drop(applied);
        if gone.is_empty() {
            return Ok(());
        }
        self.converge(false).await?;
        for mark in gone {
            forget_connections(&mark).await;
        }
        Ok(())
    }
}

/// Marks a device of ours and brings it up, silent.
fn dress(name: &str, mark: &str) -> String {
    format!("link set dev {name} alias {mark} addrgenmode none\nlink set dev {name} up\n")
}

async fn perform(steps: &shape::Steps) -> Result<(), DriverError> {
    if !steps.ip.is_empty() {
        taps::batch(steps.ip.join("\n") + "\n").await?;
    }
    if !steps.bridge.is_empty() {
        let script = steps.bridge.join("\n") + "\n";
        Run::new("bridge", TOOL_LIMIT).args(["-batch", "-"]).input(script.into_bytes()).output().await?;
    }
    Ok(())
}

/// Devices that carry a guest's mark.
fn marked(seen: &Seen) -> Vec<(&Link, PortMark)> {
    let mark = |link: &Link| link.alias.as_deref().and_then(PortMark::parse);
    seen.links.iter().filter_map(|link| Some((link, mark(link)?))).collect()
}

/// Those that the policy knows, in the order of their names.
fn members<'a>(marked: &[(&'a Link, PortMark)], policy: &'a Policy, bridge: &str) -> Vec<Member<'a>> {
    let mut members: Vec<Member> = marked
        .iter()
        .filter_map(|(link, mark)| {
            let port = policy.port(&mark.vif).filter(|port| port.instance == mark.instance)?;
            let number = link.number(bridge).unwrap_or_default();
            Some(Member { tap: &link.name, index: link.ifindex, number, port })
        })
        .collect();
    members.sort_by_key(|member| member.tap);
    members
}

fn seen_port(link: &Link, mark: &PortMark, bridge: &str) -> SeenPort {
    SeenPort {
        name: link.name.clone(),
        vif: mark.vif.clone(),
        instance: mark.instance.clone(),
        installation: mark.installation,
        generation: mark.generation,
        number: link.number(bridge),
    }
}

/// Whether a device that has the port's name may be its tap.
fn free_for(found: &Link, port: &Port) -> Result<(), DriverError> {
    let taken =
        |whose: &str| DriverError::new("port_taken", format!("{} belongs to {whose}", found.name), Retry::Never);
    match found.alias.as_deref().map(PortMark::parse) {
        Some(Some(mark)) if mark.instance == port.instance => Ok(()),
        Some(Some(mark)) => Err(taken(mark.instance.as_str())),
        // Left by a job that was cut short before the mark.
        None if found.is_tap() && found.master.is_none() => Ok(()),
        None | Some(None) => Err(taken("somebody else")),
    }
}

/// A later guest with the same address must not inherit what this one had open. The entries also time out by themselves,
/// so a host that cannot do it is only noted.
async fn forget_connections(mark: &PortMark) {
    let (zone, address) = (mark.vlan_tag.to_string(), mark.ipv4.to_string());
    for side in ["--orig-src", "--orig-dst"] {
        let answer = told("conntrack", &["-D", "-f", "ipv4", "-w", &zone, side, &address]).await;
        match answer {
            // conntrack(8) ends with 1 when there was nothing to remove.
            Err(CommandError::Exit { quote, .. }) if quote.contains(" 0 flow entries") => {}
            Err(error) => tracing::warn!(%error, "tracked connections of a removed port stay until they time out"),
            Ok(_) => {}
        }
    }
}

/// Runs beside the driver: looks after every change that the kernel tells, and now and then.
async fn watch(inner: Weak<Inner>, notices: Notices) {
    let mut trouble = None;
    loop {
        let _ = tokio::time::timeout(WATCH, notices.changed()).await;
        let Some(inner) = inner.upgrade() else { return };
        let now = inner.converge(true).await.err().map(|error| error.to_string());
        if let Some(error) = now.as_ref().filter(|_| now != trouble) {
            tracing::warn!(error, "the bridge is not what it shall be");
        }
        trouble = now;
        drop(inner);
        tokio::time::sleep(CALM).await;
    }
}
