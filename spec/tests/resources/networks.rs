//! Networks are made, served, changed and ended; their tags and addresses are given out once.

use crate::support::{count, json, operator, refused, small, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_dcmgr::app::dc_networks::Offer;
use arame_dcmgr::app::networks::Narrowed;
use arame_dcmgr::app::networks::parts::{self, Turn};
use arame_schema::api::{
    Code, CreateDcNetwork, CreateNetwork, CreateVif, DhcpRange, ListFilter, Role, SetNetworkService, UpdateDcNetwork,
    UpdateNetwork,
};
use arame_schema::model::instance::InstanceState;
use arame_spec::world::World;
use serde_json::json as value;

fn lab(dc_network: &str, subnet: &str) -> CreateNetwork {
    json(value!({
        "dc_network": dc_network, "network": subnet, "prefix": 24, "network_mode": "securitygroup",
        "service_gateway": format!("{}1", subnet.trim_end_matches('0')), "editable": true, "display_name": "lab"
    }))
}

fn plain(subnet: &str) -> CreateNetwork {
    json(value!({ "dc_network": "dcn-main", "network": subnet, "prefix": 24, "network_mode": "securitygroup",
                  "editable": true }))
}

fn range(begin: &str, end: &str) -> DhcpRange {
    json(value!({ "range_begin": begin, "range_end": end }))
}

/// Whether every naming service serves a network at its newest version.
async fn served(world: &World, id: &str) -> anyhow::Result<()> {
    let statement = format!(
        "SELECT COUNT(*) AS n FROM networks n JOIN facts f ON f.thing = n.id AND f.name = 'applied' AND f.value = 'yes' \
         AND f.generation >= n.version WHERE n.id = '{id}'"
    );
    world.until(&format!("{id} is served"), async || Ok(count(world, &statement).await? == 1)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_made_served_used_and_ended_and_its_tag_cools_before_it_is_given_again() -> anyhow::Result<()> {
    let world = small().await?;
    let made = told(app::networks::create(&world.app, &world.demo(), plain("10.50.0.0")).await)?;
    ensure!(made.vlan_tag.is_none(), "a member sees no tag: {made:?}");
    let tag = told(app::networks::get(&world.app, &operator(&world), &made.id).await)?.vlan_tag;
    ensure!(tag == Some(100), "the lowest that is free: {tag:?}");
    served(&world, &made.id).await?;

    // Without a range nobody gets an address there: refused, not failed.
    let request = || {
        let vifs = value!({ "eth0": { "index": 0, "network": made.id } });
        json(value!({ "image_id": "wmi-tiny", "instance_type": "small", "hostname": "lab1", "vifs": vifs }))
    };
    refused(app::instances::create(&world.app, &world.demo(), request()).await, Code::OutOfNetworkCapacity)?;
    let ten = range("10.50.0.10", "10.50.0.11");
    told(parts::change_range(&world.app, &world.demo(), &made.id, ten, Turn::Give).await)?;
    let overlap = range("10.50.0.11", "10.50.0.20");
    refused(
        parts::change_range(&world.app, &world.demo(), &made.id, overlap, Turn::Give).await,
        Code::InvalidParameter,
    )?;
    let one = told(app::instances::create(&world.app, &world.demo(), request()).await)?;
    world.instance_in(&one.id, InstanceState::Running).await?;

    // Something is in it: it stays.
    let refusal = refused(app::networks::delete(&world.app, &world.demo(), &made.id).await, Code::ResourceInUse)?;
    ensure!(refusal.values["by"] == one.id, "{refusal:?}");
    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    told(app::networks::delete(&world.app, &world.demo(), &made.id).await)?;
    refused(app::networks::get(&world.app, &world.demo(), &made.id).await, Code::UnknownResource)?;
    refused(app::instances::create(&world.app, &world.demo(), request()).await, Code::UnknownResource)?;

    // Its tag is not given again while it cools; after that it is.
    let next = told(app::networks::create(&world.app, &world.demo(), plain("10.51.0.0")).await)?;
    let tag_of = async |id: &str| told(app::networks::get(&world.app, &operator(&world), id).await).map(|n| n.vlan_tag);
    ensure!(tag_of(&next.id).await? == Some(104), "100 cools, 101 to 103 are used");
    let gone =
        format!("SELECT COUNT(*) AS n FROM facts WHERE thing = '{}' AND name = 'applied' AND value = 'no'", made.id);
    world.until("the naming service serves it no more", async || Ok(count(&world, &gone).await? == 1)).await?;
    let hour = "UPDATE ip_leases SET released_at = released_at - INTERVAL 1 HOUR WHERE released_at IS NOT NULL";
    world.db().rows(hour, ()).await?;
    world
        .db()
        .rows("UPDATE networks SET deleted_at = deleted_at - INTERVAL 1 HOUR WHERE deleted_at IS NOT NULL", ())
        .await?;
    let left = "SELECT COUNT(*) AS n FROM networks WHERE deleted_at IS NOT NULL";
    world.until("the row is gone", async || Ok(count(&world, left).await? == 0)).await?;
    let third = told(app::networks::create(&world.app, &world.demo(), plain("10.52.0.0")).await)?;
    ensure!(tag_of(&third.id).await? == Some(100), "given again");
    served(&world, &third.id).await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_kept_while_a_naming_service_has_not_answered() -> anyhow::Result<()> {
    let mut world = small().await?;
    let made = told(app::networks::create(&world.app, &world.demo(), plain("10.50.0.0")).await)?;
    served(&world, &made.id).await?;
    world.kill_agent("nsa.n1").await;
    told(app::networks::delete(&world.app, &world.demo(), &made.id).await)?;
    world
        .db()
        .rows("UPDATE networks SET deleted_at = deleted_at - INTERVAL 1 HOUR WHERE deleted_at IS NOT NULL", ())
        .await?;
    let left = "SELECT COUNT(*) AS n FROM networks WHERE deleted_at IS NOT NULL";
    // The sweep itself, called as often as it likes: no answer is no acknowledgement.
    for _ in 0..5 {
        arame_dcmgr::db::networks::changes::end_deleted(world.db(), 60).await?;
    }
    ensure!(count(&world, left).await? == 1, "its tag was given back though nobody answered");
    world.start_agent("nsa.n1", 0).await?;
    // The control: once it has answered, the same sweep gives it back.
    world.until("the row is gone", async || Ok(count(&world, left).await? == 0)).await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dc_network_decides_which_networks_are_made_in_it() -> anyhow::Result<()> {
    let world = small().await?;
    let request: CreateDcNetwork = json(value!({ "id": "dcn-lab", "name": "lab" }));
    let made = told(app::dc_networks::create(&world.app, &operator(&world), request.clone()).await)?;
    ensure!((made.vlan_first, made.vlan_last) == (Some(200), Some(299)), "{made:?}");
    ensure!(made.offering_network_modes == ["securitygroup"] && !made.allow_new_networks, "{made:?}");
    refused(app::dc_networks::create(&world.app, &operator(&world), request).await, Code::AlreadyExists)?;
    let twin: CreateDcNetwork = json(value!({ "name": "LAB" }));
    refused(app::dc_networks::create(&world.app, &operator(&world), twin).await, Code::NameTaken)?;
    let other: CreateDcNetwork = json(value!({ "name": "other", "vlan_first": 250, "vlan_last": 300 }));
    refused(app::dc_networks::create(&world.app, &operator(&world), other).await, Code::InvalidParameter)?;

    let network = || lab("dcn-lab", "10.60.0.0");
    refused(app::networks::create(&world.app, &world.demo(), network()).await, Code::DcNetworkNotPermitted)?;
    let open = UpdateDcNetwork { allow_new_networks: Some(true), ..UpdateDcNetwork::default() };
    told(app::dc_networks::update(&world.app, &operator(&world), "dcn-lab", open).await)?;
    let passthrough = CreateNetwork { network_mode: "passthrough".into(), ..network() };
    refused(app::networks::create(&world.app, &world.demo(), passthrough.clone()).await, Code::DcNetworkNotPermitted)?;
    let modes = ["passthrough".to_owned()];
    let offered = told(app::dc_networks::offer(&world.app, &operator(&world), "dcn-lab", &modes, Offer::Add).await)?;
    ensure!(offered == ["passthrough", "securitygroup"], "{offered:?}");
    refused(app::networks::create(&world.app, &world.demo(), passthrough).await, Code::NotImplemented)?;
    let offered = told(app::dc_networks::offer(&world.app, &operator(&world), "dcn-lab", &modes, Offer::Delete).await)?;
    ensure!(offered == ["securitygroup"], "{offered:?}");
    let unknown = lab("dcn-none", "10.60.0.0");
    refused(app::networks::create(&world.app, &world.demo(), unknown).await, Code::UnknownDcNetwork)?;

    let inside = told(app::networks::create(&world.app, &world.demo(), network()).await)?;
    let to = Narrowed { dc_network: Some("lab".into()), has_service: Some("gateway".into()) };
    let listed = told(app::networks::list(&world.app, &world.demo(), ListFilter::default(), to).await)?;
    ensure!(listed.total == 1 && listed.results[0].id == inside.id, "{listed:?}");
    let refusal =
        refused(app::dc_networks::delete(&world.app, &operator(&world), "dcn-lab").await, Code::ResourceInUse)?;
    ensure!(refusal.values["by"] == inside.id, "{refusal:?}");
    let spare: CreateDcNetwork = json(value!({ "id": "dcn-spare", "name": "spare" }));
    told(app::dc_networks::create(&world.app, &operator(&world), spare).await)?;
    told(app::dc_networks::delete(&world.app, &operator(&world), "dcn-spare").await)?;
    served(&world, &inside.id).await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_networks_asked_for_at_once_get_a_tag_each_and_no_more_than_there_are() -> anyhow::Result<()> {
    let world = small().await?;
    let request: CreateDcNetwork = json(
        value!({ "id": "dcn-few", "name": "few", "vlan_first": 500, "vlan_last": 509, "allow_new_networks": true }),
    );
    told(app::dc_networks::create(&world.app, &operator(&world), request).await)?;
    let asked = (0..30).map(|n| {
        let (app, caller) = (world.app.clone(), world.demo());
        tokio::spawn(async move { app::networks::create(&app, &caller, lab("dcn-few", &format!("10.{n}.0.0"))).await })
    });
    let asked: Vec<_> = asked.collect();
    let (mut made, mut full) = (0, 0);
    for one in asked {
        match one.await? {
            Ok(_) => made += 1,
            Err(refusal) if refusal.code == Code::OutOfSegments => full += 1,
            Err(other) => anyhow::bail!("{other:?}"),
        }
    }
    ensure!((made, full) == (10, 20), "{made} made, {full} refused");
    let tags = "SELECT COUNT(DISTINCT vlan_tag) AS n FROM networks WHERE dc_network_id = 'dcn-few'";
    ensure!(count(&world, tags).await? == 10);
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_reserved_and_held_and_judged_per_network() -> anyhow::Result<()> {
    let world = small().await?;
    let demo = world.demo();
    let first = told(app::networks::create(&world.app, &demo, plain("10.50.0.0")).await)?;
    let second = told(app::networks::create(&world.app, &world.demo(), plain("10.50.0.0")).await)?;
    for network in [&first.id, &second.id] {
        let two = range("10.50.0.10", "10.50.0.11");
        told(parts::change_range(&world.app, &world.demo(), network, two, Turn::Give).await)?;
    }
    let ten = ["10.50.0.10".parse()?];
    told(parts::reserve(&world.app, &world.demo(), &first.id, &ten, Turn::Give).await)?;
    refused(parts::reserve(&world.app, &world.demo(), &first.id, &ten, Turn::Give).await, Code::DuplicateAddress)?;
    let server = ["10.50.0.1".parse()?];
    refused(
        parts::reserve(&world.app, &world.demo(), &first.id, &server, Turn::Give).await,
        Code::AddressNotInNetwork,
    )?;
    // The same address in the other network is another one.
    let asked: CreateVif = json(value!({ "ipv4_addr": "10.50.0.10" }));
    let vif = told(parts::create_vif(&world.app, &world.demo(), &second.id, asked.clone()).await)?;
    ensure!(vif.ipv4_address.as_deref() == Some("10.50.0.10") && vif.instance_id.is_none(), "{vif:?}");
    refused(parts::create_vif(&world.app, &world.demo(), &first.id, asked.clone()).await, Code::DuplicateAddress)?;
    let twin = CreateVif { mac_addr: Some(vif.mac_addr.parse()?), ipv4_addr: None };
    refused(parts::create_vif(&world.app, &world.demo(), &first.id, twin).await, Code::DuplicateMacAddress)?;
    let lone = told(parts::create_vif(&world.app, &world.demo(), &first.id, CreateVif::default()).await)?;
    ensure!(lone.ipv4_address.as_deref() == Some("10.50.0.11"), "{lone:?}");
    refused(
        parts::create_vif(&world.app, &world.demo(), &first.id, CreateVif::default()).await,
        Code::OutOfNetworkCapacity,
    )?;
    told(parts::reserve(&world.app, &world.demo(), &first.id, &ten, Turn::Take).await)?;
    refused(parts::reserve(&world.app, &world.demo(), &first.id, &ten, Turn::Take).await, Code::InvalidParameter)?;

    // Out of one network and into the other; another account's interface is not there.
    refused(parts::attach(&world.app, &world.demo(), &second.id, &lone.id, None).await, Code::VifAttached)?;
    let out = told(parts::detach(&world.app, &world.demo(), &first.id, &lone.id).await)?;
    ensure!(out.network_id.is_none() && out.ip_leases.is_empty(), "{out:?}");
    refused(parts::detach(&world.app, &world.demo(), &first.id, &lone.id).await, Code::VifNotAttached)?;
    let stranger = world.caller("a-other", Role::Member);
    refused(parts::attach(&world.app, &stranger, "nw-other", &lone.id, None).await, Code::UnknownResource)?;
    let moved = told(parts::attach(&world.app, &world.demo(), &second.id, &lone.id, None).await)?;
    ensure!(moved.ipv4_address.as_deref() == Some("10.50.0.11"), "{moved:?}");
    refused(app::networks::delete(&world.app, &world.demo(), &second.id).await, Code::ResourceInUse)?;
    told(parts::delete_vif(&world.app, &world.demo(), &second.id, &lone.id).await)?;
    told(parts::delete_vif(&world.app, &world.demo(), &second.id, &vif.id).await)?;
    refused(parts::vif(&world.app, &world.demo(), &second.id, &vif.id).await, Code::UnknownResource)?;
    told(app::networks::delete(&world.app, &world.demo(), &second.id).await)?;
    served(&world, &first.id).await?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_reaches_the_naming_service_and_an_uneditable_network_keeps_its_parts() -> anyhow::Result<()> {
    let world = small().await?;
    let made = told(app::networks::create(&world.app, &world.demo(), plain("10.50.0.0")).await)?;
    served(&world, &made.id).await?;
    let gateway: SetNetworkService = json(value!({ "name": "gateway", "ipv4": "10.50.0.254" }));
    let set = told(parts::set_service(&world.app, &world.demo(), &made.id, &gateway, Turn::Give).await)?;
    ensure!(set.ipv4_gw.as_deref() == Some("10.50.0.254"), "{set:?}");
    served(&world, &made.id).await?;
    refused(parts::set_service(&world.app, &world.demo(), &made.id, &gateway, Turn::Give).await, Code::AlreadyExists)?;
    let dhcp: SetNetworkService = json(value!({ "name": "dhcp" }));
    refused(parts::set_service(&world.app, &world.demo(), &made.id, &dhcp, Turn::Take).await, Code::NotImplemented)?;
    let bare = told(parts::set_service(&world.app, &world.demo(), &made.id, &gateway, Turn::Take).await)?;
    ensure!(bare.ipv4_gw.is_none() && bare.network_services.len() == 3, "{bare:?}");
    served(&world, &made.id).await?;

    // Seeded networks are not editable; that is an operator's to change.
    let ten = range("10.100.3.251", "10.100.3.252");
    refused(
        parts::change_range(&world.app, &world.demo(), "nw-demo1", ten, Turn::Give).await,
        Code::NetworkNotEditable,
    )?;
    let editable = UpdateNetwork { editable: Some(true), ..UpdateNetwork::default() };
    refused(app::networks::update(&world.app, &world.demo(), "nw-demo1", editable.clone()).await, Code::NotPermitted)?;
    told(app::networks::update(&world.app, &operator(&world), "nw-demo1", editable).await)?;
    told(parts::change_range(&world.app, &world.demo(), "nw-demo1", ten, Turn::Give).await)?;
    let ranges = told(app::networks::get(&world.app, &world.demo(), "nw-demo1").await)?.dhcp_ranges;
    ensure!(ranges.len() == 2, "{ranges:?}");
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_is_sent_again_makes_nothing_new() -> anyhow::Result<()> {
    let world = small().await?;
    let with_key = || app::Caller { idempotency_key: Some("k-1".into()), ..world.demo() };
    let one = told(app::networks::create(&world.app, &with_key(), plain("10.50.0.0")).await)?;
    let again = told(app::networks::create(&world.app, &with_key(), plain("10.50.0.0")).await)?;
    ensure!(one.id == again.id);
    // The control: without the key it is another one.
    let other = told(app::networks::create(&world.app, &world.demo(), plain("10.50.0.0")).await)?;
    ensure!(other.id != one.id);
    let group = json(value!({ "rule": "", "display_name": "g" }));
    refused(app::security_groups::create(&world.app, &with_key(), group).await, Code::IdempotencyConflict)?;
    for id in [&one.id, &other.id] {
        served(&world, id).await?;
    }
    world.ends_clean().await
}
