//! A launch that brings volumes and labels: all of it or none, and what goes with the machine.

use crate::support::{count, operator, refused, small, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_dcmgr::app::accounts::Change;
use arame_dcmgr::app::networks::parts;
use arame_schema::api::{
    BackUpVolume, Code, CreateInstance, CreateVif, CreateVolume, CreateVolumeSnapshot, SetBackupStorage, VolumeRequest,
};
use arame_schema::model::instance::InstanceState;
use arame_spec::world::World;
use std::collections::BTreeMap;

const LIVE: &str = "SELECT COUNT(*) AS n FROM volumes WHERE deleted_at IS NULL";

fn sized(mib: u64) -> VolumeRequest {
    VolumeRequest { volume_size: Some(mib), ..VolumeRequest::default() }
}

fn with(name: &str, volumes: Vec<VolumeRequest>) -> CreateInstance {
    let numbered = volumes.into_iter().enumerate().map(|(n, one)| (n.to_string(), one));
    let labels = BTreeMap::from([("env".to_owned(), "test".to_owned())]);
    CreateInstance { volumes: numbered.collect(), labels, ..World::request(name) }
}

async fn free(world: &World, name: &str) -> anyhow::Result<String> {
    let request = CreateVolume {
        volume_size: 32,
        display_name: Some(name.into()),
        backup_object_id: None,
        snapshot_id: None,
        replica_id: None,
    };
    let id = told(app::volumes::create(&world.app, &world.demo(), request).await)?.id;
    world.volume_in(&id, "available").await?;
    Ok(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_and_labels_come_with_a_machine_and_the_new_ones_go_with_it() -> anyhow::Result<()> {
    let world = small().await?;
    let there = free(&world, "there").await?;
    let kept = VolumeRequest { delete_on_termination: Some(false), ..sized(64) };
    let by_id = VolumeRequest { volume_id: Some(there.parse()?), ..VolumeRequest::default() };
    let request = with("web1", vec![sized(128), kept, by_id]);
    let plan = told(app::instances::plan(&world.app, &world.demo(), request.clone()).await)?;
    ensure!(plan.fits && plan.refusals.is_empty() && plan.quotas[1].after == plan.quotas[1].used + 2, "{plan:?}");
    ensure!(count(&world, LIVE).await? == 1, "a plan makes nothing");

    let made = told(app::instances::create(&world.app, &world.demo(), request).await)?;
    world.instance_in(&made.id, InstanceState::Running).await?;
    let volumes = told(app::volumes::of_instance(&world.app, &world.demo(), &made.id).await)?;
    let of_size = |mib: u64| volumes.iter().find(|one| one.size == mib << 20).map(|one| one.id.clone());
    let (goes, stays) = (of_size(128).unwrap_or_default(), of_size(64).unwrap_or_default());
    for id in [&goes, &stays, &there] {
        world.volume_in(id, "attached").await?;
    }
    let view = told(app::instances::get(&world.app, &world.demo(), &made.id).await)?;
    ensure!(view.volume.len() == 3 && view.labels.len() == 1 && view.labels[0].value == "test", "{view:?}");
    let plan = told(app::instances::plan_delete(&world.app, &world.demo(), &made.id).await)?;
    ensure!(plan.deletes == [goes.clone()] && plan.detaches.len() == 2, "{plan:?}");

    told(app::instances::delete(&world.app, &world.demo(), &made.id).await)?;
    world.instance_in(&made.id, InstanceState::Terminated).await?;
    world.volume_in(&goes, "deleted").await?;
    for id in [&stays, &there] {
        world.volume_in(id, "available").await?;
        told(app::volumes::delete(&world.app, &world.demo(), id).await)?;
        world.volume_in(id, "deleted").await?;
    }
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_a_launch_that_is_detached_or_has_snapshots_outlives_the_machine() -> anyhow::Result<()> {
    let world = small().await?;
    let made = told(app::instances::create(&world.app, &world.demo(), with("web1", vec![sized(32), sized(48)])).await)?;
    world.instance_in(&made.id, InstanceState::Running).await?;
    let volumes = told(app::volumes::of_instance(&world.app, &world.demo(), &made.id).await)?;
    let [detached, kept] = [volumes[0].id.clone(), volumes[1].id.clone()];
    world.volume_in(&detached, "attached").await?;
    world.volume_in(&kept, "attached").await?;
    let snapshot = CreateVolumeSnapshot { volume_id: kept.parse()?, display_name: None };
    let snapshot = told(app::volume_snapshots::create(&world.app, &world.demo(), snapshot).await)?;
    told(app::volumes::detach(&world.app, &world.demo(), &detached).await)?;
    world.volume_in(&detached, "available").await?;
    told(app::instances::delete(&world.app, &world.demo(), &made.id).await)?;
    world.instance_in(&made.id, InstanceState::Terminated).await?;
    world.volume_in(&detached, "available").await?;
    world.volume_in(&kept, "available").await?;
    let said = format!("SELECT COUNT(*) AS n FROM events WHERE resource = '{kept}' AND code = 'kept_for_snapshots'");
    ensure!(count(&world, &said).await? == 1, "nobody is told that it was kept");
    told(app::volume_snapshots::delete(&world.app, &world.demo(), &snapshot.id).await)?;
    for id in [&detached, &kept] {
        let all = arame_schema::api::DeleteVolume { with_snapshots: true };
        told(app::volumes::delete_as(&world.app, &world.demo(), id, all).await)?;
        world.volume_in(id, "deleted").await?;
    }
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_comes_with_a_volume_from_a_snapshot_and_takes_it_along() -> anyhow::Result<()> {
    let world = small().await?;
    let source = free(&world, "source").await?;
    let snapshot = CreateVolumeSnapshot { volume_id: source.parse()?, display_name: None };
    let snapshot = told(app::volume_snapshots::create(&world.app, &world.demo(), snapshot).await)?.id;
    let from = VolumeRequest { snapshot_id: snapshot.parse().ok(), ..VolumeRequest::default() };
    world
        .until("the snapshot is there", async || {
            let view = told(app::volume_snapshots::get(&world.app, &world.demo(), &snapshot).await)?;
            Ok(view.state.as_str() == "available")
        })
        .await?;
    let small = VolumeRequest { volume_size: Some(16), ..from.clone() };
    let less = app::instances::create(&world.app, &world.demo(), with("web0", vec![small])).await;
    refused(less, Code::InvalidParameter)?;
    let made = told(app::instances::create(&world.app, &world.demo(), with("web1", vec![from])).await)?;
    world.instance_in(&made.id, InstanceState::Running).await?;
    let volumes = told(app::volumes::of_instance(&world.app, &world.demo(), &made.id).await)?;
    ensure!(volumes.len() == 1 && volumes[0].snapshot_id.as_ref() == Some(&snapshot), "{volumes:?}");
    ensure!(volumes[0].size == 32 << 20, "as large as what it begins with: {volumes:?}");
    world.volume_in(&volumes[0].id, "attached").await?;
    told(app::instances::delete(&world.app, &world.demo(), &made.id).await)?;
    world.instance_in(&made.id, InstanceState::Terminated).await?;
    world.volume_in(&volumes[0].id, "deleted").await?;
    told(app::volume_snapshots::delete(&world.app, &world.demo(), &snapshot).await)?;
    let all = arame_schema::api::DeleteVolume { with_snapshots: true };
    told(app::volumes::delete_as(&world.app, &world.demo(), &source, all).await)?;
    world.volume_in(&source, "deleted").await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_whose_volumes_cannot_be_had_makes_nothing() -> anyhow::Result<()> {
    let world = small().await?;
    let there = free(&world, "there").await?;
    let create = async |request| app::instances::create(&world.app, &world.demo(), request).await;
    let named = |id: &str| VolumeRequest { volume_id: id.parse().ok(), ..VolumeRequest::default() };
    let nothing = async || -> anyhow::Result<()> {
        let machines = "SELECT COUNT(*) AS n FROM instances WHERE terminated_at IS NULL";
        ensure!(count(&world, machines).await? == 0, "a machine was made");
        ensure!(count(&world, LIVE).await? == 1, "a volume was made");
        let attachments = "SELECT COUNT(*) AS n FROM attachments";
        ensure!(count(&world, attachments).await? == 0, "something is attached");
        Ok(())
    };
    // No room: each storage node says why.
    let refusal = refused(create(with("a", vec![sized(32), sized(1 << 24)])).await, Code::OutOfStorageCapacity)?;
    let detail = refusal.detail.clone().unwrap_or_default();
    ensure!(detail["verdicts"][0]["rules"].as_array().is_some_and(|rules| rules.len() == 4), "{detail}");
    ensure!(detail["smallest_change"]["code"] == "storage_smaller", "{detail}");
    nothing().await?;
    refused(create(with("a", vec![sized(32), named("vol-nothere1")])).await, Code::UnknownResource)?;
    refused(create(with("a", vec![named(&there), named(&there)])).await, Code::InvalidParameter)?;
    refused(create(with("a", vec![VolumeRequest::default()])).await, Code::InvalidParameter)?;
    nothing().await?;
    let quota = Change { quota_volumes: Some(Some(2)), ..Change::default() };
    told(app::accounts::update(&world.app, &operator(&world), "a-demo", quota).await)?;
    refused(create(with("a", vec![sized(32), sized(32)])).await, Code::ExceedQuota)?;
    nothing().await?;
    // Control: one fits, and holds the one that is there.
    let made = told(create(with("a", vec![sized(32), named(&there)])).await)?;
    world.instance_in(&made.id, InstanceState::Running).await?;
    world.volume_in(&there, "attached").await?;
    refused(create(with("b", vec![named(&there)])).await, Code::VolumeAttached)?;
    told(app::instances::delete(&world.app, &world.demo(), &made.id).await)?;
    world.instance_in(&made.id, InstanceState::Terminated).await?;
    world.volume_in(&there, "available").await?;
    told(app::volumes::delete(&world.app, &world.demo(), &there).await)?;
    world.volume_in(&there, "deleted").await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_brings_volumes_that_begin_with_a_backup() -> anyhow::Result<()> {
    let world = small().await?;
    let local = SetBackupStorage {
        id: "bkst-local".parse().ok(),
        storage_type: Some("local".into()),
        ..SetBackupStorage::default()
    };
    told(app::backups::create_storage(&world.app, &operator(&world), local).await)?;
    let source = free(&world, "source").await?;
    let backup = app::backups::back_up_volume(&world.app, &world.demo(), &source, BackUpVolume::default()).await;
    let backup = told(backup)?.backup_object_id;
    let object = async || told(app::backups::object(&world.app, &world.demo(), &backup).await);
    world.until("the backup is whole", async || Ok(object().await?.state == "available")).await?;
    let from = |id: &str, volume_size| VolumeRequest {
        backup_object_id: id.parse().ok(),
        volume_size,
        ..VolumeRequest::default()
    };
    let create = async |request| app::instances::create(&world.app, &world.demo(), request).await;
    refused(create(with("a", vec![from(&backup, Some(16))])).await, Code::InvalidParameter)?;
    refused(create(with("a", vec![from("bo-nothere1", None)])).await, Code::UnknownResource)?;
    ensure!(count(&world, LIVE).await? == 1, "a refused launch made a volume");

    let request = with("web1", vec![from(&backup, None), from(&backup, Some(64))]);
    let plan = told(app::instances::plan(&world.app, &world.demo(), request.clone()).await)?;
    ensure!(plan.fits && plan.refusals.is_empty() && plan.quotas[1].after == plan.quotas[1].used + 2, "{plan:?}");
    let made = told(create(request).await)?;
    world.instance_in(&made.id, InstanceState::Running).await?;
    let volumes = told(app::volumes::of_instance(&world.app, &world.demo(), &made.id).await)?;
    let mut sizes: Vec<u64> = volumes.iter().map(|one| one.size >> 20).collect();
    sizes.sort_unstable();
    ensure!(
        sizes == [32, 64] && volumes.iter().all(|one| one.backup_object_id.as_ref() == Some(&backup)),
        "{volumes:?}"
    );
    for volume in &volumes {
        world.volume_in(&volume.id, "attached").await?;
    }
    told(app::instances::delete(&world.app, &world.demo(), &made.id).await)?;
    world.instance_in(&made.id, InstanceState::Terminated).await?;
    for volume in &volumes {
        world.volume_in(&volume.id, "deleted").await?;
    }
    told(app::backups::delete_object(&world.app, &world.demo(), &backup).await)?;
    world.until("the backup is gone", async || Ok(object().await?.state == "deleted")).await?;
    told(app::volumes::delete(&world.app, &world.demo(), &source).await)?;
    world.volume_in(&source, "deleted").await?;
    world.ends_clean().await
}

/// The server itself refuses the next leases of a connection, as it does where the MAC is somebody's.
async fn take_macs(world: &World, times: u32) -> anyhow::Result<()> {
    let trigger = format!(
        "CREATE TRIGGER taken BEFORE INSERT ON ip_leases FOR EACH ROW BEGIN IF COALESCE(@taken, 0) < {times} THEN \
         SET @taken = COALESCE(@taken, 0) + 1; SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = 1062, \
         MESSAGE_TEXT = 'Duplicate entry ''52:54:00:00:00:01'' for key ''mac'''; END IF; END"
    );
    world.db().run("DROP TRIGGER IF EXISTS taken", ()).await?;
    world.db().run(trigger, ()).await.map(drop).map_err(Into::into)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mac_that_was_drawn_and_is_somebodys_is_drawn_anew_and_one_that_was_asked_for_is_refused()
-> anyhow::Result<()> {
    let world = small().await?;
    take_macs(&world, 3).await?;
    let made = told(app::instances::create(&world.app, &world.demo(), World::request("web1")).await)?;
    world.instance_in(&made.id, InstanceState::Running).await?;
    told(parts::create_vif(&world.app, &world.demo(), "nw-demo1", CreateVif::default()).await)?;

    // The control: the same server's word is a refusal where there is nothing to draw.
    take_macs(&world, u32::MAX).await?;
    let asked = CreateVif { mac_addr: Some("52:54:00:00:00:01".parse()?), ..CreateVif::default() };
    let answer = parts::create_vif(&world.app, &world.demo(), "nw-demo1", asked).await;
    let told = refused(answer, Code::DuplicateMacAddress)?;
    ensure!(told.values.get("mac").is_some_and(|mac| mac == "52:54:00:00:00:01"), "{told:?}");
    world.db().run("DROP TRIGGER taken", ()).await?;
    Ok(())
}
