//! A network's gateway dies with its host and another service on another host becomes it, while a client pings outside: how
//! long nothing comes back is printed. The former one returns from its file and gives the way up. Needs root, tun, ovs, nft.

use crate::kit::{Desk, fact, has};
use crate::lab::{Client, Lab};
use crate::outside::{ask, guest, heard, serve, with_way};
use crate::two::join;
use arame_nsa::agent::NsaAgent;
use arame_nsa::config::Nsa;
use arame_schema::jobs::nsa::NetworkSnapshot;
use arame_schema::model::Fact;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const NEEDS: [&str; 6] = ["root", "tun", "ovs", "ethtool", "nft", "ping"];

/// A host with its naming service: everything of it runs in the host's own namespace.
struct Host {
    runtime: Option<Runtime>,
    config: Nsa,
}

impl Host {
    fn new(lab: &Lab, identity: &str) -> Self {
        let file = File::open(Path::new("/run/netns").join(lab.infra())).unwrap();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all();
        runtime.on_thread_start(move || setns(&file, CloneFlags::CLONE_NEWNET).unwrap());
        let config = Nsa { identity: identity.to_owned(), ..lab.config() };
        Self { runtime: Some(runtime.build().unwrap()), config }
    }

    fn on<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let (sender, receiver) = mpsc::channel();
        self.runtime.as_ref().unwrap().spawn(async move { sender.send(work.await) });
        receiver.recv().unwrap()
    }

    fn start(&self) -> Arc<NsaAgent> {
        let config = self.config.clone();
        self.on(async move { Arc::new(NsaAgent::start(&config).unwrap()) })
    }

    /// As the manager sends it; one that is heard from then on.
    fn apply(&self, agent: &Arc<NsaAgent>, network: &NetworkSnapshot, version: u64) {
        let (agent, network) = (agent.clone(), network.clone());
        self.on(async move {
            let desk = Desk::join(&agent, 1).await;
            assert_eq!(fact(&desk.apply(&agent, &network, version).await), (Fact::Yes, version));
        });
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Asks ten times a second until it is dropped; what came back is in its file, each with its time.
struct Pings {
    process: Child,
    file: std::path::PathBuf,
}

impl Pings {
    fn begin(client: &Client, to: &str, file: &Path) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &client.netns, "ping", "-n", "-D", "-i", "0.1", to]);
        command.stdin(Stdio::null()).stdout(File::create(file).unwrap()).stderr(Stdio::null());
        Self { process: command.spawn().unwrap(), file: file.to_owned() }
    }

    /// When answers came, in seconds.
    fn answers(&self) -> Vec<f64> {
        let text = std::fs::read_to_string(&self.file).unwrap();
        let times = text.lines().filter(|line| line.contains("bytes from"));
        times.filter_map(|line| line.strip_prefix('[')?.split(']').next()?.parse().ok()).collect()
    }

    /// Longest time without an answer after some moment.
    fn worst_gap(&self, from: f64) -> f64 {
        let answers: Vec<f64> = self.answers().into_iter().filter(|at| *at >= from).collect();
        answers.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
    }

    fn last(&self) -> f64 {
        self.answers().last().copied().unwrap_or_default()
    }
}

impl Drop for Pings {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn until(what: &str, seconds: u64, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The ports of the network on a host's switch: one on its segment, two where it is led out.
fn ports(lab: &Lab) -> Vec<String> {
    let told = lab.vsctl(&["--bare", "--columns=name", "find", "port", "external_ids:arame-network=nw-one"]);
    told.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_gateway_whose_host_dies_has_a_successor_and_gives_the_way_up_when_it_returns() {
    if !has(&NEEDS) {
        return;
    }
    let (near, far) = (Lab::new(), Lab::new());
    join(&near, &far);
    // The clients are on the host that lives.
    let one = guest(&far, "one", 101, 10);
    let outsider = far.client("out", 200, "52:54:00:00:c8:01");
    outsider.address("192.0.2.1/24");
    serve(&outsider, "outsider");
    let (first, second) = (Host::new(&near, "nsa.n1"), Host::new(&far, "nsa.n2"));
    let leads = with_way("nw-one", 101, 10, 50);
    let serves = NetworkSnapshot { outside: None, ..leads.clone() };
    let (near_agent, far_agent) = (first.start(), second.start());
    first.apply(&near_agent, &leads, 1);
    second.apply(&far_agent, &serves, 1);
    until("the first leads out", 20, || ask(&one, "192.0.2.1") == heard("outsider 192.0.2.50"));
    assert_eq!((ports(&near).len(), ports(&far).len()), (2, 1));

    let pings = Pings::begin(&one, "192.0.2.1", &far.dir.path().join("pings"));
    until("pings come back", 20, || pings.answers().len() > 5);
    // The host dies: its service, and what it has on the wire.
    drop((near_agent, first));
    for port in ports(&near) {
        near.vsctl(&["del-port", "ovs0", &port]);
    }
    let died = pings.last();
    until("nothing comes back", 20, || ask(&one, "192.0.2.1").is_none());
    let told = Instant::now();
    let before = pings.answers().len();
    second.apply(&far_agent, &leads, 2);
    until("the other leads out", 20, || pings.answers().len() > before);
    let taken = told.elapsed();
    until("names and ways are as before", 20, || ask(&one, "192.0.2.1") == heard("outsider 192.0.2.50"));
    assert_eq!(ask(&outsider, "192.0.2.50"), heard("one 192.0.2.1"), "and in");
    println!(
        "takeover: {} ms from the word to the first answer; {:.1} s without one in all",
        taken.as_millis(),
        pings.worst_gap(died - 1.0)
    );

    // The former one returns, with a file that says it is the gateway and nobody to tell it otherwise.
    let back = pings.last();
    let first = Host::new(&near, "nsa.n1");
    let near_agent = first.start();
    until("it serves again", 30, || !ports(&near).is_empty());
    until("it has given the way up", 30, || ports(&near).len() == 1);
    // The control of what it yields to: told by the manager, it leads; the other is told first that it does not.
    until("pings come back", 20, || pings.last() > back + 1.0);
    println!("return: {:.1} s without an answer at most", pings.worst_gap(back));
    assert_eq!(ask(&one, "192.0.2.1"), heard("outsider 192.0.2.50"));
    second.apply(&far_agent, &NetworkSnapshot { outside: None, ..leads.clone() }, 3);
    first.apply(&near_agent, &leads, 3);
    until("it leads again when it is told", 20, || ports(&near).len() == 2 && ports(&far).len() == 1);
    until("as before", 20, || ask(&one, "192.0.2.1") == heard("outsider 192.0.2.50"));
    drop((near_agent, far_agent));
}
