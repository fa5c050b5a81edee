//! What comes late: an observation that began before an outcome, a job that a relay held for ten minutes, an image that
//! takes long while its machine is deleted.

use crate::support::{
    address, ask, ask_delete, ask_volume, delete_volume, deleted, left_of, read, running, says, told, volume,
};
use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_hva::driver::sim::{Action, FailsAs, Fault, Point};
use arame_schema::jobs::exchange;
use arame_schema::jobs::report::Inventory;
use arame_schema::model::Observation;
use arame_schema::model::instance::{InstanceState, Shutdown};
use arame_spec::world::{Size, World};
use serde_json::json;
use std::time::{Duration, Instant};

const HOST: &str = "hva.h1";
const STORE: &str = "sta.s1";

/// The inventory with another place in the order.
fn begun(listing: &[u8], at: Observation) -> anyhow::Result<Inventory> {
    let mut inventory: Inventory = serde_json::from_slice(listing)?;
    inventory.began = at;
    for fact in inventory.things.iter_mut().flat_map(|thing| &mut thing.facts) {
        fact.observed = at;
    }
    Ok(inventory)
}

/// Sabotage: `db::facts::observe` believes older observations: the machine and the volume are lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_begun_before_an_outcome_and_heard_after_it_changes_nothing() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    world.settled().await?;
    let mut kept = Vec::new();
    for agent in [HOST, STORE] {
        let listing = world.broker.keep_back("dcmgr.inventory", says(json!({ "agent": agent })));
        world.want_inventory(agent).await?;
        world.until("it has listed what there is", async || Ok(!listing.bodies().is_empty())).await?;
        listing.take_no_more();
        kept.push((agent, listing));
    }
    let machine = running(&world, World::request("web1")).await?;
    let disk = volume(&world, "data").await?;
    world.settled().await?;
    let jobs = (world.jobs_of(&machine.id).await?, world.jobs_of(&disk.id).await?);
    let mut bodies = Vec::new();
    for (agent, listing) in kept {
        let body = listing.bodies().remove(0);
        ensure!(!String::from_utf8_lossy(&body).contains(&machine.id));
        bodies.push((agent, body));
        listing.let_through();
    }
    world.heard(exchange::INVENTORY).await?;
    world.settled().await?;
    ensure!(world.instance(&machine.id).await?.state == InstanceState::Running);
    ensure!(world.volume_in(&disk.id, "available").await?.state.as_str() == "available");
    ensure!((world.jobs_of(&machine.id).await?, world.jobs_of(&disk.id).await?) == jobs);

    // The positive control: the same listings, begun after the outcomes.
    for (agent, body) in &bodies {
        let next = world.next_observation(agent).await?;
        world.say(agent, exchange::INVENTORY, &begun(body, next)?).await?;
    }
    world.instance_in(&machine.id, InstanceState::Failed).await?;
    world.volume_in(&disk.id, "lost").await?;
    // The volume is back with the next look: nothing but the order was wrong with it.
    world.surveyed(STORE).await?;
    world.volume_in(&disk.id, "available").await?;
    world.surveyed(HOST).await?;
    deleted(&world, &machine.id).await?;
    delete_volume(&world, &disk.id).await?;
    world.volume_in(&disk.id, "deleted").await?;
    world.ends_clean().await
}

/// Ten minutes pass for every row; the agents' own clocks do not know what a relay's message has been through.
async fn ten_minutes_pass(world: &World) -> anyhow::Result<()> {
    for statement in [
        "UPDATE jobs SET created_at = created_at - INTERVAL 10 MINUTE, finished_at = finished_at - INTERVAL 10 MINUTE",
        "UPDATE instances SET terminated_at = terminated_at - INTERVAL 10 MINUTE WHERE terminated_at IS NOT NULL",
        "UPDATE volumes SET deleted_at = deleted_at - INTERVAL 10 MINUTE WHERE deleted_at IS NOT NULL",
        "UPDATE ip_leases SET released_at = released_at - INTERVAL 10 MINUTE WHERE released_at IS NOT NULL",
    ] {
        world.db().rows(statement, ()).await?;
    }
    Ok(())
}

/// Lets a kept job through and gives the result of its answer: `refused`, `done`.
async fn answer_of(world: &World, job: arame_framework::bus::memory::KeptBack) -> anyhow::Result<serde_json::Value> {
    let id = read(&job.bodies()).first().map(|message| message["id"].clone()).context("a job was kept back")?;
    let of_job = says(json!({ "job": id }));
    let is_end = |body: &[u8]| !String::from_utf8_lossy(body).contains("progress");
    let answers = world.broker.keep_back("dcmgr.outcome", move |body| of_job(body) && is_end(body));
    job.let_through();
    world.until("the late job was answered", async || Ok(!answers.bodies().is_empty())).await?;
    let result = read(&answers.bodies()).remove(0)["result"].clone();
    answers.let_through();
    world.heard(exchange::OUTCOME).await?;
    Ok(result)
}

/// Sabotage: the framework's `gate` and the host's `apply` do not ask for graves: the dead machine is raised.
#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_a_relay_held_until_its_machine_was_buried_raises_nobody() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let held = world.broker.keep_back("job.hva.h1", says(json!({ "kind": "hva.instance.apply" })));
    let made = ask(&world, World::request("web1")).await?;
    world.until("the launch was rung", async || Ok(!held.bodies().is_empty())).await?;
    held.take_no_more();
    deleted(&world, &made.id).await?;
    ensure!(world.jobs_of(&made.id).await?[0] == "hva.instance.apply superseded");
    world.settled().await?;
    ten_minutes_pass(&world).await?;
    let jobs = world.jobs_of(&made.id).await?;
    let result = answer_of(&world, held).await?;
    ensure!(result.to_string().contains("refused"), "{result}");
    ensure!(left_of(&world, &made.id)?.is_empty() && world.jobs_of(&made.id).await? == jobs);
    ensure!(world.instance(&made.id).await?.state == InstanceState::Terminated);
    // The positive control: the same way, late as well but of a living machine.
    let held = world.broker.keep_back("job.hva.h1", says(json!({ "kind": "hva.instance.apply" })));
    let alive = ask(&world, World::request("web2")).await?;
    world.until("the launch was rung", async || Ok(!held.bodies().is_empty())).await?;
    held.take_no_more();
    let result = answer_of(&world, held).await?;
    ensure!(result.to_string().contains("done"), "{result}");
    world.instance_in(&alive.id, InstanceState::Running).await?;
    deleted(&world, &alive.id).await?;
    world.ends_clean().await
}

/// Sabotage: `Found::admit` admits older jobs: the machine that was switched off runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_on_that_a_relay_held_does_not_undo_the_power_off_after_it() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let made = running(&world, World::request("web1")).await?;
    told(app::instances::power_off(&world.app, &world.demo(), &made.id, Shutdown::Hard).await)?;
    world.instance_in(&made.id, InstanceState::Halted).await?;
    let held = world.broker.keep_back("job.hva.h1", says(json!({ "kind": "hva.instance.apply" })));
    told(app::instances::power_on(&world.app, &world.demo(), &made.id).await)?;
    world.until("the start was rung", async || Ok(!held.bodies().is_empty())).await?;
    held.take_no_more();
    told(app::instances::power_off(&world.app, &world.demo(), &made.id, Shutdown::Hard).await)?;
    world.instance_in(&made.id, InstanceState::Halted).await?;
    world.settled().await?;
    ten_minutes_pass(&world).await?;
    let result = answer_of(&world, held).await?;
    ensure!(result.to_string().contains("refused"), "{result}");
    world.surveyed(HOST).await?;
    ensure!(world.instance(&made.id).await?.state == InstanceState::Halted);
    ensure!(world.worlds()?[HOST]["domains"][&made.id]["power"].to_string().to_lowercase().contains("off"));
    // The positive control: a start that comes in its time.
    told(app::instances::power_on(&world.app, &world.demo(), &made.id).await)?;
    world.instance_in(&made.id, InstanceState::Running).await?;
    deleted(&world, &made.id).await?;
    world.ends_clean().await
}

/// Sabotage: `gate` does not ask for tombstones: a blank volume appears that no row knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_a_relay_held_makes_no_volume_that_was_deleted_meanwhile() -> anyhow::Result<()> {
    let mut world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let held = world.broker.keep_back("job.sta.s1", says(json!({ "kind": "sta.volume.create" })));
    let made = told(ask_volume(&world, "data").await)?;
    world.until("the creation was rung", async || Ok(!held.bodies().is_empty())).await?;
    held.take_no_more();
    delete_volume(&world, &made.id).await?;
    world.volume_in(&made.id, "deleted").await?;
    world.settled().await?;
    ten_minutes_pass(&world).await?;
    let result = answer_of(&world, held).await?;
    ensure!(result.to_string().contains("refused"), "{result}");
    ensure!(left_of(&world, &made.id)?.is_empty(), "{:?}", left_of(&world, &made.id)?);
    // The same job at the agent's next process: it is of an incarnation that is over.
    let held = world.broker.keep_back("job.sta.s1", says(json!({ "kind": "sta.volume.create" })));
    let other = told(ask_volume(&world, "other").await)?;
    world.until("the creation was rung", async || Ok(!held.bodies().is_empty())).await?;
    held.take_no_more();
    delete_volume(&world, &other.id).await?;
    world.volume_in(&other.id, "deleted").await?;
    world.kill_agent(STORE).await;
    world.start_agent(STORE, 0).await?;
    world.surveyed(STORE).await?;
    held.let_through();
    world.until("it was taken", async || Ok(world.broker.depth("job.sta.s1") == Some(0))).await?;
    world.surveyed(STORE).await?;
    ensure!(left_of(&world, &other.id)?.is_empty(), "{:?}", left_of(&world, &other.id)?);
    // The positive control.
    let last = volume(&world, "last").await?;
    ensure!(left_of(&world, &last.id)? == ["sta.s1 volumes"], "{:?}", left_of(&world, &last.id)?);
    delete_volume(&world, &last.id).await?;
    world.volume_in(&last.id, "deleted").await?;
    world.ends_clean().await
}

/// What a simulated call hangs before it is given up; a delete that waits for it takes longer.
const DOWNLOAD: Duration = Duration::from_secs(15);

/// That a cancelled download leaves no part of a file is looked at on real files, in `agents/hva/tests/images.rs`.
///
/// Sabotage: `ensure_disk` does not look at the job's cancellation: the delete waits for the whole download.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_during_a_long_download_ends_it_at_once_and_leaves_nothing() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let slow = Fault {
        kind: Some("ensure_disk".into()),
        thing: None,
        point: Point::BeforeEffect,
        action: Action::Hang,
        times: 1,
        fails_as: FailsAs::Simulated,
    };
    world.hypervisor(HOST).context("a host")?.inject(slow);
    let made = ask(&world, World::request("web1")).await?;
    let under_way = async || {
        let statement = "SELECT COUNT(*) AS n FROM jobs WHERE open = 1 AND progress_note LIKE 'image %'";
        Ok(world.count(statement).await? == 1)
    };
    world.until("the image is on its way", under_way).await?;
    let asked = Instant::now();
    ask_delete(&world, &made.id).await?;
    world.instance_in(&made.id, InstanceState::Terminated).await?;
    let took = asked.elapsed();
    println!("deleted during its download within {took:?}");
    ensure!(took < DOWNLOAD / 3, "the delete waited {took:?}");
    ensure!(left_of(&world, &made.id)?.is_empty(), "{:?}", left_of(&world, &made.id)?);
    ensure!(world.agent(HOST).await?.degraded.is_none());
    // Its address cools and is free again.
    world.settled().await?;
    ten_minutes_pass(&world).await?;
    let leases = "SELECT COUNT(*) AS n FROM ip_leases";
    world.until("its address is free", async || Ok(world.count(leases).await? == 0)).await?;
    // The positive control: with the same image, not deleted, a machine runs, at that address.
    let next = running(&world, World::request("web2")).await?;
    ensure!(address(&next) == address(&made));
    deleted(&world, &next.id).await?;
    world.ends_clean().await
}
