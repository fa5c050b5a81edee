//! What stands before every request: who may ask for a change, and the headers that every answer carries.
//!
//! Rule: a change, a session and a console are asked for by a page of this place. Other places can neither set the header
//! [`MARK`] without being asked about (CORS, which is never answered) nor lie about their Origin.

use axum::extract::Request;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY, UPGRADE, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Sent by our pages with everything that is no GET.
pub const MARK: HeaderName = HeaderName::from_static("x-arame-page");

/// Scripts only from here, none inline. Styles may be inline: the terminal makes its own, and they run nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
                      font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

pub async fn guard(request: Request, next: Next) -> Response {
    let mut response = if may(request.method(), request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "refused: not asked for by a page of this place\n").into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (PERMISSIONS, "camera=(), microphone=(), geolocation=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn may(method: &Method, headers: &HeaderMap) -> bool {
    let looks = [Method::GET, Method::HEAD].contains(method);
    if headers.contains_key(UPGRADE) {
        // A browser always says where the page of a WebSocket comes from.
        return looks && headers.contains_key(ORIGIN) && is_of_this_place(headers);
    }
    looks || (headers.contains_key(MARK) && is_of_this_place(headers))
}

/// No Origin: no browser, or a GET of one.
fn is_of_this_place(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let (Ok(origin), Some(host)) = (origin.to_str(), headers.get(HOST).and_then(|host| host.to_str().ok())) else {
        return false;
    };
    let place = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    place.is_some_and(|place| place.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn a_change_needs_the_mark_of_our_pages_and_no_foreign_origin() {
        let (host, mark) = (("host", "ui.example:9000"), ("x-arame-page", "1"));
        let own = ("origin", "http://ui.example:9000");
        assert!(may(&Method::POST, &headers(&[host, mark, own])));
        assert!(may(&Method::POST, &headers(&[host, mark])), "no browser");
        assert!(!may(&Method::POST, &headers(&[host, own])), "a form of our own place has no mark");
        for foreign in ["http://evil.example", "null", "http://ui.example", "http://ui.example:9000.evil.example"] {
            assert!(!may(&Method::DELETE, &headers(&[host, mark, ("origin", foreign)])), "{foreign}");
        }
        assert!(may(&Method::GET, &headers(&[host])), "a look needs nothing");
    }

    #[test]
    fn a_console_is_opened_only_by_a_page_that_says_where_it_is_from() {
        let (host, upgrade) = (("host", "ui.example"), ("upgrade", "websocket"));
        assert!(may(&Method::GET, &headers(&[host, upgrade, ("origin", "https://ui.example")])));
        assert!(!may(&Method::GET, &headers(&[host, upgrade, ("origin", "https://evil.example")])));
        assert!(!may(&Method::GET, &headers(&[host, upgrade])));
    }
}
