//! Which naming services serve a network is placed, repaired, and handed on: one that is closed or stays silent is replaced
//! before it is withdrawn, one that returns drops what is not its own any more, and a gateway has a successor.

use crate::support::{address, running, told};
use anyhow::{Context, ensure};
use arame_dcmgr::app::{self, App, Caller, Parts};
use arame_dcmgr::db::Db;
use arame_dcmgr::db::secrets::Vault;
use arame_schema::api::{Code, CreateIpPool, CreateNetwork, Network, Role, UpdateNetwork};
use arame_spec::world::{Size, World};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use uuid::Uuid;

const NETWORK: &str = "nw-demo1";

async fn network(world: &World) -> anyhow::Result<Network> {
    told(app::networks::get(&world.app, &world.caller("a-demo", Role::Admin), NETWORK).await)
}

/// Agents that the network's rows name, with the state that is shown of each.
async fn shown(world: &World) -> anyhow::Result<BTreeSet<(String, String)>> {
    let view = network(world).await?;
    Ok(view.naming_services.into_iter().map(|service| (service.agent, service.state)).collect())
}

fn all_serve<'a>(agents: impl IntoIterator<Item = &'a String>) -> BTreeSet<(String, String)> {
    agents.into_iter().map(|agent| (agent.clone(), "serving".to_owned())).collect()
}

async fn gateway(world: &World) -> anyhow::Result<Option<String>> {
    let view = network(world).await?;
    Ok(view.naming_services.into_iter().find(|service| service.is_gateway).map(|service| service.agent))
}

fn serves(world: &World, agent: &str, address: &str) -> anyhow::Result<bool> {
    Ok(world.kept_by(agent)?.contains(&format!("\"{address}\"")))
}

/// Three services, two of which serve the network: these two, then the third.
async fn three() -> anyhow::Result<(World, Vec<String>, String)> {
    let world = World::start(Size { hosts: 1, naming: 3, ..Size::default() }).await?;
    let two_serve = async || {
        let shown = shown(&world).await?;
        Ok(shown.len() == 2 && shown.iter().all(|(_, state)| state == "serving"))
    };
    world.until("two serve it", two_serve).await?;
    let pair: Vec<String> = shown(&world).await?.into_iter().map(|(agent, _)| agent).collect();
    let names = (1..=3).map(|n| format!("nsa.n{n}"));
    let third = names.into_iter().find(|name| !pair.contains(name)).context("a third")?;
    Ok((world, pair, third))
}

async fn set_open(world: &World, agent: &str, open: bool) -> anyhow::Result<()> {
    let admin = world.caller("a-demo", Role::Admin);
    told(app::naming_nodes::set_scheduling(&world.app, &admin, agent, open).await).map(drop)
}

async fn want(world: &World, count: u16) -> anyhow::Result<()> {
    let change = UpdateNetwork { naming_services_wanted: Some(count), ..UpdateNetwork::default() };
    told(app::networks::update(&world.app, &world.caller("a-demo", Role::Admin), NETWORK, change).await).map(drop)
}

/// Sabotage: `plan::naming::Service::is_ready` does not ask whether it serves: the closed one goes before the new one is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_naming_service_gives_its_networks_away_and_takes_none_back_by_itself() -> anyhow::Result<()> {
    let (world, pair, third) = three().await?;
    let made = running(&world, World::request("web1")).await?;
    let ipv4 = address(&made);
    set_open(&world, &pair[0], false).await?;
    let after = [pair[1].clone(), third.clone()];
    let moved = async || {
        let now = shown(&world).await?;
        ensure!(now.iter().any(|(_, state)| state == "serving"), "nobody serves it: {now:?}");
        Ok(now == all_serve(&after))
    };
    world.until("others serve it", moved).await?;
    ensure!(serves(&world, &third, &ipv4)? && !serves(&world, &pair[0], &ipv4)?);
    running(&world, World::request("web2")).await?;

    // Open again it gets what is too few somewhere, and nothing else is moved for it.
    set_open(&world, &pair[0], true).await?;
    want(&world, 0).await?;
    world
        .until("every one serves it", async || Ok(shown(&world).await? == all_serve(pair.iter().chain([&third]))))
        .await?;
    ensure!(serves(&world, &pair[0], &ipv4)?, "it has it again, after its end there");
    want(&world, 1).await?;
    world.until("one serves it", async || Ok(shown(&world).await?.len() == 1)).await?;
    let asked = UpdateNetwork { naming_services_wanted: Some(3), ..UpdateNetwork::default() };
    let refused = app::networks::update(&world.app, &world.demo(), NETWORK, asked).await;
    ensure!(refused.is_err_and(|refusal| refusal.code == Code::NotPermitted), "a tenant's own choice it is not");
    world.ends_clean().await
}

/// A second dcmgr, as far as it looks after naming services.
async fn beside(world: &World) -> anyhow::Result<App> {
    let (db, vault) = (Db::open(world.database_config())?, Vault::open(&world.vault_key())?);
    let (installation, time_zone) = (world.app.installation(), "UTC".to_owned());
    let infrastructure = Vec::new();
    let parts = Parts { db, vault, installation, infrastructure, time_zone, naming_services: 2, metrics: None };
    let (app, _) = App::new(parts);
    app.set_broker_up(true);
    Ok(app)
}

/// Sabotage: `app::networks::naming::repair` does not lock the network: both give it a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_naming_service_that_stays_silent_is_replaced_once_and_drops_what_it_lost_when_it_returns()
-> anyhow::Result<()> {
    let (mut world, pair, third) = three().await?;
    let ipv4 = address(&running(&world, World::request("web1")).await?);
    let second = beside(&world).await?;
    let tending = tokio::spawn(async move {
        loop {
            let _ = app::networks::naming::tend(&second).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
    let placed = "SELECT COUNT(*) AS n FROM events WHERE resource = 'nw-demo1' AND code = 'naming_service_placed'";
    let before = world.count(placed).await?;
    world.kill_agent(&pair[0]).await;
    // Nothing waits for it meanwhile.
    running(&world, World::request("web2")).await?;
    let after = [pair[1].clone(), third.clone()];
    let is_replaced = async || {
        let now = shown(&world).await?;
        Ok(all_serve(&after).is_subset(&now) && now.contains(&(pair[0].clone(), "leaving".to_owned())))
    };
    world.until("another serves it", is_replaced).await?;
    ensure!(world.count(placed).await? == before + 1, "two dcmgr saw it and one acted");
    ensure!(serves(&world, &third, &ipv4)?);
    ensure!(serves(&world, &pair[0], &ipv4)?, "the control: its file has it still");
    world.start_agent(&pair[0], 0).await?;
    world.until("it has dropped it", async || Ok(!serves(&world, &pair[0], &ipv4)?)).await?;
    world.until("its place is gone", async || Ok(shown(&world).await? == all_serve(&after))).await?;
    tending.abort();
    world.ends_clean().await
}

fn operator(world: &World) -> Caller {
    world.caller("a-demo", Role::Admin)
}

/// What an agent's simulated switch was told of the network's way out.
fn leads(world: &World, agent: &str) -> anyhow::Result<bool> {
    let worlds = world.worlds()?;
    let shape = worlds.get(agent).and_then(|nsa| nsa["links"][NETWORK]["shape"].as_str());
    Ok(shape.is_some_and(|shape| shape.contains("translations")))
}

/// Sabotage: `db::networks::outside::cools_in` asks the gateway of today only: the address is given back while the silent one
/// translates it.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_falls_silent_has_a_successor_and_gives_the_way_up_when_it_returns() -> anyhow::Result<()> {
    let mut world = World::start(Size { hosts: 1, naming: 2, ..Size::default() }).await?;
    let lab: CreateNetwork =
        serde_json::from_value(json!({ "dc_network": "dcn-main", "network": "10.50.0.0", "prefix": 24,
        "network_mode": "securitygroup", "gw": "10.50.0.1", "dhcp_range": "default" }))?;
    let outer = told(app::networks::create(&world.app, &operator(&world), lab).await)?.id;
    let way = UpdateNetwork { nat_network_id: Some(outer.clone()), ..UpdateNetwork::default() };
    told(app::networks::update(&world.app, &operator(&world), NETWORK, way).await)?;
    let first = gateway(&world).await?.context("a gateway")?;
    let other = if first == "nsa.n1" { "nsa.n2" } else { "nsa.n1" };
    world.until("it leads out", async || leads(&world, &first)).await?;
    ensure!(!leads(&world, other)?, "and the other does not");

    let pool: CreateIpPool = serde_json::from_value(json!({ "display_name": "outside", "dc_networks": ["dcn-main"] }))?;
    let pool = told(app::ip_pools::create(&world.app, &operator(&world), pool).await)?.id;
    let handle = told(app::ip_pools::acquire(&world.app, &operator(&world), &pool, &outer).await)?.ip_handle_id;
    let made = running(&world, World::request("web1")).await?;
    let vif = made.vif[0].vif_id.clone();
    told(app::networks::outside::bind(&world.app, &operator(&world), &vif, &handle).await)?;
    let everybody_knows = "SELECT COUNT(*) AS n FROM networks n JOIN facts f ON f.thing = n.id AND f.name = 'applied' \
                           AND f.value = 'yes' AND f.generation = n.version WHERE n.id = 'nw-demo1'";
    world.until("both have heard of it", async || Ok(world.count(everybody_knows).await? == 2)).await?;

    world.kill_agent(&first).await;
    world
        .until("the other leads out", async || {
            Ok(gateway(&world).await?.as_deref() == Some(other) && leads(&world, other)?)
        })
        .await?;
    // The silent one may translate still: the address is nobody else's before it has spoken.
    told(app::networks::outside::unbind(&world.app, &operator(&world), &vif, &handle).await)?;
    let (app, operator_) = (world.app.clone(), operator(&world));
    let release = async || {
        app::ip_pools::release(&app, &Caller { request: Uuid::now_v7(), ..operator_.clone() }, &pool, &handle).await
    };
    world.until("the new one knows", async || Ok(world.count(everybody_knows).await? == 1)).await?;
    ensure!(release().await.is_err(), "it was given back while somebody may translate it");
    ensure!(world.kept_by(&first)?.contains("\"outside\""), "the control: its file says that it leads out");
    world.start_agent(&first, 0).await?;
    world.until("it leads out no more", async || Ok(!leads(&world, &first)?)).await?;
    world.until("the address may be given back", async || Ok(release().await.is_ok())).await?;
    ensure!(gateway(&world).await?.as_deref() == Some(other), "nothing is handed back");

    // Closed, the gateway hands on what it leads and stays until the other does.
    set_open(&world, other, false).await?;
    world.until("it was handed on", async || Ok(leads(&world, &first)? && !leads(&world, other)?)).await?;
    set_open(&world, other, true).await?;
    world
        .until("both serve", async || Ok(shown(&world).await? == all_serve(&[first.clone(), other.to_owned()])))
        .await?;
    world.ends_clean().await
}
