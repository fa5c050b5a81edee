//! The way out of a network, for real: guests on two segments with one subnet, somebody on the segment outside. Needs root,
//! tun, ovs, nft.
//!
//! Each "does not reach" stands beside a "reaches" of the same tool on the same way.

use crate::kit::{Desk, fact, has, snapshot, until};
use crate::lab::{Client, Lab, must, run};
use arame_nsa::agent::NsaAgent;
use arame_schema::jobs::nsa::{NetworkSnapshot, Outside, Translation};
use arame_schema::model::Fact;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const NEEDS: [&str; 5] = ["root", "tun", "ovs", "ethtool", "nft"];
const PORT: u16 = 80;
/// For an answer on a way that is open; one that is closed is given up after it.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Runs in a thread inside a namespace.
fn within<T: Send + 'static>(netns: &str, work: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    let file = File::open(Path::new("/run/netns").join(netns)).unwrap();
    std::thread::spawn(move || {
        setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
        work()
    })
}

/// Answers each line with who it is and whom it hears.
pub fn serve(client: &Client, name: &'static str) {
    let listener = within(&client.netns, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap()).join().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let peer = stream.peer_addr().unwrap().ip();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for _ in lines.map_while(Result::ok) {
                    let _ = stream.write_all(format!("{name} {peer}\n").as_bytes());
                }
            });
        }
    });
}

fn open(client: &Client, to: &str) -> Option<TcpStream> {
    let to: SocketAddr = format!("{to}:{PORT}").parse().unwrap();
    within(&client.netns, move || TcpStream::connect_timeout(&to, PATIENCE).ok()).join().unwrap()
}

fn say(stream: &TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    (&*stream).write_all(b"who\n").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    Some(line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Who answers there, and whom it hears.
pub fn ask(client: &Client, to: &str) -> Option<String> {
    say(&open(client, to)?)
}

pub fn with_way(network: &str, tag: u16, own: u8, external: u8) -> NetworkSnapshot {
    let outer = |last| Ipv4Addr::new(192, 0, 2, last);
    let translation =
        Translation { vif: "vif-a".parse().unwrap(), inner: Ipv4Addr::new(10, 0, 0, 10), outer: outer(external) };
    let outside = Outside {
        network: "nw-outside".parse().unwrap(),
        vlan_tag: 200,
        subnet: "192.0.2.0/24".parse().unwrap(),
        gateway: Some(outer(1)),
        address: outer(own),
        mtu: 1450,
        outbound: true,
        translations: vec![translation],
        closed: vec!["198.51.100.0/24".parse().unwrap()],
    };
    NetworkSnapshot { outside: Some(outside), ..snapshot(network, tag) }
}

pub fn guest(lab: &Lab, name: &'static str, tag: u16, last: u8) -> Client {
    let client = lab.client(name, tag, &format!("52:54:00:00:{tag:02x}:{last:02x}"));
    client.address(&format!("10.0.0.{last}/24"));
    must("ip", &["-n", &client.netns, "route", "add", "default", "via", "10.0.0.1"]);
    serve(&client, name);
    client
}

struct Place {
    lab: Lab,
    one: Client,
    other: Client,
    stranger: Client,
    outsider: Client,
}

fn place() -> Place {
    let lab = Lab::new();
    let (one, other) = (guest(&lab, "one", 101, 10), guest(&lab, "other", 101, 11));
    let stranger = guest(&lab, "stranger", 102, 10);
    let outsider = lab.client("out", 200, "52:54:00:00:c8:01");
    outsider.address("192.0.2.1/24");
    // Something behind the infrastructure's address, to be refused.
    must("ip", &["-n", &outsider.netns, "addr", "add", "198.51.100.1/32", "dev", "lo"]);
    serve(&outsider, "outsider");
    Place { lab, one, other, stranger, outsider }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn in_place<F: Future<Output = ()>>(story: impl FnOnce(Arc<Place>, Arc<NsaAgent>, Desk) -> F + Send + 'static) {
    if !has(&NEEDS) {
        return;
    }
    let place = Arc::new(place());
    let (infra, config) = (place.lab.infra(), place.lab.config());
    Lab::inside(&infra, move || async move {
        let agent = Arc::new(NsaAgent::start(&config).unwrap());
        let desk = Desk::join(&agent, 1).await;
        // Whoever drops it ends it.
        story(place, agent, desk).await;
    });
}

async fn asked(place: &Arc<Place>, who: fn(&Place) -> &Client, to: &'static str) -> Option<String> {
    let place = place.clone();
    blocking(move || ask(who(&place), to)).await
}

pub fn heard(answer: &str) -> Option<String> {
    Some(answer.to_owned())
}

#[test]
fn an_external_address_leads_to_its_guest_and_its_guest_leaves_with_it() {
    in_place(|place, agent, desk| async move {
        for network in [with_way("nw-one", 101, 10, 50), with_way("nw-two", 102, 20, 60)] {
            assert_eq!(fact(&desk.apply(&agent, &network, 1).await), (Fact::Yes, 1));
        }
        // In: the guest hears the client itself; the other tenant with the same subnet keeps its own.
        assert_eq!(asked(&place, |p| &p.outsider, "192.0.2.50").await, heard("one 192.0.2.1"));
        assert_eq!(asked(&place, |p| &p.outsider, "192.0.2.60").await, heard("stranger 192.0.2.1"));
        assert_eq!(asked(&place, |p| &p.outsider, "192.0.2.10").await, None, "the network's own address leads nowhere");
        // Out: with its own, or with the network's.
        assert_eq!(asked(&place, |p| &p.one, "192.0.2.1").await, heard("outsider 192.0.2.50"));
        assert_eq!(asked(&place, |p| &p.other, "192.0.2.1").await, heard("outsider 192.0.2.10"));
        assert_eq!(asked(&place, |p| &p.stranger, "192.0.2.1").await, heard("outsider 192.0.2.60"));
        assert_eq!(asked(&place, |p| &p.one, "198.51.100.1").await, None, "the infrastructure is not to be reached");
        // A neighbour by its external address.
        assert_eq!(asked(&place, |p| &p.other, "192.0.2.50").await, heard("one 10.0.0.1"));
        // Without the agent everything goes on.
        drop(agent);
        assert_eq!(asked(&place, |p| &p.outsider, "192.0.2.50").await, heard("one 192.0.2.1"));
    });
}

#[test]
fn who_may_leave_changes_with_the_version_and_an_address_taken_away_is_cut_off() {
    in_place(|place, agent, desk| async move {
        let mut network = with_way("nw-one", 101, 10, 50);
        desk.apply(&agent, &network, 1).await.unwrap();
        let at = place.clone();
        let kept = blocking(move || open(&at.outsider, "192.0.2.50").unwrap()).await;
        let talk = |stream: &TcpStream| {
            let stream = stream.try_clone().unwrap();
            blocking(move || say(&stream))
        };
        assert_eq!(talk(&kept).await, heard("one 192.0.2.1"), "the control");

        let way = network.outside.as_mut().unwrap();
        way.outbound = false;
        desk.apply(&agent, &network, 2).await.unwrap();
        assert_eq!(asked(&place, |p| &p.other, "192.0.2.1").await, None);
        assert_eq!(asked(&place, |p| &p.one, "192.0.2.1").await, heard("outsider 192.0.2.50"), "its own it keeps");
        assert_eq!(talk(&kept).await, heard("one 192.0.2.1"), "a change does not cut what is open");

        network.outside.as_mut().unwrap().translations.clear();
        desk.apply(&agent, &network, 3).await.unwrap();
        assert_eq!(talk(&kept).await, None, "what is open ends with its address");
        assert_eq!(asked(&place, |p| &p.outsider, "192.0.2.50").await, None);
        assert_eq!(asked(&place, |p| &p.one, "192.0.2.1").await, None);

        network.outside.as_mut().unwrap().outbound = true;
        desk.apply(&agent, &network, 4).await.unwrap();
        assert_eq!(asked(&place, |p| &p.one, "192.0.2.1").await, heard("outsider 192.0.2.10"));
        network.outside = None;
        desk.apply(&agent, &network, 5).await.unwrap();
        assert_eq!(asked(&place, |p| &p.one, "192.0.2.1").await, None);
        let ports = place.lab.vsctl(&["--bare", "--columns=name", "find", "port", "external_ids:arame-network=nw-one"]);
        assert_eq!(ports.split_whitespace().count(), 1, "{ports}");
    });
}

#[test]
fn rules_that_somebody_took_away_come_back_and_a_restarted_agent_keeps_the_way() {
    in_place(|place, agent, desk| async move {
        desk.apply(&agent, &with_way("nw-one", 101, 10, 50), 1).await.unwrap();
        assert_eq!(asked(&place, |p| &p.outsider, "192.0.2.50").await, heard("one 192.0.2.1"));
        let netns = format!("{}one", place.lab.prefix());
        for spoil in [
            &["nft", "delete", "table", "ip", "arame_way"][..],
            &["nft", "flush", "chain", "ip", "arame_way", "prerouting"][..],
            &["ip", "link", "set", "out0", "down"][..],
            &["ip", "addr", "del", "192.0.2.50/24", "dev", "out0"][..],
        ] {
            must("ip", &[&["netns", "exec", &netns][..], spoil].concat());
            until(&format!("{spoil:?} is mended"), 15, async || {
                asked(&place, |p| &p.outsider, "192.0.2.50").await == heard("one 192.0.2.1")
            })
            .await;
        }
        let config = place.lab.config();
        drop(agent);
        // What it had begun when it ended may be done after its end.
        until("nobody mends it", 15, async || {
            run("ip", &["netns", "exec", &netns, "nft", "delete", "table", "ip", "arame_way"]);
            asked(&place, |p| &p.outsider, "192.0.2.50").await.is_none()
        })
        .await;
        let _again = NsaAgent::start(&config).unwrap();
        until("the next process mends it from its file", 15, async || {
            asked(&place, |p| &p.outsider, "192.0.2.50").await == heard("one 192.0.2.1")
        })
        .await;
        // The network's end takes everything with it.
        let desk = Desk::join(&_again, 2).await;
        desk.delete(&_again, "nw-one", 9).await.unwrap();
        assert!(!Path::new("/run/netns").join(&netns).exists());
        // The kernel takes a namespace's links away a little later than its name.
        until("the way is gone", 15, async || asked(&place, |p| &p.outsider, "192.0.2.50").await.is_none()).await;
    });
}
