//! What the jobs need of a hypervisor and of the host's disk: two traits, a real driver and a simulator behind them.
//!
//! Rule: a verb names an end (`ensure_running`), is idempotent, never retries, and touches nothing that carries
//! another installation's mark or none. What it answers it has seen. It decides nothing.

pub mod captures;
pub mod consoles;
pub mod files;
pub mod gauges;
pub mod images;
pub mod libvirt;
pub mod links;
pub mod meters;
pub mod sim;

use crate::records::Record;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::hva::{BootDisk, InstanceSpec, Nic, PluggedVolume};
use arame_schema::jobs::report::Retry;
use arame_schema::model::instance::Shutdown;
use arame_schema::model::{AccountId, AttachmentId, HostNodeId, InstanceId, VifId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Why an effect or a look did not succeed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct DriverError {
    /// A code of the error catalogue.
    pub code: &'static str,
    pub message: String,
    pub retry: Retry,
}

impl DriverError {
    pub fn new(code: &'static str, message: impl Into<String>, retry: Retry) -> Self {
        Self { code, message: message.into(), retry }
    }
}

impl From<DriverError> for Stopped {
    fn from(error: DriverError) -> Self {
        Stopped::failed(error.code, error.message, error.retry)
    }
}

/// What we write on every domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub installation: Uuid,
    pub instance: InstanceId,
    pub account: AccountId,
    pub generation: u64,
    /// The last operation (reboot) begun on it.
    #[serde(default)]
    pub operation: Option<Uuid>,
    /// It was made to receive a guest, under this generation; no guest ever was in it.
    #[serde(default)]
    pub waiting: Option<u64>,
    /// The generation under which its guest was received, the last time it was.
    #[serde(default)]
    pub arrived: Option<u64>,
    /// The generation under which its sender let it run here. Written before it runs.
    #[serde(default)]
    pub released: Option<u64>,
}

impl Mark {
    /// The guest that was received here is this host's, also where its CPUs stand still: its sender has given it up.
    pub fn is_released(&self) -> bool {
        self.released.is_some() && self.released == self.arrived
    }
}

/// A domain as found. Only marked ones are ever answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenDomain {
    pub mark: Mark,
    pub power: SeenPower,
    /// It is off because its guest shut itself down; a crash, a kill or our own power off is not that.
    pub left: bool,
    /// It is off because it crashed or its QEMU was killed.
    pub died: bool,
    /// Attachments plugged into the running guest or into the kept definition.
    pub plugged: Vec<AttachmentId>,
    /// Those of them that only one of the two has although the guest runs: on their way in, or out.
    pub half_plugged: Vec<AttachmentId>,
    /// Interfaces of the running guest or of the kept definition.
    pub nics: Vec<VifId>,
    /// Those of them that only one of the two has although the guest runs.
    pub half_nics: Vec<VifId>,
    /// It is off because its memory was sent to another host.
    pub sent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeenPower {
    On,
    /// Its CPUs stand still (an I/O error, or half a start).
    Paused,
    Off,
}

/// A secret kept at the hypervisor for an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenSecret {
    pub installation: Uuid,
    pub instance: InstanceId,
    pub attachment: AttachmentId,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    pub domains: Vec<SeenDomain>,
    pub secrets: Vec<SeenSecret>,
}

/// Everything a domain is defined from.
#[derive(Debug, Clone)]
pub struct Machine {
    pub spec: InstanceSpec,
    pub mark: Mark,
    pub disk: PathBuf,
    pub seed: PathBuf,
    pub console: PathBuf,
}

/// A guest on its way to another host.
#[derive(Debug, Clone)]
pub struct Sending {
    pub instance: InstanceId,
    pub to: HostNodeId,
    /// Where that host takes guests, as it told in its hello.
    pub endpoints: BTreeMap<String, String>,
    /// Of the guest that waits there: nothing is sent to another.
    pub generation: u64,
}

/// The hypervisor.
#[async_trait]
pub trait Compute: Send + Sync + 'static {
    /// `kvm`, `qemu` or `sim`.
    fn kind(&self) -> &'static str;

    /// The domain of that name. `Err(foreign_thing)` when there is one without our mark or with another's.
    async fn observe(&self, instance: &InstanceId) -> Result<Option<SeenDomain>, DriverError>;

    /// Every domain and secret of ours.
    async fn survey(&self) -> Result<Survey, DriverError>;

    /// The kept definition is this, mark and volumes included; a running guest is not touched, but for its mark.
    async fn ensure_defined(&self, machine: &Machine) -> Result<(), DriverError>;

    /// The guest runs.
    async fn ensure_running(&self, instance: &InstanceId) -> Result<(), DriverError>;

    /// The guest does not run. Soft becomes hard after `grace`, or at once when the job is overtaken.
    async fn ensure_off(
        &self,
        instance: &InstanceId,
        how: Shutdown,
        grace: Duration,
        work: &Work,
    ) -> Result<(), Stopped>;

    /// The running guest has the volume.
    async fn ensure_plugged(&self, machine: &Machine, volume: &PluggedVolume) -> Result<(), DriverError>;

    /// The running guest has let the volume go.
    async fn ensure_unplugged(&self, instance: &InstanceId, attachment: &AttachmentId) -> Result<(), DriverError>;

    /// The running guest has the interface. Its port stands already.
    async fn ensure_nic(&self, machine: &Machine, nic: &Nic) -> Result<(), DriverError>;

    /// The running guest has let the interface go. Its port stands until then.
    async fn ensure_no_nic(&self, instance: &InstanceId, vif: &VifId) -> Result<(), DriverError>;

    /// Writes the operation on the domain, then resets the guest: at most once.
    async fn reboot(&self, instance: &InstanceId, operation: Uuid) -> Result<(), DriverError>;

    /// Whether running guests can be taken from and given to other hosts here.
    fn moves(&self) -> bool;

    /// Where other hosts reach this one's hypervisor, for the hello.
    fn endpoints(&self) -> BTreeMap<String, String>;

    /// The host waits for this guest of that generation: whoever sends it finds what it needs. Nothing runs.
    async fn ensure_waiting(&self, machine: &Machine, work: &Work) -> Result<(), Stopped>;

    /// The memory and the disk of the guest are at the other host, where it does not run yet, and it runs here no more. On
    /// a failure it is whole here, running or paused. Stops when the job is overtaken.
    async fn ensure_sent(&self, sending: &Sending, work: &Work) -> Result<(), Stopped>;

    /// The guest that was sent may run at the other host, and does. Called only after it was marked as given away.
    async fn ensure_released(&self, sending: &Sending, work: &Work) -> Result<(), Stopped>;

    /// No domain and no secret is left of it.
    async fn ensure_gone(&self, instance: &InstanceId) -> Result<(), DriverError>;

    /// Instances whose guest stopped by itself. Taken once.
    fn stopped(&self) -> Option<mpsc::Receiver<InstanceId>>;

    /// Calls given up that have not come back.
    fn hung(&self) -> u32;
}

/// The host's own disk: images, overlays, console logs, records.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    async fn read(&self, instance: &InstanceId) -> Result<Option<Record>, DriverError>;

    /// Written whole or not at all; makes the instance's place when there is none.
    async fn write(&self, record: &Record) -> Result<(), DriverError>;

    /// Every record, orphans included.
    async fn list(&self) -> Result<Vec<Record>, DriverError>;

    /// The boot disk stands: image fetched and verified, overlay made. Progress goes to the job.
    async fn ensure_disk(&self, instance: &InstanceId, boot: &BootDisk, work: &Work) -> Result<(), Stopped>;

    /// Whether the overlay exists.
    async fn has_disk(&self, instance: &InstanceId) -> Result<bool, DriverError>;

    /// The seed that cloud-init reads at the guest's next start says what the record says. A guest that runs has the one
    /// it was started with.
    async fn ensure_seed(&self, record: &Record) -> Result<(), DriverError>;

    /// The overlay of a guest that was given away is gone: what comes back is copied anew.
    async fn discard_disk(&self, instance: &InstanceId) -> Result<(), DriverError>;

    /// Overlay, log and record are gone; `generation` is remembered for a day.
    async fn bury(&self, instance: &InstanceId, generation: u64) -> Result<(), DriverError>;

    /// The generation an instance was deleted with, if lately.
    async fn grave(&self, instance: &InstanceId) -> Result<Option<u64>, DriverError>;

    fn disk_path(&self, instance: &InstanceId) -> PathBuf;
    fn seed_path(&self, instance: &InstanceId) -> PathBuf;
    fn console_path(&self, instance: &InstanceId) -> PathBuf;

    /// The newest `bytes` of what the guest wrote on its serial console.
    async fn console_tail(&self, instance: &InstanceId, bytes: usize) -> Result<String, DriverError>;

    async fn keep_policy(&self, policy: &crate::policy::Policy) -> Result<(), DriverError>;
}
