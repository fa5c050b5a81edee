//! Who may speak for an agent: the newest process of the machine that joined, and nobody else (DESIGN, Identity).

use crate::support::{
    address, ask, delete_volume, deleted, finds, left_of, on_host, read, running, says, told, volume,
};
use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_schema::api::{FindingKind, Language, Localise};
use arame_schema::jobs::exchange;
use arame_schema::jobs::report::Hello;
use arame_schema::model::Observation;
use arame_schema::model::instance::InstanceState;
use arame_spec::world::{Lost, Size, World};
use serde_json::json;

const HOST: &str = "hva.h1";

/// Sabotage: `outcome::settle_in` settles an outcome without looking whose process it is from: the machine runs on the
/// older process's word.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_with_one_id_the_older_ends_and_counts_for_nothing() -> anyhow::Result<()> {
    let mut world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let first = running(&world, World::request("first")).await?;
    world.settled().await?;
    let older = world.agent(HOST).await?;
    let applies = |incarnation| {
        move |body: &[u8]| {
            let message: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let is_older = message["incarnation"].as_u64() <= Some(older.incarnation);
            message["kind"] == "hva.instance.apply" && is_older == incarnation
        }
    };
    let late = world.broker.keep_back("dcmgr.outcome", applies(true));
    let newer = world.broker.keep_back("dcmgr.outcome", applies(false));
    let open = world.launch("open").await?;
    world.until("the older has done the job", async || Ok(!late.bodies().is_empty())).await?;

    world.start_beside(HOST).await?;
    let ended = async || Ok(world.ends_of(HOST).iter().any(|end| end.contains("another process joined as hva.h1")));
    world.until("the older ends with a sentence", ended).await?;
    world.until("the newer was rung for the same job", async || Ok(!newer.bodies().is_empty())).await?;
    let job = |kept: &[Vec<u8>]| read(kept).first().map(|outcome| outcome["job"].clone());
    ensure!(job(&late.bodies()) == job(&newer.bodies()), "{:?}", read(&newer.bodies()));
    let now = world.agent(HOST).await?.incarnation;
    ensure!(now > older.incarnation);

    late.let_through();
    world.heard(exchange::OUTCOME).await?;
    ensure!(world.instance(&open.id).await?.state == InstanceState::Initializing, "the older was believed");
    ensure!(world.jobs_of(&open.id).await? == ["hva.instance.apply open"]);
    newer.let_through();
    world.instance_in(&open.id, InstanceState::Running).await?;
    ensure!(world.jobs_of(&open.id).await? == ["hva.instance.apply done"], "it was done twice");

    // An inventory without anything, a complaint and a hello, each first from the older and then from the newer.
    let late = Observation { incarnation: older.incarnation, seq: u64::MAX >> 1 };
    world.say(HOST, exchange::INVENTORY, &World::nothing_there(HOST, late)?).await?;
    world.say(HOST, exchange::HEARTBEAT, &World::unwell(HOST, older.incarnation)?).await?;
    world.say(HOST, exchange::HELLO, &hello_of(&world, older.nonce).await?).await?;
    for queue in [exchange::INVENTORY, exchange::HEARTBEAT, exchange::HELLO] {
        world.heard(queue).await?;
    }
    let seen = world.agent(HOST).await?;
    ensure!((seen.incarnation, seen.degraded.as_deref()) == (now, None), "{seen:?}");
    for id in [&first.id, &open.id] {
        ensure!(world.instance(id).await?.state == InstanceState::Running);
    }
    world.settled().await?;
    deleted(&world, &first.id).await?;
    let last = running(&world, World::request("last")).await?;
    deleted(&world, &last.id).await?;
    ensure!(left_of(&world, &open.id)?.len() == 4, "{:?}", left_of(&world, &open.id)?);

    // The positive control: said by the newer, the same counts.
    world.say(HOST, exchange::HEARTBEAT, &World::unwell(HOST, now)?).await?;
    world.until("the complaint counts", async || Ok(world.agent(HOST).await?.degraded.is_some())).await?;
    world.until("the agent is well", async || Ok(world.agent(HOST).await?.degraded.is_none())).await?;
    let next = world.next_observation(HOST).await?;
    world.say(HOST, exchange::INVENTORY, &World::nothing_there(HOST, next)?).await?;
    world.instance_in(&open.id, InstanceState::Failed).await?;
    world.surveyed(HOST).await?;
    deleted(&world, &open.id).await?;
    world.ends_clean().await
}

/// A hello as the older process said it.
async fn hello_of(world: &World, nonce: Option<uuid::Uuid>) -> anyhow::Result<Hello> {
    let row = world.agent(HOST).await?;
    Ok(Hello {
        v: arame_schema::limits::WIRE_VERSION,
        agent: HOST.parse()?,
        kind: HOST.parse::<arame_schema::model::AgentId>()?.kind(),
        nonce: nonce.context("it had joined")?,
        key: arame_schema::model::Secret::new("join-key"),
        machine_id: row.machine_id.clone().context("it had joined")?,
        version: String::new(),
        kinds: row.kinds.clone(),
        highest_epoch: 1,
        last_incarnation: row.incarnation,
        capacity: row.capacity,
        endpoints: row.endpoints,
    })
}

/// It asks to join and is refused with a sentence; no row of the agent changes but that somebody asked.
async fn is_refused(world: &mut World, agent: &str, lost: Lost) -> anyhow::Result<()> {
    let (incarnation, before) = (world.agent(agent).await?.incarnation, world.ends_of(agent).len());
    world.reinstall(agent, lost).await?;
    world.start_agent(agent, 0).await?;
    world.until("it ends with a sentence", async || Ok(world.ends_of(agent).len() > before)).await?;
    let sentence = world.ends_of(agent).pop().unwrap_or_default();
    let expected =
        if lost == Lost::Key { "the key is not the one made" } else { "this is not the machine that joined" };
    ensure!(sentence.contains(expected), "{sentence}");
    ensure!(world.agent(agent).await?.incarnation == incarnation, "it was given an incarnation");
    Ok(())
}

/// What the audit says about it, in both languages.
async fn is_shown(world: &World, agent: &str) -> anyhow::Result<()> {
    let findings = crate::support::audit(world).await?;
    let shown = findings.into_iter().find(|finding| finding.kind == FindingKind::AnotherMachine);
    let mut shown = shown.context("the audit shows the other machine")?;
    for (language, next_step) in [(Language::En, "Join it as a new host"), (Language::Ja, "新しいホストとして")]
    {
        shown.localise(language);
        ensure!(shown.sentence.contains(agent) && shown.next_step.contains(next_step), "{shown:?}");
    }
    Ok(())
}

/// Sabotage: `welcome::is_another_machine` answers false: the empty machine is taken for the old one, what it held is
/// lost at once and what waited is made there without a word of anybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_reinstalled_host_is_not_taken_for_the_old_one() -> anyhow::Result<()> {
    let mut world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let ran = running(&world, World::request("ran")).await?;
    world.settled().await?;
    world.kill_agent(HOST).await;
    let waiting = ask(&world, World::request("waiting")).await?;
    for lost in [Lost::Key, Lost::State, Lost::Machine] {
        is_refused(&mut world, HOST, lost).await?;
        ensure!(
            world.hypervisor(HOST).context("a host")?.is_empty(),
            "something was made on the new machine: {lost:?}"
        );
        ensure!(world.instance(&ran.id).await?.state == InstanceState::Running);
        ensure!(world.instance(&waiting.id).await?.state != InstanceState::Running);
    }
    is_shown(&world, HOST).await?;
    ensure!(!finds(&world, FindingKind::MemoryLoss).await?, "an empty host is no older database");

    // The operator's word: the old machine is gone for good. What it held is told as lost and never made blank; what
    // had never run is made, and the host takes new machines.
    told(app::adoption::adopt(&world.app, &world.demo(), HOST).await)?;
    world.kill_agent(HOST).await;
    world.start_agent(HOST, 0).await?;
    let lost = world.instance_in(&ran.id, InstanceState::Failed).await?;
    let mut failure = lost.failure.clone().context("a reason")?;
    for language in [Language::En, Language::Ja] {
        failure.localise(language);
        ensure!(failure.code == "disk_lost" && !failure.next_step.is_empty(), "{failure:?}");
    }
    world.instance_in(&waiting.id, InstanceState::Running).await?;
    let fresh = running(&world, on_host("fresh", "hn-h1")).await?;
    ensure!(address(&fresh) != address(&ran) && left_of(&world, &ran.id)?.is_empty());
    ensure!(!finds(&world, FindingKind::AnotherMachine).await?);
    for id in [&ran.id, &waiting.id, &fresh.id] {
        deleted(&world, id).await?;
    }
    world.ends_clean().await
}

/// Sabotage: as above, and `plan::volume` asks for a creation although the volume was present once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_reinstalled_storage_node_held_is_lost_and_never_made_blank() -> anyhow::Result<()> {
    let agent = "sta.s1";
    let mut world = World::start(Size { hosts: 1, ..Size::default() }).await?;
    let held = volume(&world, "held").await?;
    world.settled().await?;
    for lost in [Lost::State, Lost::Machine] {
        is_refused(&mut world, agent, lost).await?;
        ensure!(world.volume_in(&held.id, "available").await?.state.as_str() == "available");
    }
    is_shown(&world, agent).await?;
    told(app::adoption::adopt(&world.app, &world.demo(), agent).await)?;
    world.kill_agent(agent).await;
    world.start_agent(agent, 0).await?;
    world.volume_in(&held.id, "lost").await?;
    // The positive control: a new one is made there, and the image, which can be fetched again, is back.
    let fresh = volume(&world, "fresh").await?;
    let guest = running(&world, World::request("guest")).await?;
    ensure!(world.jobs_of(&held.id).await? == ["sta.volume.create done"], "{:?}", world.jobs_of(&held.id).await?);
    let made = world.storage(agent).context("a store")?.world().look(|state| state.volumes.len());
    ensure!(made == 1, "{made} volumes are in the new store");
    for id in [&held.id, &fresh.id] {
        delete_volume(&world, id).await?;
        world.volume_in(id, "deleted").await?;
    }
    deleted(&world, &guest.id).await?;
    world.ends_clean().await
}

/// A message of one agent in another's name is nobody's: not a trap of its own, but what the others rest on.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_agent_says_in_anothers_name_counts_for_nothing() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = running(&world, on_host("mine", "hn-h1")).await?;
    world.settled().await?;
    let next = world.next_observation(HOST).await?;
    let empty = World::nothing_there(HOST, next)?;
    let seen = world.broker.keep_back("dcmgr.inventory", says(json!({ "agent": HOST })));
    world.say("hva.h2", exchange::INVENTORY, &empty).await?;
    ensure!(seen.bodies().len() == 1, "it went by");
    seen.let_through();
    world.heard(exchange::INVENTORY).await?;
    ensure!(world.instance(&made.id).await?.state == InstanceState::Running);
    world.say(HOST, exchange::INVENTORY, &empty).await?;
    world.instance_in(&made.id, InstanceState::Failed).await?;
    world.surveyed(HOST).await?;
    deleted(&world, &made.id).await?;
    world.ends_clean().await
}
