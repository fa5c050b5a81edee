//! The agent's introduction: who it is, read once; when to say it again.
//!
//! Rule: one nonce per process, ordered by the moment the process began: a hello of a dead one that arrives late is told
//! from its successor's. A welcome with another nonce and a higher incarnation means that another process
//! joined under this id: the older one, this, has to go.

use super::Context;
use crate::agent::Profile;
use crate::config::Common;
use crate::rehearsal;
use anyhow::Context as _;
use arame_schema::jobs::report::Hello;
use arame_schema::limits::WIRE_VERSION;
use arame_schema::model::Secret;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Repeated until the welcome comes.
pub(super) const HELLO_INTERVAL: Duration = Duration::from_secs(2);

/// After a hello that could not be sent: first pause, doubled up to [`HELLO_INTERVAL`].
const RETRY: Duration = Duration::from_millis(100);

pub(super) struct Identity {
    pub nonce: Uuid,
    key: Secret,
    machine_id: String,
}

impl Identity {
    /// # Errors
    /// An unreadable key.
    pub fn read(common: &Common) -> anyhow::Result<Self> {
        let path = &common.key_file;
        let key = std::fs::read_to_string(path).with_context(|| format!("cannot read the key {}", path.display()))?;
        let key = Secret::new(key.trim());
        anyhow::ensure!(!key.expose().is_empty(), "the key file {} is empty", path.display());
        Ok(Self { nonce: rehearsal::uuid_v7(), key, machine_id: machine_id(&common.state_dir)? })
    }

    pub fn hello(&self, context: &Context, profile: Profile, last_incarnation: u64) -> Hello {
        Hello {
            v: WIRE_VERSION,
            agent: context.id.clone(),
            kind: context.id.kind(),
            nonce: self.nonce,
            key: self.key.clone(),
            machine_id: self.machine_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kinds: profile.kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            highest_epoch: context.keeps.epoch(),
            last_incarnation,
            capacity: profile.capacity,
            endpoints: profile.endpoints,
        }
    }
}

/// The state directory's own word first (several simulated hosts share a machine), then the machine's, then one made
/// here and kept.
fn machine_id(state_dir: &Path) -> anyhow::Result<String> {
    let own = state_dir.join("machine_id");
    for path in [own.as_path(), Path::new("/etc/machine-id")] {
        if let Ok(text) = std::fs::read_to_string(path)
            && !text.trim().is_empty()
        {
            return Ok(text.trim().to_owned());
        }
    }
    let made = rehearsal::uuid_v4().simple().to_string();
    std::fs::write(&own, format!("{made}\n")).with_context(|| format!("cannot write {}", own.display()))?;
    Ok(made)
}

/// When the next hello is due. `None` while nothing is awaited.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pub due: Option<Instant>,
    failures: u32,
}

impl Schedule {
    pub fn begin(&mut self) {
        *self = Self { due: Some(Instant::now()), failures: 0 };
    }

    pub fn is_awaiting(&self) -> bool {
        self.due.is_some()
    }

    pub fn welcomed(&mut self) {
        *self = Self::default();
    }

    pub fn sent(&mut self) {
        self.due = Some(Instant::now() + HELLO_INTERVAL);
    }

    pub fn failed(&mut self) {
        if self.due.is_some() {
            let pause = RETRY * 2u32.saturating_pow(self.failures.min(8));
            self.due = Some(Instant::now() + pause.min(HELLO_INTERVAL));
            self.failures += 1;
        }
    }
}
