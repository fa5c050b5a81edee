//! A network is served by any of its naming agents: one that is dead holds nobody up, and catches up when it returns.

use crate::support::{address, ask, deleted, running};
use anyhow::ensure;
use arame_schema::model::instance::InstanceState;
use arame_spec::world::{Size, World};

const PAIR: [&str; 2] = ["nsa.n1", "nsa.n2"];

/// What a naming agent serves of a machine.
fn serves(world: &World, agent: &str, address: &str) -> anyhow::Result<bool> {
    Ok(world.kept_by(agent)?.contains(&format!("\"{address}\"")))
}

/// Both serve every network as its row is now.
async fn equal(world: &World) -> anyhow::Result<bool> {
    let statement = "SELECT COUNT(*) AS n FROM networks n JOIN facts f ON f.thing = n.id AND f.name = 'applied' \
                     AND f.value = 'yes' AND f.generation = n.version";
    let networks = world.count("SELECT COUNT(*) AS n FROM networks").await?;
    Ok(world.count(statement).await? == networks * PAIR.len() as u64)
}

/// Sabotage: `advance::instance::is_ready` asks for every nsa: the launch waits for the dead one.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_with_one_dead_nsa_of_two_still_launches() -> anyhow::Result<()> {
    let mut world = World::start(Size { hosts: 1, naming: 2, ..Size::default() }).await?;
    world.until("both serve everything", async || equal(&world).await).await?;
    for (dead, living) in [(PAIR[0], PAIR[1]), (PAIR[1], PAIR[0])] {
        world.kill_agent(dead).await;
        let made = running(&world, World::request("one")).await?;
        ensure!(serves(&world, living, &address(&made))?, "{living} does not serve it");
        world.start_agent(dead, 0).await?;
        world.until("the other has caught up", async || serves(&world, dead, &address(&made))).await?;
        world.until("both serve everything", async || equal(&world).await).await?;
        deleted(&world, &made.id).await?;
        world.until("both have forgotten it", async || equal(&world).await).await?;
        for agent in PAIR {
            ensure!(!serves(&world, agent, &address(&made))?, "{agent} still serves it");
        }
    }
    // The positive control: with both dead the launch waits, and goes on with the first that returns.
    for agent in PAIR {
        world.kill_agent(agent).await;
    }
    let waiting = ask(&world, World::request("waiting")).await?;
    let policy = "SELECT COUNT(*) AS n FROM host_nodes h JOIN facts f ON f.thing = h.id AND f.name = 'applied' \
                  AND f.generation = h.policy_version";
    world.until("its host knows it", async || Ok(world.count(policy).await? == 1)).await?;
    ensure!(world.instance(&waiting.id).await?.state == InstanceState::Pending);
    ensure!(world.jobs_of(&waiting.id).await?.is_empty());
    world.start_agent(PAIR[1], 0).await?;
    world.instance_in(&waiting.id, InstanceState::Running).await?;
    world.start_agent(PAIR[0], 0).await?;
    deleted(&world, &waiting.id).await?;
    world.until("both serve everything", async || equal(&world).await).await?;
    world.ends_clean().await
}
