//! `/networks/{id}/records`: names that a tenant adds to the zone of its network, and `/networks/{id}/why`: what its naming
//! services answered a machine.

use super::answer::Answer;
use super::app;
use super::asked::Asked;
use super::list::{self, ListQuery};
use app::networks::records;
use app::networks::why::{self, About};
use arame_schema::api::{Code, CreateDnsRecord, DnsRecord, NetworkWhy, Nothing, Page, Refusal};
use arame_schema::model::dns_record::TEXT_BYTES_MAX;
use arame_schema::model::{DnsRecordId, NetworkId};

const ID: &str = "nw-…";

/// List the DNS records of a network, those of its machines not among them.
#[utoipa::path(get, path = "/networks/{id}/records", tag = "networks", params(ListQuery),
    responses((status = 200, body = Page<DnsRecord>)))]
pub async fn list(mut asked: Asked) -> Answer<[Page<DnsRecord>; 1]> {
    let id: NetworkId = asked.id(ID)?;
    let filter = list::filter(&mut asked.fields)?;
    let page = records::list(asked.app(), &asked.caller, id.as_str(), filter).await?;
    asked.page(page)
}

/// Add a DNS record to a network's zone. Names of machines always win over it.
#[utoipa::path(post, path = "/networks/{id}/records", tag = "networks", request_body = CreateDnsRecord,
    responses((status = 200, body = DnsRecord)))]
pub async fn add(mut asked: Asked) -> Answer<DnsRecord> {
    let id: NetworkId = asked.id(ID)?;
    let fields = &mut asked.fields;
    let (name, kind) = (fields.text_within("name", TEXT_BYTES_MAX)?, fields.text_within("type", TEXT_BYTES_MAX)?);
    let value = fields.text_within("value", TEXT_BYTES_MAX)?;
    let request = CreateDnsRecord {
        name: fields.needed("name", name)?,
        kind: fields.needed("type", kind)?,
        value: fields.needed("value", value)?,
        ttl: fields.number("ttl", records::TTL_RANGE)?.map(|ttl| ttl as u32),
    };
    asked.fields.clone().finish()?;
    let view = records::add(asked.app(), &asked.caller, id.as_str(), request).await?;
    asked.answer(view)
}

fn record_of(asked: &Asked) -> Result<(NetworkId, DnsRecordId), super::answer::Refused> {
    let text = asked.part("record");
    let record = text.parse().map_err(|_| asked.fields.invalid("record", super::fields::short(text), "dnr-…"))?;
    Ok((asked.id(ID)?, record))
}

/// Show a DNS record of a network.
#[utoipa::path(get, path = "/networks/{id}/records/{record}", tag = "networks", params(("record" = String, Path)),
    responses((status = 200, body = DnsRecord)))]
pub async fn get(asked: Asked) -> Answer<DnsRecord> {
    let (id, record) = record_of(&asked)?;
    let view = records::get(asked.app(), &asked.caller, id.as_str(), record.as_str()).await?;
    asked.answer(view)
}

/// Remove a DNS record of a network.
#[utoipa::path(delete, path = "/networks/{id}/records/{record}", tag = "networks", params(("record" = String, Path)),
    responses((status = 200, body = Nothing)))]
pub async fn remove(asked: Asked) -> Answer<Nothing> {
    let (id, record) = record_of(&asked)?;
    records::remove(asked.app(), &asked.caller, id.as_str(), record.as_str()).await?;
    asked.answer(Nothing {})
}

/// What every naming service of a network last heard of a machine and answered it, option by option, or why it is silent.
#[utoipa::path(get, path = "/networks/{id}/why", tag = "networks",
    params(("mac" = Option<String>, Query, description = "Of an interface. One of the two is needed."),
        ("name" = Option<String>, Query, description = "Of a machine, or another of the network's zone.")),
    responses((status = 200, body = NetworkWhy)))]
pub async fn why(mut asked: Asked) -> Answer<NetworkWhy> {
    let id: NetworkId = asked.id(ID)?;
    let mac = asked.fields.parsed("mac", "52:54:00:00:00:01")?;
    let name = asked.fields.text_within("name", TEXT_BYTES_MAX)?.filter(|name| !name.is_empty());
    asked.fields.clone().finish()?;
    let about = match (mac, name) {
        (Some(mac), None) => About::Mac(mac),
        (None, Some(name)) => About::Name(name),
        (Some(_), Some(name)) => {
            return Err(asked.fields.invalid("name", super::fields::short(&name), "mac | name").into());
        }
        (None, None) => {
            // Of another's network nothing is told, not even what is missing.
            app::networks::get(asked.app(), &asked.caller, id.as_str()).await?;
            return Err(Refusal::new(Code::MissingParameter).with("name", "mac | name").into());
        }
    };
    let view = why::why(asked.app(), &asked.caller, &id, about).await?;
    asked.answer(view)
}
