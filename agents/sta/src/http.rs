//! Serves images to the hosts: `GET` and `HEAD /images/<id>`, with ranges (RFC 9110 section 14), nothing else.
//!
//! Rule: only verified images of the store are served, read-only. It does not know who asks: it listens on the
//! storage network.

pub mod range;

use crate::store::{Image, Store, sentence};
use arame_schema::model::ImageId;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use axum::{Router, routing};
use range::Wanted;
use std::io::SeekFrom;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;

/// Read at a time: QEMU asks for pieces of about this size.
const PIECE_BYTES: usize = 256 * 1024;

pub async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(listen).await
}

/// Until the process ends.
pub async fn serve(listener: TcpListener, store: Arc<dyn Store>) {
    let listener = listener.tap_io(|stream| {
        // A range answered late by Nagle's algorithm is a guest's disk that stutters.
        let _ = stream.set_nodelay(true);
    });
    if let Err(error) = axum::serve(listener, router(store)).await {
        tracing::error!(%error, "images are no longer served");
    }
}

pub fn router(store: Arc<dyn Store>) -> Router {
    Router::new().route("/images/{image}", routing::get(image)).with_state(store)
}

async fn image(State(store): State<Arc<dyn Store>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Ok(id) = name.parse::<ImageId>() else { return StatusCode::NOT_FOUND.into_response() };
    match store.find_image(&id).await {
        Ok(Some(image)) if image.mark.is_some() => answer(image, &headers).await,
        Ok(_) => StatusCode::NOT_FOUND.into_response(),
        // Not 404: a disk that is not mounted has not lost its images.
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, sentence(&error)).into_response(),
    }
}

async fn answer(image: Image, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", image.sha256);
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let mut common = HeaderMap::new();
    common.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    common.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(value) = HeaderValue::from_str(&tag) {
        common.insert(header::ETAG, value);
    }
    if text(header::IF_NONE_MATCH).is_some_and(|known| known == tag || known == "*") {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    // Another version was read before: the whole of this one is the answer (RFC 9110 section 13.1.5).
    let same = text(header::IF_RANGE).is_none_or(|known| known == tag);
    let wanted =
        text(header::RANGE).filter(|_| same).map_or(Wanted::Whole, |range| range::parse(range, image.size_bytes));
    match wanted {
        Wanted::Whole => send(&image, 0, image.size_bytes, StatusCode::OK, common).await,
        Wanted::Part { first, last } => {
            let place = format!("bytes {first}-{last}/{}", image.size_bytes);
            insert(&mut common, header::CONTENT_RANGE, &place);
            send(&image, first, last - first + 1, StatusCode::PARTIAL_CONTENT, common).await
        }
        Wanted::Nothing => {
            insert(&mut common, header::CONTENT_RANGE, &format!("bytes */{}", image.size_bytes));
            (StatusCode::RANGE_NOT_SATISFIABLE, common).into_response()
        }
    }
}

async fn send(image: &Image, first: u64, count: u64, status: StatusCode, mut headers: HeaderMap) -> Response {
    insert(&mut headers, header::CONTENT_LENGTH, &count.to_string());
    let Some(path) = &image.path else { return StatusCode::NOT_FOUND.into_response() };
    let opened = async {
        let mut file = tokio::fs::File::open(path).await?;
        file.seek(SeekFrom::Start(first)).await?;
        Ok::<_, std::io::Error>(file)
    };
    match opened.await {
        Ok(file) => {
            let body = Body::from_stream(ReaderStream::with_capacity(file.take(count), PIECE_BYTES));
            (status, headers, body).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
