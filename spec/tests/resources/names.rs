//! Names that tenants add to their networks are served, kept apart and taken back; and what a naming service answered a
//! machine is told.

use crate::interfaces::{lab, leads};
use crate::support::{json, operator, refused, small, told};
use anyhow::{Context, ensure};
use arame_dcmgr::app;
use arame_dcmgr::app::networks::records;
use arame_dcmgr::app::networks::why::{About, why};
use arame_schema::api::{
    Code, CreateDnsRecord, CreateIpPool, DnsRecord, Finding, FindingKind, FindingRule, Language, ListFilter, Localise,
    Role, UpdateNetwork,
};
use arame_schema::model::instance::InstanceState;
use arame_spec::world::World;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

fn record(name: &str, kind: &str, value: &str) -> CreateDnsRecord {
    CreateDnsRecord { name: name.into(), kind: kind.into(), value: value.into(), ttl: None }
}

/// The naming service again, as a process that can be asked: the port of its first network. Every other network of its
/// seed has a link too when this returns, so that an answer that is not there means something.
async fn listening(world: &mut World) -> anyhow::Result<u16> {
    asked_over(world, "listen_dns").await
}

/// The same for DHCP.
async fn listening_for_clients(world: &mut World) -> anyhow::Result<u16> {
    asked_over(world, "listen_dhcp").await
}

async fn asked_over(world: &mut World, setting: &str) -> anyhow::Result<u16> {
    let free = free_run(16)?;
    world.kill_agent("nsa.n1").await;
    world.start_agent_with("nsa.n1", 0, &format!("{setting} = '127.0.0.1:{free}'\n")).await?;
    for network in ["nw-demo1", "nw-other"] {
        let linked = async || Ok(world.worlds()?["nsa.n1"]["links"][network]["slot"].is_u64());
        world.until(&format!("{network} has a link"), linked).await?;
    }
    Ok(free)
}

/// The first of `many` ports in a row that nobody holds: a naming service adds a network's slot to its first.
fn free_run(many: u16) -> anyhow::Result<u16> {
    for _ in 0..100 {
        let first = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let Some(last) = first.checked_add(many) else { continue };
        let held =
            (first..last).map(|port| (UdpSocket::bind(("127.0.0.1", port)), TcpListener::bind(("127.0.0.1", port))));
        if held.collect::<Vec<_>>().iter().all(|(udp, tcp)| udp.is_ok() && tcp.is_ok()) {
            return Ok(first);
        }
    }
    anyhow::bail!("no {many} free ports in a row")
}

/// A DECLINE (RFC 2131, 4.4.4) of an address by a client.
fn decline(mac: [u8; 6], address: std::net::Ipv4Addr) -> Vec<u8> {
    let mut message = vec![0; 236];
    (message[0], message[1], message[2]) = (1, 1, 6);
    message[28..34].copy_from_slice(&mac);
    message.extend([99, 130, 83, 99, 53, 1, 4, 50, 4]);
    message.extend(address.octets());
    message.push(255);
    message
}

async fn found(world: &World) -> anyhow::Result<Vec<Finding>> {
    told(app::audit::findings(&world.app, &world.demo(), true).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_by_somebody_else_is_a_finding_of_the_audit() -> anyhow::Result<()> {
    let mut world = small().await?;
    let port = listening_for_clients(&mut world).await?;
    let made = world.launch("web1").await?;
    let made = world.instance_in(&made.id, InstanceState::Running).await?;
    let vif = made.vif.first().context("it has an interface")?;
    let address = vif.ipv4.as_ref().context("it has an address")?.address.clone();
    let mac: arame_schema::model::MacAddress = vif.mac_addr.as_deref().context("a MAC")?.parse()?;
    ensure!(found(&world).await?.is_empty(), "the control: nobody complained");

    let slot = world.worlds()?["nsa.n1"]["links"][&vif.network_id]["slot"].as_u64().context("a link")?;
    let at = SocketAddr::from(([127, 0, 0, 1], port + u16::try_from(slot)?));
    UdpSocket::bind("127.0.0.1:0")?.send_to(&decline(mac.0, address.parse()?), at)?;
    world.until("the audit tells it", async || Ok(!found(&world).await?.is_empty())).await?;
    let mut findings = found(&world).await?;
    let [finding] = findings.as_mut_slice() else { anyhow::bail!("{findings:?}") };
    finding.localise(Language::En);
    ensure!((finding.kind, finding.rule) == (FindingKind::AddressInUse, FindingRule::FindTheOther), "{finding:?}");
    ensure!(finding.thing == format!("{}/{address}", vif.network_id), "{finding:?}");
    ensure!(finding.sentence.contains(&mac.to_string()) && finding.sentence.contains("nsa.n1"), "{finding:?}");
    // A naming service that begins anew has heard nobody.
    world.kill_agent("nsa.n1").await;
    world.start_agent("nsa.n1", 0).await?;
    world.until("it is gone", async || Ok(found(&world).await?.is_empty())).await?;
    world.ends_clean().await
}

/// What the naming service answers in a network: the response code and the data, in order.
fn ask(
    world: &World,
    port: u16,
    network: &str,
    name: &str,
    kind: RecordType,
) -> anyhow::Result<(ResponseCode, Vec<String>)> {
    let worlds = world.worlds()?;
    let slot = worlds["nsa.n1"]["links"][network]["slot"].as_u64().with_context(|| format!("{network} has no link"))?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port + u16::try_from(slot)?)))?;
    let mut question = Message::query();
    question.add_query(Query::query(name.parse::<Name>()?, kind));
    socket.send(&question.to_vec()?)?;
    let mut bytes = [0; 1500];
    let length = socket.recv(&mut bytes)?;
    let answer = Message::from_vec(&bytes[..length])?;
    let data = answer.answers.iter().map(|record| record.data.to_string()).collect();
    Ok((answer.metadata.response_code, data))
}

async fn answered(
    world: &World,
    port: u16,
    (network, name, kind): (&str, &str, RecordType),
    wanted: &[&str],
) -> anyhow::Result<()> {
    let is_so = async || Ok(ask(world, port, network, name, kind).is_ok_and(|(_, data)| data == wanted));
    world.until(&format!("{name} is answered with {wanted:?}"), is_so).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_served_while_it_is_there_to_its_own_network_only() -> anyhow::Result<()> {
    let mut world = small().await?;
    let port = listening(&mut world).await?;
    let made = world.launch("web1").await?;
    let made = world.instance_in(&made.id, InstanceState::Running).await?;
    let address = made.vif.first().and_then(|vif| vif.ipv4.as_ref()).map(|ipv4| ipv4.address.clone());
    let address = address.context("it has an address")?;
    let network = made.vif.first().map(|vif| vif.network_id.clone()).context("it has a network")?;
    let domain = format!("{network}.example");

    let www = told(records::add(&world.app, &world.demo(), &network, record("WWW", "cname", "web1")).await)?;
    ensure!((www.name.as_str(), www.kind.as_str(), www.value.as_str()) == ("www", "CNAME", "web1"), "{www:?}");
    ensure!(www.dns_name == format!("www.{domain}"), "{www:?}");
    let whole = format!("web1.{domain}.");
    let alias = (network.as_str(), format!("www.{domain}."));
    answered(&world, port, (alias.0, &alias.1, RecordType::A), &[&whole, &address]).await?;
    told(records::add(&world.app, &world.demo(), &network, record("@", "TXT", "v=spf1 -all")).await)?;
    told(records::add(&world.app, &world.demo(), &network, record("_sip._tcp", "SRV", "10 5 5060 web1")).await)?;
    answered(&world, port, (&network, &format!("{domain}."), RecordType::TXT), &["v=spf1 -all"]).await?;
    let sip = (network.as_str(), format!("_sip._tcp.{domain}."));
    answered(&world, port, (sip.0, &sip.1, RecordType::SRV), &[&format!("10 5 5060 {whole}")]).await?;

    // Another tenant's network does not know the name; the same question in its own is answered (above).
    let (code, data) = ask(&world, port, "nw-other", &alias.1, RecordType::A)?;
    ensure!((code, data.len()) == (ResponseCode::Refused, 0), "{code} {data:?}");
    let other = world.caller("a-other", Role::Member);
    refused(records::list(&world.app, &other, &network, ListFilter::default()).await, Code::UnknownResource)?;
    let other = world.caller("a-other", Role::Member);
    refused(records::remove(&world.app, &other, &network, &www.id).await, Code::UnknownResource)?;

    // A machine's name wins, now and later.
    refused(
        records::add(&world.app, &world.demo(), &network, record("web1", "A", "10.100.0.99")).await,
        Code::RecordConflict,
    )?;
    told(records::add(&world.app, &world.demo(), &network, record("web2", "A", "10.100.0.99")).await)?;
    let later = (network.as_str(), format!("web2.{domain}."));
    answered(&world, port, (later.0, &later.1, RecordType::A), &["10.100.0.99"]).await?;
    let second = world.launch("web2").await?;
    let second = world.instance_in(&second.id, InstanceState::Running).await?;
    let own =
        second.vif.first().and_then(|vif| vif.ipv4.as_ref()).map(|ipv4| ipv4.address.clone()).context("an address")?;
    answered(&world, port, (later.0, &later.1, RecordType::A), &[&own]).await?;

    let changes =
        world.count("SELECT COUNT(*) AS n FROM jobs WHERE kind = 'nsa.network.apply' AND state = 'refused'").await?;
    ensure!(changes == 0, "no difference was refused: {changes}");
    told(records::remove(&world.app, &world.demo(), &network, &www.id).await)?;
    answered(&world, port, (alias.0, &alias.1, RecordType::A), &[]).await?;
    let rest = told(records::list(&world.app, &world.demo(), &network, ListFilter::default()).await)?.results;
    let names: Vec<&str> = rest.iter().map(|one: &DnsRecord| one.name.as_str()).collect();
    ensure!(names == ["@", "_sip._tcp", "web2"], "{names:?}");
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_address_has_a_name_in_its_own_network_while_it_is_bound() -> anyhow::Result<()> {
    use app::networks::outside;
    let mut world = small().await?;
    let port = listening(&mut world).await?;
    let (outer, inner) = (lab(&world).await?, "nw-demo1");
    let pool: CreateIpPool = json(serde_json::json!({ "display_name": "outside", "dc_networks": ["dcn-main"] }));
    let pool = told(app::ip_pools::create(&world.app, &world.demo(), pool).await)?.id;
    let handle = told(app::ip_pools::acquire(&world.app, &world.demo(), &pool, &outer).await)?;
    told(app::networks::update(&world.app, &world.demo(), inner, leads(&outer)).await)?;
    let made = world.launch("web1").await?;
    let made = world.instance_in(&made.id, InstanceState::Running).await?;
    let vif = made.vif.first().map(|vif| vif.vif_id.clone()).context("it has an interface")?;
    let address = made.vif.first().and_then(|vif| vif.ipv4.as_ref()).map(|ipv4| ipv4.address.clone());
    let address = address.context("it has an address")?;

    let (own, outside) = (format!("web1.{inner}.example."), format!("ext.web1.{inner}.example."));
    answered(&world, port, (inner, &own, RecordType::A), &[&address]).await?;
    ensure!(ask(&world, port, inner, &outside, RecordType::A)?.0 == ResponseCode::NXDomain, "the control");
    told(outside::bind(&world.app, &world.demo(), &vif, &handle.ip_handle_id).await)?;
    answered(&world, port, (inner, &outside, RecordType::A), &[&handle.ipv4]).await?;
    answered(&world, port, (inner, &own, RecordType::A), &[&address]).await?;
    let octets: Vec<&str> = handle.ipv4.rsplit('.').collect();
    let back = format!("{}.in-addr.arpa.", octets.join("."));
    answered(&world, port, (inner, &back, RecordType::PTR), &[&own]).await?;
    ensure!(ask(&world, port, "nw-other", &back, RecordType::PTR)?.1.is_empty(), "another's network tells it");

    told(outside::unbind(&world.app, &world.demo(), &vif, &handle.ip_handle_id).await)?;
    let is_gone = async || Ok(ask(&world, port, inner, &outside, RecordType::A)?.0 == ResponseCode::NXDomain);
    world.until("the name is gone with it", is_gone).await?;
    ensure!(ask(&world, port, inner, &back, RecordType::PTR)?.1.is_empty(), "its reverse name is there still");
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_refused_and_changes_nothing() -> anyhow::Result<()> {
    let world = small().await?;
    let add = async |name: &str, kind: &str, value: &str| {
        records::add(&world.app, &world.demo(), "nw-demo1", record(name, kind, value)).await
    };
    told(add("a", "CNAME", "b").await)?;
    for (name, kind, value, code) in [
        ("b", "CNAME", "a", Code::RecordLoop),
        ("a", "A", "10.100.0.9", Code::RecordConflict),
        ("a", "CNAME", "b", Code::AlreadyExists),
        ("@", "CNAME", "b", Code::InvalidParameter),
        ("bad name", "A", "10.100.0.9", Code::InvalidParameter),
        ("c", "MX", "b", Code::InvalidParameter),
        ("c", "A", "10.100.0.256", Code::InvalidParameter),
        ("c", "TXT", "", Code::InvalidParameter),
    ] {
        refused(add(name, kind, value).await, code).with_context(|| format!("{name} {kind} {value}"))?;
    }
    let all = told(records::list(&world.app, &world.demo(), "nw-demo1", ListFilter::default()).await)?.results;
    ensure!(all.len() == 1, "{all:?}");
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_naming_service_tells_why_a_machine_is_answered_or_not() -> anyhow::Result<()> {
    let world = small().await?;
    let made = world.launch("web1").await?;
    let made = world.instance_in(&made.id, InstanceState::Running).await?;
    let network: arame_schema::model::NetworkId = made.vif[0].network_id.parse()?;
    let view = told(why(&world.app, &world.demo(), &network, About::Name("web1".into())).await)?;
    let [service] = view.naming_services.as_slice() else { anyhow::bail!("{view:?}") };
    ensure!((service.agent.as_str(), service.code.as_str()) == ("nsa.n1", "never_heard"), "{service:?}");
    ensure!(service.version == Some(view.version) && service.confirmed && service.records.len() == 1, "{view:?}");
    ensure!(view.instance_id.as_deref() == Some(made.id.as_str()), "{view:?}");

    let stranger = "52:54:00:ff:ff:fe".parse()?;
    let mut unknown = told(why(&world.app, &world.demo(), &network, About::Mac(stranger)).await)?;
    unknown.localise(Language::Ja);
    ensure!(unknown.naming_services[0].sentence.contains("応答しません"), "{unknown:?}");
    unknown.localise(Language::En);
    ensure!(unknown.naming_services[0].sentence.contains("not an interface of this network"), "{unknown:?}");
    let own = made.vif[0].mac_addr.as_deref().context("a MAC")?.parse()?;
    let elsewhere = told(why(&world.app, &world.demo(), &"nw-demo2".parse()?, About::Mac(own)).await)?;
    ensure!(elsewhere.naming_services[0].code == "other_network", "{elsewhere:?}");
    let other = world.caller("a-other", Role::Member);
    refused(why(&world.app, &other, &network, About::Name("web1".into())).await, Code::UnknownResource)?;
    world.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_tells_its_guests_what_its_owner_wishes() -> anyhow::Result<()> {
    let mut world = small().await?;
    let port = listening(&mut world).await?;
    let free = UpdateNetwork {
        mtu: Some(1400),
        lease_seconds: Some(600),
        ttl_seconds: Some(30),
        dns_servers: Some(vec!["192.0.2.53".parse()?]),
        routes: Some(vec!["192.168.0.0/16 via 10.100.0.1".parse()?]),
        ntp_servers: Some(vec!["192.0.2.123".parse()?]),
        query_log: Some(true),
        domain_name: Some("lab.example".into()),
        ..UpdateNetwork::default()
    };
    let as_it_is = app::networks::update(&world.app, &world.demo(), "nw-demo1", free.clone()).await;
    refused(as_it_is, Code::NetworkNotEditable)?;
    let editable = UpdateNetwork { editable: Some(true), ..UpdateNetwork::default() };
    told(app::networks::update(&world.app, &operator(&world), "nw-demo1", editable).await)?;
    let view = told(app::networks::update(&world.app, &world.demo(), "nw-demo1", free).await)?;
    ensure!((view.mtu, view.lease_seconds, view.ttl_seconds) == (1400, 600, 30), "{view:?}");
    ensure!(view.domain_name.as_deref() == Some("lab.example"), "{view:?}");
    ensure!(view.ntp_servers == ["192.0.2.123"] && view.query_log, "{view:?}");
    told(records::add(&world.app, &world.demo(), "nw-demo1", record("www", "A", "10.100.0.77")).await)?;
    answered(&world, port, ("nw-demo1", "www.lab.example.", RecordType::A), &["10.100.0.77"]).await?;

    let asked =
        told(why(&world.app, &world.demo(), &"nw-demo1".parse()?, About::Name("www.lab.example".into())).await)?;
    let questions = &asked.naming_services[0].queries;
    ensure!(questions.iter().any(|one| one.answer == "answered" && one.kind == "A"), "{asked:?}");

    for wrong in [
        UpdateNetwork { ntp_servers: Some(vec!["192.0.2.123".parse()?; 9]), ..UpdateNetwork::default() },
        UpdateNetwork { mtu: Some(100), ..UpdateNetwork::default() },
        UpdateNetwork { lease_seconds: Some(1), ..UpdateNetwork::default() },
        UpdateNetwork { domain_name: Some("-".into()), ..UpdateNetwork::default() },
        UpdateNetwork { routes: Some(vec!["0.0.0.0/0 via 10.100.0.1".parse()?; 30]), ..UpdateNetwork::default() },
    ] {
        refused(app::networks::update(&world.app, &world.demo(), "nw-demo1", wrong).await, Code::InvalidParameter)?;
    }
    // Whom the naming service itself asks is the data center's affair.
    let upstream =
        || UpdateNetwork { forwarders: Some(vec!["192.0.2.1:53".parse().unwrap()]), ..UpdateNetwork::default() };
    refused(app::networks::update(&world.app, &world.demo(), "nw-demo1", upstream()).await, Code::NotPermitted)?;
    told(app::networks::update(&world.app, &operator(&world), "nw-demo1", upstream()).await)?;

    // Somebody else answers there: the naming service falls silent, and speaks again when it is asked to.
    let dns = |on: bool| UpdateNetwork { dns: Some(on), ..UpdateNetwork::default() };
    told(app::networks::update(&world.app, &world.demo(), "nw-demo1", dns(false)).await)?;
    let silent = async || Ok(ask(&world, port, "nw-demo1", "www.lab.example.", RecordType::A).is_err());
    world.until("the naming service is silent", silent).await?;
    told(app::networks::update(&world.app, &world.demo(), "nw-demo1", dns(true)).await)?;
    answered(&world, port, ("nw-demo1", "www.lab.example.", RecordType::A), &["10.100.0.77"]).await?;
    world.ends_clean().await
}
