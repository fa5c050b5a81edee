//! The simulated host's world: plain data, and the few rules a real host has. It is what the state file holds.

use crate::driver::captures::Capture;
use crate::driver::{DriverError, Mark, SeenDomain, SeenPower};
use crate::policy::Policy;
use crate::records::Record;
use crate::switch::Port;
use arame_framework::rehearsal;
use arame_schema::jobs::report::Retry;
use arame_schema::limits::TOMBSTONE_AGE;
use arame_schema::model::{AttachmentId, ImageId, InstanceId, VifId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct World {
    /// Counts changes.
    pub revision: u64,
    pub domains: BTreeMap<InstanceId, Domain>,
    pub disks: BTreeSet<InstanceId>,
    pub records: BTreeMap<InstanceId, Record>,
    pub graves: BTreeMap<InstanceId, Grave>,
    /// Guests that are waited for, until they arrive.
    #[serde(default)]
    pub waiting: BTreeMap<InstanceId, Waiting>,
    pub ports: BTreeMap<VifId, SimPort>,
    /// Copies of disks that are kept, and the generations others were removed with.
    #[serde(default)]
    pub captures: BTreeMap<ImageId, Capture>,
    #[serde(default)]
    pub capture_graves: BTreeMap<ImageId, u64>,
    pub policy: Policy,
    /// Faults of the configuration by their place in it, as often as they happened.
    pub faults_done: BTreeMap<usize, u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Domain {
    pub mark: Mark,
    pub power: SeenPower,
    /// In the kept definition.
    pub kept: BTreeSet<AttachmentId>,
    /// In the running guest.
    pub live: BTreeSet<AttachmentId>,
    pub secrets: BTreeSet<AttachmentId>,
    /// Interfaces of the kept definition, and of the running guest.
    #[serde(default)]
    pub kept_nics: BTreeSet<VifId>,
    #[serde(default)]
    pub live_nics: BTreeSet<VifId>,
    pub reboots: u32,
    /// Its guest shut itself down.
    #[serde(default)]
    pub left: bool,
    /// It crashed.
    #[serde(default)]
    pub died: bool,
    /// How often its guest began from its disk: what is moved does not begin again.
    #[serde(default)]
    pub starts: u32,
}

/// A guest that is waited for. Its sender opens the gate: see [`super::trunk`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    pub mark: Mark,
    pub gate: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grave {
    pub generation: u64,
    pub dug_at: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SimPort {
    pub instance: InstanceId,
    pub installation: Uuid,
    pub generation: u64,
}

impl Domain {
    pub fn seen(&self) -> SeenDomain {
        let plugged = self.kept.union(&self.live).cloned().collect();
        let half_plugged = match self.power {
            SeenPower::Off => Vec::new(),
            SeenPower::On | SeenPower::Paused => self.kept.symmetric_difference(&self.live).cloned().collect(),
        };
        let nics = self.kept_nics.union(&self.live_nics).cloned().collect();
        let half_nics = match self.power {
            SeenPower::Off => Vec::new(),
            SeenPower::On | SeenPower::Paused => {
                self.kept_nics.symmetric_difference(&self.live_nics).cloned().collect()
            }
        };
        let (mark, power, left, died) = (self.mark.clone(), self.power, self.left, self.died);
        SeenDomain { mark, power, left, died, sent: false, plugged, half_plugged, nics, half_nics }
    }

    pub fn start(&mut self) {
        if self.power == SeenPower::Off {
            self.live = self.kept.clone();
            self.live_nics = self.kept_nics.clone();
            self.starts += 1;
        }
        self.power = SeenPower::On;
        self.left = false;
        self.died = false;
    }

    pub fn stop(&mut self) {
        self.power = SeenPower::Off;
        self.live.clear();
        self.live_nics.clear();
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl World {
    pub fn load(path: &Path) -> Result<Self, DriverError> {
        let fail =
            |what: String| DriverError::new("host_disk_error", format!("{}: {what}", path.display()), Retry::Later);
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| fail(e.to_string())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(fail(e.to_string())),
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
            && self.waiting.is_empty()
            && self.disks.is_empty()
            && self.records.is_empty()
            && self.ports.is_empty()
            && self.captures.is_empty()
    }

    pub fn define(&mut self, mark: Mark, wanted: BTreeSet<AttachmentId>, nics: BTreeSet<VifId>) {
        let domain = self.domains.entry(mark.instance.clone()).or_insert_with(|| Domain {
            mark: mark.clone(),
            power: SeenPower::Off,
            kept: BTreeSet::new(),
            live: BTreeSet::new(),
            secrets: BTreeSet::new(),
            kept_nics: BTreeSet::new(),
            live_nics: BTreeSet::new(),
            reboots: 0,
            left: false,
            died: false,
            starts: 0,
        });
        domain.mark = Mark { operation: domain.mark.operation, ..mark };
        domain.secrets.extend(wanted.iter().cloned());
        domain.kept = wanted;
        domain.kept_nics = nics;
    }

    pub fn plug(&mut self, port: &Port) {
        let kept =
            SimPort { instance: port.instance.clone(), installation: port.installation, generation: port.generation };
        self.ports.insert(port.nic.vif.clone(), kept);
    }

    pub fn bury(&mut self, instance: &InstanceId, generation: u64) {
        self.records.remove(instance);
        self.disks.remove(instance);
        let now = seconds();
        self.graves.retain(|_, grave| now.saturating_sub(grave.dug_at) < TOMBSTONE_AGE.as_secs());
        self.graves.insert(instance.clone(), Grave { generation, dug_at: now });
    }

    pub fn grave(&self, instance: &InstanceId) -> Option<u64> {
        self.graves.get(instance).map(|grave| grave.generation)
    }

    /// What a tiny guest would have said.
    pub fn console(&self, instance: &InstanceId) -> String {
        let Some(record) = self.records.get(instance) else { return String::new() };
        let boots = self.domains.get(instance).map_or(0, |domain| domain.reboots + 1);
        format!("simulated guest {instance}, boot {boots}\n{} login: ", record.hostname)
    }
}

/// The file is there whole. Not flushed to the disk: the simulator outlives its process, not the machine.
pub async fn write(path: PathBuf, bytes: Vec<u8>) -> Result<(), DriverError> {
    let shown = path.clone();
    let written = rehearsal::blocking(move || {
        let part = path.with_extension("part");
        std::fs::write(&part, bytes)?;
        std::fs::rename(&part, &path)
    });
    let written = written.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    written.map_err(|e| DriverError::new("host_disk_error", format!("{}: {e}", shown.display()), Retry::Later))
}
