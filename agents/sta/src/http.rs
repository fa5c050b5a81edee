//! Serves images to the hosts: `GET` and `HEAD /images/<id>`, with ranges (RFC 9110 section 14); and takes uploads from
//! dcmgr: `PUT /uploads/<id>` with a ticket. Other storage nodes read packed backups: `GET /backups/<id>`, with what was made
//! to be shown for that one; and snapshots that were offered to them ([`snapshots`]).
//!
//! Rule: only verified images of the store and whole backups are served, read-only; what is taken goes to the job that has the ticket, or
//! nowhere. It does not know who asks: it listens on the storage network.

pub mod range;
pub mod snapshots;

use crate::fetch::uploads::{Turned, Uploads};
use crate::store::backups::{Backups, Packed, readable};
use crate::store::{Image, Store, sentence};
use arame_schema::model::{BackupObjectId, ImageId};
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
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
/// How much an upload says that it has: it is sent in chunks, so that it can be broken off.
pub const LENGTH: &str = "arame-length";

pub async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(listen).await
}

/// What is served, and who waits for what is brought.
#[derive(Clone)]
pub struct Shelf {
    pub store: Arc<dyn Store>,
    pub uploads: Arc<Uploads>,
    pub backups: Arc<dyn Backups>,
}

/// Until the process ends.
pub async fn serve(listener: TcpListener, shelf: Shelf) {
    let listener = listener.tap_io(|stream| {
        // A range answered late by Nagle's algorithm is a guest's disk that stutters.
        let _ = stream.set_nodelay(true);
    });
    if let Err(error) = axum::serve(listener, router(shelf)).await {
        tracing::error!(%error, "images are no longer served");
    }
}

pub fn router(shelf: Shelf) -> Router {
    let images = Router::new().route("/images/{image}", routing::get(image));
    // A body is read by the job that takes it, within its own bounds.
    let uploads = Router::new().route("/uploads/{image}", routing::put(upload)).layer(DefaultBodyLimit::disable());
    let backups = Router::new().route("/backups/{object}", routing::get(backup));
    let snapshots = Router::new().route("/snapshots/{snapshot}", routing::get(snapshots::snapshot));
    images.merge(uploads).merge(backups).merge(snapshots).with_state(shelf)
}

/// A packed backup, for whoever shows what was made for it. What is shown wrongly and what is not there answer alike.
async fn backup(State(shelf): State<Shelf>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(reader) = shown.and_then(|value| value.strip_prefix("Bearer ")) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let Ok(id) = name.parse::<BackupObjectId>() else { return StatusCode::NOT_FOUND.into_response() };
    match readable(shelf.backups.as_ref(), &id, reader).await {
        Ok(Some(Packed::File { file, stored_bytes })) => {
            let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file).take(stored_bytes), PIECE_BYTES);
            let mut headers = HeaderMap::new();
            insert(&mut headers, header::CONTENT_LENGTH, &stored_bytes.to_string());
            (headers, Body::from_stream(stream)).into_response()
        }
        Ok(_) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, sentence(&error)).into_response(),
    }
}

/// Answers when the job has all of it and has judged it.
async fn upload(State(shelf): State<Shelf>, headers: HeaderMap, body: Body) -> Response {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let ticket = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let length = text(header::HeaderName::from_static(LENGTH)).and_then(|value| value.parse().ok());
    let Some(ticket) = ticket else { return StatusCode::UNAUTHORIZED.into_response() };
    match shelf.uploads.bring(ticket, body, length).await {
        Ok(Ok((sha256, size_bytes))) => {
            axum::Json(serde_json::json!({ "sha256": sha256, "size_bytes": size_bytes })).into_response()
        }
        Ok(Err((code, message))) => {
            let told = axum::Json(serde_json::json!({ "code": code, "message": message }));
            (StatusCode::UNPROCESSABLE_ENTITY, told).into_response()
        }
        Err(Turned::Unknown) => StatusCode::NOT_FOUND.into_response(),
        Err(Turned::Busy) => StatusCode::TOO_MANY_REQUESTS.into_response(),
        Err(Turned::Dropped) => StatusCode::CONFLICT.into_response(),
    }
}

async fn image(State(shelf): State<Shelf>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Ok(id) = name.parse::<ImageId>() else { return StatusCode::NOT_FOUND.into_response() };
    match shelf.store.find_image(&id).await {
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
