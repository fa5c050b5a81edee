//! Names that are not ours: one caching forwarder per list of servers, shared by the networks that name that list.
//!
//! Rule: questions leave by the namespace the process itself is in (the infrastructure's), never by a tenant's.

use crate::limits::FORWARD_TIMEOUT;
use crate::snapshot::Served;
use hickory_proto::rr::{LowerName, Name};
use hickory_server::resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_server::store::forwarder::{ForwardConfig, ForwardZoneHandler};
use hickory_server::zone_handler::Catalog;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock, Weak};

/// The forwarders in use. Cloning shares them.
#[derive(Clone, Default)]
pub struct Forwarders {
    by_servers: Arc<RwLock<HashMap<Vec<SocketAddr>, Weak<Catalog>>>>,
    /// Keeps this network's forwarder (and its cache) alive between questions.
    held: Arc<RwLock<Option<Held>>>,
}

struct Held {
    servers: Vec<SocketAddr>,
    catalog: Arc<Catalog>,
}

impl Forwarders {
    /// The same pool with a hold of its own: one for each network.
    pub fn for_network(&self) -> Self {
        Self { by_servers: self.by_servers.clone(), held: Arc::default() }
    }

    /// `None`: no forwarders, names elsewhere are refused.
    pub fn of(&self, served: &Served) -> Option<Arc<Catalog>> {
        if served.snapshot.forwarders.is_empty() {
            return None;
        }
        let servers = served.forwarders();
        if let Some(held) = &*self.held.read().unwrap_or_else(PoisonError::into_inner)
            && held.servers == servers
        {
            return Some(held.catalog.clone());
        }
        let catalog = self.shared(&servers)?;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(Held { servers, catalog: catalog.clone() });
        Some(catalog)
    }

    fn shared(&self, servers: &[SocketAddr]) -> Option<Arc<Catalog>> {
        if servers.is_empty() {
            return None;
        }
        let mut pool = self.by_servers.write().unwrap_or_else(PoisonError::into_inner);
        pool.retain(|_, catalog| catalog.strong_count() > 0);
        if let Some(catalog) = pool.get(servers).and_then(Weak::upgrade) {
            return Some(catalog);
        }
        let catalog = Arc::new(build(servers)?);
        pool.insert(servers.to_vec(), Arc::downgrade(&catalog));
        Some(catalog)
    }
}

fn build(servers: &[SocketAddr]) -> Option<Catalog> {
    let name_servers = servers.iter().map(|at| {
        let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
        udp.port = at.port();
        tcp.port = at.port();
        NameServerConfig::new(at.ip(), true, vec![udp, tcp])
    });
    let mut options = ResolverOpts::default();
    options.timeout = FORWARD_TIMEOUT;
    options.attempts = 1;
    options.preserve_intermediates = true;
    options.cache_size = 1024;
    let config = ForwardConfig { name_servers: name_servers.collect(), options: Some(options) };
    let forwarder = ForwardZoneHandler::builder_tokio(config).build();
    let forwarder =
        forwarder.inspect_err(|error| tracing::error!(?servers, error, "no forwarder could be made")).ok()?;
    let mut catalog = Catalog::new();
    catalog.upsert(LowerName::new(&Name::root()), vec![Arc::new(forwarder)]);
    Some(catalog)
}
