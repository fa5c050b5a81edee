//! `sta.volume.observe`: says what is there, changes nothing, and so refuses no generation.

use super::{foreign, see_volume};
use crate::agent::Sta;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::jobs::sta::ObserveVolume;

pub async fn run(sta: &Sta, job: ObserveVolume, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    let facts = see_volume(sta, job.volume.as_str(), &job.key, work).await?;
    if facts.is_empty() { Err(foreign(&job.key)) } else { Ok(facts) }
}
