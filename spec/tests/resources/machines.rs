//! What belongs to instances and images: words, labels, monitors, volumes, and their ends.

use crate::support::{count, json, operator, refused, small, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_dcmgr::app::monitors::NewMonitor;
use arame_schema::api::{
    Code, CreateSshKeyPair, ListFilter, Role, SetMonitor, SortOrder, UpdateImage, UpdateInstance, UpdateSshKeyPair,
    UpdateVolume,
};
use arame_schema::model::instance::InstanceState;
use arame_spec::world::World;
use serde_json::json as value;

fn states(state: &str) -> ListFilter {
    ListFilter { state: Some(state.into()), ..ListFilter::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_renamed_labelled_watched_and_listed_by_state_and_time() -> anyhow::Result<()> {
    let world = small().await?;
    let one = world.launch("web1").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    let key: CreateSshKeyPair = json(value!({ "display_name": "k" }));
    let key = told(app::ssh_key_pairs::create(&world.app, &world.demo(), key).await)?;
    let change: UpdateInstance = json(value!({
        "display_name": "front", "ssh_key_id": key.id,
        "monitoring": { "enabled": true, "mail_address": ["a@example.org"] }
    }));
    let view = told(app::instances::changes::update(&world.app, &world.demo(), &one.id, change).await)?;
    ensure!(view.display_name.as_deref() == Some("front") && view.generation == one.generation, "{view:?}");
    ensure!(view.ssh_key_pair.as_ref().is_some_and(|held| held.uuid == key.id), "{view:?}");
    ensure!(view.monitoring.enabled && view.monitoring.mail_address == ["a@example.org"], "{:?}", view.monitoring);
    let foreign: UpdateInstance = json(value!({ "ssh_key_id": "ssh-none" }));
    refused(app::instances::changes::update(&world.app, &world.demo(), &one.id, foreign).await, Code::UnknownResource)?;

    // Labels, by one and by many.
    let labels = [("env".to_owned(), "test".to_owned()), ("envelope".to_owned(), "x".to_owned())];
    told(app::labels::set(&world.app, &world.demo(), &one.id, &labels).await)?;
    let begun = told(app::labels::list(&world.app, &world.demo(), &one.id, Some("env*")).await)?;
    let exact = told(app::labels::list(&world.app, &world.demo(), &one.id, Some("env")).await)?;
    ensure!((begun.len(), exact.len()) == (2, 1), "{begun:?} {exact:?}");
    told(app::labels::delete(&world.app, &world.demo(), &one.id, "envelope").await)?;
    refused(app::labels::get(&world.app, &world.demo(), &one.id, "envelope").await, Code::UnknownLabel)?;
    let stranger = world.caller("a-other", Role::Member);
    refused(app::labels::list(&world.app, &stranger, &one.id, None).await, Code::UnknownResource)?;
    refused(app::labels::set(&world.app, &stranger, "wmi-tiny", &labels).await, Code::UnknownResource)?;

    // Monitors are rows.
    let new = NewMonitor { enabled: true, title: "PING".into(), params: serde_json::Map::new() };
    let monitor = told(app::monitors::create(&world.app, &world.demo(), &one.id, new.clone()).await)?;
    let off = SetMonitor { enabled: Some(false), title: None, params: None };
    told(app::monitors::update(&world.app, &world.demo(), &one.id, &monitor.id, off).await)?;
    let view = told(app::instances::get(&world.app, &world.demo(), &one.id).await)?;
    ensure!(view.labels.len() == 1 && !view.monitoring.items[&monitor.id].enabled, "{view:?}");
    let vif = view.vif[0].vif_id.clone();
    told(app::monitors::create(&world.app, &world.demo(), &vif, new.clone()).await)?;
    let all = told(app::monitors::replace(&world.app, &world.demo(), &vif, &[new.clone(), new]).await)?;
    ensure!(all.len() == 2 && all.iter().all(|one| one.id.starts_with("nwm-")), "{all:?}");
    refused(app::monitors::get(&world.app, &world.demo(), &vif, &monitor.id).await, Code::UnknownResource)?;
    told(app::monitors::delete(&world.app, &world.demo(), &one.id, &monitor.id).await)?;

    refused(app::instances::changes::password(&world.app, &world.demo(), &one.id).await, Code::NoPassword)?;
    world.db().rows("UPDATE instances SET encrypted_password = 'c2VjcmV0' WHERE id = ?", (&one.id,)).await?;
    let held = told(app::instances::changes::password(&world.app, &world.demo(), &one.id).await)?;
    ensure!(held.encrypted_password == "c2VjcmV0");
    told(app::instances::changes::delete_password(&world.app, &world.demo(), &one.id).await)?;
    refused(app::instances::changes::password(&world.app, &world.demo(), &one.id).await, Code::NoPassword)?;

    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    let total = async |filter: ListFilter| {
        told(app::instances::list(&world.app, &world.demo(), filter).await).map(|page| page.total)
    };
    ensure!(total(ListFilter::default()).await? == 0 && total(states("alive")).await? == 0);
    ensure!(total(states("alive_with_terminated")).await? == 1 && total(states("terminated")).await? == 1);
    world.db().rows("UPDATE instances SET terminated_at = terminated_at - INTERVAL 16 MINUTE", ()).await?;
    ensure!(total(states("alive_with_terminated")).await? == 0, "older than 900 s");
    let sorted = ListFilter { sort: Some(("display_name".into(), SortOrder::Ascending)), ..states("terminated") };
    ensure!(total(sorted).await? == 1);
    let mut past = states("terminated");
    past.created.until = arame_schema::api::Timestamp::parse("2020-01-01 00:00:00 UTC");
    ensure!(total(past).await? == 0, "nothing is that old");
    refused(app::instances::list(&world.app, &world.demo(), states("gone")).await, Code::InvalidParameter)?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_in_use_stays_and_one_that_goes_is_launched_no_more() -> anyhow::Result<()> {
    let world = small().await?;
    let one = world.launch("web1").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    let refusal = refused(app::images::delete(&world.app, &world.demo(), "wmi-tiny").await, Code::ResourceInUse)?;
    ensure!(refusal.values["by"] == one.id, "{refusal:?}");
    // Public, and so seen by another account, but not its to change.
    let stranger = || world.caller("a-other", Role::Member);
    told(app::images::get(&world.app, &stranger(), "wmi-tiny").await)?;
    refused(app::images::delete(&world.app, &stranger(), "wmi-tiny").await, Code::UnknownResource)?;
    let public: UpdateImage = json(value!({ "is_public": false }));
    refused(app::images::update(&world.app, &world.demo(), "wmi-tiny", public).await, Code::NotPermitted)?;
    let named: UpdateImage = json(value!({ "display_name": "small one", "description": "d" }));
    let view = told(app::images::update(&world.app, &world.demo(), "wmi-tiny", named).await)?;
    ensure!(view.display_name.as_deref() == Some("small one") && view.is_public, "{view:?}");

    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    told(app::images::delete(&world.app, &world.demo(), "wmi-tiny").await)?;
    refused(app::instances::create(&world.app, &world.demo(), World::request("web2")).await, Code::UnknownResource)?;
    world
        .until("the storage node has it no more", async || {
            Ok(told(app::images::get(&world.app, &world.demo(), "wmi-tiny").await)?.state == "deleted")
        })
        .await?;
    refused(app::images::delete(&world.app, &world.demo(), "wmi-tiny").await, Code::UnknownResource)?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_renamed_and_listed_by_its_machine_and_both_are_found_by_what_somebody_types() -> anyhow::Result<()>
{
    let world = small().await?;
    let one = world.launch("web1").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    let disk = told(app::volumes::create(&world.app, &world.demo(), json(value!({ "volume_size": 16 }))).await)?;
    world.volume_in(&disk.id, "available").await?;
    ensure!(told(app::volumes::of_instance(&world.app, &world.demo(), &one.id).await)?.is_empty(), "control");
    told(app::volumes::attach(&world.app, &world.demo(), &disk.id, &one.id).await)?;
    world.volume_in(&disk.id, "attached").await?;
    let found = told(app::volumes::of_instance(&world.app, &world.demo(), &one.id).await)?;
    ensure!(found.len() == 1 && found[0].id == disk.id, "{found:?}");
    let name = UpdateVolume { display_name: Some("data".into()) };
    told(app::volumes::update(&world.app, &world.demo(), &disk.id, name).await)?;
    let by_name = |name: &str| ListFilter { display_name: Some(name.into()), ..ListFilter::default() };
    ensure!(told(app::volumes::list(&world.app, &world.demo(), by_name("data")).await)?.total == 1);
    ensure!(told(app::volumes::list(&world.app, &world.demo(), by_name("other")).await)?.total == 0);
    let typed = |text: &str| ListFilter { search: Some(text.into()), ..ListFilter::default() };
    for (text, volumes, machines) in [
        ("AT", 1, 0),
        (&disk.id[..6], 1, 0),
        ("Eb1", 0, 1),
        (&one.id[..5], 0, 1),
        ("10.100.0.", 0, 1),
        ("データ", 0, 0),
        ("%", 0, 0),
        ("_", 0, 0),
        ("\\", 0, 0),
    ] {
        let found = told(app::volumes::list(&world.app, &world.demo(), typed(text)).await)?.total;
        ensure!(found == volumes, "{text}: {found} volumes");
        let found = told(app::instances::list(&world.app, &world.demo(), typed(text)).await)?.total;
        ensure!(found == machines, "{text}: {found} machines");
    }
    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    world.volume_in(&disk.id, "available").await?;
    told(app::volumes::delete(&world.app, &world.demo(), &disk.id).await)?;
    world.volume_in(&disk.id, "deleted").await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_pair_is_made_of_either_kind_told_once_and_kept_while_a_machine_has_it() -> anyhow::Result<()> {
    let world = small().await?;
    let request: CreateSshKeyPair = json(value!({ "key_type": "rsa", "display_name": "old" }));
    let with_key = || app::Caller { idempotency_key: Some("k".into()), ..world.demo() };
    let rsa = told(app::ssh_key_pairs::create(&world.app, &with_key(), request).await)?;
    ensure!(rsa.public_key.starts_with("ssh-rsa ") && rsa.finger_print.matches(':').count() == 15, "{rsa:?}");
    let private = rsa.private_key.clone().unwrap_or_default();
    ensure!(private.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"), "no private key");
    let again: CreateSshKeyPair = json(value!({ "display_name": "old" }));
    let again = told(app::ssh_key_pairs::create(&world.app, &with_key(), again).await)?;
    ensure!(again.id == rsa.id && again.private_key.is_none(), "told once: {again:?}");
    let odd: CreateSshKeyPair = json(value!({ "key_type": "dsa" }));
    refused(app::ssh_key_pairs::create(&world.app, &world.demo(), odd).await, Code::InvalidParameter)?;

    let mut launch = World::request("web1");
    launch.ssh_key_id = Some(rsa.id.parse()?);
    let one = told(app::instances::create(&world.app, &world.demo(), launch).await)?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    refused(app::ssh_key_pairs::delete(&world.app, &world.demo(), &rsa.id, false).await, Code::ResourceInUse)?;
    let named = UpdateSshKeyPair { display_name: Some("new".into()), description: None };
    told(app::ssh_key_pairs::update(&world.app, &world.demo(), &rsa.id, named).await)?;
    told(app::ssh_key_pairs::delete(&world.app, &world.demo(), &rsa.id, true).await)?;
    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_deleted_from_every_state_it_can_be_found_in() -> anyhow::Result<()> {
    let mut world = small().await?;
    let mut visited = Vec::new();
    // Pending: its host does not answer. Failed: its image cannot be imported.
    world.kill_agent("hva.h1").await;
    let pending = world.launch("pending").await?;
    let damaged = json(value!({ "image_id": "wmi-damaged", "instance_type": "small", "hostname": "failed" }));
    let failed = told(app::instances::create(&world.app, &world.demo(), damaged).await)?;
    world.instance_in(&failed.id, InstanceState::Failed).await?;
    for id in [&pending.id, &failed.id] {
        visited.push(world.instance(id).await?.state.as_str());
        told(app::instances::delete(&world.app, &world.demo(), id).await)?;
    }
    world.start_agent("hva.h1", 50).await?;
    for id in [&pending.id, &failed.id] {
        world.instance_in(id, InstanceState::Terminated).await?;
    }
    // On the way up, running, on the way down, halted.
    for (name, state) in [
        ("initializing", InstanceState::Initializing),
        ("running", InstanceState::Running),
        ("halting", InstanceState::Halting),
        ("halted", InstanceState::Halted),
    ] {
        let one = world.launch(name).await?;
        if matches!(state, InstanceState::Halting | InstanceState::Halted) {
            world.instance_in(&one.id, InstanceState::Running).await?;
            let method = arame_schema::model::instance::Shutdown::Hard;
            told(app::instances::power_off(&world.app, &world.demo(), &one.id, method).await)?;
        }
        world.instance_in(&one.id, state).await?;
        visited.push(world.instance(&one.id).await?.state.as_str());
        told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
        // Being deleted is a state too: the same answer again.
        told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
        world.instance_in(&one.id, InstanceState::Terminated).await?;
        refused(app::instances::delete(&world.app, &world.demo(), &one.id).await, Code::InvalidInstanceState)?;
    }
    println!("deleted from {visited:?}");
    ensure!(visited.contains(&"pending") && visited.contains(&"failed") && visited.len() == 6, "{visited:?}");
    ensure!(count(&world, "SELECT COUNT(*) AS n FROM instances WHERE terminated_at IS NULL").await? == 0);
    let _ = operator(&world);
    world.ends_clean().await
}
