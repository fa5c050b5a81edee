//! DataCenterManager: the resource model, the plans, the REST API.

pub mod app;
pub mod db;
pub mod plan;
