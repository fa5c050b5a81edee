//! Targets of the simulated world. Rule: answers what the tgt driver would answer. Nobody can log in to them.

use super::knock::Answer;
use super::{Export, ExportError, Fence, Stage, Target, TargetMark, Wish, fingerprint, iqn, parse_iqn, proof, refusal};
use crate::faults::Faults;
use crate::sim::{SimTarget, State, World, WorldError};
use arame_framework::agent::Standing;
use arame_schema::jobs::sta::FenceProof;
use arame_schema::model::AttachmentId;
use async_trait::async_trait;
use std::sync::Arc;

pub struct SimExport {
    world: Arc<World>,
    prefix: String,
    portal: String,
}

impl SimExport {
    pub fn new(world: Arc<World>, prefix: String, portal: String) -> Self {
        Self { world, prefix, portal }
    }

    fn faults(&self) -> &Faults {
        &self.world.faults
    }

    async fn look<T>(&self, reader: impl FnOnce(&State) -> T) -> Result<T, ExportError> {
        self.world.wait().await;
        self.world.look(|state| match state.unavailable.get("export") {
            Some(reason) => Err(ExportError::Unavailable { reason: reason.clone() }),
            None => Ok(reader(state)),
        })
    }

    fn target(&self, name: &str, found: &SimTarget, state: &State) -> Option<Target> {
        let (attachment, epoch) = parse_iqn(&self.prefix, name)?;
        let mark = state.marks.get(attachment.as_str()).filter(|mark| mark.epoch == epoch).cloned();
        Some(Target {
            iqn: name.to_owned(),
            attachment,
            epoch,
            path: Some(found.path.clone()),
            initiators: vec![found.initiator.clone()],
            accounts: vec![found.account.clone()],
            sessions: Vec::new(),
            mark,
        })
    }
}

impl From<WorldError> for ExportError {
    fn from(error: WorldError) -> Self {
        ExportError::Unavailable { reason: error.to_string() }
    }
}

#[async_trait]
impl Export for SimExport {
    fn kind(&self) -> &'static str {
        "sim"
    }

    fn portal(&self) -> &str {
        &self.portal
    }

    async fn list(&self) -> Result<Vec<Target>, ExportError> {
        self.look(|state| state.targets.iter().filter_map(|(name, found)| self.target(name, found, state)).collect())
            .await
    }

    async fn recall(&self, attachment: &AttachmentId) -> Result<Option<TargetMark>, ExportError> {
        self.look(|state| state.marks.get(attachment.as_str()).cloned()).await
    }

    async fn ensure(&self, wish: &Wish) -> Result<(), ExportError> {
        self.faults().hit("export:before").await?;
        let name = iqn(&self.prefix, &wish.attachment, wish.epoch);
        let taken = self
            .look(|state| state.targets.iter().any(|(other, found)| *other != name && found.account == wish.chap_user));
        if taken.await? {
            return Err(ExportError::Foreign { what: wish.chap_user.clone() });
        }
        let mark = wish.mark(Stage::Standing { fingerprint: fingerprint(wish) });
        let made = SimTarget {
            path: wish.path.clone(),
            initiator: wish.initiator_iqn.clone(),
            account: wish.chap_user.clone(),
        };
        self.world.change(|state| {
            state.targets.insert(name, made);
            state.marks.insert(wish.attachment.to_string(), mark);
        })?;
        Ok(self.faults().hit("export:after").await?)
    }

    async fn remove(&self, attachment: &AttachmentId, epoch: u64) -> Result<(), ExportError> {
        self.faults().hit("unexport:before").await?;
        self.look(|_| ()).await?;
        self.world.change(|state| state.targets.remove(&iqn(&self.prefix, attachment, epoch)))?;
        Ok(self.faults().hit("unexport:after").await?)
    }

    async fn ensure_fenced(&self, fence: &Fence, standing: &Standing) -> Result<FenceProof, ExportError> {
        self.remove(&fence.attachment, fence.epoch).await?;
        self.faults().hit("fence:removed").await?;
        let name = iqn(&self.prefix, &fence.attachment, fence.epoch);
        let (stands, none) = self.look(|state| (state.targets.contains_key(&name), state.targets.is_empty())).await?;
        // What tgtd answers.
        let answer = match (stands, none) {
            (true, _) => Answer::Open,
            (false, true) => Answer::HungUp,
            (false, false) => Answer::Refused { class: 2, detail: 3 },
        };
        self.faults().hit("fence:refused").await?;
        proof(fence, name, Vec::new(), refusal(Ok(answer), !none), standing)
    }

    async fn forget(&self, mark: &TargetMark) -> Result<(), ExportError> {
        let removed = TargetMark { stage: Stage::Removed, ..mark.clone() };
        self.world.change(|state| state.marks.insert(mark.attachment.to_string(), removed))?;
        Ok(())
    }
}
