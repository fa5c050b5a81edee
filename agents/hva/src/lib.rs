//! The HyperVisorAgent: virtual machines, their disks, ports, firewall and metadata on one host.
//!
//! Rule: it answers facts it saw, carries every wish's generation on the thing itself, and refuses older ones. It
//! knows one host; it does not know MySQL, REST or any other agent, and starts no guest by itself.

pub mod agent;
pub mod blocking;
pub mod command;
pub mod config;
pub mod console;
pub mod driver;
pub mod figures;
pub mod forecast;
pub mod host;
pub mod jobs;
pub mod metadata;
pub mod policy;
pub mod records;
pub mod screen;
pub mod seed;
pub mod switch;
pub mod takings;

pub use agent::Hva;
