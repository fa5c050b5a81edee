//! The built pages, out of this very program. Rule: what carries its digest in its name may be kept for ever, everything
//! else is asked for again; every path that is no file is the application's, which has its own "not found".

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

include!(concat!(env!("OUT_DIR"), "/files.rs"));

const START: &str = "index.html";

/// Said where the pages were not built: the program works, there is only nothing to show.
const NOT_BUILT: &str = "<!doctype html><html lang=\"ja\"><meta charset=\"utf-8\"><title>Arame</title>\
    <h1>画面はまだ作られていません / The pages are not built</h1>\
    <p>このプログラムは画面なしで作られました。Node.js 18 以降を入れ、<code>make build</code> を実行してください。</p>\
    <p>This program was built without its pages. Install Node.js 18 or later and run <code>make build</code>.</p></html>";

fn find(name: &str) -> Option<&'static [u8]> {
    let at = FILES.binary_search_by(|(file, _)| (*file).cmp(name)).ok()?;
    FILES.get(at).map(|(_, bytes)| *bytes)
}

pub async fn page(method: Method, uri: Uri) -> Response {
    if ![Method::GET, Method::HEAD].contains(&method) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let name = uri.path().trim_start_matches('/');
    if let Some(bytes) = find(name) {
        let kept = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
        return file(name, bytes, kept);
    }
    if name.starts_with("assets/") || name.starts_with("api/") {
        return StatusCode::NOT_FOUND.into_response();
    }
    match find(START) {
        Some(bytes) => file(START, bytes, "no-cache"),
        None => (StatusCode::SERVICE_UNAVAILABLE, file(START, NOT_BUILT.as_bytes(), "no-store")).into_response(),
    }
}

fn file(name: &str, bytes: &'static [u8], kept: &'static str) -> Response {
    let headers =
        [(CONTENT_TYPE, HeaderValue::from_static(kind(name))), (CACHE_CONTROL, HeaderValue::from_static(kept))];
    (headers, bytes).into_response()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}
