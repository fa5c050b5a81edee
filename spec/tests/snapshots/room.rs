//! Where a store keeps more than its volumes are large, no volume is placed that would not truly fit, and it is said why.

use super::{STA, Story, told};
use anyhow::{Context, ensure};
use arame_dcmgr::{app, db};
use arame_schema::api::{Code, CreateVolume, Language, Localise, Placement, Refusal, Volume};

/// What the storage node offers in a world of the kit.
const OFFERED_MIB: u64 = 1_000_000;

impl Story {
    async fn try_blank(&self, volume_size: u64) -> Result<Volume, Refusal> {
        let request = CreateVolume {
            volume_size,
            display_name: None,
            backup_object_id: None,
            snapshot_id: None,
            replica_id: None,
        };
        app::volumes::create(&self.world.app, &self.world.demo(), request).await
    }

    /// Until the node told so.
    async fn keeps(&self, mib: u64) -> anyhow::Result<()> {
        let sta = self.world.storage(STA).context("the storage agent")?;
        sta.world().change(|state| state.kept_bytes = mib << 20)?;
        self.world.surveyed(STA).await?;
        let is = async || {
            let node = db::nodes::storage_one(self.world.db(), "sn-s1").await?.context("the node")?;
            Ok(node.kept_disk_space_mb == mib)
        };
        self.world.until("the node told what its store keeps", is).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_store_keeps_beside_its_volumes_is_given_to_no_other() -> anyhow::Result<()> {
    let story = Story::start().await?;
    // The story's volume has 64 of the 100.
    story.keeps(OFFERED_MIB - 100).await?;
    let refused = story.try_blank(48).await.err().context("more than is left")?;
    ensure!(refused.code == Code::OutOfStorageCapacity, "{refused:?}");
    let mut why: Placement = serde_json::from_value(*refused.detail.clone().context("verdicts")?)?;
    let broken: Vec<_> = why.verdicts.iter().flat_map(|one| &one.rules).filter(|rule| !rule.ok).collect();
    ensure!(broken.len() == 1 && broken[0].rule == "disk_left", "by the rows it would fit: {broken:?}");
    ensure!((broken[0].needed.as_str(), broken[0].had.as_str()) == ("48 MiB", "36 MiB"), "{broken:?}");
    for language in [Language::En, Language::Ja] {
        why.localise(language);
        let change = why.smallest_change.as_ref().context("the smallest change")?;
        ensure!(change.code == "storage_kept" && change.sentence.contains("999900 MiB"), "{change:?}");
    }
    let fits = told(story.try_blank(32).await)?.id;
    story.world.volume_in(&fits, "available").await?;
    ensure!(story.try_blank(8).await.is_err(), "4 MiB are left");
    story.keeps(0).await?;
    let after = told(story.try_blank(48).await)?.id;
    story.world.volume_in(&after, "available").await?;
    for volume in [fits, after] {
        told(app::volumes::delete(&story.world.app, &story.world.demo(), &volume).await)?;
        story.world.volume_in(&volume, "deleted").await?;
    }
    story.ends().await
}
