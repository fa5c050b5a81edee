//! Guests that ended although they are to run: what a look at a host says of it, and what follows by the instance's policy.
//!
//! Rule: a death is counted once, when its guest was surely running before or was started by the very job that answers; an
//! old end that is seen again is none. What follows is the plan's decision; here its rows and its timeline are written.

use super::AppError;
use crate::db::events::NewEvent;
use crate::db::instances::InstanceRow;
use crate::db::{self, Tx};
use crate::plan::restart::{After, DEATHS_MAX, after_death};
use arame_schema::jobs::report::FactReport;
use arame_schema::model::instance::{DesiredInstance, Shutdown};
use arame_schema::model::restart::EndedBy;
use arame_schema::model::{Fact, FactName};

/// How a guest that is seen off ended.
pub(super) fn ended_by(report: &FactReport) -> Option<EndedBy> {
    if report.name != FactName::Power || report.value != Fact::No {
        return None;
    }
    EndedBy::parse(report.detail.as_ref()?.get(EndedBy::KEY)?.as_str()?)
}

/// What follows; answers how long its next start has to wait.
pub(super) async fn weigh(tx: &mut Tx, id: &str, by: EndedBy) -> Result<u64, AppError> {
    let Some(row) = db::instances::lock(tx, id).await? else { return Ok(0) };
    if row.desired != DesiredInstance::On {
        return Ok(0);
    }
    match by {
        EndedBy::Guest => {
            // Told to by somebody inside: it is halted, not started again.
            db::instances::set_desired(tx, id, DesiredInstance::Off, Shutdown::Soft).await?;
            tell(tx, &row, "guest_shut_down", &[]).await?;
            Ok(0)
        }
        EndedBy::Death => died(tx, &row).await,
    }
}

async fn died(tx: &mut Tx, row: &InstanceRow) -> Result<u64, AppError> {
    let deaths = db::instances::count_death(tx, &row.id).await?;
    let count = ("count", deaths.to_string());
    match after_death(row.restart_policy, deaths) {
        After::Start { pause_ms } => {
            db::instances::set_rest(tx, &row.id, pause_ms).await?;
            let seconds = ("seconds", (pause_ms / 1000).to_string());
            tell(tx, row, "guest_died", &[count, seconds]).await?;
            Ok(pause_ms)
        }
        After::Halt => {
            db::instances::set_desired(tx, &row.id, DesiredInstance::Off, Shutdown::Hard).await?;
            tell(tx, row, "guest_died_and_stays_off", &[]).await?;
            Ok(0)
        }
        After::GiveUp => {
            let message = format!("it died {deaths} times in a row, more than {DEATHS_MAX}");
            db::instances::set_failure(tx, &row.id, Some(("guest_keeps_dying", &message)), true).await?;
            tell(tx, row, "guest_keeps_dying", &[count]).await?;
            Ok(0)
        }
    }
}

async fn tell(tx: &mut Tx, row: &InstanceRow, code: &str, values: &[(&str, String)]) -> Result<(), AppError> {
    let event = NewEvent { account: Some(&row.account), resource: &row.id, code, values, job: None, request: None };
    Ok(db::events::insert(tx, &event).await?)
}
