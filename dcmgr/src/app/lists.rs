//! What every list can be narrowed to and sorted by, on the views themselves: for lists that are never long.
//!
//! Rule: a view without the column that is asked about is neither left out nor moved. Lists that may be long narrow in
//! the database.

use arame_schema::api::{ListFilter, Nil, SortOrder, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::cmp::Ordering;

/// Columns that say when something ended.
const ENDED: [&str; 2] = ["deleted_at", "terminated_at"];

pub(super) fn narrowed<T: Serialize>(all: Vec<T>, filter: &ListFilter) -> Vec<T> {
    if !asks(filter) {
        return all;
    }
    let shown = all.into_iter().map(|one| (serde_json::to_value(&one).unwrap_or_default(), one));
    let mut kept: Vec<(Value, T)> = shown.filter(|(columns, _)| fits(columns, filter)).collect();
    if let Some((column, order)) = &filter.sort {
        kept.sort_by(|(one, _), (other, _)| ordered(&one[column], &other[column], *order));
    }
    kept.into_iter().map(|(_, one)| one).collect()
}

fn asks(filter: &ListFilter) -> bool {
    let whole = ListFilter { start: filter.start, limit: filter.limit, ..ListFilter::default() };
    *filter != whole
}

fn fits(columns: &Value, filter: &ListFilter) -> bool {
    let is = |column: &str, wanted: &Option<String>| {
        wanted.is_none() || columns.get(column).is_none() || columns[column].as_str() == wanted.as_deref()
    };
    let begins = |prefix: &String| columns["id"].as_str().is_none_or(|id| id.starts_with(prefix));
    let nil = |(column, nil): &(String, Nil)| match (columns.get(column), nil) {
        (None, _) => true,
        (Some(value), Nil::IsNil) => value.is_null(),
        (Some(value), Nil::IsNotNil) => !value.is_null(),
    };
    is("display_name", &filter.display_name)
        && filter.id.as_ref().is_none_or(begins)
        && filter.nil.iter().all(nil)
        && (columns.get("created_at").is_none() || filter.created.holds(moment(&columns["created_at"])))
        && match ENDED.into_iter().find(|column| columns.get(*column).is_some()) {
            Some(column) => filter.ended.holds(moment(&columns[column])),
            None => true,
        }
}

fn moment(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(Timestamp::parse)
}

/// Texts by their bytes, numbers by their size, what is missing first.
fn ordered(one: &Value, other: &Value, order: SortOrder) -> Ordering {
    let ascending = match (one, other) {
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Number(one), Value::Number(other)) => {
            one.as_f64().partial_cmp(&other.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (one, other) => other.is_null().cmp(&one.is_null()),
    };
    match order {
        SortOrder::Ascending => ascending,
        SortOrder::Descending => ascending.reverse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arame_schema::api::Span;
    use serde_json::json;

    fn ids(filter: &ListFilter) -> Vec<String> {
        let all = vec![
            json!({ "id": "nw-b", "display_name": "two", "created_at": "2026-01-02 00:00:00 UTC", "deleted_at": null }),
            json!({ "id": "nw-a", "display_name": null, "created_at": "2026-01-01 00:00:00 UTC", "deleted_at": null }),
            json!({ "id": "nw-c", "display_name": "two", "created_at": "2026-01-03 00:00:00 UTC",
                    "deleted_at": "2026-01-04 00:00:00 UTC" }),
        ];
        narrowed(all, filter).iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    }

    fn at(text: &str) -> Option<Timestamp> {
        Some(Timestamp::parse(text).unwrap())
    }

    #[test]
    fn a_list_is_narrowed_by_name_time_and_null_and_sorted_by_a_column() {
        let filter = ListFilter::default;
        assert_eq!(ids(&filter()), ["nw-b", "nw-a", "nw-c"], "control: as it came");
        assert_eq!(ids(&ListFilter { display_name: Some("two".into()), ..filter() }), ["nw-b", "nw-c"]);
        assert_eq!(ids(&ListFilter { id: Some("nw-a".into()), ..filter() }), ["nw-a"]);
        let since = Span { since: at("2026-01-02 00:00:00 UTC"), until: None };
        assert_eq!(ids(&ListFilter { created: since, ..filter() }), ["nw-b", "nw-c"]);
        assert_eq!(ids(&ListFilter { ended: since, ..filter() }), ["nw-c"]);
        let sort = |order| ListFilter { sort: Some(("id".into(), order)), ..filter() };
        assert_eq!(ids(&sort(SortOrder::Ascending)), ["nw-a", "nw-b", "nw-c"]);
        assert_eq!(ids(&sort(SortOrder::Descending)), ["nw-c", "nw-b", "nw-a"]);
        let nil = |nil| ListFilter { nil: vec![("deleted_at".into(), nil)], ..filter() };
        assert_eq!(ids(&nil(Nil::IsNil)), ["nw-b", "nw-a"]);
        assert_eq!(ids(&nil(Nil::IsNotNil)), ["nw-c"]);
    }

    #[test]
    fn a_column_that_a_view_does_not_have_changes_nothing() {
        let filter = ListFilter { nil: vec![("colour".into(), Nil::IsNil)], ..ListFilter::default() };
        assert_eq!(ids(&filter).len(), 3);
    }
}
