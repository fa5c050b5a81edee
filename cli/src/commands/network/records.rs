//! `arame network record …`: names that a tenant adds to the zone of a network.

use crate::commands::record::escaped;
use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::{fields, table};
use crate::words::Message;
use arame_schema::api::{CreateDnsRecord, DnsRecord, Language, Network, Nothing};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the records of a network / 一覧
    List { network: String },
    /// Add one: add nw-demo1 www CNAME web1 / 追加する
    Add {
        network: String,
        /// Within the network's zone; @ is the zone itself / ゾーン内の名前
        name: String,
        /// A, CNAME, TXT, SRV / 種類
        #[arg(value_name = "TYPE")]
        kind: String,
        /// 192.0.2.1, web1, a text, "10 5 5060 sip1" / 値
        #[arg(num_args = 1..)]
        value: Vec<String>,
        /// Seconds / 秒
        #[arg(long)]
        ttl: Option<u32>,
    },
    /// Remove one by its id, or all of a name (and a type) / 削除する
    Remove {
        network: String,
        #[arg(value_name = "ID|NAME")]
        name: String,
        #[arg(value_name = "TYPE")]
        kind: Option<String>,
    },
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List { network } => {
            let place = place(session, &network).await?;
            let records: Vec<DnsRecord> = session.client.list(&place).await?;
            session.print(&records, |language| many(language, &records))
        }
        Command::Add { network, name, kind, value, ttl } => {
            let place = place(session, &network).await?;
            let body = CreateDnsRecord { name, kind, value: value.join(" "), ttl };
            let made: DnsRecord = session.client.post(&place, &body).await?;
            session.print(&made, |language| one(language, &made))
        }
        Command::Remove { network, name, kind } => {
            let place = place(session, &network).await?;
            let ids = match name.starts_with("dnr-") {
                true => vec![name],
                false => named(session, &place, &name, kind.as_deref()).await?,
            };
            for id in &ids {
                let _: Nothing = session.client.delete(&format!("{place}/{}", escaped(id))).await?;
                session.remark(Message::Deleted, &[("id", id)]);
            }
            session.print(&ids, |_| String::new())
        }
    }
}

async fn place(session: &Session<'_>, network: &str) -> Result<String, CliError> {
    let id = names::id_of::<Network>(&session.client, network).await?;
    Ok(format!("/networks/{}/records", escaped(&id)))
}

/// Ids of a name's records; where there are none the name itself, which the API refuses by a sentence.
async fn named(session: &Session<'_>, place: &str, name: &str, kind: Option<&str>) -> Result<Vec<String>, CliError> {
    let records: Vec<DnsRecord> = session.client.list(place).await?;
    let is_meant = |record: &&DnsRecord| {
        record.name.eq_ignore_ascii_case(name) && kind.is_none_or(|kind| record.kind.eq_ignore_ascii_case(kind))
    };
    let ids: Vec<String> = records.iter().filter(is_meant).map(|record| record.id.clone()).collect();
    Ok(if ids.is_empty() { vec![name.to_owned()] } else { ids })
}

fn many(language: Language, records: &[DnsRecord]) -> String {
    let head = [Message::Id, Message::DnsName, Message::Type, Message::Value, Message::Ttl];
    let rows = records.iter().map(|record| {
        let ttl = record.ttl.map_or_else(|| "-".into(), |ttl| ttl.to_string());
        vec![record.id.clone(), record.dns_name.clone(), record.kind.clone(), record.value.clone(), ttl]
    });
    table(language, &head, rows.collect())
}

fn one(language: Language, record: &DnsRecord) -> String {
    fields(
        language,
        vec![
            (Message::Id, record.id.clone()),
            (Message::DnsName, record.dns_name.clone()),
            (Message::Type, record.kind.clone()),
            (Message::Value, record.value.clone()),
            (Message::Ttl, record.ttl.map(|ttl| ttl.to_string()).unwrap_or_default()),
        ],
    )
}
