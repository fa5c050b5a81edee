//! Guests that die: what follows by their policy, how long they rest, and what is told of it.

use crate::support::{json, small, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_schema::api::{Event, UpdateInstance};
use arame_schema::model::instance::InstanceState;
use arame_schema::model::restart::RestartPolicy;
use arame_spec::world::World;
use serde_json::json as value;

async fn launched(world: &World, name: &str, policy: RestartPolicy) -> anyhow::Result<String> {
    let mut request = World::request(name);
    request.restart_policy = Some(policy);
    let made = told(app::instances::create(&world.app, &world.demo(), request).await)?;
    ensure!(made.restart_policy == policy.as_str(), "{made:?}");
    world.instance_in(&made.id, InstanceState::Running).await?;
    Ok(made.id)
}

async fn kill(world: &World, id: &str) -> anyhow::Result<()> {
    let host = world.hypervisor("hva.h1").ok_or_else(|| anyhow::anyhow!("no hypervisor"))?;
    Ok(host.kill_guest(&id.parse()?).await?)
}

async fn told_of(world: &World, id: &str, code: &str) -> anyhow::Result<Vec<Event>> {
    let mut timeline = told(app::instances::timeline(&world.app, &world.demo(), id).await)?;
    timeline.retain(|event| event.code == code);
    Ok(timeline)
}

/// The pause of a guest that rests is taken from it: nobody waits a minute in a test.
async fn wake(world: &World, id: &str) -> anyhow::Result<()> {
    world.db().rows("UPDATE jobs SET not_before = UTC_TIMESTAMP(3) WHERE thing = ? AND open = 1", (id,)).await?;
    Ok(())
}

async fn delete(world: &World, id: &str) -> anyhow::Result<()> {
    told(app::instances::delete(&world.app, &world.demo(), id).await)?;
    world.instance_in(id, InstanceState::Terminated).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_never_is_to_come_back_stays_off_and_another_comes_back_at_once() -> anyhow::Result<()> {
    let world = small().await?;
    let stays = launched(&world, "stays", RestartPolicy::Never).await?;
    let comes = launched(&world, "comes", RestartPolicy::Always).await?;
    for id in [&stays, &comes] {
        kill(&world, id).await?;
    }
    world.instance_in(&stays, InstanceState::Halted).await?;
    ensure!(told_of(&world, &stays, "guest_died_and_stays_off").await?.len() == 1);
    world.until("it died once", async || Ok(told_of(&world, &comes, "guest_died").await?.len() == 1)).await?;
    let view = world.instance_in(&comes, InstanceState::Running).await?;
    ensure!(view.failure.is_none(), "{view:?}");
    ensure!(world.instance(&stays).await?.state == InstanceState::Halted);

    // The policy is changed while it is off; a new wish begins anew.
    let change: UpdateInstance = json(value!({ "restart_policy": "always" }));
    let view = told(app::instances::changes::update(&world.app, &world.demo(), &stays, change).await)?;
    ensure!(view.restart_policy == "always", "{view:?}");
    told(app::instances::power_on(&world.app, &world.demo(), &stays).await)?;
    world.instance_in(&stays, InstanceState::Running).await?;
    kill(&world, &stays).await?;
    world.until("it died once", async || Ok(told_of(&world, &stays, "guest_died").await?.len() == 1)).await?;
    world.instance_in(&stays, InstanceState::Running).await?;
    for id in [stays, comes] {
        delete(&world, &id).await?;
    }
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_keeps_dying_rests_ever_longer_says_so_and_is_given_up_where_it_is_to_be() -> anyhow::Result<()> {
    let world = small().await?;
    let id = launched(&world, "dies", RestartPolicy::OnFailure).await?;
    for death in 1..=5usize {
        kill(&world, &id).await?;
        world.until("the death is told", async || Ok(told_of(&world, &id, "guest_died").await?.len() == death)).await?;
        if death > 1 {
            let view = world.instance(&id).await?;
            let why = view.failure.as_ref().map(|failure| (failure.code.as_str(), failure.values["count"].clone()));
            ensure!(view.state == InstanceState::Starting, "it rests: {view:?}");
            ensure!(why == Some(("guest_died", death.to_string())), "and says why: {view:?}");
            wake(&world, &id).await?;
        }
        world.instance_in(&id, InstanceState::Running).await?;
    }
    let pauses: Vec<u64> = told_of(&world, &id, "guest_died")
        .await?
        .iter()
        .map(|event| event.values["seconds"].parse())
        .collect::<Result<_, _>>()?;
    ensure!(pauses == [0, 5, 10, 20, 40], "{pauses:?}");
    kill(&world, &id).await?;
    let view = world.instance_in(&id, InstanceState::Failed).await?;
    ensure!(view.failure.as_ref().is_some_and(|failure| failure.code == "guest_keeps_dying"), "{view:?}");

    // Somebody mended it: everything begins anew.
    told(app::instances::power_on(&world.app, &world.demo(), &id).await)?;
    world.instance_in(&id, InstanceState::Running).await?;
    kill(&world, &id).await?;
    world.until("it died once more", async || Ok(told_of(&world, &id, "guest_died").await?.len() == 6)).await?;
    ensure!(told_of(&world, &id, "guest_died").await?[5].values["count"] == "1");
    world.instance_in(&id, InstanceState::Running).await?;
    delete(&world, &id).await?;
    world.ends_clean().await
}
