//! `/session`: signing in with a name and a password or with a token, and out.
//!
//! Rule: the secret goes into an HttpOnly, SameSite=Strict cookie and nowhere else: in no answer's body, in no URL. The
//! cookie holds the very secret the API gave, so nothing is kept here and the API's own end of a session is the end.

use crate::{Transport, Webui, pass};
use arame_schema::api::Session;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

const NAME: &str = "arame_session";

/// As long as the API's own sessions live; one of a token ends with it, or then.
const LIFE_SECONDS: u32 = 12 * 60 * 60;

/// Longest secret that is taken for one.
const SECRET_BYTES_MAX: usize = 256;

/// Longest body of a sign-in.
const BODY_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug, Clone, Copy)]
pub struct Cookie {
    transport: Transport,
}

impl Cookie {
    pub fn new(transport: Transport) -> Self {
        Self { transport }
    }

    fn text(self, secret: &str, life: u32) -> Option<HeaderValue> {
        let secure = match self.transport {
            Transport::Plain => "",
            Transport::Tls => "; Secure",
        };
        let text = format!("{NAME}={secret}; Path=/; Max-Age={life}; HttpOnly; SameSite=Strict{secure}");
        HeaderValue::from_str(&text).ok()
    }

    /// What takes it away again.
    pub fn gone(self) -> Option<HeaderValue> {
        self.text("", 0)
    }
}

/// The secret a browser brings.
pub fn secret(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == NAME).map(|(_, secret)| secret).filter(|secret| is_secret(secret))
}

/// Neither a header nor a cookie can be broken out of.
fn is_secret(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte);
    (1..=SECRET_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Begin {
    Token { token: String },
    Password { name: String, password: String },
}

/// Sign in.
pub async fn begin(State(webui): State<Webui>, headers: HeaderMap, body: Bytes) -> Response {
    let read = serde_json::from_slice::<Begin>(&body).ok().filter(|_| body.len() <= BODY_BYTES_MAX);
    let language = headers.get(ACCEPT_LANGUAGE).cloned().unwrap_or(HeaderValue::from_static("ja"));
    match read {
        Some(Begin::Token { token }) => by_token(&webui, token.trim(), language).await,
        Some(Begin::Password { name, password }) => by_password(&webui, &name, &password, language).await,
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn by_token(webui: &Webui, token: &str, language: HeaderValue) -> Response {
    // What cannot be a secret is shown to the API too, as one that is none: refused and counted in the same words.
    let shown = if is_secret(token) { token } else { "-" };
    let url = format!("{}/api/12.03/whoami", webui.api);
    let asked = webui.client.get(url).header(AUTHORIZATION, format!("Bearer {shown}"));
    let answer = match asked.header(ACCEPT_LANGUAGE, language).send().await {
        Ok(answer) => answer,
        Err(error) => return pass::unreachable(&error),
    };
    if !answer.status().is_success() {
        return pass::answer(webui, answer);
    }
    signed_in(webui, token)
}

async fn by_password(webui: &Webui, name: &str, password: &str, language: HeaderValue) -> Response {
    let url = format!("{}/api/12.03/sessions", webui.api);
    let asked = webui.client.post(url).json(&json!({ "name": name, "password": password }));
    let answer = match asked.header(ACCEPT_LANGUAGE, language).send().await {
        Ok(answer) => answer,
        Err(error) => return pass::unreachable(&error),
    };
    if !answer.status().is_success() {
        return pass::answer(webui, answer);
    }
    let session = answer.json::<Session>().await.ok().and_then(|session| session.secret);
    match session.filter(|secret| is_secret(secret)) {
        Some(secret) => signed_in(webui, &secret),
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}

fn signed_in(webui: &Webui, secret: &str) -> Response {
    let mut response = ([(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "application/json")], "{}").into_response();
    if let Some(cookie) = webui.cookie.text(secret, LIFE_SECONDS) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Sign out: a session ends at the API; a token lives on, this browser only forgets it.
pub async fn end(State(webui): State<Webui>, headers: HeaderMap) -> Response {
    if let Some(secret) = secret(&headers)
        && is_of_a_user(&webui, secret).await
    {
        let url = format!("{}/api/12.03/sessions/current", webui.api);
        let ended = webui.client.delete(url).header(AUTHORIZATION, format!("Bearer {secret}")).send().await;
        if let Err(error) = ended {
            tracing::warn!(%error, "a session could not be ended at the API; it ends by itself");
        }
    }
    let mut response = ([(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "application/json")], "{}").into_response();
    if let Some(cookie) = webui.cookie.gone() {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Only a session belongs to a user: ending what is none would revoke somebody's token.
async fn is_of_a_user(webui: &Webui, secret: &str) -> bool {
    let url = format!("{}/api/12.03/whoami", webui.api);
    let answer = webui.client.get(url).header(AUTHORIZATION, format!("Bearer {secret}")).send().await;
    let Ok(answer) = answer else { return false };
    let who: Value = answer.json().await.unwrap_or_default();
    who.get("user").is_some_and(|user| !user.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_out_of_a_scripts_reach_and_of_other_places() {
        let plain = Cookie::new(Transport::Plain).text("s3cret", 5).unwrap();
        let plain = plain.to_str().unwrap();
        assert!(plain.contains("; HttpOnly") && plain.contains("; SameSite=Strict") && !plain.contains("Secure"));
        let tls = Cookie::new(Transport::Tls).text("s3cret", 5).unwrap();
        assert!(tls.to_str().unwrap().ends_with("; Secure"));
    }

    #[test]
    fn a_secret_is_found_among_other_cookies_and_nothing_that_breaks_a_header_is_one() {
        let headers = |line: &str| HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(line).unwrap())]);
        assert_eq!(secret(&headers("a=b; arame_session=x.y-z; c=d")), Some("x.y-z"));
        for bad in ["arame_session=", "other=x", "arame_session=a b", "arame_session=\"x\"", "xarame_session=a"] {
            assert_eq!(secret(&headers(bad)), None, "{bad}");
        }
        assert!(!is_secret("a\r\nX: y") && !is_secret("ä") && !is_secret(&"a".repeat(257)));
    }
}
