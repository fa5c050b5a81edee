//! An address is given out again only when everything that knew its last owner has said that it forgot (DESIGN 3.11).
//!
//! A second address, which nobody ever knew, is the witness that the sweep has looked: it is freed by the same statement
//! that must keep the first.

use crate::support::{address, ask, deleted, on_host, running, says, told};
use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_schema::api::{Code, CreateInstance, CreateSecurityGroup, Instance};
use arame_spec::world::{Size, World};
use serde_json::json;

/// The same request for one address.
fn at(mut request: CreateInstance, address: &str) -> anyhow::Result<CreateInstance> {
    let vif = json!({ "index": 0, "network": "nw-demo1", "ipv4_addr": address });
    request.vifs.insert("eth0".into(), serde_json::from_value(vif)?);
    Ok(request)
}

async fn is_leased(world: &World, address: &str) -> anyhow::Result<bool> {
    let statement = format!("SELECT COUNT(*) AS n FROM ip_leases WHERE ipv4 = INET_ATON('{address}')");
    Ok(world.count(&statement).await? == 1)
}

/// Everything that cools does so for an hour more, and an address that nobody ever knew is freed: the sweep has looked.
async fn the_sweep_looks(world: &World) -> anyhow::Result<()> {
    let witness = "INSERT INTO ip_leases (network_id, ipv4, vif_id, mac, released_at) \
                   VALUES ('nw-demo2', INET_ATON('10.100.3.250'), 'vif-witness', '52:54:00:00:00:00', UTC_TIMESTAMP(3))";
    let hour = "UPDATE ip_leases SET released_at = released_at - INTERVAL 1 HOUR WHERE released_at IS NOT NULL";
    for statement in [witness, hour] {
        world.db().rows(statement, ()).await?;
    }
    world.until("the witness is freed", async || Ok(!is_leased(world, "10.100.3.250").await?)).await
}

/// Others get other addresses; whoever asks for this one is told.
async fn is_not_given_out(world: &World, released: &str, host: &str) -> anyhow::Result<()> {
    ensure!(is_leased(world, released).await?, "{released} is free");
    let other = running(world, on_host("other", host)).await?;
    ensure!(address(&other) != released, "{released} was given out again");
    let refused = app::instances::create(&world.app, &world.demo(), at(on_host("same", host), released)?).await;
    ensure!(refused.as_ref().is_err_and(|refusal| refusal.code == Code::DuplicateAddress), "{refused:?}");
    deleted(world, &other.id).await
}

/// Freed, and given to whoever asks for it.
async fn is_given_out(world: &World, released: &str, host: &str) -> anyhow::Result<Instance> {
    world.until("the address is freed", async || Ok(!is_leased(world, released).await?)).await?;
    let again = running(world, at(on_host("same", host), released)?).await?;
    ensure!(address(&again) == released, "{again:?}");
    Ok(again)
}

/// Sabotage: `db::networks::end_cooling` takes a host that has not answered since its hello for one that has forgotten
/// (`NOT EXISTS` an older applied version): the address is free while its flows are still there.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_cools_until_the_host_that_was_cut_off_has_forgotten_it() -> anyhow::Result<()> {
    let world = World::start(Size::default()).await?;
    let made = running(&world, on_host("web1", "hn-h1")).await?;
    world.settled().await?;
    // The host does away with the machine; that its flows are to go does not reach it.
    let policy = world.broker.keep_back("job.hva.h1", says(json!({ "kind": "hva.policy.apply" })));
    deleted(&world, &made.id).await?;
    world.until("the new policy was rung", async || Ok(!policy.bodies().is_empty())).await?;
    world.broker.disconnect("hva.h1");
    the_sweep_looks(&world).await?;
    is_not_given_out(&world, &address(&made), "hn-h2").await?;
    // It is back, and has said neither what it has nor that it forgot.
    let listings = world.broker.keep_back("dcmgr.inventory", says(json!({ "agent": "hva.h1" })));
    let (before, rung) = (world.agent("hva.h1").await?.incarnation, policy.bodies().len());
    world.broker.reconnect("hva.h1");
    let back = async || Ok(world.agent("hva.h1").await?.incarnation > before && policy.bodies().len() > rung);
    world.until("the host is back", back).await?;
    the_sweep_looks(&world).await?;
    is_not_given_out(&world, &address(&made), "hn-h2").await?;
    // The positive control: it answers.
    policy.let_through();
    listings.let_through();
    let again = is_given_out(&world, &address(&made), "hn-h1").await?;
    deleted(&world, &again.id).await?;
    world.ends_clean().await
}

/// Sabotage: `advance::instance::end` does not note the hosts whose rules name the group: the next owner of the address
/// is let in by a rule that was made for the last one.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_cools_until_a_host_whose_rules_let_it_in_has_forgotten_it() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 3, ..Size::default() }).await?;
    let group = async |name: &str, rule: String| {
        let request = CreateSecurityGroup { rule, display_name: Some(name.into()), ..CreateSecurityGroup::default() };
        told(app::security_groups::create(&world.app, &world.demo(), request).await)
    };
    let clients = group("clients", String::new()).await?;
    let servers = group("servers", format!("tcp:80,80,{}", clients.id)).await?;
    let of_group = |name: &str, host: &str, group: &str| -> anyhow::Result<CreateInstance> {
        let mut request = on_host(name, host);
        request.security_groups = vec![group.parse()?];
        Ok(request)
    };
    let server = running(&world, of_group("server", "hn-h2", &servers.id)?).await?;
    let client = running(&world, of_group("client", "hn-h1", &clients.id)?).await?;
    world.settled().await?;
    let lets_in = |world: &World| -> anyhow::Result<bool> {
        let seen = world.worlds()?.remove("hva.h2").context("a world")?;
        Ok(seen["policy"].to_string().contains(&address(&client)))
    };
    ensure!(lets_in(&world)?, "its rules do not name the client");
    let policy = world.broker.keep_back("job.hva.h2", says(json!({ "kind": "hva.policy.apply" })));
    deleted(&world, &client.id).await?;
    world.until("the new policy was rung", async || Ok(!policy.bodies().is_empty())).await?;
    the_sweep_looks(&world).await?;
    ensure!(lets_in(&world)?);
    is_not_given_out(&world, &address(&client), "hn-h3").await?;
    policy.let_through();
    let again = is_given_out(&world, &address(&client), "hn-h1").await?;
    ensure!(!lets_in(&world)?);
    deleted(&world, &again.id).await?;
    deleted(&world, &server.id).await?;
    world.ends_clean().await
}

/// Sabotage: `db::networks::end_cooling` asks no naming agent: the dead one would answer for the last owner.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_cools_until_a_naming_agent_that_was_dead_has_forgotten_it() -> anyhow::Result<()> {
    let mut world = World::start(Size { naming: 2, ..Size::default() }).await?;
    let made = running(&world, on_host("web1", "hn-h1")).await?;
    world.settled().await?;
    world.kill_agent("nsa.n2").await;
    let stays = ask(&world, on_host("stays", "hn-h2")).await?;
    deleted(&world, &made.id).await?;
    let version = "SELECT COUNT(*) AS n FROM networks n JOIN facts f ON f.thing = n.id AND f.agent_id = 'nsa.n1' \
                   AND f.name = 'applied' AND f.generation = n.version WHERE n.id = 'nw-demo1'";
    world.until("the living one has forgotten it", async || Ok(world.count(version).await? == 1)).await?;
    the_sweep_looks(&world).await?;
    is_not_given_out(&world, &address(&made), "hn-h2").await?;
    world.start_agent("nsa.n2", 0).await?;
    let again = is_given_out(&world, &address(&made), "hn-h1").await?;
    for id in [&again.id, &stays.id] {
        deleted(&world, id).await?;
    }
    world.ends_clean().await
}
