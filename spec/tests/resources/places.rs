//! The inside of the data center: nodes, groups of them, sizes, pools, backups, and what was used.

use crate::support::{count, json, operator, refused, small, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_dcmgr::app::node_groups::Kind;
use arame_dcmgr::app::usage::Narrowed;
use arame_dcmgr::app::{networks, usage};
use arame_schema::api::{
    Code, CreateIpPool, CreateNode, CreateNodeGroup, ListFilter, NodeFilter, Role, SetBackupStorage, SetInstanceType,
    Span, UpdateNodeGroup,
};
use arame_schema::model::instance::InstanceState;
use serde_json::json as value;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_registered_and_ended_only_when_nothing_is_on_it() -> anyhow::Result<()> {
    let world = small().await?;
    let request: CreateNode = json(value!({ "id": "hn-new", "node_id": "hva.new", "display_name": "rack 2" }));
    let made = told(app::nodes::create_host(&world.app, &operator(&world), request.clone()).await)?;
    let key = made.join_key.clone().unwrap_or_default();
    ensure!(key.len() == 64 && made.status == "offline" && made.scheduling_enabled, "{made:?}");
    let shown = told(app::nodes::host(&world.app, &operator(&world), "hn-new").await)?;
    ensure!(shown.join_key.is_none() && shown.display_name.as_deref() == Some("rack 2"), "{shown:?}");
    refused(app::nodes::create_host(&world.app, &operator(&world), request).await, Code::AlreadyExists)?;
    let odd: CreateNode = json(value!({ "node_id": "sta.x" }));
    refused(app::nodes::create_host(&world.app, &operator(&world), odd).await, Code::InvalidParameter)?;
    let only = |filter: NodeFilter| async {
        told(app::nodes::hosts_where(&world.app, &operator(&world), ListFilter::default(), filter).await)
    };
    let online = only(NodeFilter { status: Some("online".into()), ..NodeFilter::default() }).await?;
    ensure!(online.total == 1 && online.results[0].id == "hn-h1", "{online:?}");

    let one = world.launch("web1").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    let refusal = refused(app::nodes::delete_host(&world.app, &operator(&world), "hn-h1").await, Code::ResourceInUse)?;
    ensure!(refusal.values["by"] == one.id, "{refusal:?}");
    let disk = told(app::volumes::create(&world.app, &world.demo(), json(value!({ "volume_size": 16 }))).await)?;
    world.volume_in(&disk.id, "available").await?;
    let refusal =
        refused(app::nodes::delete_storage(&world.app, &operator(&world), "sn-s1").await, Code::ResourceInUse)?;
    ensure!(refusal.values["by"].contains(&disk.id), "{refusal:?}");
    told(app::volumes::delete(&world.app, &world.demo(), &disk.id).await)?;
    world.volume_in(&disk.id, "deleted").await?;
    // It is the only place of the image still.
    let refusal =
        refused(app::nodes::delete_storage(&world.app, &operator(&world), "sn-s1").await, Code::ResourceInUse)?;
    ensure!(refusal.values["by"].contains("wmi-tiny"), "{refusal:?}");

    told(app::nodes::delete_host(&world.app, &operator(&world), "hn-new").await)?;
    refused(app::nodes::host(&world.app, &operator(&world), "hn-new").await, Code::UnknownResource)?;
    let store: CreateNode = json(value!({ "node_id": "sta.spare" }));
    let store = told(app::nodes::create_storage(&world.app, &operator(&world), store).await)?;
    told(app::nodes::delete_storage(&world.app, &operator(&world), &store.id).await)?;
    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_sizes_are_kept_by_operators_and_name_only_what_is_there() -> anyhow::Result<()> {
    let world = small().await?;
    let request: CreateNodeGroup = json(value!({ "id": "hng-shhost", "name": "shared" }));
    told(app::node_groups::create(&world.app, &operator(&world), Kind::Hosts, request.clone()).await)?;
    refused(app::node_groups::create(&world.app, &operator(&world), Kind::Hosts, request).await, Code::AlreadyExists)?;
    let members = |ids: &[&str]| UpdateNodeGroup {
        host_nodes: Some(ids.iter().map(|id| (*id).to_owned()).collect()),
        ..UpdateNodeGroup::default()
    };
    let set = async |ids: &[&str]| {
        app::node_groups::update(&world.app, &operator(&world), Kind::Hosts, "hng-shhost", members(ids)).await
    };
    refused(set(&["hn-h1", "hn-none"]).await, Code::UnknownResource)?;
    ensure!(told(set(&["hn-h1", "hn-h1"]).await)?.mapped_uuids == ["hn-h1"]);
    let renamed = UpdateNodeGroup { name: Some("all".into()), ..UpdateNodeGroup::default() };
    let view = told(app::node_groups::update(&world.app, &operator(&world), Kind::Hosts, "hng-shhost", renamed).await)?;
    ensure!(view.name == "all" && view.mapped_uuids == ["hn-h1"] && view.type_id == 11, "{view:?}");
    // A host that goes is in no group any more.
    let spare = json(value!({ "id": "hn-x", "node_id": "hva.x" }));
    told(app::nodes::create_host(&world.app, &operator(&world), spare).await)?;
    told(set(&["hn-x", "hn-h1"]).await)?;
    told(app::nodes::delete_host(&world.app, &operator(&world), "hn-x").await)?;
    let view = told(app::node_groups::get(&world.app, &operator(&world), Kind::Hosts, "hng-shhost").await)?;
    ensure!(view.mapped_uuids == ["hn-h1"], "{view:?}");
    ensure!(told(set(&[]).await)?.mapped_uuids.is_empty());
    told(app::node_groups::delete(&world.app, &operator(&world), Kind::Hosts, "hng-shhost").await)?;

    let size: SetInstanceType =
        json(value!({ "id": "it-big", "name": "big", "cpu_cores": 2, "memory_size": 256, "disk_size": 64 }));
    told(app::instance_types::create(&world.app, &operator(&world), size.clone()).await)?;
    refused(app::instance_types::create(&world.app, &operator(&world), size).await, Code::AlreadyExists)?;
    let twin: SetInstanceType = json(value!({ "name": "BIG", "cpu_cores": 1, "memory_size": 256, "disk_size": 64 }));
    refused(app::instance_types::create(&world.app, &operator(&world), twin).await, Code::NameTaken)?;
    let huge: SetInstanceType = json(value!({ "memory_size": 1 }));
    refused(app::instance_types::update(&world.app, &operator(&world), "it-big", huge).await, Code::InvalidParameter)?;
    let more: SetInstanceType = json(value!({ "memory_size": 512 }));
    let view = told(app::instance_types::update(&world.app, &operator(&world), "it-big", more).await)?;
    ensure!((view.memory_size, view.cpu_cores) == (512, 2), "{view:?}");
    told(app::instance_types::delete(&world.app, &operator(&world), "it-big").await)?;
    refused(app::instance_types::get(&world.app, &operator(&world), "it-big").await, Code::UnknownResource)?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_held_by_its_handle_until_it_is_released_or_its_time_is_over() -> anyhow::Result<()> {
    let world = small().await?;
    let request: CreateIpPool = json(value!({ "display_name": "out", "dc_networks": ["main"] }));
    let pool = told(app::ip_pools::create(&world.app, &world.demo(), request).await)?;
    ensure!(pool.dc_networks.len() == 1 && pool.dc_networks[0].id == "dcn-main", "{pool:?}");
    let unknown: CreateIpPool = json(value!({ "display_name": "out", "dc_networks": ["none"] }));
    refused(app::ip_pools::create(&world.app, &world.demo(), unknown).await, Code::UnknownDcNetwork)?;
    let keyed = || {
        let mut caller = world.demo();
        caller.idempotency_key = Some("the-first".into());
        caller
    };
    let one = told(app::ip_pools::acquire(&world.app, &keyed(), &pool.id, "nw-demo1").await)?;
    let repeated = told(app::ip_pools::acquire(&world.app, &keyed(), &pool.id, "nw-demo1").await)?;
    ensure!(repeated == one, "a repeated request took another address: {repeated:?}");
    let two = told(app::ip_pools::acquire(&world.app, &world.demo(), &pool.id, "nw-demo1").await)?;
    ensure!(one.ipv4 == "10.100.0.10" && two.ipv4 == "10.100.0.11", "{one:?} {two:?}");
    refused(app::ip_pools::acquire(&world.app, &world.demo(), &pool.id, "nw-other").await, Code::UnknownResource)?;
    let machine = world.launch("web1").await?;
    ensure!(machine.vif[0].ipv4.as_ref().is_some_and(|ipv4| ipv4.address == "10.100.0.12"), "{machine:?}");
    world.instance_in(&machine.id, InstanceState::Running).await?;
    refused(networks::delete(&world.app, &world.demo(), "nw-demo1").await, Code::ResourceInUse)?;
    refused(app::ip_pools::delete(&world.app, &world.demo(), &pool.id).await, Code::ResourceInUse)?;
    let stranger = world.caller("a-other", Role::Member);
    refused(app::ip_pools::handle(&world.app, &stranger, &one.ip_handle_id).await, Code::UnknownResource)?;

    refused(app::ip_pools::expire(&world.app, &world.demo(), &one.ip_handle_id, 0).await, Code::InvalidParameter)?;
    let held = told(app::ip_pools::expire(&world.app, &world.demo(), &one.ip_handle_id, 3600).await)?;
    ensure!(held.expires_at.is_some(), "{held:?}");
    let leases = "SELECT COUNT(*) AS n FROM ip_leases WHERE mac IS NULL";
    ensure!(count(&world, leases).await? == 2, "control: both are held");
    world.db().rows("UPDATE ip_handles SET expires_at = UTC_TIMESTAMP(3) WHERE expires_at IS NOT NULL", ()).await?;
    world.until("the sweep takes it back", async || Ok(count(&world, leases).await? == 1)).await?;
    refused(app::ip_pools::handle(&world.app, &world.demo(), &one.ip_handle_id).await, Code::UnknownResource)?;
    told(app::ip_pools::release(&world.app, &world.demo(), &pool.id, &two.ip_handle_id).await)?;
    refused(
        app::ip_pools::release(&world.app, &world.demo(), &pool.id, &two.ip_handle_id).await,
        Code::UnknownResource,
    )?;
    told(app::ip_pools::delete(&world.app, &world.demo(), &pool.id).await)?;
    told(app::instances::delete(&world.app, &world.demo(), &machine.id).await)?;
    world.instance_in(&machine.id, InstanceState::Terminated).await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_recorded_in_a_storage_that_stays_while_it_holds_one() -> anyhow::Result<()> {
    let world = small().await?;
    let request: SetBackupStorage =
        json(value!({ "id": "bkst-local", "storage_type": "local", "base_uri": "file:///b" }));
    told(app::backups::create_storage(&world.app, &operator(&world), request.clone()).await)?;
    refused(app::backups::create_storage(&world.app, &operator(&world), request).await, Code::AlreadyExists)?;
    let odd: SetBackupStorage = json(value!({ "storage_type": "tape" }));
    refused(app::backups::create_storage(&world.app, &operator(&world), odd).await, Code::InvalidParameter)?;
    let none = json(value!({ "backup_storage_id": "bkst-none" }));
    refused(app::backups::create_object(&world.app, &world.demo(), none).await, Code::UnknownResource)?;
    let object = json(value!({ "backup_storage_id": "bkst-local", "size": 10, "object_key": "k" }));
    let object = told(app::backups::create_object(&world.app, &world.demo(), object).await)?;
    ensure!(object.state == "available" && object.size == 10, "{object:?}");
    let refusal =
        refused(app::backups::delete_storage(&world.app, &operator(&world), "bkst-local").await, Code::ResourceInUse)?;
    ensure!(refusal.values["by"] == object.id, "{refusal:?}");
    let stranger = world.caller("a-other", Role::Member);
    refused(app::backups::object(&world.app, &stranger, &object.id).await, Code::UnknownResource)?;
    told(app::backups::delete_object(&world.app, &world.demo(), &object.id).await)?;
    refused(app::backups::delete_object(&world.app, &world.demo(), &object.id).await, Code::UnknownResource)?;
    told(app::backups::delete_storage(&world.app, &operator(&world), "bkst-local").await)?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_is_told_by_account_and_time_and_as_a_table() -> anyhow::Result<()> {
    let world = small().await?;
    let one = world.launch("web1").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    let longer = "UPDATE usage_intervals SET begun_at = begun_at - INTERVAL 100 SECOND WHERE resource = ?";
    world.db().rows(longer, (&one.id,)).await?;
    let of_one = || Narrowed { resource: Some(one.id.clone()), ..Narrowed::default() };
    let all = told(usage::between(&world.app, &world.demo(), of_one(), Span::default()).await)?;
    ensure!(all.len() == 1 && all[0].resource == one.id && all[0].what == "running", "{all:?}");
    ensure!((100..120).contains(&all[0].seconds) && all[0].memory_size == 128, "{all:?}");
    let stranger = world.caller("a-other", Role::Member);
    ensure!(told(usage::between(&world.app, &stranger, Narrowed::default(), Span::default()).await)?.is_empty());
    let demo = || Narrowed { account: Some("a-demo".into()), ..Narrowed::default() };
    refused(usage::between(&world.app, &stranger, demo(), Span::default()).await, Code::UnknownResource)?;
    let held = Narrowed { what: Some("held".into()), ..demo() };
    let held = told(usage::between(&world.app, &world.demo(), held, Span::default()).await)?;
    ensure!(held.len() == 1 && held[0].resource_type == "address" && held[0].uuid.starts_with("vif-"), "{held:?}");
    let past = arame_schema::api::Timestamp::parse("2020-01-02 00:00:00 UTC");
    let then = Span { since: None, until: past };
    ensure!(told(usage::between(&world.app, &world.demo(), Narrowed::default(), then).await)?.is_empty());
    let table = usage::csv(&all);
    let lines: Vec<&str> = table.lines().collect();
    ensure!(lines.len() == 2 && lines[1].starts_with(&format!("a-demo,{},running,1,128,64,", one.id)), "{table}");
    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    world.ends_clean().await
}
