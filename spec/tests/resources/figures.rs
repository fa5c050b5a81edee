//! What guests use, as a tenant asks for it: live from the host, old when it is off, refused with a moment when it is silent.

use crate::support::{operator, refused, small, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_dcmgr::app::instances::figures::usage;
use arame_schema::api::{Code, Role};
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
