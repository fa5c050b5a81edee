//! The database: the only folder that holds SQL. Knows rows, no policy, no HTTP, no AMQP.
//!
//! Rules: values are bound, never formatted into a statement; rows are converted by [`Columns`] (the driver's own
//! conversions panic on NULL); writes go through [`Db::write`], the one transaction helper; locks are taken in the
//! order account, network, host, storage node, image, instance, volume, attachment, volume snapshot.

pub mod access;
pub mod accounts;
pub mod agents;
pub mod audit;
pub mod backups;
pub mod consoles;
pub mod dc_networks;
pub mod error;
pub mod events;
pub mod exchange;
pub mod facts;
pub mod generations;
pub mod idempotency;
pub mod instances;
pub mod ip_pools;
pub mod jobs;
pub mod labels;
pub mod locks;
pub mod lockstep;
pub mod monitors;
pub mod moves;
pub mod networks;
pub mod node_groups;
pub mod nodes;
pub mod pool;
pub mod recovery;
pub mod rollbacks;
pub mod row;
pub mod secrets;
pub mod seed;
pub mod snapshots;
pub mod usage;
pub mod users;
pub mod volume_snapshots;
pub mod volumes;

pub use error::DbError;
pub use pool::{Db, Tx};
pub use row::Columns;

use arame_schema::api::{ListFilter, SortOrder, Timestamp};
use mysql_async::Value;

/// A value for the two places of `(? IS NULL OR column = ?)`.
fn twice(value: Option<&str>) -> [Value; 2] {
    [value.into(), value.into()]
}

/// For LIKE: ids that begin with this. No id holds what LIKE understands but `_`, which is taken as it is.
fn prefix(text: &str) -> String {
    format!("{}%", text.replace('%', "").replace('_', "\\_"))
}

/// Since and until of creation and of the end. A moment on the wire is a whole second: until includes all of it.
fn moments(filter: &ListFilter) -> [Option<String>; 4] {
    let text = |moment: Option<Timestamp>, seconds: i64| {
        moment.map(|at| Timestamp(at.0 + time::Duration::seconds(seconds)).to_string().replace(" UTC", ""))
    };
    let (created, ended) = (filter.created, filter.ended);
    [text(created.since, 0), text(created.until, 1), text(ended.since, 0), text(ended.until, 1)]
}

/// The same, each for two places.
fn spans(filter: &ListFilter) -> Vec<Value> {
    moments(filter).iter().flat_map(|moment| twice(moment.as_deref())).collect()
}

/// The order of a list by the columns that it knows; newest first unless asked otherwise.
fn order(filter: &ListFilter, columns: &[(&str, &str)], newest: &str) -> String {
    let known = filter
        .sort
        .as_ref()
        .and_then(|(asked, order)| columns.iter().find(|(name, _)| name == asked).map(|(_, column)| (*column, *order)));
    match known {
        Some((column, SortOrder::Ascending)) => format!("{column}, {newest}"),
        Some((column, SortOrder::Descending)) => format!("{column} DESC, {newest} DESC"),
        None => format!("{newest} DESC"),
    }
}
