//! The agent's verbs for the framework: what it is, what it does with a job, what it has.
//!
//! Rule: an inventory names a backend complete only when all of it was seen. Jobs of different things run beside
//! each other; what two of them share (a volume's key, an image) has its own lock here.

mod listing;

use crate::carry::Carrier;
use crate::config::{Config, ExportKind, StaConfig, StoreKind};
use crate::export::lio::{self, LioExport};
use crate::export::marks::Marks;
use crate::export::tgt::TgtExport;
use crate::export::tgt::socket::Socket;
use crate::export::{self, Export, Target};
use crate::faults::Faults;
use crate::fetch::Fetch;
use crate::http::Shelf;
use crate::jobs;
use crate::machine;
use crate::path;
use crate::receive::Receiver;
use crate::sandbox::Checker;
use crate::sim::World;
use crate::store::backups::Backups;
use crate::store::backups::place::Places;
use crate::store::backups::sim::SimBackups;
use crate::store::file::FileStore;
use crate::store::folder::Folder;
use crate::store::images::Images;
use crate::store::sim::SimStore;
use crate::store::zfs::ZfsStore;
use crate::store::{Pool, Room, SnapshotKeys, Store, StoreError, Volume, sentence, snapshots};
use anyhow::Context;
use arame_framework::agent::{Agent, Listing, Profile, Standing, Stopped, Work};
use arame_framework::machine::Machine;
use arame_framework::metrics::Sample;
use arame_schema::jobs::Job;
use arame_schema::jobs::figures::MACHINE;
use arame_schema::jobs::report::{Ask, Capacity, FactReport, Retry};
use arame_schema::jobs::sta::BACKUPS;
use arame_schema::jobs::sta::path::PATH;
use arame_schema::model::Observation;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Kept free where the configuration names no amount ([`StaConfig::keep_free_mib`]).
const KEEP_FREE_PERCENT: u64 = 5;
/// Locks of volumes, and of images: bounded, two names may share one.
const LOCKS: usize = 64;

pub struct Sta {
    config: StaConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) export: Arc<dyn Export>,
    pub(crate) volume_locks: Locks,
    pub(crate) image_locks: Locks,
    pub(crate) fetch: Fetch,
    pub(crate) backups: Arc<dyn Backups>,
    pub(crate) carrier: Carrier,
    pub(crate) receiver: Receiver,
    world: Arc<World>,
    installation: RwLock<Option<Uuid>>,
    health: Arc<RwLock<Health>>,
    machine: Arc<Machine>,
}

/// As of the last look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    pub(crate) room: Room,
    store: Option<String>,
    export: Option<String>,
    pool: Pool,
}

/// Makes the agent its configuration describes.
///
/// # Errors
/// Another agent holds the data folder, or state cannot be read.
pub async fn build(config: Config) -> anyhow::Result<Arc<Sta>> {
    let sta = config.sta;
    let spent = sta.sim.state_file.as_ref().map(|path| path.with_extension("spent"));
    let faults = Arc::new(Faults::new(sta.sim.faults.clone(), spent));
    let latency = Duration::from_millis(sta.sim.latency_ms);
    let world = Arc::new(World::open(sta.sim.state_file.clone(), latency, faults.clone())?);
    let state_dir = &config.common.state_dir;
    let checker = Checker::new(sta.fetch.checker_uid);
    let limit = sta.disk_mib.map(|mib| mib << 20);
    let images = || -> anyhow::Result<Images> {
        let data_dir = sta.data_dir.as_ref().context("sta.data_dir is missing")?;
        let folder = Arc::new(Folder::open(data_dir, state_dir)?);
        Ok(Images { folder, import_dirs: sta.import_dirs.clone(), faults: faults.clone(), checker })
    };
    let store: Arc<dyn Store> = match sta.store {
        StoreKind::File => Arc::new(FileStore::new(images()?, limit)),
        StoreKind::Zfs => {
            let pool = sta.zfs_pool.clone().context("sta.zfs_pool is missing")?;
            Arc::new(ZfsStore::new(images()?, pool, limit))
        }
        StoreKind::Sim => Arc::new(SimStore::new(world.clone(), sta.import_dirs.clone(), limit, checker)),
    };
    let (prefix, portal) = (sta.export.iqn_prefix.clone(), sta.export.portal.clone());
    let export: Arc<dyn Export> = match sta.export.driver {
        ExportKind::Tgt => {
            let socket = Socket::new(sta.export.ipc_socket.as_ref(), sta.export.control_port);
            Arc::new(TgtExport::new(socket, Marks::open(state_dir.join("exports"))?, prefix, portal, faults.clone()))
        }
        ExportKind::Lio => {
            let marks = Marks::open(state_dir.join("exports"))?;
            Arc::new(LioExport::new(lio::ROOT.into(), marks, prefix, portal, faults.clone()))
        }
        ExportKind::Sim => Arc::new(export::sim::SimExport::new(world.clone(), prefix, portal)),
    };
    let backups: Arc<dyn Backups> = match sta.store {
        StoreKind::File | StoreKind::Zfs => Arc::new(Places::open(&sta.backups, &sta.node, state_dir, faults.clone())?),
        StoreKind::Sim => {
            let storages = sta.backups.iter().map(|one| one.storage.clone()).collect();
            Arc::new(SimBackups::new(world.clone(), storages))
        }
    };
    let agent = Sta::new(sta, (store, backups), export, world);
    agent.look_at_room().await;
    Ok(Arc::new(agent))
}

impl Sta {
    pub fn new(
        config: StaConfig,
        (store, backups): (Arc<dyn Store>, Arc<dyn Backups>),
        export: Arc<dyn Export>,
        world: Arc<World>,
    ) -> Self {
        let fetch = Fetch::new(config.fetch.clone(), store.clone());
        let carrier = Carrier::new(&config.fetch, store.clone(), backups.clone());
        let receiver = Receiver::new(&config.fetch, store.clone());
        let health = Arc::new(RwLock::new(Health::default()));
        Self {
            fetch,
            backups,
            carrier,
            receiver,
            store,
            export,
            world,
            volume_locks: Locks::new(),
            image_locks: Locks::new(),
            installation: RwLock::new(None),
            machine: machine::watched(&config, health.clone()),
            health,
            config,
        }
    }

    pub fn http_listen(&self) -> Option<SocketAddr> {
        self.config.http_listen
    }

    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    pub fn backups(&self) -> Arc<dyn Backups> {
        self.backups.clone()
    }

    /// What its HTTP serves and takes.
    pub fn shelf(&self) -> Shelf {
        Shelf { store: self.store.clone(), uploads: self.fetch.uploads.clone(), backups: self.backups.clone() }
    }

    /// The simulated world, and the faults of every driver: for whoever runs the agent in a simulated data center.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    pub fn image_url(&self, image: &str) -> String {
        format!("{}/images/{image}", self.config.http_url.trim_end_matches('/'))
    }

    /// Where other storage nodes read a snapshot; empty where nothing is served.
    pub fn snapshot_url(&self, at: &SnapshotKeys) -> String {
        match self.config.http_url.trim_end_matches('/') {
            "" => String::new(),
            base => format!("{base}/snapshots/{}", snapshots::name(&at.volume_key, &at.key)),
        }
    }

    /// Whether the target was made for this installation: remembered so, or serving a volume marked so.
    pub(crate) async fn is_ours(&self, target: &Target, installation: Uuid) -> Result<bool, StoreError> {
        if let Some(mark) = &target.mark {
            return Ok(mark.installation == installation);
        }
        let Some(path) = &target.path else { return Ok(false) };
        let serves = |volume: &Volume| {
            volume.path == *path && volume.mark.as_ref().is_some_and(|mark| mark.installation == installation)
        };
        Ok(self.store.list_volumes().await?.iter().any(serves))
    }

    async fn run(&self, job: Job, work: &Work) -> Result<Vec<FactReport>, Stopped> {
        match job {
            Job::ImportImage(job) => jobs::import_image::run(self, job, work).await,
            Job::DeleteImage(job) => jobs::delete_image::run(self, job, work).await,
            Job::CreateVolume(job) => jobs::create_volume::run(self, job, work).await,
            Job::DeleteVolume(job) => jobs::delete_volume::run(self, job, work).await,
            Job::ExportVolume(job) => jobs::export_volume::run(self, job, work).await,
            Job::UnexportVolume(job) => jobs::unexport_volume::run(self, job, work).await,
            Job::FenceVolume(job) => jobs::fence_volume::run(self, job, work).await,
            Job::ObserveVolume(job) => jobs::observe_volume::run(self, job, work).await,
            Job::MarkVolume(job) => jobs::mark_volume::run(self, job, work).await,
            Job::RollBackVolume(job) => jobs::roll_back_volume::run(self, job, work).await,
            Job::CreateSnapshot(job) => jobs::create_snapshot::run(self, job, work).await,
            Job::DeleteSnapshot(job) => jobs::delete_snapshot::run(self, job, work).await,
            Job::ObserveSnapshot(job) => jobs::observe_snapshot::run(self, job, work).await,
            Job::OfferSnapshot(job) => jobs::offer_snapshot::run(self, job, work).await,
            Job::ReceiveReplica(job) => jobs::replica::receive(self, job, work).await,
            Job::DeleteReplica(job) => jobs::replica::delete(self, job, work).await,
            Job::ObserveReplica(job) => jobs::replica::observe(self, job, work).await,
            Job::SnapshotBackup(job) => jobs::backup::take(self, job, work).await,
            Job::WriteBackup(job) => jobs::backup::write(self, job, work).await,
            Job::DropBackup(job) => jobs::backup::drop_snapshot(self, job, work).await,
            Job::DeleteBackup(job) => jobs::backup::delete(self, job, work).await,
            Job::ObserveBackup(job) => jobs::backup::observe(self, job, work).await,
            Job::ApplyInstance(_)
            | Job::DeleteInstance(_)
            | Job::RebootInstance(_)
            | Job::ObserveInstance(_)
            | Job::ReceiveInstance(_)
            | Job::SendInstance(_)
            | Job::KeepInstance(_)
            | Job::ResumeInstance(_)
            | Job::TakeCapture(_)
            | Job::DropCapture(_)
            | Job::ApplyPolicy(_)
            | Job::ApplyNetwork(_)
            | Job::ChangeNetwork(_)
            | Job::DeleteNetwork(_) => {
                Err(Stopped::failed("unsupported", "a storage agent has no such job", Retry::Never))
            }
        }
    }

    /// Only ever notes what was seen: a room that cannot be looked at is trouble, not a full or empty one.
    async fn look_at_room(&self) {
        let seen = self.store.room().await;
        // A pool that does not answer is not asked twice.
        let pool = if seen.is_ok() { self.store.pool().await.ok() } else { None };
        let mut health = self.health.write().unwrap_or_else(PoisonError::into_inner);
        match seen {
            Ok(room) => {
                health.room = room;
                health.store = None;
            }
            Err(error) => health.store = Some(sentence(&error)),
        }
        if let Some(pool) = pool {
            health.pool = pool;
        }
    }

    /// Free bytes below which the store counts as full.
    pub(crate) fn kept_bytes(&self, room: Room) -> u64 {
        self.config.keep_free_mib.map_or(room.total_bytes / 100 * KEEP_FREE_PERCENT, |mib| mib << 20)
    }

    fn installation(&self) -> Option<Uuid> {
        *self.installation.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Agent for Sta {
    fn profile(&self) -> Profile {
        let room = self.health.read().unwrap_or_else(PoisonError::into_inner).room;
        let disk_mib = match self.config.disk_mib {
            Some(limit) if room.total_bytes == 0 => limit,
            _ => room.total_bytes >> 20,
        };
        let mut endpoints = BTreeMap::from([("portal".to_owned(), self.export.portal().to_owned())]);
        if !self.config.http_url.is_empty() {
            endpoints.insert("http".to_owned(), self.config.http_url.clone());
        }
        if !self.config.upload_url.is_empty() {
            endpoints.insert("upload".to_owned(), self.config.upload_url.clone());
        }
        let storages: Vec<String> = self.backups.storages().iter().map(ToString::to_string).collect();
        if !storages.is_empty() {
            endpoints.insert(BACKUPS.to_owned(), storages.join(" "));
        }
        Profile {
            kinds: Job::KINDS.into_iter().filter(|kind| kind.starts_with("sta.")).collect(),
            capacity: Capacity {
                arch: std::env::consts::ARCH.to_owned(),
                driver: self.store.kind().to_owned(),
                disk_mib,
                ..Capacity::default()
            },
            endpoints,
        }
    }

    async fn joined(&self, standing: Standing) {
        *self.installation.write().unwrap_or_else(PoisonError::into_inner) = Some(standing.installation);
    }

    async fn handle(&self, job: Job, work: Work) -> Result<Vec<FactReport>, Stopped> {
        let kind = job.kind();
        self.world.faults.hit(&format!("{kind}:before")).await.map_err(StoreError::from)?;
        let answer = self.run(job, &work).await;
        self.look_at_room().await;
        self.world.faults.hit(&format!("{kind}:answer")).await.map_err(StoreError::from)?;
        answer
    }

    async fn list(&self, began: Observation) -> Listing {
        let mut listing = Listing::default();
        self.list_store(began, &mut listing).await;
        self.list_export(began, &mut listing).await;
        self.list_backups(began, &mut listing).await;
        self.look_at_room().await;
        listing
    }

    async fn ask(&self, ask: Ask) -> Result<Value, String> {
        match ask.question.as_str() {
            MACHINE => serde_json::to_value(self.machine.answer(Instant::now())).map_err(|error| error.to_string()),
            "sta.room" => {
                let room = self.store.room().await.map_err(|error| sentence(&error))?;
                Ok(json!({ "total_bytes": room.total_bytes, "free_bytes": room.free_bytes }))
            }
            PATH => {
                let question = serde_json::from_value(ask.arguments).map_err(|error| error.to_string())?;
                serde_json::to_value(path::answer(self, &question).await).map_err(|error| error.to_string())
            }
            "sta.targets" => {
                let targets = self.export.list().await.map_err(|error| error.to_string())?;
                let named = targets.iter().map(|target| json!({ "iqn": target.iqn, "is": listing::describe(target) }));
                Ok(named.collect())
            }
            other => Err(format!("a storage agent cannot answer `{other}`")),
        }
    }

    fn metrics(&self) -> Vec<Sample> {
        let Health { pool, store, .. } = self.health.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut samples = self.machine.samples(Instant::now());
        if pool.health.is_some() {
            let help =
                "1: the pool is as it should be; 0: a disk of it is gone, data is damaged, or it cannot be looked at.";
            let well = f64::from(u8::from(pool.is_well() && store.is_none()));
            samples.push(Sample::gauge("arame_storage_pool_well", help, well).of("pool", pool.name));
        }
        samples
    }

    fn degraded(&self) -> Option<String> {
        let health = self.health.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Room { total_bytes, free_bytes } = health.room;
        let kept_bytes = self.kept_bytes(health.room);
        let tight = total_bytes > 0 && free_bytes < kept_bytes;
        let [free, total, kept] = [free_bytes, total_bytes, kept_bytes].map(|bytes| bytes >> 20);
        let full = tight.then(|| format!("{free} MiB of {total} are free, {kept} are kept free (sta.keep_free_mib)"));
        health.store.or(health.export).or(full)
    }
}

/// One lock a name, out of a bounded set.
pub struct Locks([tokio::sync::RwLock<()>; LOCKS]);

impl Locks {
    fn new() -> Self {
        Self(std::array::from_fn(|_| tokio::sync::RwLock::new(())))
    }

    fn of(&self, name: &str) -> &tokio::sync::RwLock<()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        &self.0[hasher.finish() as usize % LOCKS]
    }

    /// To change the thing.
    pub async fn change(&self, name: &str) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.of(name).write().await
    }

    /// To rely on the thing. Volumes before images, never two of one set: no two jobs wait for each other.
    pub async fn rely(&self, name: &str) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.of(name).read().await
    }
}
