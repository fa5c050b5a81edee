//! Machines that become images, and copies of backups and images elsewhere, on the real application and agents with simulated
//! backends: whole or told why not, and nothing is left of what was ended, whatever is killed meanwhile.

use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_framework::crash::{self, Action};
use arame_hva::driver::captures::Captures;
use arame_hva::driver::sim::{Action as SimAction, FailsAs, Fault, Point, Sim};
use arame_schema::api::{
    BackUpInstance, BackUpVolume, BackupObject, Code, CopyTo, CreateInstance, CreateVolume, Image, InstanceBackup,
    Refusal, Role, SetBackupStorage,
};
use arame_schema::model::instance::{InstanceState, Shutdown};
use arame_spec::world::{Size, World};
use std::sync::Arc;

const HVA: &str = "hva.h1";

fn told<T>(result: Result<T, Refusal>) -> anyhow::Result<T> {
    result.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
}

fn code<T>(result: Result<T, Refusal>) -> Option<Code> {
    result.map_err(|refusal| refusal.code).err()
}

/// A data center with one running machine and a place for backups at each storage node.
struct Story {
    world: World,
    machine: String,
}

impl Story {
    async fn start(storage: usize) -> anyhow::Result<Story> {
        let world = World::start(Size { hosts: 1, storage, ..Size::default() }).await?;
        let local = SetBackupStorage {
            id: Some("bkst-local".parse()?),
            storage_type: Some("local".into()),
            ..SetBackupStorage::default()
        };
        told(app::backups::create_storage(&world.app, &world.caller("a-demo", Role::Admin), local).await)?;
        let machine = world.launch("web1").await?.id;
        world.instance_in(&machine, InstanceState::Running).await?;
        Ok(Story { world, machine })
    }

    fn host(&self) -> anyhow::Result<Sim> {
        self.world.hypervisor(HVA).context("the host")
    }

    async fn try_backup(&self, all: bool) -> Result<InstanceBackup, Refusal> {
        self.backup_with_key(all, None).await
    }

    async fn backup_with_key(&self, all: bool, key: Option<&str>) -> Result<InstanceBackup, Refusal> {
        let request =
            BackUpInstance { display_name: Some("golden".into()), all: Some(all), ..BackUpInstance::default() };
        let caller = app::Caller { idempotency_key: key.map(str::to_owned), ..self.world.demo() };
        app::instances::imaging::back_up(&self.world.app, &caller, &self.machine, request).await
    }

    async fn image(&self, id: &str) -> anyhow::Result<Image> {
        told(app::images::get(&self.world.app, &self.world.demo(), id).await)
    }

    async fn image_in(&self, id: &str, state: &str) -> anyhow::Result<Image> {
        self.world.until(&format!("{id} is {state}"), async || Ok(self.image(id).await?.state == state)).await?;
        self.image(id).await
    }

    async fn object_in(&self, id: &str, state: &str) -> anyhow::Result<BackupObject> {
        let object = async || told(app::backups::object(&self.world.app, &self.world.demo(), id).await);
        self.world.until(&format!("{id} is {state}"), async || Ok(object().await?.state == state)).await?;
        object().await
    }

    async fn no_copy_is_left(&self) -> anyhow::Result<()> {
        let host = self.host()?;
        let none = async || Ok(host.list_captures().await?.is_empty());
        self.world.until("the host has no copy any more", none).await
    }

    async fn delete_image(&self, id: &str) -> anyhow::Result<()> {
        told(app::images::delete(&self.world.app, &self.world.demo(), id).await)?;
        self.image_in(id, "deleted").await.map(drop)
    }

    async fn delete_object(&self, id: &str) -> anyhow::Result<()> {
        told(app::backups::delete_object(&self.world.app, &self.world.demo(), id).await)?;
        self.object_in(id, "deleted").await.map(drop)
    }

    async fn delete_machine(&self, id: &str) -> anyhow::Result<()> {
        told(app::instances::delete(&self.world.app, &self.world.demo(), id).await)?;
        self.world.instance_in(id, InstanceState::Terminated).await.map(drop)
    }

    fn arm(&self, verb: &str, action: SimAction, times: u32) -> anyhow::Result<()> {
        self.host()?.inject(Fault {
            kind: Some(verb.into()),
            thing: None,
            point: Point::BeforeEffect,
            action,
            times,
            fails_as: FailsAs::Simulated,
        });
        Ok(())
    }

    async fn ends(self) -> anyhow::Result<()> {
        self.no_copy_is_left().await?;
        self.world.ends_clean().await
    }
}

/// Of the captures of a simulated host, without the trait's other names.
trait Kept {
    async fn list_captures(&self) -> anyhow::Result<Vec<String>>;
}

impl Kept for Sim {
    async fn list_captures(&self) -> anyhow::Result<Vec<String>> {
        let kept = Captures::list(self).await.map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(kept.into_iter().map(|one| one.image.to_string()).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_becomes_an_image_from_which_another_starts_whether_it_runs_or_not() -> anyhow::Result<()> {
    let story = Story::start(1).await?;
    let mut checksums = Vec::new();
    for halted in [false, true] {
        if halted {
            let demo = story.world.demo();
            told(app::instances::power_off(&story.world.app, &demo, &story.machine, Shutdown::Hard).await)?;
            story.world.instance_in(&story.machine, InstanceState::Halted).await?;
        }
        let made = told(story.try_backup(false).await)?;
        ensure!(made.instance_id == story.machine && made.backup_object_ids.len() == 1, "{made:?}");
        let image = story.image_in(&made.image_id, "available").await?;
        ensure!(image.checksum.len() == 64 && image.size > 0 && image.file_format == "qcow2", "{image:?}");
        ensure!(image.parent_image_id.as_deref() == Some("wmi-tiny"), "{image:?}");
        ensure!(image.backup_object_id == made.backup_object_id, "{image:?}");
        let told_of = format!("SELECT code FROM events WHERE resource = '{}' AND code LIKE 'copied%'", made.image_id);
        let codes = story.world.db().rows(told_of, ()).await?;
        let kind: String = codes.first().context("what kind of copy it is")?.get(0).context("a code")?;
        ensure!(codes.len() == 1 && kind == if halted { "copied_off" } else { "copied_running" }, "{kind}");
        story.no_copy_is_left().await?;
        let object = made.backup_object_id.context("its backup")?;
        let object = story.object_in(&object, "available").await?;
        ensure!(
            object.copied_from.as_deref() == Some(&made.image_id) && object.source_volume_id.is_none(),
            "{object:?}"
        );
        let of_image = CreateVolume {
            volume_size: 0,
            display_name: None,
            backup_object_id: object.id.parse().ok(),
            snapshot_id: None,
            replica_id: None,
        };
        let refused = app::volumes::create(&story.world.app, &story.world.demo(), of_image).await;
        ensure!(code(refused) == Some(Code::InvalidBackupState), "an image's file is no volume");

        let hostname = if halted { "from-halted" } else { "from-running" };
        let request = CreateInstance { image_id: made.image_id.parse()?, ..World::request(hostname) };
        let second = told(app::instances::create(&story.world.app, &story.world.demo(), request).await)?.id;
        story.world.instance_in(&second, InstanceState::Running).await?;
        let used = app::images::delete(&story.world.app, &story.world.demo(), &made.image_id).await;
        ensure!(code(used) == Some(Code::ResourceInUse), "a machine is made of it");
        story.delete_machine(&second).await?;
        story.delete_object(&object.id).await?;
        story.delete_image(&made.image_id).await?;
        checksums.push(image.checksum);
    }
    ensure!(checksums[0] != checksums[1], "each is of its own moment");
    story.delete_machine(&story.machine).await?;
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_volumes_a_machine_is_backed_up_as_a_whole_and_not_twice_at_a_time() -> anyhow::Result<()> {
    let story = Story::start(1).await?;
    let request = CreateVolume {
        volume_size: 32,
        display_name: Some("data".into()),
        backup_object_id: None,
        snapshot_id: None,
        replica_id: None,
    };
    let volume = told(app::volumes::create(&story.world.app, &story.world.demo(), request).await)?.id;
    story.world.volume_in(&volume, "available").await?;
    told(app::volumes::attach(&story.world.app, &story.world.demo(), &volume, &story.machine).await)?;
    story.world.volume_in(&volume, "attached").await?;
    story.arm("take_capture", SimAction::Hang, 1)?;
    let made = told(story.backup_with_key(true, Some("one")).await)?;
    ensure!(made.backup_object_ids.len() == 2, "{made:?}");
    ensure!(told(story.backup_with_key(true, Some("one")).await)? == made, "the same request again is told the same");
    ensure!(code(story.try_backup(false).await) == Some(Code::ResourceInUse), "one copy at a time");
    let of_volume = made.backup_object_ids.iter().find(|id| Some(*id) != made.backup_object_id.as_ref());
    let of_volume = story.object_in(of_volume.context("the volume's")?, "available").await?;
    ensure!(of_volume.source_volume_id.as_deref() == Some(&volume), "{of_volume:?}");
    // The hang ends, and the copy is made all the same.
    story.image_in(&made.image_id, "available").await?;
    for object in &made.backup_object_ids {
        story.object_in(object, "available").await?;
        story.delete_object(object).await?;
    }
    story.no_copy_is_left().await?;
    story.delete_image(&made.image_id).await?;
    story.delete_machine(&story.machine).await?;
    told(app::volumes::delete(&story.world.app, &story.world.demo(), &volume).await)?;
    story.world.volume_in(&volume, "deleted").await?;
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_deleted_while_its_machine_is_copied_leaves_nothing() -> anyhow::Result<()> {
    let story = Story::start(1).await?;
    story.arm("take_capture", SimAction::Hang, 1)?;
    let made = told(story.try_backup(false).await)?;
    let object = made.backup_object_id.context("its backup")?;
    told(app::images::delete(&story.world.app, &story.world.demo(), &made.image_id).await)?;
    story.image_in(&made.image_id, "deleted").await?;
    let failed = story.object_in(&object, "failed").await?;
    ensure!(failed.failure.is_some_and(|why| why.code == "copy_source_gone"), "it says why");
    story.delete_object(&object).await?;
    story.delete_machine(&story.machine).await?;
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_deleted_before_its_disk_is_copied_ends_its_image_with_the_reason() -> anyhow::Result<()> {
    let story = Story::start(1).await?;
    story.arm("take_capture", SimAction::Hang, 1)?;
    let made = told(story.try_backup(false).await)?;
    story.delete_machine(&story.machine).await?;
    let failed = story.image_in(&made.image_id, "failed").await?;
    ensure!(failed.failure.as_ref().is_some_and(|why| why.code == "capture_machine_gone"), "{failed:?}");
    story.no_copy_is_left().await?;
    story.delete_image(&made.image_id).await?;
    story.delete_object(&made.backup_object_id.context("its backup")?).await?;
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_jobs_break_off_anywhere_ends_as_an_image() -> anyhow::Result<()> {
    for kind in ["hva.capture.take", "sta.image.import", "hva.capture.drop"] {
        for point in ["before_effect", "after_effect"] {
            let story = Story::start(1).await?;
            let armed =
                crash::arm(point, Some(kind), 1, Action::Hook(Arc::new(|_| panic!("killed, as the story asked"))));
            let made = told(story.try_backup(false).await)?;
            let image = story.image_in(&made.image_id, "available").await;
            image.with_context(|| format!("{kind} {point}"))?;
            story.no_copy_is_left().await?;
            drop(armed);
            let object = made.backup_object_id.context("its backup")?;
            story.object_in(&object, "available").await?;
            story.delete_object(&object).await?;
            story.delete_image(&made.image_id).await?;
            story.delete_machine(&story.machine).await?;
            story.ends().await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_cannot_be_made_fails_with_its_reason_and_a_machine_may_start_meanwhile() -> anyhow::Result<()> {
    let story = Story::start(1).await?;
    story.arm("take_capture", SimAction::Fail, 99)?;
    let made = told(story.try_backup(false).await)?;
    let failed = story.image_in(&made.image_id, "failed").await?;
    ensure!(failed.failure.is_some(), "{failed:?}");
    let view = story.world.instance(&story.machine).await?;
    ensure!(view.state == InstanceState::Running, "the machine goes on: {view:?}");
    story.no_copy_is_left().await?;
    story.delete_image(&made.image_id).await?;
    story.delete_object(&made.backup_object_id.context("its backup")?).await?;
    story.delete_machine(&story.machine).await?;
    story.ends().await
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_and_images_are_copied_to_another_node_and_read_there() -> anyhow::Result<()> {
    let story = Story::start(2).await?;
    let (world, demo) = (&story.world, || story.world.demo());
    let request = CreateVolume {
        volume_size: 32,
        display_name: Some("data".into()),
        backup_object_id: None,
        snapshot_id: None,
        replica_id: None,
    };
    let volume = told(app::volumes::create(&world.app, &demo(), request).await)?.id;
    world.volume_in(&volume, "available").await?;
    let made = app::backups::back_up_volume(&world.app, &demo(), &volume, BackUpVolume::default()).await;
    let object = story.object_in(&told(made)?.backup_object_id, "available").await?;
    let here = object.storage_node_id.clone().context("its node")?;
    let there = if here == "sn-s1" { "sn-s2" } else { "sn-s1" };
    let to = |destination: &str| CopyTo { destination: destination.into(), description: None, display_name: None };
    let copy =
        async |destination: &str| app::backups::copy_object(&world.app, &demo(), &object.id, to(destination)).await;
    ensure!(code(copy(&here).await) == Some(Code::InvalidParameter), "it is there already");
    ensure!(code(copy("bkst-none").await) == Some(Code::UnknownResource), "nobody knows it");
    let copied = told(copy(there).await)?.uuid;
    let copied = story.object_in(&copied, "available").await?;
    ensure!(copied.storage_node_id.as_deref() == Some(there), "{copied:?}");
    ensure!(copied.checksum == object.checksum && copied.size == object.size, "{copied:?}");
    ensure!(copied.copied_from.as_deref() == Some(&object.id), "{copied:?}");
    // The first one goes, and the copy is read all the same.
    story.delete_object(&object.id).await?;
    let backup_object_id = Some(copied.id.parse()?);
    let request =
        CreateVolume { volume_size: 0, display_name: None, backup_object_id, snapshot_id: None, replica_id: None };
    let restored = told(app::volumes::create(&world.app, &demo(), request).await)?.id;
    world.volume_in(&restored, "available").await?;
    let image = told(app::backups::copy_image(&world.app, &demo(), "wmi-tiny", to(there)).await);
    let of_image = story.object_in(&image?.uuid, "available").await?;
    ensure!(of_image.copied_from.as_deref() == Some("wmi-tiny"), "{of_image:?}");
    for id in [&copied.id, &of_image.id] {
        story.delete_object(id).await?;
    }
    for id in [&volume, &restored] {
        told(app::volumes::delete(&world.app, &demo(), id).await)?;
        world.volume_in(id, "deleted").await?;
    }
    story.delete_machine(&story.machine).await?;
    story.ends().await
}
