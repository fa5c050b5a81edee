//! The simulated host: hypervisor, disk and switch behind the same traits, shipped and chosen by configuration.
//!
//! Rules: its world obeys the same contract as the real drivers; with a state file, what was answered is found again
//! by the next process. It can be told to fail, hang or end the process at a named point. It touches nothing of the
//! machine but that file.

mod captures;
mod gauges;
mod meters;
mod picture;
mod rfb;
mod store;
mod terminal;
mod trunk;
mod world;

use crate::config::SimConfig;
use crate::driver::{Compute, DriverError, Machine, SeenDomain, SeenPower, SeenSecret, Sending, Survey};
use crate::policy::Policy;
use crate::switch::{Port, SeenPort, Switch, tap_name};
use arame_framework::agent::{Stopped, Work};
use arame_framework::rehearsal;
use arame_schema::jobs::hva::{Nic, PluggedVolume};
use arame_schema::jobs::report::Retry;
use arame_schema::model::instance::Shutdown;
use arame_schema::model::{AttachmentId, InstanceId, VifId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;
use world::{Domain, World};

/// What a hung call is given up after, as the real driver's.
const HANG: Duration = Duration::from_secs(15);
/// Status of a process that was told to crash, so that a story can tell it from another end.
pub const CRASH_STATUS: i32 = 70;
const NOTICES: usize = 1024;

/// Something that shall go wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// A job kind (`hva.instance.apply`) or a driver verb (`ensure_running`); unsaid: the first that comes.
    #[serde(default)]
    pub kind: Option<String>,
    /// Only for this instance (or host, for a policy).
    #[serde(default)]
    pub thing: Option<String>,
    pub point: Point,
    pub action: Action,
    /// How often; counted in the state file, so that a crash is not for ever.
    #[serde(default = "once")]
    pub times: u32,
    /// What a failure is told as; unsaid: one that may pass.
    #[serde(default)]
    pub fails_as: FailsAs,
}

/// Failures of the real drivers that mean something else than "try again".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailsAs {
    #[default]
    Simulated,
    /// This host's trouble alone.
    DiskFull,
    /// The same everywhere.
    ImageBroken,
    ImageChecksumMismatch,
    /// Passes when the guest is off.
    GuestHoldsInterface,
    GuestHoldsVolume,
}

impl FailsAs {
    fn error(self, kind: &str) -> DriverError {
        let (code, retry) = match self {
            FailsAs::Simulated => ("simulated", Retry::Later),
            FailsAs::DiskFull => ("disk_full", Retry::Elsewhere),
            FailsAs::ImageBroken => ("image_broken", Retry::Never),
            FailsAs::ImageChecksumMismatch => ("image_checksum_mismatch", Retry::Never),
            FailsAs::GuestHoldsInterface => ("guest_holds_interface", Retry::Later),
            FailsAs::GuestHoldsVolume => ("guest_holds_volume", Retry::Later),
        };
        DriverError::new(code, format!("simulated failure of {kind}"), retry)
    }
}

fn once() -> u32 {
    1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    BeforeEffect,
    AfterEffect,
    BeforeAnswer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Fail,
    Hang,
    /// The process ends at once with [`CRASH_STATUS`].
    Crash,
}

struct Inner {
    world: Mutex<World>,
    faults: Mutex<Vec<Fault>>,
    state_file: Option<PathBuf>,
    trunk: Option<PathBuf>,
    /// This host's name on the trunk.
    host: String,
    /// Revision of the world that is on disk; its lock is the writer's turn.
    saved: tokio::sync::Mutex<u64>,
    latency: Duration,
    hung: AtomicU32,
    tell: mpsc::Sender<InstanceId>,
    stopped: Mutex<Option<mpsc::Receiver<InstanceId>>>,
    /// Since when each guest is seen running, and which of its starts that was.
    running: Mutex<BTreeMap<InstanceId, (u32, Instant)>>,
    /// What its links to other hosts carry.
    link_bytes_per_second: Mutex<u64>,
}

#[derive(Clone)]
pub struct Sim {
    inner: Arc<Inner>,
}

/// One call that hangs, counted until it is over, also when the job that waits for it is cancelled.
struct Hung<'a>(&'a AtomicU32);

impl<'a> Hung<'a> {
    fn count(hung: &'a AtomicU32) -> Self {
        hung.fetch_add(1, Ordering::Relaxed);
        Self(hung)
    }
}

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Told<T> = Result<T, DriverError>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Sim {
    /// The world of the state file, or an empty one.
    pub fn open(config: &SimConfig) -> Told<Self> {
        Self::open_as(config, "")
    }

    /// The same for a host that others know by this name.
    pub fn open_as(config: &SimConfig, host: &str) -> Told<Self> {
        let world = match &config.state_file {
            Some(path) => World::load(path)?,
            None => World::default(),
        };
        let mut faults = config.faults.clone();
        for (index, fault) in faults.iter_mut().enumerate() {
            fault.times = fault.times.saturating_sub(world.faults_done.get(&index).copied().unwrap_or(0));
        }
        let (tell, stopped) = mpsc::channel(NOTICES);
        Ok(Self {
            inner: Arc::new(Inner {
                saved: tokio::sync::Mutex::new(world.revision),
                world: Mutex::new(world),
                faults: Mutex::new(faults),
                state_file: config.state_file.clone(),
                trunk: config.trunk.clone(),
                host: host.to_owned(),
                latency: Duration::from_millis(config.latency_ms),
                hung: AtomicU32::new(0),
                tell,
                stopped: Mutex::new(Some(stopped)),
                running: Mutex::default(),
                link_bytes_per_second: Mutex::new(
                    config.link_bytes_per_second.unwrap_or(gauges::LINK_BYTES_PER_SECOND),
                ),
            }),
        })
    }

    /// Adds a fault to a running simulator.
    pub fn inject(&self, fault: Fault) {
        lock(&self.inner.faults).push(fault);
    }

    /// The guest ends by itself, as a crash of it would.
    pub async fn kill_guest(&self, instance: &InstanceId) -> Told<()> {
        self.change(|world| {
            if let Some(domain) = world.domains.get_mut(instance).filter(|domain| domain.power != SeenPower::Off) {
                domain.stop();
                domain.died = true;
            }
        })
        .await?;
        let _ = self.inner.tell.try_send(instance.clone());
        Ok(())
    }

    /// The guest switches itself off, as a person inside would make it.
    pub async fn shut_down_guest(&self, instance: &InstanceId) -> Told<()> {
        self.change(|world| {
            if let Some(domain) = world.domains.get_mut(instance) {
                domain.stop();
                domain.left = true;
            }
        })
        .await?;
        let _ = self.inner.tell.try_send(instance.clone());
        Ok(())
    }

    /// The guest's CPUs stand still, as QEMU makes them on an I/O error of a full disk.
    pub async fn stall_guest(&self, instance: &InstanceId) -> Told<()> {
        self.admit(Some(instance)).await?;
        self.change(|world| {
            if let Some(domain) = world.domains.get_mut(instance).filter(|domain| domain.power == SeenPower::On) {
                domain.power = SeenPower::Paused;
            }
        })
        .await
    }

    /// The boot disk disappears, as a broken host disk would make it.
    pub async fn lose_disk(&self, instance: &InstanceId) -> Told<()> {
        self.change(|world| {
            world.disks.remove(instance);
        })
        .await
    }

    /// Its links to other hosts carry this much in a second from now on.
    pub fn narrow_link(&self, bytes_per_second: u64) {
        *lock(&self.inner.link_bytes_per_second) = bytes_per_second;
    }

    /// How often a guest began from its disk here.
    pub fn starts(&self, instance: &InstanceId) -> u32 {
        lock(&self.inner.world).domains.get(instance).map_or(0, |domain| domain.starts)
    }

    /// The policy the host had last.
    pub fn policy(&self) -> Policy {
        lock(&self.inner.world).policy.clone()
    }

    /// Whether nothing of any instance is left.
    pub fn is_empty(&self) -> bool {
        lock(&self.inner.world).is_empty()
    }

    /// Lets a fault happen that waits at this point.
    pub(crate) async fn fault(&self, point: Point, kind: &str, thing: Option<&str>) -> Told<()> {
        let fault = {
            let mut faults = lock(&self.inner.faults);
            let due = faults.iter().position(|fault| {
                fault.times > 0
                    && fault.point == point
                    && fault.kind.as_deref().is_none_or(|wanted| wanted == kind)
                    && fault.thing.as_deref().is_none_or(|wanted| Some(wanted) == thing)
            });
            let Some(index) = due else { return Ok(()) };
            faults[index].times -= 1;
            *lock(&self.inner.world).faults_done.entry(index).or_default() += 1;
            faults[index].clone()
        };
        self.change(|_| ()).await?;
        tracing::warn!(kind, ?fault, "a simulated fault");
        match fault.action {
            Action::Fail => Err(fault.fails_as.error(kind)),
            Action::Hang => {
                let _hung = Hung::count(&self.inner.hung);
                tokio::time::sleep(HANG).await;
                Err(DriverError::new("libvirt_hung", format!("simulated hang of {kind}"), Retry::Later))
            }
            Action::Crash => std::process::exit(CRASH_STATUS),
        }
    }

    /// One verb's effect: its faults before and after, its latency, its place on disk.
    async fn effect<T>(&self, verb: &str, instance: &InstanceId, work: impl FnOnce(&mut World) -> Told<T>) -> Told<T> {
        self.fault(Point::BeforeEffect, verb, Some(instance.as_str())).await?;
        if !self.inner.latency.is_zero() {
            tokio::time::sleep(rehearsal::jitter(self.inner.latency)).await;
        }
        let value = self.change(work).await??;
        self.fault(Point::AfterEffect, verb, Some(instance.as_str())).await?;
        Ok(value)
    }

    /// Changes the world and waits until that is on disk. Of many at once one writes for all.
    async fn change<T>(&self, work: impl FnOnce(&mut World) -> T) -> Told<T> {
        let (value, revision) = {
            let mut world = lock(&self.inner.world);
            world.revision += 1;
            (work(&mut world), world.revision)
        };
        let Some(path) = self.inner.state_file.clone() else { return Ok(value) };
        let mut saved = self.inner.saved.lock().await;
        if *saved >= revision {
            return Ok(value);
        }
        let (bytes, at) = {
            let world = lock(&self.inner.world);
            (world.bytes(), world.revision)
        };
        world::write(path, bytes).await?;
        *saved = at;
        Ok(value)
    }

    fn look<T>(&self, at: impl FnOnce(&World) -> T) -> T {
        at(&lock(&self.inner.world))
    }
}

fn missing(instance: &InstanceId) -> DriverError {
    DriverError::new("domain_missing", format!("{instance} is not defined"), Retry::Later)
}

#[async_trait]
impl Compute for Sim {
    fn kind(&self) -> &'static str {
        "sim"
    }

    async fn observe(&self, instance: &InstanceId) -> Told<Option<SeenDomain>> {
        self.admit(Some(instance)).await?;
        Ok(self.look(|world| world.domains.get(instance).map(Domain::seen)))
    }

    async fn survey(&self) -> Told<Survey> {
        self.fault(Point::BeforeEffect, "survey", None).await?;
        self.admit(None).await?;
        Ok(self.look(|world| Survey {
            domains: world.domains.values().map(Domain::seen).collect(),
            secrets: world
                .domains
                .values()
                .flat_map(|domain| domain.secrets.iter().map(move |attachment| (domain, attachment)))
                .map(|(domain, attachment)| SeenSecret {
                    installation: domain.mark.installation,
                    instance: domain.mark.instance.clone(),
                    attachment: attachment.clone(),
                })
                .collect(),
        }))
    }

    async fn ensure_defined(&self, machine: &Machine) -> Told<()> {
        let instance = &machine.spec.instance;
        self.effect("ensure_defined", instance, |world| {
            let wanted = machine.spec.volumes.iter().map(|volume| volume.attachment.clone());
            let nics = machine.spec.nics.iter().map(|nic| nic.vif.clone());
            world.define(machine.mark.clone(), wanted.collect(), nics.collect());
            Ok(())
        })
        .await
    }

    async fn ensure_running(&self, instance: &InstanceId) -> Told<()> {
        self.effect("ensure_running", instance, |world| {
            if !world.disks.contains(instance) {
                return Err(DriverError::new("libvirt_error", "the boot disk is not there", Retry::Later));
            }
            world.domains.get_mut(instance).ok_or_else(|| missing(instance))?.start();
            Ok(())
        })
        .await
    }

    async fn ensure_off(&self, instance: &InstanceId, _: Shutdown, _: Duration, _: &Work) -> Result<(), Stopped> {
        let off = self.effect("ensure_off", instance, |world| {
            if let Some(domain) = world.domains.get_mut(instance) {
                domain.stop();
            }
            Ok(())
        });
        Ok(off.await?)
    }

    async fn ensure_plugged(&self, machine: &Machine, volume: &PluggedVolume) -> Told<()> {
        let instance = &machine.spec.instance;
        self.effect("ensure_plugged", instance, |world| {
            let domain = world.domains.get_mut(instance).ok_or_else(|| missing(instance))?;
            domain.live.insert(volume.attachment.clone());
            Ok(())
        })
        .await
    }

    async fn ensure_unplugged(&self, instance: &InstanceId, attachment: &AttachmentId) -> Told<()> {
        self.effect("ensure_unplugged", instance, |world| {
            if let Some(domain) = world.domains.get_mut(instance) {
                domain.live.remove(attachment);
                domain.secrets.remove(attachment);
            }
            Ok(())
        })
        .await
    }

    async fn ensure_nic(&self, machine: &Machine, nic: &Nic) -> Told<()> {
        let instance = &machine.spec.instance;
        if self.look(|world| world.domains.get(instance).is_some_and(|domain| domain.live_nics.contains(&nic.vif))) {
            return Ok(());
        }
        self.effect("ensure_nic", instance, |world| {
            if !world.ports.contains_key(&nic.vif) {
                return Err(DriverError::new("libvirt_error", "the interface has no port", Retry::Later));
            }
            let domain = world.domains.get_mut(instance).ok_or_else(|| missing(instance))?;
            domain.live_nics.insert(nic.vif.clone());
            Ok(())
        })
        .await
    }

    async fn ensure_no_nic(&self, instance: &InstanceId, vif: &VifId) -> Told<()> {
        self.effect("ensure_no_nic", instance, |world| {
            if let Some(domain) = world.domains.get_mut(instance) {
                domain.live_nics.remove(vif);
            }
            Ok(())
        })
        .await
    }

    async fn reboot(&self, instance: &InstanceId, operation: Uuid) -> Told<()> {
        self.effect("reboot", instance, |world| {
            let domain = world.domains.get_mut(instance).ok_or_else(|| missing(instance))?;
            domain.mark.operation = Some(operation);
            domain.reboots += u32::from(domain.power != SeenPower::Off);
            Ok(())
        })
        .await
    }

    fn moves(&self) -> bool {
        self.has_trunk()
    }

    fn endpoints(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    async fn ensure_waiting(&self, machine: &Machine, work: &Work) -> Result<(), Stopped> {
        work.check()?;
        Ok(self.open_gate(machine).await?)
    }

    async fn ensure_sent(&self, sending: &Sending, work: &Work) -> Result<(), Stopped> {
        self.pause_and_copy(sending, work).await
    }

    async fn ensure_released(&self, sending: &Sending, _: &Work) -> Result<(), Stopped> {
        Ok(self.let_run(sending).await?)
    }

    async fn ensure_gone(&self, instance: &InstanceId) -> Told<()> {
        self.close_gate(instance).await?;
        self.effect("ensure_gone", instance, |world| {
            world.domains.remove(instance);
            Ok(())
        })
        .await
    }

    fn stopped(&self) -> Option<mpsc::Receiver<InstanceId>> {
        lock(&self.inner.stopped).take()
    }

    fn hung(&self) -> u32 {
        self.inner.hung.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Switch for Sim {
    async fn ensure_ports(&self, ports: &[Port]) -> Told<()> {
        let Some(first) = ports.first() else { return Ok(()) };
        self.effect("ensure_ports", &first.instance, |world| {
            for port in ports {
                world.plug(port);
            }
            Ok(())
        })
        .await
    }

    async fn ensure_no_ports(&self, instance: &InstanceId, but: &[VifId]) -> Told<()> {
        self.effect("ensure_no_ports", instance, |world| {
            world.ports.retain(|vif, port| port.instance != *instance || but.contains(vif));
            Ok(())
        })
        .await
    }

    async fn ensure_policy(&self, _: Arc<Policy>) -> Told<()> {
        self.fault(Point::BeforeEffect, "ensure_policy", None).await
    }

    async fn survey(&self) -> Told<Vec<SeenPort>> {
        self.fault(Point::BeforeEffect, "survey_ports", None).await?;
        Ok(self.look(|world| {
            let seen = |(vif, port): (&VifId, &world::SimPort)| SeenPort {
                name: tap_name(vif),
                vif: vif.clone(),
                instance: port.instance.clone(),
                installation: port.installation,
                generation: port.generation,
                number: None,
            };
            world.ports.iter().map(seen).collect()
        }))
    }

    fn guest_at(&self, _: Ipv4Addr) -> Option<VifId> {
        None
    }
}
