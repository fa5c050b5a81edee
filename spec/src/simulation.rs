//! A whole data center that runs the same way again: the application and tasks of dcmgr, the agent framework and all
//! three agents with simulated drivers, in one thread, on virtual time, from one seed.
//!
//! ```text
//! seed ─► orders of two accounts ─► app ─► MariaDB (in lockstep) ─► relay ─► bus in memory (faults) ─► agents ─► worlds
//!    └──► trouble: processes die at points and anywhere, links break, the database goes away, drivers fail
//! then nothing goes wrong any more ─► quiet: the world model looks ─► everything is deleted ─► quiet: nothing is left
//! ```
//!
//! Rule: the shipped code runs; what is drawn or timed is drawn from the seed and timed by the virtual clock. The world
//! model ([`model`]) knows rows, simulated worlds and what was asked for; it imports neither plan nor app.

pub mod center;
pub mod clients;
mod loss;
pub mod machine;
pub mod model;
pub mod orders;
pub mod report;
pub mod run;
pub mod trouble;
mod worlds;
