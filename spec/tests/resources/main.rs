//! The resources of the data center beside instances and volumes, on the real application with simulated backends.

mod accounts;
mod deaths;
mod figures;
mod groups;
mod held;
mod interfaces;
mod launches;
mod lists;
mod machines;
mod names;
mod networks;
mod paths;
mod places;
mod placing;
mod seed;
mod support;
mod usage;
