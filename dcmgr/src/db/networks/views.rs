//! What is shown of networks and their interfaces.

use super::super::{Columns, Db, DbError};
use super::ranges_of;
use arame_schema::api;
use arame_schema::limits::{DHCP_LEASE_SECONDS, DNS_TTL_SECONDS};
use std::net::Ipv4Addr;

const VIEW: &str = "SELECT n.*, d.name AS dc_name, d.id AS dc_id, d.description AS dc_description, \
                    d.offering_network_modes, d.allow_new_networks, d.vlan_first, d.vlan_last, d.created_at AS dc_created_at, \
                    IFNULL(d.updated_at, d.created_at) AS dc_updated_at, \
                    (SELECT COUNT(*) FROM ip_leases l WHERE l.network_id = n.id) AS used, \
                    (SELECT GROUP_CONCAT(CONCAT_WS(' ', p.agent_id, CASE WHEN p.wanted = 0 THEN 'leaving' \
                            WHEN IFNULL(a.heard_at > UTC_TIMESTAMP(3) - INTERVAL 15 SECOND, 0) = 0 THEN 'silent' \
                            WHEN f.value = 'yes' AND f.generation >= p.placed_version THEN 'serving' ELSE 'coming' END, \
                            IF(p.agent_id = n.gateway_agent, 1, 0), IF(f.value = 'yes', f.generation, NULL)) \
                            ORDER BY p.agent_id SEPARATOR ',') FROM naming_places p JOIN agents a ON a.id = p.agent_id \
                     LEFT JOIN facts f ON f.thing = p.network_id AND f.agent_id = p.agent_id AND f.name = 'applied' \
                     WHERE p.network_id = n.id) AS naming \
                    FROM networks n JOIN dc_networks d ON d.id = n.dc_network_id WHERE n.deleted_at IS NULL";

fn view(row: &mysql_async::Row) -> Result<api::Network, DbError> {
    let id = row.text("id")?;
    let server = row.ipv4("server")?.to_string();
    let (created_at, updated_at) = (row.time("created_at")?, row.time("updated_at")?);
    let gateway = row.col::<Option<u32>>("ipv4_gw")?.map(|gw| Ipv4Addr::from(gw).to_string());
    let ranges = ranges_of(row)?;
    let total = ranges.iter().map(|range| u64::from(u32::from(range.end) - u32::from(range.begin)) + 1).sum();
    let service = |name: &str, address: &str| api::NetworkService {
        name: name.into(),
        network_id: id.clone(),
        network_vif_id: None,
        address: Some(address.to_owned()),
        mac_addr: None,
        incoming_port: None,
        outgoing_port: None,
        created_at: Some(created_at),
        updated_at: Some(updated_at),
    };
    let display_name = row.text("display_name")?;
    let settings = super::settings_of(row)?;
    let mut network_services = vec![service("metadata", "169.254.169.254")];
    if !settings.no_dns {
        network_services.insert(0, service("dns", &server));
    }
    if !settings.no_dhcp {
        network_services.insert(0, service("dhcp", &server));
    }
    let forwarders: Vec<std::net::SocketAddr> = row.json("forwarders")?;
    network_services.extend(gateway.as_deref().map(|address| service("gateway", address)));
    Ok(api::Network {
        network_services,
        uuid: id.clone(),
        id,
        account_id: row.text("account_id")?,
        ipv4_network: row.ipv4("ipv4_network")?.to_string(),
        ipv4_gw: gateway,
        prefix: row.col("prefix")?,
        metric: row.col("metric")?,
        domain_name: Some(row.text("domain_name")?),
        dns_server: Some(server.clone()),
        dhcp_server: Some(server),
        metadata_server: Some("169.254.169.254".into()),
        metadata_server_port: Some(80),
        nat_network_id: row.col("nat_network_id")?,
        description: row.text("description")?,
        created_at,
        updated_at,
        network_mode: "securitygroup".into(),
        bandwidth: None,
        ip_assignment: row.text("ip_assignment")?,
        editable: row.flag("editable")?,
        service_type: "std".into(),
        display_name: Some(display_name).filter(|name| !name.is_empty()),
        bandwidth_mark: None,
        dc_network: Some(api::DcNetwork {
            id: row.text("dc_id")?,
            name: row.text("dc_name")?,
            description: row.text("dc_description")?,
            created_at: row.time("dc_created_at")?,
            updated_at: row.time("dc_updated_at")?,
            uuid: row.text("dc_id")?,
            vlan_lease_id: None,
            offering_network_modes: super::super::dc_networks::modes(&row.text("offering_network_modes")?),
            allow_new_networks: row.flag("allow_new_networks")?,
            vlan_first: Some(row.col("vlan_first")?),
            vlan_last: Some(row.col("vlan_last")?),
        }),
        dhcp_ranges: ranges.iter().map(|range| [range.begin.to_string(), range.end.to_string()]).collect(),
        vlan_tag: Some(row.col("vlan_tag")?),
        mtu: row.col("mtu")?,
        addresses_total: total,
        addresses_used: row.col("used")?,
        lease_seconds: settings.lease_seconds.unwrap_or(DHCP_LEASE_SECONDS),
        ttl_seconds: settings.ttl_seconds.unwrap_or(DNS_TTL_SECONDS),
        dns_servers: settings.dns_servers.iter().map(ToString::to_string).collect(),
        ntp_servers: settings.ntp_servers.iter().map(ToString::to_string).collect(),
        query_log: settings.log_queries,
        routes: settings.routes.iter().map(|route| format!("{} via {}", route.destination, route.via)).collect(),
        forwarders: Some(forwarders.iter().map(ToString::to_string).collect()),
        outbound: row.flag("outbound")?,
        outside_ipv4: row.col::<Option<u32>>("outside_ipv4")?.map(|one| Ipv4Addr::from(one).to_string()),
        naming_services_wanted: row.col("naming_services")?,
        naming_services: naming_services(&row.col::<Option<String>>("naming")?.unwrap_or_default()),
    })
}

/// `agent state is-gateway version`, the version only where one was answered.
fn naming_services(text: &str) -> Vec<api::NamingService> {
    let service = |one: &str| {
        let mut words = one.split(' ');
        Some(api::NamingService {
            agent: words.next().filter(|word| !word.is_empty())?.to_owned(),
            state: words.next()?.to_owned(),
            is_gateway: words.next() == Some("1"),
            version: words.next().and_then(|word| word.parse().ok()),
        })
    };
    text.split(',').filter_map(service).collect()
}

pub async fn list(db: &Db, account: Option<&str>) -> Result<Vec<api::Network>, DbError> {
    let statement = format!("{VIEW} AND (? IS NULL OR n.account_id = ?) ORDER BY n.seq DESC");
    db.rows(statement, (account, account)).await?.iter().map(view).collect()
}

pub async fn get(db: &Db, id: &str, account: Option<&str>) -> Result<Option<api::Network>, DbError> {
    let statement = format!("{VIEW} AND n.id = ? AND (? IS NULL OR n.account_id = ?)");
    db.rows(statement, (id, account, account)).await?.first().map(view).transpose()
}

const VIFS: &str = "SELECT v.id, v.ipv4, v.network_id, v.instance_id, v.mac, v.device_index, v.leaving, v.asked_generation, \
                    i.hostname, i.host_node_id, \
                    (SELECT h.ipv4 FROM ip_handles h WHERE h.network_vif_id = v.id) AS outer_ipv4, \
                    (SELECT MAX(f.value = 'yes') FROM facts f WHERE f.thing = v.id AND f.name = 'plugged') AS plugged, \
                    (SELECT GROUP_CONCAT(m.security_group_id ORDER BY m.security_group_id) \
                     FROM network_vif_security_groups m WHERE m.vif_id = v.id) AS groups_of \
                    FROM network_vifs v LEFT JOIN instances i ON i.id = v.instance_id WHERE v.deleted_at IS NULL";

fn vif_view(row: &mysql_async::Row) -> Result<api::NetworkVif, DbError> {
    let id = row.text("id")?;
    let ipv4 = row.col::<Option<u32>>("ipv4")?.map(|number| Ipv4Addr::from(number).to_string());
    let network_id: Option<String> = row.col("network_id")?;
    let groups: Option<String> = row.col("groups_of")?;
    let groups = groups.unwrap_or_default();
    let instance_id = Some(row.text("instance_id")?).filter(|id| !id.is_empty());
    let plugged: Option<bool> = row.col::<Option<i64>>("plugged")?.map(|any| any != 0);
    let began_with_it = row.col::<u64>("asked_generation")? == 1;
    let state = match (&instance_id, row.flag("leaving")?) {
        (None, _) => "free",
        (Some(_), true) => "detaching",
        (Some(_), false) if plugged.unwrap_or(began_with_it) => "attached",
        (Some(_), false) => "attaching",
    };
    let lease = ipv4.clone().zip(network_id.clone());
    Ok(api::NetworkVif {
        uuid: id.clone(),
        id,
        ipv4_address: ipv4,
        nat_ipv4_address: row.col::<Option<u32>>("outer_ipv4")?.map(|one| Ipv4Addr::from(one).to_string()),
        network_id,
        instance_id,
        security_groups: groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect(),
        mac_addr: row.text("mac")?,
        network_monitors: Vec::new(),
        ip_leases: Vec::from_iter(lease.map(|(ipv4, network_id)| api::network::IpLease {
            ipv4,
            network_id,
            ip_handle: None,
        })),
        device_index: row.col("device_index")?,
        hostname: row.col("hostname")?,
        host_node: row.col("host_node_id")?,
        state: state.to_owned(),
    })
}

/// Interfaces, newest first.
pub async fn vifs(db: &Db, account: Option<&str>, network: Option<&str>) -> Result<Vec<api::NetworkVif>, DbError> {
    let statement = format!(
        "{VIFS} AND (? IS NULL OR v.account_id = ?) AND (? IS NULL OR v.network_id = ?) ORDER BY v.seq DESC LIMIT 1000"
    );
    db.rows(statement, (account, account, network, network)).await?.iter().map(vif_view).collect()
}

pub async fn vif(db: &Db, id: &str, account: Option<&str>) -> Result<Option<api::NetworkVif>, DbError> {
    let statement = format!("{VIFS} AND v.id = ? AND (? IS NULL OR v.account_id = ?)");
    let found = db.rows(statement, (id, account, account)).await?;
    let Some(mut view) = found.first().map(vif_view).transpose()? else { return Ok(None) };
    view.network_monitors = super::super::monitors::of(db, id).await?;
    Ok(Some(view))
}

/// The version that every naming service is to serve.
pub async fn version(db: &Db, id: &str) -> Result<u64, DbError> {
    let found = db.rows("SELECT version FROM networks WHERE id = ?", (id,)).await?;
    found.first().map_or(Ok(0), |row| row.col("version"))
}
