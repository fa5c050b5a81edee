//! The agent's verbs: apply and delete a network, list what is there, answer questions.
//!
//! ```text
//!  apply v:  v < served, or v <= tombstone ──► refused        v = served ──► look to the link, answer applied
//!            else check ─► disk ─► flip ─► link ─► applied
//!  delete g: g < served ──► refused    else tombstone ─► stop ─► link away ─► file away ─► not applied
//! ```
//!
//! Rule: killed after any line and run again, both end the same; what was answered to guests before a job is answered
//! until the flip.

use crate::config::{self, Driver};
use crate::dns::forward::Forwarders;
use crate::faults::{Faults, Point};
use crate::limits::CONFIRMED_AFTER;
use crate::link::netns::Netns;
use crate::link::sim::Sim;
use crate::link::{FoundLink, LinkError, Links, sentence};
use crate::network::{self, LinkStatus, Network};
use crate::snapshot::{self, Served};
use crate::store::{Store, StoreError, Tombstone};
use crate::truth::{self, Truth};
use crate::{metrics, watch, why};
use anyhow::Context;
use arame_framework::agent::{Agent, Listing, Profile, Standing, Stopped, Work};
use arame_framework::metrics::Sample;
use arame_framework::rehearsal::{self, Sabotage};
use arame_schema::jobs::Job;
use arame_schema::jobs::nsa::{ApplyNetwork, ChangeNetwork, DeleteNetwork};
use arame_schema::jobs::report::{
    ADDRESS_IN_USE, Ask, Backend, BackendStatus, Capacity, FactReport, InventoryThing, Retry,
};
use arame_schema::model::{Fact, FactName, NetworkId, Observation};
use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

const NETWORKS: &str = "networks";
const SWITCH: &str = "switch";

/// What jobs, questions and the watcher share.
pub(crate) struct Inner {
    pub(crate) links: Arc<dyn Links>,
    store: Store,
    driver: &'static str,
    faults: Faults,
    shared: network::Shared,
    networks: RwLock<BTreeMap<NetworkId, Arc<Network>>>,
    standing: ArcSwapOption<Standing>,
    /// Why the switch cannot be asked, while it cannot.
    pub(crate) switch_trouble: ArcSwapOption<String>,
    pub(crate) truth: Truth,
}

pub struct NsaAgent {
    inner: Arc<Inner>,
    _watch: [AbortOnDropHandle<()>; 2],
}

impl NsaAgent {
    /// Loads the snapshots of the last life and begins to serve them at once, with or without a broker.
    ///
    /// # Errors
    /// The data folder or the simulated world cannot be read.
    pub fn start(config: &config::Nsa) -> anyhow::Result<Self> {
        match config.driver {
            Driver::Sim => {
                let sim = Sim::open(config.sim.clone()).context("opening the simulated links")?;
                Self::with_sim(config, Arc::new(sim))
            }
            Driver::Netns => {
                let switch = config.switch.clone().context("driver netns needs [nsa.switch]")?;
                Self::with_links(
                    config,
                    Arc::new(Netns::new(switch, config.identity.clone())),
                    "netns",
                    Faults::default(),
                )
            }
        }
    }

    /// The same over a simulated switch the caller keeps a hand on.
    ///
    /// # Errors
    /// As [`NsaAgent::start`].
    pub fn with_sim(config: &config::Nsa, sim: Arc<Sim>) -> anyhow::Result<Self> {
        let faults = sim.faults().clone();
        Self::with_links(config, sim, "sim", faults)
    }

    fn with_links(
        config: &config::Nsa,
        links: Arc<dyn Links>,
        driver: &'static str,
        faults: Faults,
    ) -> anyhow::Result<Self> {
        let store = Store::open(&config.data_dir)?;
        let shared = network::Shared {
            forwarders: Forwarders::default(),
            questions_per_second: config.questions_per_second,
            manager: Arc::default(),
        };
        let loaded = store.load()?.into_iter().map(|loaded| {
            let network = Network::new(loaded.installation, loaded.served, false, &shared);
            (network.id.clone(), Arc::new(network))
        });
        let networks: BTreeMap<_, _> = loaded.collect();
        let truth = Truth::open(&config.data_dir);
        let as_of = truth.told(false);
        tracing::info!(networks = networks.len(), driver, as_of, "serving what was served last");
        let inner = Arc::new(Inner {
            links,
            store,
            driver,
            faults,
            shared,
            networks: RwLock::new(networks),
            standing: ArcSwapOption::empty(),
            switch_trouble: ArcSwapOption::empty(),
            truth,
        });
        let watch = AbortOnDropHandle::new(rehearsal::spawn(watch::run(Arc::downgrade(&inner))));
        let keep = AbortOnDropHandle::new(rehearsal::spawn(truth::run(Arc::downgrade(&inner))));
        Ok(Self { inner, _watch: [watch, keep] })
    }

    /// The version served of a network.
    pub fn version(&self, network: &NetworkId) -> Option<u64> {
        self.inner.network(network).map(|network| network.served().version)
    }
}

impl Inner {
    pub(crate) fn network(&self, id: &NetworkId) -> Option<Arc<Network>> {
        self.networks.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn networks(&self) -> Vec<Arc<Network>> {
        self.networks.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn survey(&self) {
        if let Some(standing) = &*self.standing.load() {
            standing.survey_now();
        }
    }

    /// A fault's point, left early when a newer job takes over.
    async fn reach(&self, point: Point, work: &Work) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            struck = self.faults.reach(point) => {
                struck.map_err(|struck| Stopped::failed("simulated", struck.to_string(), Retry::Later))
            }
            () = work.cancelled().cancelled() => Err(Stopped::Overtaken { facts: Vec::new() }),
        }
    }

    async fn apply(&self, job: ApplyNetwork, work: &Work) -> Result<Vec<FactReport>, Stopped> {
        let id = job.snapshot.network.clone();
        same_thing(&id, work)?;
        self.reach(Point::ApplyBefore, work).await?;
        work.check()?;
        self.refuse_older_than_disk(&id, work)?;
        let network = match self.network(&id) {
            Some(network) => self.apply_to_known(network, job, work).await?,
            None => self.apply_to_new(job, work).await?,
        };
        self.applied(network, work).await
    }

    /// What an apply and a change end with: the link as the version wants it, and the answer.
    async fn applied(&self, network: Arc<Network>, work: &Work) -> Result<Vec<FactReport>, Stopped> {
        network.told();
        let seen = |network: &Network| vec![self.fact_of(network, work.standing.observe())];
        if let Err(error) = self.ensure_up(&network, work).await? {
            let observed = seen(&network);
            return Err(stopped_by_link(&error).with_facts(observed));
        }
        network.announce_way(&*self.links).await;
        self.reach(Point::ApplyAfter, work).await?;
        Ok(seen(&network))
    }

    /// A version may be on disk and not be served: its job failed after it was written. The next process would serve it,
    /// and an older one must not replace it.
    fn refuse_older_than_disk(&self, id: &NetworkId, work: &Work) -> Result<(), Stopped> {
        let newest = self.store.newest(id);
        if work.generation >= newest || rehearsal::sabotaged(Sabotage::SkipGenerationCheck) {
            return Ok(());
        }
        let observed = work.standing.observe();
        let served = self.network(id).map(|network| self.fact_of(&network, observed));
        let facts = vec![served.unwrap_or_else(|| work.fact(FactName::Applied, Fact::No, observed))];
        Err(Stopped::Refused { found_generation: newest, facts })
    }

    /// Left early when a newer job takes over: the link's steps may stop anywhere, the newer one goes on from there.
    async fn ensure_up(&self, network: &Network, work: &Work) -> Result<Result<(), LinkError>, Stopped> {
        let ensure = async {
            if network.is_up().await {
                return Ok(Ok(()));
            }
            work.check()?;
            Ok(network.bring_up(&*self.links).await)
        };
        tokio::select! {
            biased;
            done = ensure => done,
            () = work.cancelled().cancelled() => Err(Stopped::Overtaken { facts: Vec::new() }),
        }
    }

    async fn apply_to_known(
        &self,
        network: Arc<Network>,
        job: ApplyNetwork,
        work: &Work,
    ) -> Result<Arc<Network>, Stopped> {
        let served = self.refuse_older(&network, work)?;
        if work.generation == served.version && job.history <= served.history {
            if !snapshot::is_same(&served.to_snapshot(), &job.snapshot) {
                tracing::warn!(network = %network.id, version = served.version, "one version came with two contents");
            }
            return Ok(network);
        }
        let next = self.check_and_write(job, work).await?;
        network.flip(next);
        work.crash_point("after_effect");
        Ok(network)
    }

    /// What is served, if the job is not older than it and it is this installation's.
    fn refuse_older(&self, network: &Network, work: &Work) -> Result<Arc<Served>, Stopped> {
        if network.installation != work.standing.installation {
            let message = format!("{} is kept for installation {}", network.id, network.installation);
            return Err(Stopped::failed("foreign_network", message, Retry::Never));
        }
        let served = network.served();
        if work.generation < served.version && !rehearsal::sabotaged(Sabotage::SkipGenerationCheck) {
            return Err(self.gap(network, work));
        }
        Ok(served)
    }

    /// Refused, naming the version that is served.
    fn gap(&self, network: &Network, work: &Work) -> Stopped {
        let facts = vec![self.fact_of(network, work.standing.observe())];
        Stopped::Refused { found_generation: network.served().version, facts }
    }

    async fn change(&self, change: ChangeNetwork, work: &Work) -> Result<Vec<FactReport>, Stopped> {
        let id = change.head.network.clone();
        same_thing(&id, work)?;
        self.reach(Point::ApplyBefore, work).await?;
        work.check()?;
        self.refuse_older_than_disk(&id, work)?;
        let Some(network) = self.network(&id) else {
            let facts = vec![work.fact(FactName::Applied, Fact::No, work.standing.observe())];
            return Err(Stopped::Refused { found_generation: 0, facts });
        };
        let served = self.refuse_older(&network, work)?;
        if work.generation > served.version {
            let next = served.changed(&change, work.generation).map_err(|error| {
                tracing::info!(network = %id, %error, "a change cannot be put on what is served: the whole is asked for");
                self.gap(&network, work)
            })?;
            let store = self.store.clone();
            let write = move |installation, next: &Served| store.write_change(installation, next, &change);
            network.flip(self.write(next, work, write).await?);
            work.crash_point("after_effect");
        }
        self.applied(network, work).await
    }

    async fn apply_to_new(&self, job: ApplyNetwork, work: &Work) -> Result<Arc<Network>, Stopped> {
        let id = job.snapshot.network.clone();
        let found = self.generation_left(&id, work).await;
        if found.is_some_and(|found| work.generation < found.least) {
            let found_generation = found.map_or(0, |found| found.least.saturating_sub(u64::from(found.is_grave)));
            let facts = vec![work.fact(FactName::Applied, Fact::No, work.standing.observe())];
            return Err(Stopped::Refused { found_generation, facts });
        }
        let served = self.check_and_write(job, work).await?;
        if let Err(error) = self.store.unbury(&id) {
            // Harmless: the grave is older than what is served.
            tracing::warn!(network = %id, error = sentence(&error), "a tombstone could not be removed");
        }
        let network = Arc::new(Network::new(work.standing.installation, served, true, &self.shared));
        self.networks.write().unwrap_or_else(PoisonError::into_inner).insert(id, network.clone());
        work.crash_point("after_effect");
        Ok(network)
    }

    /// The least generation a network unknown to memory may come with: past its grave, or not before what its port
    /// carries (the data folder may have been lost).
    async fn generation_left(&self, id: &NetworkId, work: &Work) -> Option<Left> {
        let installation = work.standing.installation;
        let grave = self.store.tombstone(id).filter(|grave| grave.installation == installation);
        if let Some(grave) = grave {
            return Some(Left { least: grave.generation + 1, is_grave: true });
        }
        // An unavailable switch is met again, and answered, when the link is made.
        let links = self.links.list().await.unwrap_or_default();
        let own = links
            .iter()
            .filter(|link| link.installation == Some(installation) && link.network.as_deref() == Some(id.as_str()));
        own.map(|link| Left { least: link.generation, is_grave: false }).max_by_key(|left| left.least)
    }

    async fn check_and_write(&self, job: ApplyNetwork, work: &Work) -> Result<Served, Stopped> {
        let invalid = |error: crate::snapshot::SnapshotError| {
            Stopped::failed("snapshot_invalid", error.to_string(), Retry::Never)
        };
        let served = Served::new(job.snapshot, work.generation, job.history).map_err(invalid)?;
        let store = self.store.clone();
        self.write(served, work, move |installation, served| store.write(installation, served)).await
    }

    /// Not left early once it writes: two writers of one file must not meet.
    async fn write(
        &self,
        served: Served,
        work: &Work,
        write: impl FnOnce(Uuid, &Served) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Served, Stopped> {
        work.check()?;
        work.crash_point("before_effect");
        let installation = work.standing.installation;
        let written = rehearsal::blocking(move || write(installation, &served).map(|()| served)).await;
        let served = match written {
            Ok(done) => done.map_err(|error| stopped_by_store(&error))?,
            Err(panic) => return Err(Stopped::failed("internal", panic.to_string(), Retry::Later)),
        };
        self.reach(Point::ApplyWritten, work).await?;
        Ok(served)
    }

    async fn delete(&self, id: NetworkId, work: &Work) -> Result<Vec<FactReport>, Stopped> {
        same_thing(&id, work)?;
        self.reach(Point::DeleteBefore, work).await?;
        work.check()?;
        let installation = work.standing.installation;
        let network = self.network(&id).filter(|network| network.installation == installation);
        if let Some(network) = &network {
            let version = network.served().version;
            if work.generation < version {
                let facts = vec![self.fact_of(network, work.standing.observe())];
                return Err(Stopped::Refused { found_generation: version, facts });
            }
        }
        let buried = self.store.tombstone(&id).map_or(0, |grave| grave.generation);
        work.crash_point("before_effect");
        let grave = Tombstone { installation, generation: work.generation.max(buried) };
        self.store.bury(&id, grave).map_err(|error| stopped_by_store(&error))?;
        if let Some(network) = network {
            network.stop().await;
            self.networks.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
        self.reach(Point::DeleteStopped, work).await?;
        let still = |work: &Work| vec![work.fact(FactName::Applied, Fact::Maybe, work.standing.observe())];
        let removed = self.links.remove(&id, installation).await;
        removed.map_err(|error| stopped_by_link(&error).with_facts(still(work)))?;
        self.store.remove(&id).map_err(|error| stopped_by_store(&error).with_facts(still(work)))?;
        work.crash_point("after_effect");
        self.reach(Point::DeleteAfter, work).await?;
        let observed = work.standing.observe();
        let served = self.network(&id).map(|network| self.fact_of(&network, observed));
        Ok(vec![served.unwrap_or_else(|| work.fact(FactName::Applied, Fact::No, observed))])
    }

    /// Applied: served, on a link that is up.
    fn fact_of(&self, network: &Network, observed: Observation) -> FactReport {
        let served = network.served();
        let (value, detail) = match &*network.status() {
            LinkStatus::Up => (Fact::Yes, Some(json!({ "history": served.history }))),
            LinkStatus::NotYet => (Fact::No, Some(json!({ "link": "not made yet" }))),
            LinkStatus::Down(reason) => (Fact::No, Some(json!({ "link": reason }))),
        };
        let generation = served.version;
        FactReport { thing: network.id.to_string(), name: FactName::Applied, value, generation, observed, detail }
    }

    /// The age is told by its moment: what is the same is told the same.
    fn detail_of(&self, network: &Network, served: &Served) -> Value {
        let confirmed = network.is_confirmed();
        let mut detail = json!({ "hosts": served.host_count(), "confirmed": confirmed });
        if let Some(as_of) = self.truth.told(confirmed) {
            detail["as_of"] = as_of.into();
        }
        detail
    }

    /// Addresses that clients found in use by others: nothing of ours, and for the audit to tell.
    fn addresses_in_use(network: &Network) -> Vec<InventoryThing> {
        let thing = |(address, complaint): (std::net::Ipv4Addr, crate::complaints::Complaint)| InventoryThing {
            kind: ADDRESS_IN_USE.to_owned(),
            name: format!("{}/{address}", network.id),
            backend: NETWORKS.to_owned(),
            owner: Some(network.id.to_string()),
            generation: 0,
            installation: Some(network.installation),
            holds_data: false,
            facts: Vec::new(),
            detail: Some(json!({ "address": address, "mac": complaint.mac })),
        };
        network.complaints.standing(std::time::Instant::now()).into_iter().map(thing).collect()
    }

    fn network_thing(&self, network: &Network, began: Observation) -> InventoryThing {
        let served = network.served();
        InventoryThing {
            kind: "network".to_owned(),
            name: network.id.to_string(),
            backend: NETWORKS.to_owned(),
            owner: Some(network.id.to_string()),
            generation: served.version,
            installation: Some(network.installation),
            holds_data: false,
            facts: vec![self.fact_of(network, began)],
            detail: Some(self.detail_of(network, &served)),
        }
    }
}

/// What is left of a network that is not in memory.
#[derive(Debug, Clone, Copy)]
struct Left {
    least: u64,
    is_grave: bool,
}

fn same_thing(network: &NetworkId, work: &Work) -> Result<(), Stopped> {
    if network.as_str() == work.thing {
        return Ok(());
    }
    let message = format!("the job is about {} and its body about {network}", work.thing);
    Err(Stopped::failed("wrong_thing", message, Retry::Never))
}

fn stopped_by_store(error: &StoreError) -> Stopped {
    match error.is_full() {
        true => Stopped::failed("disk_full", sentence(error), Retry::Elsewhere),
        false => Stopped::failed("disk_error", sentence(error), Retry::Later),
    }
}

fn stopped_by_link(error: &LinkError) -> Stopped {
    match error {
        LinkError::Foreign { .. } => Stopped::failed("foreign_link", sentence(error), Retry::Never),
        LinkError::Switch(_) => Stopped::failed("switch_unavailable", sentence(error), Retry::Later),
        LinkError::Command(_) | LinkError::Io { .. } => Stopped::failed("link_failed", sentence(error), Retry::Later),
        LinkError::Simulated(_) => Stopped::failed("simulated", sentence(error), Retry::Later),
    }
}

fn link_thing(link: FoundLink) -> InventoryThing {
    InventoryThing {
        kind: link.kind.to_owned(),
        name: link.name,
        backend: SWITCH.to_owned(),
        owner: link.network,
        generation: link.generation,
        installation: link.installation,
        holds_data: false,
        facts: Vec::new(),
        detail: None,
    }
}

#[async_trait]
impl Agent for NsaAgent {
    fn profile(&self) -> Profile {
        let capacity = Capacity {
            arch: std::env::consts::ARCH.to_owned(),
            driver: self.inner.driver.to_owned(),
            ..Capacity::default()
        };
        Profile {
            kinds: vec!["nsa.network.apply", "nsa.network.change", "nsa.network.delete"],
            capacity,
            endpoints: BTreeMap::new(),
        }
    }

    async fn joined(&self, standing: Standing) {
        let incarnation = standing.incarnation;
        self.inner.standing.store(Some(Arc::new(standing)));
        self.inner.shared.manager.store(true, Ordering::Relaxed);
        self.inner.truth.welcomed();
        let inner = Arc::downgrade(&self.inner);
        rehearsal::spawn(async move {
            tokio::time::sleep(CONFIRMED_AFTER).await;
            let Some(inner) = inner.upgrade() else { return };
            if inner.standing.load().as_ref().is_some_and(|now| now.incarnation == incarnation) {
                inner.networks().iter().for_each(|network| network.confirm());
                inner.truth.settled();
            }
        });
    }

    fn linked(&self, is_up: bool) {
        if !is_up {
            self.inner.shared.manager.store(false, Ordering::Relaxed);
            self.inner.truth.lost();
        }
    }

    async fn handle(&self, job: Job, work: Work) -> Result<Vec<FactReport>, Stopped> {
        match job {
            Job::ApplyNetwork(job) => self.inner.apply(*job, &work).await,
            Job::ChangeNetwork(job) => self.inner.change(*job, &work).await,
            Job::DeleteNetwork(DeleteNetwork { network }) => self.inner.delete(network, &work).await,
            Job::ApplyInstance(_)
            | Job::DeleteInstance(_)
            | Job::RebootInstance(_)
            | Job::ObserveInstance(_)
            | Job::ReceiveInstance(_)
            | Job::SendInstance(_)
            | Job::KeepInstance(_)
            | Job::ResumeInstance(_)
            | Job::ApplyPolicy(_)
            | Job::TakeCapture(_)
            | Job::DropCapture(_)
            | Job::ImportImage(_)
            | Job::DeleteImage(_)
            | Job::CreateVolume(_)
            | Job::DeleteVolume(_)
            | Job::ExportVolume(_)
            | Job::UnexportVolume(_)
            | Job::FenceVolume(_)
            | Job::ObserveVolume(_)
            | Job::MarkVolume(_)
            | Job::RollBackVolume(_)
            | Job::CreateSnapshot(_)
            | Job::DeleteSnapshot(_)
            | Job::ObserveSnapshot(_)
            | Job::OfferSnapshot(_)
            | Job::ReceiveReplica(_)
            | Job::DeleteReplica(_)
            | Job::ObserveReplica(_)
            | Job::SnapshotBackup(_)
            | Job::WriteBackup(_)
            | Job::DropBackup(_)
            | Job::DeleteBackup(_)
            | Job::ObserveBackup(_) => {
                let message = format!("{} is not a job of a naming service", job.kind());
                Err(Stopped::failed("unsupported", message, Retry::Never))
            }
        }
    }

    async fn list(&self, began: Observation) -> Listing {
        let mut listing = Listing::default();
        listing.backends.push(Backend { name: NETWORKS.to_owned(), status: BackendStatus::Complete });
        let networks = self.inner.networks();
        listing.things.extend(networks.iter().map(|network| self.inner.network_thing(network, began)));
        listing.things.extend(networks.iter().flat_map(|network| Inner::addresses_in_use(network)));
        let status = match self.inner.links.list().await {
            Ok(links) => {
                listing.things.extend(links.into_iter().map(link_thing));
                BackendStatus::Complete
            }
            Err(error) => BackendStatus::Unavailable { reason: sentence(&error) },
        };
        listing.backends.push(Backend { name: SWITCH.to_owned(), status });
        listing
    }

    async fn ask(&self, ask: Ask) -> Result<Value, String> {
        match ask.question.as_str() {
            "nsa.why" => why::why(&self.inner, &ask.arguments),
            "nsa.counters" => Ok(why::counters(&self.inner)),
            other => Err(format!("a naming service does not know the question {other}")),
        }
    }

    fn metrics(&self) -> Vec<Sample> {
        metrics::samples(&self.inner)
    }

    fn degraded(&self) -> Option<String> {
        self.inner.switch_trouble.load().as_ref().map(|reason| format!("the switch cannot be asked: {reason}"))
    }
}
