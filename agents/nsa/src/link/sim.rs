//! The simulated driver: links are entries of a table, kept in a file if asked, so that a killed process finds its
//! world again.
//!
//! Rule: it answers [`Links`] exactly as the real one does, foreign marks and unavailability included, and fails on
//! request ([`crate::faults`]). Sockets exist only where the configuration names a listening address.

use super::{DhcpSockets, FoundLink, LinkError, LinkId, LinkSpec, Links, Mark, Sockets};
use crate::config;
use crate::faults::{Fault, Faults, Point};
use crate::store::write_whole;
use arame_framework::rehearsal;
use arame_schema::model::NetworkId;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// The simulated switch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct World {
    links: BTreeMap<String, SimLink>,
    /// How often each fault has struck, so that a crash is not repeated for ever.
    spent: BTreeMap<String, u32>,
    /// Counts makings: a link made again is another one.
    made: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimLink {
    pub installation: Uuid,
    pub generation: u64,
    pub vlan_tag: u16,
    /// Tag, address, gateway and mtu in one word.
    pub shape: String,
    /// The network's place in the runs of listening addresses.
    pub slot: u16,
    /// Grows with each link that is made: one made anew has another.
    pub made: u64,
}

pub struct Sim {
    config: config::Sim,
    world: Arc<Mutex<World>>,
    faults: Faults,
    unavailable: Mutex<Option<String>>,
}

impl Sim {
    /// # Errors
    /// The state file is there but cannot be read.
    pub fn open(config: config::Sim) -> anyhow::Result<Self> {
        let world: World = match config.state_file.as_ref().map(std::fs::read) {
            None => World::default(),
            Some(Err(e)) if e.kind() == io::ErrorKind::NotFound => World::default(),
            Some(text) => serde_json::from_slice(&text?)?,
        };
        let left = config.faults.iter().map(|fault| {
            let struck = world.spent.get(&format!("{:?}", fault.at)).copied().unwrap_or(0);
            Fault { times: fault.times.saturating_sub(struck), ..fault.clone() }
        });
        let left: Vec<Fault> = left.filter(|fault| fault.times > 0).collect();
        let world = Arc::new(Mutex::new(world));
        let (shared, path) = (world.clone(), config.state_file.clone());
        let spent = Box::new(move |point: Point| {
            let mut world = lock(&shared);
            *world.spent.entry(format!("{point:?}")).or_insert(0) += 1;
            save(&path, &world);
        });
        let faults = Faults::with_memory(left, spent);
        Ok(Self { config, world, faults, unavailable: Mutex::default() })
    }

    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Takes a link away behind the agent's back.
    pub fn cut(&self, network: &NetworkId) {
        let mut world = lock(&self.world);
        world.links.remove(network.as_str());
        save(&self.config.state_file, &world);
    }

    /// Puts a link there that the agent did not make.
    pub fn plant(&self, network: &NetworkId, installation: Uuid, generation: u64) {
        let mut world = lock(&self.world);
        let made = next(&mut world);
        let link = SimLink { installation, generation, vlan_tag: 1, shape: "planted".to_owned(), slot: u16::MAX, made };
        world.links.insert(network.to_string(), link);
        save(&self.config.state_file, &world);
    }

    /// The switch stops answering, with a reason, or answers again.
    pub fn set_unavailable(&self, reason: Option<&str>) {
        *self.unavailable.lock().unwrap_or_else(PoisonError::into_inner) = reason.map(str::to_owned);
    }

    pub fn link(&self, network: &NetworkId) -> Option<SimLink> {
        lock(&self.world).links.get(network.as_str()).cloned()
    }

    /// Where the DNS and DHCP of a network listen.
    pub fn addresses(&self, network: &NetworkId) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let Some(link) = self.link(network) else { return (None, None) };
        let at = |base: Option<SocketAddr>| {
            base.and_then(|base| Some(SocketAddr::new(base.ip(), base.port().checked_add(link.slot)?)))
        };
        (at(self.config.listen_dns), at(self.config.listen_dhcp))
    }

    fn available(&self) -> Result<(), LinkError> {
        match &*self.unavailable.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(reason) => Err(LinkError::Switch(reason.clone())),
            None => Ok(()),
        }
    }

    async fn latency(&self) {
        if self.config.latency_ms > 0 {
            tokio::time::sleep(rehearsal::jitter(Duration::from_millis(self.config.latency_ms))).await;
        }
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next(world: &mut World) -> u64 {
    world.made += 1;
    world.made
}

/// A simulated world that cannot be written is a broken simulation, said loudly, not a failed switch.
fn save(path: &Option<PathBuf>, world: &World) {
    let Some(path) = path else { return };
    if let Err(error) = write_whole(path, world) {
        tracing::error!(error = super::sentence(&error), "the simulated links could not be written");
    }
}

fn shape(spec: &LinkSpec) -> String {
    let way = spec.outside.as_ref().map(|outside| serde_json::to_string(outside).unwrap_or_default());
    let way = way.unwrap_or_default();
    format!("{} {}/{} {:?} {} {way}", spec.vlan_tag, spec.server, spec.prefix_len, spec.gateway, spec.mtu)
}

fn refuse_foreign(link: &SimLink, network: &NetworkId, installation: Uuid) -> Result<(), LinkError> {
    if link.installation == installation {
        return Ok(());
    }
    let owner = format!("installation {}", link.installation);
    Err(LinkError::Foreign { what: format!("the link of {network}"), owner })
}

#[async_trait]
impl Links for Sim {
    async fn ensure(&self, spec: &LinkSpec, mark: Mark) -> Result<LinkId, LinkError> {
        self.latency().await;
        self.available()?;
        self.faults.reach(Point::LinkBefore).await?;
        let id = {
            let mut world = lock(&self.world);
            let found = world.links.get(spec.network.as_str()).cloned();
            if let Some(link) = &found {
                refuse_foreign(link, &spec.network, mark.installation)?;
            }
            let link = match found {
                Some(link) if link.shape == shape(spec) => link,
                Some(mut link) => {
                    (link.shape, link.vlan_tag, link.generation) = (shape(spec), spec.vlan_tag, mark.generation);
                    link
                }
                None => {
                    let taken: Vec<u16> = world.links.values().map(|link| link.slot).collect();
                    let slot = (0..u16::MAX).find(|slot| !taken.contains(slot)).unwrap_or(u16::MAX);
                    let Mark { installation, generation } = mark;
                    let made = next(&mut world);
                    SimLink { installation, generation, vlan_tag: spec.vlan_tag, shape: shape(spec), slot, made }
                }
            };
            let id = LinkId(link.made.to_string());
            world.links.insert(spec.network.to_string(), link);
            save(&self.config.state_file, &world);
            id
        };
        self.faults.reach(Point::LinkAfter).await?;
        Ok(id)
    }

    async fn open(&self, spec: &LinkSpec) -> Result<Sockets, LinkError> {
        let (dns, dhcp) = self.addresses(&spec.network);
        let failed = |source| LinkError::Io { verb: "listening for", what: spec.network.to_string(), source };
        let open = || -> io::Result<Sockets> {
            let mut sockets = Sockets::default();
            if let Some(at) = dns {
                let (udp, tcp) = (UdpSocket::bind(at)?, TcpListener::bind(at)?);
                udp.set_nonblocking(true)?;
                tcp.set_nonblocking(true)?;
                sockets.dns = Some((udp, tcp));
            }
            if let Some(at) = dhcp {
                let udp = UdpSocket::bind(at)?;
                udp.set_nonblocking(true)?;
                sockets.dhcp = Some(DhcpSockets { udp, frames: None });
            }
            Ok(sockets)
        };
        open().map_err(failed)
    }

    async fn remove(&self, network: &NetworkId, installation: Uuid) -> Result<(), LinkError> {
        self.latency().await;
        self.available()?;
        let mut world = lock(&self.world);
        let Some(link) = world.links.get(network.as_str()) else { return Ok(()) };
        refuse_foreign(link, network, installation)?;
        world.links.remove(network.as_str());
        save(&self.config.state_file, &world);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<FoundLink>, LinkError> {
        self.available()?;
        self.faults.reach(Point::List).await?;
        let world = lock(&self.world);
        let found = |(network, link): (&String, &SimLink)| FoundLink {
            kind: "port",
            name: format!("sim-{network}"),
            network: Some(network.clone()),
            installation: Some(link.installation),
            generation: link.generation,
        };
        Ok(world.links.iter().map(found).collect())
    }

    async fn announce_way(&self, _spec: &LinkSpec) -> Result<(), LinkError> {
        self.available()
    }

    async fn broken(&self, specs: &[LinkSpec]) -> Result<Vec<NetworkId>, LinkError> {
        self.available()?;
        let world = lock(&self.world);
        let whole =
            |spec: &&LinkSpec| world.links.get(spec.network.as_str()).is_some_and(|link| link.shape == shape(spec));
        Ok(specs.iter().filter(|spec| !whole(spec)).map(|spec| spec.network.clone()).collect())
    }
}
