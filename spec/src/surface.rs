//! The REST surface of a world: real servers on loopback over its application, and a second dcmgr beside the first.
//!
//! Rule: everything is asked over HTTP as a client would; what a test must know of rows it asks the world.

use crate::world::World;
use anyhow::Context;
use arame_dcmgr::app::App;
use arame_dcmgr::http;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Of the world's seed.
pub const DEMO: &str = "demo-secret";
pub const OTHER: &str = "other-secret";
pub const ADMIN: &str = "admin-secret";

/// A listening server.
pub struct Surface {
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub served: JoinHandle<std::io::Result<()>>,
    client: reqwest::Client,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The refusal's word.
    pub fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Surface {
    /// # Errors
    /// No port.
    pub async fn of(app: &App) -> anyhow::Result<Surface> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let served = tokio::spawn(http::serve(app.clone(), listener, stop.clone()));
        Ok(Surface { address, stop, served, client: client()? })
    }

    /// The same for old clients, with a token's secret attached.
    ///
    /// # Errors
    /// No port.
    pub async fn compat(app: &App, secret: &str) -> anyhow::Result<Surface> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let (app, secret, ending) = (app.clone(), secret.to_owned(), stop.clone());
        let listener = http::CompatListener::Tcp(listener);
        let served = tokio::spawn(async move { http::serve_compat(app, listener, &secret, ending).await });
        Ok(Surface { address, stop, served, client: client()? })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/api/12.03{path}", self.address)
    }

    /// A request to be added to.
    ///
    /// # Errors
    /// No such method.
    pub fn request(&self, secret: &str, method: &str, path: &str) -> anyhow::Result<reqwest::RequestBuilder> {
        let request = self.client.request(method.parse()?, self.url(path)).header("accept-language", "en");
        Ok(if secret.is_empty() { request } else { request.bearer_auth(secret) })
    }

    /// # Errors
    /// No answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer { status, headers, text: answer.text().await? })
    }

    /// # Errors
    /// No answer.
    pub async fn ask(&self, secret: &str, method: &str, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let request = self.request(secret, method, path)?;
        self.send(if body.is_null() { request } else { request.json(body) }).await
    }

    /// # Errors
    /// No answer, or another than 200.
    pub async fn done(&self, secret: &str, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.ask(secret, method, path, body).await?;
        anyhow::ensure!(answer.status == 200, "{method} {path}: {} {}", answer.status, answer.text);
        Ok(answer.json())
    }

    /// Ends the server when its requests are done.
    ///
    /// # Errors
    /// It does not end.
    pub async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        tokio::time::timeout(REQUEST_LIMIT, self.served).await.context("the server does not end")???;
        Ok(())
    }
}

fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().timeout(REQUEST_LIMIT).no_proxy().pool_max_idle_per_host(8).build()?)
}

impl World {
    /// The application of a second dcmgr on the same database, without tasks of its own.
    ///
    /// # Errors
    /// The database's, or the key's file.
    pub async fn second(&self) -> anyhow::Result<App> {
        Ok(self.beside().await?.0)
    }

    /// A second dcmgr with everything that runs in it, until the token fires.
    ///
    /// # Errors
    /// As [`World::second`].
    pub async fn second_whole(&self) -> anyhow::Result<(App, CancellationToken)> {
        let ((app, rung), stop) = (self.beside().await?, CancellationToken::new());
        let mut tasks = arame_dcmgr::tasks::start(&app, self.broker.bus("dcmgr2"), rung, stop.clone()).await;
        tokio::spawn(async move { while tasks.join_next().await.is_some() {} });
        Ok((app, stop))
    }

    async fn beside(&self) -> anyhow::Result<(App, tokio::sync::mpsc::Receiver<arame_dcmgr::app::Ring>)> {
        use arame_dcmgr::app::Parts;
        use arame_dcmgr::db::secrets::Vault;
        use arame_dcmgr::db::{self, Db};
        let db = Db::open(self.database_config())?;
        let installation = db::recovery::installation(&db).await?;
        let vault = Vault::open(&self.vault_key())?;
        let time_zone = "UTC".to_owned();
        let infrastructure = Vec::new();
        let parts = Parts { db, vault, installation, infrastructure, time_zone, naming_services: 2, metrics: None };
        Ok(App::new(parts))
    }
}
