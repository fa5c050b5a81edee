//! The broker's users by RabbitMQ's management API (rabbitmq.com, *Management HTTP API*): `/api/users`, `/api/permissions`.
//!
//! Rule: it is spoken to on this machine only, for it is plain HTTP. A user made here has the tag `arame`, and no other is ever
//! taken away.

use crate::app::App;
use crate::app::joins::{self, BrokerUsers};
use arame_framework::config::Broker;
use arame_schema::broker::Rights;
use arame_schema::model::{AgentId, Secret};
use async_trait::async_trait;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A user is a row in the broker's memory.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Says whose users these are; it gives no rights.
const TAG: &str = "arame";

/// RabbitMQ's word for who may make users.
const ADMINISTRATOR: &str = "administrator";

/// Between two looks for users that are left over.
const TEND_EVERY: Duration = Duration::from_secs(60);

/// A loop of its own: a broker that hangs holds up nothing but this.
pub async fn tend(app: App, stop: CancellationToken) {
    let mut timer = tokio::time::interval(TEND_EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
        }
        if let Err(error) = joins::sweep(&app).await {
            tracing::warn!(%error, "users of the broker that were left over could not be found");
        }
    }
}

pub struct Management {
    client: Client,
    url: String,
    vhost: String,
    user: String,
    password_file: PathBuf,
}

#[derive(Deserialize)]
struct User {
    name: String,
    tags: Vec<String>,
}

impl Management {
    /// `url`: `http://127.0.0.1:15672`; signs in as dcmgr does at the broker.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(url: &str, broker: &Broker) -> anyhow::Result<Self> {
        let client = Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
        Ok(Self {
            client,
            url: url.trim_end_matches('/').to_owned(),
            vhost: broker.vhost.clone(),
            user: broker.user.clone(),
            password_file: broker.password_file.clone(),
        })
    }

    /// The password is read each time: it may have been changed.
    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, String> {
        let password = std::fs::read_to_string(&self.password_file);
        let password = password.map_err(|error| format!("{}: {error}", self.password_file.display()))?;
        Ok(self
            .client
            .request(method, format!("{}/api/{path}", self.url))
            .basic_auth(&self.user, Some(password.trim())))
    }

    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, String> {
        let told = |error: reqwest::Error| format!("RabbitMQ {}: {}", self.url, causes(&error));
        let answer = request.send().await.map_err(told)?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED => Err(format!(
                "RabbitMQ {}: {} is not let in; rabbitmqctl set_user_tags {} {ADMINISTRATOR}",
                self.url, self.user, self.user
            )),
            status => Err(format!("RabbitMQ {}: {status}", self.url)),
        }
    }
}

/// An error of the client with what it was about: by itself it says only that it could not send.
fn causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        told = format!("{told}: {cause}");
        next = cause.source();
    }
    told
}

/// A name as a part of a path (RFC 3986 section 2.3): a virtual host may be called `/`.
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[async_trait]
impl BrokerUsers for Management {
    async fn check(&self) -> Result<(), String> {
        let answer = self.send(self.request(Method::GET, "whoami")?).await?;
        let who: User = answer.json().await.map_err(|error| format!("RabbitMQ {}: {error}", self.url))?;
        if who.tags.iter().any(|tag| tag == ADMINISTRATOR) {
            return Ok(());
        }
        Err(format!("RabbitMQ {}: rabbitmqctl set_user_tags {} {ADMINISTRATOR}", self.url, who.name))
    }

    async fn put(&self, agent: &AgentId, password: &Secret) -> Result<(), String> {
        let user = json!({ "password": password.expose(), "tags": TAG });
        self.send(self.request(Method::PUT, &format!("users/{agent}"))?.json(&user)).await?;
        let Rights { configure, write, read } = Rights::of_agent(agent);
        let rights = json!({ "configure": configure, "write": write, "read": read });
        let path = format!("permissions/{}/{agent}", escaped(&self.vhost));
        self.send(self.request(Method::PUT, &path)?.json(&rights)).await?;
        Ok(())
    }

    async fn made(&self) -> Result<Vec<AgentId>, String> {
        let answer = self.send(self.request(Method::GET, "users?columns=name,tags")?).await?;
        let users: Vec<User> = answer.json().await.map_err(|error| format!("RabbitMQ {}: {error}", self.url))?;
        let ours = users.into_iter().filter(|user| user.tags.iter().any(|tag| tag == TAG));
        Ok(ours.filter_map(|user| user.name.parse().ok()).collect())
    }

    async fn remove(&self, agent: &AgentId) -> Result<(), String> {
        let request = self.request(Method::DELETE, &format!("users/{agent}"))?;
        let answer = request.send().await.map_err(|error| format!("RabbitMQ {}: {}", self.url, causes(&error)))?;
        match answer.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            status => Err(format!("RabbitMQ {}: {status}", self.url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_host_is_one_part_of_a_path() {
        assert_eq!(escaped("arame"), "arame");
        assert_eq!(escaped("/"), "%2F");
        assert_eq!(escaped("a b"), "a%20b");
    }
}
