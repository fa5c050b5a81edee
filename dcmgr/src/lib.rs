//! DataCenterManager: the resource model, the plans, the REST API.

pub mod app;
pub mod authority;
pub mod config;
pub mod db;
pub mod http;
pub mod plan;
pub mod rehearsal;
pub mod tasks;
