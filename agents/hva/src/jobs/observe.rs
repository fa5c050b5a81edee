//! `hva.instance.observe`: look again; change nothing.

use super::facts;
use crate::Hva;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::report::FactReport;
use arame_schema::model::InstanceId;

pub async fn observe(hva: &Hva, instance: &InstanceId, work: &Work) -> Result<Vec<FactReport>, Stopped> {
    Ok(facts(hva, work, instance).await?)
}
