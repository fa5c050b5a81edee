//! What simulated guests are and do, and what the links between simulated hosts carry: the same for the same names each time.
//!
//! ```text
//! <trunk>/links/<host>.<word>   made by the host that opened an end; removed by who measures, or with its host's next end
//! ```
//!
//! Rule: as on a real host a link is measured only to an end that was opened, and once.

use super::meters::{number, rate};
use super::{Point, Sim, Told, lock};
use crate::driver::gauges::{Gauges, LinkTo};
use crate::driver::{DriverError, SeenPower};
use arame_framework::rehearsal;
use arame_schema::jobs::forecast::{GuestLoad, LinkEnd, LinkRate};
use arame_schema::jobs::report::Retry;
use arame_schema::model::InstanceId;
use async_trait::async_trait;
use std::path::{Path, PathBuf};

/// A second of a simulated link, unless its configuration says otherwise: that of 10 Gbit/s, nearly full.
pub const LINK_BYTES_PER_SECOND: u64 = 1 << 30;

/// The least that a simulated guest changes of its memory in a second; none changes twice as much.
const DIRTY_LEAST: u64 = 1 << 20;

/// QEMU's own limit, unless told otherwise.
const PAUSE_LIMIT_MS: u64 = 300;

const PORT: u16 = 49_215;

fn broken(path: &Path, error: &std::io::Error) -> DriverError {
    DriverError::new("host_disk_error", format!("{}: {error}", path.display()), Retry::Later)
}

/// The folder of the ends that are open, on a trunk.
const LINKS: &str = "links";

/// The ends whose names are like this.
fn ends(dir: &Path, like: impl Fn(&str) -> bool) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&like) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Those of a host that were opened before and that nobody came to.
fn sweep(dir: &Path, host: &str) -> std::io::Result<()> {
    let own = format!("{host}.");
    for path in ends(dir, |name| name.starts_with(&own))? {
        // Who measures may have been quicker.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

#[async_trait]
impl Gauges for Sim {
    async fn load(&self, instance: &InstanceId) -> Told<Option<GuestLoad>> {
        self.fault(Point::BeforeEffect, "measure_load", Some(instance.as_str())).await?;
        let found = self.look(|world| {
            let runs = world.domains.get(instance).is_some_and(|domain| domain.power != SeenPower::Off);
            runs.then(|| world.records.get(instance).map_or(256, |record| record.memory_mib))
        });
        Ok(found.map(|mib| {
            let name = instance.as_str();
            let dirty = rate(name, DIRTY_LEAST);
            GuestLoad {
                memory_bytes: (mib << 20) * 3 / 4,
                disk_bytes: (number(name) % 64 + 1) << 20,
                dirty_bytes_per_second: dirty,
                dirty_error_bytes_per_second: dirty / 10,
                written_bytes_per_second: rate(name, 3) * 4096,
                pause_limit_ms: PAUSE_LIMIT_MS,
                limit_bytes_per_second: None,
            }
        }))
    }

    async fn open_link(&self) -> Told<LinkEnd> {
        self.fault(Point::BeforeEffect, "open_link", None).await?;
        let (dir, host) = (self.trunk()?.join(LINKS), &self.inner.host);
        let mut bytes = [0; 16];
        rehearsal::fill_bytes(&mut bytes);
        let end = LinkEnd { port: PORT, word: hex::encode(bytes) };
        let made = std::fs::create_dir_all(&dir).and_then(|()| sweep(&dir, host));
        let made = made.and_then(|()| std::fs::write(dir.join(format!("{host}.{}", end.word)), []));
        made.map_err(|e| broken(&dir, &e))?;
        Ok(end)
    }

    async fn measure_link(&self, to: &LinkTo) -> Told<LinkRate> {
        self.fault(Point::BeforeEffect, "measure_link", None).await?;
        let (dir, word) = (self.trunk()?.join(LINKS), format!(".{}", to.end.word));
        let open = ends(&dir, |name| name.ends_with(&word)).unwrap_or_default();
        let taken = open.first().is_some_and(|end| std::fs::remove_file(end).is_ok());
        if !taken {
            let message = format!("{} opened no such end", to.host);
            return Err(DriverError::new("link_unreachable", message, Retry::Later));
        }
        let rate = *lock(&self.inner.link_bytes_per_second);
        Ok(LinkRate {
            bytes_per_second: rate,
            slowest_bytes_per_second: rate - rate / 10,
            fastest_bytes_per_second: rate + rate / 10,
            carried_bytes: rate.min(16 << 20),
        })
    }
}
