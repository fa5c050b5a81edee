//! Conditional requests (RFC 9110 section 13): ETags of single resources, `If-None-Match`, `If-Match`.
//!
//! Rule: an ETag is strong: a digest of the bytes of the representation, its language and form included in its name. A
//! change with `If-Match` is alone among those: between its look and its change no other of them comes.

use super::front::Frame;
use super::{API, Http};
use super::{app, asked};
use crate::http::answer::Refused;
use arame_schema::api::{Code, Language, Refusal};
use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, ETAG, HOST, IF_MATCH, IF_NONE_MATCH, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use tower::ServiceExt;

/// Characters of the digest that are shown: 128 bits.
const SHOWN: usize = 32;

/// Headers that decide who asks and for whom.
const WHO: [&str; 2] = ["x-vdc-account-uuid", "x_vdc_account_uuid"];

/// Whether the route is that of one resource.
pub fn is_single(route: &str) -> bool {
    route.starts_with(API) && route.ends_with('}')
}

/// The ETag of a representation in JSON.
pub fn etag(json: &[u8], language: Language) -> String {
    let digest = hex::encode(Sha256::digest(json));
    format!("\"{}.{}\"", &digest[..SHOWN], language.as_str())
}

/// Whether a list of ETags names this one.
fn names(list: &str, etag: &str) -> bool {
    list.trim() == "*" || list.split(',').any(|one| one.trim().trim_start_matches("W/") == etag)
}

/// 304 where the client has this representation.
pub fn unchanged(asked: Option<&HeaderValue>, etag: &str) -> Option<Response> {
    let list = asked?.to_str().ok()?;
    let tag = HeaderValue::from_str(etag).ok()?;
    names(list, etag).then(|| (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response())
}

pub fn none_match(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(IF_NONE_MATCH).cloned()
}

/// Runs a change. One with `If-Match` only when the resource is still what it names.
pub async fn change(http: Http, request: Request, next: Next) -> Response {
    let Some(wanted) = request.headers().get(IF_MATCH).cloned() else { return next.run(request).await };
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned()).unwrap_or_default();
    let conditional = [Method::PUT, Method::DELETE].contains(request.method()) && route.contains("{id}");
    if !conditional {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Some(frame) = parts.extensions.get::<Frame>().copied() else {
        return Refused(Refusal::new(Code::Internal)).into_response();
    };
    // Whoever may not change it is told that first, as without a condition.
    if let Err(refused) = asked::caller(&parts, &http, frame).await {
        return refused.into_response();
    }
    let path = resource_path(&route, parts.uri.path());
    let guard = match app::guards::hold(&http.app, &path).await {
        Ok(guard) => guard,
        Err(refusal) => return Refused(refusal).into_response(),
    };
    let wanted = wanted.to_str().unwrap_or_default().to_owned();
    let response = match still_is(&http, &parts, (&route, &path), &wanted).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(response) => response,
    };
    guard.release().await;
    response
}

/// Of `/api/12.03/instances/{id}/poweroff` the instance.
fn resource_path(route: &str, path: &str) -> String {
    let depth = route.split('/').take_while(|part| *part != "{id}").count() + 1;
    path.split('/').take(depth).collect::<Vec<_>>().join("/")
}

/// Whether what is changed is still what the ETag names: the resource, or the part of it that has a representation of its own (a
/// volume's schedule), where the route is that part's. A part that is not there is nothing an ETag could name.
async fn still_is(
    http: &Http,
    parts: &axum::http::request::Parts,
    (route, path): (&str, &str),
    wanted: &str,
) -> Result<(), Response> {
    let mut found = tag_of(http, parts, path, wanted).await?;
    if is_single(route) && parts.uri.path() != path {
        found = tag_of(http, parts, parts.uri.path(), wanted).await.unwrap_or(None);
    }
    match found {
        Some(etag) if names(wanted, &etag) => Ok(()),
        other => Err(changed(other.as_deref().unwrap_or("-"))),
    }
}

/// Looks as the same client would, in the language its ETag names. None: there is no representation.
async fn tag_of(
    http: &Http,
    parts: &axum::http::request::Parts,
    path: &str,
    wanted: &str,
) -> Result<Option<String>, Response> {
    let mut look = Request::builder().uri(path).body(Body::empty()).unwrap_or_default();
    for name in [AUTHORIZATION, HOST, ORIGIN] {
        if let Some(value) = parts.headers.get(&name) {
            look.headers_mut().insert(name, value.clone());
        }
    }
    for name in WHO {
        if let Some(value) = parts.headers.get(name) {
            look.headers_mut().insert(name, value.clone());
        }
    }
    let language = if wanted.contains(".ja\"") { "ja" } else { "en" };
    look.headers_mut().insert(ACCEPT_LANGUAGE, HeaderValue::from_static(language));
    if let Some(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        look.extensions_mut().insert(*peer);
    }
    if let Some(attached) = parts.extensions.get::<super::compat::Attached>() {
        look.extensions_mut().insert(attached.clone());
    }
    let Some(router) = http.whole.get().cloned() else { return Err(changed("?")) };
    let answer = match router.oneshot(look).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    match answer.status() {
        StatusCode::OK => Ok(answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned)),
        // Without a representation nothing can match.
        StatusCode::METHOD_NOT_ALLOWED => Ok(None),
        _ => Err(answer),
    }
}

fn changed(etag: &str) -> Response {
    Refused(Refusal::new(Code::Changed).with("etag", etag)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_names_its_language_and_changes_with_a_byte() {
        let (one, other) = (etag(b"{\"a\":1}", Language::Ja), etag(b"{\"a\":2}", Language::Ja));
        assert!(one.ends_with(".ja\"") && one != other && one == etag(b"{\"a\":1}", Language::Ja), "{one}");
        assert!(names(&format!("\"x\", {one}"), &one) && names("*", &one) && names(&format!("W/{one}"), &one));
        assert!(!names(&other, &one));
    }

    #[test]
    fn the_resource_of_a_verb_is_the_part_before_it() {
        let path = "/api/12.03/instances/i-a/poweroff";
        assert_eq!(resource_path("/api/12.03/instances/{id}/poweroff", path), "/api/12.03/instances/i-a");
        assert_eq!(resource_path("/api/12.03/instances/{id}", "/api/12.03/instances/i-a"), "/api/12.03/instances/i-a");
        assert!(is_single("/api/12.03/instances/{id}") && !is_single("/api/12.03/instances/{id}/timeline"));
    }
}
