//! What cannot be looked at says nothing about what is missing (DESIGN 3.9).

use crate::support::{ask_volume, audit, delete_volume, deleted, running, volume};
use anyhow::{Context, ensure};
use arame_hva::driver::sim::{Action, FailsAs, Fault, Point};
use arame_schema::api::{Code, FindingKind, FindingRule};
use arame_schema::jobs::exchange;
use arame_schema::model::instance::InstanceState;
use arame_spec::world::{Size, World};

const STORE: &str = "sta.s1";
const HOST: &str = "hva.h1";
const AWAY: &str = "pool tank is not imported";

/// The pool is there again, or not.
fn set_imported(world: &World, imported: bool) -> anyhow::Result<()> {
    let change = |state: &mut arame_sta::sim::State| match imported {
        true => drop(state.unavailable.remove("store")),
        false => drop(state.unavailable.insert("store".into(), AWAY.into())),
    };
    Ok(world.storage(STORE).context("a store")?.world().change(change)?)
}

async fn incomplete(world: &World, agent: &str, reason: &str) -> anyhow::Result<bool> {
    let findings = audit(world).await?;
    let of_agent = |finding: &arame_schema::api::Finding| {
        finding.kind == FindingKind::ListingIncomplete && finding.agent.as_deref() == Some(agent)
    };
    Ok(findings.iter().any(|finding| of_agent(finding) && finding.detail["reason"].to_string().contains(reason)))
}

/// Jobs that make volumes, ever.
async fn creations(world: &World) -> anyhow::Result<u64> {
    world.count("SELECT COUNT(*) AS n FROM jobs WHERE kind = 'sta.volume.create'").await
}

/// Sabotage: `inventory::news` takes every listing for complete: both volumes are lost while the pool is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_not_imported_loses_nothing_and_makes_nothing_blank() -> anyhow::Result<()> {
    let mut world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let (kept, going) = (volume(&world, "kept").await?, volume(&world, "going").await?);
    world.settled().await?;
    let made = creations(&world).await?;
    set_imported(&world, false)?;
    world.surveyed(STORE).await?;
    ensure!(incomplete(&world, STORE, AWAY).await?, "{:?}", audit(&world).await?);
    delete_volume(&world, &going.id).await?;
    let told = async || {
        let statement =
            "SELECT COUNT(*) AS n FROM jobs WHERE kind = 'sta.volume.delete' AND error_code = 'store_unavailable'";
        Ok(world.count(statement).await? > 0)
    };
    world.until("the delete says why it waits", told).await?;
    // The whole node starts again and still has no pool.
    world.kill_agent(STORE).await;
    world.start_agent(STORE, 0).await?;
    world.surveyed(STORE).await?;
    world.until("the node wants no new volumes", async || Ok(world.agent(STORE).await?.degraded.is_some())).await?;
    let refused = ask_volume(&world, "early").await;
    ensure!(refused.as_ref().is_err_and(|refusal| refusal.code == Code::OutOfStorageCapacity), "{refused:?}");
    ensure!(world.volume_in(&kept.id, "available").await?.state.as_str() == "available");
    world.volume_in(&going.id, "deleting").await?;
    ensure!(creations(&world).await? == made, "something was made in a pool that is not there");

    set_imported(&world, true)?;
    world.volume_in(&going.id, "deleted").await?;
    world.until("the node is well", async || Ok(world.agent(STORE).await?.degraded.is_none())).await?;
    let later = volume(&world, "later").await?;
    // The positive control: in a listing that is complete, what is missing is lost, and not made again.
    let made = creations(&world).await?;
    let store = world.storage(STORE).context("a store")?;
    store.world().change(|state| {
        let owned = |volume: &arame_sta::sim::SimVolume| volume.mark.as_ref().is_some_and(|mark| mark.owner == kept.id);
        state.volumes.retain(|_, volume| !owned(volume));
    })?;
    world.surveyed(STORE).await?;
    world.volume_in(&kept.id, "lost").await?;
    let findings = audit(&world).await?;
    let lost = findings.iter().find(|finding| finding.kind == FindingKind::Lost).context("the audit shows it")?;
    ensure!(lost.thing == kept.id && lost.rule == FindingRule::OwnerDeletes, "{lost:?}");
    world.settled().await?;
    ensure!(creations(&world).await? == made, "a blank volume was made in a lost one's name");
    for id in [&kept.id, &later.id] {
        delete_volume(&world, id).await?;
        world.volume_in(id, "deleted").await?;
    }
    world.ends_clean().await
}

/// The next look at one backend fails.
fn blind(verb: &str) -> Fault {
    Fault {
        kind: Some(verb.into()),
        thing: None,
        point: Point::BeforeEffect,
        action: Action::Fail,
        times: 1,
        fails_as: FailsAs::Simulated,
    }
}

/// Sabotage: as above: the machine's disk is lost because the hypervisor did not answer once.
#[tokio::test(flavor = "multi_thread")]
async fn a_hypervisor_that_cannot_be_looked_at_loses_no_machine() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let made = running(&world, World::request("web1")).await?;
    world.settled().await?;
    let jobs = world.jobs_of(&made.id).await?;
    let host = world.hypervisor(HOST).context("a host")?;
    for verb in ["survey", "survey_ports"] {
        host.inject(blind(verb));
        world.surveyed(HOST).await?;
        ensure!(incomplete(&world, HOST, "simulated failure").await?, "{verb}: {:?}", audit(&world).await?);
        ensure!(world.instance(&made.id).await?.state == InstanceState::Running);
    }
    // The positive control: the same silence about the machine, in a listing that is complete.
    let next = world.next_observation(HOST).await?;
    world.say(HOST, exchange::INVENTORY, &World::nothing_there(HOST, next)?).await?;
    let lost = world.instance_in(&made.id, InstanceState::Failed).await?;
    ensure!(lost.failure.as_ref().is_some_and(|failure| failure.code == "disk_lost"), "{lost:?}");
    world.settled().await?;
    ensure!(world.jobs_of(&made.id).await? == jobs, "it was made again");
    world.surveyed(HOST).await?;
    deleted(&world, &made.id).await?;
    world.ends_clean().await
}
