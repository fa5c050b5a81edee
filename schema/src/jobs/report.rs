//! What agents send: hello, heartbeats, outcomes, inventories, replies. They say what was seen, never a state.

use crate::model::{AgentId, AgentKind, Fact, FactName, Observation, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// First message of a process. dcmgr answers [`Welcome`] on the agent's job queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    pub v: u16,
    pub agent: AgentId,
    pub kind: AgentKind,
    /// Random per process: ties the welcome to this hello.
    pub nonce: Uuid,
    /// The key made at join; dcmgr keeps only its SHA-256.
    pub key: crate::model::Secret,
    /// `/etc/machine-id` or what stands for it.
    pub machine_id: String,
    pub version: String,
    /// Job kinds this process understands; nothing else is planned for it.
    pub kinds: Vec<String>,
    /// Highest database epoch ever met (DESIGN 3.6).
    pub highest_epoch: u64,
    /// Highest incarnation this process was ever given, 0 before its first welcome. One above the row's tells that
    /// the database forgot.
    #[serde(default)]
    pub last_incarnation: u64,
    pub capacity: Capacity,
    /// Where others reach this node's services: `portal`, `http`, `dns`, `initiator_iqn`, …
    #[serde(default)]
    pub endpoints: BTreeMap<String, String>,
}

/// What the node offers. Zero where it does not apply.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// `x86_64`.
    pub arch: String,
    /// `kvm`, `qemu` (emulation), `sim`; for storage `file`, `zfs`, `sim`.
    pub driver: String,
    pub cpu_cores: u32,
    pub memory_mib: u64,
    pub disk_mib: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub nonce: Uuid,
    pub incarnation: u64,
    /// Written on everything the agent makes; things of another installation are never touched.
    pub installation: Uuid,
    pub epoch: u64,
    pub heartbeat_ms: u64,
    pub inventory_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwelcome {
    pub nonce: Uuid,
    pub reason: String,
}

/// Transient: expires after two intervals, the latest wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub v: u16,
    pub agent: AgentId,
    pub incarnation: u64,
    /// Why the agent wants no new placements: too many hung calls, a full disk. `None`: all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
    pub open_jobs: u32,
    pub hung_calls: u32,
}

/// One thing's fact as the agent saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FactReport {
    pub thing: String,
    pub name: FactName,
    pub value: Fact,
    /// Generation or version found on the thing; 0 when there is none.
    #[serde(default)]
    pub generation: u64,
    pub observed: Observation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
}

/// How a job ended, or how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum JobResult {
    Done,
    Failed {
        /// A code of the error catalogue, such as `disk_full`, `image_checksum_mismatch`, `libvirt_error`.
        code: String,
        message: String,
        retry: Retry,
    },
    /// The thing carries a newer generation; dcmgr lifts its row past it and plans again.
    Refused {
        found_generation: u64,
    },
    /// The kind or form of the message is not understood.
    Unsupported {
        message: String,
    },
    /// A newer job for the same thing took its place before or while it ran.
    Overtaken,
    /// Held back: the message comes from a database older than one met before.
    HeldEpoch {
        highest_epoch: u64,
    },
    /// Not an end: the job goes on.
    Progress {
        percent: u8,
        note: String,
    },
}

/// Whether the same job may succeed later, in the agent's opinion. One place in dcmgr decides what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retry {
    /// The cause may pass: a timeout, a busy device.
    Later,
    /// The same host will fail again; another may not (its disk is full).
    Elsewhere,
    /// It fails everywhere: a broken image.
    Never,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub v: u16,
    pub job: Uuid,
    pub kind: String,
    pub agent: AgentId,
    pub incarnation: u64,
    pub thing: String,
    #[serde(flatten)]
    pub result: JobResult,
    /// What was seen after the work, also when it failed.
    #[serde(default)]
    pub facts: Vec<FactReport>,
    /// Time in the lane and time at work, milliseconds.
    #[serde(default)]
    pub waited_ms: u64,
    #[serde(default)]
    pub worked_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Everything of ours that exists at an agent. Transient like a heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    pub v: u16,
    pub agent: AgentId,
    /// The question this answers, when it answers one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Uuid>,
    /// Taken before the first look: whatever a job observed later is newer than this listing.
    pub began: Observation,
    pub backends: Vec<Backend>,
    pub things: Vec<InventoryThing>,
    /// Of a storage node, MiB: what its store cannot give beyond the sizes of its volumes and replicas (snapshots, images, files of
    /// others, what a pool keeps for itself). Absent where that was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_mib: Option<u64>,
}

/// A listing that is not complete says nothing about what is missing (DESIGN 3.9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// `libvirt`, `switch`, `store:<pool>`, `export`, `networks`, …
    pub name: String,
    #[serde(flatten)]
    pub status: BackendStatus,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "status")]
pub enum BackendStatus {
    Complete,
    Unavailable { reason: String },
}

/// Kind of a thing that is none of ours: an address of a network that a client found in use by another machine. Its detail
/// has `address` and `mac`, the client's.
pub const ADDRESS_IN_USE: &str = "address_in_use";

/// One thing that carries (or seems to carry) our mark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InventoryThing {
    /// `domain`, `port`, `overlay`, `volume`, `image`, `target`, `network`, `lease`, …
    pub kind: String,
    /// Its name at the backend (`vif-…`, a path, an IQN).
    pub name: String,
    /// Which of `backends` listed it.
    pub backend: String,
    /// The resource id it carries, when readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default)]
    pub generation: u64,
    /// The installation it carries; another's is listed but never touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<Uuid>,
    /// Whether deleting it loses data.
    pub holds_data: bool,
    /// Facts this thing is evidence for.
    #[serde(default)]
    pub facts: Vec<FactReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
}

/// A read-only question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// `hva.console_log`, `nsa.why`, …
    pub question: String,
    #[serde(default)]
    pub arguments: Value,
}

/// A question whose answer is a stream: the agent opens its own end and brings it to the dcmgr that asked. Who does not
/// know streams reads an [`Ask`] here, and says that it does not understand the question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamAsk {
    #[serde(flatten)]
    pub ask: Ask,
    pub stream: Dial,
}

/// Where an agent brings a stream, and by what it is let in, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dial {
    /// `10.0.0.1:9003`, `[::1]:9003`, or the absolute path of a unix socket: one that the agent's configuration names too.
    pub to: String,
    pub stream: Uuid,
    pub secret: Secret,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    pub v: u16,
    pub agent: AgentId,
    /// Id of the envelope that asked.
    pub asked: Uuid,
    /// `Err` is a sentence.
    pub answer: Result<Value, String>,
}
