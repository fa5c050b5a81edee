//! The listener for unchanged old clients, which send no credential: one named token is attached to what they ask.
//!
//! Rule: it stands on loopback or a unix socket and is off unless configured. A page in a browser must not use it: what
//! has an Origin, or is sent to a name that is not this machine's loopback, is refused (DNS rebinding). A token that acts
//! for every account is not attached.

use arame_schema::api::{Code, Refusal};
use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use std::net::IpAddr;
use std::sync::Arc;

/// The secret that requests of this listener carry without sending it.
#[derive(Clone)]
pub struct Attached(pub Arc<str>);

/// What an unreadable body is answered (reference 4.1): plain text.
pub const UNREADABLE: &str = "Invalid request body.";

/// # Errors
/// The request did not come from an old client of this machine.
pub fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    let refused = |reason: &str| Err(Refusal::new(Code::CompatRefused).with("reason", reason));
    if headers.contains_key(ORIGIN) {
        return refused("Origin");
    }
    match headers.get(HOST).map(|host| host.to_str().unwrap_or("?")) {
        None => Ok(()),
        Some(host) if is_loopback(host) => Ok(()),
        Some(host) => refused(&format!("Host: {}", super::fields::short(host))),
    }
}

/// `localhost`, `127.0.0.1:9002`, `[::1]`; of a unix socket clients say `localhost` too.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_loopback_names_are_taken_and_no_browser() {
        let host = |text: &str| HeaderMap::from_iter([(HOST, HeaderValue::from_str(text).unwrap())]);
        for taken in ["localhost", "localhost:9002", "127.0.0.1:9002", "127.9.9.9", "[::1]:9002", "[::1]"] {
            assert!(check(&host(taken)).is_ok(), "{taken}");
        }
        for refused in ["evil.example", "evil.example:9002", "10.0.0.1", "localhost.evil.example", "[fe80::1]", ""] {
            assert!(check(&host(refused)).is_err(), "{refused}");
        }
        let mut browser = host("localhost");
        browser.insert(ORIGIN, HeaderValue::from_static("http://localhost"));
        assert!(check(&browser).is_err());
        assert!(check(&HeaderMap::new()).is_ok());
    }
}
