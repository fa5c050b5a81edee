//! Paging and filters that every list understands, with the original's names.

use super::fields::Fields;
use arame_schema::api::requests::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX};
use arame_schema::api::{ListFilter, Refusal, SortOrder};
use serde::Deserialize;
use utoipa::IntoParams;

/// Columns a list may be sorted by.
const SORTABLE: [&str; 5] = ["id", "created_at", "updated_at", "display_name", "state"];

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
    host_node_id: Option<String>,
    /// Id of the last row of the page before: goes on behind it (instances only).
    after: Option<String>,
    /// First row, from 0.
    start: Option<u64>,
    /// Rows of the page; 0 or absent is 250, at most 1000.
    limit: Option<u64>,
    /// `created_at.desc`
    sort_by: Option<String>,
}

/// Reads a list's filter.
pub fn filter(fields: &mut Fields) -> Result<ListFilter, Refusal> {
    let start = fields.number("start", 0..=u64::MAX >> 1)?.unwrap_or(0);
    let limit = match fields.number("limit", 0..=u64::MAX >> 1)? {
        None | Some(0) => LIST_LIMIT_DEFAULT,
        Some(rows) => rows.min(LIST_LIMIT_MAX),
    };
    let present = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(ListFilter {
        state: present(fields.text_within("state", 64)?),
        display_name: present(fields.text_within("display_name", 255)?),
        id: present(fields.text_within("id", 63)?),
        host_node_id: fields.parsed("host_node_id", "hn-…")?,
        after: present(fields.text_within("after", 63)?),
        start,
        limit,
        sort: sort(fields)?,
    })
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
    fn sorting_takes_known_columns_only() {
        let sorted = read("sort_by=created_at.desc").unwrap().sort;
        assert_eq!(sorted, Some(("created_at".into(), SortOrder::Descending)));
        assert_eq!(read("sort_by=id").unwrap().sort, Some(("id".into(), SortOrder::Ascending)));
        for query in ["sort_by=secret.asc", "sort_by=id;drop.asc", "start=-1", "limit=x", "host_node_id=i-1"] {
            assert_eq!(read(query).unwrap_err().code, Code::InvalidParameter, "{query}");
        }
    }
}
