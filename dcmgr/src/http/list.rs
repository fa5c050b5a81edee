//! Paging and filters that every list understands, with the original's names.

use super::fields::Fields;
use arame_schema::api::requests::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX};
use arame_schema::api::{ListFilter, Nil, Refusal, SortOrder, Span, Timestamp};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::IntoParams;

/// Columns a list may be sorted by.
const SORTABLE: [&str; 5] = ["id", "created_at", "updated_at", "display_name", "state"];

/// What everything is of: the original's other type is the load balancer's.
const SERVICE_TYPE: &str = "std";

/// For the OpenAPI document; what is read is in [`filter`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)]
pub struct ListQuery {
    /// A state, or a group of states: `alive`, `alive_with_terminated`, `without_terminated`, `alive_with_deleted`.
    state: Option<String>,
    /// Exactly this name.
    display_name: Option<String>,
    /// Ids that begin with this.
    id: Option<String>,
    /// What somebody would type to find one: ids that begin with it, and names, host names and addresses that contain it.
    search: Option<String>,
    host_node_id: Option<String>,
    /// Id of the last row of the page before: goes on behind it, in the order the list is sorted by. Of the audit log
    /// its request.
    after: Option<String>,
    /// First row, from 0.
    start: Option<u64>,
    /// Rows of the page; 0 or absent is 250, at most 1000.
    limit: Option<u64>,
    /// `created_at.desc`
    sort_by: Option<String>,
    /// `deleted_at.nil`, `display_name.not_nil`; may be repeated.
    filter: Option<String>,
    /// Only `std` is there.
    service_type: Option<String>,
    /// ISO 8601, as the three below.
    created_since: Option<String>,
    created_until: Option<String>,
    /// Or `terminated_since`.
    deleted_since: Option<String>,
    /// Or `terminated_until`.
    deleted_until: Option<String>,
}

/// Reads a list's filter.
pub fn filter(fields: &mut Fields) -> Result<ListFilter, Refusal> {
    let start = fields.number("start", 0..=u64::MAX >> 1)?.unwrap_or(0);
    let limit = match fields.number("limit", 0..=u64::MAX >> 1)? {
        None | Some(0) => LIST_LIMIT_DEFAULT,
        Some(rows) => rows.min(LIST_LIMIT_MAX),
    };
    service_type(fields)?;
    let present = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(ListFilter {
        state: present(fields.text_within("state", 64)?),
        display_name: present(fields.text_within("display_name", 255)?),
        id: present(fields.text_within("id", 63)?),
        search: present(fields.text_within("search", 255)?.map(|text| text.trim().to_owned())),
        host_node_id: fields.parsed("host_node_id", "hn-…")?,
        after: present(fields.text_within("after", 63)?),
        start,
        limit,
        sort: sort(fields)?,
        created: span(fields, &["created"])?,
        ended: span(fields, &["deleted", "terminated"])?,
        nil: nil(fields)?,
    })
}

/// The original refuses a service type that is not configured.
fn service_type(fields: &mut Fields) -> Result<(), Refusal> {
    match fields.text_within("service_type", 64)?.as_deref() {
        None | Some("" | SERVICE_TYPE) => Ok(()),
        Some(other) => Err(fields.invalid("service_type", super::fields::short(other), SERVICE_TYPE)),
    }
}

/// Since and until of what the words name; the last word that is given counts.
pub fn span(fields: &mut Fields, words: &[&str]) -> Result<Span, Refusal> {
    let mut span = Span::default();
    for word in words {
        let (since, until) = (format!("{word}_since"), format!("{word}_until"));
        span.since = moment(fields, &since)?.or(span.since);
        span.until = moment(fields, &until)?.or(span.until);
        if let (Some(from), Some(to)) = (span.since, span.until)
            && from >= to
        {
            return Err(fields.invalid(&since, from, format!("< {to}")));
        }
    }
    Ok(span)
}

/// A moment in ISO 8601 (RFC 3339, or without offset: UTC), a date, or as the API writes it.
pub fn moment(fields: &mut Fields, name: &str) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = fields.text_within(name, 64)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let parsed = Timestamp::parse(&text)
        .or_else(|| OffsetDateTime::parse(&text, &Rfc3339).ok().map(Timestamp::from))
        .or_else(|| Timestamp::parse(&format!("{} UTC", text.replacen('T', " ", 1))))
        .or_else(|| Timestamp::parse(&format!("{text} 00:00:00 UTC")));
    match parsed {
        Some(moment) => Ok(Some(moment)),
        None => Err(fields.invalid(name, super::fields::short(&text), "2015-04-28T06:22:55Z")),
    }
}

fn nil(fields: &mut Fields) -> Result<Vec<(String, Nil)>, Refusal> {
    let expected = "<column>.nil | <column>.not_nil";
    let texts: Vec<String> = fields.list("filter", expected)?;
    let read = |text: &String| {
        let read = match text.rsplit_once('.') {
            Some((column, "nil")) => Some((column.to_owned(), Nil::IsNil)),
            Some((column, "not_nil")) => Some((column.to_owned(), Nil::IsNotNil)),
            _ => None,
        };
        read.ok_or_else(|| fields.invalid("filter", super::fields::short(text), expected))
    };
    texts.iter().map(read).collect()
}

fn sort(fields: &mut Fields) -> Result<Option<(String, SortOrder)>, Refusal> {
    let Some(text) = fields.text("sort_by")?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let (column, order) = match text.rsplit_once('.') {
        Some((column, "asc")) => (column, SortOrder::Ascending),
        Some((column, "desc")) => (column, SortOrder::Descending),
        _ => (text.as_str(), SortOrder::Ascending),
    };
    if !SORTABLE.contains(&column) {
        let expected = format!("({}).(asc|desc)", SORTABLE.join("|"));
        return Err(fields.invalid("sort_by", super::fields::short(&text), expected));
    }
    Ok(Some((column.to_owned(), order)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::parameters;
    use arame_schema::api::Code;

    fn read(query: &str) -> Result<ListFilter, Refusal> {
        filter(&mut parameters(query, "", b"").unwrap())
    }

    #[test]
    fn paging_has_the_originals_defaults_and_a_ceiling() {
        assert_eq!(read("").unwrap(), ListFilter::default());
        assert_eq!(read("limit=0").unwrap().limit, LIST_LIMIT_DEFAULT);
        assert_eq!(read("limit=99999").unwrap().limit, LIST_LIMIT_MAX);
        assert_eq!(read("start=7&limit=3").unwrap().start, 7);
    }

    #[test]
    fn times_come_in_iso_8601_and_since_is_before_until() {
        let at = |text: &str| Timestamp::parse(text);
        for text in
            ["2015-04-28T06:22:55Z", "2015-04-28T15:22:55%2B09:00", "2015-04-28+06:22:55+UTC", "2015-04-28T06:22:55"]
        {
            assert_eq!(
                read(&format!("created_since={text}")).unwrap().created.since,
                at("2015-04-28 06:22:55 UTC"),
                "{text}"
            );
        }
        assert_eq!(read("terminated_until=2015-04-28").unwrap().ended.until, at("2015-04-28 00:00:00 UTC"));
        for query in ["created_since=yesterday", "created_since=2015-04-28&created_until=2015-04-28"] {
            assert_eq!(read(query).unwrap_err().code, Code::InvalidParameter, "{query}");
        }
    }

    #[test]
    fn columns_are_asked_for_null_and_only_std_is_a_service_type() {
        assert_eq!(read("filter[]=deleted_at.nil").unwrap().nil, [("deleted_at".to_owned(), Nil::IsNil)]);
        assert_eq!(read("filter=a.not_nil").unwrap().nil, [("a".to_owned(), Nil::IsNotNil)]);
        assert!(read("service_type=std").is_ok());
        for query in ["filter=deleted_at", "service_type=lb"] {
            assert_eq!(read(query).unwrap_err().code, Code::InvalidParameter, "{query}");
        }
    }

    #[test]
    fn sorting_takes_known_columns_only() {
        let sorted = read("sort_by=created_at.desc").unwrap().sort;
        assert_eq!(sorted, Some(("created_at".into(), SortOrder::Descending)));
        assert_eq!(read("sort_by=id").unwrap().sort, Some(("id".into(), SortOrder::Ascending)));
        for query in ["sort_by=secret.asc", "sort_by=id;drop.asc", "start=-1", "limit=x", "host_node_id=i-1"] {
            assert_eq!(read(query).unwrap_err().code, Code::InvalidParameter, "{query}");
        }
    }
}
