//! `sta.snapshot.observe`: says what is there, changes nothing, and so refuses no generation.

use super::{foreign, see_snapshot};
use crate::agent::Sta;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::jobs::sta::ObserveSnapshot;

pub async fn run(sta: &Sta, job: ObserveSnapshot, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let facts = see_snapshot(sta, &job.snapshot, (&job.volume_key, &job.key), work).await?;
    if facts.is_empty() { Err(foreign(&job.key)) } else { Ok(facts) }
}
