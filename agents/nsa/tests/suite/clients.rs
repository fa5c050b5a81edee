//! Real clients on tagged ports of a private switch: udhcpc, dhclient, dig. Needs root, tun, ovs.
//!
//! Each "is not answered" stands beside a "is answered" of the same tool on the same kind of port.

use crate::kit::{Desk, fact, has, id, snapshot, until};
use crate::lab::{Client, Lab, must};
use arame_framework::agent::Agent;
use arame_nsa::agent::NsaAgent;
use arame_nsa::config::Nsa;
use arame_schema::jobs::nsa::{NetworkSnapshot, Route};
use arame_schema::jobs::report::Ask;
use arame_schema::model::{Fact, MacAddress};
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const NEEDS: [&str; 7] = ["root", "tun", "ovs", "udhcpc", "dhclient", "dig", "ethtool"];

/// The lab with an agent that serves the snapshots; `story` runs beside them.
fn with_agent<F: Future<Output = ()>>(
    snapshots: Vec<NetworkSnapshot>,
    story: impl FnOnce(Arc<Lab>, Arc<NsaAgent>, Desk) -> F + Send + 'static,
) {
    if !has(&NEEDS) {
        return;
    }
    let lab = Arc::new(Lab::new());
    let (infra, config): (String, Nsa) = (lab.infra(), lab.config());
    Lab::inside(&infra, move || async move {
        let agent = Arc::new(NsaAgent::start(&config).unwrap());
        let desk = Desk::join(&agent, 1).await;
        for snapshot in &snapshots {
            assert_eq!(fact(&desk.apply(&agent, snapshot, 1).await), (Fact::Yes, 1));
        }
        // Held here: a story that does not name the agent needs it all the same.
        story(lab, agent.clone(), desk).await;
        drop(agent);
    });
}

/// Client programs block; the servers they talk to are tasks of this runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Each exchange's answer and the address given, as one word or two.
fn answers(why: &serde_json::Value) -> Vec<String> {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let of = |one: &serde_json::Value| {
        let answer = text(&one["answer"]).unwrap_or_else(|| "silence".into());
        text(&one["given"]).map_or(answer.clone(), |given| format!("{answer} {given}"))
    };
    why["exchanges"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn both_clients_get_their_address_and_everything_with_it() {
    let mut network = snapshot("nw-one", 101);
    network.routes = vec![Route { destination: "169.254.169.254/32".parse().unwrap(), via: network.server }];
    network.ntp_servers = vec![Ipv4Addr::new(10, 0, 0, 3)];
    with_agent(vec![network], |lab, _, _| async move {
        let one = lab.client("a", 101, "52:54:00:00:65:0a");
        let two = lab.client("b", 101, "52:54:00:00:65:0b");
        let lease =
            blocking(move || one.udhcpc(3, &["-O", "search", "-O", "staticroutes", "-O", "mtu", "-O", "ntpsrv"]))
                .await
                .unwrap();
        assert_eq!(lease.ip, "10.0.0.10");
        for (key, value) in [
            ("mask", "24"),
            ("router", "10.0.0.1"),
            ("dns", "10.0.0.2"),
            ("serverid", "10.0.0.2"),
            ("domain", "t101.example"),
            ("search", "t101.example"),
            ("hostname", "web1"),
            ("mtu", "1450"),
            ("broadcast", "10.0.0.255"),
            ("lease", "3600"),
            ("ntpsrv", "10.0.0.3"),
            ("staticroutes", "169.254.169.254/32 10.0.0.2 0.0.0.0/0 10.0.0.1"),
        ] {
            assert_eq!(lease.get(key), Some(value), "{key} in\n{}", lease.environment);
        }
        let lease = blocking(move || two.dhclient(5)).await.unwrap();
        assert_eq!(lease.ip, "10.0.0.11");
        assert!(lease.environment.contains("new_host_name=db1"), "{}", lease.environment);
        assert!(lease.environment.contains("new_routers=10.0.0.1"), "{}", lease.environment);
    });
}

#[test]
fn a_client_that_wants_broadcasts_is_broadcast_to() {
    with_agent(vec![snapshot("nw-one", 101)], |lab, _, _| async move {
        let one = lab.client("a", 101, "52:54:00:00:65:0a");
        assert_eq!(blocking(move || one.udhcpc(3, &["-B"])).await.unwrap().ip, "10.0.0.10");
    });
}

#[test]
fn an_unknown_mac_and_a_known_one_on_the_wrong_tag_hear_nothing() {
    with_agent(vec![snapshot("nw-one", 101), snapshot("nw-two", 102)], |lab, agent, _| async move {
        let known = lab.client("a", 101, "52:54:00:00:65:0a");
        let unknown = lab.client("b", 101, "52:54:00:ff:ff:ff");
        let astray = lab.client("c", 102, "52:54:00:00:65:0b");
        let (unknown, astray, known) =
            blocking(move || (unknown.udhcpc(2, &[]), astray.udhcpc(2, &[]), known.udhcpc(2, &[]))).await;
        assert_eq!((unknown, astray), (None, None));
        assert_eq!(known.unwrap().ip, "10.0.0.10", "the control: the same tool is answered for a known MAC");
        let ask = |network: &str, mac: &str| Ask {
            question: "nsa.why".to_owned(),
            arguments: json!({ "network": network, "mac": mac }),
        };
        let why = agent.ask(ask("nw-one", "52:54:00:ff:ff:ff")).await.unwrap();
        assert_eq!(why["verdict"]["code"], "unknown_mac");
        assert_eq!(why["exchanges"][0]["reason"]["code"], "unknown_mac");
        assert_eq!(why["exchanges"][0]["message"], "discover");
        assert!(why["exchanges"][0]["answer"].is_null());
        let why = agent.ask(ask("nw-one", "52:54:00:00:65:0a")).await.unwrap();
        assert_eq!(answers(&why), ["offer 10.0.0.10", "ack 10.0.0.10"]);
        let options = why["exchanges"][1]["answered_options"].as_array().unwrap();
        let told =
            |name: &str| options.iter().find(|option| option["name"] == name).map(|option| option["value"].clone());
        assert_eq!((told("host-name"), told("lease-time")), (Some(json!("web1")), Some(json!("3600"))), "{options:?}");
    });
}

#[test]
fn equal_subnets_on_two_tags_never_meet() {
    let mut two = snapshot("nw-two", 102);
    two.hosts[0].ipv4 = Ipv4Addr::new(10, 0, 0, 77);
    with_agent(vec![snapshot("nw-one", 101), two], |lab, _, _| async move {
        let one = lab.client("a", 101, "52:54:00:00:65:0a");
        let other = lab.client("b", 102, "52:54:00:00:66:0a");
        blocking(move || {
            assert_eq!(one.udhcpc(3, &[]).unwrap().ip, "10.0.0.10");
            assert_eq!(other.udhcpc(3, &[]).unwrap().ip, "10.0.0.77");
            one.address("10.0.0.10/24");
            other.address("10.0.0.77/24");
            assert_eq!(one.dig_short(&["web1.t101.example"]), "10.0.0.10");
            assert_eq!(other.dig_short(&["web1.t102.example"]), "10.0.0.77");
            assert!(one.dig(&["web1.t102.example"]).contains("status: REFUSED"), "a neighbour's name is not told");
            assert!(other.dig(&["-x", "10.0.0.10"]).contains("status: NXDOMAIN"), "nor a neighbour's address");
            assert_eq!(one.dig_short(&["-x", "10.0.0.10"]), "web1.t101.example.", "the control");
        })
        .await;
    });
}

#[test]
fn dig_sees_names_absence_and_the_version_over_udp_and_tcp() {
    with_agent(vec![snapshot("nw-one", 101)], |lab, agent, desk| async move {
        let one = Arc::new(lab.client("a", 101, "52:54:00:00:65:0a"));
        one.address("10.0.0.10/24");
        let client = one.clone();
        blocking(move || dig_everything(&client)).await;
        // A name is visible as soon as the job is answered, and gone as soon as the next is.
        let mut grown = snapshot("nw-one", 101);
        grown.hosts[1].hostname = "fresh".to_owned();
        assert_eq!(fact(&desk.apply(&agent, &grown, 2).await), (Fact::Yes, 2));
        blocking(move || {
            assert_eq!(one.dig_short(&["fresh.t101.example"]), "10.0.0.11");
            assert!(one.dig(&["db1.t101.example"]).contains("status: NXDOMAIN"));
            assert!(one.dig_short(&["t101.example", "SOA"]).contains(" 2 3600 "));
        })
        .await;
    });
}

fn dig_everything(client: &Client) {
    for transport in ["+notcp", "+tcp"] {
        assert_eq!(client.dig_short(&[transport, "web1.t101.example"]), "10.0.0.10");
        assert_eq!(client.dig_short(&[transport, "WEB1.T101.EXAMPLE"]), "10.0.0.10");
        assert_eq!(client.dig_short(&[transport, "-x", "10.0.0.11"]), "db1.t101.example.");
        assert_eq!(client.dig_short(&[transport, "t101.example", "NS"]), "ns.t101.example.");
        let absent = client.dig(&[transport, "nobody.t101.example"]);
        assert!(absent.contains("status: NXDOMAIN") && absent.contains("SOA"), "{absent}");
        let other_type = client.dig(&[transport, "web1.t101.example", "AAAA"]);
        assert!(other_type.contains("status: NOERROR") && other_type.contains("SOA"), "{other_type}");
        assert!(client.dig(&[transport, "debian.org"]).contains("status: REFUSED"));
    }
    assert!(client.dig(&["t101.example", "AXFR"]).contains("failed"));
    let plain = client.dig(&["+noedns", "web1.t101.example"]);
    assert!(plain.contains("flags: qr aa rd;") && !plain.contains("OPT PSEUDOSECTION"), "{plain}");
}

#[test]
fn other_names_are_asked_at_the_forwarder_from_the_infrastructure() {
    let mut one = snapshot("nw-one", 101);
    one.forwarders = vec!["127.0.0.1:5399".parse().unwrap()];
    with_agent(vec![one], |lab, agent, desk| async move {
        // The forwarder is another nsa in the infrastructure's namespace: its simulated network listens there.
        let mut upstream = crate::kit::sim_config(&lab.dir.path().join("upstream"));
        std::fs::create_dir_all(lab.dir.path().join("upstream")).unwrap();
        upstream.sim.listen_dns = Some("127.0.0.1:5399".parse::<SocketAddr>().unwrap());
        let above = NsaAgent::start(&upstream).unwrap();
        let above_desk = Desk::join(&above, 1).await;
        let mut world = snapshot("nw-world", 5);
        world.domain = "world.example".to_owned();
        assert_eq!(fact(&above_desk.apply(&above, &world, 1).await), (Fact::Yes, 1));
        let client = Arc::new(lab.client("a", 101, "52:54:00:00:65:0a"));
        client.address("10.0.0.10/24");
        let asking = client.clone();
        blocking(move || {
            assert_eq!(asking.dig_short(&["web1.world.example"]), "10.0.0.10");
            let absent = asking.dig(&["nobody.world.example"]);
            assert!(absent.contains("status: NXDOMAIN"), "{absent}");
            let own = asking.dig(&["web1.t101.example"]);
            assert!(own.contains("flags: qr aa rd ra;"), "{own}");
        })
        .await;
        let without = snapshot("nw-one", 101);
        assert_eq!(fact(&desk.apply(&agent, &without, 2).await), (Fact::Yes, 2));
        blocking(move || assert!(client.dig(&["web1.world.example"]).contains("status: REFUSED"))).await;
    });
}

#[test]
fn a_client_whose_address_changed_is_told_no_and_gets_the_new_one() {
    with_agent(vec![snapshot("nw-one", 101)], |lab, agent, desk| async move {
        let one = Arc::new(lab.client("a", 101, "52:54:00:00:65:0a"));
        let client = one.clone();
        assert_eq!(blocking(move || client.dhclient(5)).await.unwrap().ip, "10.0.0.10");
        let mut moved = snapshot("nw-one", 101);
        moved.hosts[0].ipv4 = Ipv4Addr::new(10, 0, 0, 50);
        assert_eq!(fact(&desk.apply(&agent, &moved, 2).await), (Fact::Yes, 2));
        // dhclient remembers its lease and asks for it (init-reboot).
        let client = one.clone();
        assert_eq!(blocking(move || client.dhclient(8)).await.unwrap().ip, "10.0.0.50");
        let arguments = json!({ "network": "nw-one", "name": "web1" });
        let why = agent.ask(Ask { question: "nsa.why".to_owned(), arguments }).await.unwrap();
        assert_eq!(answers(&why), ["offer 10.0.0.10", "ack 10.0.0.10", "nak", "offer 10.0.0.50", "ack 10.0.0.50"]);
    });
}

#[test]
fn whatever_is_taken_away_the_guests_are_answered_again() {
    with_agent(vec![snapshot("nw-one", 101)], |lab, _, _| async move {
        let client = Arc::new(lab.client("a", 101, "52:54:00:00:65:0a"));
        client.address("10.0.0.10/24");
        let netns = format!("{}one", lab.prefix());
        let port = lab.vsctl(&["--bare", "--columns=name", "find", "port", "external_ids:arame-network=nw-one"]);
        let (port, infra) = (port.trim().to_owned(), lab.infra());
        type Injury<'a> = Box<dyn Fn() -> String + 'a>;
        let injuries: [(&str, Injury); 6] = [
            ("veth deleted", Box::new(|| must("ip", &["-n", &infra, "link", "del", "dev", &port]))),
            ("switch port deleted", Box::new(|| lab.vsctl(&["del-port", "ovs0", &port]))),
            ("tag changed", Box::new(|| lab.vsctl(&["set", "port", &port, "tag=999"]))),
            ("namespace unnamed", Box::new(|| must("ip", &["netns", "del", &netns]))),
            ("address flushed", Box::new(|| must("ip", &["-n", &netns, "addr", "flush", "dev", "eth0"]))),
            ("inner end deleted", Box::new(|| must("ip", &["-n", &netns, "link", "del", "dev", "eth0"]))),
        ];
        let answered = |client: Arc<Client>| blocking(move || client.udhcpc(1, &[]).is_some());
        for (what, injure) in &injuries {
            assert!(answered(client.clone()).await, "before: {what}");
            injure();
            let mended = until(what, 4, async || {
                lab.vsctl(&["--bare", "--columns=tag", "find", "port", "external_ids:arame-network=nw-one"]).trim()
                    == "101"
                    && crate::lab::run("ip", &["-n", &netns, "link", "show", "dev", "eth0"]).status.success()
                    && blocking({
                        let client = client.clone();
                        move || client.dig_short(&["+time=1", "web1.t101.example"]) == "10.0.0.10"
                    })
                    .await
            })
            .await;
            println!("{what}: answered again after {mended:?}");
        }
        assert!(answered(client).await);
    });
}

/// How fast they come is the bench's to judge (`names`); here none of them would have been asked again.
#[test]
fn every_discover_is_answered_by_its_own_offer() {
    with_agent(vec![snapshot("nw-one", 101)], |lab, _, _| async move {
        let client = lab.client("a", 101, "52:54:00:00:65:0a");
        let mut times = blocking(move || Lab::inside(&client.netns, || async { discover_many(40) })).await;
        times.sort();
        println!(
            "DISCOVER to OFFER over {} exchanges: median {:?}, p90 {:?}, max {:?}",
            times.len(),
            times[times.len() / 2],
            times[times.len() * 9 / 10],
            times[times.len() - 1]
        );
        assert_eq!(times.len(), 40, "{times:?}");
    });
}

/// Within the burst of one MAC and then at its rate.
fn discover_many(count: u32) -> Vec<Duration> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.bind_device(Some(b"eth0")).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 68)).into()).unwrap();
    let socket = std::net::UdpSocket::from(socket);
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut answer = [0u8; 2048];
    let mut times = Vec::new();
    for xid in 0..count {
        let question = discover("52:54:00:00:65:0a".parse().unwrap(), xid);
        let start = Instant::now();
        socket.send_to(&question, (Ipv4Addr::BROADCAST, 67)).unwrap();
        let length = socket.recv(&mut answer).unwrap();
        times.push(start.elapsed());
        let offer = Message::decode(&mut Decoder::new(&answer[..length])).unwrap();
        assert_eq!((offer.xid(), offer.opts().msg_type()), (xid, Some(MessageType::Offer)));
        // Below the limit of one MAC.
        std::thread::sleep(Duration::from_millis(if xid < 15 { 5 } else { 210 }));
    }
    times
}

fn discover(mac: MacAddress, xid: u32) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(xid, none, none, none, none, &mac.0);
    message.set_flags(Flags::default().set_broadcast());
    message.opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

#[test]
fn deleting_one_network_does_not_disturb_the_other() {
    with_agent(vec![snapshot("nw-one", 101), snapshot("nw-two", 102)], |lab, agent, desk| async move {
        let one = lab.client("a", 101, "52:54:00:00:65:0a");
        let two = lab.client("b", 102, "52:54:00:00:66:0a");
        assert_eq!(fact(&desk.delete(&agent, "nw-one", 2).await).0, Fact::No);
        assert_eq!(agent.version(&id("nw-one")), None);
        let (gone, there) = blocking(move || (one.udhcpc(2, &[]), two.udhcpc(2, &[]))).await;
        assert_eq!(gone, None);
        assert_eq!(there.unwrap().ip, "10.0.0.10", "the control");
    });
}

#[test]
fn a_client_behind_the_trunk_is_answered_in_its_own_vlan() {
    with_agent(vec![snapshot("nw-one", 101), snapshot("nw-two", 102)], |lab, _, _| async move {
        // Another host: a bridge of its own, joined by a trunk that carries tags.
        let infra = lab.infra();
        must("ip", &["-n", &infra, "link", "add", "name", "t0", "type", "veth", "peer", "name", "t1"]);
        for end in ["t0", "t1"] {
            must("ip", &["-n", &infra, "link", "set", "dev", end, "up"]);
            must("ip", &["netns", "exec", &infra, "ethtool", "-K", end, "tx", "off"]);
        }
        lab.vsctl(&["add-br", "ovs1", "--", "set", "bridge", "ovs1", "datapath_type=netdev"]);
        lab.vsctl(&["add-port", "ovs0", "t0", "--", "set", "port", "t0", "vlan_mode=trunk"]);
        lab.vsctl(&["add-port", "ovs1", "t1", "--", "set", "port", "t1", "vlan_mode=trunk"]);
        let client = lab.client("a", 101, "52:54:00:00:65:0a");
        lab.vsctl(&["del-port", "ovs0", "ca", "--", "add-port", "ovs1", "ca", "tag=101"]);
        let capture =
            ["netns", "exec", &infra, "timeout", "10", "tcpdump", "-lnnei", "t0", "-c", "4", "vlan and udp port 67"];
        let mut dump = std::process::Command::new("ip")
            .args(capture)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = std::io::BufReader::new(dump.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0, "tcpdump does not listen");
        }
        assert_eq!(blocking(move || client.udhcpc(3, &[])).await.unwrap().ip, "10.0.0.10");
        let seen = String::from_utf8(blocking(move || dump.wait_with_output().unwrap()).await.stdout).unwrap();
        assert_eq!(seen.matches("vlan 101,").count(), 4, "{seen}");
    });
}

#[test]
fn a_client_renews_asks_for_configuration_and_gives_back() {
    with_agent(vec![snapshot("nw-one", 101)], |lab, agent, _| async move {
        let client = lab.client("a", 101, "52:54:00:00:65:0a");
        client.address("10.0.0.10/24");
        blocking(move || Lab::inside(&client.netns, || async { renew_and_release() })).await;
        let counters = async || agent.ask(Ask { question: "nsa.counters".into(), arguments: json!({}) }).await.unwrap();
        until("the release is heard", 2, async || counters().await["nw-one"]["dhcp"]["release"] == 1).await;
        let why =
            agent.ask(Ask { question: "nsa.why".into(), arguments: json!({ "network": "nw-one", "name": "web1" }) });
        let why = why.await.unwrap();
        let asked: Vec<_> = why["exchanges"].as_array().unwrap().iter().map(|one| one["message"].clone()).collect();
        assert_eq!(asked, ["request", "request", "inform", "release"]);
        assert_eq!(answers(&why), ["ack 10.0.0.10", "nak", "ack", "silence"]);
    });
}

/// From the address the client has, to the server's, as RFC 2131 4.4.5 says.
fn renew_and_release() {
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 68)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let say = |kind: MessageType, address: [u8; 4]| {
        let none = Ipv4Addr::UNSPECIFIED;
        let mac = [0x52, 0x54, 0, 0, 0x65, 0x0a];
        let mut message = Message::new_with_id(5, address.into(), none, none, none, &mac);
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        let mut bytes = Vec::new();
        message.encode(&mut Encoder::new(&mut bytes)).unwrap();
        socket.send_to(&bytes, ("10.0.0.2", 67)).unwrap();
    };
    let hear = || {
        let mut answer = [0u8; 2048];
        let length = socket.recv(&mut answer).unwrap();
        Message::decode(&mut Decoder::new(&answer[..length])).unwrap()
    };
    say(MessageType::Request, [10, 0, 0, 10]);
    let ack = hear();
    assert_eq!((ack.opts().msg_type(), ack.yiaddr()), (Some(MessageType::Ack), Ipv4Addr::new(10, 0, 0, 10)));
    say(MessageType::Request, [10, 0, 0, 99]);
    assert_eq!(hear().opts().msg_type(), Some(MessageType::Nak));
    say(MessageType::Inform, [10, 0, 0, 10]);
    let inform = hear();
    assert_eq!((inform.opts().msg_type(), inform.yiaddr()), (Some(MessageType::Ack), Ipv4Addr::UNSPECIFIED));
    assert!(inform.opts().get(dhcproto::v4::OptionCode::AddressLeaseTime).is_none());
    say(MessageType::Release, [10, 0, 0, 10]);
}
