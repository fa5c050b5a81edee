//! NamingServiceAgent: DHCP and DNS for every VLAN network, answered from one snapshot a network.
//!
//! ```text
//!  ApplyNetwork ─► snapshot (checked) ─► store (disk, then) ─► network (memory, one flip) ─┬─► dhcp
//!                                                                  ▲                       └─► dns
//!                     watch (every second) ─► link (namespace, veth, switch port, sockets) ┘
//! ```
//!
//! Rule: guests are answered from the last snapshot, whoever else is dead (DESIGN 3.13). Addresses and names come from
//! the snapshot only; nothing here allocates, leases or guesses. A version never goes back.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agent;
pub mod announce;
pub mod complaints;
pub mod config;
pub mod datagrams;
pub mod dhcp;
pub mod dns;
pub mod exchanges;
pub mod faults;
pub mod gateway;
pub mod limits;
pub mod link;
mod metrics;
pub mod network;
pub mod queries;
pub mod snapshot;
pub mod store;
pub mod truth;
mod watch;
mod why;
