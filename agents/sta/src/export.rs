//! Who may reach a volume: one target per attachment and epoch, with its own initiator and secret.
//!
//! ```text
//! <prefix>:<attachment>-<epoch> ── LUN 1 ── the volume
//!        ├── one initiator name may log in      } without both a target lets nobody in
//!        └── with one CHAP account              }
//! ```
//!
//! Rule: a target of ours is remembered (installation, generation) before it exists and until after it is gone; a
//! removal is answered only when target, sessions and account are read back absent (DESIGN 7: fenced).

pub mod knock;
pub mod lio;
pub mod marks;
pub mod sim;
pub mod tgt;

use crate::faults::Injected;
use arame_framework::agent::{Standing, Stopped};
use arame_schema::jobs::report::Retry;
use arame_schema::jobs::sta::{ExportedTarget, FenceProof};
use arame_schema::model::{AttachmentId, Secret, VolumeId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use uuid::Uuid;

/// The volume is always this one; 0 is the controller's.
pub const LUN: u32 = 1;

/// The refusal of a daemon without any target, which hangs up on everybody.
pub const CLOSED: &str = "closed";

/// What shall be reachable by whom.
#[derive(Debug, Clone)]
pub struct Wish {
    pub installation: Uuid,
    pub attachment: AttachmentId,
    pub epoch: u64,
    pub generation: u64,
    pub volume: VolumeId,
    pub key: String,
    /// The file or block device to serve.
    pub path: PathBuf,
    pub initiator_iqn: String,
    pub chap_user: String,
    pub chap_secret: Secret,
}

/// Which way to a volume is to be closed for good: one attachment's of one epoch, by which one host came.
#[derive(Debug, Clone)]
pub struct Fence {
    pub attachment: AttachmentId,
    pub epoch: u64,
    /// The host's.
    pub initiator_iqn: String,
}

/// What is remembered of an attachment's export beside the target itself: iSCSI targets have no room for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetMark {
    pub installation: Uuid,
    pub attachment: AttachmentId,
    pub epoch: u64,
    pub generation: u64,
    pub volume: VolumeId,
    pub key: String,
    pub chap_user: String,
    pub stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "stage")]
pub enum Stage {
    /// Work on it began; the target may be half there.
    Begun,
    /// It stands, with a secret of this fingerprint.
    Standing { fingerprint: String },
    /// It is gone; kept a while so that a late job cannot raise it again.
    Removed,
}

/// A target as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub iqn: String,
    /// From the IQN.
    pub attachment: AttachmentId,
    pub epoch: u64,
    pub path: Option<PathBuf>,
    pub initiators: Vec<String>,
    pub accounts: Vec<String>,
    /// Initiators with a session.
    pub sessions: Vec<String>,
    /// `None`: nothing is remembered of it.
    pub mark: Option<TargetMark>,
}

impl Target {
    /// It has its LUN, its initiator and its account, and the work on it was finished.
    pub fn is_whole(&self) -> bool {
        let standing = self.mark.as_ref().is_some_and(|mark| matches!(mark.stage, Stage::Standing { .. }));
        standing && self.path.is_some() && !self.initiators.is_empty() && !self.accounts.is_empty()
    }

    /// It is exactly what is wished, secret included.
    pub fn fits(&self, wish: &Wish) -> bool {
        let same_secret = self.mark.as_ref().is_some_and(|mark| {
            mark.stage == Stage::Standing { fingerprint: fingerprint(wish) } && mark.installation == wish.installation
        });
        same_secret
            && self.path.as_ref() == Some(&wish.path)
            && self.initiators == [wish.initiator_iqn.as_str()]
            && self.accounts == [wish.chap_user.as_str()]
    }

    pub fn as_exported(&self, portal: &str) -> ExportedTarget {
        ExportedTarget { portal: portal.to_owned(), iqn: self.iqn.clone(), lun: LUN }
    }
}

#[async_trait]
pub trait Export: Send + Sync + 'static {
    /// `lio`, `tgt`, `sim`.
    fn kind(&self) -> &'static str;
    /// Address and port initiators connect to.
    fn portal(&self) -> &str;
    /// Every target under our IQN prefix.
    async fn list(&self) -> Result<Vec<Target>, ExportError>;
    /// What is remembered of the attachment, also after its target went.
    async fn recall(&self, attachment: &AttachmentId) -> Result<Option<TargetMark>, ExportError>;
    /// Makes the wished target, and nothing when it stands already. Targets of the attachment's other epochs are
    /// the caller's to remove first.
    async fn ensure(&self, wish: &Wish) -> Result<(), ExportError>;
    /// Ends the sessions, removes target and account (also one that a cut-short removal left alone), reads back that
    /// they are gone.
    async fn remove(&self, attachment: &AttachmentId, epoch: u64) -> Result<(), ExportError>;
    /// The same as [`Export::remove`], and the proof of it (DESIGN 7): the sessions were read back ended, which they are only
    /// when nothing of theirs is in flight; target and account were read back absent; and the old initiator's login was tried
    /// at the portal and refused. Idempotent; says nothing when any of it could not be seen.
    async fn ensure_fenced(&self, fence: &Fence, standing: &Standing) -> Result<FenceProof, ExportError>;
    /// Remembers that the attachment has no target any more.
    async fn forget(&self, mark: &TargetMark) -> Result<(), ExportError>;
}

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("the iSCSI target daemon cannot be asked: {reason}")]
    Unavailable { reason: String },
    #[error("the iSCSI target daemon refused to {doing}: {reason}")]
    Refused { doing: &'static str, reason: String },
    #[error("`{what}` belongs to something else")]
    Foreign { what: String },
    #[error("{what} is still there after its removal")]
    Remains { what: String },
    #[error("that `{what}` is fenced could not be proved: {reason}")]
    Unproved { what: String, reason: String },
    #[error("`{what}` cannot be given to the iSCSI target daemon: {reason}")]
    BadValue { what: String, reason: &'static str },
    #[error(transparent)]
    Injected(#[from] Injected),
}

impl From<ExportError> for Stopped {
    fn from(error: ExportError) -> Stopped {
        let (code, retry) = match &error {
            ExportError::Unavailable { .. } => ("export_unavailable", Retry::Later),
            ExportError::Refused { .. } => ("export_error", Retry::Later),
            ExportError::Foreign { .. } => ("foreign_thing", Retry::Never),
            ExportError::Remains { .. } => ("export_remains", Retry::Later),
            ExportError::Unproved { .. } => ("fence_unproved", Retry::Later),
            ExportError::BadValue { .. } => ("bad_name", Retry::Never),
            ExportError::Injected(_) => ("injected", Retry::Later),
        };
        Stopped::failed(code, error.to_string(), retry)
    }
}

/// Whether a stored mark stands for this user and secret, without keeping the secret. The secret is random (96 bits
/// and more), so a plain hash gives nothing away.
pub fn fingerprint(wish: &Wish) -> String {
    let mut sum = Sha256::new();
    for part in [wish.attachment.as_str(), wish.chap_user.as_str(), wish.chap_secret.expose()] {
        sum.update(part.as_bytes());
        sum.update([0]);
    }
    hex::encode(sum.finalize())
}

/// How a portal refused the old initiator: a status, or nothing said at all by a daemon that was read back without any target.
pub fn refusal(answer: std::io::Result<knock::Answer>, has_targets: bool) -> Result<String, String> {
    match answer {
        Ok(knock::Answer::Refused { class, detail }) => Ok(format!("{class:02x}{detail:02x}")),
        Ok(knock::Answer::HungUp) if !has_targets => Ok(CLOSED.to_owned()),
        Ok(knock::Answer::HungUp) => Err("its portal hangs up, and says nothing of the target".to_owned()),
        Ok(knock::Answer::Open) => Err("its portal lets the old initiator go on with its login".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The proof of a fence, from how the portal refused the old initiator. `sessions` were open before.
pub fn proof(
    fence: &Fence,
    target: String,
    sessions: Vec<String>,
    refused: Result<String, String>,
    standing: &Standing,
) -> Result<FenceProof, ExportError> {
    let refusal = refused.map_err(|reason| ExportError::Unproved { what: target.clone(), reason })?;
    Ok(FenceProof {
        target,
        epoch: fence.epoch,
        initiator: fence.initiator_iqn.clone(),
        sessions_ended: sessions,
        refusal,
        observed: standing.observe(),
    })
}

pub fn iqn(prefix: &str, attachment: &AttachmentId, epoch: u64) -> String {
    format!("{prefix}:{attachment}-{epoch}")
}

/// The attachment and epoch in an IQN of ours.
pub fn parse_iqn(prefix: &str, iqn: &str) -> Option<(AttachmentId, u64)> {
    let (attachment, epoch) = iqn.strip_prefix(prefix)?.strip_prefix(':')?.rsplit_once('-')?;
    Some((attachment.parse().ok()?, epoch.parse().ok()?))
}

impl Wish {
    /// What could break out of its place at a target daemon is refused: names are words of a request, or folders; a path ends at a
    /// comma, and a listing's line at a space.
    ///
    /// # Errors
    /// [`ExportError::BadValue`] with what is wrong.
    pub fn check(&self) -> Result<(), ExportError> {
        let bad = |what: &str, reason| Err(ExportError::BadValue { what: what.to_owned(), reason });
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-' | b'_');
        for name in [&self.initiator_iqn, &self.chap_user, &self.key] {
            // RFC 7143 section 4.2.7.1: an iSCSI name has at most 223 bytes.
            if name.is_empty() || name.len() > 223 || name.starts_with('.') || !name.bytes().all(plain) {
                return bad(name, "only letters, digits and . : - _ are allowed, and no . at the begin");
            }
        }
        let secret = self.chap_secret.expose();
        if !(12..=16).contains(&secret.len()) || !secret.bytes().all(|b| b.is_ascii_graphic() && b != b',') {
            return bad("the CHAP secret", "12 to 16 visible ASCII characters without a comma are allowed");
        }
        let path = self.path.to_string_lossy();
        if path.bytes().any(|b| b == b',' || b.is_ascii_whitespace()) || path.len() > 500 {
            return bad(&path, "a path with commas or spaces cannot be served");
        }
        Ok(())
    }

    pub fn mark(&self, stage: Stage) -> TargetMark {
        TargetMark {
            installation: self.installation,
            attachment: self.attachment.clone(),
            epoch: self.epoch,
            generation: self.generation,
            volume: self.volume.clone(),
            key: self.key.clone(),
            chap_user: self.chap_user.clone(),
            stage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_iqn_names_attachment_and_epoch_both_ways() {
        let attachment: AttachmentId = "att-a-1".parse().unwrap();
        let name = iqn("iqn.2026-11.jp.arame", &attachment, 12);
        assert_eq!(name, "iqn.2026-11.jp.arame:att-a-1-12");
        assert_eq!(parse_iqn("iqn.2026-11.jp.arame", &name), Some((attachment, 12)));
        for other in ["iqn.2026-11.jp.aramex:att-a-1", "iqn.2026-11.jp.arame:disk-1", "iqn.2026-11.jp.arame:att-a"] {
            assert_eq!(parse_iqn("iqn.2026-11.jp.arame", other), None, "{other}");
        }
    }
}
