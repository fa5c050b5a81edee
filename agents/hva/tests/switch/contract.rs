//! The contract of a host's switch, kept alike by each driver: what guests may say, hear and reach, while rules change, the
//! agent is started anew and somebody takes things away.
//!
//! What must not be heard is looked for where, and after, something that must be heard was: both came the same way.

use crate::fixtures::mac as address_of;
use crate::frames::{self, BROADCAST, IPV6, asked_for, datagram, ethernet, mac, says, tagged, who_has};
use crate::kit::{Guest, until};
use crate::world::{Kind, World, member, wished};
use arame_hva::switch::link::LISTENER;
use arame_schema::jobs::hva::{IngressRule, PortPolicy};
use arame_schema::model::security_group::Traffic;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

const ANYONE: &str = "0.0.0.0/0";

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn rule(traffic: Traffic, source: &str) -> IngressRule {
    IngressRule { traffic, source: source.parse().unwrap() }
}

/// Lets in UDP from anybody.
fn udp_open(mut port: PortPolicy) -> PortPolicy {
    port.ingress.push(rule(Traffic::Udp { from: 1, to: 65_535 }, ANYONE));
    port
}

fn asks(guest: &Guest, last: u8) {
    guest.say(&who_has(guest.mac, guest.mac, guest.ip, address(last)));
}

/// Two accounts have the same subnet, and one of each has the same address.
pub fn equal_subnets_never_hear_each_other(kind: Kind) {
    let mut world = World::new(kind);
    let ((a, pa), (b, pb)) = (member("a", 100, 5, &[80]), member("b", 100, 6, &[]));
    let ((c, pc), (d, pd)) = (member("c", 200, 7, &[80]), member("d", 200, 6, &[]));
    world.one.allow(vec![pa, pb, pc, pd]);
    let (ga, gb) = (world.one.plug(&a), world.one.plug(&b));
    let (gc, gd) = (world.one.plug(&c), world.one.plug(&d));
    asks(&gc, 99);
    until("a neighbour hears the question", || gd.heard(|frame| asked_for(frame) == Some(address(99))));
    until("the trunk carries it with its tag", || world.cable.saw(Some(200), |f| asked_for(f) == Some(address(99))));
    asks(&gb, 98);
    until("the other network is alive", || ga.heard(|frame| asked_for(frame) == Some(address(98))));
    for other in [&ga, &gb] {
        assert!(!other.heard(|frame| asked_for(frame) == Some(address(99))), "heard in another network");
    }
    assert!(!gc.heard(|frame| asked_for(frame) == Some(address(98))), "and not the other way");
    // By the address, too: the same one is two guests.
    ga.echoes(80);
    gc.echoes(80);
    assert!(gb.connect(ga.ip, 80).is_some_and(|mut talk| talk.is_alive("hello")), "within a network");
    assert!(gd.connect(gc.ip, 80).is_some_and(|mut talk| talk.is_alive("hello")), "and within the other");
    assert!(gd.cannot_reach(ga.ip, 80) && gb.cannot_reach(gc.ip, 80), "not between them");
    // Even by the other's own hardware address.
    let stray = datagram(ga.mac, gc.mac, (gc.ip, 9), (ga.ip, 9), "stray");
    gc.say(&stray);
    until("it went to the trunk of its own network", || world.cable.saw(Some(200), |f| says(f, "stray")));
    asks(&gb, 97);
    until("what came after it was heard", || ga.heard(|frame| asked_for(frame) == Some(address(97))));
    assert!(!ga.heard(|frame| says(frame, "stray")));
    assert!(!world.cable.saw(None, |_| true), "nothing leaves without a tag");
}

/// What a connection of one network has opened, opens nothing in another with the same addresses.
pub fn a_connection_of_one_network_is_unknown_in_another(kind: Kind) {
    let mut world = World::new(kind);
    let ((a, pa), (c, mut pc)) = (member("a", 100, 5, &[]), member("c", 200, 6, &[]));
    // The same address in both networks.
    let mut c = c;
    c.nics[0].ipv4 = address(5);
    pc.ipv4 = address(5);
    world.one.allow(vec![pa, pc]);
    let (ga, gc) = (world.one.plug(&a), world.one.plug(&c));
    let server = [0x52, 0x54, 0xee, 0, 0, 9];
    ga.say(&datagram(server, ga.mac, (ga.ip, 5000), (address(9), 6000), "question"));
    until("the question left", || world.cable.saw(Some(100), |f| says(f, "question")));
    let beyond = world.server(100, 44);
    let other = world.server(200, 45);
    let answer = |to: &Guest, text: &str| datagram(to.mac, server, (address(9), 6000), (address(5), 5000), text);
    other.say(&answer(&gc, "forged"));
    beyond.say(&answer(&ga, "answer"));
    until("the answer came to who asked", || ga.heard(|frame| says(frame, "answer")));
    asks(&other, 96);
    until("its network is alive", || gc.heard(|frame| asked_for(frame) == Some(address(96))));
    assert!(!gc.heard(|frame| says(frame, "forged")), "another network's connection let it in");
}

/// MAC, ARP and IPv4 source, tags, and whatever is neither IPv4 nor ARP.
pub fn a_guest_speaks_only_as_itself(kind: Kind) {
    let mut world = World::new(kind);
    let ((a, pa), (b, pb)) = (member("a", 100, 5, &[]), member("b", 100, 6, &[]));
    world.one.allow(vec![pa, udp_open(pb)]);
    let (ga, gb) = (world.one.plug(&a), world.one.plug(&b));
    let foreign = mac(address_of(77));
    let to_b =
        |from: [u8; 6], source: Ipv4Addr, text: &str| datagram(gb.mac, from, (source, 1000), (gb.ip, 2000), text);
    let honest = to_b(ga.mac, ga.ip, "honest");
    let lies = [
        ("another's hardware address", to_b(foreign, ga.ip, "lie-1")),
        ("another's IPv4 address", to_b(ga.mac, address(77), "lie-2")),
        ("a tag", tagged(&to_b(ga.mac, ga.ip, "lie-3"), 200)),
        ("its own tag", tagged(&to_b(ga.mac, ga.ip, "lie-4"), 100)),
        ("a tag of no network", tagged(&to_b(ga.mac, ga.ip, "lie-5"), 0)),
        ("IPv6", ethernet(BROADCAST, ga.mac, IPV6, b"lie-6")),
        ("LLDP", ethernet([1, 0x80, 0xc2, 0, 0, 0x0e], ga.mac, 0x88cc, b"lie-7")),
        ("another type", ethernet(gb.mac, ga.mac, 0x0842, b"lie-8")),
        (
            "a link-local destination",
            datagram(gb.mac, ga.mac, (ga.ip, 1000), (Ipv4Addr::new(169, 254, 0, 9), 9), "lie-9"),
        ),
        ("a provider's tag", {
            let mut twice = tagged(&to_b(ga.mac, ga.ip, "lie-10"), 100);
            twice[12..14].copy_from_slice(&0x88a8_u16.to_be_bytes());
            twice
        }),
    ];
    for (_, lie) in &lies {
        ga.say(lie);
    }
    // Another's name in ARP, by the packet and by the frame.
    ga.say(&who_has(ga.mac, ga.mac, address(77), address(91)));
    ga.say(&who_has(ga.mac, foreign, ga.ip, address(92)));
    ga.say(&who_has(foreign, foreign, ga.ip, address(93)));
    ga.say(&honest);
    ga.say(&who_has(ga.mac, ga.mac, ga.ip, address(94)));
    until("the honest datagram is heard", || gb.heard(|frame| says(frame, "honest")));
    until("and the honest question, here and there", || {
        let is_it = |frame: &[u8]| asked_for(frame) == Some(address(94));
        gb.heard(is_it) && world.cable.saw(Some(100), is_it)
    });
    for (number, (what, _)) in lies.iter().enumerate() {
        let text = format!("lie-{}", number + 1);
        assert!(!gb.heard(|frame| says(frame, &text)), "{what} was heard");
        assert!(!world.cable.tags().iter().any(|tag| world.cable.saw(*tag, |frame| says(frame, &text))), "{what} left");
    }
    for last in [91, 92, 93] {
        let is_it = |frame: &[u8]| asked_for(frame) == Some(address(last));
        assert!(!gb.heard(is_it) && !world.cable.saw(Some(100), is_it), "ARP of another, {last}");
    }
    // A probe of RFC 5227 names nobody, and a guest may ask so.
    ga.say(&who_has(ga.mac, ga.mac, Ipv4Addr::UNSPECIFIED, address(95)));
    until("a probe is heard", || gb.heard(|frame| asked_for(frame) == Some(address(95))));
}

/// Questions for an address go beyond the trunk only; answers come from the network's server only.
pub fn a_guest_is_no_dhcp_server_and_hears_none(kind: Kind) {
    let mut world = World::new(kind);
    let ((a, pa), (b, pb)) = (member("a", 100, 5, &[]), member("b", 100, 6, &[]));
    world.one.allow(vec![udp_open(pa), udp_open(pb)]);
    let (ga, gb) = (world.one.plug(&a), world.one.plug(&b));
    let (server, other) = (world.server(100, 2), world.server(100, 3));
    let everyone = Ipv4Addr::BROADCAST;
    gb.say(&datagram(BROADCAST, gb.mac, (Ipv4Addr::UNSPECIFIED, 68), (everyone, 67), "discover"));
    until("the server hears the question", || server.heard(|frame| says(frame, "discover")));
    ga.say(&datagram(gb.mac, ga.mac, (ga.ip, 67), (gb.ip, 68), "rogue-1"));
    ga.say(&datagram(BROADCAST, ga.mac, (ga.ip, 67), (everyone, 68), "rogue-2"));
    other.say(&datagram(gb.mac, other.mac, (other.ip, 67), (gb.ip, 68), "rogue-3"));
    ga.say(&datagram(gb.mac, ga.mac, (ga.ip, 1067), (gb.ip, 68), "no server"));
    until("a datagram from another port is heard", || gb.heard(|frame| says(frame, "no server")));
    server.say(&datagram(gb.mac, server.mac, (server.ip, 67), (gb.ip, 68), "offer"));
    until("the server's answer is heard", || gb.heard(|frame| says(frame, "offer")));
    assert!(!ga.heard(|frame| says(frame, "discover")), "another guest heard the question");
    for rogue in ["rogue-1", "rogue-2", "rogue-3"] {
        assert!(!gb.heard(|frame| says(frame, rogue)), "{rogue}");
    }
    let from_a = ["rogue-1", "rogue-2"].iter().any(|text| world.cable.saw(Some(100), |frame| says(frame, text)));
    assert!(!from_a, "nor does it leave");
}

/// Closed, open, open to one; answers follow; infrastructure asks and is not asked.
pub fn groups_decide_who_may_begin(kind: Kind) {
    let mut world = World::new(kind);
    let ((a, mut pa), (b, pb)) = (member("a", 100, 5, &[80]), member("b", 100, 6, &[]));
    // As dcmgr says it of a group's members: their addresses.
    pa.ingress.push(rule(Traffic::Tcp { from: 8000, to: 8010 }, "10.0.0.6/32"));
    world.one.allow(vec![pa, pb]);
    let (ga, gb) = (world.one.plug(&a), world.one.plug(&b));
    let server = world.server(100, 9);
    for port in [80, 81, 8000, 8005, 8011] {
        ga.echoes(port);
    }
    gb.echoes(80);
    server.echoes(80);
    let opens = |from: &Guest, port| from.connect(ga.ip, port).is_some_and(|mut talk| talk.is_alive("word"));
    assert!(opens(&server, 80) && opens(&gb, 80), "open to anybody");
    assert!(opens(&gb, 8000) && opens(&gb, 8005), "open to the group");
    assert!(server.cannot_reach(ga.ip, 8005), "and to nobody else");
    assert!(server.cannot_reach(ga.ip, 81) && gb.cannot_reach(ga.ip, 8011), "closed");
    assert!(ga.cannot_reach(gb.ip, 80), "a group trusts itself only when asked");
    assert!(ga.connect(server.ip, 80).is_some_and(|mut talk| talk.is_alive("out")), "out, and its answers");
    world.one.guard(vec!["10.0.0.9/32".parse().unwrap()]);
    until("infrastructure is not asked", || ga.cannot_reach(server.ip, 80));
    assert!(opens(&server, 80), "but may ask");
}

/// New rules hold at once, and a connection that was let in goes on.
pub fn rules_change_under_a_living_connection(kind: Kind) {
    let mut world = World::new(kind);
    let (a, pa) = member("a", 100, 5, &[80]);
    world.one.allow(vec![pa]);
    let ga = world.one.plug(&a);
    let server = world.server(100, 9);
    ga.echoes(80);
    ga.echoes(81);
    let mut talk = server.connect(ga.ip, 80).expect("80 is open");
    assert!(talk.is_alive("before") && server.cannot_reach(ga.ip, 81));
    world.one.allow(vec![member("a", 100, 5, &[81]).1]);
    assert!(server.connect(ga.ip, 81).is_some_and(|mut talk| talk.is_alive("new")), "81 is open now");
    until("80 takes no new connection", || server.cannot_reach(ga.ip, 80));
    assert!(talk.is_alive("after"), "the established one goes on");
    // A port whose policy is gone forwards nothing, not even that.
    world.one.allow(vec![]);
    talk.0.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
    until("nothing passes any more", || !talk.is_alive("never"));
}

/// The data plane outlives the agent; the next process finds it as it is and touches no connection.
pub fn a_new_process_takes_over_what_is_there(kind: Kind) {
    let mut world = World::new(kind);
    let (a, pa) = member("a", 100, 5, &[80]);
    world.one.allow(vec![pa]);
    let ga = world.one.plug(&a);
    let server = world.server(100, 9);
    ga.echoes(80);
    ga.echoes(81);
    let mut talk = server.connect(ga.ip, 80).expect("80 is open");
    world.one.stop();
    assert!(talk.is_alive("alone") && server.connect(ga.ip, 80).is_some(), "nobody is needed for it");
    assert!(server.cannot_reach(ga.ip, 81), "and its firewall holds");
    world.one.start();
    let seen = world.one.with(|switch| async move { switch.survey().await }).unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((&seen[0].instance, &seen[0].vif, seen[0].generation), (&a.instance, &a.nics[0].vif, 1));
    assert!(talk.is_alive("again") && server.cannot_reach(ga.ip, 81));
    world.one.allow(vec![member("a", 100, 5, &[80, 81]).1]);
    assert!(server.connect(ga.ip, 81).is_some(), "it obeys");
    assert!(talk.is_alive("still"));
}

/// A job that comes twice changes nothing; a newer one is marked; another's port is not taken.
pub fn the_same_wish_twice_changes_nothing(kind: Kind) {
    let mut world = World::new(kind);
    let (a, pa) = member("a", 100, 5, &[80]);
    world.one.allow(vec![pa]);
    let _ga = world.one.plug(&a);
    let before = world.one.rules();
    assert!(before.contains("80"), "control: {before}");
    world.one.ensure(vec![wished(&a, 1)]).unwrap();
    let policy = std::sync::Arc::new(world.one.policy.clone());
    world.one.with(move |switch| async move { switch.ensure_policy(policy).await }).unwrap();
    assert_eq!(world.one.rules(), before);
    world.one.ensure(vec![wished(&a, 2)]).unwrap();
    let seen = world.one.with(|switch| async move { switch.survey().await }).unwrap();
    assert_eq!(seen.iter().map(|port| port.generation).collect::<Vec<_>>(), [2]);
    let mut thief = wished(&a, 3);
    thief.instance = "i-thief".parse().unwrap();
    assert_eq!(world.one.ensure(vec![thief]).unwrap_err().code, "port_taken");
}

/// Rules that somebody deleted and ports that somebody took out come back, without a job.
pub fn what_somebody_took_away_comes_back(kind: Kind) {
    let mut world = World::new(kind);
    let (a, pa) = member("a", 100, 5, &[80]);
    world.one.allow(vec![pa]);
    let ga = world.one.plug(&a);
    let server = world.server(100, 9);
    ga.echoes(80);
    ga.echoes(81);
    let reached = || server.connect(ga.ip, 80).is_some();
    assert!(reached(), "control");
    world.one.lose_rules();
    until("a guest whose rules were deleted is reached again", reached);
    // The kernel's bridge forwards until it has its rules again (0026); its guest's port may have been found open just now.
    until("and no more than that", || server.cannot_reach(ga.ip, 81));
    world.one.lose_port("vif-a");
    until("a guest whose port was taken out is reached again", reached);
    assert!(server.cannot_reach(ga.ip, 81));
}

/// Who asks for metadata is known by the port, though two have one address, and a lie is not answered.
pub fn metadata_knows_who_asks_by_the_port(kind: Kind) {
    let mut world = World::new(kind);
    let ((a, pa), (c, mut pc)) = (member("a", 100, 5, &[]), member("c", 200, 6, &[]));
    let mut c = c;
    c.nics[0].ipv4 = address(5);
    pc.ipv4 = address(5);
    world.one.allow(vec![pa, pc]);
    let (ga, gc) = (world.one.plug(&a), world.one.plug(&c));
    let place = || world.one.place.tell("ip", &["addr", "show", "to", &LISTENER.to_string()]).1;
    until("the link has its address", || place().contains("198.19"));
    let listener = world.one.place.run(|| async { TcpListener::bind(SocketAddr::from((LISTENER, 80))) }).unwrap();
    let switch = world.one.with(|switch| async move { switch });
    std::thread::spawn(move || {
        for (mut stream, peer) in std::iter::from_fn(|| listener.accept().ok()) {
            let SocketAddr::V4(peer) = peer else { return };
            let known = switch.guest_at(*peer.ip());
            let _ = stream.write_all(known.map_or("nobody".to_owned(), |vif| vif.to_string()).as_bytes());
        }
    });
    let service = Ipv4Addr::new(169, 254, 169, 254);
    let told = |guest: &Guest| {
        let mut text = String::new();
        let stream = guest.connect(service, 80)?;
        (&stream.0).read_to_string(&mut text).ok()?;
        Some(text)
    };
    for guest in [&ga, &gc] {
        // The address is on the guest's own link; no router is asked.
        guest.place.must("ip", &["route", "add", "169.254.169.254/32", "dev", "eth0"]);
    }
    until("the first is known", || told(&ga).as_deref() == Some("vif-a"));
    until("and the other, at the same address", || told(&gc).as_deref() == Some("vif-c"));
    gc.place.must("ip", &["addr", "replace", "10.0.0.66/24", "dev", "eth0"]);
    gc.place.must("ip", &["route", "replace", "169.254.169.254/32", "dev", "eth0", "src", "10.0.0.66"]);
    assert!(gc.cannot_reach(service, 80), "an address that is not the guest's");
    assert_eq!(told(&ga).as_deref(), Some("vif-a"), "control");
}

/// Nothing of a guest is left when it goes: the next one with its address begins anew.
pub fn nothing_of_a_guest_is_left(kind: Kind) {
    let mut world = World::new(kind);
    let ((a, pa), (b, pb)) = (member("a", 100, 5, &[]), member("b", 200, 6, &[]));
    world.one.allow(vec![pb.clone()]);
    let _gb = world.one.plug(&b);
    let empty = world.one.rules();
    world.one.allow(vec![pa.clone(), pb.clone()]);
    let ga = world.one.plug(&a);
    let server = world.server(100, 9);
    let ask = |guest: &Guest| datagram(server.mac, guest.mac, (guest.ip, 5000), (server.ip, 6000), "question");
    let answer = |guest: &Guest, text: &str| datagram(guest.mac, server.mac, (server.ip, 6000), (guest.ip, 5000), text);
    ga.say(&ask(&ga));
    until("the question left", || world.cable.saw(Some(100), |f| says(f, "question")));
    server.say(&answer(&ga, "answer"));
    until("control: the answer is let in", || ga.heard(|f| says(f, "answer")));
    assert!(world.one.rules().contains("10.0.0.5"), "control");
    drop(ga);
    world.one.unplug(&a);
    world.one.allow(vec![pb.clone()]);
    let (there, links) = world.one.place.tell("ip", &["link", "show", "vif-a"]);
    assert!(!there, "{links}");
    let numbered = |text: &str| -> Vec<String> {
        // Handles, versions and cookies are counted on.
        let plain = |line: &str| {
            let line = line.split(" # handle").next().unwrap_or_default();
            line.split("cookie=")
                .last()
                .unwrap_or_default()
                .split_once(", ")
                .map_or(line.to_owned(), |(_, rest)| rest.to_owned())
        };
        let mut lines: Vec<String> = text.lines().filter(|line| !line.contains("comment")).map(plain).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(numbered(&world.one.rules()), numbered(&empty));
    // The next one has its address, and not its connections.
    world.one.allow(vec![pa, pb]);
    let next = world.one.plug(&a);
    server.say(&answer(&next, "late"));
    asks(&server, 90);
    until("the network is alive", || next.heard(|f| asked_for(f) == Some(address(90))));
    assert!(!next.heard(|f| says(f, "late")), "what its predecessor had open was still open");
}

/// One VLAN on two hosts, by 802.1Q tags on the cable between them.
pub fn a_network_spans_two_hosts_by_its_tag(kind: Kind) {
    let mut world = World::new(kind);
    let mut two = world.second_host();
    let ((a, pa), (b, pb)) = (member("a", 100, 5, &[80]), member("b", 100, 6, &[]));
    let ((c, pc), (d, pd)) = (member("c", 200, 7, &[]), member("d", 200, 8, &[80]));
    world.one.allow(vec![pa, pc]);
    two.allow(vec![pb, pd]);
    let (ga, gc) = (world.one.plug(&a), world.one.plug(&c));
    let (gb, gd) = (two.plug(&b), two.plug(&d));
    ga.echoes(80);
    gd.echoes(80);
    assert!(gb.connect(ga.ip, 80).is_some_and(|mut talk| talk.is_alive("tagged-a")), "one network, two hosts");
    assert!(gc.connect(gd.ip, 80).is_some_and(|mut talk| talk.is_alive("tagged-d")), "and the other");
    assert!(gb.cannot_reach(gd.ip, 80) && gc.cannot_reach(ga.ip, 80), "not between them");
    assert!(
        world.cable.saw(Some(100), |f| says(f, "tagged-a")) && !world.cable.saw(Some(200), |f| says(f, "tagged-a"))
    );
    assert!(
        world.cable.saw(Some(200), |f| says(f, "tagged-d")) && !world.cable.saw(Some(100), |f| says(f, "tagged-d"))
    );
    assert_eq!(world.cable.tags(), [Some(100), Some(200)], "each frame has the tag of its network");
    // A frame of a network that no guest of a host is in does not enter it, nor one without a tag.
    let stranger = world.server(300, 9);
    stranger.say(&datagram(gb.mac, stranger.mac, (address(9), 1), (gb.ip, 2), "unknown tag"));
    asks(&ga, 89);
    until("the cable is alive", || gb.heard(|f| frames::kind(f) == frames::ARP && asked_for(f) == Some(address(89))));
    assert!(!gb.heard(|f| says(f, "unknown tag")) && !gd.heard(|f| says(f, "unknown tag")));
}
