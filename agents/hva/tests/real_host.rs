//! The real drivers on real (namespaced) hosts: libvirt, QEMU, Open vSwitch, tgt, and guests that boot.
#![allow(clippy::unwrap_used)] // a test that cannot go on ends there

#[path = "support/fixtures.rs"]
mod fixtures;
#[path = "support/lab.rs"]
mod lab;

use arame_schema::jobs::Job;
use arame_schema::jobs::hva::*;
use arame_schema::model::{Fact, FactName};
use fixtures::*;
use lab::{Console, Host, Lab};
use std::io::{BufRead, Read, Write};
use std::time::{Duration, Instant};

/// Not a test of its own: what `Lab::agent` starts inside a host.
#[test]
fn the_agent_inside_a_host() {
    lab::child();
}

fn apply(spec: &InstanceSpec) -> Job {
    Job::ApplyInstance(Box::new(ApplyInstance { spec: spec.clone() }))
}

fn policy(agent: &Host, host: &str, version: u64, ports: Vec<PortPolicy>) {
    let host = format!("hn-{host}");
    let job = ApplyPolicy { host: host.parse().unwrap(), ports, infrastructure: vec!["10.99.0.0/24".parse().unwrap()] };
    agent.job(&Job::ApplyPolicy(job), &host, version).done();
}

#[test]
fn a_guest_boots_reads_its_metadata_and_leaves_nothing() {
    if !lab::able() {
        return;
    }
    let lab = Lab::up(1);
    let agent = lab.agent("h1");
    let web = lab.with_image(spec("web1", 100, 5));
    policy(&agent, "h1", 1, vec![port(&web, &[80])]);
    let answer = agent.job(&apply(&web), "i-web1", 1).done();
    println!("apply took {} ms", answer.worked_ms);
    assert_eq!(fact(&answer.facts, "i-web1", FactName::Power), Some(Fact::Yes));
    let guest = Console::booted(&lab, "h1", &agent, "i-web1");
    let (found, text) = guest.shell("wget -qO- http://169.254.169.254/latest/meta-data/instance-id");
    assert!(found && text.contains("i-web1"), "{text}");
    let delete = Job::DeleteInstance(DeleteInstance { instance: web.instance.clone() });
    let answer = agent.job(&delete, "i-web1", 2).done();
    assert_eq!(fact(&answer.facts, "i-web1", FactName::Domain), Some(Fact::No));
    let things = agent.list()["things"].as_array().unwrap().clone();
    assert!(things.iter().all(|thing| thing["kind"] == "policy"), "{things:?}");
    nothing_is_left(&lab, "h1", &agent);
}

/// What takes a second on a machine of its own, beside the other tests of a run.
const BUSY: Duration = Duration::from_secs(30);

/// Whether `argv` succeeds within a few tries: a path through new flows or a booting service may need a moment.
fn comes_true(limit: Duration, mut check: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if check() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn pings(lab: &Lab, from: &str, to: &str) -> bool {
    lab.inside(from, &["ping", "-c1", "-W2", to]).0
}

fn opens(lab: &Lab, from: &str, to: &str, port: &str) -> bool {
    lab.inside(from, &["nc", "-z", "-w2", to, port]).0
}

fn guest_pings(guest: &Console, to: &str) -> bool {
    guest.shell(&format!("ping -c1 -W2 {to} >/dev/null")).0
}

/// What tcpdump saw on a device while `work` ran.
fn capture(lab: &Lab, place: &str, device: &str, filter: &str, work: impl FnOnce()) -> String {
    let argv = ["tcpdump", "-n", "-e", "-l", "--immediate-mode", "-i", device, filter];
    let mut dump = lab.spawn_inside(place, &argv);
    let mut heard = std::io::BufReader::new(dump.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        assert!(heard.read_line(&mut line).unwrap() > 0, "tcpdump did not start");
    }
    work();
    // What was sent just now is still on its way to the reader.
    std::thread::sleep(Duration::from_millis(200));
    let pid = nix::unistd::Pid::from_raw(dump.id() as i32);
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    let mut text = String::new();
    dump.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let _ = dump.wait();
    text
}

#[test]
fn networks_are_isolated_and_the_firewall_changes_under_a_living_connection() {
    if !lab::able() {
        return;
    }
    let lab = Lab::up(2);
    let (one, two) = (lab.agent("h1"), lab.agent("h2"));
    let a = lab.with_image(spec("a", 100, 5));
    let b = lab.with_image(spec("b", 100, 6));
    let c = lab.with_image(spec("c", 200, 7));
    let first = |open: &[u16]| vec![port(&a, open), port(&c, &[80])];
    policy(&one, "h1", 1, first(&[80, 7]));
    policy(&two, "h2", 1, vec![port(&b, &[80])]);
    one.job(&apply(&a), "i-a", 1).done();
    two.job(&apply(&b), "i-b", 1).done();
    one.job(&apply(&c), "i-c", 1).done();
    let ga = Console::booted(&lab, "h1", &one, "i-a");
    let gb = Console::booted(&lab, "h2", &two, "i-b");
    let gc = Console::booted(&lab, "h1", &one, "i-c");

    // The same VLAN on two hosts: reached, by ping and by TCP.
    assert!(guest_pings(&ga, "10.0.0.6") && guest_pings(&gb, "10.0.0.5"), "same network across hosts");
    assert!(ga.shell("wget -qO- http://10.0.0.6/ | grep hello").0);
    // Another VLAN with the same subnet: not reached, though the same guest reaches its own network's server.
    assert!(guest_pings(&gc, "10.0.0.2"), "positive control: the guest can ping");
    assert!(!guest_pings(&gc, "10.0.0.5") && !guest_pings(&gc, "10.0.0.6"), "other network, same and other host");
    // Nor are its frames seen there; the same capture sees them on their own network.
    let shout = || drop(gc.shell("arping -c1 -w1 -I eth0 10.0.0.99 >/dev/null; true"));
    let theirs = capture(&lab, "srv200", "eth0", "arp", shout);
    assert!(theirs.contains("10.0.0.99"), "positive control: {theirs}");
    let ours = capture(&lab, "srv100", "eth0", "arp", shout);
    assert!(!ours.contains("10.0.0.99"), "{ours}");
    // Real 802.1Q tags on the trunk.
    let wire = capture(&lab, "fab", "t1", "vlan", || {
        guest_pings(&ga, "10.0.0.6");
        guest_pings(&gc, "10.0.0.2");
    });
    assert!(wire.contains("vlan 100") && wire.contains("vlan 200"), "{wire}");

    // A guest that takes another's address is not heard; with its own it is.
    let spoof = "ip addr add 10.0.0.98/24 dev eth0; ping -c1 -W1 -I 10.0.0.98 10.0.0.2 >/dev/null; ip addr del 10.0.0.98/24 dev eth0; true";
    let heard = capture(&lab, "srv100", "eth0", "arp or icmp", || drop(ga.shell(spoof)));
    assert!(!heard.contains("10.0.0.98"), "{heard}");
    let heard = capture(&lab, "srv100", "eth0", "arp or icmp", || assert!(guest_pings(&ga, "10.0.0.2")));
    assert!(heard.contains("10.0.0.5"), "positive control: {heard}");
    // Its question for an address goes out; what no tool of the guest can send is traced through the flows.
    let ask = "udhcpc -n -q -t1 -T1 -i eth0 -s /bin/true >/dev/null 2>&1; true";
    let heard = capture(&lab, "srv100", "eth0", "udp port 67", || drop(ga.shell(ask)));
    assert!(heard.contains("0.0.0.0.68 > 255.255.255.255.67"), "{heard}");
    what_a_guest_may_send(&lab);

    // Closed is closed; a change opens it, and closes another, under a connection that goes on.
    assert!(opens(&lab, "srv100", "10.0.0.5", "80"), "positive control");
    assert!(!opens(&lab, "srv100", "10.0.0.5", "81"), "81 is closed");
    ga.shell("(nc -ll -p 7 -e cat >/dev/null 2>&1 &)");
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !opens(&lab, "srv100", "10.0.0.5", "7") {
        assert!(std::time::Instant::now() < end, "the guest's echo server does not listen");
    }
    let mut talk = lab.spawn_inside("srv100", &["nc", "10.0.0.5", "7"]);
    let mut say = talk.stdin.take().unwrap();
    let mut echo = std::io::BufReader::new(talk.stdout.take().unwrap());
    let mut says = |word: &str| {
        writeln!(say, "{word}").unwrap();
        let mut line = String::new();
        echo.read_line(&mut line).unwrap();
        line.trim() == word
    };
    assert!(says("before"));
    policy(&one, "h1", 2, first(&[80, 81]));
    assert!(opens(&lab, "srv100", "10.0.0.5", "81"), "81 is open now");
    assert!(!opens(&lab, "srv100", "10.0.0.5", "7"), "7 takes no new connection");
    assert!(says("after"), "the established connection goes on");
    let _ = talk.kill();
    let _ = talk.wait();

    // Infrastructure is out of reach; without the guard the same ping succeeds.
    lab.inside("srv100", &["ip", "addr", "add", "10.99.0.77/32", "dev", "lo"]);
    assert!(!guest_pings(&ga, "10.99.0.77"), "infrastructure is guarded");
    let job = ApplyPolicy { host: "hn-h1".parse().unwrap(), ports: first(&[80]), infrastructure: vec![] };
    one.job(&Job::ApplyPolicy(job), "hn-h1", 3).done();
    assert!(guest_pings(&ga, "10.99.0.77"), "positive control: guard off");

    what_the_switch_lost_comes_back(&lab);
    drop((ga, gb, gc));
    an_agent_may_die(&lab, one, &a);
}

/// Frames traced through the flows from the first guest's port: most are dropped, their well-formed twins are not.
fn what_a_guest_may_send(lab: &Lab) {
    let ofport =
        lab.inside("h1", &["ovs-vsctl", "--db=unix:/run/openvswitch/db.sock", "get", "Interface", "vif-a", "ofport"]).1;
    let leaves = |frame: &str| {
        let flow = format!("in_port={},dl_src=52:54:0a:00:00:05,{frame}", ofport.trim());
        let argv = [
            "ovs-appctl",
            "-t",
            "/run/openvswitch/vswitchd.ctl",
            "ofproto/trace",
            "ovs0",
            &flow,
            "--ct-next",
            "trk,new",
        ];
        let (done, text) = lab.inside("h1", &argv);
        assert!(done, "{text}");
        !text.trim().ends_with("Datapath actions: drop")
    };
    let server = "dl_dst=52:54:0a:00:00:09,nw_src=10.0.0.5,nw_dst=10.0.0.2";
    assert!(leaves(&format!("udp,{server},udp_src=1000,udp_dst=68")), "positive control");
    assert!(!leaves(&format!("udp,{server},udp_src=67,udp_dst=68")), "a guest is no DHCP server");
    assert!(!leaves(&format!("udp,{server},udp_src=1000,udp_dst=68,dl_vlan=200")), "a guest does not tag");
    assert!(!leaves(&format!("udp,{server},udp_src=1000,udp_dst=68,dl_vlan=100")), "not even with its own tag");
    assert!(!leaves("ipv6,dl_dst=33:33:00:00:00:01"), "IPv6 is not let out");
    assert!(!leaves("dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88cc"), "nor any other ethertype");
    assert!(leaves("arp,dl_dst=ff:ff:ff:ff:ff:ff,arp_sha=52:54:0a:00:00:05,arp_spa=10.0.0.5"), "positive control");
    assert!(!leaves("arp,dl_dst=ff:ff:ff:ff:ff:ff,arp_sha=52:54:0a:00:00:05,arp_spa=10.0.0.6"), "another's ARP");
    assert!(!leaves("tcp,dl_dst=52:54:0a:00:00:09,nw_src=10.0.0.5,nw_dst=169.254.0.1,tcp_dst=80"), "link-local");
}

/// Flows deleted, a port taken out, then the whole switch restarted: repaired without any job. How long it took is
/// printed; a busy machine is given [`BUSY`].
fn what_the_switch_lost_comes_back(lab: &Lab) {
    let bridge = "unix:/run/openvswitch/ovs0.mgmt";
    let flows =
        || lab.inside("h1", &["ovs-ofctl", "-O", "OpenFlow15", "dump-flows", bridge]).1.matches("cookie=0xa7").count();
    let before = flows();
    assert!(before > 20 && pings(lab, "srv100", "10.0.0.5"));
    lab.inside("h1", &["ovs-ofctl", "-O", "OpenFlow15", "del-flows", bridge]);
    let began = Instant::now();
    assert!(comes_true(BUSY, || flows() == before), "deleted flows come back");
    println!("deleted flows were back after {:?}", began.elapsed());
    let row = || lab.inside("h1", &["ovs-vsctl", "get", "port", "vif-a", "_uuid"]);
    let (there, first) = row();
    assert!(there, "control: the port is in the bridge");
    lab.inside("h1", &["ovs-vsctl", "del-port", "ovs0", "vif-a"]);
    let began = Instant::now();
    let remade = || row().0 && row().1 != first && flows() == before;
    assert!(comes_true(BUSY, remade), "a port somebody took out is taken in again");
    println!("a removed port was back after {:?}", began.elapsed());
    assert!(comes_true(BUSY, || pings(lab, "srv100", "10.0.0.5")), "and its guest is reached again");
    let restart = "kill -9 $(cat /run/openvswitch/ovs-vswitchd.pid); export OVS_RUNDIR=/run/openvswitch OVS_DBDIR=/run/openvswitch OVS_LOGDIR=/run/openvswitch; ovs-vswitchd unix:/run/openvswitch/db.sock --pidfile --unixctl=/run/openvswitch/vswitchd.ctl --detach --no-chdir --log-file=/run/openvswitch/vswitchd.log </dev/null >/dev/null 2>&1";
    lab.inside("h1", &["bash", "-c", restart]);
    let began = Instant::now();
    assert!(comes_true(BUSY, || flows() == before), "a restarted switch gets its flows back");
    println!("a restarted switch had its flows after {:?}", began.elapsed());
    assert!(comes_true(BUSY, || pings(lab, "srv100", "10.0.0.5")), "and forwards again");
}

/// The agent killed: the guest and its firewall go on; a new agent finds everything. A dead guest and a dead
/// libvirtd are noticed.
fn an_agent_may_die(lab: &Lab, mut agent: Host, a: &InstanceSpec) {
    agent.kill();
    assert!(pings(lab, "srv100", "10.0.0.5"), "the data plane outlives the agent");
    assert!(!opens(lab, "srv100", "10.0.0.5", "81"), "and so does its firewall");
    let agent = lab.agent("h1");
    let things = agent.list();
    let kinds: Vec<&str> = things["things"].as_array().unwrap().iter().filter_map(|t| t["kind"].as_str()).collect();
    assert!(["domain", "overlay", "port", "policy"].iter().all(|kind| kinds.contains(kind)), "{things}");
    let guest = Console::booted(lab, "h1", &agent, "i-a");
    let read = || guest.shell("wget -qO- http://169.254.169.254/latest/meta-data/local-ipv4 | grep 10.0.0.5").0;
    assert!(comes_true(Duration::from_secs(10), read), "metadata is answered by the new agent");

    let libvirt = "kill -9 $(cat /run/libvirtd.inner); sleep 0.2; libvirtd </dev/null >/dev/null 2>&1 & echo $! > /run/libvirtd.inner";
    lab.inside("h1", &["bash", "-c", libvirt]);
    let observe = Job::ObserveInstance(ObserveInstance { instance: a.instance.clone() });
    let sees = |wanted: Fact| {
        comes_true(Duration::from_secs(15), || {
            let answer = agent.job(&observe, "i-a", 0);
            fact(&answer.facts, "i-a", FactName::Power) == Some(wanted)
        })
    };
    assert!(sees(Fact::Yes), "libvirtd restarted, the guest did not");
    lab.inside("h1", &["pkill", "-9", "-f", "guest=i-a,"]);
    assert!(agent.survey_wanted(Duration::from_secs(5)), "a guest that died asks for an inventory");
    assert!(sees(Fact::No));
}

/// A target with CHAP, as the storage agent would make it.
fn target(lab: &Lab, control: &str, volume: &PluggedVolume, initiator: &str) {
    let backing = lab.base.join(format!("{}.img", volume.volume));
    if !backing.exists() {
        std::fs::File::create(&backing).unwrap().set_len(64 << 20).unwrap();
    }
    let backing = backing.display().to_string();
    let tgtadm = |args: &[&str]| {
        let mut argv = vec!["tgtadm", "-C", control, "--lld", "iscsi"];
        argv.extend(args);
        let (done, text) = lab.inside("fab", &argv);
        assert!(done, "{argv:?}: {text}");
    };
    tgtadm(&["--op", "new", "--mode", "target", "--tid", "1", "-T", &volume.iqn]);
    tgtadm(&["--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b", &backing]);
    let (user, secret) = (volume.chap_user.as_str(), volume.chap_secret.expose());
    tgtadm(&["--op", "new", "--mode", "account", "--user", user, "--password", secret]);
    tgtadm(&["--op", "bind", "--mode", "account", "--tid", "1", "--user", user]);
    tgtadm(&["--op", "bind", "--mode", "target", "--tid", "1", "--initiator-name", initiator]);
}

fn untarget(lab: &Lab, control: &str, user: &str) {
    let all = ["tgtadm", "-C", control, "--lld", "iscsi"];
    lab.inside("fab", &[&all[..], &["--op", "delete", "--mode", "target", "--tid", "1", "--force"]].concat());
    lab.inside("fab", &[&all[..], &["--op", "delete", "--mode", "account", "--user", user]].concat());
}

#[test]
fn a_volume_is_plugged_into_a_running_guest_and_wanders_to_another_host() {
    if !lab::able() {
        return;
    }
    let lab = Lab::up(2);
    let control = (std::process::id() % 30_000 + 1000).to_string();
    let mut tgtd = lab.spawn_inside("fab", &["tgtd", "-f", "-C", &control, "--iscsi", "portal=10.99.0.254:3260"]);
    let ready = || lab.inside("fab", &["tgtadm", "-C", &control, "--op", "show", "--mode", "sys"]).0;
    assert!(comes_true(Duration::from_secs(10), ready), "tgtd is up");
    let (one, two) = (lab.agent("h1"), lab.agent("h2"));
    let mut a = lab.with_image(spec("a", 100, 5));
    let mut b = lab.with_image(spec("b", 100, 6));
    policy(&one, "h1", 1, vec![port(&a, &[])]);
    policy(&two, "h2", 1, vec![port(&b, &[])]);
    one.job(&apply(&a), "i-a", 1).done();
    two.job(&apply(&b), "i-b", 1).done();
    let ga = Console::booted(&lab, "h1", &one, "i-a");
    let gb = Console::booted(&lab, "h2", &two, "i-b");

    let mut data = volume("data", "10.99.0.254:3260");
    target(&lab, &control, &data, "iqn.2026-11.jp.arame:h1");
    // A wrong secret is refused by the target, and the facts say so.
    a.volumes =
        vec![PluggedVolume { chap_secret: arame_schema::model::Secret::new("wrongwrongwrong"), ..data.clone() }];
    let failed = one.job(&apply(&a), "i-a", 2);
    assert_eq!(failed.result, "failed", "{failed:?}");
    assert!(!failed.message.contains("wrongwrong"), "a secret is never said");
    a.volumes = vec![data.clone()];
    let answer = one.job(&apply(&a), "i-a", 3).done();
    println!("plugging took {} ms", answer.worked_ms);
    assert_eq!(fact(&answer.facts, "att-data", FactName::Plugged), Some(Fact::Yes));
    let disk = "d=/dev/$(basename $(dirname $(grep -l vol-data /sys/block/vd*/serial)))";
    let appears = |guest: &Console| {
        comes_true(Duration::from_secs(10), || guest.shell("grep -l vol-data /sys/block/vd*/serial").0)
    };
    assert!(appears(&ga));
    let (found, text) = ga.shell(&format!("{disk}; echo treasure | dd of=$d bs=512 conv=sync 2>/dev/null && sync"));
    assert!(found, "{text}");
    // Run again it changes nothing; without it in the spec it is let go.
    one.job(&apply(&a), "i-a", 3).done();
    a.volumes.clear();
    let answer = one.job(&apply(&a), "i-a", 4).done();
    println!("unplugging took {} ms", answer.worked_ms);
    assert_eq!(fact(&answer.facts, "att-data", FactName::Plugged), Some(Fact::No));
    assert!(!ga.shell("grep -l vol-data /sys/block/vd*/serial").0, "the guest lost it");
    let listed = one.list()["things"].to_string();
    assert!(!listed.contains("secret"), "no secret is left: {listed}");

    untarget(&lab, &control, &data.chap_user);
    data.initiator_iqn = "iqn.2026-11.jp.arame:h2".into();
    target(&lab, &control, &data, "iqn.2026-11.jp.arame:h2");
    b.volumes = vec![data];
    two.job(&apply(&b), "i-b", 2).done();
    assert!(appears(&gb));
    let (found, text) = gb.shell(&format!("{disk}; head -c8 $d"));
    assert!(found && text.contains("treasure"), "{text}");
    // A guest that is switched off and on has it from the start.
    b.power = off();
    two.job(&apply(&b), "i-b", 3).done();
    b.power = Power::On;
    let answer = two.job(&apply(&b), "i-b", 4).done();
    assert_eq!(fact(&answer.facts, "att-data", FactName::Plugged), Some(Fact::Yes));
    let delete = |spec: &InstanceSpec| Job::DeleteInstance(DeleteInstance { instance: spec.instance.clone() });
    let answer = two.job(&delete(&b), "i-b", 5).done();
    assert_eq!(fact(&answer.facts, "att-data", FactName::Plugged), Some(Fact::No));
    one.job(&delete(&a), "i-a", 5).done();
    for (host, agent) in [("h1", &one), ("h2", &two)] {
        nothing_is_left(&lab, host, agent);
    }
    let _ = tgtd.kill();
    let _ = tgtd.wait();
}

/// Seen from the machine, not from the agent.
fn nothing_is_left(lab: &Lab, host: &str, agent: &Host) {
    let virsh = |verb: &[&str]| lab.inside(host, &[&["virsh", "-c", "qemu:///system"], verb].concat()).1;
    assert!(!virsh(&["list", "--all", "--name"]).contains("i-"));
    assert!(!virsh(&["secret-list"]).contains("iscsi"));
    assert!(!lab.inside(host, &["ip", "-o", "link"]).1.contains("vif-"));
    assert!(!lab.inside(host, &["ovs-vsctl", "--db=unix:/run/openvswitch/db.sock", "show"]).1.contains("vif-"));
    let flows = lab.inside(host, &["ovs-ofctl", "-O", "OpenFlow15", "dump-flows", "unix:/run/openvswitch/ovs0.mgmt"]).1;
    assert!(!flows.contains("52:54:0a"), "{flows}");
    assert_eq!(std::fs::read_dir(agent.data.join("instances")).unwrap().count(), 0);
}

#[test]
#[ignore = "a measurement: run it alone"]
fn how_long_a_launch_takes_until_the_hypervisor_is_asked() {
    if !lab::able() {
        return;
    }
    let lab = Lab::up(1);
    let agent = lab.agent("h1");
    let specs: Vec<InstanceSpec> = (0..12).map(|n| lab.with_image(spec(&format!("m{n}"), 100, 10 + n))).collect();
    policy(&agent, "h1", 1, specs.iter().map(|spec| port(spec, &[80])).collect());
    for spec in &specs {
        let id = spec.instance.to_string();
        let answer = agent.job(&apply(spec), &id, 1).done();
        let delete = Job::DeleteInstance(DeleteInstance { instance: spec.instance.clone() });
        let gone = agent.job(&delete, &id, 2).done();
        println!("apply {} ms, delete {} ms", answer.worked_ms, gone.worked_ms);
    }
    let log = std::fs::read_to_string(lab.base.join("h1.log")).unwrap();
    let lines = log.lines().filter(|line| line.contains("is asked to start"));
    let asked: Vec<&str> = lines.filter_map(|line| line.split("\"ms\":").nth(1)?.split('}').next()).collect();
    println!("asked after ms: {asked:?}");
}

fn take(image: &str, of: &InstanceSpec) -> Job {
    let reader = arame_schema::model::Secret::new("let me in");
    Job::TakeCapture(TakeCapture { image: image.parse().unwrap(), instance: of.instance.clone(), reader })
}

#[test]
fn a_new_machine_boots_from_the_image_of_a_running_one_and_finds_what_was_on_its_disk() {
    if !lab::able() {
        return;
    }
    let lab = Lab::up(1);
    let mut agent = lab.agent("h1");
    let first = lab.with_image(spec("first", 100, 5));
    policy(&agent, "h1", 1, vec![port(&first, &[80])]);
    agent.job(&apply(&first), "i-first", 1).done();
    {
        // Beyond the file system that it boots from: 34 of 64 MiB are that.
        let guest = Console::booted(&lab, "h1", &agent, "i-first");
        let (written, text) = guest.shell("echo WRITTEN-BY-THE-FIRST | dd of=/dev/vda bs=1M seek=40 && sync");
        assert!(written, "{text}");
    }
    // The agent dies while it copies: libvirt's job may go on, and is ended by the next copy.
    let _ = agent.begin(&take("wmi-golden", &first), "wmi-golden", 1);
    agent.kill();
    let agent = lab.agent("h1");
    let began = Instant::now();
    let answer = agent.job(&take("wmi-golden", &first), "wmi-golden", 1).done();
    println!("the copy took {:?}", began.elapsed());
    let found = answer.facts.iter().find(|fact| fact.name == FactName::Captured).unwrap();
    let captured: Captured = serde_json::from_value(found.detail.clone().unwrap()).unwrap();
    let file = agent.data.join("captures/wmi-golden.qcow2");
    std::fs::copy(&file, lab.base.join("www/golden.qcow2")).unwrap();
    let told =
        std::process::Command::new("qemu-img").args(["info", "-U", "--output=json"]).arg(&file).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("67108864") && !told.contains("backing"), "not flat: {told}");
    let chain = agent.data.join("instances/i-first");
    let mut files: Vec<_> = std::fs::read_dir(chain).unwrap().flatten().map(|entry| entry.file_name()).collect();
    files.sort();
    assert_eq!(files, ["console.log", "disk.qcow2", "record.json", "seed.img"], "nothing is left beside its disk");

    let mut second = lab.with_image(spec("second", 100, 6));
    second.boot = BootDisk {
        image: "wmi-golden".parse().unwrap(),
        url: Some("http://10.99.0.254:8080/golden.qcow2".into()),
        sha256: captured.sha256,
        size_bytes: captured.size_bytes,
        ..second.boot
    };
    agent.job(&apply(&second), "i-second", 1).done();
    for (name, spec) in [("i-second", &second), ("i-first", &first)] {
        let guest = Console::booted(&lab, "h1", &agent, name);
        let (read, text) = guest.shell("dd if=/dev/vda bs=1M skip=40 count=1 2>/dev/null | head -c 20");
        assert!(read && text.contains("WRITTEN-BY-THE-FIRST"), "{name}: {text}");
        drop(guest);
        let delete = Job::DeleteInstance(DeleteInstance { instance: spec.instance.clone() });
        agent.job(&delete, name, 2).done();
    }
    let end = DropCapture { image: "wmi-golden".parse().unwrap(), instance: first.instance.clone() };
    agent.job(&Job::DropCapture(end), "wmi-golden", 2).done();
    let things = agent.list()["things"].as_array().unwrap().clone();
    assert!(things.iter().all(|thing| thing["kind"] == "policy"), "{things:?}");
    nothing_is_left(&lab, "h1", &agent);
}
