//! What guests use, as a tenant asks for it, and what hosts and storage nodes are busy with, as an operator does: live from the
//! agent, old when it is off, refused with a moment when it is silent.

use crate::support::{json, operator, refused, small, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_dcmgr::app::instances::figures::usage;
use arame_dcmgr::app::nodes::figures::{of_host, of_storage};
use arame_schema::api::{Code, NodeUsage, Role};
use arame_schema::model::instance::{InstanceState, Shutdown};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_uses_is_told_live_and_by_whom_it_is_not_known_is_said() -> anyhow::Result<()> {
    let mut world = small().await?;
    let one = world.launch("web1").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    let volume = serde_json::from_value(serde_json::json!({ "volume_size": 64, "display_name": "data" }))?;
    let volume = told(app::volumes::create(&world.app, &world.demo(), volume).await)?.id;
    world.volume_in(&volume, "available").await?;
    told(app::volumes::attach(&world.app, &world.demo(), &volume, &one.id).await)?;
    world.volume_in(&volume, "attached").await?;
    world
        .until("two readings of both disks are there", async || {
            let view = told(usage(&world.app, &world.demo(), &one.id).await)?;
            let has_rates = view.disks.iter().all(|disk| disk.read_bytes_per_second.is_some());
            Ok(view.disks.len() == 2 && has_rates && view.cpu.is_some_and(|cpu| cpu.percent.is_some()))
        })
        .await?;
    let view = told(usage(&world.app, &world.demo(), &one.id).await)?;
    ensure!(
        view.disks[1].volume_id.as_deref() == Some(volume.as_str()) && view.disks[0].volume_id.is_none(),
        "{view:?}"
    );
    ensure!(view.vifs.len() == 1 && view.vifs[0].vif_id == one.vif[0].vif_id, "{view:?}");
    ensure!(view.memory.is_some_and(|memory| memory.bytes == one.memory_size << 20), "{view:?}");
    ensure!(!view.history.is_empty() && view.age_seconds.is_some_and(|age| age < 10.0), "{view:?}");
    let stranger = world.caller("a-other", Role::Member);
    refused(usage(&world.app, &stranger, &one.id).await, Code::UnknownResource)?;

    told(app::instances::power_off(&world.app, &world.demo(), &one.id, Shutdown::Hard).await)?;
    world.instance_in(&one.id, InstanceState::Halted).await?;
    world
        .until("its figures grow old", async || {
            let view = told(usage(&world.app, &world.demo(), &one.id).await)?;
            Ok(view.age_seconds.is_some_and(|age| age > view.every_seconds * 2.0))
        })
        .await?;

    world.kill_agent("hva.h1").await;
    world
        .until("the host counts as silent, and since when is said", async || {
            match usage(&world.app, &world.demo(), &one.id).await {
                Err(refusal) if refusal.code == Code::HostSilent => Ok(refusal.values["since"].contains(':')),
                // Not heard for a moment only: it has not answered.
                Err(refusal) => {
                    ensure!(refusal.code == Code::Unavailable, "{refusal:?}");
                    Ok(false)
                }
                Ok(view) => anyhow::bail!("nobody can have answered: {view:?}"),
            }
        })
        .await?;
    ensure!(told(app::nodes::host(&world.app, &operator(&world), "hn-h1").await)?.status == "offline");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_and_a_storage_node_are_busy_with_is_told_to_operators_and_of_a_silent_one_when_it_was_heard()
-> anyhow::Result<()> {
    let mut world = small().await?;
    let who = operator(&world);
    world
        .until("both have two readings", async || {
            let host = told(of_host(&world.app, &who, "hn-h1").await)?;
            let storage = told(of_storage(&world.app, &who, "sn-s1").await)?;
            let is_read = |view: &NodeUsage| view.cpu.is_some_and(|cpu| cpu.percent.is_some());
            Ok(is_read(&host) && is_read(&storage) && storage.disk.is_some())
        })
        .await?;
    let host = told(of_host(&world.app, &who, "hn-h1").await)?;
    ensure!(host.node_id == "hva.h1" && host.cpu.is_some_and(|cpu| cpu.cores == 64), "{host:?}");
    ensure!(host.memory.is_some_and(|memory| memory.bytes == 65536 << 20), "{host:?}");
    ensure!(host.disk.is_some_and(|disk| disk.bytes == 1_000_000 << 20), "{host:?}");
    ensure!(host.load.is_some_and(|load| load.one_minute > 0.0) && !host.history.is_empty(), "{host:?}");
    refused(of_host(&world.app, &who, "hn-nowhere").await, Code::UnknownResource)?;
    for (id, agent) in [("hn-new", "hva.new"), ("sn-new", "sta.new")] {
        let node = json(serde_json::json!({ "id": id, "node_id": agent }));
        let found = if id.starts_with("hn") {
            told(app::nodes::create_host(&world.app, &operator(&world), node).await)?;
            of_host(&world.app, &who, id).await
        } else {
            told(app::nodes::create_storage(&world.app, &operator(&world), node).await)?;
            of_storage(&world.app, &who, id).await
        };
        let refusal = refused(found, Code::NeverHeard)?;
        ensure!(refusal.values["host"] == id, "{refusal:?}");
    }

    let before = told(of_storage(&world.app, &who, "sn-s1").await)?.disk.map(|disk| disk.free_bytes);
    let volume = serde_json::from_value(serde_json::json!({ "volume_size": 64, "display_name": "data" }))?;
    let volume = told(app::volumes::create(&world.app, &world.demo(), volume).await)?.id;
    world.volume_in(&volume, "available").await?;
    world
        .until("the room that the volume took is told", async || {
            let now = told(of_storage(&world.app, &who, "sn-s1").await)?.disk.map(|disk| disk.free_bytes);
            Ok(now.zip(before).is_some_and(|(now, before)| before - now == 64 << 20))
        })
        .await?;

    world.kill_agent("hva.h1").await;
    world
        .until("the host counts as silent, and since when is said", async || {
            match of_host(&world.app, &who, "hn-h1").await {
                Err(refusal) if refusal.code == Code::HostSilent => Ok(refusal.values["since"].contains(':')),
                Err(refusal) => {
                    ensure!(refusal.code == Code::Unavailable, "{refusal:?}");
                    Ok(false)
                }
                Ok(view) => anyhow::bail!("nobody can have answered: {view:?}"),
            }
        })
        .await?;
    told(of_storage(&world.app, &who, "sn-s1").await).map(drop)
}
