//! Backups of volumes on the real application and agents, with a simulated store that keeps what was written: of one moment,
//! whole or told why not, and nothing is left of one that was ended, whatever is killed meanwhile.

use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_dcmgr::db::Columns;
use arame_framework::crash::{self, Action};
use arame_schema::api::{BackUpVolume, BackupObject, Code, CreateVolume, Refusal, SetBackupStorage, Volume};
use arame_schema::model::backup::BackupState;
use arame_spec::world::{Size, World};
use arame_sta::faults::{self, Fault};
use std::sync::Arc;

const STA: &str = "sta.s1";

fn told<T>(result: Result<T, Refusal>) -> anyhow::Result<T> {
    result.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
}

fn code<T>(result: Result<T, Refusal>) -> Option<Code> {
    result.map_err(|refusal| refusal.code).err()
}

/// A data center with one volume and a place for backups.
struct Story {
    world: World,
    volume: String,
}

impl Story {
    async fn start() -> anyhow::Result<Story> {
        let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
        let storage = SetBackupStorage {
            id: Some("bkst-local".parse()?),
            storage_type: Some("local".into()),
            ..SetBackupStorage::default()
        };
        told(
            app::backups::create_storage(&world.app, &world.caller("a-demo", arame_schema::api::Role::Admin), storage)
                .await,
        )?;
        let request = CreateVolume {
            volume_size: 64,
            display_name: Some("data".into()),
            backup_object_id: None,
            snapshot_id: None,
            replica_id: None,
        };
        let volume = told(app::volumes::create(&world.app, &world.demo(), request).await)?.id;
        world.volume_in(&volume, "available").await?;
        Ok(Story { world, volume })
    }

    async fn key(&self, volume: &str) -> anyhow::Result<String> {
        let found = self.world.db().rows("SELECT backend_key FROM volumes WHERE id = ?", (volume,)).await?;
        Ok(found.first().context("the row")?.text("backend_key")?)
    }

    /// What the volume's guest would have written.
    async fn write(&self, content: &str) -> anyhow::Result<()> {
        let key = self.key(&self.volume).await?;
        let sta = self.world.storage(STA).context("the storage agent")?;
        sta.world().change(|state| {
            state.volumes.get_mut(&key).map(|volume| content.clone_into(&mut volume.content)).is_some()
        })?;
        Ok(())
    }

    async fn content(&self, volume: &str) -> anyhow::Result<String> {
        let key = self.key(volume).await?;
        let sta = self.world.storage(STA).context("the storage agent")?;
        sta.world().look(|state| state.volumes.get(&key).map(|volume| volume.content.clone())).context("the volume")
    }

    async fn try_backup(&self) -> Result<String, Refusal> {
        let request = BackUpVolume { display_name: Some("nightly".into()), ..BackUpVolume::default() };
        let caller = self.world.demo();
        let made = app::backups::back_up_volume(&self.world.app, &caller, &self.volume, request).await?;
        Ok(made.backup_object_id)
    }

    async fn object(&self, id: &str) -> anyhow::Result<BackupObject> {
        told(app::backups::object(&self.world.app, &self.world.demo(), id).await)
    }

    async fn object_in(&self, id: &str, state: BackupState) -> anyhow::Result<BackupObject> {
        let is = async || Ok(self.object(id).await?.state == state.as_str());
        self.world.until(&format!("{id} is {state}"), is).await?;
        self.object(id).await
    }

    async fn backup(&self) -> anyhow::Result<BackupObject> {
        let id = told(self.try_backup().await)?;
        self.object_in(&id, BackupState::Available).await
    }

    async fn restore(&self, id: &str, size: u64) -> Result<Volume, Refusal> {
        let backup_object_id = Some(id.parse().map_err(|_| Refusal::unknown(id))?);
        let request = CreateVolume {
            volume_size: size,
            display_name: None,
            backup_object_id,
            snapshot_id: None,
            replica_id: None,
        };
        app::volumes::create(&self.world.app, &self.world.demo(), request).await
    }

    /// Snapshots and objects that the storage node has.
    fn left(&self) -> anyhow::Result<(usize, usize)> {
        let sta = self.world.storage(STA).context("the storage agent")?;
        Ok(sta.world().look(|state| (state.snapshots.len(), state.objects.len())))
    }

    async fn no_snapshot_is_left(&self) -> anyhow::Result<()> {
        self.world.until("the backup's snapshot is gone", async || Ok(self.left()?.0 == 0)).await
    }

    async fn delete(&self, id: &str) -> anyhow::Result<()> {
        told(app::backups::delete_object(&self.world.app, &self.world.demo(), id).await)?;
        self.object_in(id, BackupState::Deleted).await.map(drop)
    }

    fn arm(&self, at: &str, action: faults::Action, times: u32) -> anyhow::Result<()> {
        let sta = self.world.storage(STA).context("the storage agent")?;
        sta.world().faults.arm(Fault { at: at.into(), action, times });
        Ok(())
    }

    fn waiting(&self, at: &str) -> anyhow::Result<u32> {
        let sta = self.world.storage(STA).context("the storage agent")?;
        Ok(sta.world().faults.waiting(at))
    }

    async fn ends(self, volumes: &[&str]) -> anyhow::Result<()> {
        for volume in volumes.iter().copied().chain([self.volume.as_str()]) {
            told(app::volumes::delete(&self.world.app, &self.world.demo(), volume).await)?;
            self.world.volume_in(volume, "deleted").await?;
        }
        ensure!(self.left()? == (0, 0), "{:?} snapshots and objects are left", self.left()?);
        self.world.ends_clean().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_backed_up_and_another_begins_with_what_it_held() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("old").await?;
    let object = story.backup().await?;
    story.no_snapshot_is_left().await?;
    story.write("new").await?;
    ensure!(object.size == 64 << 20 && object.checksum.len() == 64 && object.progress == 100.0, "{object:?}");
    ensure!(object.source_volume_id.as_deref() == Some(&story.volume), "{object:?}");

    let made = told(story.restore(&object.id, 0).await)?;
    let restored = story.world.volume_in(&made.id, "available").await?;
    ensure!(restored.size == object.size && restored.backup_object_id.as_deref() == Some(&object.id), "{restored:?}");
    ensure!(story.content(&made.id).await? == "old" && story.content(&story.volume).await? == "new");
    let larger = told(story.restore(&object.id, 128).await)?;
    ensure!(story.world.volume_in(&larger.id, "available").await?.size == 128 << 20);
    ensure!(code(story.restore(&object.id, 32).await) == Some(Code::InvalidParameter), "smaller than what was in it");
    ensure!(code(story.restore("bo-none", 0).await) == Some(Code::UnknownResource));
    story.delete(&object.id).await?;
    ensure!(code(story.restore(&object.id, 0).await) == Some(Code::InvalidBackupState), "a deleted one");
    let restored = [made.id, larger.id];
    story.ends(&restored.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_deleted_while_it_is_made_leaves_nothing() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("data").await?;
    story.arm("copy_backup:before", faults::Action::Hang, 1)?;
    let id = told(story.try_backup().await)?;
    story.world.until("its copy hangs", async || story.waiting("copy_backup:before").map(|left| left == 0)).await?;
    ensure!(code(story.restore(&id, 0).await) == Some(Code::InvalidBackupState), "it is not whole");
    story.delete(&id).await?;
    ensure!(story.left()? == (0, 0), "{:?}", story.left()?);
    story.ends(&[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_deleted_during_its_backup_waits_for_it() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("data").await?;
    story.arm("write_backup:before", faults::Action::Fail, 2)?;
    let id = told(story.try_backup().await)?;
    story.world.until("its snapshot was taken", async || Ok(story.left()?.0 == 1)).await?;
    told(app::volumes::delete(&story.world.app, &story.world.demo(), &story.volume).await)?;
    story.world.volume_in(&story.volume, "deleted").await?;
    story.object_in(&id, BackupState::Available).await?;
    let restored = told(story.restore(&id, 0).await)?.id;
    story.world.volume_in(&restored, "available").await?;
    ensure!(story.content(&restored).await? == "data");
    story.delete(&id).await?;
    Story { volume: restored, ..story }.ends(&[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_cannot_be_written_fails_with_its_reason_and_keeps_no_snapshot() -> anyhow::Result<()> {
    let story = Story::start().await?;
    let sta = story.world.storage(STA).context("the storage agent")?;
    story.arm("write_backup:before", faults::Action::Fail, 99)?;
    let id = told(story.try_backup().await)?;
    let failed = story.object_in(&id, BackupState::Failed).await?;
    ensure!(failed.failure.is_some(), "{failed:?}");
    story.no_snapshot_is_left().await?;
    drop(sta);
    story.delete(&id).await?;
    story.ends(&[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_makes_no_volume_and_says_why() -> anyhow::Result<()> {
    let story = Story::start().await?;
    story.write("data").await?;
    let object = story.backup().await?;
    let sta = story.world.storage(STA).context("the storage agent")?;
    let damage = |text: &'static str| {
        sta.world().change(|state| state.objects.values_mut().for_each(|object| object.content = text.to_owned()))
    };
    damage("lies")?;
    let made = told(story.restore(&object.id, 0).await)?.id;
    let failed = story.world.volume_in(&made, "failed").await?;
    ensure!(failed.failure.as_ref().is_some_and(|why| why.code == "backup_checksum_mismatch"), "{failed:?}");
    let key = story.key(&made).await?;
    ensure!(!sta.world().look(|state| state.volumes.contains_key(&key)), "a volume was made");
    damage("data")?;
    let whole = told(story.restore(&object.id, 0).await)?.id;
    story.world.volume_in(&whole, "available").await?;
    drop(sta);
    story.delete(&object.id).await?;
    story.ends(&[&made, &whole]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_whose_jobs_break_off_anywhere_ends_whole() -> anyhow::Result<()> {
    for kind in ["sta.backup.snapshot", "sta.backup.write", "sta.backup.drop"] {
        for point in ["before_effect", "after_effect"] {
            let story = Story::start().await?;
            story.write("data").await?;
            let armed =
                crash::arm(point, Some(kind), 1, Action::Hook(Arc::new(|_| panic!("killed, as the story asked"))));
            let object = story.backup().await.with_context(|| format!("{kind} {point}"))?;
            story.no_snapshot_is_left().await?;
            drop(armed);
            story.delete(&object.id).await?;
            story.ends(&[]).await?;
        }
    }
    Ok(())
}
