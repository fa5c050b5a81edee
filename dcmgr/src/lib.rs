//! DataCenterManager: the resource model, the plans, the REST API.

#[path = "http/stub_app.rs"]
pub mod app;
pub mod http;
