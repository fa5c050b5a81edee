//! What a move of a guest would have to carry and over what, as the drivers measure it.
//!
//! Rule: nothing stops or slows the guest; every measure is bounded in time and bytes and leaves nothing behind. What was
//! not measured is an error, never a guess.

use super::DriverError;
use arame_schema::jobs::forecast::{GuestLoad, LinkEnd, LinkRate};
use arame_schema::model::{HostNodeId, InstanceId};
use async_trait::async_trait;
use std::collections::BTreeMap;

/// The other end of a link to be measured.
#[derive(Debug, Clone)]
pub struct LinkTo {
    pub host: HostNodeId,
    /// Where that host takes guests, as it told in its hello.
    pub endpoints: BTreeMap<String, String>,
    pub end: LinkEnd,
}

#[async_trait]
pub trait Gauges: Send + Sync + 'static {
    /// What the running guest is and does, looked at for about a second. `Ok(None)`: no guest runs.
    async fn load(&self, instance: &InstanceId) -> Result<Option<GuestLoad>, DriverError>;

    /// Opens an end that takes one measure and closes by itself, within seconds.
    async fn open_link(&self) -> Result<LinkEnd, DriverError>;

    /// What the way to the other end carries: at most some MiB, for less than half a second.
    async fn measure_link(&self, to: &LinkTo) -> Result<LinkRate, DriverError>;
}
