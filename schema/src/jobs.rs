//! Messages between dcmgr and the agents: one enum of jobs, matched without a wildcard.
//!
//! Everything sent *to* an agent is an [`Envelope`] on its own queue `job.<agent>`; everything an agent sends is one
//! of the types in [`report`], on an exchange of its own. Unknown fields are ignored; what cannot be parsed is
//! answered `unsupported`. Golden files in `schema/messages/` pin the form.

pub mod figures;
pub mod forecast;
pub mod hva;
pub mod nsa;
pub mod report;
pub mod sta;

use crate::limits::WIRE_VERSION;
use crate::model::AgentId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// Exchanges an agent may write to, and nothing else. Each has a queue of the same name with `dcmgr.` for `arame.`.
pub mod exchange {
    pub const HELLO: &str = "arame.hello";
    pub const OUTCOME: &str = "arame.outcome";
    pub const INVENTORY: &str = "arame.inventory";
    pub const HEARTBEAT: &str = "arame.heartbeat";
    pub const REPLY: &str = "arame.reply";
    pub const ALL: [&str; 5] = [HELLO, OUTCOME, INVENTORY, HEARTBEAT, REPLY];
}

/// Where the broker's policies put what was delivered too often (DESIGN, On the wire).
pub const DEAD_QUEUE: &str = "dead";

/// One job. The variant's wire name is `kind`, its struct is `body`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body")]
pub enum Job {
    /// Bring the whole domain (power, disks, NICs) to one desired spec.
    #[serde(rename = "hva.instance.apply")]
    ApplyInstance(Box<hva::ApplyInstance>),
    /// Remove every part of the instance from this host: domain, ports, overlay, metadata, logs.
    #[serde(rename = "hva.instance.delete")]
    DeleteInstance(hva::DeleteInstance),
    /// Reboot once, under an operation id.
    #[serde(rename = "hva.instance.reboot")]
    RebootInstance(hva::RebootInstance),
    /// Look again and answer what is seen; change nothing.
    #[serde(rename = "hva.instance.observe")]
    ObserveInstance(hva::ObserveInstance),
    /// Make the host ready for a guest that another host will send; nothing runs yet.
    #[serde(rename = "hva.instance.receive")]
    ReceiveInstance(Box<hva::ReceiveInstance>),
    /// Send the running guest to the host where it is waited for, under the generation of the guest that waits.
    #[serde(rename = "hva.instance.send")]
    SendInstance(hva::SendInstance),
    /// Stop sending, refuse what is older from now on, change nothing else.
    #[serde(rename = "hva.instance.keep")]
    KeepInstance(hva::KeepInstance),
    /// Let a paused guest run, that was not given away.
    #[serde(rename = "hva.instance.resume")]
    ResumeInstance(hva::ResumeInstance),
    /// Copy a machine's disk for an image, or go on watching that copy.
    #[serde(rename = "hva.capture.take")]
    TakeCapture(hva::TakeCapture),
    /// Remove the copy, and end it where it is still being made.
    #[serde(rename = "hva.capture.drop")]
    DropCapture(hva::DropCapture),
    /// The rules of all ports of this host, one version.
    #[serde(rename = "hva.policy.apply")]
    ApplyPolicy(hva::ApplyPolicy),

    #[serde(rename = "sta.image.import")]
    ImportImage(sta::ImportImage),
    #[serde(rename = "sta.image.delete")]
    DeleteImage(sta::DeleteImage),
    #[serde(rename = "sta.volume.create")]
    CreateVolume(sta::CreateVolume),
    #[serde(rename = "sta.volume.delete")]
    DeleteVolume(sta::DeleteVolume),
    /// Make the target of one attachment, with its own initiator and secret.
    #[serde(rename = "sta.volume.export")]
    ExportVolume(sta::ExportVolume),
    #[serde(rename = "sta.volume.unexport")]
    UnexportVolume(sta::UnexportVolume),
    /// End whatever reaches a volume by one attachment, and prove it.
    #[serde(rename = "sta.volume.fence")]
    FenceVolume(sta::FenceVolume),
    #[serde(rename = "sta.volume.observe")]
    ObserveVolume(sta::ObserveVolume),
    /// Write the generation on a volume that is there: whatever is older is refused from then on.
    #[serde(rename = "sta.volume.mark")]
    MarkVolume(sta::MarkVolume),
    /// Put a volume back to one of its snapshots, once, under an operation id.
    #[serde(rename = "sta.volume.rollback")]
    RollBackVolume(sta::RollBackVolume),
    #[serde(rename = "sta.snapshot.create")]
    CreateSnapshot(sta::CreateSnapshot),
    #[serde(rename = "sta.snapshot.delete")]
    DeleteSnapshot(sta::DeleteSnapshot),
    #[serde(rename = "sta.snapshot.observe")]
    ObserveSnapshot(sta::ObserveSnapshot),
    /// Let another storage node read a snapshot, or nobody any more.
    #[serde(rename = "sta.snapshot.offer")]
    OfferSnapshot(sta::OfferSnapshot),
    /// Copy another node's snapshot into this node's store, or go on watching that copy.
    #[serde(rename = "sta.replica.receive")]
    ReceiveReplica(sta::Replica),
    /// Remove the copy, and end it where it still goes on.
    #[serde(rename = "sta.replica.delete")]
    DeleteReplica(sta::Replica),
    #[serde(rename = "sta.replica.observe")]
    ObserveReplica(sta::Replica),
    /// Take the snapshot that a backup is copied from; one that is there is never taken again.
    #[serde(rename = "sta.backup.snapshot")]
    SnapshotBackup(sta::Backup),
    /// Copy the snapshot into the backup storage, or go on watching that copy.
    #[serde(rename = "sta.backup.write")]
    WriteBackup(sta::Backup),
    /// Remove the snapshot that a backup was copied from.
    #[serde(rename = "sta.backup.drop")]
    DropBackup(sta::Backup),
    /// Remove the object, and end its copy where that still goes on.
    #[serde(rename = "sta.backup.delete")]
    DeleteBackup(sta::Backup),
    #[serde(rename = "sta.backup.observe")]
    ObserveBackup(sta::Backup),

    /// Serve this snapshot of a network; a lower version than the one served is refused.
    #[serde(rename = "nsa.network.apply")]
    ApplyNetwork(Box<nsa::ApplyNetwork>),
    /// The same by what changed since a version; refused where another version is served.
    #[serde(rename = "nsa.network.change")]
    ChangeNetwork(Box<nsa::ChangeNetwork>),
    #[serde(rename = "nsa.network.delete")]
    DeleteNetwork(nsa::DeleteNetwork),
}

impl Job {
    /// Every kind, in the order of the enum: what golden messages and simulators are checked against.
    pub const KINDS: [&'static str; 36] = [
        "hva.instance.apply",
        "hva.instance.delete",
        "hva.instance.reboot",
        "hva.instance.observe",
        "hva.instance.receive",
        "hva.instance.send",
        "hva.instance.keep",
        "hva.instance.resume",
        "hva.capture.take",
        "hva.capture.drop",
        "hva.policy.apply",
        "sta.image.import",
        "sta.image.delete",
        "sta.volume.create",
        "sta.volume.delete",
        "sta.volume.export",
        "sta.volume.unexport",
        "sta.volume.fence",
        "sta.volume.observe",
        "sta.volume.mark",
        "sta.volume.rollback",
        "sta.snapshot.create",
        "sta.snapshot.delete",
        "sta.snapshot.observe",
        "sta.snapshot.offer",
        "sta.replica.receive",
        "sta.replica.delete",
        "sta.replica.observe",
        "sta.backup.snapshot",
        "sta.backup.write",
        "sta.backup.drop",
        "sta.backup.delete",
        "sta.backup.observe",
        "nsa.network.apply",
        "nsa.network.change",
        "nsa.network.delete",
    ];

    pub fn kind(&self) -> &'static str {
        match self {
            Job::ApplyInstance(_) => "hva.instance.apply",
            Job::DeleteInstance(_) => "hva.instance.delete",
            Job::RebootInstance(_) => "hva.instance.reboot",
            Job::ObserveInstance(_) => "hva.instance.observe",
            Job::ReceiveInstance(_) => "hva.instance.receive",
            Job::SendInstance(_) => "hva.instance.send",
            Job::KeepInstance(_) => "hva.instance.keep",
            Job::ResumeInstance(_) => "hva.instance.resume",
            Job::TakeCapture(_) => "hva.capture.take",
            Job::DropCapture(_) => "hva.capture.drop",
            Job::ApplyPolicy(_) => "hva.policy.apply",
            Job::ImportImage(_) => "sta.image.import",
            Job::DeleteImage(_) => "sta.image.delete",
            Job::CreateVolume(_) => "sta.volume.create",
            Job::DeleteVolume(_) => "sta.volume.delete",
            Job::ExportVolume(_) => "sta.volume.export",
            Job::UnexportVolume(_) => "sta.volume.unexport",
            Job::FenceVolume(_) => "sta.volume.fence",
            Job::ObserveVolume(_) => "sta.volume.observe",
            Job::MarkVolume(_) => "sta.volume.mark",
            Job::RollBackVolume(_) => "sta.volume.rollback",
            Job::CreateSnapshot(_) => "sta.snapshot.create",
            Job::DeleteSnapshot(_) => "sta.snapshot.delete",
            Job::ObserveSnapshot(_) => "sta.snapshot.observe",
            Job::OfferSnapshot(_) => "sta.snapshot.offer",
            Job::ReceiveReplica(_) => "sta.replica.receive",
            Job::DeleteReplica(_) => "sta.replica.delete",
            Job::ObserveReplica(_) => "sta.replica.observe",
            Job::SnapshotBackup(_) => "sta.backup.snapshot",
            Job::WriteBackup(_) => "sta.backup.write",
            Job::DropBackup(_) => "sta.backup.drop",
            Job::DeleteBackup(_) => "sta.backup.delete",
            Job::ObserveBackup(_) => "sta.backup.observe",
            Job::ApplyNetwork(_) => "nsa.network.apply",
            Job::ChangeNetwork(_) => "nsa.network.change",
            Job::DeleteNetwork(_) => "nsa.network.delete",
        }
    }

    /// Whether the job may destroy something: held back by an agent that has seen a newer database (DESIGN 3.6).
    pub fn is_destructive(&self) -> bool {
        match self {
            Job::DeleteInstance(_)
            | Job::DropCapture(_)
            | Job::DeleteImage(_)
            | Job::DeleteVolume(_)
            | Job::UnexportVolume(_)
            | Job::FenceVolume(_)
            | Job::RollBackVolume(_)
            | Job::DeleteSnapshot(_)
            | Job::DeleteReplica(_)
            | Job::DropBackup(_)
            | Job::DeleteBackup(_)
            | Job::DeleteNetwork(_) => true,
            Job::ApplyInstance(job) => job.spec.power != hva::Power::On,
            Job::RebootInstance(_)
            | Job::ObserveInstance(_)
            | Job::ReceiveInstance(_)
            | Job::SendInstance(_)
            | Job::KeepInstance(_)
            | Job::ResumeInstance(_)
            | Job::TakeCapture(_)
            | Job::ApplyPolicy(_)
            | Job::ImportImage(_)
            | Job::CreateVolume(_)
            | Job::ExportVolume(_)
            | Job::ObserveVolume(_)
            | Job::MarkVolume(_)
            | Job::CreateSnapshot(_)
            | Job::ObserveSnapshot(_)
            | Job::OfferSnapshot(_)
            | Job::ReceiveReplica(_)
            | Job::ObserveReplica(_)
            | Job::SnapshotBackup(_)
            | Job::WriteBackup(_)
            | Job::ObserveBackup(_)
            | Job::ApplyNetwork(_)
            | Job::ChangeNetwork(_) => false,
        }
    }
}

/// What every message to an agent carries. `kind` and `body` stay raw here so that a kind from a newer dcmgr can be
/// answered `unsupported` by name instead of being lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    pub v: u16,
    /// UUIDv7 of the job row, or of the question for `agent.*` kinds.
    pub id: Uuid,
    /// A [`Job`] kind, or one of [`control`].
    pub kind: String,
    /// The agent this message is for; another agent never acts on it.
    pub agent: AgentId,
    /// The agent's incarnation dcmgr knew; a process of another incarnation drops the message. 0 for control kinds.
    #[serde(default)]
    pub incarnation: u64,
    /// Epoch of the database that wrote the job (DESIGN 3.6).
    #[serde(default)]
    pub epoch: u64,
    /// The thing the job is about; one lane each. An instance, attachment, volume, image, network or host id.
    #[serde(default)]
    pub thing: String,
    /// Generation of the wish (or version of the snapshot). Older than what the thing carries: refused.
    #[serde(default)]
    pub generation: u64,
    /// Milliseconds the agent may still spend, counted by its monotonic clock from the moment of receipt.
    #[serde(default)]
    pub budget_ms: u64,
    #[serde(default)]
    pub body: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Kinds that are not jobs: they have no row and change nothing in the world.
pub mod control {
    /// Answer to hello; body is [`super::report::Welcome`].
    pub const WELCOME: &str = "agent.welcome";
    /// Hello refused (unknown key, older process); body is [`super::report::Unwelcome`]. The process exits.
    pub const UNWELCOME: &str = "agent.unwelcome";
    /// Say hello again: a heartbeat came of an incarnation that the database does not know (any more).
    pub const HELLO_AGAIN: &str = "agent.hello_again";
    /// Send an inventory begun after this message; `id` comes back in it.
    pub const INVENTORY: &str = "agent.inventory";
    /// A read-only question; body is [`super::report::Ask`], answered on `arame.reply` within 2 s, never retried.
    pub const ASK: &str = "agent.ask";
    /// The operator confirmed a lower database epoch: held jobs may run.
    pub const CONFIRM_EPOCH: &str = "agent.confirm_epoch";
}

/// What is wrong with an envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    #[error("message version {0} is newer than {WIRE_VERSION}")]
    Version(u16),
    #[error("job kind `{kind}` is not understood: {source}")]
    Body { kind: String, source: serde_json::Error },
}

impl Envelope {
    /// The typed job. `Err` is answered `unsupported`.
    pub fn job(&self) -> Result<Job, EnvelopeError> {
        if self.v > WIRE_VERSION {
            return Err(EnvelopeError::Version(self.v));
        }
        let tagged = serde_json::json!({ "kind": self.kind, "body": self.body });
        serde_json::from_value(tagged).map_err(|source| EnvelopeError::Body { kind: self.kind.clone(), source })
    }

    /// The body of a job, as it goes into an envelope.
    pub fn body_of(job: &Job) -> Value {
        let mut tagged = serde_json::to_value(job).expect("a job is plain data: every key is a string");
        tagged.get_mut("body").map(Value::take).unwrap_or(Value::Null)
    }
}
