//! What goes over HTTP: views in the order they are written, requests, refusals with their catalogue.

pub mod refusal;

pub use refusal::{Code, Refusal};
