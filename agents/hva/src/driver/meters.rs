//! What guests use, as the drivers count it.
//!
//! Rule: one bounded call reads all guests; one that hangs is not joined by a second. Only guests of ours that run are
//! answered, and only what was really counted.

use super::DriverError;
use arame_schema::jobs::figures::Totals;
use arame_schema::model::InstanceId;
use async_trait::async_trait;

#[async_trait]
pub trait Meters: Send + Sync + 'static {
    /// The counters of every guest that runs.
    async fn read(&self) -> Result<Vec<(InstanceId, Totals)>, DriverError>;
}
