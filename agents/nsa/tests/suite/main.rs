//! Tests of the nsa as a part: the contract over both drivers, real clients on a private switch, crashes, noise.
//!
//! Rule: what the machine lacks is skipped loudly (`skipped: needs X`), or fails when `ARAME_REQUIRE` names it.

#![allow(clippy::unwrap_used)]

mod clients;
mod clock;
mod contract;
mod crashes;
mod disk;
mod elsewhere;
mod kit;
mod lab;
mod more_clients;
mod noise;
mod outside;
mod process;
mod simulated;
mod takeover;
mod trouble;
mod two;
