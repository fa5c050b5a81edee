//! DHCP clients that not every machine has: dhcpcd and systemd-networkd, each with its lease on a tagged port.

use crate::kit::{Desk, fact, has, snapshot};
use crate::lab::{Client, Lab};
use arame_nsa::agent::NsaAgent;
use arame_schema::jobs::nsa::NetworkSnapshot;
use arame_schema::model::Fact;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NEEDS: [&str; 4] = ["root", "tun", "ovs", "ethtool"];

/// Ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id() as i32), nix::sys::signal::Signal::SIGTERM);
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In the client's namespace, with folders under `/run` and `/var/lib` of its own and a read-only `/sys`, as in a container.
fn begin(client: &Client, folders: &str, program: &str) -> Running {
    let script = format!("mount --make-rprivate / && mount -o remount,ro /sys && {folders} && exec {program}");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &client.netns, "unshare", "-m", "sh", "-c", &script]);
    let log = std::fs::File::create(std::env::temp_dir().join(format!("{}.log", client.netns))).unwrap();
    let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    Running(child)
}

/// Waits for the address on the client's interface; the client program's words otherwise.
fn has_address(client: &Client, address: &str) {
    let (begin, log) = (Instant::now(), std::env::temp_dir().join(format!("{}.log", client.netns)));
    loop {
        let told = client.exec("ip", &["-4", "-o", "addr", "show", "dev", "eth0"]);
        if String::from_utf8_lossy(&told.stdout).contains(&format!("inet {address}/24 ")) {
            break;
        }
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        assert!(begin.elapsed() < Duration::from_secs(30), "no address: {}", said());
        std::thread::sleep(Duration::from_millis(50));
    }
    let routes = client.exec("ip", &["-4", "route", "show", "default"]);
    assert!(String::from_utf8_lossy(&routes.stdout).contains("via 10.0.0.1"), "the default route");
    let _ = std::fs::remove_file(log);
}

fn network() -> NetworkSnapshot {
    NetworkSnapshot { ntp_servers: vec![Ipv4Addr::new(10, 0, 0, 3)], ..snapshot("nw-one", 101) }
}

fn story(test: impl FnOnce(&Lab) + Send + 'static) {
    let lab = Lab::new();
    let (infra, config) = (lab.infra(), lab.config());
    Lab::inside(&infra, move || async move {
        let agent = NsaAgent::start(&config).unwrap();
        let desk = Desk::join(&agent, 1).await;
        assert_eq!(fact(&desk.apply(&agent, &network(), 1).await), (Fact::Yes, 1));
        tokio::task::spawn_blocking(move || test(&lab)).await.unwrap();
    });
}

#[test]
fn dhcpcd_gets_its_lease() {
    if !has(&NEEDS) || !has(&["dhcpcd", "unshare"]) {
        return;
    }
    story(|lab| {
        let client = lab.client("a", 101, "52:54:00:00:65:0a");
        let folders = "mkdir -p /run/dhcpcd /var/lib/dhcpcd && mount -t tmpfs tmpfs /run/dhcpcd && \
                       mount -t tmpfs tmpfs /var/lib/dhcpcd";
        let _running = begin(&client, folders, "dhcpcd -4 -B -A -f /dev/null --noipv4ll -c /bin/true eth0");
        has_address(&client, "10.0.0.10");
    });
}

#[test]
fn systemd_networkd_gets_its_lease() {
    if !has(&NEEDS) || !has(&["networkd", "unshare"]) {
        return;
    }
    story(|lab| {
        let client = lab.client("a", 101, "52:54:00:00:65:0a");
        let folders = "mkdir -p /run/systemd && mount -t tmpfs tmpfs /run/systemd && \
                       mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp && \
                       chown -R systemd-network /run/systemd/netif && \
                       printf '[Match]\\nName=eth0\\n[Network]\\nDHCP=ipv4\\nLinkLocalAddressing=no\\n' \
                       >/run/systemd/network/10-eth0.network";
        let _running = begin(&client, folders, "/usr/lib/systemd/systemd-networkd");
        has_address(&client, "10.0.0.10");
    });
}
