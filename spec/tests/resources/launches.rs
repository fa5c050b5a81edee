//! A launch that brings volumes and labels: all of it or none, and what goes with the machine.

use crate::support::{count, operator, refused, small, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_dcmgr::app::accounts::Change;
use arame_schema::api::{Code, CreateInstance, CreateVolume, CreateVolumeSnapshot, VolumeRequest};
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
    let request = CreateVolume { volume_size: 32, display_name: Some(name.into()) };
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
