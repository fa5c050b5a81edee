//! A network as a naming service is sent it: what changed since the version it serves, or the whole.
//!
//! Rule: a difference is sent at the first attempt only, to an agent that takes them and answered with a version of this
//! database's own history; whatever it refuses or leaves unanswered is followed by the whole. A version is what the rows of
//! up to it say: what came after the version was read is of the next one.

use super::{Body, id};
use crate::app::{App, AppError};
use crate::db::jobs::JobRow;
use crate::db::networks::NetworkRow;
use crate::db::{self, Tx};
use arame_schema::jobs::nsa::NetworkSnapshot;
use arame_schema::jobs::{Job, nsa};
use arame_schema::limits::{DHCP_LEASE_SECONDS, DNS_TTL_SECONDS};
use arame_schema::model::{Fact, FactName};

/// The wire name of a difference: an agent that does not say it is sent the whole.
const CHANGE: &str = "nsa.network.change";

pub(super) async fn apply(app: &App, tx: &mut Tx, job: &JobRow, epoch: u64) -> Result<Body, AppError> {
    let found = db::networks::find(tx, &job.thing).await?;
    // At the version of its end it would look like a network made after it.
    let Some(row) = found.filter(|row| !row.is_deleted) else { return Ok(Body::Obsolete) };
    let version = row.version;
    let outside = outside(app, tx, &row, &job.agent).await?;
    let head = NetworkSnapshot { outside, external: external(tx, &row).await?, ..head(&row)? };
    let job = match base(tx, job, &row, epoch).await? {
        Some(base) => Job::ChangeNetwork(Box::new(change(tx, head, &row, base, epoch).await?)),
        None => {
            // The version was read before the hosts: a host that comes between is served early, never late.
            let mut snapshot = head;
            snapshot.hosts = db::networks::snapshot_hosts(tx, &row.id).await?;
            snapshot.records = db::dns_records::of_network(tx, &row.id).await?;
            Job::ApplyNetwork(Box::new(nsa::ApplyNetwork { snapshot, history: epoch }))
        }
    };
    Ok(Body::Job(version, job))
}

/// The version that the agent serves, if it is one that a difference can be put on.
async fn base(tx: &mut Tx, job: &JobRow, row: &NetworkRow, epoch: u64) -> Result<Option<u64>, AppError> {
    if job.attempt > 1 {
        return Ok(None);
    }
    let Some(fact) = db::facts::find(tx, &row.id, &job.agent, FactName::Applied).await? else { return Ok(None) };
    let history = fact.detail.as_ref().and_then(|detail| detail["history"].as_u64());
    if fact.value != Fact::Yes || fact.generation > row.version || history != Some(epoch) {
        return Ok(None);
    }
    let agent = db::agents::find(tx, &job.agent).await?;
    let takes_changes = agent.is_some_and(|agent| agent.kinds.iter().any(|kind| kind == CHANGE));
    Ok(takes_changes.then_some(fact.generation))
}

async fn change(
    tx: &mut Tx,
    head: NetworkSnapshot,
    row: &NetworkRow,
    base: u64,
    epoch: u64,
) -> Result<nsa::ChangeNetwork, AppError> {
    let (network, version) = (row.id.as_str(), row.version);
    let (mut hosts_gone, mut records_gone) = (Vec::new(), Vec::new());
    for vif in db::networks::hosts_gone(tx, network, base, version).await? {
        hosts_gone.push(id(&vif)?);
    }
    for record in db::dns_records::gone_between(tx, network, base, version).await? {
        records_gone.push(id(&record)?);
    }
    Ok(nsa::ChangeNetwork {
        base,
        history: epoch,
        head,
        hosts: db::networks::hosts_added(tx, network, base, version).await?,
        hosts_gone,
        records: db::dns_records::added_between(tx, network, base, version).await?,
        records_gone,
        host_count: db::networks::host_count(tx, network, version).await?,
        record_count: db::dns_records::count_at(tx, network, version).await?,
    })
}

/// Everything but hosts, records and the way out.
fn head(row: &NetworkRow) -> Result<NetworkSnapshot, AppError> {
    let settings = &row.settings;
    Ok(NetworkSnapshot {
        network: id(&row.id)?,
        account: id(&row.account)?,
        vlan_tag: row.vlan_tag,
        subnet: row.subnet,
        gateway: row.gateway,
        server: row.server,
        domain: row.domain.clone(),
        mtu: row.mtu,
        lease_seconds: settings.lease_seconds.unwrap_or(DHCP_LEASE_SECONDS),
        ttl_seconds: settings.ttl_seconds.unwrap_or(DNS_TTL_SECONDS),
        routes: settings.routes.clone(),
        forwarders: row.forwarders.clone(),
        dns_servers: settings.dns_servers.clone(),
        ntp_servers: settings.ntp_servers.clone(),
        log_queries: settings.log_queries,
        no_dhcp: settings.no_dhcp,
        no_dns: settings.no_dns,
        outside: None,
        external: Vec::new(),
        hosts: Vec::new(),
        records: Vec::new(),
    })
}

/// External addresses, for every naming service: which of them translates is another matter than who answers names.
async fn external(tx: &mut Tx, row: &NetworkRow) -> Result<Vec<nsa::Translation>, AppError> {
    match row.nat_network {
        Some(_) => Ok(db::networks::outside::translations(tx, &row.id).await?),
        None => Ok(Vec::new()),
    }
}

/// The way out, for the one naming service that is the network's gateway.
async fn outside(app: &App, tx: &mut Tx, row: &NetworkRow, agent: &str) -> Result<Option<nsa::Outside>, AppError> {
    let (Some(network), Some(address), Some(_)) = (&row.nat_network, row.outside_ipv4, row.gateway) else {
        return Ok(None);
    };
    if row.gateway_agent.as_deref() != Some(agent) {
        return Ok(None);
    }
    let Some(outer) = db::networks::find(tx, network).await?.filter(|outer| !outer.is_deleted) else { return Ok(None) };
    Ok(Some(nsa::Outside {
        network: id(&outer.id)?,
        vlan_tag: outer.vlan_tag,
        subnet: outer.subnet,
        gateway: outer.gateway,
        address,
        mtu: outer.mtu,
        outbound: row.outbound,
        translations: db::networks::outside::translations(tx, &row.id).await?,
        closed: app.infrastructure().to_vec(),
    }))
}
