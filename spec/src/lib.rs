//! The test kit of whole-system stories. Three ways: the real application and agents with simulated backends in one
//! process, on a private MariaDB and a bus in memory with faults on request ([`world`]), or in one thread from one seed
//! ([`simulation`]); real processes on simulated
//! hosts, brought up as a user would ([`processes`]); and a real data center with real guests ([`real`]).
//!
//! Rule: what is tested is the shipped code; the kit only starts, kills and looks. It may import anything; nothing
//! imports it.

pub mod bench;
pub mod chaos;
pub mod database;
pub mod processes;
pub mod program;
pub mod real;
pub mod simulation;
pub mod surface;
pub mod wishes;
pub mod world;
