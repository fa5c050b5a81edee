//! `arame network …`

pub mod records;
pub mod why;

use super::record;
use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::{fields, table};
use crate::words::{Message, word};
use arame_schema::api::{Language, NamingService, Network, NetworkVif};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List networks / 一覧
    List,
    /// Show a network and what is in it / 詳細を表示する
    Show { network: String },
    /// Make a network: dc_network=… network=… prefix=… network_mode=… / 作成する
    Create(record::Given),
    /// Change a network: display_name=… / 変更する
    Update {
        network: String,
        #[command(flatten)]
        given: record::Given,
    },
    /// Delete a network in which nothing is / 削除する
    Delete { network: String },
    /// Names beside those of machines: record add nw-demo1 www CNAME web1 / DNS レコード
    #[command(subcommand)]
    Record(records::Command),
    /// Why a machine is answered by DHCP and DNS, or is not / DHCP と DNS の応答を調べる
    Why(why::Why),
    #[command(flatten)]
    Part(record::Part),
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List => {
            let networks: Vec<Network> = session.client.list("/networks").await?;
            session.print(&networks, |language| many(language, &networks))
        }
        Command::Show { network } => {
            let view: Network = names::get(&session.client, &network).await?;
            let mut vifs: Vec<NetworkVif> = session.client.list("/network_vifs").await?;
            vifs.retain(|vif| vif.network_id.as_ref() == Some(&view.id));
            session.print(&view, |language| one(language, &view, &vifs))
        }
        Command::Create(given) => record::run(session, &record::NETWORKS, record::Command::Create(given)).await,
        Command::Update { network, given } => {
            let id = names::id_of::<Network>(&session.client, &network).await?;
            record::run(session, &record::NETWORKS, record::Command::Update { id, given }).await
        }
        Command::Delete { network } => {
            let id = names::id_of::<Network>(&session.client, &network).await?;
            let given = record::Given::default();
            record::run(session, &record::NETWORKS, record::Command::Delete { id, given }).await
        }
        Command::Why(asked) => why::run(session, asked).await,
        Command::Record(command) => records::run(session, command).await,
        Command::Part(part) => {
            let part = part.named::<Network>(session).await?;
            record::run_part(session, &record::NETWORKS, part).await
        }
    }
}

fn many(language: Language, networks: &[Network]) -> String {
    let head =
        [Message::Id, Message::Name, Message::Subnet, Message::Gateway, Message::Domain, Message::Vlan, Message::Used];
    let rows = networks.iter().map(|one| {
        vec![
            one.id.clone(),
            one.display_name.clone().unwrap_or_default(),
            format!("{}/{}", one.ipv4_network, one.prefix),
            one.ipv4_gw.clone().unwrap_or_else(|| "-".into()),
            one.domain_name.clone().unwrap_or_default(),
            one.vlan_tag.map_or_else(|| "-".into(), |tag| tag.to_string()),
            format!("{}/{}", one.addresses_used, one.addresses_total),
        ]
    });
    table(language, &head, rows.collect())
}

/// `nsa.n1 serving (gateway)`: the API's own words.
fn naming_service(service: &NamingService) -> String {
    let gateway = if service.is_gateway { " (gateway)" } else { "" };
    format!("{} {}{gateway}", service.agent, service.state)
}

fn one(language: Language, one: &Network, vifs: &[NetworkVif]) -> String {
    let ranges: Vec<String> = one.dhcp_ranges.iter().map(|[first, last]| format!("{first}-{last}")).collect();
    let services: Vec<String> = one
        .network_services
        .iter()
        .map(|service| format!("{} {}", service.name, service.address.as_deref().unwrap_or("-")))
        .collect();
    let mut text = fields(
        language,
        vec![
            (Message::Id, one.id.clone()),
            (Message::Name, one.display_name.clone().unwrap_or_default()),
            (Message::Subnet, format!("{}/{}", one.ipv4_network, one.prefix)),
            (Message::Gateway, one.ipv4_gw.clone().unwrap_or_default()),
            (Message::Domain, one.domain_name.clone().unwrap_or_default()),
            (Message::Vlan, one.vlan_tag.map(|tag| tag.to_string()).unwrap_or_default()),
            (Message::Range, ranges.join(", ")),
            (Message::Used, format!("{}/{}", one.addresses_used, one.addresses_total)),
            (Message::Services, services.join(", ")),
            (Message::NamingServices, one.naming_services.iter().map(naming_service).collect::<Vec<_>>().join(", ")),
            (Message::Description, one.description.clone()),
        ],
    );
    text.push_str(&format!("\n{}\n", word(language, Message::Interface)));
    let head = [Message::Id, Message::Address, Message::Mac, Message::Instance, Message::Groups];
    let rows = vifs.iter().map(|vif| {
        vec![
            vif.id.clone(),
            vif.ipv4_address.clone().unwrap_or_else(|| "-".into()),
            vif.mac_addr.clone(),
            vif.instance_id.clone().unwrap_or_else(|| "-".into()),
            vif.security_groups.join(","),
        ]
    });
    text.push_str(&table(language, &head, rows.collect()));
    text
}
