//! One network: the snapshot served, the link it stands on, the two servers.
//!
//! Rule: a flip is one pointer: DHCP and DNS see the old snapshot or the new one, never a mixture. Everything done to
//! the link happens under one lock, shared by jobs and watcher; after a delete nothing is made again.

use crate::announce;
use crate::complaints::Complaints;
use crate::dhcp::{self, DhcpCounters};
use crate::dns::clients::Clients;
use crate::dns::forward::Forwarders;
use crate::dns::{self, DnsCounters};
use crate::exchanges::Exchanges;
use crate::gateway::{Gateway, Way};
use crate::limits::RECEIVE_BUFFER_BYTES;
use crate::link::{LinkError, LinkId, LinkSpec, Links, Mark, Sockets, sentence};
use crate::queries::Queries;
use crate::snapshot::Served;
use arame_schema::model::NetworkId;
use arc_swap::ArcSwap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

pub const DNS_PORT: u16 = 53;

/// What was last seen of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkStatus {
    NotYet,
    Up,
    Down(String),
}

/// What the networks of one process share.
pub struct Shared {
    pub forwarders: Forwarders,
    pub questions_per_second: u32,
    /// Whether the manager is heard.
    pub manager: Arc<AtomicBool>,
}

pub struct Network {
    pub id: NetworkId,
    pub installation: Uuid,
    pub exchanges: Arc<Exchanges>,
    pub dhcp_counters: Arc<DhcpCounters>,
    pub dns_counters: Arc<DnsCounters>,
    served: Arc<ArcSwap<Served>>,
    confirmed: Arc<AtomicBool>,
    forwarders: Forwarders,
    pub queries: Arc<Queries>,
    pub complaints: Arc<Complaints>,
    questions_per_second: u32,
    manager: Arc<AtomicBool>,
    gateway: Arc<Gateway>,
    status: ArcSwap<LinkStatus>,
    link: Mutex<Link>,
}

#[derive(Default)]
struct Link {
    made: Option<(LinkSpec, LinkId)>,
    services: Option<Services>,
    deleted: bool,
}

#[derive(Default)]
struct Services {
    tasks: Vec<AbortOnDropHandle<io::Result<()>>>,
}

impl Services {
    /// A loop that ended has lost its socket.
    fn are_alive(&self) -> bool {
        self.tasks.iter().all(|task| !task.is_finished())
    }

    /// The sockets are closed when it returns.
    async fn stop(self) {
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Network {
    pub fn new(installation: Uuid, served: Served, confirmed: bool, shared: &Shared) -> Self {
        let queries = Arc::new(Queries::default());
        queries.set(served.head.log_queries);
        Self {
            id: served.head.network.clone(),
            installation,
            exchanges: Arc::default(),
            dhcp_counters: Arc::default(),
            dns_counters: Arc::default(),
            served: Arc::new(ArcSwap::from_pointee(served)),
            confirmed: Arc::new(AtomicBool::new(confirmed)),
            forwarders: shared.forwarders.for_network(),
            queries,
            complaints: Arc::default(),
            questions_per_second: shared.questions_per_second,
            manager: shared.manager.clone(),
            gateway: Arc::new(Gateway::new(confirmed)),
            status: ArcSwap::from_pointee(LinkStatus::NotYet),
            link: Mutex::default(),
        }
    }

    pub fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// The one step that makes a new version visible.
    pub fn flip(&self, served: Served) {
        self.queries.set(served.head.log_queries);
        self.served.store(Arc::new(served));
    }

    pub fn confirm(&self) {
        self.confirmed.store(true, Ordering::Relaxed);
    }

    pub fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Relaxed)
    }

    pub fn status(&self) -> Arc<LinkStatus> {
        self.status.load_full()
    }

    /// The manager sent what is served now, or the same again.
    pub fn told(&self) {
        self.confirm();
        self.gateway.told(self.served().head.outside.is_some());
    }

    pub fn spec(&self) -> LinkSpec {
        self.spec_of(&self.served())
    }

    fn spec_of(&self, served: &Served) -> LinkSpec {
        let spec = LinkSpec::of(served);
        match self.gateway.way() {
            Way::Open => spec,
            Way::Kept => LinkSpec { keeps_way: spec.outside.is_some(), ..spec },
            Way::Closed => LinkSpec { outside: None, ..spec },
        }
    }

    /// Says where the way out is, if it is here and the time has come.
    pub async fn announce_way(&self, links: &dyn Links) {
        let spec = self.spec();
        if spec.outside.is_none() || *self.status() != LinkStatus::Up || !self.gateway.is_to_announce() {
            return;
        }
        if let Err(error) = links.announce_way(&spec).await {
            tracing::debug!(network = %self.id, error = sentence(&error), "the way out could not be announced");
        }
    }

    /// Whether link and servers are as the served snapshot wants them, as far as is known without looking.
    pub async fn is_up(&self) -> bool {
        let link = self.link.lock().await;
        let made = link.made.as_ref().is_some_and(|(spec, _)| *spec == self.spec());
        let alive = link.services.as_ref().is_some_and(Services::are_alive);
        made && alive && *self.status() == LinkStatus::Up
    }

    /// Makes the link and starts the servers, from whatever is there; does nothing after a delete.
    ///
    /// # Errors
    /// The link could not be made; servers that still run go on.
    pub async fn bring_up(&self, links: &dyn Links) -> Result<(), LinkError> {
        let mut link = self.link.lock().await;
        if link.deleted {
            return Ok(());
        }
        let done = self.bring_up_locked(&mut link, links).await;
        let status = match &done {
            Ok(()) => LinkStatus::Up,
            Err(error) => LinkStatus::Down(sentence(error)),
        };
        self.status.store(Arc::new(status));
        done
    }

    async fn bring_up_locked(&self, link: &mut Link, links: &dyn Links) -> Result<(), LinkError> {
        let served = self.served();
        let spec = self.spec_of(&served);
        let mark = Mark { installation: self.installation, generation: served.version };
        let id = links.ensure(&spec, mark).await?;
        let same = link.made.as_ref().is_some_and(|(_, made)| *made == id);
        if same && link.services.as_ref().is_some_and(Services::are_alive) {
            link.made = Some((spec, id));
            return Ok(());
        }
        if let Some(services) = link.services.take() {
            services.stop().await;
        }
        let sockets = links.open(&spec).await?;
        let failed = |source| LinkError::Io { verb: "starting the servers of", what: self.id.to_string(), source };
        link.services = Some(self.start(sockets).map_err(failed)?);
        self.gateway.listens();
        link.made = Some((spec, id));
        Ok(())
    }

    fn start(&self, sockets: Sockets) -> io::Result<Services> {
        let mut services = Services::default();
        if let Some(sockets) = sockets.dhcp {
            widen(&sockets.udp);
            let udp = UdpSocket::from_std(sockets.udp)?;
            let shared = dhcp::server::Shared {
                served: self.served.clone(),
                confirmed: self.confirmed.clone(),
                counters: self.dhcp_counters.clone(),
                exchanges: self.exchanges.clone(),
                complaints: self.complaints.clone(),
            };
            let server = dhcp::server::Server::new(shared, udp, sockets.frames);
            services.tasks.push(AbortOnDropHandle::new(tokio::spawn(server.run())));
        }
        if let Some((udp, tcp)) = sockets.dns {
            widen(&udp);
            let handler = dns::Handler {
                served: self.served.clone(),
                counters: self.dns_counters.clone(),
                forwarders: self.forwarders.clone(),
                queries: self.queries.clone(),
            };
            let clients = Clients::new(self.questions_per_second);
            let server = dns::server::run(handler, clients, UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?);
            services.tasks.push(AbortOnDropHandle::new(tokio::spawn(server)));
        }
        if let Some(arp) = sockets.arp {
            let heard = announce::Heard { gateway: self.gateway.clone(), manager: self.manager.clone() };
            let announcing = announce::run(arp, self.served.clone(), heard);
            services.tasks.push(AbortOnDropHandle::new(tokio::spawn(announcing)));
        }
        Ok(services)
    }

    /// Stops answering; nothing is brought up again.
    pub async fn stop(&self) {
        let mut link = self.link.lock().await;
        link.deleted = true;
        if let Some(services) = link.services.take() {
            services.stop().await;
        }
        self.status.store(Arc::new(LinkStatus::NotYet));
    }
}

/// Room for what comes while this process waits for its turn. Past the machine's limit where we may; else what it gives.
fn widen(socket: &std::net::UdpSocket) {
    use nix::sys::socket::{setsockopt, sockopt};
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES);
    }
}
