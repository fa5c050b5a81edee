//! The REST client: typed views in, typed refusals out.
//!
//! Rule: no retry, no guess. What the API refuses is passed on as it said it; what is not the API's form is told as
//! such. It speaks to the URL it was given and through no proxy: the API is on this machine or in this house.

use crate::failure::{CliError, UNREACHABLE};
use crate::settings::Settings;
use crate::words::{Message, say, word};
use arame_schema::api::{ErrorBody, Language, Page};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// To connect: the API is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For a whole answer; the API itself gives up after 30 s. Streams are exempt.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Pages of one list that are read: 250 rows each.
const PAGES_MAX: u64 = 200;

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    settings: Settings,
}

impl Client {
    pub fn new(settings: Settings) -> Result<Self, CliError> {
        let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy().build();
        let url = settings.url.clone();
        let language = settings.language;
        let http = http.map_err(|source| unreachable(language, &url, &source))?;
        Ok(Self { http, settings })
    }

    pub fn language(&self) -> Language {
        self.settings.language
    }

    /// The same, acting for another account.
    pub fn for_account(&self, account: &str) -> Client {
        let mut other = self.clone();
        other.settings.account = Some(account.to_owned());
        other
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.view(self.request(Method::GET, path)).await
    }

    /// A creation. The key makes a repeated send one creation.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CliError> {
        let key = uuid::Uuid::new_v4().to_string();
        self.view(self.request(Method::POST, path).header("idempotency-key", key).json(body)).await
    }

    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CliError> {
        self.view(self.request(Method::PUT, path).json(body)).await
    }

    /// A body of any length, as it comes; the answer comes when all of it is there.
    pub async fn pour<T: DeserializeOwned>(&self, path: &str, length: u64, body: reqwest::Body) -> Result<T, CliError> {
        let request = self.request(Method::PUT, path).header("content-type", "application/octet-stream");
        let response = self.send(request.header("content-length", length).body(body)).await?;
        let bytes = response.bytes().await.map_err(|source| self.unreadable(&source))?;
        serde_json::from_slice(&bytes).map_err(|source| self.unreadable(&source))
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.view(self.request(Method::DELETE, path)).await
    }

    pub async fn text(&self, path: &str) -> Result<String, CliError> {
        let response = self.send(self.request(Method::GET, path).timeout(ANSWER_TIMEOUT)).await?;
        response.text().await.map_err(|source| self.unreadable(&source))
    }

    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>, CliError> {
        let response = self.send(self.request(Method::GET, path).timeout(ANSWER_TIMEOUT)).await?;
        Ok(response.bytes().await.map_err(|source| self.unreadable(&source))?.to_vec())
    }

    /// Every row of a list, page by page.
    pub async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, CliError> {
        let mut rows = Vec::new();
        let separator = if path.contains('?') { '&' } else { '?' };
        for _ in 0..PAGES_MAX {
            let [page]: [Page<T>; 1] = self.get(&format!("{path}{separator}start={}", rows.len())).await?;
            let empty = page.results.is_empty();
            rows.extend(page.results);
            if empty || rows.len() as u64 >= page.total {
                break;
            }
        }
        Ok(rows)
    }

    /// An event stream, from after an event on.
    pub async fn follow(&self, resource: Option<&str>, after: Option<u64>) -> Result<Response, CliError> {
        let after = after.map(|number| format!("&after={number}")).unwrap_or_default();
        let resource = resource.map(|id| format!("&resource={id}")).unwrap_or_default();
        let path = format!("/events?{}", format!("{after}{resource}").trim_start_matches('&'));
        self.send(self.request(Method::GET, &path).header("accept", "text/event-stream")).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/12.03{path}", self.settings.url);
        let mut request = self.http.request(method, url);
        if !self.settings.token.is_empty() {
            request = request.bearer_auth(&self.settings.token);
        }
        let request = request.header("accept-language", self.settings.language.as_str());
        match &self.settings.account {
            Some(account) => request.header("x-vdc-account-uuid", account),
            None => request,
        }
    }

    async fn view<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CliError> {
        let response = self.send(request.timeout(ANSWER_TIMEOUT)).await?;
        let bytes = response.bytes().await.map_err(|source| self.unreadable(&source))?;
        serde_json::from_slice(&bytes).map_err(|source| self.unreadable(&source))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await;
        let response = response.map_err(|source| unreachable(self.settings.language, &self.settings.url, &source))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = response.bytes().await.map_err(|source| self.unreadable(&source))?;
        match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => Err(CliError::Refused(Box::new(body))),
            Err(_) => Err(self.unreadable(&format!("HTTP {status}"))),
        }
    }

    fn unreadable(&self, source: &dyn std::fmt::Display) -> CliError {
        let language = self.settings.language;
        let sentence = say(language, Message::BadAnswer, &[("url", &self.settings.url)]);
        CliError::because(UNREACHABLE, sentence, source, word(language, Message::BadAnswerNext).into())
    }
}

fn unreachable(language: Language, url: &str, source: &reqwest::Error) -> CliError {
    // The innermost cause is what a person can act on: `Connection refused`.
    let mut cause: &dyn std::error::Error = source;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let sentence = say(language, Message::Unreachable, &[("url", url)]);
    CliError::because(UNREACHABLE, sentence, cause, word(language, Message::UnreachableNext).into())
}
