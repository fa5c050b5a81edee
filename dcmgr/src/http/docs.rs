//! `/api/12.03/docs`: the OpenAPI document for a person with a browser, without the internet.
//!
//! Rule: page, script and style are in the program; the page loads nothing but these and the document. It shows, and asks
//! nothing of the API: no credential is ever typed here.

use super::{API, Http};
use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const PAGE: &str = include_str!("docs/page.html");
const SCRIPT: &str = include_str!("docs/page.js");
const STYLE: &str = include_str!("docs/page.css");

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub fn routes() -> Router<Http> {
    Router::new()
        .route(&format!("{API}/docs"), get(|| async { text("text/html; charset=utf-8", PAGE) }))
        .route(&format!("{API}/docs/page.js"), get(|| async { text("text/javascript; charset=utf-8", SCRIPT) }))
        .route(&format!("{API}/docs/page.css"), get(|| async { text("text/css; charset=utf-8", STYLE) }))
}

fn text(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, POLICY)], text).into_response()
}
