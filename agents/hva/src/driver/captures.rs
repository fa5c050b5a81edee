//! Copies of machines' disks that wait here to become images: a flat qcow2 file of one moment each.
//!
//! ```text
//! the guest runs ─► libvirt's backup job writes the disk as it was when the job began ─┐
//! it is off ─────► qemu-img reads the overlay and its image; nobody may write to it ───┴► measured ─► kept, with its mark
//! ```
//!
//! Rule: no snapshot is ever made of a guest's disk, so none can be left behind. A copy has a name only when all of it is
//! there, with its mark and its measure; what is half made belongs to the process that makes it. It decides nothing.

pub mod disks;
pub mod serve;
mod thaws;

use super::DriverError;
use arame_schema::jobs::hva::Moment;
use arame_schema::model::{ImageId, InstanceId};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

/// A copy that is kept, and what stands in its mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    pub installation: Uuid,
    pub image: ImageId,
    pub instance: InstanceId,
    pub generation: u64,
    /// Of the file.
    pub sha256: String,
    pub size_bytes: u64,
    /// SHA-256 of what a reader has to show.
    pub reader: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
}

/// All of a copy that has no name yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub sha256: String,
    pub size_bytes: u64,
    pub moment: Moment,
}

/// Tells how far a copy is, in per cent.
#[derive(Clone)]
pub struct Report(watch::Sender<u8>);

impl Report {
    pub fn new() -> (Self, watch::Receiver<u8>) {
        let (sender, progress) = watch::channel(0);
        (Self(sender), progress)
    }

    pub fn tell(&self, percent: u8) {
        self.0.send_replace(percent.min(99));
    }
}

#[async_trait]
pub trait Captures: Send + Sync + 'static {
    /// Where they are fetched; `None`: this host makes none.
    fn url(&self) -> Option<String>;

    /// Those that are kept.
    async fn list(&self) -> Result<Vec<Capture>, DriverError>;

    async fn find(&self, image: &ImageId) -> Result<Option<Capture>, DriverError>;

    /// Copies the machine's disk. What a former process left of this copy ends first.
    async fn take(&self, image: &ImageId, instance: &InstanceId, report: Report) -> Result<Taken, DriverError>;

    /// What was taken has its name and its mark; of one that is kept already, only the mark is newer.
    async fn keep(&self, capture: &Capture) -> Result<(), DriverError>;

    /// Nothing is left, also of one that is half made; `generation` is remembered for a day.
    async fn remove(&self, image: &ImageId, instance: &InstanceId, generation: u64) -> Result<(), DriverError>;

    /// The generation a copy was removed with, if lately.
    async fn grave(&self, image: &ImageId) -> Result<Option<u64>, DriverError>;
}
