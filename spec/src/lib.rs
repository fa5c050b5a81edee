//! The test kit of whole-system stories: a private MariaDB, the real application, the real agents with simulated
//! backends, one process, a bus in memory with faults on request.
//!
//! Rule: what is tested is the shipped code; the kit only starts, kills and looks. It may import anything; nothing
//! imports it.

pub mod database;
pub mod real;
pub mod world;
