//! The few questions `arame up` asks dcmgr: does it serve, are the hosts and the storage online.
//!
//! A client of the REST API like any other, with the admin token.

use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(3);

pub struct Api {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Api {
    pub fn new(listen: SocketAddr, token: &Path) -> io::Result<Self> {
        let token = std::fs::read_to_string(token)?.trim().to_owned();
        // A proxy of the environment does not lead to this machine's own loopback.
        let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build().map_err(io::Error::other)?;
        Ok(Self { client, base: format!("http://{listen}"), token })
    }

    pub async fn is_healthy(&self) -> bool {
        let answer = self.client.get(format!("{}/healthz", self.base)).send().await;
        answer.is_ok_and(|response| response.status().is_success())
    }

    /// Who is not online yet, as words for a message; empty when all are.
    pub async fn missing(&self, hosts: usize) -> String {
        let mut missing = Vec::new();
        for (resource, wanted) in [("host_nodes", hosts), ("storage_nodes", 1)] {
            let online = self.online(resource).await.unwrap_or(0);
            if online < wanted {
                missing.push(format!("{} of {wanted} {resource}", wanted - online));
            }
        }
        missing.join(", ")
    }

    async fn online(&self, resource: &str) -> Option<usize> {
        let url = format!("{}/api/12.03/{resource}?limit=5000", self.base);
        let answer: Value = self.client.get(url).bearer_auth(&self.token).send().await.ok()?.json().await.ok()?;
        let results = answer.get(0)?.get("results")?.as_array()?;
        Some(results.iter().filter(|node| node["status"] == "online").count())
    }
}
