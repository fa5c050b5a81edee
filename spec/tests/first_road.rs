//! The first road through the system, on the real application and agents with simulated backends.

use arame_dcmgr::app;
use arame_dcmgr::db::Columns;
use arame_schema::api::{AttachVolume, Code, CreateVolume};
use arame_schema::model::instance::{InstanceState, Shutdown};
use arame_spec::world::{Size, World};

fn told<T>(result: Result<T, arame_schema::api::Refusal>) -> anyhow::Result<T> {
    result.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_lives_and_leaves_nothing() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = world.launch("web1").await?;
    assert_eq!(made.state, InstanceState::Pending);
    let running = world.instance_in(&made.id, InstanceState::Running).await?;
    assert_eq!(running.vif.len(), 1);
    told(app::instances::power_off(&world.app, &world.demo(), &made.id, Shutdown::Soft).await)?;
    world.instance_in(&made.id, InstanceState::Halted).await?;
    told(app::instances::power_on(&world.app, &world.demo(), &made.id).await)?;
    world.instance_in(&made.id, InstanceState::Running).await?;
    told(app::instances::reboot(&world.app, &world.demo(), &made.id).await)?;
    told(app::instances::delete(&world.app, &world.demo(), &made.id).await)?;
    world.instance_in(&made.id, InstanceState::Terminated).await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_goes_from_one_machine_to_another() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let (one, two) = (world.launch("one").await?, world.launch("two").await?);
    world.instance_in(&one.id, InstanceState::Running).await?;
    world.instance_in(&two.id, InstanceState::Running).await?;
    let request = CreateVolume {
        volume_size: 64,
        display_name: Some("data".into()),
        backup_object_id: None,
        snapshot_id: None,
        replica_id: None,
    };
    let volume = told(app::volumes::create(&world.app, &world.demo(), request).await)?;
    world.volume_in(&volume.id, "available").await?;
    told(app::volumes::attach(&world.app, &world.demo(), &volume.id, &one.id).await)?;
    world.volume_in(&volume.id, "attached").await?;
    let taken = app::volumes::attach(&world.app, &world.demo(), &volume.id, &two.id).await;
    assert_eq!(taken.map_err(|refusal| refusal.code).err(), Some(Code::VolumeAttached));
    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    world.volume_in(&volume.id, "available").await?;
    told(app::volumes::attach(&world.app, &world.demo(), &volume.id, &two.id).await)?;
    world.volume_in(&volume.id, "attached").await?;
    told(app::volumes::detach(&world.app, &world.demo(), &volume.id).await)?;
    world.volume_in(&volume.id, "available").await?;
    told(app::volumes::delete(&world.app, &world.demo(), &volume.id).await)?;
    world.volume_in(&volume.id, "deleted").await?;
    told(app::instances::delete(&world.app, &world.demo(), &two.id).await)?;
    world.instance_in(&two.id, InstanceState::Terminated).await?;
    let _ = AttachVolume { instance_id: two.id.parse()? };
    world.ends_clean().await
}

/// Intervals of one resource, oldest first: what, length in milliseconds or none while it goes on.
async fn usage(world: &World, id: &str) -> anyhow::Result<Vec<(String, Option<i64>)>> {
    let statement = "SELECT what, TIMESTAMPDIFF(MICROSECOND, begun_at, ended_at) DIV 1000 AS ms FROM usage_intervals \
                     WHERE resource = ? ORDER BY seq";
    let rows = world.db().rows(statement, (id,)).await?;
    Ok(rows
        .iter()
        .map(|row| Ok((row.text("what")?, row.col("ms")?)))
        .collect::<Result<_, arame_dcmgr::db::DbError>>()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_is_counted_from_the_first_run_to_the_wish_to_delete_without_a_gap() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let one = world.launch("web1").await?;
    anyhow::ensure!(usage(&world, &one.id).await?.is_empty(), "counted before it ran");
    world.instance_in(&one.id, InstanceState::Running).await?;
    assert_eq!(usage(&world, &one.id).await?, [("running".to_owned(), None)]);
    told(app::instances::power_off(&world.app, &world.demo(), &one.id, Shutdown::Hard).await)?;
    world.instance_in(&one.id, InstanceState::Halted).await?;
    told(app::instances::power_on(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    let asked: Vec<_> = usage(&world, &one.id).await?;
    assert_eq!(asked.iter().map(|(what, _)| what.as_str()).collect::<Vec<_>>(), ["running", "kept", "running"]);
    assert!(asked.iter().all(|(_, ms)| ms.is_some_and(|ms| ms >= 0)), "{asked:?}");
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    let whole = "SELECT SUM(TIMESTAMPDIFF(MICROSECOND, begun_at, ended_at)) AS each_one, \
                 TIMESTAMPDIFF(MICROSECOND, MIN(begun_at), MAX(ended_at)) AS whole FROM usage_intervals WHERE resource = ?";
    let rows = world.db().rows(whole, (&one.id,)).await?;
    let row = rows.first().ok_or_else(|| anyhow::anyhow!("no row"))?;
    let (sum, whole): (i64, i64) = (row.text("each_one")?.parse()?, row.col("whole")?);
    assert_eq!(sum, whole, "a gap or an overlap");
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_fits_nowhere_is_refused_with_every_hosts_verdict() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let mut request = World::request("giant");
    request.memory_size = Some(900_000);
    let refused = app::instances::create(&world.app, &world.demo(), request).await;
    let refusal = refused.err().ok_or_else(|| anyhow::anyhow!("it was accepted"))?;
    assert_eq!(refusal.code, Code::OutOfHostCapacity);
    let detail = refusal.detail.ok_or_else(|| anyhow::anyhow!("no verdicts"))?;
    assert_eq!(detail["verdicts"].as_array().map(Vec::len), Some(2));
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_two_lets_two_of_ten_parallel_launches_in() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let mut launches = tokio::task::JoinSet::new();
    for n in 0..10 {
        let (app, caller) = (world.app.clone(), world.caller("a-other", arame_schema::api::Role::Member));
        let request = World::request(&format!("n{n}"));
        launches.spawn(async move { app::instances::create(&app, &caller, request).await });
    }
    let mut codes = Vec::new();
    let mut made = Vec::new();
    while let Some(launch) = launches.join_next().await {
        match launch? {
            Ok(instance) => made.push(instance.id),
            Err(refusal) => codes.push(refusal.code),
        }
    }
    assert_eq!(made.len(), 2);
    assert_eq!(codes, vec![Code::ExceedQuota; 8]);
    for id in made {
        let other = world.caller("a-other", arame_schema::api::Role::Member);
        world.instance_in(&id, InstanceState::Running).await?;
        told(app::instances::delete(&world.app, &other, &id).await)?;
        world.instance_in(&id, InstanceState::Terminated).await?;
    }
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_machine_is_unknown() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let mine = world.launch("mine").await?;
    world.instance_in(&mine.id, InstanceState::Running).await?;
    let stranger = world.caller("a-other", arame_schema::api::Role::Member);
    let seen = app::instances::get(&world.app, &stranger, &mine.id).await;
    assert_eq!(seen.map_err(|refusal| refusal.code).err(), Some(Code::UnknownResource));
    let deleted = app::instances::delete(&world.app, &stranger, &mine.id).await;
    assert_eq!(deleted.map_err(|refusal| refusal.code).err(), Some(Code::UnknownResource));
    assert_eq!(world.instance(&mine.id).await?.state, InstanceState::Running);
    told(app::instances::delete(&world.app, &world.demo(), &mine.id).await)?;
    world.instance_in(&mine.id, InstanceState::Terminated).await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_dies_comes_back_and_one_that_shuts_itself_down_stays_off() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let (dies, leaves) = (world.launch("dies").await?, world.launch("leaves").await?);
    world.instance_in(&dies.id, InstanceState::Running).await?;
    world.instance_in(&leaves.id, InstanceState::Running).await?;
    let host = world.hypervisor("hva.h1").ok_or_else(|| anyhow::anyhow!("no hypervisor"))?;
    host.kill_guest(&dies.id.parse()?).await?;
    host.shut_down_guest(&leaves.id.parse()?).await?;
    world.instance_in(&leaves.id, InstanceState::Halted).await?;
    let applied = async || {
        let filter = arame_schema::api::ListFilter { state: Some("done".into()), ..Default::default() };
        let of_it = app::jobs::list(&world.app, &world.demo(), filter, Some(dies.id.clone())).await;
        let jobs = told(of_it)?.results;
        anyhow::ensure!(jobs.iter().all(|job| job.thing == dies.id && job.state == "done"), "{jobs:?}");
        Ok(jobs.iter().filter(|job| job.kind == "hva.instance.apply").count() == 2)
    };
    world.until("the killed guest was started again", applied).await?;
    assert_eq!(world.instance_in(&dies.id, InstanceState::Running).await?.state, InstanceState::Running);
    assert_eq!(world.instance(&leaves.id).await?.state, InstanceState::Halted);
    for id in [dies.id, leaves.id] {
        told(app::instances::delete(&world.app, &world.demo(), &id).await)?;
        world.instance_in(&id, InstanceState::Terminated).await?;
    }
    world.ends_clean().await
}
