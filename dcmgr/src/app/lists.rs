//! What every list can be narrowed to and sorted by, on the views themselves: for lists that are never long.
//!
//! Rule: a view without the column that is asked about is neither left out nor moved. Lists that may be long narrow in
//! the database.

use super::{App, AppError, Caller};
use crate::db::Long;
use arame_schema::api::{Code, ListFilter, Nil, Refusal, SortOrder, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::cmp::Ordering;

/// Columns that say when something ended.
const ENDED: [&str; 2] = ["deleted_at", "terminated_at"];

/// What is left of a list.
#[derive(Debug)]
pub(super) struct Narrowed<T> {
    pub rows: Vec<T>,
    /// How many of them stand before the first behind the row that `after` names.
    pub behind: usize,
}

/// # Errors
/// `after` names a row that the list does not have, narrowed or not.
pub(super) fn narrowed<T: Serialize>(all: Vec<T>, filter: &ListFilter) -> Result<Narrowed<T>, Refusal> {
    if !asks(filter) {
        return Ok(Narrowed { rows: all, behind: 0 });
    }
    let shown = all.into_iter().map(|one| (serde_json::to_value(&one).unwrap_or_default(), one));
    let mut shown: Vec<(Value, T)> = shown.collect();
    if let Some((column, order)) = &filter.sort {
        shown.sort_by(|(one, _), (other, _)| ordered(&one[column], &other[column], *order));
    }
    // Looked for before narrowing: what it is narrowed to may have changed since the page before.
    let last = match &filter.after {
        None => None,
        Some(after) => {
            let found = shown.iter().position(|(columns, _)| columns["id"].as_str() == Some(after));
            Some(found.ok_or_else(|| no_such_row(after))?)
        }
    };
    let (mut rows, mut behind) = (Vec::new(), 0);
    for (place, (_, row)) in shown.into_iter().enumerate().filter(|(_, (columns, _))| fits(columns, filter)) {
        behind += usize::from(last.is_some_and(|last| place <= last));
        rows.push(row);
    }
    Ok(Narrowed { rows, behind })
}

/// Whether a long list has the row behind which it is to go on.
///
/// # Errors
/// It has not, as far as the caller may see.
pub(super) async fn check_after(app: &App, caller: &Caller, filter: &ListFilter, list: Long) -> Result<(), Refusal> {
    let Some(after) = filter.after.as_deref() else { return Ok(()) };
    let known = list.has(app.db(), after, caller.scope()).await.map_err(AppError::from)?;
    if known { Ok(()) } else { Err(no_such_row(after)) }
}

/// # Errors
/// A list that grows without end is not sorted by a column without an index.
pub(super) fn check_sort(filter: &ListFilter, columns: &[&str]) -> Result<(), Refusal> {
    match &filter.sort {
        Some((column, _)) if !columns.contains(&column.as_str()) => {
            let refusal = Refusal::new(Code::InvalidParameter).with("name", "sort_by").with("value", column);
            Err(refusal.with("expected", columns.join(" | ")))
        }
        _ => Ok(()),
    }
}

/// An empty page would say that the list is at its end.
pub(super) fn no_such_row(after: &str) -> Refusal {
    let refusal = Refusal::new(Code::InvalidParameter).with("name", "after").with("value", after);
    refusal.with("expected", "id")
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
        && filter.search.as_ref().is_none_or(|text| found(columns, text))
        && filter.id.as_ref().is_none_or(begins)
        && filter.nil.iter().all(nil)
        && (columns.get("created_at").is_none() || filter.created.holds(moment(&columns["created_at"])))
        && match ENDED.into_iter().find(|column| columns.get(*column).is_some()) {
            Some(column) => filter.ended.holds(moment(&columns[column])),
            None => true,
        }
}

/// Columns in which a part of what is searched for counts; of an id its beginning does.
const SEARCHED: [&str; 4] = ["display_name", "name", "hostname", "ipv4_network"];

fn found(columns: &Value, text: &str) -> bool {
    let text = text.to_lowercase();
    let word = |column: &str| columns[column].as_str().map(str::to_lowercase);
    word("id").is_some_and(|id| id.starts_with(&text))
        || SEARCHED.iter().any(|column| word(column).is_some_and(|word| word.contains(&text)))
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
        let Narrowed { rows, behind } = narrowed(all, filter).unwrap();
        rows[behind..].iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
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
        let search = |text: &str| ids(&ListFilter { search: Some(text.into()), ..filter() });
        assert_eq!(search("NW-A"), ["nw-a"]);
        assert_eq!(search("Tw"), ["nw-b", "nw-c"]);
        assert_eq!(search("w-a"), [""; 0], "of an id its beginning");
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
    fn a_list_goes_on_behind_a_row_whatever_it_is_sorted_by_and_refuses_one_that_is_not_there() {
        let after = |id: &str| ListFilter { after: Some(id.into()), ..ListFilter::default() };
        assert_eq!(ids(&after("nw-b")), ["nw-a", "nw-c"]);
        assert_eq!(ids(&after("nw-c")), [""; 0]);
        let sort = Some(("id".into(), SortOrder::Ascending));
        assert_eq!(ids(&ListFilter { sort: sort.clone(), ..after("nw-a") }), ["nw-b", "nw-c"]);
        // The row itself need not be among those that are shown.
        let named = ListFilter { display_name: Some("two".into()), sort, ..after("nw-a") };
        assert_eq!(ids(&named), ["nw-b", "nw-c"]);
        let gone = narrowed(vec![json!({ "id": "nw-a" })], &after("nw-z")).unwrap_err();
        assert_eq!((gone.code, gone.values["name"].as_str()), (Code::InvalidParameter, "after"));
    }

    #[test]
    fn a_column_that_a_view_does_not_have_changes_nothing() {
        let filter = ListFilter { nil: vec![("colour".into(), Nil::IsNil)], ..ListFilter::default() };
        assert_eq!(ids(&filter).len(), 3);
    }
}
