//! What stands before and after every handler: the request's id and language, the time limit, the words of refusals.
//!
//! Rule: every answer carries X-VDC-Request-ID and is logged once, here; every refusal, also the router's own and a
//! panic's, leaves as our body.

use super::API;
use super::answer::{Refused, refusal_response};
use super::fields::short;
use super::yaml;
use arame_schema::api::{Code, Language, Refusal};
use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Longest a request may take, body included: an audit that asks every agent anew is the slowest. Streams are exempt.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What the front knows of a request.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// UUIDv7; the application resolves a lost COMMIT by it.
    pub request: Uuid,
    pub language: Language,
    pub form: Form,
}

/// How the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    /// The original's, with symbol keys; asked for by `.yml` or by `Accept`.
    Yaml,
}

impl Form {
    fn of(request: &Request) -> Self {
        if let Some(form) = request.extensions().get::<Form>() {
            return *form;
        }
        let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let first = accepted.split([',', ';']).next().unwrap_or_default().trim();
        let yaml = ["text/yaml", "application/yaml", "application/x-yaml"].contains(&first);
        if yaml { Form::Yaml } else { Form::Json }
    }
}

/// Frames every request.
pub async fn frame(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let accepted = request.headers().get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let language = Language::from_accept(accepted.unwrap_or(""));
    let frame = Frame { request: Uuid::now_v7(), language, form: Form::of(&request) };
    request.extensions_mut().insert(frame);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unknown".to_owned(), |m| m.as_str().to_owned());
    let running = run_to_its_end(&method, request, next);
    let mut response = match tokio::time::timeout(REQUEST_TIMEOUT, running).await {
        Ok(Some(response)) => response,
        Ok(None) | Err(_) => Refused(Refusal::new(Code::Unavailable).with("what", "dcmgr")).into_response(),
    };
    let refused = response.extensions_mut().remove::<Refused>();
    let reason = refused.as_ref().map(|Refused(refusal)| refusal.code);
    if let Some(Refused(refusal)) = refused {
        response = refusal_response(refusal, frame, response);
    }
    if frame.form == Form::Yaml {
        response = in_yaml(response).await;
    }
    finish(&mut response, frame);
    note(&method, &route, &response, reason, began.elapsed(), frame.request);
    response
}

/// An answer of ours in YAML; anything else (a stream, a console's text) as it is.
async fn in_yaml(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let is_json = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return Response::from_parts(parts, body);
    }
    // Our own answers: a page of views, bounded by its limit.
    let bytes = match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(error) => return panicked(Box::new(error.to_string())),
    };
    match yaml::from_json(&bytes) {
        Ok(text) => {
            parts.headers.remove(CONTENT_LENGTH);
            parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/yaml; charset=utf-8"));
            Response::from_parts(parts, axum::body::Body::from(text))
        }
        Err(error) => panicked(Box::new(error.to_string())),
    }
}

/// A change is not dropped in the middle of a statement when its client goes away or its time is over: the server
/// would go on executing it and keep its locks. It runs in a task of its own, to its end.
async fn run_to_its_end(method: &Method, request: Request, next: Next) -> Option<Response> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Some(next.run(request).await);
    }
    tokio::spawn(next.run(request)).await.ok()
}

fn finish(response: &mut Response, frame: Frame) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&frame.request.to_string()) {
        headers.insert("x-vdc-request-id", id);
    }
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(frame.language.as_str()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn note(method: &Method, route: &str, response: &Response, reason: Option<Code>, took: Duration, request: Uuid) {
    let status = response.status().as_u16();
    let took_ms = took.as_millis() as u64;
    let reason = reason.map(|code| arame_schema::api::catalogue::refusal(code).wire);
    match status {
        500.. => tracing::error!(%request, %method, route, status, reason, took_ms, "request failed"),
        400..500 => tracing::info!(%request, %method, route, status, reason, took_ms, "request refused"),
        _ => tracing::debug!(%request, %method, route, status, took_ms, "request answered"),
    }
    // The method of an unknown route is the client's invention: it must not become a label.
    let method = if route == "unknown" { "any".to_owned() } else { method.to_string() };
    let labels = [("method", method), ("route", route.to_owned()), ("status", status.to_string())];
    metrics::counter!("arame_http_requests_total", &labels).increment(1);
    metrics::histogram!("arame_http_request_seconds", "route" => route.to_owned()).record(took.as_secs_f64());
}

pub async fn unknown_route(method: Method, uri: Uri) -> Refused {
    Refused(Refusal::new(Code::UnknownRoute).with("method", method).with("path", short(uri.path())))
}

pub async fn method_not_allowed(method: Method, uri: Uri) -> Refused {
    Refused(Refusal::new(Code::MethodNotAllowed).with("method", method).with("path", short(uri.path())))
}

/// A defect of ours. What the panic said is in the log only.
pub fn panicked(said: Box<dyn Any + Send + 'static>) -> Response {
    let text = said.downcast_ref::<String>().map(String::as_str).or_else(|| said.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("?"), "a handler panicked");
    Refused(Refusal::new(Code::Internal)).into_response()
}

/// `/api/12.03/instances/i-x.json` is `/api/12.03/instances/i-x`, and `.yml` asks for YAML. No id holds a dot.
pub fn strip_extension<B>(mut request: axum::http::Request<B>) -> axum::http::Request<B> {
    let path = request.uri().path();
    if !path.starts_with(API) || path.ends_with("/openapi.json") {
        return request;
    }
    let known = [(".json", Form::Json), (".yml", Form::Yaml)];
    let found = known.into_iter().find_map(|(extension, form)| Some((path.strip_suffix(extension)?.to_owned(), form)));
    let Some((bare, form)) = found else { return request };
    let bare = match request.uri().query() {
        Some(query) => format!("{bare}?{query}"),
        None => bare,
    };
    if let Ok(uri) = bare.parse::<Uri>() {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(form);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_is_stripped_inside_the_api_only() {
        for (given, wanted) in [
            ("/api/12.03/instances.json", "/api/12.03/instances"),
            ("/api/12.03/instances/i-a.json?start=1", "/api/12.03/instances/i-a?start=1"),
            ("/api/12.03/instances/i-a.yml?start=1", "/api/12.03/instances/i-a?start=1"),
            ("/api/12.03/openapi.json", "/api/12.03/openapi.json"),
            ("/other.json", "/other.json"),
            ("/api/12.03/instances", "/api/12.03/instances"),
        ] {
            let request = axum::http::Request::builder().uri(given).body(()).unwrap();
            assert_eq!(strip_extension(request).uri().to_string(), wanted);
        }
    }
}
