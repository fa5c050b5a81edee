//! Exports by LIO, the kernel's own iSCSI target, through its tree in configfs.
//!
//! ```text
//! core/{iblock,fileio}_0/<prefix>:<key>              the volume, one for all its attachments
//! iscsi/<prefix>:<attachment>-<epoch>/tpgt_1/        its target
//!        lun/lun_1 ─► the volume   np/<portal>   acls/<initiator>/{auth, lun_1 ─► lun}
//!
//! ensure: remember Begun ─ volume ─ target ─ LUN ─ initiator with its account ─ portal ─ enable ─ remember Standing
//! remove: disable, which ends the sessions ─ until none ─ portal ─ initiators ─ LUN ─ target ─ volume ─ read back
//! ```
//!
//! Rule: a target is enabled last and disabled first, so a half-made one lets nobody in. The tree is the truth and is read
//! for every answer; what it has no room for is in [`Marks`]. A restarted machine has an empty tree, which the inventory
//! shows.

mod tree;

use super::marks::Marks;
use super::{Export, ExportError, Fence, Stage, Target, TargetMark, Wish, iqn, knock, parse_iqn, proof, refusal};
use crate::faults::Faults;
use arame_framework::agent::Standing;
use arame_framework::rehearsal;
use arame_schema::jobs::sta::FenceProof;
use arame_schema::model::AttachmentId;
use async_trait::async_trait;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tree::{Found, Tree};

/// Where the kernel shows it, when `target_core_mod` is loaded and configfs mounted.
pub const ROOT: &str = "/sys/kernel/config/target";
/// The kernel ends a session only when the commands in flight are done; a disk that does not answer for so long is not fenced.
const SESSIONS_CLOSE: Duration = Duration::from_secs(20);
/// Its initiator's line goes a moment after its session.
const SESSIONS_LOOK: Duration = Duration::from_millis(20);

pub struct LioExport {
    tree: Arc<Tree>,
    marks: Marks,
    prefix: String,
    portal: String,
    faults: Arc<Faults>,
    changing: Mutex<()>,
}

impl LioExport {
    pub fn new(root: PathBuf, marks: Marks, prefix: String, portal: String, faults: Arc<Faults>) -> Self {
        Self { tree: Arc::new(Tree::new(root)), marks, prefix, portal, faults, changing: Mutex::new(()) }
    }

    /// Files of the kernel may wait, as for the end of a session: never on a thread that others need.
    async fn on<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tree) -> Result<T, ExportError> + Send + 'static,
    ) -> Result<T, ExportError> {
        let tree = self.tree.clone();
        let ended = rehearsal::blocking(move || work(&tree));
        match tokio::time::timeout(SESSIONS_CLOSE, ended).await {
            Ok(Ok(result)) => result,
            Ok(Err(ended)) => {
                Err(ExportError::Unavailable { reason: format!("work on its tree ended early: {ended}") })
            }
            Err(_) => Err(ExportError::Remains { what: "a command in flight".to_owned() }),
        }
    }

    async fn found(&self) -> Result<Vec<Found>, ExportError> {
        let prefix = self.prefix.clone();
        self.on(move |tree| tree.targets(&prefix)).await
    }

    async fn find(&self, name: &str) -> Result<Option<Found>, ExportError> {
        Ok(self.found().await?.into_iter().find(|one| one.iqn == name))
    }

    fn volume_name(&self, key: &str) -> String {
        format!("{}:{key}", self.prefix)
    }

    async fn make(&self, wish: &Wish) -> Result<(), ExportError> {
        let name = iqn(&self.prefix, &wish.attachment, wish.epoch);
        let (volume, portal) = (self.volume_name(&wish.key), self.portal.clone());
        self.faults.hit("export:before").await?;
        self.marks.write(&wish.mark(Stage::Begun))?;
        self.faults.hit("export:remembered").await?;
        let (asked, known) = (wish.clone(), volume.clone());
        let device = self.on(move |tree| tree.add_volume(&known, &asked.path, &asked.key)).await?;
        let target = name.clone();
        self.on(move |tree| tree.add_target(&target)).await?;
        self.faults.hit("export:target").await?;
        let target = name.clone();
        self.on(move |tree| tree.add_lun(&target, &device)).await?;
        self.faults.hit("export:lun").await?;
        let (target, asked) = (name.clone(), wish.clone());
        self.on(move |tree| tree.add_initiator(&target, &asked)).await?;
        self.faults.hit("export:account").await?;
        let target = name.clone();
        self.on(move |tree| tree.add_portal(&target, &portal)).await?;
        self.faults.hit("export:bound").await?;
        self.on(move |tree| tree.enable(&name, true)).await?;
        self.faults.hit("export:allowed").await?;
        self.marks.write(&wish.mark(Stage::Standing { fingerprint: super::fingerprint(wish) }))?;
        Ok(self.faults.hit("export:after").await?)
    }

    async fn take_down(&self, name: &str) -> Result<(), ExportError> {
        self.faults.hit("unexport:before").await?;
        let target = name.to_owned();
        self.on(move |tree| tree.enable(&target, false)).await?;
        self.faults.hit("unexport:denied").await?;
        self.wait_for_sessions(name).await?;
        self.faults.hit("unexport:closed").await?;
        let target = name.to_owned();
        self.on(move |tree| tree.remove_target(&target)).await?;
        self.faults.hit("unexport:target").await?;
        Ok(())
    }

    async fn wait_for_sessions(&self, name: &str) -> Result<(), ExportError> {
        let deadline = Instant::now() + SESSIONS_CLOSE;
        while self.find(name).await?.is_some_and(|one| !one.sessions.is_empty()) {
            if Instant::now() > deadline {
                return Err(ExportError::Remains { what: format!("a session of {name}") });
            }
            tokio::time::sleep(SESSIONS_LOOK).await;
        }
        Ok(())
    }

    /// Volumes that no target leads to any more: the last attachment's, or what a cut-short work left.
    async fn remove_unused_volumes(&self) -> Result<(), ExportError> {
        let prefix = self.prefix.clone();
        self.on(move |tree| tree.remove_unused_volumes(&prefix)).await?;
        Ok(self.faults.hit("unexport:account").await?)
    }

    fn target(&self, found: Found) -> Option<Target> {
        let (attachment, epoch) = parse_iqn(&self.prefix, &found.iqn)?;
        let mark = self.marks.read(&attachment).filter(|mark| mark.epoch == epoch);
        Some(Target {
            iqn: found.iqn,
            attachment,
            epoch,
            path: found.path,
            // Nobody may log in to a target that is not enabled, whoever is named in it.
            initiators: if found.is_enabled { found.initiators } else { Vec::new() },
            accounts: found.accounts,
            sessions: found.sessions,
            mark,
        })
    }
}

#[async_trait]
impl Export for LioExport {
    fn kind(&self) -> &'static str {
        "lio"
    }

    fn portal(&self) -> &str {
        &self.portal
    }

    async fn list(&self) -> Result<Vec<Target>, ExportError> {
        Ok(self.found().await?.into_iter().filter_map(|one| self.target(one)).collect())
    }

    async fn recall(&self, attachment: &AttachmentId) -> Result<Option<TargetMark>, ExportError> {
        Ok(self.marks.read(attachment))
    }

    async fn ensure(&self, wish: &Wish) -> Result<(), ExportError> {
        wish.check()?;
        let _changing = self.changing.lock().await;
        let name = iqn(&self.prefix, &wish.attachment, wish.epoch);
        let (standing, others): (Vec<_>, Vec<_>) = self.found().await?.into_iter().partition(|one| one.iqn == name);
        if others.iter().any(|one| one.accounts.contains(&wish.chap_user)) {
            return Err(ExportError::Foreign { what: wish.chap_user.clone() });
        }
        match standing.into_iter().next().map(|found| self.target(found)) {
            None => self.make(wish).await,
            // Only the wish's number is newer.
            Some(Some(target)) if target.fits(wish) => {
                self.marks.write(&wish.mark(Stage::Standing { fingerprint: super::fingerprint(wish) }))
            }
            // Half-made, or with another secret: easier to understand when made anew than when mended.
            Some(_) => {
                self.take_down(&name).await?;
                self.make(wish).await
            }
        }
    }

    async fn remove(&self, attachment: &AttachmentId, epoch: u64) -> Result<(), ExportError> {
        let _changing = self.changing.lock().await;
        let name = iqn(&self.prefix, attachment, epoch);
        if self.find(&name).await?.is_some() {
            self.take_down(&name).await?;
        }
        self.remove_unused_volumes().await?;
        if self.find(&name).await?.is_some() {
            return Err(ExportError::Remains { what: name });
        }
        Ok(self.faults.hit("unexport:after").await?)
    }

    async fn ensure_fenced(&self, fence: &Fence, standing: &Standing) -> Result<FenceProof, ExportError> {
        let name = iqn(&self.prefix, &fence.attachment, fence.epoch);
        let sessions = self.find(&name).await?.map(|one| one.sessions).unwrap_or_default();
        self.remove(&fence.attachment, fence.epoch).await?;
        self.faults.hit("fence:removed").await?;
        // The kernel listens at a portal only while some target has it. Looked at before and after, so that a closed door is
        // known to be one that no target had all the time.
        let portal = self.portal.clone();
        let is_listening = move |tree: &Tree| tree.has_portal(&portal);
        let before = self.on(is_listening.clone()).await?;
        let answer = match knock::knock(&self.portal, &fence.initiator_iqn, &name).await {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && !before => Ok(knock::Answer::HungUp),
            other => other,
        };
        let after = self.on(is_listening).await?;
        self.faults.hit("fence:refused").await?;
        proof(fence, name, sessions, refusal(answer, before || after), standing)
    }

    async fn forget(&self, mark: &TargetMark) -> Result<(), ExportError> {
        self.marks.write(&TargetMark { stage: Stage::Removed, ..mark.clone() })
    }
}
