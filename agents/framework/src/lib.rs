//! Both ends of the wire: the bus (AMQP or in memory) and the runtime every agent stands on.
//!
//! Rule: nothing here knows resources, databases, libvirt, ZFS or DNS. An agent brings verbs; the framework brings
//! join, heartbeat, one lane per thing, budgets, outcomes, inventories, reconnection, drain.

pub mod agent;
pub mod bus;
pub mod config;
pub mod crash;
pub mod rehearsal;
pub mod runtime;
pub mod telemetry;
pub mod testkit;
