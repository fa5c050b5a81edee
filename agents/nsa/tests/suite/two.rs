//! Two naming services for one network on two hosts' switches with a trunk between them: one is killed, and what a real client
//! sees of it is one retry at most. Needs root, tun, ovs.

use crate::kit::{Desk, fact, has, snapshot};
use crate::lab::{Client, Lab, must};
use arame_nsa::agent::NsaAgent;
use arame_schema::model::Fact;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A naming service as a process on its lab's host; killed when it is dropped.
struct Service {
    process: Child,
    /// Of its end on the segment.
    mac: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn file(lab: &Lab, agent: &str) -> PathBuf {
    let dir = lab.dir.path();
    std::fs::write(dir.join("key"), "key\n").unwrap();
    let text = format!(
        "[common]\nagent = '{agent}'\nkey_file = '{0}/key'\nstate_dir = '{0}/state'\n[common.broker]\nhost = '127.0.0.1'\nport = 1\n\
         vhost = 'x'\nuser = '{agent}'\npassword_file = '{0}/key'\n[nsa]\ndriver = 'netns'\ndata_dir = '{0}/data'\n[nsa.switch]\n\
         bridge = 'ovs0'\ndb_socket = '{1}'\nnetns_prefix = '{2}'\n",
        dir.display(),
        lab.db_socket().display(),
        lab.prefix()
    );
    let file = dir.join("nsa.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// What an earlier life of it was told.
fn prepare(lab: &Lab, agent: &'static str) {
    let mut config = lab.config();
    config.identity = agent.to_owned();
    Lab::inside(&lab.infra(), move || async move {
        let served = NsaAgent::start(&config).unwrap();
        let desk = Desk::join(&served, 1).await;
        assert_eq!(fact(&desk.apply(&served, &snapshot("nw-one", 101), 1).await), (Fact::Yes, 1));
    });
}

fn start(lab: &Lab, agent: &'static str) -> Service {
    let file = file(lab, agent);
    let netns = format!("--net=/run/netns/{}", lab.infra());
    let mut command = Command::new("nsenter");
    command.args([&netns, "--", env!("CARGO_BIN_EXE_arame-nsa"), "--config"]).arg(&file).stdin(Stdio::null());
    let process = command.stderr(std::fs::File::create(file.with_extension("log")).unwrap()).spawn().unwrap();
    let inner = format!("{}one", lab.prefix());
    let link = must("ip", &["-n", &inner, "-o", "link", "show", "dev", "eth0"]);
    let mac = link.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    Service { process, mac }
}

/// A veth between the two hosts, a trunk of both switches.
pub fn join(one: &Lab, two: &Lab) {
    let (near, far) = (one.infra(), two.infra());
    must("ip", &["-n", &near, "link", "add", "name", "t0", "type", "veth", "peer", "name", "t0", "netns", &far]);
    for (lab, netns) in [(one, &near), (two, &far)] {
        must("ip", &["-n", netns, "link", "set", "dev", "t0", "up"]);
        must("ip", &["netns", "exec", netns, "ethtool", "-K", "t0", "tx", "off"]);
        lab.vsctl(&["add-port", "ovs0", "t0", "--", "set", "port", "t0", "vlan_mode=trunk"]);
    }
}

fn asked(client: &Client) -> bool {
    client.dig_short(&["+time=1", "+tries=1", "web1.t101.example"]) == "10.0.0.10"
}

/// Whom the client talks to.
fn neighbour(client: &Client) -> String {
    let told = client.exec("ip", &["neigh", "show", "10.0.0.2", "dev", "eth0"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    told.split("lladdr ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned()
}

/// Asks once a second, as a resolver with one second's patience: how many were not answered in a row at most.
fn worst(client: &Client, seconds: u64) -> u32 {
    let (begin, mut row, mut worst) = (Instant::now(), 0, 0);
    for turn in 0..seconds {
        row = if asked(client) { 0 } else { row + 1 };
        worst = worst.max(row);
        // The client's own clock, not a wait for anything.
        std::thread::sleep((Duration::from_secs(turn + 1)).saturating_sub(begin.elapsed()));
    }
    worst
}

#[test]
fn a_client_of_a_naming_service_that_is_killed_sees_one_retry_at_most() {
    if !has(&["root", "tun", "ovs", "dig", "udhcpc", "nsenter", "ethtool"]) {
        return;
    }
    let (near, far) = (Lab::new(), Lab::new());
    join(&near, &far);
    for (lab, agent) in [(&near, "nsa.n1"), (&far, "nsa.n2")] {
        prepare(lab, agent);
    }
    let client = near.client("a", 101, "52:54:00:00:65:0a");
    client.address("10.0.0.10/24");
    assert!(!asked(&client), "the control: nobody serves");
    let mut both = vec![(start(&near, "nsa.n1"), &near, "nsa.n1"), (start(&far, "nsa.n2"), &far, "nsa.n2")];
    assert_ne!(both[0].0.mac, both[1].0.mac, "two ends with one MAC would be one to the switches");
    let begin = Instant::now();
    while !asked(&client) || both.iter().any(|(service, ..)| !announces(&client, &service.mac)) {
        assert!(begin.elapsed() < Duration::from_secs(30), "both serve");
    }
    for round in 0..4 {
        // The one that the client talks to, each in its turn if they take turns.
        let meant = neighbour(&client);
        let at = both.iter().position(|(service, ..)| service.mac == meant).expect("the client knows one of them");
        let (mut killed, lab, agent) = both.remove(at);
        killed.process.kill().unwrap();
        killed.process.wait().unwrap();
        let lost = worst(&client, 5);
        let leased = client.udhcpc(2, &[]);
        println!("round {round}: {agent} killed; DNS lost {lost} in a row at most; DHCP {}", leased.is_some());
        assert!(lost <= 1, "one retry at most, not {lost}");
        assert_eq!(leased.unwrap().ip, "10.0.0.10");
        both.push((start(lab, agent), lab, agent));
        let back = Instant::now();
        while !announces(&client, &both[1].0.mac) {
            assert!(back.elapsed() < Duration::from_secs(30), "{agent} serves again");
        }
    }
    // Alone nobody answers when both are dead.
    drop(both);
    assert!(worst(&client, 2) > 0, "the control: with both dead nobody answers");
}

/// Whether the client is pointed at this one within two seconds.
fn announces(client: &Client, mac: &str) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        if neighbour(client) == mac {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}
