//! Hosts that an operator declares lost: what is told before, what is freed and by which proof, and what a host that comes
//! back finds. Each story says which rule it would fail without.

use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_schema::api::{Code, CreateVolume, DeclareLost, HostLoss, Instance, InstanceFate, Refusal, Role, Volume};
use arame_schema::model::instance::InstanceState;
use arame_spec::world::{Size, World};

const LOST: &str = "hn-h1";
const AGENT: &str = "hva.h1";

fn told<T>(answer: Result<T, Refusal>) -> anyhow::Result<T> {
    answer.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
}

fn code<T>(answer: Result<T, Refusal>) -> Option<Code> {
    answer.err().map(|refusal| refusal.code)
}

async fn on(world: &World, hostname: &str, host: &str) -> anyhow::Result<Instance> {
    let mut request = World::request(hostname);
    request.host_node_id = host.parse().ok();
    let made = told(app::instances::create(&world.app, &world.demo(), request).await)?;
    world.instance_in(&made.id, InstanceState::Running).await
}

async fn volume_for(world: &World, instance: &str) -> anyhow::Result<Volume> {
    let request = CreateVolume {
        volume_size: 64,
        display_name: None,
        backup_object_id: None,
        snapshot_id: None,
        replica_id: None,
    };
    let made = told(app::volumes::create(&world.app, &world.demo(), request).await)?;
    world.volume_in(&made.id, "available").await?;
    told(app::volumes::attach(&world.app, &world.demo(), &made.id, instance).await)?;
    world.volume_in(&made.id, "attached").await
}

async fn silent(world: &World, agent: &str) -> anyhow::Result<()> {
    world.until(&format!("{agent} is silent"), async || Ok(!world.agent(agent).await?.online)).await
}

/// A change is known by its request: each has one of its own.
fn operator(world: &World) -> app::Caller {
    world.caller("a-demo", Role::Operator)
}

/// What the host's simulated world has of the instance; that it was told of its end is no part of it.
fn left(world: &World, agent: &str, id: &str) -> anyhow::Result<Vec<&'static str>> {
    let seen = world.worlds()?.remove(agent).context("its world")?;
    let parts = ["domains", "disks", "records", "ports", "waiting"].into_iter();
    Ok(parts.filter(|part| seen[part].to_string().contains(id)).collect())
}

async fn declare(world: &World, host: &str) -> Result<HostLoss, Refusal> {
    app::losses::declare(&world.app, &operator(world), host, DeclareLost { confirm: Some(host.to_owned()) }).await
}

async fn status(world: &World, host: &str) -> anyhow::Result<String> {
    let view = told(app::nodes::host(&world.app, &operator(world), host).await)?;
    Ok(view.status)
}

async fn events(world: &World, resource: &str) -> anyhow::Result<Vec<String>> {
    let statement = format!("SELECT code FROM events WHERE resource = '{resource}' ORDER BY id");
    let rows = world.db().rows(statement, ()).await?;
    rows.iter().map(|row| Ok(arame_dcmgr::db::Columns::text(row, "code")?)).collect()
}

fn failure(instance: &Instance) -> &str {
    instance.failure.as_ref().map_or("", |failure| &failure.code)
}

/// What the host's simulated world says of the guest's power.
fn power(world: &World, agent: &str, id: &str) -> anyhow::Result<String> {
    Ok(world.worlds()?[agent]["domains"][id]["power"].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_heard_is_not_declared_lost_and_nothing_is_done_without_its_id_said_once_more()
-> anyhow::Result<()> {
    let mut world = World::start(Size::default()).await?;
    let made = on(&world, "web1", LOST).await?;
    ensure!(code(declare(&world, LOST).await) == Some(Code::HostHeard));
    let plan = told(app::losses::plan(&world.app, &operator(&world), LOST).await)?;
    ensure!(plan.refusals.iter().any(|refusal| refusal.reason == "host_heard"), "{plan:?}");

    world.kill_agent(AGENT).await;
    silent(&world, AGENT).await?;
    let plan = told(app::losses::plan(&world.app, &operator(&world), LOST).await)?;
    ensure!(!plan.declared && plan.refusals.is_empty(), "{plan:?}");
    ensure!(plan.instances.iter().any(|one| one.id == made.id && one.fate == InstanceFate::Lost), "{plan:?}");
    for confirm in [None, Some("hn-h2".to_owned())] {
        let answer = app::losses::declare(&world.app, &operator(&world), LOST, DeclareLost { confirm }).await;
        ensure!(matches!(code(answer), Some(Code::MissingParameter | Code::InvalidParameter)));
    }
    ensure!(code(declare(&world, "hn-none").await) == Some(Code::UnknownResource));
    ensure!(status(&world, LOST).await? == "offline", "a plan changes nothing");
    ensure!(world.instance(&made.id).await?.failure.is_none(), "a plan changes nothing");
    ensure!(told(declare(&world, LOST).await)?.declared, "control");
    ensure!(status(&world, LOST).await? == "lost", "control");
    Ok(())
}

/// Without the fence the volume stays `detaching` until the host is back; without its proof it would be free at once.
#[tokio::test(flavor = "multi_thread")]
async fn the_volumes_of_a_lost_host_are_free_once_they_are_fenced_and_its_machines_wait_for_it() -> anyhow::Result<()> {
    let mut world = World::start(Size::default()).await?;
    let (lost, other) = (on(&world, "web1", LOST).await?, on(&world, "web2", "hn-h2").await?);
    let volume = volume_for(&world, &lost.id).await?;
    world.kill_agent(AGENT).await;
    silent(&world, AGENT).await?;
    // While nothing can be proved nobody gets the volume.
    world.kill_agent("sta.s1").await;
    silent(&world, "sta.s1").await?;
    let loss = told(declare(&world, LOST).await)?;
    ensure!(loss.volumes.iter().map(|one| &one.id).collect::<Vec<_>>() == [&volume.id], "{loss:?}");
    let view = world.instance_in(&lost.id, InstanceState::Failed).await?;
    ensure!(failure(&view) == "host_lost", "{:?}", view.failure);
    let early = app::volumes::attach(&world.app, &world.demo(), &volume.id, &other.id).await;
    ensure!(code(early) == Some(Code::VolumeAttached), "it is given away before it is fenced");
    ensure!(code(app::instances::power_on(&world.app, &world.demo(), &lost.id).await) == Some(Code::HostLost));

    // A proof that fails half way, and a dcmgr that dies meanwhile: it is asked for again.
    let faults = "[[sta.sim.faults]]\nat = 'fence:removed'\naction = 'fail'\ntimes = 2\n";
    world.start_agent_with("sta.s1", 0, faults).await?;
    world.kill_dcmgr().await;
    world.restart_dcmgr().await?;
    world.volume_in(&volume.id, "available").await?;
    ensure!(events(&world, &volume.id).await?.contains(&"volume_fenced".to_owned()), "the proof is not told");
    told(app::volumes::attach(&world.app, &world.demo(), &volume.id, &other.id).await)?;
    world.volume_in(&volume.id, "attached").await?;

    // The old host is back, with its guest running: it is stopped, found, and can be switched on again.
    world.start_agent(AGENT, 0).await?;
    world.until("the host has given up", async || Ok(status(&world, LOST).await? == "online")).await?;
    let found = world.instance_in(&lost.id, InstanceState::Halted).await?;
    ensure!(found.failure.is_none(), "{:?}", found.failure);
    ensure!(power(&world, AGENT, &lost.id)?.contains("off"), "{}", power(&world, AGENT, &lost.id)?);
    ensure!(events(&world, &lost.id).await?.contains(&"found_with_host".to_owned()), "that it was found is not told");
    let view = told(app::nodes::host(&world.app, &operator(&world), LOST).await)?;
    ensure!(!view.scheduling_enabled, "an operator says when it takes new ones");
    ensure!(world.volume_in(&volume.id, "attached").await?.instance_id.as_deref() == Some(&*other.id));
    told(app::instances::power_on(&world.app, &world.demo(), &lost.id).await)?;
    world.instance_in(&lost.id, InstanceState::Running).await?;
    world.ends_clean().await
}

/// A guest that hangs while it is made, so that nobody ever saw it run.
const NEVER_MADE: &str =
    "[[hva.sim.faults]]\nkind = 'ensure_disk'\npoint = 'before_effect'\naction = 'hang'\ntimes = 1\n";

/// Without `may_start_elsewhere` it would start before the proof; without `stray_of_lost` two would run when the host is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_never_ran_is_made_elsewhere_after_its_volume_is_fenced_and_the_old_host_keeps_nothing()
-> anyhow::Result<()> {
    let mut world = World::start(Size::default()).await?;
    world.kill_agent(AGENT).await;
    world.start_agent_with(AGENT, 0, NEVER_MADE).await?;
    told(app::nodes::set_scheduling(&world.app, &operator(&world), "hn-h2", false).await)?;
    let request = CreateVolume {
        volume_size: 64,
        display_name: None,
        backup_object_id: None,
        snapshot_id: None,
        replica_id: None,
    };
    let volume = told(app::volumes::create(&world.app, &world.demo(), request).await)?;
    world.volume_in(&volume.id, "available").await?;
    let made = world.launch("web1").await?;
    world.instance_in(&made.id, InstanceState::Initializing).await?;
    told(app::volumes::attach(&world.app, &world.demo(), &volume.id, &made.id).await)?;
    let exported = format!(
        "SELECT COUNT(*) AS n FROM facts f JOIN attachments t ON t.id = f.thing WHERE t.volume_id = '{}' \
                            AND f.name = 'exported' AND f.value = 'yes'",
        volume.id
    );
    world.until("the volume is exported", async || Ok(world.count(&exported).await? == 1)).await?;
    told(app::nodes::set_scheduling(&world.app, &operator(&world), "hn-h2", true).await)?;
    world.kill_agent(AGENT).await;
    silent(&world, AGENT).await?;
    world.kill_agent("sta.s1").await;
    silent(&world, "sta.s1").await?;

    let loss = told(declare(&world, LOST).await)?;
    ensure!(loss.instances.iter().any(|one| one.id == made.id && one.fate == InstanceFate::PlacedAgain), "{loss:?}");
    ensure!(loss.volumes.iter().all(|one| one.follows_instance), "{loss:?}");
    ensure!(world.instance(&made.id).await?.host_node.as_deref() == Some(LOST), "it is placed before the proof");
    world.start_agent("sta.s1", 0).await?;
    let running = world.instance_in(&made.id, InstanceState::Running).await?;
    ensure!(running.host_node.as_deref() == Some("hn-h2"), "{:?}", running.host_node);
    world.volume_in(&volume.id, "attached").await?;
    let told_of = events(&world, &made.id).await?;
    ensure!(told_of.contains(&"placed_elsewhere".to_owned()), "{told_of:?}");
    ensure!(events(&world, &volume.id).await?.contains(&"volume_fenced".to_owned()));

    world.start_agent(AGENT, 0).await?;
    world.until("the host has given up", async || Ok(status(&world, LOST).await? == "online")).await?;
    world.settled().await?;
    ensure!(left(&world, AGENT, &made.id)?.is_empty(), "{:?}", left(&world, AGENT, &made.id)?);
    world.ends_clean().await
}

/// Without the rule about the policy it would get the network's rules while its guests still run.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_back_before_its_volumes_are_fenced_stops_its_guests_and_gets_nothing_back() -> anyhow::Result<()>
{
    let mut world = World::start(Size::default()).await?;
    let lost = on(&world, "web1", LOST).await?;
    let volume = volume_for(&world, &lost.id).await?;
    for agent in [AGENT, "sta.s1"] {
        world.kill_agent(agent).await;
        silent(&world, agent).await?;
    }
    told(declare(&world, LOST).await)?;
    world.start_agent(AGENT, 0).await?;
    world.until("its guest is stopped", async || Ok(power(&world, AGENT, &lost.id)?.contains("off"))).await?;
    ensure!(world.volume_in(&volume.id, "detaching").await.is_ok(), "it is free without a proof");
    world.start_agent("sta.s1", 0).await?;
    world.volume_in(&volume.id, "available").await?;
    world.until("the host has given up", async || Ok(status(&world, LOST).await? == "online")).await?;
    world.instance_in(&lost.id, InstanceState::Halted).await?;
    let policies = format!(
        "SELECT COUNT(*) AS n FROM jobs p JOIN jobs i ON i.thing = '{}' AND i.state = 'done' \
        AND i.kind = 'hva.instance.apply' WHERE p.thing = '{LOST}' AND p.seq < i.seq AND p.created_at > \
        (SELECT MAX(at) FROM events WHERE resource = '{LOST}' AND code = 'host_declared_lost') AND i.created_at > p.created_at",
        lost.id
    );
    ensure!(world.count(&policies).await? == 0, "it heard of the network before its guest was stopped");
    world.ends_clean().await
}

/// An instance that is deleted while its host is lost is gone at once, with its addresses, and its volume is fenced all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_of_a_lost_host_can_be_deleted_and_the_host_removes_it_when_it_is_back() -> anyhow::Result<()> {
    let mut world = World::start(Size::default()).await?;
    let lost = on(&world, "web1", LOST).await?;
    let volume = volume_for(&world, &lost.id).await?;
    world.kill_agent(AGENT).await;
    silent(&world, AGENT).await?;
    told(declare(&world, LOST).await)?;
    told(app::instances::delete(&world.app, &world.demo(), &lost.id).await)?;
    world.instance_in(&lost.id, InstanceState::Terminated).await?;
    world.volume_in(&volume.id, "available").await?;
    let cooling = "SELECT COUNT(*) AS n FROM ip_leases WHERE released_at IS NOT NULL";
    ensure!(world.count(cooling).await? == 1, "control: its address cools");
    world
        .until("its address is free", async || {
            arame_dcmgr::db::networks::end_cooling(world.db(), 0).await?;
            Ok(world.count(cooling).await? == 0)
        })
        .await?;
    world.start_agent(AGENT, 0).await?;
    world.until("the host has given up", async || Ok(status(&world, LOST).await? == "online")).await?;
    world.settled().await?;
    ensure!(left(&world, AGENT, &lost.id)?.is_empty(), "{:?}", left(&world, AGENT, &lost.id)?);
    world.ends_clean().await
}

/// Both hosts of a move: the machine stays where it is whole, and is lost with a host that had it alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_on_its_way_stays_where_it_is_whole_when_the_other_host_is_lost() -> anyhow::Result<()> {
    let mut world = World::start(Size::default()).await?;
    let made = on(&world, "web1", "hn-h2").await?;
    world.kill_agent(AGENT).await;
    told(app::moves::start(&world.app, &world.demo(), &made.id, LOST).await)?;
    silent(&world, AGENT).await?;
    let loss = told(declare(&world, LOST).await)?;
    ensure!(loss.instances.iter().any(|one| one.id == made.id && one.fate == InstanceFate::Stays), "{loss:?}");
    let stays = world.instance_in(&made.id, InstanceState::Running).await?;
    ensure!(stays.host_node.as_deref() == Some("hn-h2"), "{:?}", stays.host_node);
    world.start_agent(AGENT, 0).await?;
    world.until("the host has given up", async || Ok(status(&world, LOST).await? == "online")).await?;
    world.settled().await?;
    ensure!(left(&world, AGENT, &made.id)?.is_empty(), "{:?}", left(&world, AGENT, &made.id)?);
    world.ends_clean().await
}

/// Without the note of what was told each look would tell it again; without the looks in a row a slow heartbeat would be told.
#[tokio::test(flavor = "multi_thread")]
async fn that_a_host_fell_silent_is_told_once_and_once_that_it_is_heard_again() -> anyhow::Result<()> {
    let mut world = World::start(Size::default()).await?;
    world.until("both hosts are heard", async || Ok(status(&world, LOST).await? == "online")).await?;
    world.kill_agent(AGENT).await;
    let of = |codes: Vec<String>| codes.into_iter().filter(|code| code.starts_with("node_")).collect::<Vec<_>>();
    world.until("its silence is told", async || Ok(of(events(&world, LOST).await?) == ["node_silent"])).await?;
    // A dcmgr that begins anew does not tell it again, nor of those whom it has not heard yet.
    world.kill_dcmgr().await;
    world.restart_dcmgr().await?;
    world.start_agent(AGENT, 0).await?;
    world.until("its return is told", async || Ok(of(events(&world, LOST).await?).len() > 1)).await?;
    ensure!(of(events(&world, LOST).await?) == ["node_silent", "node_heard"], "{:?}", events(&world, LOST).await?);
    ensure!(of(events(&world, "hn-h2").await?).is_empty(), "the other host was heard all the time");
    let statement = "SELECT vals FROM events WHERE code = 'node_heard'";
    let values: serde_json::Value = serde_json::from_str(&arame_dcmgr::db::Columns::text(
        world.db().rows(statement, ()).await?.first().context("the event")?,
        "vals",
    )?)?;
    let seconds: u64 = values["seconds"].as_str().context("for how long")?.parse()?;
    ensure!(values["agent"] == AGENT && seconds >= 15, "{values}");
    Ok(())
}
