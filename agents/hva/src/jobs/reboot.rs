//! `hva.instance.reboot`: once, under an operation id written on the domain before the reset.
//!
//! Rule: at most once. Found with the same id it is done without acting; killed between mark and reset it did not
//! happen, and that is an honest answer (DESIGN 3.8).

use super::{effect, facts, find};
use crate::Hva;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::hva::RebootInstance;
use arame_schema::jobs::report::{FactReport, Retry};

pub async fn reboot(hva: &Hva, job: &RebootInstance, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let found = find(hva, &job.instance).await?;
    found.admit(work)?;
    let Some(domain) = found.domain else {
        let message = format!("{} has no domain on this host", job.instance);
        return Err(Stopped::failed("domain_missing", message, Retry::Later));
    };
    if domain.mark.operation != Some(job.operation) {
        work.check()?;
        effect(work, hva.compute.reboot(&job.instance, job.operation)).await?;
    }
    Ok(facts(hva, work, &job.instance).await?)
}
