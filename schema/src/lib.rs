//! The contracts of Arame: ids, resources, states, jobs, outcomes, API views.
//!
//! Rule: nothing here performs I/O, reads a clock or draws a random number. Every program of the data center
//! links this crate; it decides nothing but what can be decided from its arguments.

pub mod api;
pub mod broker;
pub mod jobs;
pub mod limits;
pub mod model;
