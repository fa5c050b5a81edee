//! The agent against real files, a real tgtd and its simulators: the same contract for all.
//!
//! What the machine lacks is said (`skipped: needs tgt`) and skipped, unless `ARAME_REQUIRE` names it.

// A test that cannot go on ends.
#![allow(clippy::unwrap_used)]

mod backups;
mod chap;
mod contract;
mod crash;
mod disk;
mod fencing;
mod fetch;
mod http;
mod kit;
mod lab;
mod proxy;
mod replica_crash;
mod replicas;
mod simulated;
mod snapshots;
mod stranger;
mod wire;
mod zfs;
