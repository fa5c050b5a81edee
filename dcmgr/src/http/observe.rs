//! `/healthz` and `/metrics`: the truth about this process, for those who watch it.

use super::Http;
use super::asked::Asked;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

pub fn routes() -> Router<Http> {
    Router::new().route("/healthz", get(health)).route("/metrics", get(metrics))
}

/// Needs no credential: it tells a load balancer yes or no, and which of two things is missing.
async fn health(State(http): State<Http>) -> Response {
    let health = http.app.health().await;
    let status = if health.is_well() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

async fn metrics(asked: Asked) -> Response {
    // The text form of Prometheus' exposition formats, version 0.0.4.
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], asked.app().metrics()).into_response()
}
