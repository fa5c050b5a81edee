//! The one step: look at a thing's wish and facts, ask its plan, queue the next job (DESIGN 3.3, 3.4).
//!
//! Handler, outcome, inventory, hello and timer all end here. The transaction that queues a job writes *maybe* for
//! the facts the job will touch, and the state that users see follows from the facts in the same transaction.

pub mod attachment;
pub mod backup;
pub mod capture;
pub mod image;
pub mod instance;
pub mod interface;
pub mod moving;
pub mod replica;
pub mod snapshot;
pub mod volume;
pub mod volume_snapshot;

use super::{AppError, Ring, Ringing};
use crate::db::{self, Tx};
use crate::plan::{Kind, Step, Wanted, step};
use arame_schema::limits::{JOB_BUDGET_MAX, JOB_BUDGET_SHORT};
use uuid::Uuid;

/// Why a thing is advanced: carried to the job and the timeline.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cause {
    pub request: Option<Uuid>,
    /// Attempt of the job to be queued: 1, or one more than the attempt that failed.
    pub attempt: u32,
    pub delay_ms: u64,
}

impl Cause {
    pub fn request(request: Uuid) -> Self {
        Cause { request: Some(request), attempt: 1, delay_ms: 0 }
    }

    pub fn fact() -> Self {
        Cause { request: None, attempt: 1, delay_ms: 0 }
    }
}

/// A thing at an agent.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    pub thing: &'a str,
    pub agent: &'a str,
    pub account: Option<&'a str>,
}

/// How long a kind of job may take.
fn budget_ms(kind: Kind) -> u64 {
    let budget = match kind {
        Kind::ApplyInstance
        | Kind::ReceiveInstance
        | Kind::SendInstance
        | Kind::TakeCapture
        | Kind::ImportImage
        | Kind::CreateVolume
        | Kind::RollBackVolume
        | Kind::CreateSnapshot
        | Kind::ReceiveReplica
        | Kind::SnapshotBackup
        | Kind::WriteBackup => JOB_BUDGET_MAX,
        Kind::DeleteInstance
        | Kind::RebootInstance
        | Kind::ObserveInstance
        | Kind::KeepInstance
        | Kind::ResumeInstance
        | Kind::DropCapture
        | Kind::ApplyPolicy
        | Kind::DeleteImage
        | Kind::DeleteVolume
        | Kind::ObserveVolume
        | Kind::ExportVolume
        | Kind::UnexportVolume
        | Kind::FenceVolume
        | Kind::MarkVolume
        | Kind::DeleteSnapshot
        | Kind::ObserveSnapshot
        | Kind::OfferSnapshot
        | Kind::DeleteReplica
        | Kind::ObserveReplica
        | Kind::DropBackup
        | Kind::DeleteBackup
        | Kind::ObserveBackup
        | Kind::ApplyNetwork
        | Kind::DeleteNetwork => JOB_BUDGET_SHORT,
    };
    u64::try_from(budget.as_millis()).unwrap_or(u64::MAX)
}

/// Makes the open job of a (thing, agent) the wanted one. Answers the job that was queued, if one was.
async fn queue(
    tx: &mut Tx,
    ringing: &mut Ringing,
    at: At<'_>,
    wanted: Option<Wanted>,
    operation: Option<Uuid>,
    cause: Cause,
) -> Result<Option<Wanted>, AppError> {
    let open = db::jobs::open_of(tx, at.thing, at.agent).await?;
    let wanted = match step(open.map(|(_, open)| open), wanted) {
        Step::Nothing => return Ok(None),
        Step::Insert(wanted) => wanted,
        Step::Supersede(wanted) => {
            if let Some((id, old)) = open {
                db::jobs::close(tx, id, "superseded", None).await?;
                let values = [("kind", old.kind.to_string()), ("agent", at.agent.to_owned())];
                let event = db::events::NewEvent {
                    account: at.account,
                    resource: at.thing,
                    code: "job_superseded",
                    values: &values,
                    job: Some(id),
                    request: cause.request,
                };
                db::events::insert(tx, &event).await?;
            }
            wanted
        }
    };
    let id = crate::rehearsal::uuid_v7();
    let job = db::jobs::NewJob {
        id,
        kind: wanted.kind,
        thing: at.thing,
        agent: at.agent,
        account: at.account,
        generation: wanted.generation,
        operation,
        attempt: cause.attempt.max(1),
        delay_ms: cause.delay_ms,
        budget_ms: budget_ms(wanted.kind),
        request: cause.request,
    };
    db::jobs::insert(tx, &job).await?;
    if cause.delay_ms == 0 {
        let is_snapshot = matches!(wanted.kind, Kind::ApplyNetwork | Kind::ApplyPolicy);
        let snapshot = is_snapshot.then(|| (at.thing.to_owned(), at.agent.to_owned()));
        ringing.add(Ring { job: id, snapshot });
    }
    Ok(Some(wanted))
}
