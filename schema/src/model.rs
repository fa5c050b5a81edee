//! The nouns of the data center. Pure: std, serde and checked types only.

pub mod backup;
pub mod console;
pub mod dns_record;
pub mod fact;
pub mod id;
pub mod instance;
pub mod mac;
pub mod placement;
pub mod restart;
pub mod schedule;
pub mod secret;
pub mod security_group;
pub mod usage;
pub mod volume;
pub mod volume_snapshot;

pub use console::{ConsoleKind, NoConsole};
pub use dns_record::{NetworkRecord, RecordData, RecordKind};
pub use fact::{Fact, FactName, Observation};
pub use id::*;
pub use mac::MacAddress;
pub use secret::Secret;
