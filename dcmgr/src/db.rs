//! The database: the only folder that holds SQL. Knows rows, no policy, no HTTP, no AMQP.
//!
//! Rules: values are bound, never formatted into a statement; rows are converted by [`Columns`] (the driver's own
//! conversions panic on NULL); writes go through [`Db::write`], the one transaction helper; locks are taken in the
//! order account, network, host, storage node, image, instance, volume, attachment, volume snapshot.

pub mod access;
pub mod accounts;
pub mod agents;
pub mod audit;
pub mod error;
pub mod events;
pub mod exchange;
pub mod facts;
pub mod generations;
pub mod idempotency;
pub mod instances;
pub mod jobs;
pub mod locks;
pub mod lockstep;
pub mod moves;
pub mod networks;
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
