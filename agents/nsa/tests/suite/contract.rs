//! What both drivers promise, told once and run over each: the simulated switch, and (root, ovs) a private real one.

use crate::kit::{Desk, INSTALLATION, STRANGER, fact, failed, has, id, refused, snapshot, until};
use crate::lab::{Lab, must};
use arame_framework::agent::{Agent, Stopped};
use arame_nsa::agent::NsaAgent;
use arame_nsa::config::Nsa;
use arame_nsa::link::sim::Sim;
use arame_schema::jobs::report::{BackendStatus, Retry};
use arame_schema::model::Fact;
use std::sync::{Arc, Mutex};

/// A machine to run the agent on, with a hand to reach behind its back.
pub enum Bench {
    Sim { dir: tempfile::TempDir, sim: Mutex<Arc<Sim>> },
    Real(Arc<Mutex<Lab>>),
}

impl Bench {
    fn sim() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sim = Sim::open(crate::kit::sim_config(dir.path()).sim).unwrap();
        Bench::Sim { dir, sim: Mutex::new(Arc::new(sim)) }
    }

    fn config(&self) -> Nsa {
        match self {
            Bench::Sim { dir, .. } => crate::kit::sim_config(dir.path()),
            Bench::Real(lab) => lab.lock().unwrap().config(),
        }
    }

    /// A new process as far as the agent can tell: the simulated world is read from its file again.
    fn start(&self) -> NsaAgent {
        match self {
            Bench::Sim { sim, .. } => {
                let config = self.config();
                let reread = Arc::new(Sim::open(config.sim.clone()).unwrap());
                *sim.lock().unwrap() = reread.clone();
                NsaAgent::with_sim(&config, reread).unwrap()
            }
            Bench::Real(_) => NsaAgent::start(&self.config()).unwrap(),
        }
    }

    fn cut(&self, network: &str) {
        match self {
            Bench::Sim { sim, .. } => sim.lock().unwrap().cut(&id(network)),
            Bench::Real(lab) => {
                let lab = lab.lock().unwrap();
                let port = port_of(&lab, network).expect("a port to cut");
                must("ip", &["-n", &lab.infra(), "link", "del", "dev", &port]);
            }
        }
    }

    /// Another installation's link where ours would be.
    fn plant(&self, network: &str) {
        match self {
            Bench::Sim { sim, .. } => sim.lock().unwrap().plant(&id(network), STRANGER, 9),
            Bench::Real(lab) => {
                let lab = lab.lock().unwrap();
                let netns = format!("{}{}", lab.prefix(), &network[3..]);
                must("ip", &["netns", "add", &netns]);
                let ids = [
                    format!("external_ids:arame-installation={STRANGER}"),
                    format!("external_ids:arame-network={network}"),
                    "external_ids:arame-generation=9".to_owned(),
                    format!("external_ids:arame-netns={netns}"),
                ];
                let set = ["--no-wait", "add-port", "ovs0", "foreign0", "--", "set", "port", "foreign0"];
                lab.vsctl(&[&set[..], &ids.each_ref().map(String::as_str)].concat());
            }
        }
    }

    fn set_switch(&self, up: bool) {
        match self {
            Bench::Sim { sim, .. } => {
                sim.lock().unwrap().set_unavailable((!up).then_some("switched off by the test"));
            }
            Bench::Real(lab) if up => lab.lock().unwrap().start_switch(),
            Bench::Real(lab) => lab.lock().unwrap().stop_switch(),
        }
    }
}

fn port_of(lab: &Lab, network: &str) -> Option<String> {
    let query = format!("external_ids:arame-network={network}");
    let found = lab.vsctl(&["--bare", "--columns=name", "find", "port", &query]);
    Some(found.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Each story once over the simulated switch and once over a real one.
macro_rules! contract {
    ($($story:ident),* $(,)?) => {
        mod sim {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                super::$story(super::Bench::sim()).await;
            })*
        }
        mod netns {
            $(#[test]
            fn $story() {
                if !super::has(&["root", "tun", "ovs"]) {
                    return;
                }
                let lab = super::Lab::new();
                let infra = lab.infra();
                let lab = std::sync::Arc::new(std::sync::Mutex::new(lab));
                super::Lab::inside(&infra, move || super::$story(super::Bench::Real(lab)));
            })*
        }
    };
}

contract!(
    an_apply_is_answered_with_the_version_now_served,
    a_duplicate_job_changes_nothing,
    an_older_version_is_refused_and_names_the_one_found,
    a_deleted_network_leaves_nothing_and_stays_dead_for_older_jobs,
    deleting_what_does_not_exist_is_done,
    a_restarted_agent_serves_what_it_served_without_being_told,
    a_link_cut_behind_our_back_is_mended,
    another_installations_link_is_listed_and_never_touched,
    a_silent_switch_is_unavailable_and_not_empty,
    a_network_moved_to_another_tag_moves_its_port,
);

async fn links_of(agent: &NsaAgent, desk: &Desk, network: &str) -> Vec<(String, u64)> {
    let listing = agent.list(desk.standing.observe()).await;
    let own = |owner: &Option<String>| owner.as_deref() == Some(network);
    let ports = listing.things.iter().filter(|thing| thing.kind == "port" && own(&thing.owner));
    ports.map(|thing| (thing.name.clone(), thing.generation)).collect()
}

async fn an_apply_is_answered_with_the_version_now_served(bench: Bench) {
    let agent = bench.start();
    let desk = Desk::join(&agent, 1).await;
    let before = desk.standing.observe();
    let answer = desk.apply(&agent, &snapshot("nw-one", 101), 3).await;
    assert_eq!(fact(&answer), (Fact::Yes, 3));
    assert!(answer.unwrap()[0].observed > before);
    let listing = agent.list(desk.standing.observe()).await;
    assert!(listing.backends.iter().all(|backend| backend.status == BackendStatus::Complete));
    let thing = listing.things.iter().find(|thing| thing.kind == "network").unwrap();
    assert_eq!((thing.owner.as_deref(), thing.generation, thing.installation), (Some("nw-one"), 3, Some(INSTALLATION)));
    assert_eq!((thing.facts[0].value, thing.facts[0].generation), (Fact::Yes, 3));
    assert_eq!(links_of(&agent, &desk, "nw-one").await.len(), 1);
}

async fn a_duplicate_job_changes_nothing(bench: Bench) {
    let agent = bench.start();
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 3).await), (Fact::Yes, 3));
    let links = links_of(&agent, &desk, "nw-one").await;
    for _ in 0..3 {
        assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 3).await), (Fact::Yes, 3));
    }
    assert_eq!(links_of(&agent, &desk, "nw-one").await, links);
    // A newer version with new hosts only touches no port either: its generation is the one that shaped it.
    let mut grown = snapshot("nw-one", 101);
    grown.hosts.pop();
    assert_eq!(fact(&desk.apply(&agent, &grown, 4).await), (Fact::Yes, 4));
    assert_eq!(links_of(&agent, &desk, "nw-one").await, links);
}

async fn an_older_version_is_refused_and_names_the_one_found(bench: Bench) {
    let agent = bench.start();
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 7).await), (Fact::Yes, 7));
    assert_eq!(refused(desk.apply(&agent, &snapshot("nw-one", 101), 6).await), 7);
    assert_eq!(refused(desk.delete(&agent, "nw-one", 6).await), 7);
    assert_eq!(agent.version(&id("nw-one")), Some(7));
    // The data folder is lost; the port still says how far the world was.
    drop(agent);
    std::fs::remove_dir_all(bench.config().data_dir).unwrap();
    let agent = bench.start();
    let desk = Desk::join(&agent, 2).await;
    assert_eq!(refused(desk.apply(&agent, &snapshot("nw-one", 101), 6).await), 7);
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 8).await), (Fact::Yes, 8));
}

async fn a_deleted_network_leaves_nothing_and_stays_dead_for_older_jobs(bench: Bench) {
    let agent = bench.start();
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 7).await), (Fact::Yes, 7));
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-two", 102), 1).await), (Fact::Yes, 1));
    assert_eq!(fact(&desk.delete(&agent, "nw-one", 8).await).0, Fact::No);
    assert_eq!(fact(&desk.delete(&agent, "nw-one", 8).await).0, Fact::No);
    let listing = agent.list(desk.standing.observe()).await;
    let owners: Vec<_> = listing.things.iter().map(|thing| thing.owner.as_deref()).collect();
    assert!(owners.iter().all(|owner| *owner == Some("nw-two")), "{owners:?}");
    if let Bench::Real(lab) = &bench {
        let prefix = lab.lock().unwrap().prefix();
        assert!(!std::path::Path::new("/run/netns").join(format!("{prefix}one")).exists());
        assert!(std::path::Path::new("/run/netns").join(format!("{prefix}two")).exists(), "the control");
    }
    drop(agent);
    let agent = bench.start();
    let desk = Desk::join(&agent, 2).await;
    assert_eq!(refused(desk.apply(&agent, &snapshot("nw-one", 101), 8).await), 8);
    assert_eq!(agent.version(&id("nw-one")), None);
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 9).await), (Fact::Yes, 9));
}

async fn deleting_what_does_not_exist_is_done(bench: Bench) {
    let agent = bench.start();
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.delete(&agent, "nw-never", 1).await), (Fact::No, 1));
}

async fn a_restarted_agent_serves_what_it_served_without_being_told(bench: Bench) {
    let agent = bench.start();
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 5).await), (Fact::Yes, 5));
    let links = links_of(&agent, &desk, "nw-one").await;
    drop(agent);
    let agent = bench.start();
    assert_eq!(agent.version(&id("nw-one")), Some(5));
    let desk = Desk { standing: arame_framework::agent::Standing::new(INSTALLATION, 2) };
    let up = async || {
        let listing = agent.list(desk.standing.observe()).await;
        listing.things.iter().any(|thing| thing.facts.iter().any(|fact| fact.value == Fact::Yes))
    };
    let took = until("the network is served again", 3, up).await;
    println!("served again {took:?} after the start");
    assert_eq!(links_of(&agent, &desk, "nw-one").await, links, "what stood was left standing");
}

async fn a_link_cut_behind_our_back_is_mended(bench: Bench) {
    let agent = bench.start();
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 5).await), (Fact::Yes, 5));
    // A number of its own that each link has: whoever looks late sees that it is another one.
    let made = || match &bench {
        Bench::Sim { sim, .. } => sim.lock().unwrap().link(&id("nw-one")).map(|link| link.made.to_string()),
        Bench::Real(lab) => {
            let lab = lab.lock().unwrap();
            let port = port_of(&lab, "nw-one")?;
            let told = crate::lab::run("ip", &["-n", &lab.infra(), "-o", "link", "show", "dev", &port]);
            let told = String::from_utf8_lossy(&told.stdout).into_owned();
            told.split_once(':').map(|(index, _)| index.to_owned())
        }
    };
    let before = made().expect("the control: it is there");
    bench.cut("nw-one");
    let took = until("the link is mended", 4, async || made().is_some_and(|now| now != before)).await;
    println!("mended after {took:?}");
    assert_eq!(agent.version(&id("nw-one")), Some(5));
}

async fn another_installations_link_is_listed_and_never_touched(bench: Bench) {
    bench.plant("nw-one");
    let agent = bench.start();
    let desk = Desk::join(&agent, 1).await;
    let listed = async || {
        let listing = agent.list(desk.standing.observe()).await;
        let port = listing.things.into_iter().find(|thing| thing.kind == "port").unwrap();
        (port.owner, port.installation, port.generation)
    };
    let foreign = (Some("nw-one".to_owned()), Some(STRANGER), 9);
    assert_eq!(listed().await, foreign);
    assert_eq!(failed(desk.apply(&agent, &snapshot("nw-one", 101), 20).await), ("foreign_link".into(), Retry::Never));
    assert_eq!(failed(desk.delete(&agent, "nw-one", 21).await), ("foreign_link".into(), Retry::Never));
    assert_eq!(listed().await, foreign);
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-two", 102), 1).await), (Fact::Yes, 1), "the control");
}

async fn a_silent_switch_is_unavailable_and_not_empty(bench: Bench) {
    let agent = bench.start();
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 5).await), (Fact::Yes, 5));
    bench.set_switch(false);
    let listing = agent.list(desk.standing.observe()).await;
    let switch = listing.backends.iter().find(|backend| backend.name == "switch").unwrap();
    assert!(matches!(switch.status, BackendStatus::Unavailable { .. }), "{switch:?}");
    let network = listing.things.iter().find(|thing| thing.kind == "network").unwrap();
    assert_eq!(network.facts[0].value, Fact::Yes, "the network itself is still served");
    let answer = desk.apply(&agent, &snapshot("nw-two", 102), 1).await;
    assert!(matches!(&answer, Err(Stopped::Failed { facts, .. }) if facts[0].value == Fact::No), "{answer:?}");
    assert_eq!(failed(answer).1, Retry::Later);
    until("the agent says it is degraded", 4, async || agent.degraded().is_some()).await;
    bench.set_switch(true);
    until("the agent is well again", 8, async || agent.degraded().is_none()).await;
    let up = async || links_of(&agent, &desk, "nw-two").await.len() == 1;
    until("the second network got its port without a new job", 8, up).await;
}

async fn a_network_moved_to_another_tag_moves_its_port(bench: Bench) {
    let agent = bench.start();
    let desk = Desk::join(&agent, 1).await;
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 101), 1).await), (Fact::Yes, 1));
    assert_eq!(fact(&desk.apply(&agent, &snapshot("nw-one", 202), 2).await), (Fact::Yes, 2));
    assert_eq!(links_of(&agent, &desk, "nw-one").await[0].1, 2, "the port carries the version that shaped it");
    match &bench {
        Bench::Sim { sim, .. } => assert_eq!(sim.lock().unwrap().link(&id("nw-one")).unwrap().vlan_tag, 202),
        Bench::Real(lab) => {
            let lab = lab.lock().unwrap();
            let port = port_of(&lab, "nw-one").unwrap();
            assert_eq!(lab.vsctl(&["get", "port", &port, "tag"]).trim(), "202");
        }
    }
}
