//! Guests whose file systems are held for the moment at which a copy of their disk begins.
//!
//! ```text
//! captures/.frozen-<instance>   there before a guest is asked to hold, gone once it surely does not
//! ```
//!
//! Rule: a guest that is held serves nobody, so whoever dies when, it is let go: by the call that held it, else by this process
//! again and again, else by the next one at its start. A guest that is off, or has no agent any more, holds nothing.

use super::disks::{Told, blocking, io, remove, write_whole};
use crate::driver::libvirt::Libvirt;
use arame_schema::model::InstanceId;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const MARKER: &str = ".frozen-";

/// Between two attempts to let a guest go.
const AGAIN: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Thaws {
    dir: PathBuf,
    libvirt: Arc<Libvirt>,
}

fn marker(dir: &Path, instance: &InstanceId) -> PathBuf {
    dir.join(format!("{MARKER}{instance}"))
}

/// Guests that may be held still.
fn marked(dir: &Path) -> Told<Vec<InstanceId>> {
    let entries = fs::read_dir(dir).map_err(|e| io("cannot list", dir, &e))?.flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.strip_prefix(MARKER)?.parse().ok()).collect())
}

impl Thaws {
    pub fn new(dir: &Path, libvirt: Arc<Libvirt>) -> Self {
        Self { dir: dir.to_owned(), libvirt }
    }

    /// Before a guest is asked to hold.
    pub async fn note(&self, instance: &InstanceId) -> Told<()> {
        let marker = marker(&self.dir, instance);
        blocking(move || write_whole(&marker, b"")).await
    }

    /// Lets a guest go that was noted; what does not work at once is gone on with.
    pub async fn let_go(&self, instance: &InstanceId) {
        if let Err(error) = self.thaw(instance).await {
            tracing::warn!(%error, %instance, "the guest's file systems are not let go yet");
            self.go_on(instance);
        }
    }

    fn go_on(&self, instance: &InstanceId) {
        let (own, instance) = (self.clone(), instance.clone());
        tokio::spawn(async move { own.until_gone(&instance).await });
    }

    /// Lets those go that a former process of this host held. For the start of the agent.
    pub async fn let_all_go(self) {
        let dir = self.dir.clone();
        match blocking(move || marked(&dir)).await {
            // Each by itself: one whose agent does not answer keeps no other held.
            Ok(all) => all.iter().for_each(|instance| self.go_on(instance)),
            Err(error) => tracing::warn!(%error, "guests that may be held are not known"),
        }
    }

    async fn until_gone(&self, instance: &InstanceId) {
        while let Err(error) = self.thaw(instance).await {
            tracing::debug!(%error, %instance, "the guest's file systems are not let go yet");
            tokio::time::sleep(AGAIN).await;
        }
        tracing::info!(%instance, "the guest's file systems are let go");
    }

    async fn thaw(&self, instance: &InstanceId) -> Told<()> {
        self.libvirt.thaw(instance).await?;
        let marker = marker(&self.dir, instance);
        blocking(move || remove(&marker)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_be_held_is_told_by_the_markers_alone() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".frozen-i-held", ".frozen-", ".part-wmi-a", "wmi-a.qcow2", ".frozen-i-held.new"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(marked(folder.path()).unwrap(), ["i-held".parse().unwrap()]);
    }
}
