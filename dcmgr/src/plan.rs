//! Decisions: pure functions of wishes and facts. No clock, no database, no randomness (DESIGN 3.3).

pub mod attachment;
pub mod backup;
pub mod capture;
pub mod forecast;
pub mod image;
pub mod instance;
pub mod interface;
pub mod job;
pub mod loss;
pub mod migration;
pub mod moving;
pub mod naming;
pub mod placement;
pub mod replica;
pub mod restart;
pub mod retention;
pub mod rollback;
pub mod schedule;
pub mod snapshot;
pub mod volume;
pub mod volume_snapshot;

pub use job::{Kind, Open, Step, Subject, Wanted, step};

#[cfg(test)]
mod tables;
#[cfg(test)]
mod walk;
#[cfg(test)]
mod walks;
