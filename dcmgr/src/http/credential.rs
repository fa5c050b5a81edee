//! The credential and the account a request names in its headers.
//!
//! Rule: nobody is trusted by a header. The account header only selects among the accounts the credential may act for,
//! and the application decides that.

use arame_schema::api::{Code, Refusal};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The header that selects the account; Rack folded `-` and `_`, and the shell client sends underscores.
const ACCOUNT_HEADERS: [&str; 2] = ["x-vdc-account-uuid", "x_vdc_account_uuid"];

/// Longest Idempotency-Key: the column's width.
const IDEMPOTENCY_KEY_MAX: usize = 100;

/// The token's secret: of `Bearer`, or the password of `Basic` (RFC 7617), whose user name says nothing.
pub fn secret(headers: &HeaderMap) -> Result<String, Refusal> {
    let refused = || Refusal::new(Code::Unauthenticated);
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(refused)?;
    let (scheme, rest) = value.trim().split_once(' ').ok_or_else(refused)?;
    let rest = rest.trim();
    let secret = if scheme.eq_ignore_ascii_case("bearer") {
        rest.to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let bytes = STANDARD.decode(rest).map_err(|_| refused())?;
        let pair = String::from_utf8(bytes).map_err(|_| refused())?;
        pair.split_once(':').map(|(_, password)| password.to_owned()).ok_or_else(refused)?
    } else {
        return Err(refused());
    };
    if secret.is_empty() { Err(refused()) } else { Ok(secret) }
}

/// The account the request wants to act for: an id, or `all`.
pub fn wanted_account(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = ACCOUNT_HEADERS.iter().find_map(|name| headers.get(*name)) else { return Ok(None) };
    let text = value.to_str().unwrap_or("?").trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text != "all" && text.parse::<arame_schema::model::AccountId>().is_err() {
        return Err(Refusal::new(Code::InvalidParameter)
            .with("name", "X-VDC-Account-UUID")
            .with("value", super::fields::short(text))
            .with("expected", "a-… | all"));
    }
    Ok(Some(text.to_owned()))
}

pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(text) if (1..=IDEMPOTENCY_KEY_MAX).contains(&text.trim().len()) => Ok(Some(text.trim().to_owned())),
        _ => Err(Refusal::new(Code::InvalidParameter)
            .with("name", "Idempotency-Key")
            .with("value", super::fields::short(value.to_str().unwrap_or("?")))
            .with("expected", format!("1..{IDEMPOTENCY_KEY_MAX} ASCII"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn the_secret_is_a_bearer_token_or_a_basic_password() {
        let basic = format!("Basic {}", STANDARD.encode("anyone:s3cret:with:colons"));
        for (value, wanted) in
            [("Bearer s3cret", "s3cret"), ("bearer  s3cret ", "s3cret"), (basic.as_str(), "s3cret:with:colons")]
        {
            assert_eq!(secret(&headers("authorization", value)).unwrap(), wanted);
        }
    }

    #[test]
    fn everything_else_is_unauthenticated() {
        let empty = format!("Basic {}", STANDARD.encode("anyone:"));
        for value in ["", "s3cret", "Bearer ", "Digest x", "Basic ???", "Basic YQ==", empty.as_str()] {
            assert!(secret(&headers("authorization", value)).is_err(), "{value} was accepted");
        }
        assert!(secret(&HeaderMap::new()).is_err());
    }

    #[test]
    fn the_account_header_is_read_in_both_spellings() {
        for name in ACCOUNT_HEADERS {
            assert_eq!(wanted_account(&headers(name, "a-demo")).unwrap().as_deref(), Some("a-demo"));
        }
        assert_eq!(wanted_account(&headers(ACCOUNT_HEADERS[0], "all")).unwrap().as_deref(), Some("all"));
        assert_eq!(wanted_account(&HeaderMap::new()).unwrap(), None);
        assert!(wanted_account(&headers(ACCOUNT_HEADERS[0], "i-demo")).is_err());
    }
}
