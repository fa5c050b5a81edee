//! Interfaces that come into a machine and leave it, running or not.

use crate::support::{count, json, refused, small, told};
use anyhow::ensure;
use arame_dcmgr::app;
use arame_dcmgr::app::networks::parts::{self, Turn};
use arame_hva::driver::sim::{Action, FailsAs, Fault, Point};
use arame_schema::api::{
    Code, CreateDnsRecord, CreateIpPool, CreateNetwork, CreateVif, ListFilter, NetworkVif, Role, UpdateNetwork,
};
use arame_schema::model::instance::{InstanceState, Shutdown};
use arame_spec::world::World;
use serde_json::json as value;

/// A network beside the demo's, with ten addresses.
pub async fn lab(world: &World) -> anyhow::Result<String> {
    let asked: CreateNetwork = json(value!({ "dc_network": "dcn-main", "network": "10.50.0.0", "prefix": 24,
        "network_mode": "securitygroup", "editable": true }));
    let made = told(app::networks::create(&world.app, &world.demo(), asked).await)?;
    let range = json(value!({ "range_begin": "10.50.0.10", "range_end": "10.50.0.19" }));
    told(parts::change_range(&world.app, &world.demo(), &made.id, range, Turn::Give).await)?;
    Ok(made.id)
}

async fn in_state(world: &World, vif: &str, wanted: &str) -> anyhow::Result<NetworkVif> {
    let get = async || told(app::vifs::get(&world.app, &world.demo(), vif).await);
    world.until(&format!("{vif} is {wanted}"), async || Ok(get().await?.state == wanted)).await?;
    get().await
}

/// Whether the simulated guest, and its host's switch, have an interface.
fn is_in(world: &World, instance: &str, vif: &str) -> anyhow::Result<(bool, bool)> {
    let worlds = world.worlds()?;
    let host = worlds.iter().find(|(name, _)| name.starts_with("hva.")).map(|(_, host)| host);
    let host = host.ok_or_else(|| anyhow::anyhow!("no host"))?;
    let live = host["domains"][instance]["live_nics"].as_array().is_some_and(|nics| nics.contains(&value!(vif)));
    Ok((live, !host["ports"][vif].is_null()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_comes_into_a_running_machine_stays_over_power_and_leaves_with_its_address() -> anyhow::Result<()>
{
    let world = small().await?;
    let network = lab(&world).await?;
    let one = world.launch("web1").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    let vif = told(parts::create_vif(&world.app, &world.demo(), &network, CreateVif::default()).await)?;
    ensure!(vif.state == "free" && is_in(&world, &one.id, &vif.id)? == (false, false), "{vif:?}");

    // Another account's machine is not there, and neither is one that never was.
    let stranger = world.caller("a-other", Role::Member);
    refused(parts::attach(&world.app, &stranger, &network, &vif.id, Some(&one.id)).await, Code::UnknownResource)?;
    refused(parts::attach(&world.app, &world.demo(), &network, &vif.id, Some("i-none")).await, Code::UnknownResource)?;
    told(parts::attach(&world.app, &world.demo(), &network, &vif.id, Some(&one.id)).await)?;
    let shown = in_state(&world, &vif.id, "attached").await?;
    ensure!((shown.instance_id.as_deref(), shown.device_index) == (Some(one.id.as_str()), 1), "{shown:?}");
    ensure!(is_in(&world, &one.id, &vif.id)? == (true, true));
    ensure!(world.instance(&one.id).await?.vif.len() == 2);
    let host = world.hypervisor("hva.h1").ok_or_else(|| anyhow::anyhow!("no hypervisor"))?;
    ensure!(host.policy().ports.iter().any(|port| port.vif.as_str() == vif.id), "its port has rules");
    refused(parts::attach(&world.app, &world.demo(), &network, &vif.id, Some(&one.id)).await, Code::VifAttached)?;

    // Off and on: it is there.
    told(app::instances::power_off(&world.app, &world.demo(), &one.id, Shutdown::Hard).await)?;
    world.instance_in(&one.id, InstanceState::Halted).await?;
    ensure!(is_in(&world, &one.id, &vif.id)? == (false, true));
    told(app::instances::power_on(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    ensure!(is_in(&world, &one.id, &vif.id)? == (true, true));

    told(parts::detach(&world.app, &world.demo(), &network, &vif.id).await)?;
    let left = in_state(&world, &vif.id, "free").await?;
    ensure!((&left.ipv4_address, &left.network_id) == (&vif.ipv4_address, &vif.network_id), "{left:?}");
    ensure!(is_in(&world, &one.id, &vif.id)? == (false, false));
    ensure!(world.instance(&one.id).await?.state == InstanceState::Running);

    // What somebody knew cools once it is given back.
    told(parts::delete_vif(&world.app, &world.demo(), &network, &vif.id).await)?;
    let cooling =
        format!("SELECT COUNT(*) AS n FROM ip_leases WHERE vif_id = '{}' AND released_at IS NOT NULL", vif.id);
    ensure!(count(&world, &cooling).await? == 1);
    let lone = told(parts::create_vif(&world.app, &world.demo(), &network, CreateVif::default()).await)?;
    ensure!(lone.ipv4_address != vif.ipv4_address, "the control: the next one has another address");
    told(parts::delete_vif(&world.app, &world.demo(), &network, &lone.id).await)?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_of_a_halted_machine_comes_with_its_start_and_goes_with_its_end() -> anyhow::Result<()> {
    let world = small().await?;
    let network = lab(&world).await?;
    let one = world.launch("web1").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    told(app::instances::power_off(&world.app, &world.demo(), &one.id, Shutdown::Hard).await)?;
    world.instance_in(&one.id, InstanceState::Halted).await?;
    let vif = told(parts::create_vif(&world.app, &world.demo(), &network, CreateVif::default()).await)?;
    told(parts::attach(&world.app, &world.demo(), &network, &vif.id, Some(&one.id)).await)?;
    told(app::instances::power_on(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    in_state(&world, &vif.id, "attached").await?;
    world.until("the guest has it", async || Ok(is_in(&world, &one.id, &vif.id)? == (true, true))).await?;
    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    refused(app::vifs::get(&world.app, &world.demo(), &vif.id).await, Code::UnknownResource)?;
    ensure!(is_in(&world, &one.id, &vif.id)? == (false, false));
    world.ends_clean().await
}

/// Every attempt fails: it is told, the guest runs on with it, and switched off it has let go.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_let_an_interface_go_is_told_and_loses_it_when_it_is_off() -> anyhow::Result<()> {
    let world = small().await?;
    let network = lab(&world).await?;
    let one = world.launch("web1").await?;
    world.instance_in(&one.id, InstanceState::Running).await?;
    let vif = told(parts::create_vif(&world.app, &world.demo(), &network, CreateVif::default()).await)?;
    told(parts::attach(&world.app, &world.demo(), &network, &vif.id, Some(&one.id)).await)?;
    in_state(&world, &vif.id, "attached").await?;
    let host = world.hypervisor("hva.h1").ok_or_else(|| anyhow::anyhow!("no hypervisor"))?;
    host.inject(Fault {
        kind: Some("ensure_no_nic".into()),
        thing: None,
        point: Point::BeforeEffect,
        action: Action::Fail,
        times: 5,
        fails_as: FailsAs::GuestHoldsInterface,
    });
    told(parts::detach(&world.app, &world.demo(), &network, &vif.id).await)?;
    let failed =
        async || Ok(world.instance(&one.id).await?.failure.is_some_and(|why| why.code == "guest_holds_interface"));
    world.until("it is told", failed).await?;
    let shown = in_state(&world, &vif.id, "detaching").await?;
    ensure!(shown.instance_id.is_some() && is_in(&world, &one.id, &vif.id)? == (true, true), "{shown:?}");
    told(app::instances::power_off(&world.app, &world.demo(), &one.id, Shutdown::Hard).await)?;
    in_state(&world, &vif.id, "free").await?;
    ensure!(is_in(&world, &one.id, &vif.id)? == (false, false));
    world.ends_clean().await
}

pub fn leads(to: &str) -> UpdateNetwork {
    UpdateNetwork { nat_network_id: Some(to.to_owned()), ..UpdateNetwork::default() }
}

/// What the simulated naming service was told of the way out.
fn way(world: &World, network: &str) -> anyhow::Result<String> {
    let worlds = world.worlds()?;
    let nsa = worlds.iter().find(|(name, _)| name.starts_with("nsa.")).map(|(_, nsa)| nsa);
    let shape = nsa.and_then(|nsa| nsa["links"][network]["shape"].as_str());
    Ok(shape.unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_address_is_bound_translated_shown_and_given_back_only_when_nobody_translates_it()
-> anyhow::Result<()> {
    use app::networks::outside;
    let world = small().await?;
    let outer = lab(&world).await?;
    let inner = "nw-demo1";
    let pool: CreateIpPool = json(value!({ "display_name": "outside", "dc_networks": ["dcn-main"] }));
    let pool = told(app::ip_pools::create(&world.app, &world.demo(), pool).await)?.id;
    let acquire = async |network: &str| told(app::ip_pools::acquire(&world.app, &world.demo(), &pool, network).await);
    let handle = acquire(&outer).await?;
    let one = world.launch("web1").await?;
    let one = world.instance_in(&one.id, InstanceState::Running).await?;
    let vif = one.vif[0].vif_id.clone();
    let bind = async |handle: &str| outside::bind(&world.app, &world.demo(), &vif, handle).await;

    refused(bind(&handle.ip_handle_id).await, Code::NoWayOut)?;
    refused(app::networks::update(&world.app, &world.demo(), inner, leads(inner)).await, Code::InvalidParameter)?;
    refused(app::networks::update(&world.app, &world.demo(), inner, leads("nw-other")).await, Code::UnknownResource)?;
    let shown = told(app::networks::update(&world.app, &world.demo(), inner, leads(&outer)).await)?;
    let own = shown.outside_ipv4.clone().unwrap_or_default();
    ensure!(shown.nat_network_id.as_ref() == Some(&outer) && own.starts_with("10.50.0."), "{shown:?}");
    ensure!(shown.outbound && own != handle.ipv4, "{shown:?}");
    world.until("the way is open", async || Ok(way(&world, inner)?.contains(&own))).await?;

    let wrong = acquire("nw-demo2").await?;
    refused(bind(&wrong.ip_handle_id).await, Code::AddressNotOutside)?;
    let stranger = world.caller("a-other", Role::Member);
    refused(outside::bind(&world.app, &stranger, &vif, &handle.ip_handle_id).await, Code::UnknownResource)?;
    let bound = told(bind(&handle.ip_handle_id).await)?;
    ensure!((&bound.ipv4, &bound.vif_id) == (&handle.ipv4, &vif), "{bound:?}");
    told(bind(&handle.ip_handle_id).await)?;
    let more = acquire(&outer).await?;
    refused(bind(&more.ip_handle_id).await, Code::AlreadyExists)?;
    world.until("it is translated", async || Ok(way(&world, inner)?.contains(&handle.ipv4))).await?;

    // Its outer name is nobody else's, whichever of the two came first.
    let hidden: CreateDnsRecord = json(value!({ "name": "ext.Web1", "type": "A", "value": "10.100.0.99" }));
    let add = async || app::networks::records::add(&world.app, &world.demo(), inner, hidden.clone()).await;
    refused(add().await, Code::NameOfExternalAddress)?;
    let text: CreateDnsRecord = json(value!({ "name": "ext.web1", "type": "TXT", "value": "beside it" }));
    told(app::networks::records::add(&world.app, &world.demo(), inner, text).await)?;

    // Shown wherever the interface is.
    let nat = world.instance(&one.id).await?.vif[0].ipv4.as_ref().and_then(|ipv4| ipv4.nat_address.clone());
    ensure!(nat.as_ref() == Some(&handle.ipv4), "{nat:?}");
    let shown = told(app::vifs::get(&world.app, &world.demo(), &vif).await)?;
    ensure!(shown.nat_ipv4_address.as_ref() == Some(&handle.ipv4), "{shown:?}");
    let routes = told(parts::routes(&world.app, &world.demo(), inner, ListFilter::default()).await)?;
    ensure!(routes.results.len() == 1 && routes.results[0].outer.ipv4 == handle.ipv4, "{routes:?}");

    // In use: neither given back nor left to its time.
    let release = async |handle: &str| app::ip_pools::release(&world.app, &world.demo(), &pool, handle).await;
    refused(release(&handle.ip_handle_id).await, Code::IpHandleInUse)?;
    refused(app::ip_pools::expire(&world.app, &world.demo(), &handle.ip_handle_id, 5).await, Code::IpHandleInUse)?;
    refused(app::networks::update(&world.app, &world.demo(), inner, leads("none")).await, Code::ResourceInUse)?;
    refused(app::networks::delete(&world.app, &world.demo(), &outer).await, Code::ResourceInUse)?;

    let left = told(outside::unbind(&world.app, &world.demo(), &vif, &handle.ip_handle_id).await)?;
    ensure!(left.is_empty());
    world.until("it may be given back", async || Ok(release(&handle.ip_handle_id).await.is_ok())).await?;
    ensure!(!way(&world, inner)?.contains(&format!("\"{}\"", handle.ipv4)), "it is translated still");

    let record = told(add().await)?.id;
    refused(bind(&more.ip_handle_id).await, Code::NameOfExternalAddress)?;
    told(app::networks::records::remove(&world.app, &world.demo(), inner, &record).await)?;

    // With its machine an interface lets its address go; the handle is there.
    told(bind(&more.ip_handle_id).await)?;
    told(app::instances::delete(&world.app, &world.demo(), &one.id).await)?;
    world.instance_in(&one.id, InstanceState::Terminated).await?;
    let free = told(app::ip_pools::handle(&world.app, &world.demo(), &more.ip_handle_id).await)?;
    ensure!(free.network_vif.is_none(), "{free:?}");
    world.until("it may be given back", async || Ok(release(&more.ip_handle_id).await.is_ok())).await?;

    let off = UpdateNetwork { outbound: Some(false), ..UpdateNetwork::default() };
    told(app::networks::update(&world.app, &world.demo(), inner, off).await)?;
    world.until("nobody leaves", async || Ok(way(&world, inner)?.contains("\"outbound\":false"))).await?;
    told(app::networks::update(&world.app, &world.demo(), inner, leads("none")).await)?;
    world.until("there is no way", async || Ok(!way(&world, inner)?.contains("outbound"))).await?;
    world.ends_clean().await
}
