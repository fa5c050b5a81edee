//! The hypervisor driver on libvirt: the only file (with its children) that knows the binding.
//!
//! Rules: every call runs on a blocking thread with a limit; a dead connection is opened again before a call, never
//! after one failed; domains are defined persistent and never autostart; a domain without our mark is answered
//! `foreign_thing` and never touched. It decides nothing about images, ports or firewalls.

mod copies;
mod events;
mod gauges;
mod interfaces;
mod moves;
mod screens;
mod stats;
pub mod xml;

use crate::blocking::{Blocking, BlockingError};
use crate::config::LibvirtConfig;
use crate::driver::{Compute, DriverError, Machine, SeenDomain, SeenPower, SeenSecret, Sending, Survey};
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::hva::{Nic, PluggedVolume};
use arame_schema::jobs::report::Retry;
use arame_schema::model::instance::Shutdown;
use arame_schema::model::{AttachmentId, InstanceId, VifId};
use async_trait::async_trait;
pub use copies::Begun;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error as VirtError, ErrorNumber};
use virt::secret::Secret as VirtSecret;
use xml::Reading;

/// A look or a definition on a living libvirt.
const QUICK: Duration = Duration::from_secs(15);
/// QEMU starts within this even on a machine that emulates everything under load.
const START: Duration = Duration::from_secs(60);
/// A guest that works lets a disk go within this; a stuck one is asked again by a later job.
const UNPLUG: Duration = Duration::from_secs(12);
/// Between two looks while a guest shuts down or lets a disk go.
const LOOK: Duration = Duration::from_millis(100);
/// Between two looks at which guests run, beside the events.
const WATCH: Duration = Duration::from_secs(2);
/// Notices of guests that stopped, waiting to be read.
const NOTICES: usize = 256;

const LIVE: u32 = virt_sys::VIR_DOMAIN_AFFECT_LIVE;

/// A connection that is closed when its last user is done: the binding does not do it.
struct Link(Connect);

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.0.close();
    }
}

pub struct Libvirt {
    config: LibvirtConfig,
    blocking: Blocking,
    link: Arc<Mutex<Option<Arc<Link>>>>,
    tell: mpsc::Sender<InstanceId>,
    stopped: Mutex<Option<mpsc::Receiver<InstanceId>>>,
    /// A reading of the guests' figures is on its way.
    metering: Arc<AtomicBool>,
    known: stats::Known,
}

impl From<BlockingError> for DriverError {
    fn from(error: BlockingError) -> Self {
        DriverError::new("libvirt_hung", error.to_string(), Retry::Later)
    }
}

fn failed(what: &str, error: &VirtError) -> DriverError {
    DriverError::new("libvirt_error", format!("{what}: {}", error.message()), Retry::Later)
}

type Told<T> = Result<T, DriverError>;

/// The folder of the guests' serial ports: libvirt makes them there and hands them to QEMU, nobody else comes in.
fn make_private(dir: &Path) -> Told<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| DriverError::new("host_disk_error", format!("cannot make {}: {e}", dir.display()), Retry::Later))
}

impl Libvirt {
    /// Opens the connection and looks at how guests are confined: laboratory settings are refused elsewhere.
    pub async fn open(config: &LibvirtConfig) -> Told<Self> {
        events::start_loop();
        make_private(&config.console_dir)?;
        let (tell, stopped) = mpsc::channel(NOTICES);
        let driver = Self {
            config: config.clone(),
            blocking: Blocking::default(),
            link: Arc::default(),
            tell,
            stopped: Mutex::new(Some(stopped)),
            metering: Arc::default(),
            known: Arc::default(),
        };
        let capabilities = driver
            .call("capabilities", QUICK, |link| link.get_capabilities().map_err(|e| failed("capabilities", &e)))
            .await?;
        let (as_root, confined) = xml::confinement(&capabilities);
        if !config.laboratory && (as_root || !confined) {
            let message = format!(
                "libvirt at {} runs guests {}{}; outside a laboratory (`laboratory = true`) this is refused",
                config.uri,
                if as_root { "as root" } else { "unprivileged" },
                if confined { "" } else { " without a mandatory security driver (AppArmor, SELinux)" },
            );
            return Err(DriverError::new("laboratory_settings", message, Retry::Never));
        }
        tokio::spawn(watch(driver.link.clone(), driver.blocking.clone(), config.uri.clone(), driver.tell.clone()));
        Ok(driver)
    }

    async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        limit: Duration,
        work: impl FnOnce(&Connect) -> Told<T> + Send + 'static,
    ) -> Told<T> {
        let (link, uri, tell) = (self.link.clone(), self.config.uri.clone(), self.tell.clone());
        self.blocking
            .run(what, limit, move || {
                let link = linked(&link, &uri, &tell)?;
                work(&link.0)
            })
            .await?
    }

    async fn power(&self, instance: &InstanceId) -> Told<SeenPower> {
        let name = instance.to_string();
        self.call("state", QUICK, move |link| match owned(link, &name)? {
            Some((domain, _)) => power_of(&domain),
            None => Ok(SeenPower::Off),
        })
        .await
    }

    /// Device of the attachment in the running guest.
    async fn live_target(&self, instance: &InstanceId, attachment: &AttachmentId) -> Told<Option<String>> {
        let (name, attachment) = (instance.to_string(), attachment.clone());
        self.call("look for a disk", QUICK, move |link| {
            let Some((domain, _)) = owned(link, &name)? else { return Ok(None) };
            if power_of(&domain)? == SeenPower::Off {
                return Ok(None);
            }
            Ok(described(&domain, 0)?.volumes.remove(&attachment))
        })
        .await
    }

    async fn drop_secret(&self, attachment: &AttachmentId) -> Told<()> {
        let uuid = xml::secret_uuid(attachment);
        self.call("remove a secret", QUICK, move |link| {
            let Ok(secret) = VirtSecret::lookup_by_uuid(link, uuid) else { return Ok(()) };
            secret.undefine().map_err(|e| failed("remove a secret", &e))
        })
        .await
    }
}

/// Looks now and then which guests run: events are lost with a connection, and a connection lost while nothing is
/// asked would stay lost. Ends with the driver.
async fn watch(link: Arc<Mutex<Option<Arc<Link>>>>, blocking: Blocking, uri: String, tell: mpsc::Sender<InstanceId>) {
    let mut before = HashSet::new();
    let mut round = tokio::time::interval(WATCH);
    while !tell.is_closed() {
        round.tick().await;
        let (link, uri, notices) = (link.clone(), uri.clone(), tell.clone());
        let running = blocking.run("list guests that run", QUICK, move || {
            let link = linked(&link, &uri, &notices)?;
            let active = link.0.list_all_domains(virt_sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE);
            let active = active.map_err(|e| failed("list guests that run", &e))?;
            Ok::<_, DriverError>(active.iter().filter_map(|domain| domain.get_name().ok()).collect::<HashSet<_>>())
        });
        // A libvirt that does not answer says nothing about its guests.
        let Ok(Ok(running)) = running.await else { continue };
        for stopped in before.difference(&running).filter_map(|name: &String| name.parse().ok()) {
            let _ = tell.try_send(stopped);
        }
        before = running;
    }
}

/// The open connection, opened again when it died.
fn linked(kept: &Mutex<Option<Arc<Link>>>, uri: &str, tell: &mpsc::Sender<InstanceId>) -> Told<Arc<Link>> {
    let mut kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(link) = kept.as_ref() {
        if link.0.is_alive() == Ok(true) {
            return Ok(link.clone());
        }
        tracing::warn!("the connection to libvirt ended; opening it again");
    }
    *kept = None;
    let connection = Connect::open(Some(uri)).map_err(|e| {
        let message = format!("libvirt at {uri} cannot be reached: {}", e.message());
        DriverError::new("libvirt_unreachable", message, Retry::Later)
    })?;
    // A libvirtd that froze is noticed by its missing answers.
    let _ = connection.set_keep_alive(5, 3);
    let tell = tell.clone();
    let heard = move |name: &str| {
        if let Ok(instance) = name.parse() {
            // A full queue loses nothing that the next inventory does not see.
            let _ = tell.try_send(instance);
        }
    };
    if !events::subscribe(&connection, Arc::new(heard)) {
        tracing::warn!("libvirt gives no events; guests that stop are seen by inventories only");
    }
    let link = Arc::new(Link(connection));
    *kept = Some(link.clone());
    Ok(link)
}

/// The domain of that name and its mark; `Err(foreign_thing)` when it is not ours.
fn owned(link: &Connect, name: &str) -> Told<Option<(Domain, Reading)>> {
    let domain = match Domain::lookup_by_name(link, name) {
        Ok(domain) => domain,
        Err(e) if e.code() == ErrorNumber::NoDomain => return Ok(None),
        Err(e) => return Err(failed("look up", &e)),
    };
    let kept = described(&domain, virt_sys::VIR_DOMAIN_XML_INACTIVE)?;
    if kept.mark.as_ref().is_none_or(|mark| mark.instance.as_str() != name) {
        let message = format!("a domain named {name} exists that is not ours");
        return Err(DriverError::new("foreign_thing", message, Retry::Never));
    }
    Ok(Some((domain, kept)))
}

fn described(domain: &Domain, flags: u32) -> Told<Reading> {
    domain.get_xml_desc(flags).map(|text| Reading::of(&text)).map_err(|e| failed("describe", &e))
}

fn power_of(domain: &Domain) -> Told<SeenPower> {
    let (state, _) = domain.get_state().map_err(|e| failed("state", &e))?;
    Ok(match state {
        virt_sys::VIR_DOMAIN_SHUTOFF | virt_sys::VIR_DOMAIN_CRASHED => SeenPower::Off,
        virt_sys::VIR_DOMAIN_PAUSED | virt_sys::VIR_DOMAIN_PMSUSPENDED => SeenPower::Paused,
        _ => SeenPower::On,
    })
}

/// Whether it is off because its guest shut itself down (libvirt-domain.h: VIR_DOMAIN_SHUTOFF_SHUTDOWN is 1; a killed
/// QEMU is `crashed`, our own hard power off `destroyed`).
fn has_left(domain: &Domain) -> Told<bool> {
    const SHUTOFF_SHUTDOWN: i32 = 1;
    let (state, reason) = domain.get_state().map_err(|e| failed("state", &e))?;
    Ok(state == virt_sys::VIR_DOMAIN_SHUTOFF && reason == SHUTOFF_SHUTDOWN)
}

/// Whether it is off because it crashed (VIR_DOMAIN_SHUTOFF_CRASHED is 3: also a QEMU that went without a word). A domain
/// that was found off when libvirt began, after its host was switched on, has no such reason.
fn has_died(domain: &Domain) -> Told<bool> {
    const SHUTOFF_CRASHED: i32 = 3;
    let (state, reason) = domain.get_state().map_err(|e| failed("state", &e))?;
    let crashed = state == virt_sys::VIR_DOMAIN_SHUTOFF && reason == SHUTOFF_CRASHED;
    Ok(crashed || state == virt_sys::VIR_DOMAIN_CRASHED)
}

/// Whether it is off because it was sent away (VIR_DOMAIN_SHUTOFF_MIGRATED is 4).
fn was_sent(domain: &Domain) -> Told<bool> {
    const SHUTOFF_MIGRATED: i32 = 4;
    let (state, reason) = domain.get_state().map_err(|e| failed("state", &e))?;
    Ok(state == virt_sys::VIR_DOMAIN_SHUTOFF && reason == SHUTOFF_MIGRATED)
}

/// What is there of a domain of ours. The mark is the newer of the running guest's and the kept definition's.
fn look(domain: &Domain, kept: Reading) -> Told<Option<SeenDomain>> {
    let Some(mut mark) = kept.mark else { return Ok(None) };
    let kept_nics: BTreeSet<VifId> = kept.nics.into_keys().collect();
    let kept: BTreeSet<AttachmentId> = kept.volumes.into_keys().collect();
    let (mut plugged, mut half_plugged) = (kept.clone(), Vec::new());
    let (mut nics, mut half_nics) = (kept_nics.clone(), Vec::new());
    let power = power_of(domain)?;
    if power != SeenPower::Off {
        let live = described(domain, 0)?;
        let running: BTreeSet<AttachmentId> = live.volumes.into_keys().collect();
        half_plugged.extend(kept.symmetric_difference(&running).cloned());
        plugged.extend(running);
        let running: BTreeSet<VifId> = live.nics.into_keys().collect();
        half_nics.extend(kept_nics.symmetric_difference(&running).cloned());
        nics.extend(running);
        if let Some(running) = live.mark.filter(|running| running.generation > mark.generation) {
            mark = running;
        }
    }
    let (plugged, nics) = (plugged.into_iter().collect(), nics.into_iter().collect());
    let (left, died, sent) = (has_left(domain)?, has_died(domain)?, was_sent(domain)?);
    Ok(Some(SeenDomain { mark, power, left, died, sent, plugged, half_plugged, nics, half_nics }))
}

#[async_trait]
impl Compute for Libvirt {
    fn kind(&self) -> &'static str {
        self.config.domain_type.as_str()
    }

    async fn observe(&self, instance: &InstanceId) -> Told<Option<SeenDomain>> {
        let name = instance.to_string();
        self.call("observe", QUICK, move |link| match owned(link, &name)? {
            Some((domain, kept)) => look(&domain, kept),
            None => Ok(None),
        })
        .await
    }

    async fn survey(&self) -> Told<Survey> {
        self.call("survey", QUICK, |link| {
            let mut survey = Survey::default();
            for domain in link.list_all_domains(0).map_err(|e| failed("list domains", &e))? {
                // A domain that went away while we looked is not there.
                let Ok(kept) = described(&domain, virt_sys::VIR_DOMAIN_XML_INACTIVE) else { continue };
                if kept.mark.is_some() {
                    survey.domains.extend(look(&domain, kept).ok().flatten());
                }
            }
            for secret in link.list_all_secrets(0).map_err(|e| failed("list secrets", &e))? {
                let mark = secret.get_xml_desc(0).ok().and_then(|text| xml::secret_mark(&text));
                if let Some((installation, instance, attachment)) = mark {
                    survey.secrets.push(SeenSecret { installation, instance, attachment });
                }
            }
            Ok(survey)
        })
        .await
    }

    async fn ensure_defined(&self, machine: &Machine) -> Told<()> {
        let (machine, config) = (machine.clone(), self.config.clone());
        self.call("define", QUICK, move |link| define(link, &machine, &config)).await
    }

    async fn ensure_running(&self, instance: &InstanceId) -> Told<()> {
        let name = instance.to_string();
        self.call("start", START, move |link| {
            let Some((domain, _)) = owned(link, &name)? else {
                return Err(DriverError::new("domain_missing", format!("{name} is not defined"), Retry::Later));
            };
            match power_of(&domain)? {
                SeenPower::On => Ok(()),
                SeenPower::Paused => domain.resume().map(drop).map_err(|e| failed("resume", &e)),
                SeenPower::Off => domain.create().map(drop).map_err(|e| failed("start", &e)),
            }
        })
        .await
    }

    async fn ensure_off(
        &self,
        instance: &InstanceId,
        how: Shutdown,
        grace: Duration,
        work: &Work,
    ) -> Result<(), Stopped> {
        if self.power(instance).await? == SeenPower::Off {
            return Ok(());
        }
        if how == Shutdown::Soft {
            let name = instance.to_string();
            self.call("press the power button", QUICK, move |link| match owned(link, &name)? {
                Some((domain, _)) => {
                    // Refused by a guest that is paused or just went off: the looks below decide.
                    let _ = domain.shutdown();
                    Ok(())
                }
                None => Ok(()),
            })
            .await?;
            let deadline = Instant::now() + grace.min(work.budget_left());
            while Instant::now() < deadline {
                work.check()?;
                if self.power(instance).await? == SeenPower::Off {
                    return Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        let name = instance.to_string();
        self.call("switch off", QUICK, move |link| match owned(link, &name)? {
            Some((domain, _)) => destroy(&domain),
            None => Ok(()),
        })
        .await?;
        Ok(())
    }

    async fn ensure_plugged(&self, machine: &Machine, volume: &PluggedVolume) -> Told<()> {
        if self.live_target(&machine.spec.instance, &volume.attachment).await?.is_some() {
            return Ok(());
        }
        let (name, volume) = (machine.spec.instance.to_string(), volume.clone());
        self.call("plug a disk", START, move |link| {
            let Some((domain, kept)) = owned(link, &name)? else {
                return Err(DriverError::new("domain_missing", format!("{name} is not defined"), Retry::Later));
            };
            let Some(target) = kept.volumes.get(&volume.attachment) else {
                return Err(DriverError::new("too_many_disks", "no device name is left", Retry::Never));
            };
            let device = xml::volume_disk(&volume, target).render();
            domain.attach_device_flags(&device, LIVE).map(drop).map_err(|e| failed("plug a disk", &e))
        })
        .await
    }

    async fn ensure_unplugged(&self, instance: &InstanceId, attachment: &AttachmentId) -> Told<()> {
        if let Some(target) = self.live_target(instance, attachment).await? {
            let name = instance.to_string();
            self.call("unplug a disk", START, move |link| match owned(link, &name)? {
                Some((domain, _)) => {
                    let device = xml::disk_to_detach(&target);
                    domain.detach_device_flags(&device, LIVE).map(drop).map_err(|e| failed("unplug a disk", &e))
                }
                None => Ok(()),
            })
            .await?;
            let deadline = Instant::now() + UNPLUG;
            while self.live_target(instance, attachment).await?.is_some() {
                if Instant::now() >= deadline {
                    let message = format!("the guest did not let {attachment} go within {UNPLUG:?}");
                    return Err(DriverError::new("guest_holds_volume", message, Retry::Later));
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        self.drop_secret(attachment).await
    }

    async fn ensure_nic(&self, machine: &Machine, nic: &Nic) -> Told<()> {
        self.plug_nic(machine, nic).await
    }

    async fn ensure_no_nic(&self, instance: &InstanceId, vif: &VifId) -> Told<()> {
        self.unplug_nic(instance, vif).await
    }

    async fn reboot(&self, instance: &InstanceId, operation: Uuid) -> Told<()> {
        let name = instance.to_string();
        self.call("reboot", START, move |link| {
            let Some((domain, kept)) = owned(link, &name)? else {
                return Err(DriverError::new("domain_missing", format!("{name} is not defined"), Retry::Later));
            };
            let Some(mut mark) = kept.mark else { return Ok(()) };
            let running = power_of(&domain)? != SeenPower::Off;
            mark.operation = Some(operation);
            remark(&domain, &mark, running)?;
            if !running {
                return Ok(());
            }
            domain.reset().map(drop).map_err(|e| failed("reset", &e))
        })
        .await
    }

    fn moves(&self) -> bool {
        self.migration_uri().is_some()
    }

    fn endpoints(&self) -> BTreeMap<String, String> {
        self.migration_uri().map(|uri| (moves::ENDPOINT.to_owned(), uri.clone())).into_iter().collect()
    }

    async fn ensure_waiting(&self, machine: &Machine, work: &Work) -> Result<(), Stopped> {
        work.check()?;
        self.wait_for(machine).await
    }

    async fn ensure_sent(&self, sending: &Sending, work: &Work) -> Result<(), Stopped> {
        self.migrate_away(sending, work).await
    }

    async fn ensure_released(&self, sending: &Sending, _: &Work) -> Result<(), Stopped> {
        self.release(sending).await
    }

    async fn ensure_gone(&self, instance: &InstanceId) -> Told<()> {
        let name = instance.to_string();
        self.call("remove", START, move |link| {
            if let Some((domain, _)) = owned(link, &name)? {
                destroy(&domain)?;
                let flags = virt_sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                    | virt_sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                    | virt_sys::VIR_DOMAIN_UNDEFINE_NVRAM
                    | virt_sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;
                domain.undefine_flags(flags).map_err(|e| failed("undefine", &e))?;
            }
            for secret in link.list_all_secrets(0).map_err(|e| failed("list secrets", &e))? {
                let mark = secret.get_xml_desc(0).ok().and_then(|text| xml::secret_mark(&text));
                if mark.is_some_and(|(_, owner, _)| owner.as_str() == name) {
                    secret.undefine().map_err(|e| failed("remove a secret", &e))?;
                }
            }
            Ok(())
        })
        .await
    }

    fn stopped(&self) -> Option<mpsc::Receiver<InstanceId>> {
        self.stopped.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    fn hung(&self) -> u32 {
        self.blocking.hung()
    }
}

fn destroy(domain: &Domain) -> Told<()> {
    if power_of(domain)? == SeenPower::Off {
        return Ok(());
    }
    match domain.destroy() {
        Ok(_) => Ok(()),
        Err(_) if power_of(domain)? == SeenPower::Off => Ok(()),
        Err(e) => Err(failed("switch off", &e)),
    }
}

/// Writes the mark on the kept definition, and on the running guest.
fn remark(domain: &Domain, mark: &crate::driver::Mark, running: bool) -> Told<()> {
    let element = xml::mark(mark, false).render();
    let kind = virt_sys::VIR_DOMAIN_METADATA_ELEMENT as i32;
    let mut flags = virt_sys::VIR_DOMAIN_AFFECT_CONFIG;
    if running {
        flags |= LIVE;
    }
    let set = domain.set_metadata(kind, Some(&element), Some(xml::MARK_KEY), Some(xml::MARK_URI), flags);
    set.map(drop).map_err(|e| failed("mark", &e))
}

fn define(link: &Connect, machine: &Machine, config: &LibvirtConfig) -> Told<()> {
    let name = machine.spec.instance.as_str();
    let before = owned(link, name)?;
    let mut machine = machine.clone();
    let mut known = BTreeMap::new();
    let mut running = false;
    if let Some((domain, kept)) = &before {
        known.extend(kept.volumes.clone());
        machine.mark.operation = kept.mark.as_ref().and_then(|mark| mark.operation);
        running = power_of(domain)? != SeenPower::Off;
        if let Some(mark) = kept.mark.as_ref().filter(|_| running) {
            (machine.mark.arrived, machine.mark.released) = (mark.arrived, mark.released);
        }
        if running {
            known.extend(described(domain, 0)?.volumes);
        }
    }
    for volume in &machine.spec.volumes {
        let text = xml::secret(&machine.mark, &volume.attachment);
        let secret = VirtSecret::define_xml(link, &text, 0).map_err(|e| failed("define a secret", &e))?;
        let value = volume.chap_secret.expose().as_bytes();
        secret.set_value(value, 0).map_err(|e| failed("set a secret", &e))?;
    }
    let wanted = machine.spec.volumes.iter().map(|volume| &volume.attachment);
    let targets = xml::assign_targets(wanted, &known);
    let emulator = config.emulator.as_ref().map(|path| path.display().to_string());
    let serial = screens::serial_socket(&config.console_dir, &machine.spec.instance);
    let text = xml::domain(&machine, config.domain_type, emulator.as_deref(), &serial, &targets);
    let domain = Domain::define_xml(link, &text).map_err(|e| failed("define", &e))?;
    if running {
        remark(&domain, &machine.mark, true)?;
    }
    Ok(())
}
