//! The agent itself: the framework's verbs on top of the drivers.
//!
//! Rule: jobs of one instance come one at a time (the framework's lanes), so nothing here locks an instance. What a
//! job answers was looked at after it, also when it failed.

use crate::config::{Config, DriverKind, HvaConfig, SwitchConfig};
use crate::console::relay::{self, Viewers};
use crate::driver::captures::disks::Disks;
use crate::driver::captures::{Captures, serve};
use crate::driver::consoles::{Consoles, NotShown};
use crate::driver::files::Files;
use crate::driver::gauges::Gauges;
use crate::driver::libvirt::Libvirt;
use crate::driver::meters::Meters;
use crate::driver::sim::{Point, Sim};
use crate::driver::{Compute, DriverError, Store};
use crate::figures::{self, Figures};
use crate::forecast::Forecasts;
use crate::metadata::Directory;
use crate::policy::Policy;
use crate::records::Record;
use crate::switch::bridge::Bridge;
use crate::switch::ovs::Ovs;
use crate::switch::{Port, Switch};
use crate::takings::Takings;
use crate::{console, host, jobs, metadata};
use arame_framework::agent::{Agent, Listing, Profile, Standing, Stopped, Work};
use arame_framework::machine::{Machine, Meter};
use arame_framework::metrics::Sample;
use arame_framework::rehearsal;
use arame_framework::stream::BoxedWire;
use arame_schema::jobs::Job;
use arame_schema::jobs::figures::{FIGURES, MACHINE};
use arame_schema::jobs::forecast::{FORECAST, LINK, NOT_UNDERSTOOD};
use arame_schema::jobs::hva::CAPTURES;
use arame_schema::jobs::report::{Ask, FactReport, Retry};
use arame_schema::model::{ConsoleKind, InstanceId, NoConsole, Observation};
use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Calls that may hang before the host wants no new guests.
const HUNG_MAX: u32 = 2;
/// Room on the disk below which the host wants no new guests.
const DISK_MIN_BYTES: u64 = 64 * 1024 * 1024;
/// Most of a console log one question may take.
const CONSOLE_BYTES_MAX: u64 = console::LOG_MAX;

pub struct Hva {
    pub(crate) config: HvaConfig,
    pub(crate) compute: Arc<dyn Compute>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) switch: Arc<dyn Switch>,
    pub(crate) guests: Arc<Directory>,
    pub(crate) policy: ArcSwap<Policy>,
    standing: ArcSwapOption<Standing>,
    busy: Mutex<HashSet<String>>,
    pub(crate) captures: Arc<dyn Captures>,
    pub(crate) takings: Takings,
    consoles: Arc<dyn Consoles>,
    viewers: Viewers,
    figures: Arc<Figures>,
    forecasts: Forecasts,
    machine: Arc<Machine>,
    sim: Option<Sim>,
}

/// The operator's file for every guest, read once.
fn vendor_data(config: &HvaConfig) -> Result<Option<Arc<str>>, DriverError> {
    let Some(path) = &config.metadata.vendor_data else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("[hva.metadata] vendor_data: {} cannot be read: {error}", path.display());
        DriverError::new("configuration", message, Retry::Never)
    })?;
    Ok(Some(text.into()))
}

/// The switch that the configuration names, with the policy and the ports that the host had last.
async fn open_switch(
    config: &SwitchConfig,
    metadata: bool,
    policy: Policy,
    ports: Vec<Port>,
) -> Result<Arc<dyn Switch>, DriverError> {
    Ok(match config {
        SwitchConfig::Ovs(config) => Arc::new(Ovs::start(config, metadata, policy, ports)),
        SwitchConfig::Bridge(config) => Arc::new(Bridge::start(config, metadata, policy, ports).await?),
    })
}

/// Everything behind which there is a real host or the simulator.
struct Drivers {
    compute: Arc<dyn Compute>,
    consoles: Arc<dyn Consoles>,
    meters: Arc<dyn Meters>,
    gauges: Arc<dyn Gauges>,
    store: Arc<dyn Store>,
    switch: Arc<dyn Switch>,
    captures: Arc<dyn Captures>,
}

impl Hva {
    /// Opens the drivers the configuration names and starts what runs beside the jobs.
    pub async fn start(config: &Config) -> Result<Arc<Self>, DriverError> {
        match config.hva.driver {
            DriverKind::Sim => {
                let sim = Sim::open_as(&config.hva.sim, config.hva.host.as_str())?;
                Self::with_sim(config.hva.clone(), sim).await
            }
            DriverKind::Libvirt => Self::with_libvirt(config.hva.clone()).await,
        }
    }

    /// A simulated host; the caller may keep `sim` to disturb it.
    pub async fn with_sim(config: HvaConfig, sim: Sim) -> Result<Arc<Self>, DriverError> {
        let policy = sim.policy();
        let drivers = Drivers {
            compute: Arc::new(sim.clone()),
            consoles: Arc::new(sim.clone()),
            meters: Arc::new(sim.clone()),
            gauges: Arc::new(sim.clone()),
            store: Arc::new(sim.clone()),
            switch: Arc::new(sim.clone()),
            captures: Arc::new(sim.clone()),
        };
        Self::assemble(config, drivers, policy, Some(sim)).await
    }

    async fn with_libvirt(config: HvaConfig) -> Result<Arc<Self>, DriverError> {
        let missing =
            |section: &str| DriverError::new("configuration", format!("section [{section}] is missing"), Retry::Never);
        let libvirt = config.libvirt.as_ref().ok_or_else(|| missing("hva.libvirt"))?;
        let switch = config.switch.as_ref().ok_or_else(|| missing("hva.switch"))?;
        let vendor_data = vendor_data(&config)?;
        let files = Files::open(&config.data_dir, vendor_data.clone())?;
        let policy = files.policy()?;
        let compute = Arc::new(Libvirt::open(libvirt).await?);
        let ports = files.list().await?.iter().flat_map(Record::ports).collect();
        let switch = open_switch(switch, config.metadata.enabled, policy.clone(), ports).await?;
        let (data_dir, serve) = (config.data_dir.clone(), config.metadata.enabled);
        let captures = Disks::open(&data_dir, compute.clone(), config.captures.clone())?;
        tokio::spawn(captures.thaws().let_all_go());
        let captured = config.captures.as_ref().map(|captures| (captures.listen, data_dir.join("captures")));
        let (consoles, meters, gauges) = (compute.clone(), compute.clone(), compute.clone());
        let drivers =
            Drivers { consoles, meters, gauges, compute, store: Arc::new(files), switch, captures: Arc::new(captures) };
        let hva = Self::assemble(config, drivers, policy, None).await?;
        tokio::spawn(console::keep_bounded(data_dir));
        if let Some((listen, dir)) = captured {
            tokio::spawn(serve::serve(listen, dir));
        }
        if serve {
            tokio::spawn(metadata::server::serve(hva.guests.clone(), hva.switch.clone(), vendor_data));
        }
        Ok(hva)
    }

    async fn assemble(
        config: HvaConfig,
        drivers: Drivers,
        policy: Policy,
        sim: Option<Sim>,
    ) -> Result<Arc<Self>, DriverError> {
        let Drivers { compute, consoles, meters, gauges, store, switch, captures } = drivers;
        let guests = Arc::new(Directory::default());
        for record in store.list().await? {
            guests.put(&record);
        }
        guests.set_policy(&policy);
        let notices = compute.stopped();
        let every = Duration::from_secs(config.figures_every_seconds.max(1));
        let figures = Arc::new(Figures::new(every));
        rehearsal::spawn(figures::watch(Arc::downgrade(&figures), meters));
        let meter: Arc<dyn Meter> = match &sim {
            Some(_) => Arc::new(host::Pretended::new(config.host.as_str(), &host::capacity(&config, compute.kind()))),
            None => Arc::new(host::Own { data_dir: config.data_dir.clone() }),
        };
        let hva = Arc::new(Self {
            config,
            compute,
            store,
            switch,
            guests,
            policy: ArcSwap::from_pointee(policy),
            standing: ArcSwapOption::empty(),
            busy: Mutex::default(),
            captures,
            takings: Takings::default(),
            consoles,
            viewers: Viewers::default(),
            figures,
            forecasts: Forecasts::new(gauges),
            machine: Machine::watched(every, meter),
            sim,
        });
        if let Some(mut notices) = notices {
            let watching = Arc::downgrade(&hva);
            rehearsal::spawn(async move {
                while let Some(instance) = notices.recv().await {
                    let Some(hva) = watching.upgrade() else { return };
                    hva.guest_stopped(&instance);
                }
            });
        }
        Ok(hva)
    }

    /// A guest ended. While a job of it runs, that job answers; otherwise an inventory says so now.
    fn guest_stopped(&self, instance: &InstanceId) {
        let busy = self.busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if busy.contains(instance.as_str()) {
            return;
        }
        tracing::info!(%instance, "a guest stopped by itself");
        if let Some(standing) = self.standing.load().as_ref() {
            standing.survey_now();
        }
    }

    fn set_busy(&self, thing: &str, busy: bool) {
        let mut all = self.busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if busy {
            all.insert(thing.to_owned());
        } else {
            all.remove(thing);
        }
    }

    async fn fault(&self, point: Point, kind: &str, thing: &str) -> Result<(), DriverError> {
        match &self.sim {
            Some(sim) => sim.fault(point, kind, Some(thing)).await,
            None => Ok(()),
        }
    }

    async fn run(&self, job: Job, work: &Work) -> Result<Vec<FactReport>, Stopped> {
        match job {
            Job::ApplyInstance(job) => jobs::apply::apply(self, &job.spec, work).await,
            Job::DeleteInstance(job) => jobs::delete::delete(self, &job.instance, work).await,
            Job::RebootInstance(job) => jobs::reboot::reboot(self, &job, work).await,
            Job::ObserveInstance(job) => jobs::observe::observe(self, &job.instance, work).await,
            Job::ReceiveInstance(job) => jobs::receive::receive(self, &job.spec, work).await,
            Job::SendInstance(job) => jobs::send::send(self, &job, work).await,
            Job::KeepInstance(job) => jobs::stay::keep(self, &job.instance, work).await,
            Job::ResumeInstance(job) => jobs::stay::resume(self, &job.instance, work).await,
            Job::TakeCapture(job) => jobs::capture::take(self, &job, work).await,
            Job::DropCapture(job) => jobs::capture::end(self, &job, work).await,
            Job::ApplyPolicy(job) => jobs::policy::apply(self, job, work).await,
            Job::ImportImage(_)
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
            | Job::ObserveBackup(_)
            | Job::ApplyNetwork(_)
            | Job::ChangeNetwork(_)
            | Job::DeleteNetwork(_) => {
                Err(Stopped::failed("wrong_agent", "this job is not for a hypervisor host", Retry::Never))
            }
        }
    }
}

fn instance_of(ask: &Ask) -> Result<InstanceId, String> {
    let named = ask.arguments["instance"].as_str().ok_or("the question names no instance")?;
    named.parse().map_err(|e: arame_schema::model::IdError| e.to_string())
}

#[async_trait]
impl Agent for Hva {
    fn profile(&self) -> Profile {
        let mut kinds = vec![
            "hva.instance.apply",
            "hva.instance.delete",
            "hva.instance.reboot",
            "hva.instance.observe",
            "hva.policy.apply",
        ];
        if self.compute.moves() {
            kinds.extend(["hva.instance.receive", "hva.instance.send", "hva.instance.keep", "hva.instance.resume"]);
        }
        let mut endpoints = self.compute.endpoints();
        if let Some(iqn) = &self.config.initiator_iqn {
            endpoints.insert("initiator_iqn".to_owned(), iqn.clone());
        }
        if let Some(url) = self.captures.url() {
            kinds.extend(["hva.capture.take", "hva.capture.drop"]);
            endpoints.insert(CAPTURES.to_owned(), url);
        }
        Profile { kinds, capacity: host::capacity(&self.config, self.compute.kind()), endpoints }
    }

    async fn joined(&self, standing: Standing) {
        self.standing.store(Some(Arc::new(standing)));
    }

    async fn handle(&self, job: Job, work: Work) -> Result<Vec<FactReport>, Stopped> {
        let (kind, thing) = (job.kind(), work.thing.clone());
        self.set_busy(&thing, true);
        let result = async {
            self.fault(Point::BeforeEffect, kind, &thing).await?;
            let facts = self.run(job, &work).await?;
            self.fault(Point::AfterEffect, kind, &thing).await?;
            Ok(facts)
        };
        let result = match result.await {
            Ok(facts) => Ok(facts),
            Err(stopped) => Err(jobs::with_what_is_there(self, stopped, &work).await),
        };
        self.set_busy(&thing, false);
        self.fault(Point::BeforeAnswer, kind, &thing).await?;
        result
    }

    async fn list(&self, began: Observation) -> Listing {
        jobs::list::list(self, began).await
    }

    fn metrics(&self) -> Vec<Sample> {
        let now = Instant::now();
        self.figures.samples(now).into_iter().chain(self.machine.samples(now)).collect()
    }

    async fn ask(&self, ask: Ask) -> Result<Value, String> {
        match ask.question.as_str() {
            "hva.console_log" => {
                let instance = instance_of(&ask)?;
                let bytes = ask.arguments["bytes"].as_u64().unwrap_or(CONSOLE_BYTES_MAX).min(CONSOLE_BYTES_MAX);
                let text = self.store.console_tail(&instance, bytes as usize).await;
                text.map(Value::String).map_err(|e| e.to_string())
            }
            FIGURES => {
                let answer = self.figures.answer(&instance_of(&ask)?, Instant::now());
                serde_json::to_value(answer).map_err(|e| e.to_string())
            }
            MACHINE => serde_json::to_value(self.machine.answer(Instant::now())).map_err(|e| e.to_string()),
            LINK => {
                let end = self.forecasts.open_link().await?;
                serde_json::to_value(end).map_err(|e| e.to_string())
            }
            FORECAST => {
                let ask = serde_json::from_value(ask.arguments).map_err(|e| e.to_string())?;
                serde_json::to_value(self.forecasts.answer(ask).await).map_err(|e| e.to_string())
            }
            "hva.screenshot" => {
                let picture = self.consoles.picture(&instance_of(&ask)?).await.map_err(NotShown::told)?;
                Ok(Value::String(STANDARD.encode(picture.png()?)))
            }
            "hva.describe" => {
                let instance = ask.arguments["instance"].as_str().ok_or("the question names no instance")?;
                let records = self.store.list().await.map_err(|e| e.to_string())?;
                let record = records.into_iter().find(|record| record.instance.as_str() == instance);
                let record = record.ok_or_else(|| format!("{instance} is not here"))?;
                serde_json::to_value(record).map_err(|e| e.to_string())
            }
            other => Err(format!("this host {NOT_UNDERSTOOD} `{other}`")),
        }
    }

    async fn open(&self, ask: &Ask) -> Result<BoxedWire, String> {
        if ask.question != "hva.console" {
            return Err(format!("this host opens no stream `{}`", ask.question));
        }
        let instance = instance_of(ask)?;
        let kind = ask.arguments["kind"].as_str().unwrap_or_default();
        match kind.parse::<ConsoleKind>()? {
            ConsoleKind::Serial => {
                let place = self.viewers.take(&instance).ok_or(NoConsole::InUse.as_str())?;
                let guest = self.consoles.open(&instance, ConsoleKind::Serial).await.map_err(NotShown::told)?;
                Ok(relay::relay(guest, place))
            }
            // QEMU shows one screen to many.
            ConsoleKind::Vnc => self.consoles.open(&instance, ConsoleKind::Vnc).await.map_err(NotShown::told),
        }
    }

    fn degraded(&self) -> Option<String> {
        let hung = self.compute.hung();
        if hung > HUNG_MAX {
            return Some(format!("{hung} calls to the hypervisor do not come back"));
        }
        let free = host::free_bytes(&self.config.data_dir);
        free.filter(|free| *free < DISK_MIN_BYTES && self.sim.is_none())
            .map(|_| format!("the disk under {} is full", self.config.data_dir.display()))
    }
}
