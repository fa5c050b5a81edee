//! `/api/12.03/…`: a request goes on to the API with the session's secret, its answer comes back as it is.
//!
//! Rule: only the headers of [`SENT`] go on, and of the answer all but those that concern one connection alone. Bodies pass
//! piece by piece, both ways: an upload and an event stream are never held whole. Where a secret would come into a
//! script's reach (`POST /sessions`) nothing passes.

use crate::{Webui, session};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::time::Duration;

/// The API is near: what does not answer by then is not there.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(5);

const SENT: [HeaderName; 11] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-vdc-account-uuid"),
    HeaderName::from_static("traceparent"),
];

/// Of one connection, or of another way to sign in: a browser would ask for a password by itself.
const KEPT_BACK: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    SET_COOKIE,
    WWW_AUTHENTICATE,
];

pub async fn through(State(webui): State<Webui>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method == Method::POST && parts.uri.path().starts_with("/api/12.03/sessions") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut asked = webui.client.request(parts.method.clone(), format!("{}{path}", webui.api));
    asked = asked.headers(sent(&parts.headers));
    if let Some(secret) = session::secret(&parts.headers) {
        asked = asked.header(AUTHORIZATION, format!("Bearer {secret}"));
    }
    if ![Method::GET, Method::HEAD].contains(&parts.method) {
        asked = asked.body(reqwest::Body::wrap_stream(body.into_data_stream()));
    }
    let answered = tokio::select! {
        answered = asked.send() => answered,
        () = webui.stop.cancelled() => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    match answered {
        Ok(answered) => answer(&webui, answered),
        Err(error) => unreachable(&error),
    }
}

fn sent(headers: &HeaderMap) -> HeaderMap {
    let named = SENT.into_iter().filter_map(|name| headers.get(&name).cloned().map(|value| (name, value)));
    named.collect()
}

/// The API's answer. A credential it does not know any more is taken from the browser too.
pub fn answer(webui: &Webui, answered: reqwest::Response) -> Response {
    let (status, mut headers) = (answered.status(), answered.headers().clone());
    for name in KEPT_BACK {
        headers.remove(name);
    }
    if status == StatusCode::UNAUTHORIZED
        && let Some(gone) = webui.cookie.gone()
    {
        headers.insert(SET_COOKIE, gone);
    }
    let is_stream = headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if is_stream || !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let stop = webui.stop.clone();
    let bytes = futures_util::StreamExt::take_until(answered.bytes_stream(), async move { stop.cancelled().await });
    let mut response = Response::new(Body::from_stream(bytes));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// As a refusal of the API is written, so that pages have one way to show both; the words are the pages' own.
pub fn unreachable(error: &reqwest::Error) -> Response {
    tracing::warn!(%error, "the API does not answer");
    let body = json!({ "error": "Unreachable", "code": "503", "reason": "api_unreachable" });
    (StatusCode::BAD_GATEWAY, [(CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}
