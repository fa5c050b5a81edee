//! Machines brought to other hosts while they run: what becomes of them, who is refused, and what happens in the middle.

use anyhow::ensure;
use arame_dcmgr::app;
use arame_hva::driver::sim::{Action, FailsAs, Fault, Point};
use arame_schema::api::{Code, CreateInstance, Instance, MovePlan, Refusal, Role};
use arame_schema::model::instance::{InstanceState, Shutdown};
use arame_spec::world::{Size, World};
use serde_json::Value;

const FROM: &str = "hn-h1";
const TO: &str = "hn-h2";

fn on(hostname: &str, host: &str) -> CreateInstance {
    let mut request = World::request(hostname);
    request.host_node_id = host.parse().ok();
    request
}

async fn running(world: &World, hostname: &str) -> anyhow::Result<Instance> {
    let made = app::instances::create(&world.app, &world.demo(), on(hostname, FROM)).await;
    let made = made.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    world.instance_in(&made.id, InstanceState::Running).await
}

async fn ask(world: &World, id: &str, to: &str) -> Result<(), Refusal> {
    app::moves::start(&world.app, &world.demo(), id, to).await
}

async fn begun(world: &World, id: &str) -> anyhow::Result<()> {
    ask(world, id, TO).await.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
}

async fn codes(world: &World, id: &str) -> anyhow::Result<Vec<String>> {
    let told = app::instances::timeline(&world.app, &world.demo(), id).await;
    let told = told.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    Ok(told.into_iter().map(|event| event.code).collect())
}

/// Agents whose world holds something of the instance.
fn places(world: &World, id: &str) -> anyhow::Result<Vec<String>> {
    let parts = ["domains", "disks", "records", "ports", "waiting"];
    let hosts = world.worlds()?.into_iter().filter(|(agent, _)| agent.starts_with("hva."));
    let found = hosts.filter(|(_, seen)| parts.iter().any(|part| seen[part].to_string().contains(id)));
    Ok(found.map(|(agent, _)| agent).collect())
}

/// It runs, on this host alone, and the audit finds nothing.
async fn is_only_on(world: &World, id: &str, host: &str) -> anyhow::Result<()> {
    let row = world.instance_in(id, InstanceState::Running).await?;
    ensure!(row.host_node.as_deref() == Some(host), "it is on {:?}", row.host_node);
    world.settled().await?;
    let agent = host.replace("hn-", "hva.");
    ensure!(places(world, id)? == [agent], "{id} is at {:?}", places(world, id)?);
    let findings = app::audit::findings(&world.app, &world.demo(), true).await;
    let findings = findings.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    ensure!(findings.is_empty(), "{findings:#?}");
    Ok(())
}

/// Sabotage: `set_moved` leaves the version of the old host's policy: it stays `starting` until the new host's has grown as
/// far. Found by the chaos.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_from_a_host_whose_policy_changed_often_starts_again_where_it_went() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    for n in 0..8 {
        running(&world, &format!("m{n}")).await?;
    }
    let made = running(&world, "web1").await?;
    let versions = "SELECT a.policy_version > b.policy_version + 5 AS n FROM host_nodes a JOIN host_nodes b \
                    ON a.id = 'hn-h1' AND b.id = 'hn-h2'";
    ensure!(world.count(versions).await? == 1, "the old host's policy is not far ahead");
    begun(&world, &made.id).await?;
    is_only_on(&world, &made.id, TO).await?;
    let off = app::instances::power_off(&world.app, &world.demo(), &made.id, Shutdown::Hard).await;
    off.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    world.instance_in(&made.id, InstanceState::Halted).await?;
    let on = app::instances::power_on(&world.app, &world.demo(), &made.id).await;
    on.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    world.instance_in(&made.id, InstanceState::Running).await?;
    Ok(())
}

async fn ends(world: &World, id: &str) -> anyhow::Result<()> {
    let deleted = app::instances::delete(&world.app, &world.demo(), id).await;
    deleted.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    world.instance_in(id, InstanceState::Terminated).await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_machine_goes_to_another_host_and_back_without_starting_anew() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = running(&world, "web1").await?;
    begun(&world, &made.id).await?;
    is_only_on(&world, &made.id, TO).await?;
    let told = codes(&world, &made.id).await?;
    ensure!(told.contains(&"move_requested".to_owned()) && told.contains(&"moved".to_owned()), "{told:?}");
    ensure!(ask(&world, &made.id, FROM).await.is_ok());
    is_only_on(&world, &made.id, FROM).await?;
    let starts = &world.worlds()?["hva.h1"]["domains"][&made.id]["starts"];
    ensure!(*starts == 1, "its guest began {starts} times");
    let told = codes(&world, &made.id).await?;
    ensure!(!told.iter().any(|code| code.starts_with("guest_died")), "leaving a host is no death: {told:?}");
    ends(&world, &made.id).await
}

fn code(result: Result<(), Refusal>) -> Option<Code> {
    result.err().map(|refusal| refusal.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_cannot_be_done_is_refused_before_anything_is_changed() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 3, ..Size::default() }).await?;
    let made = running(&world, "web1").await?;
    ensure!(code(ask(&world, &made.id, FROM).await) == Some(Code::InvalidParameter), "it is there already");
    ensure!(code(ask(&world, &made.id, "hn-nowhere").await) == Some(Code::UnknownResource));
    ensure!(code(ask(&world, "i-nothing", TO).await) == Some(Code::UnknownResource));
    let operator = world.caller("a-demo", Role::Admin);
    let cordoned = app::nodes::set_scheduling(&world.app, &operator, "hn-h3", false).await;
    ensure!(cordoned.is_ok());
    ensure!(code(ask(&world, &made.id, "hn-h3").await) == Some(Code::OutOfHostCapacity), "it takes no new ones");
    ensure!(code(app::moves::cancel(&world.app, &world.demo(), &made.id).await) == Some(Code::InvalidInstanceState));
    let before = world.jobs_of(&made.id).await?;
    ensure!(before.iter().all(|job| !job.contains("receive")), "{before:?}");
    let halted = app::instances::power_off(&world.app, &world.demo(), &made.id, Shutdown::Hard).await;
    ensure!(halted.is_ok());
    world.instance_in(&made.id, InstanceState::Halted).await?;
    ensure!(code(ask(&world, &made.id, TO).await) == Some(Code::InvalidInstanceState), "it does not run");
    ends(&world, &made.id).await
}

/// Keeps a job of a move back until the story has looked.
fn kept(world: &World, agent: &str, kind: &'static str) -> arame_framework::bus::memory::KeptBack {
    world.broker.keep_back(&format!("job.{agent}"), move |body| {
        let message: Value = serde_json::from_slice(body).unwrap_or_default();
        message["kind"] == kind
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_a_move_other_changes_are_refused_and_a_deletion_wins() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = running(&world, "web1").await?;
    let held = kept(&world, "hva.h1", "hva.instance.send");
    begun(&world, &made.id).await?;
    world.instance_in(&made.id, InstanceState::Migrating).await?;
    world.until("it waits on the other host", async || Ok(!held.bodies().is_empty())).await?;
    let (app, demo) = (&world.app, &world.demo());
    let off = app::instances::power_off(app, demo, &made.id, Shutdown::Hard).await.map(drop);
    ensure!(code(off) == Some(Code::InstanceMigrating));
    let reboot = app::instances::reboot(app, demo, &made.id).await.map(drop);
    ensure!(code(reboot) == Some(Code::InstanceMigrating));
    ensure!(code(ask(&world, &made.id, FROM).await) == Some(Code::InstanceMigrating));
    ensure!(ask(&world, &made.id, TO).await.is_ok(), "the same again is the same");
    ensure!(places(&world, &made.id)?.len() == 2, "the control: both hosts know it");
    let deleted = app::instances::delete(app, demo, &made.id).await;
    ensure!(deleted.is_ok(), "{deleted:?}");
    world.instance_in(&made.id, InstanceState::Terminated).await?;
    // The send that was held comes late, and finds nothing that it could send.
    held.let_through();
    world.settled().await?;
    ensure!(places(&world, &made.id)?.is_empty(), "{:?}", places(&world, &made.id)?);
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_taken_back_leaves_the_machine_where_it_was() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = running(&world, "web1").await?;
    let held = kept(&world, "hva.h1", "hva.instance.send");
    begun(&world, &made.id).await?;
    world.until("it waits on the other host", async || Ok(!held.bodies().is_empty())).await?;
    let cancelled = app::moves::cancel(&world.app, &world.demo(), &made.id).await;
    ensure!(cancelled.is_ok(), "{cancelled:?}");
    is_only_on(&world, &made.id, FROM).await?;
    held.let_through();
    is_only_on(&world, &made.id, FROM).await?;
    let told = codes(&world, &made.id).await?;
    ensure!(told.contains(&"move_cancelled".to_owned()), "{told:?}");
    ends(&world, &made.id).await
}

fn fails(verb: &str, times: u32) -> Fault {
    Fault {
        kind: Some(verb.into()),
        thing: None,
        point: Point::BeforeEffect,
        action: Action::Fail,
        times,
        fails_as: FailsAs::Simulated,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_take_it_is_given_up_and_the_timeline_says_why() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = running(&world, "web1").await?;
    let other = world.hypervisor("hva.h2").ok_or_else(|| anyhow::anyhow!("no such host"))?;
    other.inject(fails("ensure_waiting", 100));
    begun(&world, &made.id).await?;
    is_only_on(&world, &made.id, FROM).await?;
    let told = app::instances::timeline(&world.app, &world.demo(), &made.id).await;
    let told = told.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    let given_up = told.iter().find(|event| event.code == "move_given_up");
    let why = given_up.and_then(|event| event.values.get("code")).map(String::as_str);
    ensure!(why == Some("simulated"), "{told:#?}");
    ends(&world, &made.id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_dies_in_the_middle_stays_and_is_started_again() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = running(&world, "web1").await?;
    let held = kept(&world, "hva.h1", "hva.instance.send");
    begun(&world, &made.id).await?;
    world.until("it waits on the other host", async || Ok(!held.bodies().is_empty())).await?;
    let here = world.hypervisor("hva.h1").ok_or_else(|| anyhow::anyhow!("no such host"))?;
    here.kill_guest(&made.id.parse()?).await?;
    held.let_through();
    is_only_on(&world, &made.id, FROM).await?;
    let told = codes(&world, &made.id).await?;
    ensure!(told.contains(&"move_given_up".to_owned()), "{told:?}");
    let starts = &world.worlds()?["hva.h1"]["domains"][&made.id]["starts"];
    ensure!(*starts == 2, "its guest began {starts} times");
    ends(&world, &made.id).await
}

/// The source ends between its mark and the moment the other side runs: the guest is run by nobody, and nobody but the
/// other host may run it.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_was_given_away_and_not_let_run_is_let_run_later() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = running(&world, "web1").await?;
    let here = world.hypervisor("hva.h1").ok_or_else(|| anyhow::anyhow!("no such host"))?;
    here.inject(fails("let_run", 2));
    begun(&world, &made.id).await?;
    is_only_on(&world, &made.id, TO).await?;
    let starts = &world.worlds()?["hva.h2"]["domains"][&made.id]["starts"];
    ensure!(*starts == 1, "its guest began {starts} times");
    ends(&world, &made.id).await
}

/// The send that alone can end it is not ended by what the cancellation asks for, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_cancelled_when_its_guest_was_given_away_comes_back_with_few_jobs() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = running(&world, "web1").await?;
    let here = world.hypervisor("hva.h1").ok_or_else(|| anyhow::anyhow!("no such host"))?;
    here.inject(fails("let_run", 3));
    begun(&world, &made.id).await?;
    let failed = format!("SELECT id FROM jobs WHERE thing = '{}' AND error_message LIKE '%let_run%'", made.id);
    world
        .until("its guest was given away and not let run", async || {
            Ok(!world.db().rows(failed.as_str(), ()).await?.is_empty())
        })
        .await?;
    let cancelled = app::moves::cancel(&world.app, &world.demo(), &made.id).await;
    ensure!(cancelled.is_ok(), "{cancelled:?}");
    world.instance_in(&made.id, InstanceState::Running).await?;
    is_only_on(&world, &made.id, FROM).await?;
    let jobs = world.db().rows(format!("SELECT id FROM jobs WHERE thing = '{}'", made.id), ()).await?.len();
    ensure!(jobs <= 60, "it took {jobs} jobs");
    ends(&world, &made.id).await
}

/// Where it came from is dead before anything was removed there. Found by the walk of the plan.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_has_arrived_does_not_wait_for_the_host_it_came_from() -> anyhow::Result<()> {
    let mut world = World::start(Size::default()).await?;
    let made = running(&world, "web1").await?;
    let held = kept(&world, "hva.h1", "hva.instance.delete");
    begun(&world, &made.id).await?;
    world.until("it is to be removed where it was", async || Ok(!held.bodies().is_empty())).await?;
    ensure!(places(&world, &made.id)?.len() == 2, "the control: something of it is left where it was");
    world.kill_agent("hva.h1").await;
    drop(held);
    let row = world.instance_in(&made.id, InstanceState::Running).await?;
    ensure!(row.host_node.as_deref() == Some(TO), "it is on {:?}", row.host_node);
    let again = app::instances::reboot(&world.app, &world.demo(), &made.id).await;
    ensure!(again.is_ok(), "{again:?}");
    world.start_agent("hva.h1", 0).await?;
    world.until("nothing is left where it was", async || Ok(places(&world, &made.id)? == ["hva.h2"])).await?;
    is_only_on(&world, &made.id, TO).await?;
    ends(&world, &made.id).await
}

/// Asked again while it is measured, as people do.
async fn foretold(world: &World, id: &str) -> anyhow::Result<MovePlan> {
    let mut plan = MovePlan::default();
    for _ in 0..20 {
        let told = app::moves::forecast::plan(&world.app, &world.demo(), id, TO).await;
        plan = told.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        if why(&plan) != Some("measuring") {
            break;
        }
    }
    Ok(plan)
}

fn why(plan: &MovePlan) -> Option<&str> {
    plan.forecast.as_ref()?.why.as_ref().map(|why| why.code.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_a_move_takes_is_told_before_and_nothing_is_changed_by_asking() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = running(&world, "web1").await?;
    let before = (world.jobs_of(&made.id).await?, codes(&world, &made.id).await?);
    let plan = foretold(&world, &made.id).await?;
    let forecast = plan.forecast.clone().unwrap_or_default();
    ensure!(plan.refusals.is_empty() && why(&plan).is_none(), "{plan:?}");
    ensure!(forecast.converges == Some(true) && forecast.measured_at.is_some(), "{forecast:?}");
    let times = (forecast.seconds, forecast.plus_minus_seconds, forecast.pause_ms);
    // 3/4 of 256 MiB over 1 GiB a second, with what comes before and after.
    ensure!(matches!(times, (Some(2..=3), Some(1..=3), Some(300..=600))), "{forecast:?}");
    ensure!(before == (world.jobs_of(&made.id).await?, codes(&world, &made.id).await?), "it was only asked");
    let moves = world.count("SELECT COUNT(*) AS n FROM instance_moves").await?;
    ensure!(moves == 0, "{moves} moves");
    begun(&world, &made.id).await?;
    is_only_on(&world, &made.id, TO).await?;
    ends(&world, &made.id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_would_not_converge_is_told_with_its_rates() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = running(&world, "web1").await?;
    let source = world.hypervisor("hva.h1").ok_or_else(|| anyhow::anyhow!("no h1"))?;
    source.narrow_link(512 << 10);
    let forecast = foretold(&world, &made.id).await?.forecast.unwrap_or_default();
    ensure!(forecast.converges == Some(false) && forecast.seconds.is_none(), "{forecast:?}");
    ensure!(forecast.dirty_bytes_per_second >= forecast.link_bytes_per_second, "{forecast:?}");
    ensure!(forecast.why.is_some_and(|why| why.code == "will_not_converge"));
    ends(&world, &made.id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_refused_is_not_measured_and_a_silent_host_is_told_as_silent() -> anyhow::Result<()> {
    let mut world = World::start(Size::default()).await?;
    let made = running(&world, "web1").await?;
    let there = app::moves::forecast::plan(&world.app, &world.demo(), &made.id, FROM).await;
    let there = there.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    ensure!(there.forecast.is_none() && there.refusals.len() == 1, "it is there already: {there:?}");
    ensure!(foretold(&world, &made.id).await?.forecast.is_some_and(|told| told.seconds.is_some()), "the control");
    world.kill_agent("hva.h1").await;
    world
        .until("h1 is told as offline", async || {
            let host = app::nodes::host(&world.app, &world.caller("a-demo", Role::Admin), FROM).await;
            Ok(host.is_ok_and(|host| host.status == "offline"))
        })
        .await?;
    let plan = foretold(&world, &made.id).await?;
    ensure!(why(&plan) == Some("host_silent"), "{plan:?}");
    ensure!(plan.forecast.is_some_and(|told| told.seconds.is_none() && told.memory_bytes.is_none()));
    world.start_agent("hva.h1", 0).await?;
    ends(&world, &made.id).await
}
