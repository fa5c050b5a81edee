//! What every test of the suite uses: snapshots, jobs, waiting for a condition, saying what is missing.

use arame_framework::agent::{Agent, Standing, Stopped, Work};
use arame_nsa::agent::NsaAgent;
use arame_nsa::config::{Driver, Nsa, Sim, Switch};
use arame_schema::jobs::Job;
use arame_schema::jobs::nsa::{ApplyNetwork, DeleteNetwork, NetworkSnapshot};
use arame_schema::jobs::report::{FactReport, Retry};
use arame_schema::model::{Fact, NetworkId};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub const INSTALLATION: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00aa);
pub const STRANGER: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00bb);

/// `false`, said aloud, when the machine lacks something.
pub fn has(needs: &[&str]) -> bool {
    for need in needs {
        let there = match *need {
            "root" => nix::unistd::geteuid().is_root(),
            "tun" => Path::new("/dev/net/tun").exists(),
            "networkd" => Path::new("/usr/lib/systemd/systemd-networkd").exists(),
            "ovs" => found("ovs-vswitchd") && found("ovsdb-server") && found("ovs-vsctl"),
            program => found(program),
        };
        if !there {
            arame_framework::testkit::skip(need);
            return false;
        }
    }
    true
}

fn found(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin", "/sbin"]).any(|dir| Path::new(dir).join(program).exists())
}

pub fn id(text: &str) -> NetworkId {
    text.parse().unwrap()
}

/// Two hosts, .10 `web1` and .11 `db1`, MACs ending in the tag and the host.
pub fn snapshot(network: &str, tag: u16) -> NetworkSnapshot {
    let mac = |host: u8| format!("52:54:00:{:02x}:{:02x}:{host:02x}", tag >> 8, tag & 0xff);
    serde_json::from_value(serde_json::json!({
        "network": network, "account": "a-shpoolxx", "vlan_tag": tag, "subnet": "10.0.0.0/24",
        "gateway": "10.0.0.1", "server": "10.0.0.2", "domain": format!("t{tag}.example"), "mtu": 1450,
        "lease_seconds": 3600, "ttl_seconds": 60,
        "hosts": [
            { "vif": "vif-a", "instance": "i-a", "mac": mac(10), "ipv4": "10.0.0.10", "hostname": "web1" },
            { "vif": "vif-b", "instance": "i-b", "mac": mac(11), "ipv4": "10.0.0.11", "hostname": "db1" }
        ]
    }))
    .unwrap()
}

pub fn sim_config(dir: &Path) -> Nsa {
    let sim = Sim { state_file: Some(dir.join("switch.json")), ..Sim::default() };
    Nsa {
        driver: Driver::Sim,
        data_dir: dir.join("data"),
        switch: None,
        questions_per_second: 20_000,
        identity: "nsa.n1".into(),
        sim,
    }
}

pub fn netns_config(dir: &Path, db_socket: &Path, prefix: &str) -> Nsa {
    let switch = Switch { bridge: "ovs0".to_owned(), db_socket: db_socket.to_owned(), netns_prefix: prefix.to_owned() };
    Nsa {
        driver: Driver::Netns,
        data_dir: dir.join("data"),
        switch: Some(switch),
        questions_per_second: 20_000,
        identity: "nsa.n1".into(),
        sim: Sim::default(),
    }
}

/// dcmgr's side: sends jobs as the framework does.
pub struct Desk {
    pub standing: Standing,
}

impl Desk {
    pub async fn join(agent: &NsaAgent, incarnation: u64) -> Self {
        let standing = Standing::new(INSTALLATION, incarnation);
        agent.joined(standing.clone()).await;
        Self { standing }
    }

    pub fn work(&self, thing: &str, generation: u64, cancelled: &CancellationToken) -> Work {
        let (progress, _) = mpsc::channel(1);
        let budget = Duration::from_secs(60);
        let standing = self.standing.clone();
        Work::new(Uuid::nil(), thing.to_owned(), generation, standing, budget, cancelled.clone(), progress)
    }

    pub async fn apply(
        &self,
        agent: &NsaAgent,
        snapshot: &NetworkSnapshot,
        version: u64,
    ) -> Result<Vec<FactReport>, Stopped> {
        let job = Job::ApplyNetwork(Box::new(ApplyNetwork { snapshot: snapshot.clone(), history: 1 }));
        let work = self.work(snapshot.network.as_str(), version, &CancellationToken::new());
        agent.handle(job, work).await
    }

    pub async fn delete(&self, agent: &NsaAgent, network: &str, version: u64) -> Result<Vec<FactReport>, Stopped> {
        let job = Job::DeleteNetwork(DeleteNetwork { network: id(network) });
        agent.handle(job, self.work(network, version, &CancellationToken::new())).await
    }
}

/// The only fact of an answer: value and version.
pub fn fact(answer: &Result<Vec<FactReport>, Stopped>) -> (Fact, u64) {
    match answer.as_deref() {
        Ok([fact]) => (fact.value, fact.generation),
        other => panic!("one fact was expected, not {other:?}"),
    }
}

pub fn refused(answer: Result<Vec<FactReport>, Stopped>) -> u64 {
    match answer {
        Err(Stopped::Refused { found_generation, .. }) => found_generation,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

pub fn failed(answer: Result<Vec<FactReport>, Stopped>) -> (String, Retry) {
    match answer {
        Err(Stopped::Failed { code, retry, .. }) => (code, retry),
        other => panic!("a failure was expected, not {other:?}"),
    }
}

/// Waits for the condition; fails after `seconds`. Says how long it took.
pub async fn until<F: AsyncFnMut() -> bool>(what: &str, seconds: u64, mut condition: F) -> Duration {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}
