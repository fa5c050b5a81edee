//! The database: the only folder that holds SQL. Knows rows, no policy, no HTTP, no AMQP.
//!
//! Rules: values are bound, never formatted into a statement; rows are converted by [`Columns`] (the driver's own
//! conversions panic on NULL); writes go through [`Db::write`], the one transaction helper; locks are taken in the
//! order account, network, host, storage node, image, instance, volume, attachment, schedule, volume snapshot.

pub mod access;
pub mod accounts;
pub mod agents;
pub mod audit;
pub mod backups;
pub mod consoles;
pub mod dc_networks;
pub mod dns_records;
pub mod error;
pub mod events;
pub mod exchange;
pub mod facts;
pub mod generations;
pub mod idempotency;
pub mod instances;
pub mod ip_pools;
pub mod jobs;
pub mod join_tokens;
pub mod labels;
pub mod locks;
pub mod lockstep;
pub mod losses;
pub mod monitors;
pub mod moves;
pub mod networks;
pub mod node_groups;
pub mod nodes;
pub mod pool;
pub mod recovery;
pub mod replicas;
pub mod rollbacks;
pub mod row;
pub mod schedules;
pub mod secrets;
pub mod seed;
pub mod snapshots;
pub mod usage;
pub mod users;
pub mod volume_paths;
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

/// For LIKE: this text, whatever it holds. The escape is LIKE's own, the backslash.
fn literally(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

/// For LIKE: texts that begin with this.
fn prefix(text: &str) -> String {
    format!("{}%", literally(text))
}

/// For LIKE: texts that contain this.
fn containing(text: &str) -> String {
    format!("%{}%", literally(text))
}

/// For `(? IS NULL OR CONVERT(id USING utf8mb4) LIKE ? OR display_name LIKE ?)`: a column of ASCII is not comparable with what is
/// not.
fn searched(filter: &ListFilter) -> [Value; 3] {
    let text = filter.search.as_deref();
    [text.into(), text.map(prefix).into(), text.map(containing).into()]
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

fn sorted<'a>(filter: &ListFilter, columns: &[(&str, &'a str)]) -> Option<(&'a str, SortOrder)> {
    let (asked, order) = filter.sort.as_ref()?;
    columns.iter().find(|(name, _)| name == asked).map(|(_, column)| (*column, *order))
}

/// Lists that may be long: narrowed, ordered and paged by the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Long {
    Instances,
    Volumes,
    VolumeSnapshots,
    SnapshotReplicas,
    Jobs,
    AuditLog,
}

impl Long {
    /// Its table, and the column that names a row to the reader.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Long::Instances => ("instances", "id"),
            Long::Volumes => ("volumes", "id"),
            Long::VolumeSnapshots => ("volume_snapshots", "id"),
            Long::SnapshotReplicas => ("snapshot_replicas", "id"),
            Long::Jobs => ("jobs", "id"),
            Long::AuditLog => ("audit_log", "request_id"),
        }
    }

    /// Whether an account has this row, deleted or not.
    ///
    /// # Errors
    /// The server's.
    pub async fn has(self, db: &Db, row: &str, account: Option<&str>) -> Result<bool, DbError> {
        let (table, id) = self.place();
        let statement = format!("SELECT 1 FROM {table} WHERE {id} = ? AND (? IS NULL OR account_id = ?)");
        Ok(!db.rows(statement, (row, account, account)).await?.is_empty())
    }

    /// The term for the rows that stand behind the one that `after` names, in the order of [`order`]; empty without one.
    fn behind(self, filter: &ListFilter, columns: &[(&str, &str)], newest: &str) -> (String, Option<Value>) {
        let Some(after) = filter.after.as_deref() else { return (String::new(), None) };
        let (table, id) = self.place();
        let bare = |column: &str| column.rsplit('.').next().unwrap_or_default().to_owned();
        let term = match sorted(filter, columns) {
            None => format!(" AND {newest} < (SELECT {} FROM {table} WHERE {id} = ?)", bare(newest)),
            Some((column, direction)) => {
                let sign = if direction == SortOrder::Ascending { '>' } else { '<' };
                let (one, two) = (bare(column), bare(newest));
                format!(" AND ({column}, {newest}) {sign} (SELECT {one}, {two} FROM {table} WHERE {id} = ?)")
            }
        };
        (term, Some(after.into()))
    }
}

/// The order of a list by the columns that it knows; newest first unless asked otherwise.
fn order(filter: &ListFilter, columns: &[(&str, &str)], newest: &str) -> String {
    match sorted(filter, columns) {
        Some((column, SortOrder::Ascending)) => format!("{column}, {newest}"),
        Some((column, SortOrder::Descending)) => format!("{column} DESC, {newest} DESC"),
        None => format!("{newest} DESC"),
    }
}
