//! Trouble that does not pass: a broken image, a checksum that does not match, a full disk. The instance fails with
//! the reason, nothing of it is left on any host, and deleting it leaves nothing anywhere. What is only one host's
//! trouble is tried on another, three times at most.

use arame_dcmgr::app;
use arame_schema::api::Instance;
use arame_schema::model::instance::{InstanceState, Shutdown};
use arame_spec::world::{Size, World};

/// The next tries of making a boot disk fail so on a host.
fn disks_fail(fails_as: &str, times: u32) -> String {
    format!(
        "[[hva.sim.faults]]\nkind = 'ensure_disk'\npoint = 'before_effect'\naction = 'fail'\ntimes = {times}\n\
         fails_as = '{fails_as}'\n"
    )
}

/// A world whose hosts fail so.
async fn world(hosts: usize, fails_as: &str, failing: &[&str]) -> anyhow::Result<World> {
    let mut world = World::start(Size { hosts, ..Size::default() }).await?;
    for host in failing {
        world.kill_agent(host).await;
        world.start_agent_with(host, 0, &disks_fail(fails_as, 100)).await?;
    }
    Ok(world)
}

fn code(instance: &Instance) -> &str {
    instance.failure.as_ref().map_or("", |failure| &failure.code)
}

/// No domain, disk, record or port of the instance on any host.
fn left_of(world: &World, id: &str) -> anyhow::Result<Vec<String>> {
    let worlds = world.worlds()?.into_iter().filter(|(agent, _)| agent.starts_with("hva."));
    let mut left = Vec::new();
    for (agent, seen) in worlds {
        for part in ["domains", "disks", "records", "ports"] {
            if seen[part].to_string().contains(id) {
                left.push(format!("{agent}: {part}"));
            }
        }
    }
    Ok(left)
}

async fn fails_cleanly(world: &World, id: &str, reason: &str) -> anyhow::Result<()> {
    let failed = world.instance_in(id, InstanceState::Failed).await?;
    assert_eq!(code(&failed), reason);
    world.until("no job is open", async || Ok(arame_dcmgr::db::jobs::open_count(world.db()).await? == 0)).await?;
    assert_eq!(left_of(world, id)?, Vec::<String>::new());
    let deleted = app::instances::delete(&world.app, &world.demo(), id).await;
    deleted.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    world.instance_in(id, InstanceState::Terminated).await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_that_does_not_match_fails_the_instance_everywhere() -> anyhow::Result<()> {
    let world = world(2, "image_checksum_mismatch", &["hva.h1", "hva.h2"]).await?;
    let made = world.launch("web1").await?;
    fails_cleanly(&world, &made.id, "image_checksum_mismatch").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_imported_fails_its_instances_with_its_own_reason() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let mut request = World::request("web1");
    request.image_id = "wmi-damaged".parse()?;
    let made = app::instances::create(&world.app, &world.demo(), request).await;
    let made = made.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    let failed = world.instance_in(&made.id, InstanceState::Failed).await?;
    assert_eq!(code(&failed), "image_checksum_mismatch");
    // The positive control: the same request with the other image.
    let good = world.launch("web2").await?;
    world.instance_in(&good.id, InstanceState::Running).await?;
    assert_eq!(left_of(&world, &good.id)?.len(), 4);
    assert_eq!(left_of(&world, &made.id)?, Vec::<String>::new());
    for id in [&made.id, &good.id] {
        let deleted = app::instances::delete(&world.app, &world.demo(), id).await;
        deleted.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        world.instance_in(id, InstanceState::Terminated).await?;
    }
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_sends_the_instance_to_another_host() -> anyhow::Result<()> {
    let world = world(3, "disk_full", &["hva.h1", "hva.h2"]).await?;
    let made = world.launch("web1").await?;
    let running = world.instance_in(&made.id, InstanceState::Running).await?;
    assert_eq!(running.host_node.as_deref(), Some("hn-h3"));
    world.until("no job is open", async || Ok(arame_dcmgr::db::jobs::open_count(world.db()).await? == 0)).await?;
    let left = left_of(&world, &made.id)?;
    assert!(left.iter().all(|place| place.starts_with("hva.h3")), "{left:?}");
    let deleted = app::instances::delete(&world.app, &world.demo(), &made.id).await;
    deleted.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    world.instance_in(&made.id, InstanceState::Terminated).await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_placed_three_times_and_then_fails_with_the_last_reason() -> anyhow::Result<()> {
    let world = world(4, "disk_full", &["hva.h1", "hva.h2", "hva.h3", "hva.h4"]).await?;
    let made = world.launch("web1").await?;
    world.instance_in(&made.id, InstanceState::Failed).await?;
    let timeline = app::instances::timeline(&world.app, &world.demo(), &made.id).await;
    let timeline = timeline.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    let again = timeline.iter().filter(|event| event.code == "placed_elsewhere").count();
    assert_eq!(again, 2, "{timeline:#?}");
    fails_cleanly(&world, &made.id, "disk_full").await
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disks_on_all_hosts_fail_the_instance_with_that_reason() -> anyhow::Result<()> {
    let world = world(2, "disk_full", &["hva.h1", "hva.h2"]).await?;
    let made = world.launch("web1").await?;
    fails_cleanly(&world, &made.id, "disk_full").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_request_named_the_host_is_not_placed_elsewhere() -> anyhow::Result<()> {
    let world = world(2, "disk_full", &["hva.h1"]).await?;
    let mut request = World::request("web1");
    request.host_node_id = Some("hn-h1".parse()?);
    let made = app::instances::create(&world.app, &world.demo(), request).await;
    let made = made.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    let failed = world.instance_in(&made.id, InstanceState::Failed).await?;
    assert_eq!((failed.host_node.as_deref(), code(&failed)), (Some("hn-h1"), "disk_full"));
    // The positive control: the same request without a host.
    let free = world.launch("web2").await?;
    let free = world.instance_in(&free.id, InstanceState::Running).await?;
    assert_eq!(free.host_node.as_deref(), Some("hn-h2"));
    let deleted = app::instances::delete(&world.app, &world.demo(), &free.id).await;
    deleted.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    world.instance_in(&free.id, InstanceState::Terminated).await?;
    fails_cleanly(&world, &made.id, "disk_full").await
}

/// The machine's power is off and on again while no storage node has the bytes of its image.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_switched_off_and_on_while_no_storage_node_has_its_image() -> anyhow::Result<()> {
    let mut world = World::start(Size::default()).await?;
    let made = world.launch("web1").await?;
    world.instance_in(&made.id, InstanceState::Running).await?;
    world.kill_agent("sta.s1").await;
    forget_images(&world).await?;
    // The positive control: a machine that has no disk yet waits.
    let waiting = world.launch("web2").await?;
    let off = app::instances::power_off(&world.app, &world.demo(), &made.id, Shutdown::Hard).await;
    off.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    world.instance_in(&made.id, InstanceState::Halted).await?;
    let on = app::instances::power_on(&world.app, &world.demo(), &made.id).await;
    on.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    world.instance_in(&made.id, InstanceState::Running).await?;
    assert_eq!(world.instance(&waiting.id).await?.state, InstanceState::Pending);
    // With the storage node the image is back, and the one that waited runs.
    world.start_agent("sta.s1", 0).await?;
    world.instance_in(&waiting.id, InstanceState::Running).await?;
    for id in [&made.id, &waiting.id] {
        let deleted = app::instances::delete(&world.app, &world.demo(), id).await;
        deleted.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        world.instance_in(id, InstanceState::Terminated).await?;
    }
    world.ends_clean().await
}

/// What a storage node's complete listing without the images would say, while the node is dead.
async fn forget_images(world: &World) -> anyhow::Result<()> {
    world.db().rows("UPDATE facts SET value = 'no', detail = NULL WHERE name = 'image'", ()).await?;
    Ok(())
}
