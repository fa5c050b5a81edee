//! A data center with hosts in namespaces: the trunk between them carries tags, and the demo network is a dead end.

use crate::folder::{Folder, eventually, kill};
use crate::needs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const NEEDS: [&str; 8] = ["root", "tun", "mariadb", "rabbitmq", "libvirt", "ovs", "tgt", "image-tools"];

fn run(program: &str, words: &[&str]) -> bool {
    Command::new(program).args(words).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

fn must(program: &str, words: &[&str]) {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A stand-in for a guest: a namespace behind an access port of a host's switch, nothing else in it.
struct Guest {
    netns: String,
}

impl Guest {
    fn plug(folder: &Folder, host: u16, tag: u16, address: &str) -> Self {
        let data_center = format!("arame-{}", folder.tag());
        let (netns, host_ns) = (format!("{data_center}-g{host}{tag}"), format!("{data_center}-h{host}"));
        let (inner, outer) = ("e0", format!("g{tag}"));
        must("ip", &["netns", "add", &netns]);
        must("ip", &["-n", &host_ns, "link", "add", &outer, "type", "veth", "peer", "name", inner, "netns", &netns]);
        must("ip", &["-n", &host_ns, "link", "set", &outer, "up"]);
        must("ip", &["-n", &netns, "addr", "add", address, "dev", inner]);
        must("ip", &["-n", &netns, "link", "set", inner, "up"]);
        must("ip", &["-n", &netns, "route", "add", "default", "via", "10.77.1.1"]);
        for (netns, device) in [(&netns, inner), (&host_ns, outer.as_str())] {
            must("ip", &["netns", "exec", netns, "ethtool", "-K", device, "tx", "off"]);
        }
        let run = folder.file(&format!("hosts/h{host}/run/openvswitch"));
        let db = format!("--db=unix:{}", run.join("db.sock").display());
        must("ovs-vsctl", &[&db, "--timeout=10", "add-port", "ovs0", &outer, &format!("tag={tag}")]);
        let bridge = format!("unix:{}", run.join("ovs0.mgmt").display());
        // The agent is not there: the bridge starts without flows (fail_mode=secure).
        must("ovs-ofctl", &["-OOpenFlow15", "add-flow", &bridge, "actions=NORMAL"]);
        Self { netns }
    }

    fn pings(&self, address: &str) -> bool {
        run("ip", &["netns", "exec", &self.netns, "ping", "-c", "2", "-W", "2", address])
    }

    /// Whether a TCP connection opens, whatever speaks behind it.
    fn connects(&self, address: &str, port: &str) -> bool {
        let words = ["netns", "exec", &self.netns, "busybox", "nc", "-w", "2", address, port];
        let output = Command::new("ip").args(words).stdin(Stdio::null()).output().unwrap();
        output.status.success()
    }
}

fn folder() -> Folder {
    let networks = ["--demo-network", "10.77.1.0/24", "--management-network", "10.77.2.0/24"];
    let folder = Folder::new(&[["--listen", "127.0.0.1:19801"].as_slice(), &networks].concat());
    share_guest_image(&folder);
    folder
}

/// The image is not what is tested here: packages are fetched once for all tests.
fn share_guest_image(folder: &Folder) {
    let shared = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("debs");
    std::fs::create_dir_all(&shared).unwrap();
    std::fs::create_dir_all(folder.file("cache")).unwrap();
    std::os::unix::fs::symlink(&shared, folder.file("cache/debs")).unwrap();
}

#[test]
fn hosts_are_joined_by_tags_and_the_demo_network_reaches_nothing_of_the_infrastructure() {
    if !needs::all(&NEEDS) || !needs::all(&["tcpdump", "busybox"]) {
        return;
    }
    let folder = folder();
    folder.up_successfully();
    for host in ["h1", "h2"] {
        let socket = folder.file(&format!("hosts/{host}/run/libvirt/libvirt-sock"));
        let uri = format!("qemu:///system?socket={}", socket.display());
        let name = Command::new("virsh").args(["-c", &uri, "hostname"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&name.stdout).trim(), host);
    }
    let here = Guest::plug(&folder, 1, 101, "10.77.1.11/24");
    let there = Guest::plug(&folder, 2, 101, "10.77.1.12/24");
    let stranger = Guest::plug(&folder, 2, 102, "10.77.1.13/24");
    let frames = capture(&folder, || {
        assert!(here.pings("10.77.1.12"), "same tag, other host");
        assert!(!here.pings("10.77.1.13"), "other tag");
    });
    assert!(frames.contains("vlan 101"), "no tag on the trunk:\n{frames}");
    // Positive control of the stranger: with its own gateway it does talk.
    assert!(stranger.pings("10.77.1.1"), "the other network's gateway");

    // The machine reaches guests, guests reach neither the broker nor the machine.
    assert!(run("ping", &["-c", "2", "-W", "2", "10.77.1.12"]), "the machine's route");
    let (machine, infrastructure) = link_addresses(&folder);
    let dials = |port: &str| run("timeout", &["3", "busybox", "nc", "-w", "2", &infrastructure, port]);
    assert!(dials("5672"), "positive control: the broker answers the machine");
    assert!(there.pings("10.77.1.1"), "positive control: the gateway answers ICMP");
    for (address, port) in [(infrastructure.as_str(), "5672"), ("10.77.1.1", "5672"), ("10.77.2.254", "5672")] {
        assert!(!there.connects(address, port), "a guest reached {address}:{port}");
    }
    assert!(!there.connects(&machine, "19801") && !there.pings(&machine), "a guest reached the machine");

    let before = folder.pid("host-h1");
    kill(before);
    eventually("the host is up again", LIMIT, || {
        folder.all_run() && folder.pid("host-h1") != before && folder.file("hosts/h1/run/ready").exists()
    });
    assert!(folder.arame(&["down"]).status.success());
    eventually("nothing is left", LIMIT, || folder.left_behind().is_empty());
}

fn link_addresses(folder: &Folder) -> (String, String) {
    let output = Command::new("ip").args(["-4", "-br", "addr", "show", &format!("ara-{}", folder.tag())]).output();
    let text = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
    let machine = text.split_whitespace().nth(2).unwrap().split('/').next().unwrap().to_owned();
    let number = u32::from(machine.parse::<std::net::Ipv4Addr>().unwrap());
    (machine, std::net::Ipv4Addr::from(number + 1).to_string())
}

/// What tcpdump sees on the trunk while something happens.
fn capture(folder: &Folder, happens: impl FnOnce()) -> String {
    let netns = format!("arame-{}-fab", folder.tag());
    let file = folder.file("frames.txt");
    let out = std::fs::File::create(&file).unwrap();
    let words = ["netns", "exec", &netns, "tcpdump", "-lnei", "brT", "arp or icmp or vlan"];
    let mut tcpdump = Command::new("ip").args(words).stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    // It says so on its error output when it listens.
    let mut said = std::io::BufReader::new(tcpdump.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0, "tcpdump ended");
    }
    happens();
    let _ = tcpdump.kill();
    let _ = tcpdump.wait();
    std::fs::read_to_string(file).unwrap()
}
