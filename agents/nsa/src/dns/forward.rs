//! Names that are not ours: one caching resolver per list of forwarders, shared by the networks that name that list.
//!
//! Rule: questions leave by the namespace the process itself is in (the infrastructure's), never by a tenant's.

use super::Answer;
use crate::limits::FORWARD_TIMEOUT;
use crate::snapshot::Served;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::net::{DnsError, NetError};
use hickory_server::resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_server::resolver::{Resolver, TokioResolver};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock, Weak};

/// The resolvers in use. Cloning shares them.
#[derive(Clone, Default)]
pub struct Forwarders {
    by_servers: Arc<RwLock<HashMap<Vec<SocketAddr>, Weak<TokioResolver>>>>,
    /// Keeps this network's resolver (and its cache) alive between questions.
    held: Arc<RwLock<Option<Held>>>,
}

struct Held {
    servers: Vec<SocketAddr>,
    resolver: Arc<TokioResolver>,
}

impl Forwarders {
    /// The same pool with a hold of its own: one for each network.
    pub fn for_network(&self) -> Self {
        Self { by_servers: self.by_servers.clone(), held: Arc::default() }
    }

    /// `None`: no forwarders, names elsewhere are refused.
    pub fn of(&self, served: &Served) -> Option<Arc<TokioResolver>> {
        if served.head.forwarders.is_empty() {
            return None;
        }
        let servers = served.forwarders();
        if let Some(held) = &*self.held.read().unwrap_or_else(PoisonError::into_inner)
            && held.servers == servers
        {
            return Some(held.resolver.clone());
        }
        let resolver = self.shared(&servers)?;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(Held { servers, resolver: resolver.clone() });
        Some(resolver)
    }

    fn shared(&self, servers: &[SocketAddr]) -> Option<Arc<TokioResolver>> {
        if servers.is_empty() {
            return None;
        }
        let mut pool = self.by_servers.write().unwrap_or_else(PoisonError::into_inner);
        pool.retain(|_, resolver| resolver.strong_count() > 0);
        if let Some(resolver) = pool.get(servers).and_then(Weak::upgrade) {
            return Some(resolver);
        }
        let resolver = Arc::new(build(servers)?);
        pool.insert(servers.to_vec(), Arc::downgrade(&resolver));
        Some(resolver)
    }
}

fn build(servers: &[SocketAddr]) -> Option<TokioResolver> {
    let name_servers = servers.iter().map(|at| {
        let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
        udp.port = at.port();
        tcp.port = at.port();
        NameServerConfig::new(at.ip(), true, vec![udp, tcp])
    });
    let config = ResolverConfig::from_parts(None, Vec::new(), name_servers.collect());
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options: &mut ResolverOpts = builder.options_mut();
    options.timeout = FORWARD_TIMEOUT;
    options.attempts = 1;
    // A CNAME on the way belongs into the answer (RFC 1034, 4.3.2).
    options.preserve_intermediates = true;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = 1024;
    builder.build().inspect_err(|error| tracing::error!(?servers, %error, "no forwarder could be made")).ok()
}

pub(super) async fn resolve(resolver: &TokioResolver, name: &Name, kind: RecordType) -> Answer {
    let mut answer = Answer { recursion: true, ..Answer::empty(ResponseCode::ServFail) };
    match resolver.lookup(name.clone(), kind).await {
        Ok(found) => {
            answer.code = ResponseCode::NoError;
            answer.records = found.answers().to_vec();
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
            answer.code = none.response_code;
            answer.soa = none.soa.map(|soa| soa.into_record_of_rdata()).into_iter().collect();
        }
        Err(NetError::Dns(DnsError::ResponseCode(code))) => answer.code = code,
        Err(error) => tracing::debug!(%name, %error, "no forwarder answered"),
    }
    answer
}
