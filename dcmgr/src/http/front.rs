//! What stands before and after every handler: the request's id and language, the time limit, the words of refusals.
//!
//! Rule: every answer carries X-VDC-Request-ID and is logged once, here; every refusal, also the router's own and a
//! panic's, leaves as our body. What is said of keys and ETags belongs to every route and is done here for all of them.

use super::answer::{Refused, refusal_response};
use super::app::Caller;
use super::fields::short;
use super::yaml;
use super::{API, Http, app, compat, conditional};
use arame_schema::api::{Code, Language, Refusal};
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::Instrument;
use uuid::Uuid;

/// Longest a request may take, body included: an audit that asks every agent anew is the slowest. Streams are exempt.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest an upload may take: a little more than a storage node gives it.
pub const UPLOAD_TIMEOUT: Duration = Duration::from_secs(6 * 60 * 60 + 60);

fn time_of(method: &Method, route: &str) -> Duration {
    if *method == Method::PUT && route.ends_with("/images/{id}/content") { UPLOAD_TIMEOUT } else { REQUEST_TIMEOUT }
}

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
    /// A table, where an operation has one; else as JSON.
    Csv,
}

impl Form {
    fn of(request: &Request) -> Self {
        if let Some(form) = request.extensions().get::<Form>() {
            return *form;
        }
        let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let first = accepted.split([',', ';']).next().unwrap_or_default().trim();
        let yaml = ["text/yaml", "application/yaml", "application/x-yaml"].contains(&first);
        match first {
            "text/csv" => Form::Csv,
            _ if yaml => Form::Yaml,
            _ => Form::Json,
        }
    }
}

/// What a handler's request leaves for the front: whether its answer is to be kept, or what was answered before.
#[derive(Clone, Default)]
pub struct Slip(Arc<Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    keep: Option<(Caller, String)>,
    replay: Option<String>,
}

impl Slip {
    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to this request with a key is to be kept under its digest.
    pub fn keep(&self, caller: Caller, digest: String) {
        self.noted().keep = Some((caller, digest));
    }

    /// This was answered to the same request before.
    pub fn replay(&self, answer: String) {
        self.noted().replay = Some(answer);
    }
}

/// Said of an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How long the second of two requests with one key that come at once waits for the answer to the first.
const ANSWER_AWAITED: Duration = Duration::from_secs(2);
const ANSWER_LOOKED_FOR: Duration = Duration::from_millis(50);

/// What is known of a request while its answer is made.
struct Under {
    http: Http,
    frame: Frame,
    slip: Slip,
    /// A GET of one resource, and what the client has of it.
    single: Option<Option<HeaderValue>>,
    old_client: bool,
}

/// Frames every request.
pub async fn frame(State(http): State<Http>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let accepted = request.headers().get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let language = Language::from_accept(accepted.unwrap_or(""));
    let frame = Frame { request: Uuid::now_v7(), language, form: Form::of(&request) };
    let slip = Slip::default();
    request.extensions_mut().insert(frame);
    request.extensions_mut().insert(slip.clone());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unknown".to_owned(), |m| m.as_str().to_owned());
    let looks = method == Method::GET && conditional::is_single(&route);
    let single = looks.then(|| conditional::none_match(request.headers()));
    let old_client = request.extensions().get::<compat::Attached>().is_some();
    let under = Under { http: http.clone(), frame, slip, single, old_client };
    // Every line that is logged while it is worked on names it.
    let span = tracing::info_span!("request", id = %frame.request);
    async {
        let running = run_to_its_end(http, request, next);
        let response = match tokio::time::timeout(time_of(&method, &route), running).await {
            Ok(Some(response)) => response,
            Ok(None) | Err(_) => Refused(Refusal::new(Code::Unavailable).with("what", "dcmgr")).into_response(),
        };
        let (mut response, reason) = under.said(response).await;
        finish(&mut response, frame);
        note(&method, &route, &response, reason, began.elapsed(), frame.request);
        response
    }
    .instrument(span)
    .await
}

impl Under {
    /// The answer as it leaves, and why it was refused.
    async fn said(&self, mut response: Response) -> (Response, Option<Code>) {
        let mut refused = response.extensions_mut().remove::<Refused>().map(|Refused(refusal)| refusal);
        if refused.as_ref().is_some_and(|refusal| refusal.code == Code::Repeated)
            && let Some(answer) = self.answered().await
        {
            refused = None;
            let json = HeaderValue::from_static("application/json");
            let said = HeaderValue::from_static("true");
            response = ([(CONTENT_TYPE, json), (REPLAYED, said)], answer).into_response();
        }
        let reason = refused.as_ref().map(|refusal| refusal.code);
        if let Some(refusal) = refused {
            if self.old_client && refusal.code == Code::InvalidBody {
                return ((StatusCode::BAD_REQUEST, compat::UNREADABLE).into_response(), reason);
            }
            response = refusal_response(refusal, self.frame, response);
        } else if response.status() == StatusCode::OK && is_json(&response) {
            response = self.kept(response).await;
        }
        if self.frame.form == Form::Yaml && response.status() != StatusCode::NOT_MODIFIED {
            response = in_yaml(response).await;
        }
        (response, reason)
    }

    /// What the same request was answered before, or is being answered now.
    async fn answered(&self) -> Option<String> {
        let keep = {
            let mut noted = self.slip.noted();
            if let Some(answer) = noted.replay.take() {
                return Some(answer);
            }
            noted.keep.take()
        };
        let (caller, digest) = keep?;
        let end = Instant::now() + ANSWER_AWAITED;
        while Instant::now() < end {
            let found = app::idempotency::answered(&self.http.app, &caller, &digest).await;
            if let Ok(Some(answer)) = found {
                return Some(answer);
            }
            tokio::time::sleep(ANSWER_LOOKED_FOR).await;
        }
        None
    }

    /// A good answer: kept where the request had a key, marked where it is one resource, spared where the client has it.
    async fn kept(&self, response: Response) -> Response {
        let keep = self.slip.noted().keep.take();
        if keep.is_none() && self.single.is_none() {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        // Our own answers: a view, bounded by its form.
        let bytes = match axum::body::to_bytes(body, usize::MAX).await {
            Ok(bytes) => bytes,
            Err(error) => return panicked(Box::new(error.to_string())),
        };
        if let Some((caller, digest)) = keep
            && let Some(key) = &caller.idempotency_key
        {
            app::idempotency::keep(&self.http.app, caller.token.as_ref(), key, &digest, &bytes).await;
        }
        if let Some(has) = &self.single {
            let etag = conditional::etag(&bytes, self.frame.language);
            if let Some(unchanged) = conditional::unchanged(has.as_ref(), &etag) {
                return unchanged;
            }
            if let Ok(value) = HeaderValue::from_str(&etag) {
                parts.headers.insert(ETAG, value);
            }
        }
        Response::from_parts(parts, Body::from(bytes))
    }
}

fn is_json(response: &Response) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// An answer of ours in YAML; anything else (a stream, a console's text) as it is.
async fn in_yaml(response: Response) -> Response {
    if !is_json(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
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
async fn run_to_its_end(http: Http, request: Request, next: Next) -> Option<Response> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Some(next.run(request).await);
    }
    tokio::spawn(conditional::change(http, request, next).in_current_span()).await.ok()
}

fn finish(response: &mut Response, frame: Frame) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&frame.request.to_string()) {
        headers.insert("x-vdc-request-id", id);
    }
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(frame.language.as_str()));
    // What has an ETag may be kept and is asked about; nothing else is kept.
    let cache = if headers.contains_key(ETAG) { "private, no-cache" } else { "no-store" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn note(method: &Method, route: &str, response: &Response, reason: Option<Code>, took: Duration, request: Uuid) {
    let status = response.status().as_u16();
    let took_ms = took.as_millis() as u64;
    let reason = reason.map(|code| arame_schema::api::catalogue::refusal(code).wire);
    match status {
        // It answers as it should: nothing is wrong, it is not built.
        501 => tracing::info!(%request, %method, route, status, reason, took_ms, "not built"),
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

/// `/api/12.03/instances/i-x.json` is `/api/12.03/instances/i-x`, and `.yml` asks for YAML, `.csv` for a table. No id
/// holds a dot.
pub fn strip_extension<B>(mut request: axum::http::Request<B>) -> axum::http::Request<B> {
    let path = request.uri().path();
    if !path.starts_with(API) || path.ends_with("/openapi.json") {
        return request;
    }
    let known = [(".json", Form::Json), (".yml", Form::Yaml), (".csv", Form::Csv)];
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
