//! Copies of the simulated machines' disks: a name that stands for the content, and its digest.
//!
//! Rule: answers what the host's disk would answer. What is half made is gone with the process.

use super::{Sim, Told};
use crate::driver::captures::{Capture, Captures, Report, Taken};
use crate::driver::{DriverError, SeenPower};
use arame_schema::jobs::hva::Moment;
use arame_schema::jobs::report::Retry;
use arame_schema::model::{ImageId, InstanceId};
use async_trait::async_trait;
use sha2::{Digest, Sha256};

/// Of every simulated disk's copy.
const SIZE_BYTES: u64 = 64 << 20;

#[async_trait]
impl Captures for Sim {
    fn url(&self) -> Option<String> {
        Some("http://simulated".into())
    }

    async fn list(&self) -> Told<Vec<Capture>> {
        Ok(self.look(|world| world.captures.values().cloned().collect()))
    }

    async fn find(&self, image: &ImageId) -> Told<Option<Capture>> {
        Ok(self.look(|world| world.captures.get(image).cloned()))
    }

    async fn take(&self, image: &ImageId, instance: &InstanceId, report: Report) -> Told<Taken> {
        report.tell(50);
        self.effect("take_capture", instance, |world| {
            if !world.disks.contains(instance) {
                let message = format!("{instance} has no disk here any more");
                return Err(DriverError::new("capture_machine_gone", message, Retry::Never));
            }
            let sha256 = hex::encode(Sha256::digest(format!("the disk of {instance} as {image}")));
            let is_on = world.domains.get(instance).is_some_and(|domain| domain.power != SeenPower::Off);
            let moment = if is_on { Moment::Running } else { Moment::Off };
            Ok(Taken { sha256, size_bytes: SIZE_BYTES, moment })
        })
        .await
    }

    async fn keep(&self, capture: &Capture) -> Told<()> {
        self.effect("keep_capture", &capture.instance, |world| {
            world.captures.insert(capture.image.clone(), capture.clone());
            Ok(())
        })
        .await
    }

    async fn remove(&self, image: &ImageId, instance: &InstanceId, generation: u64) -> Told<()> {
        self.effect("remove_capture", instance, |world| {
            world.captures.remove(image);
            world.capture_graves.insert(image.clone(), generation);
            Ok(())
        })
        .await
    }

    async fn grave(&self, image: &ImageId) -> Told<Option<u64>> {
        Ok(self.look(|world| world.capture_graves.get(image).copied()))
    }
}
