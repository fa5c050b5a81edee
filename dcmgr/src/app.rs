//! The application: what each request does, in one transaction, and what follows from facts.
//!
//! Rule: a change writes the wish and the next job in the same transaction; after the commit the jobs are handed to
//! the relay of this process, which is only a bell (DESIGN 3.1). Nothing here speaks HTTP or AMQP.

pub mod accounts;
pub mod adoption;
pub mod advance;
pub mod audit;
pub mod audit_log;
pub mod backups;
pub mod consoles;
pub mod credentials;
pub mod dc_networks;
mod deaths;
pub mod error;
pub mod events;
pub mod guards;
pub mod idempotency;
pub mod images;
pub mod instance_types;
pub mod instances;
pub mod inventory;
pub mod ip_pools;
pub mod jobs;
pub mod joins;
pub mod labels;
mod lists;
pub mod losses;
pub mod monitors;
pub mod moves;
pub mod naming_nodes;
pub mod networks;
pub mod node_groups;
pub mod nodes;
mod once;
pub mod outcome;
pub mod passwords;
pub mod placement;
pub mod questions;
pub mod recovery;
pub mod render;
pub mod replicas;
pub mod schedules;
pub mod security_groups;
pub mod sessions;
pub mod silences;
pub mod ssh_key_pairs;
pub mod streams;
pub mod tokens;
mod totals;
pub mod usage;
pub mod users;
pub mod vifs;
pub mod volume_snapshots;
pub mod volumes;
pub mod welcome;

use crate::db::pool::Contended;
use crate::db::secrets::Vault;
use crate::db::{self, Db};
use crate::plan::naming::Count;
use arame_schema::api::{Code, Health, ListFilter, Page, Refusal, Role};
pub use error::AppError;
use metrics_exporter_prometheus::PrometheusHandle;
use questions::Questions;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use uuid::Uuid;

/// Jobs handed to the relay at once. What does not fit is found by its timer: the rows are the truth.
const RING_QUEUE: usize = 10_000;

/// One dcmgr's application. Cheap to clone.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    vault: Vault,
    installation: Uuid,
    ring: mpsc::Sender<Ring>,
    /// Something was committed that deserves a public event number.
    events_waiting: Notify,
    /// Highest public event number seen; ticks when it grows.
    events: watch::Sender<u64>,
    broker_up: AtomicBool,
    questions: Questions,
    streams: streams::Streams,
    gate: OnceLock<joins::Gate>,
    credentials: credentials::Credentials,
    passwords: passwords::Passwords,
    guard_turns: Arc<Semaphore>,
    totals: totals::Totals,
    hosts_hint: placement::Hint,
    addresses_hint: instances::addresses::AddressesHint,
    infrastructure: Vec<ipnet::Ipv4Net>,
    time_zone: String,
    naming_services: Count,
    naming_watch: networks::naming::Watch,
    silence_watch: silences::Watch,
    metrics: Option<PrometheusHandle>,
}

/// Runs one change in a transaction and rings what it queued.
#[macro_export]
macro_rules! change {
    ($app:expr, $name:expr, $request:expr, |$tx:ident, $ringing:ident| $body:block) => {{
        let done = $crate::transact!($app.db(), $name, $request, $crate::app::AppError, |$tx| {
            let mut queued = $crate::app::Ringing::default();
            let value = {
                let $ringing = &mut queued;
                let result: Result<_, $crate::app::AppError> = async { $body }.await;
                let _ = &$ringing;
                result
            }?;
            Ok((value, queued))
        });
        match done {
            Ok((value, queued)) => {
                $app.committed(queued).await;
                Ok(value)
            }
            Err(error) => Err(error),
        }
    }};
}

/// What `main` gives.
pub struct Parts {
    pub db: Db,
    pub vault: Vault,
    pub installation: Uuid,
    /// Destinations no guest may reach.
    pub infrastructure: Vec<ipnet::Ipv4Net>,
    /// The IANA name of the zone of schedules that name none.
    pub time_zone: String,
    /// How many serve a network that names no number; 0: every one.
    pub naming_services: u16,
    pub metrics: Option<PrometheusHandle>,
}

/// Who asks, checked.
#[derive(Debug, Clone)]
pub struct Caller {
    pub token: String,
    pub role: Role,
    /// The account the request acts for; `None`: an operator who looks at all.
    pub account: Option<String>,
    pub request: Uuid,
    pub address: String,
    pub idempotency_key: Option<String>,
}

impl Caller {
    /// Limits a query to one account, or to none.
    pub fn scope(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// The account a new resource will belong to.
    ///
    /// # Errors
    /// An operator who acts for all accounts must name one.
    pub fn owner(&self) -> Result<&str, Refusal> {
        self.account.as_deref().ok_or_else(|| Refusal::new(Code::AccountNeeded))
    }

    fn who(&self) -> db::events::Who<'_> {
        db::events::Who {
            request: self.request,
            token: &self.token,
            account: self.account.as_deref().unwrap_or("-"),
            address: &self.address,
            key: self.idempotency_key.as_deref(),
        }
    }
}

/// Jobs queued by a transaction, rung after its commit.
#[derive(Debug, Default)]
pub struct Ringing {
    jobs: Vec<Ring>,
}

/// A job to ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    pub job: Uuid,
    /// Of a snapshot, which holds all that came before it: whose, and for whom.
    pub snapshot: Option<(String, String)>,
}

impl Ringing {
    pub fn add(&mut self, ring: Ring) {
        self.jobs.push(ring);
    }
}

impl App {
    /// The application and the receiving end of its relay.
    pub fn new(parts: Parts) -> (App, mpsc::Receiver<Ring>) {
        let (ring, rung) = mpsc::channel(RING_QUEUE);
        let inner = Inner {
            db: parts.db,
            vault: parts.vault,
            installation: parts.installation,
            ring,
            events_waiting: Notify::new(),
            events: watch::channel(0).0,
            broker_up: AtomicBool::new(false),
            questions: Questions::default(),
            streams: streams::Streams::default(),
            gate: OnceLock::new(),
            credentials: credentials::Credentials::default(),
            passwords: passwords::Passwords::default(),
            totals: totals::Totals::default(),
            guard_turns: Arc::new(Semaphore::new(guards::AT_ONCE)),
            hosts_hint: placement::Hint::default(),
            addresses_hint: instances::addresses::AddressesHint::default(),
            infrastructure: parts.infrastructure,
            time_zone: parts.time_zone,
            naming_services: Count::of_number(parts.naming_services),
            naming_watch: networks::naming::Watch::default(),
            silence_watch: silences::Watch::default(),
            metrics: parts.metrics,
        };
        (App { inner: Arc::new(inner) }, rung)
    }

    pub fn db(&self) -> &Db {
        &self.inner.db
    }

    pub fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    pub fn installation(&self) -> Uuid {
        self.inner.installation
    }

    pub fn questions(&self) -> &Questions {
        &self.inner.questions
    }

    pub fn streams(&self) -> &streams::Streams {
        &self.inner.streams
    }

    /// From now on machines may join by it.
    pub fn open_gate(&self, gate: joins::Gate) {
        let _ = self.inner.gate.set(gate);
    }

    fn gate(&self) -> Option<&joins::Gate> {
        self.inner.gate.get()
    }

    pub fn credentials(&self) -> &credentials::Credentials {
        &self.inner.credentials
    }

    fn totals(&self) -> &totals::Totals {
        &self.inner.totals
    }

    fn guard_turns(&self) -> Arc<Semaphore> {
        self.inner.guard_turns.clone()
    }

    pub fn passwords(&self) -> &passwords::Passwords {
        &self.inner.passwords
    }

    pub fn hosts_hint(&self) -> &placement::Hint {
        &self.inner.hosts_hint
    }

    pub fn addresses_hint(&self) -> &instances::addresses::AddressesHint {
        &self.inner.addresses_hint
    }

    /// Of schedules that name none.
    pub fn time_zone(&self) -> &str {
        &self.inner.time_zone
    }

    /// How many naming services a network wants that names no number.
    pub fn naming_services(&self) -> Count {
        self.inner.naming_services
    }

    pub fn naming_watch(&self) -> &networks::naming::Watch {
        &self.inner.naming_watch
    }

    pub fn silence_watch(&self) -> &silences::Watch {
        &self.inner.silence_watch
    }

    pub fn infrastructure(&self) -> &[ipnet::Ipv4Net] {
        &self.inner.infrastructure
    }

    /// Rings what a committed change queued; used by [`change!`](crate::change), which is the way to change.
    pub async fn committed(&self, ringing: Ringing) {
        crate::rehearsal::pause().await;
        crate::rehearsal::point("after_commit", if ringing.jobs.is_empty() { "" } else { "ring" });
        for ring in ringing.jobs {
            let job = ring.job;
            if self.inner.ring.try_send(ring).is_err() {
                let _ = db::jobs::unclaim(&self.inner.db, job).await;
            }
        }
        self.inner.events_waiting.notify_one();
    }

    /// Resolves when events may wait for their numbers.
    pub async fn events_waiting(&self) {
        self.inner.events_waiting.notified().await;
    }

    /// New public events exist.
    pub fn tick_events(&self) {
        self.inner.events.send_modify(|count| *count += 1);
    }

    pub fn events_watch(&self) -> watch::Receiver<u64> {
        self.inner.events.subscribe()
    }

    pub fn set_broker_up(&self, up: bool) {
        self.inner.broker_up.store(up, Ordering::Relaxed);
    }

    pub fn is_broker_up(&self) -> bool {
        self.inner.broker_up.load(Ordering::Relaxed)
    }

    pub async fn health(&self) -> Health {
        let database = self.inner.db.answers().await;
        Health { database, broker: self.inner.broker_up.load(Ordering::Relaxed) }
    }

    pub fn metrics(&self) -> String {
        self.inner.metrics.as_ref().map(PrometheusHandle::render).unwrap_or_default()
    }
}

/// A page of a list that is never long, narrowed and sorted as every list can be.
///
/// # Errors
/// It was to go on behind a row that is not there.
fn page<T: serde::Serialize>(all: Vec<T>, filter: &ListFilter) -> Result<Page<T>, Refusal> {
    let lists::Narrowed { rows, behind } = lists::narrowed(all, filter)?;
    let total = rows.len() as u64;
    let skip = usize::try_from(filter.start).unwrap_or(usize::MAX).saturating_add(behind);
    let take = usize::try_from(filter.limit).unwrap_or(usize::MAX);
    let results = rows.into_iter().skip(skip).take(take).collect();
    Ok(Page { total, start: filter.start, limit: filter.limit, results })
}

impl Contended for AppError {
    fn is_contended(&self) -> bool {
        match self {
            AppError::Db(error) => error.is_contention(),
            AppError::Refused(_) | AppError::Planned | AppError::Seal(_) => false,
        }
    }
}
