//! The StorageTargetAgent: volumes, images and exports of one storage node.
//!
//! ```text
//! jobs/<verb_noun>.rs ──► store/{file,zfs,sim}   where bytes live, each thing marked as ours
//!          └────────────► export/{lio,tgt,sim}   who may reach a volume: one target per attachment and epoch
//! fetch/{link,uploads} ──► store                 images from elsewhere; qemu-img looks at them in sandbox.rs
//! carry.rs ──► store, store/backups               snapshots into backup storages, and back into volumes
//! receive.rs ──► store/replicas                   another node's snapshot into this store
//! http.rs ──► store, fetch/uploads               images and offered snapshots, read-only; uploads, with a ticket
//! ```
//!
//! Rule: a thing without our mark, or with another installation's, is never changed; an error never reads as
//! "nothing there". It knows no database, no REST and no other agent.

pub mod agent;
pub mod carry;
pub mod command;
pub mod config;
pub mod export;
pub mod faults;
pub mod fetch;
pub mod http;
pub mod jobs;
mod machine;
pub mod mark;
mod path;
pub mod receive;
pub mod sandbox;
pub mod sim;
pub mod store;

pub use agent::Sta;
