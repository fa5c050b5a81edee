//! The test kit of whole-system stories. Two ways: the real application and agents with simulated backends in one
//! process, on a private MariaDB and a bus in memory with faults on request ([`world`]); and real processes, brought
//! up as a user would ([`processes`]).
//!
//! Rule: what is tested is the shipped code; the kit only starts, kills and looks. It may import anything; nothing
//! imports it.

pub mod bench;
pub mod database;
pub mod processes;
pub mod program;
pub mod wishes;
pub mod world;
