//! The resources of the data center beside instances and volumes, on the real application with simulated backends.

mod accounts;
mod groups;
mod launches;
mod lists;
mod machines;
mod networks;
mod places;
mod seed;
mod support;
mod usage;
