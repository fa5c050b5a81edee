//! One verb on everything an account has of a kind.

use crate::support::{operator, refused, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_dcmgr::app::accounts::bulk::{self, Force, Verb};
use arame_schema::api::{Code, CreateSecurityGroup, CreateVolume, DeleteVolume, Role};
use arame_schema::model::instance::{InstanceState, Shutdown};
use arame_spec::world::{Size, World};

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_an_account_is_asked_and_each_that_refuses_says_why() -> anyhow::Result<()> {
    let world = World::start(Size { hosts: 2, ..Size::default() }).await?;
    let mut machines = Vec::new();
    for name in ["web1", "web2", "web3"] {
        machines.push(world.launch(name).await?.id);
    }
    for id in &machines {
        world.instance_in(id, InstanceState::Running).await?;
    }
    let other = || world.caller("a-other", Role::Member);
    let theirs = told(app::instances::create(&world.app, &other(), World::request("theirs")).await)?;
    world.instance_in(&theirs.id, InstanceState::Running).await?;
    let ask = async |verb| told(bulk::ask_all(&world.app, &operator(&world), "a-demo", verb).await);

    told(app::instances::power_off(&world.app, &world.demo(), &machines[0], Shutdown::Hard).await)?;
    let off = ask(Verb::PowerOff(Shutdown::Hard)).await?;
    ensure!(off.asked == machines[1..] && off.refused.is_empty() && !off.more, "{off:?}");
    for id in &machines {
        world.instance_in(id, InstanceState::Halted).await?;
    }
    let again = ask(Verb::PowerOff(Shutdown::Hard)).await?;
    ensure!(again.asked.is_empty(), "nothing is asked twice: {again:?}");
    let on = ask(Verb::PowerOn).await?;
    ensure!(on.asked == machines, "{on:?}");
    for id in &machines {
        world.instance_in(id, InstanceState::Running).await?;
    }
    // Another account's machine was not touched, and is not there for a member of this one.
    world.instance_in(&theirs.id, InstanceState::Running).await?;
    let foreign = bulk::ask_all(&world.app, &world.demo(), "a-other", Verb::DeleteInstances).await;
    refused(foreign, Code::UnknownResource)?;

    let volume = |name: &str| CreateVolume {
        volume_size: 64,
        display_name: Some(name.into()),
        backup_object_id: None,
        snapshot_id: None,
        replica_id: None,
    };
    let used = told(app::volumes::create(&world.app, &world.demo(), volume("used")).await)?;
    let free = told(app::volumes::create(&world.app, &world.demo(), volume("free")).await)?;
    world.volume_in(&used.id, "available").await?;
    world.volume_in(&free.id, "available").await?;
    told(app::volumes::attach(&world.app, &world.demo(), &used.id, &machines[0]).await)?;
    let volumes = ask(Verb::DeleteVolumes(DeleteVolume::default())).await?;
    ensure!(volumes.asked == [free.id.clone()], "{volumes:?}");
    let one = &volumes.refused[0];
    ensure!(one.id == used.id && one.reason == "volume_attached" && one.values["instance"] == machines[0], "{one:?}");

    let group = CreateSecurityGroup { display_name: Some("unused".into()), ..CreateSecurityGroup::default() };
    let group = told(app::security_groups::create(&world.app, &world.demo(), group).await)?;
    let groups = ask(Verb::DeleteSecurityGroups).await?;
    ensure!(
        groups.asked == [group.id] && groups.refused.iter().any(|one| one.reason == "resource_in_use"),
        "{groups:?}"
    );
    let keys = ask(Verb::DeleteSshKeyPairs(Force::No)).await?;
    ensure!(keys.refused.is_empty(), "{keys:?}");
    let backups = ask(Verb::DeleteBackupObjects).await?;
    ensure!(backups.asked.is_empty(), "{backups:?}");

    let gone = ask(Verb::DeleteInstances).await?;
    ensure!(gone.asked == machines, "{gone:?}");
    for id in &machines {
        world.instance_in(id, InstanceState::Terminated).await?;
    }
    world.volume_in(&used.id, "available").await?;
    let rest = ask(Verb::DeleteVolumes(DeleteVolume::default())).await?;
    ensure!(rest.asked == [used.id.clone()] && rest.refused.is_empty(), "{rest:?}");
    world.volume_in(&used.id, "deleted").await?;
    told(app::instances::delete(&world.app, &other(), &theirs.id).await)?;
    world.instance_in(&theirs.id, InstanceState::Terminated).await?;
    world.ends_clean().await
}
