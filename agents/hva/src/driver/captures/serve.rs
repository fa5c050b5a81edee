//! Copies of disks over HTTP, for storage nodes: `GET /captures/<image>`, for whoever shows what was made for that one.
//!
//! Rule: only what is kept is served, read-only. What is shown wrongly and what is not there answer alike. It listens on the
//! storage network.

use super::disks::{Disks, read_label};
use arame_schema::model::ImageId;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;

const PIECE_BYTES: usize = 256 * 1024;
/// Between two attempts to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// Serves for the life of the process. `dir`: the folder of the copies.
pub async fn serve(listen: SocketAddr, dir: PathBuf) {
    let router = Router::new().route("/captures/{image}", routing::get(capture)).with_state(dir);
    loop {
        match TcpListener::bind(listen).await {
            Ok(listener) => {
                if let Err(error) = axum::serve(listener, router.clone()).await {
                    tracing::error!(%error, "copies of disks are no longer served");
                }
            }
            Err(error) => tracing::warn!(%error, %listen, "copies of disks cannot be served yet"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn capture(State(dir): State<PathBuf>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(shown) = shown.and_then(|value| value.strip_prefix("Bearer ")) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let Ok(image) = name.parse::<ImageId>() else { return StatusCode::NOT_FOUND.into_response() };
    let shown = hex::encode(Sha256::digest(shown));
    let (folder, wanted) = (dir.clone(), image.clone());
    let label = tokio::task::spawn_blocking(move || read_label(&folder, &wanted)).await;
    let Ok(Ok(Some(label))) = label else { return StatusCode::NOT_FOUND.into_response() };
    if label.reader != shown {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Ok(file) = tokio::fs::File::open(Disks::file(&dir, &image)).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [(header::CONTENT_LENGTH, label.size_bytes.to_string())];
    (headers, Body::from_stream(ReaderStream::with_capacity(file, PIECE_BYTES))).into_response()
}
