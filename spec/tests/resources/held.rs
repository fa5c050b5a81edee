//! A guest that does not let its volume go: told, refused, and taken by force in an order that loses nothing of others.

use crate::support::{refused, small, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_hva::driver::sim::{Action, FailsAs, Fault, Point};
use arame_schema::api::{Code, DetachVolume};
use arame_schema::model::instance::InstanceState;

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_its_guest_holds_is_told_of_and_taken_away_only_by_force() -> anyhow::Result<()> {
    let world = small().await?;
    let one = world.launch("holds").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    let request = serde_json::from_value(serde_json::json!({ "volume_size": 64, "display_name": "data" }))?;
    let volume = told(app::volumes::create(&world.app, &world.demo(), request).await)?.id;
    world.volume_in(&volume, "available").await?;
    told(app::volumes::attach(&world.app, &world.demo(), &volume, &one.id).await)?;
    world.volume_in(&volume, "attached").await?;
    let host = world.hypervisor("hva.h1").ok_or_else(|| anyhow::anyhow!("no hypervisor"))?;
    // Five attempts, and the first of the forced job: then it lets go because it is off.
    host.inject(Fault {
        kind: Some("ensure_unplugged".into()),
        thing: None,
        point: Point::BeforeEffect,
        action: Action::Fail,
        times: 6,
        fails_as: FailsAs::GuestHoldsVolume,
    });
    told(app::volumes::detach(&world.app, &world.demo(), &volume).await)?;
    world
        .until("the guest is said to hold it", async || {
            Ok(world.instance(&one.id).await?.failure.is_some_and(|why| why.code == "guest_holds_volume"))
        })
        .await?;
    let view = world.instance(&one.id).await?;
    ensure!(view.state == InstanceState::Running, "it runs on: {view:?}");
    let shown = told(app::volumes::get(&world.app, &world.demo(), &volume).await)?;
    ensure!(shown.state.to_string() == "detaching", "{shown:?}");
    let exports = "SELECT COUNT(*) AS n FROM facts WHERE name = 'exported' AND value = 'yes'";
    ensure!(world.count(exports).await? == 1, "what may be written to stays exported");
    refused(app::volumes::detach(&world.app, &world.demo(), &volume).await, Code::GuestHoldsVolume)?;

    told(app::volumes::detach_as(&world.app, &world.demo(), &volume, DetachVolume { force: true }).await)?;
    world.volume_in(&volume, "available").await?;
    let view = world.instance_in(&one.id, InstanceState::Running).await?;
    ensure!(view.failure.is_none() && view.volume.is_empty(), "{view:?}");
    let timeline = told(app::instances::timeline(&world.app, &world.demo(), &one.id).await)?;
    let count = |code: &str| timeline.iter().filter(|event| event.code == code).count();
    ensure!(count("force_detach_requested") == 1 && count("job_failed") == 5, "{timeline:?}");
    ensure!(count("guest_died") == 0, "what was switched off for it did not die: {timeline:?}");

    // One whose guest lets go is not switched off for it.
    told(app::volumes::attach(&world.app, &world.demo(), &volume, &one.id).await)?;
    world.volume_in(&volume, "attached").await?;
    let starts = host.starts(&one.id.parse()?);
    told(app::volumes::detach_as(&world.app, &world.demo(), &volume, DetachVolume { force: true }).await)?;
    world.volume_in(&volume, "available").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    ensure!((starts, host.starts(&one.id.parse()?)) == (2, 2), "it was not started again");
    told(app::volumes::delete(&world.app, &world.demo(), &volume).await)?;
    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    world.ends_clean().await
}
