//! The simulated host's disk: records, disks that are or are not, what a guest wrote.

use super::{Sim, Told};
use crate::driver::Store;
use crate::policy::Policy;
use crate::records::Record;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::hva::BootDisk;
use arame_schema::jobs::report::Retry;
use arame_schema::model::InstanceId;
use async_trait::async_trait;
use std::path::PathBuf;

#[async_trait]
impl Store for Sim {
    async fn read(&self, instance: &InstanceId) -> Told<Option<Record>> {
        Ok(self.look(|world| world.records.get(instance).cloned()))
    }

    async fn write(&self, record: &Record) -> Told<()> {
        self.effect("write_record", &record.instance, |world| {
            world.records.insert(record.instance.clone(), record.clone());
            Ok(())
        })
        .await
    }

    async fn list(&self) -> Told<Vec<Record>> {
        Ok(self.look(|world| world.records.values().cloned().collect()))
    }

    async fn ensure_disk(&self, instance: &InstanceId, boot: &BootDisk, work: &Work) -> Result<(), Stopped> {
        work.check()?;
        work.progress(50, format!("image {} 50 %", boot.image));
        if boot.url.is_none() && !self.look(|world| world.disks.contains(instance)) {
            let message = format!("no storage node has image {}", boot.image);
            return Err(Stopped::failed("image_unavailable", message, Retry::Later));
        }
        let made = self.effect("ensure_disk", instance, |world| {
            world.disks.insert(instance.clone());
            Ok(())
        });
        tokio::select! {
            biased;
            made = made => Ok(made?),
            () = work.cancelled().cancelled() => Err(Stopped::Overtaken { facts: Vec::new() }),
        }
    }

    async fn has_disk(&self, instance: &InstanceId) -> Told<bool> {
        Ok(self.look(|world| world.disks.contains(instance)))
    }

    /// A simulated guest reads none.
    async fn ensure_seed(&self, _: &Record) -> Told<()> {
        Ok(())
    }

    async fn discard_disk(&self, instance: &InstanceId) -> Told<()> {
        self.effect("discard_disk", instance, |world| {
            world.disks.remove(instance);
            Ok(())
        })
        .await
    }

    async fn bury(&self, instance: &InstanceId, generation: u64) -> Told<()> {
        self.effect("bury", instance, |world| {
            world.bury(instance, generation);
            Ok(())
        })
        .await
    }

    async fn grave(&self, instance: &InstanceId) -> Told<Option<u64>> {
        Ok(self.look(|world| world.grave(instance)))
    }

    fn disk_path(&self, instance: &InstanceId) -> PathBuf {
        PathBuf::from(format!("/sim/{instance}/disk.qcow2"))
    }

    fn seed_path(&self, instance: &InstanceId) -> PathBuf {
        PathBuf::from(format!("/sim/{instance}/seed.img"))
    }

    fn console_path(&self, instance: &InstanceId) -> PathBuf {
        PathBuf::from(format!("/sim/{instance}/console.log"))
    }

    async fn console_tail(&self, instance: &InstanceId, bytes: usize) -> Told<String> {
        let text = self.look(|world| world.console(instance));
        let from = text.len().saturating_sub(bytes);
        Ok(text.get(from..).unwrap_or_default().to_owned())
    }

    async fn keep_policy(&self, policy: &Policy) -> Told<()> {
        self.change(|world| world.policy = policy.clone()).await
    }
}
