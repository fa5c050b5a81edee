//! Offered snapshots for other storage nodes: `GET /snapshots/<volume key>@<key>?held=<guid>,…&resume=…`.
//!
//! Rule: only what was offered is sent, and only to whoever shows what it was offered with; what is shown wrongly and what is
//! not there answer alike. What is sent goes by what the asker holds; a rest that cannot be sent is 409. A stream that ends
//! early ends without its last chunk (RFC 9112 section 7.1), so that it is never taken for whole.

use super::{Shelf, insert};
use crate::store::replicas::{Asked, HELD_MAX, Head};
use crate::store::{SnapshotKeys, StoreError, sentence};
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::HeaderName;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

const STORE: &str = "arame-store";
const GUID: &str = "arame-guid";
const BASE: &str = "arame-base";
const SIZE: &str = "arame-size";
const ABOUT: &str = "arame-about";

/// What a receiver asks for, as a query.
pub fn query_of(asked: &Asked) -> String {
    let held: Vec<String> = asked.held.iter().map(u64::to_string).collect();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("held", &held.join(","));
    if let Some(resume) = &asked.resume {
        query.append_pair("resume", resume);
    }
    query.finish()
}

fn asked_by(query: &str) -> Asked {
    let mut asked = Asked::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "held" => asked.held = value.split(',').filter_map(|guid| guid.parse().ok()).take(HELD_MAX).collect(),
            "resume" => asked.resume = Some(value.into_owned()),
            _ => {}
        }
    }
    asked
}

/// What is sent, as it is told before it.
pub fn head_of(headers: &HeaderMap) -> Option<Head> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Some(Head {
        store: text(STORE)?.to_owned(),
        guid: text(GUID)?.parse().ok()?,
        base: text(BASE).map(str::parse).transpose().ok()?,
        size_bytes: text(SIZE)?.parse().ok()?,
        stream_bytes: text(ABOUT).and_then(|bytes| bytes.parse().ok()).unwrap_or(0),
    })
}

fn headers_of(head: &Head) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name, value: String| insert(&mut headers, HeaderName::from_static(name), &value);
    put(STORE, head.store.clone());
    put(GUID, head.guid.to_string());
    put(SIZE, head.size_bytes.to_string());
    put(ABOUT, head.stream_bytes.to_string());
    if let Some(base) = head.base {
        put(BASE, base.to_string());
    }
    headers
}

pub async fn snapshot(
    State(shelf): State<Shelf>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(reader) = shown.and_then(|value| value.strip_prefix("Bearer ")) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let Some((volume_key, key)) = name.split_once('@') else { return StatusCode::NOT_FOUND.into_response() };
    let at = SnapshotKeys { volume_key: volume_key.to_owned(), key: key.to_owned() };
    match shelf.store.find_offer(&at).await {
        Ok(Some(offer)) if offer.mark.is_some() && offer.reader == hex::encode(Sha256::digest(reader)) => {}
        Ok(_) | Err(StoreError::BadName { .. }) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, sentence(&error)).into_response(),
    }
    match shelf.store.send_snapshot(&at, &asked_by(&query.unwrap_or_default())).await {
        Ok(sending) => (headers_of(&sending.head), Body::from_stream(sending.pieces)).into_response(),
        Err(error @ StoreError::ReplicaLeftBehind { .. }) => (StatusCode::CONFLICT, sentence(&error)).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, sentence(&error)).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_and_what_is_sent_are_read_as_they_were_written() {
        for resume in [None, Some("1-c740b4779-d0".to_owned()), Some("16:7&held=9".to_owned())] {
            let asked = Asked { held: vec![1, u64::MAX], resume };
            assert_eq!(asked_by(&query_of(&asked)), asked);
        }
        assert_eq!(asked_by("held=x,,3&other=1"), Asked { held: vec![3], resume: None });
        for base in [None, Some(7)] {
            let head = Head { store: "zfs".into(), guid: u64::MAX, base, size_bytes: 9, stream_bytes: 3 };
            assert_eq!(head_of(&headers_of(&head)), Some(head));
        }
        assert_eq!(head_of(&HeaderMap::new()), None);
    }
}
