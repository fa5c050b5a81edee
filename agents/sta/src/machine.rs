//! What this storage node's machine is busy with, beside the room of its store.
//!
//! Rule: it does not look at the store, which may hang: the room is what the last inventory or job saw.

use crate::agent::Health;
use crate::config::{StaConfig, StoreKind};
use arame_framework::machine::{self, Machine, Meter, Simulated};
use arame_framework::rehearsal;
use arame_schema::jobs::figures::{DiskNow, MachineTotals};
use async_trait::async_trait;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// What a simulated storage node has: a small server.
const PRETENDED_CORES: u32 = 8;
const PRETENDED_MEMORY_BYTES: u64 = 32 << 30;

struct Own {
    health: Arc<RwLock<Health>>,
    /// Instead of this machine.
    pretended: Option<Simulated>,
}

impl Own {
    fn disk(&self) -> Option<DiskNow> {
        let room = self.health.read().unwrap_or_else(PoisonError::into_inner).room;
        (room.total_bytes > 0).then_some(DiskNow { bytes: room.total_bytes, free_bytes: room.free_bytes })
    }
}

#[async_trait]
impl Meter for Own {
    async fn read(&self) -> Result<MachineTotals, String> {
        let disk = self.disk();
        match &self.pretended {
            Some(pretended) => Ok(pretended.totals(disk)),
            None => rehearsal::blocking(move || machine::look(|| disk)).await.map_err(|error| error.to_string())?,
        }
    }
}

/// The machine of a storage node, read from now on.
pub(crate) fn watched(config: &StaConfig, health: Arc<RwLock<Health>>) -> Arc<Machine> {
    let pretend = || Simulated::new(&config.node, PRETENDED_CORES, PRETENDED_MEMORY_BYTES);
    let pretended = (config.store == StoreKind::Sim).then(pretend);
    Machine::watched(Duration::from_secs(config.figures_every_seconds.max(1)), Arc::new(Own { health, pretended }))
}
