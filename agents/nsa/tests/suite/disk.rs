//! A disk without room: what is served stays served, nothing half is left, and it goes on when there is room again. Needs root
//! (a file system of some hundred kilobytes).

use crate::kit::{Desk, fact, failed, has, id, sim_config, snapshot};
use crate::lab::{must, run};
use crate::trouble::{asked, free};
use arame_framework::agent::Agent;
use arame_nsa::agent::NsaAgent;
use arame_nsa::link::sim::Sim;
use arame_schema::jobs::Job;
use arame_schema::jobs::nsa::{ChangeNetwork, NetworkHost, NetworkSnapshot};
use arame_schema::jobs::report::Retry;
use arame_schema::model::Fact;
use hickory_proto::op::ResponseCode;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> Self {
        std::fs::create_dir_all(&at).unwrap();
        must("mount", &["-t", "tmpfs", "-o", "size=512k", "nsa-test", at.to_str().unwrap()]);
        Self(at)
    }

    /// To the last byte.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.filler()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        while file.write_all(&[0]).is_ok() {}
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

fn host(n: u16) -> NetworkHost {
    let [high, low] = n.to_be_bytes();
    serde_json::from_value(serde_json::json!({
        "vif": format!("vif-m{n}"), "instance": "i-x", "mac": format!("02:00:00:00:{high:02x}:{low:02x}"),
        "ipv4": format!("10.0.{}.{low}", high + 1), "hostname": format!("m{n}") }))
    .unwrap()
}

/// Big enough that its changes are written by themselves.
fn big() -> NetworkSnapshot {
    let hosts = (0..300).map(host).collect();
    NetworkSnapshot { subnet: "10.0.0.0/16".parse().unwrap(), hosts, ..snapshot("nw-big", 102) }
}

fn one_more(base: u64, n: u16) -> Job {
    Job::ChangeNetwork(Box::new(ChangeNetwork {
        base,
        history: 1,
        head: NetworkSnapshot { hosts: Vec::new(), ..big() },
        hosts: vec![host(n)],
        hosts_gone: Vec::new(),
        records: Vec::new(),
        records_gone: Vec::new(),
        host_count: u64::from(n) + 1,
        record_count: 0,
    }))
}

fn start(dir: &Path, dns: std::net::SocketAddr) -> (Arc<Sim>, NsaAgent) {
    let mut config = sim_config(dir);
    config.sim.listen_dns = Some(dns);
    let sim = Arc::new(Sim::open(config.sim.clone()).unwrap());
    (sim.clone(), NsaAgent::with_sim(&config, sim).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_the_new_version_and_nothing_of_the_old_one() {
    if !has(&["root"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(dir.path().join("data"));
    let (sim, agent) = start(dir.path(), free());
    let desk = Desk::join(&agent, 1).await;
    let small = snapshot("nw-one", 101);
    assert_eq!(fact(&desk.apply(&agent, &small, 1).await), (Fact::Yes, 1));
    assert_eq!(fact(&desk.apply(&agent, &big(), 1).await), (Fact::Yes, 1));
    let change = async |agent: &NsaAgent, desk: &Desk, version: u64| {
        let work = desk.work("nw-big", version, &CancellationToken::new());
        agent.handle(one_more(version - 1, 298 + version as u16), work).await
    };
    assert_eq!(fact(&change(&agent, &desk, 2).await), (Fact::Yes, 2), "the control");
    disk.fill();
    let before = disk.names();

    let full = ("disk_full".to_owned(), Retry::Elsewhere);
    let mut renamed = small.clone();
    renamed.hosts[0].hostname = "renamed".into();
    assert_eq!(failed(desk.apply(&agent, &renamed, 2).await), full);
    // Some lines more fit into the last page of the file.
    let mut last = 2;
    let stopped = loop {
        match change(&agent, &desk, last + 1).await {
            Ok(_) => last += 1,
            stopped => break stopped,
        }
        assert!(last < 40, "the disk is not full");
    };
    assert_eq!(failed(stopped), full);
    let served = |agent: &NsaAgent| (agent.version(&id("nw-one")), agent.version(&id("nw-big")));
    assert_eq!(served(&agent), (Some(1), Some(last)));
    assert_eq!(disk.names(), before, "nothing half is left");
    let at = sim.addresses(&id("nw-one")).0.unwrap();
    let answer = asked("127.0.0.1", at, "web1.t101.example.").await;
    assert_eq!(answer, Some((ResponseCode::NoError, vec!["10.0.0.10".to_owned()])));

    // A process that begins on the full disk finds what was served.
    drop((agent, sim));
    let (_, agent) = start(dir.path(), free());
    assert_eq!(served(&agent), (Some(1), Some(last)));

    // With room again the same jobs are done, and found by the next process.
    std::fs::remove_file(disk.filler()).unwrap();
    let desk = Desk::join(&agent, 2).await;
    assert_eq!(fact(&desk.apply(&agent, &renamed, 2).await), (Fact::Yes, 2));
    assert_eq!(fact(&change(&agent, &desk, last + 1).await), (Fact::Yes, last + 1));
    drop(agent);
    let (_, agent) = start(dir.path(), free());
    assert_eq!(served(&agent), (Some(2), Some(last + 1)));
}
