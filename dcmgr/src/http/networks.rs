//! `/networks`: subnets on segments, with their ranges, reserved addresses and services.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::fields::Fields;
use super::instances::NAME_BYTES_MAX;
use super::list::{self, ListQuery};
use app::networks::Narrowed;
use app::networks::parts::{self, Turn};
use arame_schema::api::{
    AttachVif, CreateNetwork, CreateVif, DhcpRange, Network, NetworkRoute, NetworkService, NetworkVif, Nothing, Page,
    Refusal, ReserveAddresses, SetNetworkService, UpdateNetwork,
};
use arame_schema::model::{InstanceId, NetworkId, VifId};
use std::net::Ipv4Addr;
use std::str::FromStr;

const ID: &str = "nw-…";

/// Forms of addresses in refusals.
const ADDRESS: &str = "192.0.2.1";

/// List networks.
#[utoipa::path(get, path = "/networks", tag = "networks",
    params(ListQuery,
        ("dc_network" = Option<String>, Query, description = "Only in this dc network, by its id or name."),
        ("has_service" = Option<String>, Query, description = "Only with this service.")),
    responses((status = 200, body = Page<Network>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<Network>; 1]> {
    let filter = list::filter(&mut asked.fields)?;
    let to = Narrowed {
        dc_network: asked.fields.text_within("dc_network", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
        has_service: asked.fields.text_within("has_service", NAME_BYTES_MAX)?.filter(|text| !text.is_empty()),
    };
    let page = app::networks::list(asked.app(), &asked.caller, filter, to).await?;
    asked.page(page)
}

/// Show a network.
#[utoipa::path(get, path = "/networks/{id}", tag = "networks", responses((status = 200, body = Network)))]
pub async fn get(asked: Asked) -> Answer<Network> {
    let id: NetworkId = asked.id(ID)?;
    let view = app::networks::get(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(view)
}

/// Make a network in a dc network that takes it. Its segment is chosen by the data center.
#[utoipa::path(post, path = "/networks", tag = "networks", request_body = CreateNetwork,
    responses((status = 200, body = Network)))]
pub async fn create(mut asked: Asked) -> Answer<Network> {
    let request = create_network(&mut asked.fields)?;
    asked.fields.clone().finish()?;
    let view = app::networks::create(asked.app(), &asked.caller, request).await?;
    asked.answer(view)
}

fn create_network(fields: &mut Fields) -> Result<CreateNetwork, Refusal> {
    let dc_network = fields.parsed("dc_network", "dcn-…")?;
    let network = fields.parsed("network", "10.0.0.0")?;
    let prefix = fields.number("prefix", 0..=32)?;
    let network_mode = text(fields, "network_mode")?;
    let ip_assignment = text(fields, "ip_assignment")?;
    if let Some(word) = ip_assignment.as_deref().filter(|word| !["asc", "desc"].contains(word)) {
        return Err(fields.invalid("ip_assignment", super::fields::short(word), "asc | desc"));
    }
    let dhcp_range = text(fields, "dhcp_range")?;
    if let Some(word) = dhcp_range.as_deref().filter(|word| *word != "default") {
        return Err(fields.invalid("dhcp_range", super::fields::short(word), "default"));
    }
    Ok(CreateNetwork {
        id: fields.parsed("id", ID)?,
        dc_network: fields.needed("dc_network", dc_network)?,
        network: fields.needed("network", network)?,
        prefix: fields.needed("prefix", prefix)? as u8,
        network_mode: fields.needed("network_mode", network_mode)?,
        gw: fields.parsed("gw", ADDRESS)?,
        domain_name: text(fields, "domain_name")?,
        ip_assignment,
        editable: fields.flag("editable")?.unwrap_or_default(),
        metric: fields.number("metric", 0..=u64::from(u32::MAX))?.map(|metric| metric as u32),
        description: fields.text_within("description", NAME_BYTES_MAX)?.unwrap_or_default(),
        display_name: text(fields, "display_name")?,
        service_dhcp: fields.parsed("service_dhcp", ADDRESS)?,
        service_dns: fields.parsed("service_dns", ADDRESS)?,
        service_gateway: fields.parsed("service_gateway", ADDRESS)?,
        dhcp_range,
        vlan_tag: fields.number("vlan_tag", 1..=4094)?.map(|tag| tag as u16),
        naming_services_wanted: naming_services(fields)?,
    })
}

fn text(fields: &mut Fields, name: &str) -> Result<Option<String>, Refusal> {
    Ok(fields.text_within(name, NAME_BYTES_MAX)?.filter(|text| !text.is_empty()))
}

/// More than a handful answer nobody faster.
fn naming_services(fields: &mut Fields) -> Result<Option<u16>, Refusal> {
    Ok(fields.number("naming_services_wanted", 0..=16)?.map(|count| count as u16))
}

fn seconds(fields: &mut Fields, name: &str) -> Result<Option<u32>, Refusal> {
    Ok(fields.number(name, 0..=u64::from(u32::MAX))?.map(|seconds| seconds as u32))
}

/// A list that is there, perhaps empty; `None`: it was not named.
fn named_list<T: FromStr>(fields: &mut Fields, name: &str, form: &str) -> Result<Option<Vec<T>>, Refusal> {
    let is_named = fields.has(name);
    let list = fields.list(name, form)?;
    Ok(is_named.then_some(list))
}

/// Change a network's words, and what it tells its guests. What is absent stays.
#[utoipa::path(put, path = "/networks/{id}", tag = "networks", request_body = UpdateNetwork,
    responses((status = 200, body = Network)))]
pub async fn update(mut asked: Asked) -> Answer<Network> {
    let id: NetworkId = asked.id(ID)?;
    let request = UpdateNetwork {
        display_name: asked.fields.text_within("display_name", NAME_BYTES_MAX)?,
        description: asked.fields.text_within("description", NAME_BYTES_MAX)?,
        editable: asked.fields.flag("editable")?,
        mtu: asked.fields.number("mtu", 0..=u64::from(u16::MAX))?.map(|mtu| mtu as u16),
        lease_seconds: seconds(&mut asked.fields, "lease_seconds")?,
        ttl_seconds: seconds(&mut asked.fields, "ttl_seconds")?,
        domain_name: text(&mut asked.fields, "domain_name")?,
        dns_servers: named_list(&mut asked.fields, "dns_servers", ADDRESS)?,
        ntp_servers: named_list(&mut asked.fields, "ntp_servers", ADDRESS)?,
        query_log: asked.fields.flag("query_log")?,
        routes: named_list(&mut asked.fields, "routes", "192.168.0.0/16 via 10.0.0.1")?,
        forwarders: named_list(&mut asked.fields, "forwarders", "192.0.2.1:53")?,
        dhcp: asked.fields.flag("dhcp")?,
        dns: asked.fields.flag("dns")?,
        nat_network_id: asked.fields.text("nat_network_id")?,
        outbound: asked.fields.flag("outbound")?,
        naming_services_wanted: naming_services(&mut asked.fields)?,
    };
    asked.fields.clone().finish()?;
    let view = app::networks::update(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(view)
}

/// Delete a network in which no interface is.
#[utoipa::path(delete, path = "/networks/{id}", tag = "networks", responses((status = 200, body = Vec<String>)))]
pub async fn delete(asked: Asked) -> Answer<Vec<String>> {
    let id: NetworkId = asked.id(ID)?;
    let gone = app::networks::delete(asked.app(), &asked.caller, id.as_str()).await?;
    asked.answer(gone)
}

/// Addresses that are given out: pairs of first and last.
#[utoipa::path(get, path = "/networks/{id}/dhcp_ranges", tag = "networks",
    responses((status = 200, body = Vec<Vec<String>>)))]
pub async fn ranges(asked: Asked) -> Answer<Vec<[String; 2]>> {
    let id: NetworkId = asked.id(ID)?;
    let view = app::networks::get(asked.app(), &asked.caller, id.as_str()).await?;
    Ok(axum::Json(view.dhcp_ranges))
}

/// Add addresses that are given out.
#[utoipa::path(put, path = "/networks/{id}/dhcp_ranges/add", tag = "networks", request_body = DhcpRange,
    responses((status = 200, body = Nothing)))]
pub async fn add_range(asked: Asked) -> Answer<Nothing> {
    change_range(asked, Turn::Give).await
}

/// Take such a range away, exactly as it was added. Addresses that were given stay given.
#[utoipa::path(put, path = "/networks/{id}/dhcp_ranges/remove", tag = "networks", request_body = DhcpRange,
    responses((status = 200, body = Nothing)))]
pub async fn remove_range(asked: Asked) -> Answer<Nothing> {
    change_range(asked, Turn::Take).await
}

async fn change_range(mut asked: Asked, turn: Turn) -> Answer<Nothing> {
    let id: NetworkId = asked.id(ID)?;
    let fields = &mut asked.fields;
    let (begin, end) = (fields.parsed("range_begin", ADDRESS)?, fields.parsed("range_end", ADDRESS)?);
    let range =
        DhcpRange { range_begin: fields.needed("range_begin", begin)?, range_end: fields.needed("range_end", end)? };
    asked.fields.clone().finish()?;
    parts::change_range(asked.app(), &asked.caller, id.as_str(), range, turn).await?;
    asked.answer(Nothing {})
}

/// Keep addresses from everybody.
#[utoipa::path(put, path = "/networks/{id}/dhcp/reserve", tag = "networks", request_body = ReserveAddresses,
    responses((status = 200, body = Nothing)))]
pub async fn reserve(asked: Asked) -> Answer<Nothing> {
    change_reserved(asked, Turn::Give).await
}

/// Give reserved addresses back.
#[utoipa::path(put, path = "/networks/{id}/dhcp/release", tag = "networks", request_body = ReserveAddresses,
    responses((status = 200, body = Nothing)))]
pub async fn release(asked: Asked) -> Answer<Nothing> {
    change_reserved(asked, Turn::Take).await
}

async fn change_reserved(mut asked: Asked, turn: Turn) -> Answer<Nothing> {
    let id: NetworkId = asked.id(ID)?;
    let addresses: Vec<Ipv4Addr> = asked.fields.list("ipaddr", ADDRESS)?;
    asked.fields.needed("ipaddr", addresses.first())?;
    asked.fields.clone().finish()?;
    parts::reserve(asked.app(), &asked.caller, id.as_str(), &addresses, turn).await?;
    asked.answer(Nothing {})
}

/// Services of a network.
#[utoipa::path(get, path = "/networks/{id}/services", tag = "networks", params(ListQuery),
    responses((status = 200, body = Page<NetworkService>)))]
pub async fn services(mut asked: Asked) -> Answer<[Page<NetworkService>; 1]> {
    let id: NetworkId = asked.id(ID)?;
    let filter = list::filter(&mut asked.fields)?;
    let page = parts::services(asked.app(), &asked.caller, id.as_str(), filter).await?;
    asked.page(page)
}

/// Give a network its gateway. DHCP, DNS and metadata are always there.
#[utoipa::path(post, path = "/networks/{id}/services", tag = "networks", request_body = SetNetworkService,
    responses((status = 200, body = NetworkService)))]
pub async fn add_service(asked: Asked) -> Answer<NetworkService> {
    let (id, name, view, asked) = set_service(asked, Turn::Give).await?;
    let made = view.network_services.into_iter().find(|service| service.name == name);
    let made = made.ok_or_else(|| Refusal::unknown(id))?;
    asked.answer(made)
}

/// Take a network's gateway away.
#[utoipa::path(delete, path = "/networks/{id}/services", tag = "networks", request_body = SetNetworkService,
    responses((status = 200, body = Nothing)))]
pub async fn remove_service(asked: Asked) -> Answer<Nothing> {
    let (_, _, _, asked) = set_service(asked, Turn::Take).await?;
    asked.answer(Nothing {})
}

async fn set_service(
    mut asked: Asked,
    turn: Turn,
) -> Result<(NetworkId, String, Network, Asked), super::answer::Refused> {
    let id: NetworkId = asked.id(ID)?;
    let name = text(&mut asked.fields, "name")?;
    let request =
        SetNetworkService { name: asked.fields.needed("name", name)?, ipv4: asked.fields.parsed("ipv4", ADDRESS)? };
    // The original's; a naming service needs no ports.
    for ignored in ["incoming_port", "outgoing_port", "vif_id"] {
        asked.fields.text(ignored)?;
    }
    asked.fields.clone().finish()?;
    let view = parts::set_service(asked.app(), &asked.caller, id.as_str(), &request, turn).await?;
    Ok((id, request.name, view, asked))
}

/// External addresses of the network's interfaces, and those in it that are others'.
#[utoipa::path(get, path = "/networks/{id}/routes", tag = "networks", params(ListQuery),
    responses((status = 200, body = Page<NetworkRoute>)))]
pub async fn routes(mut asked: Asked) -> Answer<[Page<NetworkRoute>; 1]> {
    let id: NetworkId = asked.id(ID)?;
    let filter = list::filter(&mut asked.fields)?;
    let page = parts::routes(asked.app(), &asked.caller, id.as_str(), filter).await?;
    asked.page(page)
}

/// Interfaces in a network.
#[utoipa::path(get, path = "/networks/{id}/vifs", tag = "networks", params(ListQuery),
    responses((status = 200, body = Page<NetworkVif>)))]
pub async fn vifs(mut asked: Asked) -> Answer<[Page<NetworkVif>; 1]> {
    let id: NetworkId = asked.id(ID)?;
    let filter = list::filter(&mut asked.fields)?;
    let page = parts::vifs(asked.app(), &asked.caller, id.as_str(), filter).await?;
    asked.page(page)
}

/// Make an interface that belongs to no instance: it holds an address and a MAC.
#[utoipa::path(post, path = "/networks/{id}/vifs", tag = "networks", request_body = CreateVif,
    responses((status = 200, body = NetworkVif)))]
pub async fn create_vif(mut asked: Asked) -> Answer<NetworkVif> {
    let id: NetworkId = asked.id(ID)?;
    let request = CreateVif {
        ipv4_addr: asked.fields.parsed("ipv4_addr", ADDRESS)?,
        mac_addr: asked.fields.parsed("mac_addr", "52:54:00:00:00:01")?,
    };
    asked.fields.clone().finish()?;
    let view = parts::create_vif(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(view)
}

fn vif_of(asked: &Asked) -> Result<(NetworkId, VifId), super::answer::Refused> {
    let text = asked.part("vif");
    let vif = text.parse().map_err(|_| asked.fields.invalid("vif", super::fields::short(text), "vif-…"))?;
    Ok((asked.id(ID)?, vif))
}

/// Show an interface in a network.
#[utoipa::path(get, path = "/networks/{id}/vifs/{vif}", tag = "networks", params(("vif" = String, Path)),
    responses((status = 200, body = NetworkVif)))]
pub async fn vif(asked: Asked) -> Answer<NetworkVif> {
    let (id, vif) = vif_of(&asked)?;
    let view = parts::vif(asked.app(), &asked.caller, id.as_str(), vif.as_str()).await?;
    asked.answer(view)
}

/// Delete an interface that belongs to no instance.
#[utoipa::path(delete, path = "/networks/{id}/vifs/{vif}", tag = "networks", params(("vif" = String, Path)),
    responses((status = 200, body = Nothing)))]
pub async fn delete_vif(asked: Asked) -> Answer<Nothing> {
    let (id, vif) = vif_of(&asked)?;
    parts::delete_vif(asked.app(), &asked.caller, id.as_str(), vif.as_str()).await?;
    asked.answer(Nothing {})
}

/// Put an interface that belongs to no instance into a network, and with `instance_id` into that instance, running or not.
#[utoipa::path(put, path = "/networks/{id}/vifs/{vif}/attach", tag = "networks", params(("vif" = String, Path)),
    request_body = AttachVif, responses((status = 200, body = NetworkVif)))]
pub async fn attach(mut asked: Asked) -> Answer<NetworkVif> {
    let (id, vif) = vif_of(&asked)?;
    let instance = asked.fields.parsed::<InstanceId>("instance_id", "i-…")?;
    asked.fields.clone().finish()?;
    let instance = instance.as_ref().map(InstanceId::as_str);
    let view = parts::attach(asked.app(), &asked.caller, id.as_str(), vif.as_str(), instance).await?;
    asked.answer(view)
}

/// Take an interface out of its instance, running or not; it keeps its address. One of no instance leaves its network.
#[utoipa::path(put, path = "/networks/{id}/vifs/{vif}/detach", tag = "networks", params(("vif" = String, Path)),
    responses((status = 200, body = NetworkVif)))]
pub async fn detach(asked: Asked) -> Answer<NetworkVif> {
    let (id, vif) = vif_of(&asked)?;
    let view = parts::detach(asked.app(), &asked.caller, id.as_str(), vif.as_str()).await?;
    asked.answer(view)
}
